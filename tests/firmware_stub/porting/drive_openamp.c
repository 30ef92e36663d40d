/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive_openamp.c - the glue for OpenAMP, driven through a stand-in.
 */
#include "openamp_glue.h"

#include "drive.h"

static void *held;

int rpmsg_create_ept(struct rpmsg_endpoint *ept, struct rpmsg_device *rdev,
		     const char *name, uint32_t src, uint32_t dest, rpmsg_ept_cb cb,
		     rpmsg_ns_unbind_cb ns_unbind_cb)
{
	(void)rdev; (void)src; (void)dest; (void)ns_unbind_cb;
	ept->cb = cb;
	strncpy(announced, name, sizeof(announced) - 1);
	return RPMSG_SUCCESS;
}

int rpmsg_trysendto(struct rpmsg_endpoint *ept, const void *data, int len, uint32_t dst)
{
	(void)ept;
	return take_tx_buffer(data, (size_t)len, dst) ? len : RPMSG_ERR_NO_BUFF;
}

void rpmsg_hold_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf)
{
	(void)ept;
	held = rxbuf;
}

void rpmsg_release_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf)
{
	(void)ept;
	memset(rxbuf, 0xff, sizeof(struct virtio_gpio_request)); /* not ours any more */
	released++;
}

static void standin_start(const struct rpmsg_gpio_device_config *config)
{
	CHECK_EQ(gpio_start(&gpio, NULL, "rpmsg-io-0", config), RPMSG_SUCCESS);
}

static void standin_deliver(void *message, size_t length)
{
	held = NULL;
	CHECK_EQ(gpio.ept.cb(&gpio.ept, message, length, DRIVER, gpio.ept.priv), RPMSG_SUCCESS);
	CHECK(held == message);
}
