/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * openamp_glue.h - one controller on an endpoint of OpenAMP.
 */
#ifndef OPENAMP_GLUE_H
#define OPENAMP_GLUE_H

#include <openamp/open_amp.h>

#include "rpmsg_gpio_device.h"

#define RX_BUFFERS 16 /* of the vring: more cannot be held */

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

/* `config` names gpio_channel and, as its context, `gpio`. Returns 0 or an error
 * of rpmsg_create_ept(). */
int gpio_start(struct gpio_endpoint *gpio, struct rpmsg_device *rpmsg, const char *name,
	       const struct rpmsg_gpio_device_config *config);

/* From the main loop: after messages were received, after the other side freed
 * buffers, and while gpio->device.pending is set. */
void gpio_run(struct gpio_endpoint *gpio);

#endif
