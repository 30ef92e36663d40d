/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * open_amp.h - a stand-in for the header of OpenAMP: what the glue uses of it.
 */
#ifndef STANDIN_OPEN_AMP_H
#define STANDIN_OPEN_AMP_H

#include <stddef.h>
#include <stdint.h>

#define RPMSG_ADDR_ANY    0xffffffffu
#define RPMSG_SUCCESS     0
#define RPMSG_ERR_NO_MEM  (-2001)
#define RPMSG_ERR_NO_BUFF (-2002)

struct rpmsg_device;
struct rpmsg_endpoint;

typedef int (*rpmsg_ept_cb)(struct rpmsg_endpoint *ept, void *data, size_t len,
			    uint32_t src, void *priv);
typedef void (*rpmsg_ns_unbind_cb)(struct rpmsg_endpoint *ept);

struct rpmsg_endpoint {
	rpmsg_ept_cb cb;
	void *priv;
};

int rpmsg_create_ept(struct rpmsg_endpoint *ept, struct rpmsg_device *rdev,
		     const char *name, uint32_t src, uint32_t dest, rpmsg_ept_cb cb,
		     rpmsg_ns_unbind_cb ns_unbind_cb);
int rpmsg_trysendto(struct rpmsg_endpoint *ept, const void *data, int len, uint32_t dst);
void rpmsg_hold_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);
void rpmsg_release_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);

#endif
