/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive_rpmsg_lite.c - the kit for RPMsg-Lite, driven through a stand-in.
 */
#include "gpio_endpoint.h"
#include "rpmsg_ns.h"

#include "drive.h"

struct rpmsg_lite_endpoint {
	rl_ept_rx_cb_t cb;
	void *priv;
};

static struct rpmsg_lite_endpoint endpoint;
static struct virtqueue rvq;
static struct rpmsg_lite_instance instance = {.rvq = &rvq};

struct rpmsg_lite_endpoint *rpmsg_lite_create_ept(struct rpmsg_lite_instance *dev,
						  uint32_t addr, rl_ept_rx_cb_t rx_cb,
						  void *rx_cb_data)
{
	(void)dev; (void)addr;
	if (endpoints)
		return RL_NULL; /* the address is taken */
	endpoints++;
	endpoint.cb = rx_cb;
	endpoint.priv = rx_cb_data;
	return &endpoint;
}

int32_t rpmsg_lite_destroy_ept(struct rpmsg_lite_instance *dev,
			       struct rpmsg_lite_endpoint *rl_ept)
{
	CHECK(dev == &instance && rl_ept == &endpoint);
	endpoints--;
	return RL_SUCCESS;
}

int32_t rpmsg_lite_send(struct rpmsg_lite_instance *dev, struct rpmsg_lite_endpoint *ept,
			uint32_t dst, char *data, uint32_t size, uintptr_t timeout)
{
	(void)dev; (void)ept;
	CHECK_EQ(timeout, RL_DONT_BLOCK);
	return take_tx_buffer(data, size, dst) ? RL_SUCCESS : RL_ERR_NO_MEM;
}

int32_t rpmsg_lite_release_rx_buffer(struct rpmsg_lite_instance *dev, void *rxbuf)
{
	(void)dev;
	memset(rxbuf, 0xff, sizeof(struct virtio_gpio_request)); /* not ours any more */
	released++;
	return RL_SUCCESS;
}

int32_t rpmsg_ns_announce(struct rpmsg_lite_instance *dev, struct rpmsg_lite_endpoint *new_ept,
			  const char *ept_name, uint32_t flags)
{
	(void)dev; (void)new_ept; (void)flags;
	strncpy(announced, ept_name, sizeof(announced) - 1);
	return RL_SUCCESS;
}

static bool stand_in_start(unsigned int descriptors)
{
	rvq.vq_nentries = (uint16_t)descriptors;
	return gpio_start(&gpio, &instance, 30, "rpmsg-io-0") == RL_SUCCESS;
}

static void stand_in_deliver(void *message, size_t length, uint32_t source)
{
	CHECK_EQ(endpoint.cb(message, (uint32_t)length, source, endpoint.priv),
		 length ? RL_HOLD : RL_RELEASE);
}
