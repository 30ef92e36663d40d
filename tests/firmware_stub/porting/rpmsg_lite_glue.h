/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_lite_glue.h - one controller on an endpoint of RPMsg-Lite.
 */
#ifndef RPMSG_LITE_GLUE_H
#define RPMSG_LITE_GLUE_H

#include "rpmsg_lite.h"

#include "rpmsg_gpio_device.h"

#define RX_BUFFERS RL_BUFFER_COUNT /* each of them may have to wait */

struct gpio_endpoint {
	struct rpmsg_lite_instance *rpmsg;
	struct rpmsg_lite_endpoint *ept;
	struct rpmsg_gpio_device device;
	uint32_t driver; /* address of the Linux side, once it spoke */
	bool driver_known;
	struct {
		void *data;
		uint32_t length;
		uint32_t source;
	} held[RX_BUFFERS];
	volatile uint32_t head; /* written by the interrupt */
	volatile uint32_t tail; /* written by the main loop */
};

extern const struct rpmsg_gpio_channel gpio_channel;

/* Once, when the firmware starts. `config` names gpio_channel and, as its context, `gpio`. */
void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config);

/* At each start of the link, when rpmsg_lite_is_link_up(): announces the channel. Lines
 * are as they were. Returns RL_SUCCESS, RL_ERR_PARAM when RX_BUFFERS is too small for the
 * vring, or another error. */
int32_t gpio_start(struct gpio_endpoint *gpio, struct rpmsg_lite_instance *rpmsg,
		   uint32_t address, const char *name);

/* When Linux has reset the device or has restarted, before rpmsg_lite_deinit(). Lines stay
 * as they are. */
void gpio_stop(struct gpio_endpoint *gpio);

/* From the main loop: after messages were received, after the other side freed
 * buffers, and while gpio->device.pending is set. */
void gpio_run(struct gpio_endpoint *gpio);

#endif
