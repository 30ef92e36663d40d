/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive_openamp.c - the kit for OpenAMP, driven through a stand-in.
 */
#include "gpio_endpoint.h"

#include "drive.h"

static void *held;
static struct virtqueue rvq, svq;
static bool kicks;
static struct rpmsg_virtio_device rvdev = {.rvq = &rvq, .svq = &svq};

int rpmsg_create_ept(struct rpmsg_endpoint *ept, struct rpmsg_device *rdev,
		     const char *name, uint32_t src, uint32_t dest, rpmsg_ept_cb cb,
		     rpmsg_ns_unbind_cb ns_unbind_cb)
{
	(void)src; (void)dest; (void)ns_unbind_cb;
	CHECK(rdev == &rvdev.rdev);
	CHECK(!endpoints); /* OpenAMP would put it into its list a second time */
	endpoints++;
	ept->cb = cb;
	strncpy(ept->name, name, sizeof(ept->name) - 1);
	strncpy(announced, name, sizeof(announced) - 1);
	return RPMSG_SUCCESS;
}

void rpmsg_destroy_ept(struct rpmsg_endpoint *ept)
{
	CHECK(!ept->name[0]); /* else it sends, and waits */
	endpoints--;
}

int virtqueue_enable_cb(struct virtqueue *vq)
{
	CHECK(vq == &svq);
	kicks = true;
	return 0;
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

static bool stand_in_start(unsigned int descriptors)
{
	rvq.vq_nentries = svq.vq_nentries = (uint16_t)descriptors;
	kicks = false;
	if (gpio_start(&gpio, &rvdev, "rpmsg-io-0") != RPMSG_SUCCESS)
		return false;
	CHECK(kicks);
	return true;
}

static void stand_in_deliver(void *message, size_t length, uint32_t source)
{
	held = NULL;
	CHECK_EQ(gpio.ept.cb(&gpio.ept, message, length, source, gpio.ept.priv), RPMSG_SUCCESS);
	CHECK(held == (length ? message : NULL));
}
