/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_start.c - the start on OpenAMP's own virtio device, which NuttX hides.
 */
#include "gpio_endpoint.h"

int gpio_start(struct gpio_endpoint *gpio, struct rpmsg_virtio_device *rvdev, const char *name)
{
	if (rvdev->rvq->vq_nentries > RX_BUFFERS)
		return RPMSG_ERR_PARAM;
	/* OpenAMP switches this off: then nobody would tell that Linux freed buffers, and
	 * events would wait for the next request. */
	(void)virtqueue_enable_cb(rvdev->svq);
	return gpio_announce(gpio, &rvdev->rdev, name);
}
