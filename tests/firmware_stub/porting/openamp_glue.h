/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * openamp_glue.h - one controller on an endpoint of OpenAMP.
 */
#ifndef OPENAMP_GLUE_H
#define OPENAMP_GLUE_H

#include <openamp/open_amp.h>

#include "rpmsg_gpio_device.h"

/* Descriptors of the vring that Linux sends on, as in the resource table: each of its
 * buffers may have to wait. gpio_start() refuses a longer ring. */
#ifndef RX_BUFFERS
#define RX_BUFFERS 256
#endif

struct gpio_endpoint {
	struct rpmsg_endpoint ept;
	struct rpmsg_gpio_device device;
	uint32_t driver; /* address of the Linux side, once it spoke */
	bool driver_known;
	struct {
		void *data;
		size_t length;
		uint32_t source;
	} held[RX_BUFFERS];
	unsigned int first, count;
};

extern const struct rpmsg_gpio_channel gpio_channel;

/* Once, when the firmware starts. `config` names gpio_channel and, as its context, `gpio`. */
void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config);

/* At each start of the link, after rpmsg_init_vdev(): announces the channel. Lines are as
 * they were. Returns 0, RPMSG_ERR_PARAM when RX_BUFFERS is too small for the vring, or an
 * error of rpmsg_create_ept(). */
int gpio_start(struct gpio_endpoint *gpio, struct rpmsg_virtio_device *rvdev, const char *name);

/* When Linux has reset the device or has restarted, before rpmsg_deinit_vdev(). Lines stay
 * as they are. */
void gpio_stop(struct gpio_endpoint *gpio);

/* From the main loop: after messages were received, after the other side freed
 * buffers, and while gpio->device.pending is set. */
void gpio_run(struct gpio_endpoint *gpio);

#endif
