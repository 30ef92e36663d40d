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
#define RPMSG_ERR_PARAM   (-2003)
#define RPMSG_NAME_SIZE   32

struct rpmsg_endpoint;

struct rpmsg_device {
	int unused;
};

struct virtqueue {
	uint16_t vq_nentries;
};

struct rpmsg_virtio_device {
	struct rpmsg_device rdev;
	struct virtqueue *rvq;
	struct virtqueue *svq;
};

typedef int (*rpmsg_ept_cb)(struct rpmsg_endpoint *ept, void *data, size_t len,
			    uint32_t src, void *priv);
typedef void (*rpmsg_ns_unbind_cb)(struct rpmsg_endpoint *ept);

struct rpmsg_endpoint {
	char name[RPMSG_NAME_SIZE];
	rpmsg_ept_cb cb;
	void *priv;
};

int rpmsg_create_ept(struct rpmsg_endpoint *ept, struct rpmsg_device *rdev,
		     const char *name, uint32_t src, uint32_t dest, rpmsg_ept_cb cb,
		     rpmsg_ns_unbind_cb ns_unbind_cb);
void rpmsg_destroy_ept(struct rpmsg_endpoint *ept);
int virtqueue_enable_cb(struct virtqueue *vq);
int rpmsg_trysendto(struct rpmsg_endpoint *ept, const void *data, int len, uint32_t dst);
void rpmsg_hold_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);
void rpmsg_release_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);

#endif
