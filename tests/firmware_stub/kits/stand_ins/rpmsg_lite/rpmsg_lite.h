/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_lite.h - a stand-in for the header of RPMsg-Lite: what the kit uses of it.
 */
#ifndef STAND_IN_RPMSG_LITE_H
#define STAND_IN_RPMSG_LITE_H

#include <stddef.h>
#include <stdint.h>

#include "rpmsg_config.h"

#define RL_NULL       ((void *)0)
#define RL_SUCCESS    0
#define RL_HOLD       1
#define RL_RELEASE    0
#define RL_DONT_BLOCK 0
#define RL_ERR_NO_MEM (-5001)
#define RL_ERR_PARAM  (-5003)

#define RL_BLOCK      (~0UL)
#define RL_NO_FLAGS   (0U)

struct virtqueue {
	uint16_t vq_nentries;
};

struct rpmsg_lite_instance {
	struct virtqueue *rvq;
};

struct rpmsg_lite_endpoint;

typedef int32_t (*rl_ept_rx_cb_t)(void *payload, uint32_t payload_len, uint32_t src,
				  void *priv);

struct rpmsg_lite_instance *rpmsg_lite_remote_init(void *shmem_addr, uint32_t link_id,
						   uint32_t init_flags);
uint32_t rpmsg_lite_wait_for_link_up(struct rpmsg_lite_instance *dev, uint32_t timeout);
struct rpmsg_lite_endpoint *rpmsg_lite_create_ept(struct rpmsg_lite_instance *dev,
						  uint32_t addr, rl_ept_rx_cb_t rx_cb,
						  void *rx_cb_data);
int32_t rpmsg_lite_destroy_ept(struct rpmsg_lite_instance *dev,
			       struct rpmsg_lite_endpoint *rl_ept);
int32_t rpmsg_lite_send(struct rpmsg_lite_instance *dev, struct rpmsg_lite_endpoint *ept,
			uint32_t dst, char *data, uint32_t size, uintptr_t timeout);
int32_t rpmsg_lite_release_rx_buffer(struct rpmsg_lite_instance *dev, void *rxbuf);

#endif
