/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.h - one controller on an endpoint of TI's IPC RPMsg.
 */
#ifndef GPIO_ENDPOINT_H
#define GPIO_ENDPOINT_H

#include <drivers/ipc_rpmsg.h>

#include "rpmsg_gpio_device.h"

struct gpio_endpoint {
	RPMessage_Object rpmsg;
	struct rpmsg_gpio_device device;
	uint16_t core, driver; /* of the Linux side, once it spoke */
	bool driver_known;
	volatile uint32_t came; /* messages that RPMsg told of */
	uint32_t taken;         /* of these */
	uint16_t length;        /* of `message`, which waits for its turn; 0: none */
	uint8_t message[RPMSG_GPIO_MESSAGE_MAX];
};

extern const struct rpmsg_gpio_channel gpio_channel;

/* Once, when the firmware starts. `config` names gpio_channel and, as its context, `gpio`. */
void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config);

/* When RPMessage_waitForLinuxReady() has returned: announces the channel. `address` is any from 0
 * to RPMESSAGE_MAX_LOCAL_ENDPT - 1 that nobody else has. Returns SystemP_SUCCESS or an error. */
int32_t gpio_start(struct gpio_endpoint *gpio, uint16_t linux_core, uint16_t address,
		   const char *name);

/* From the task: after gpio_wake(), and after Linux freed buffers while gpio_waits(). */
void gpio_run(struct gpio_endpoint *gpio);

/* Whether a message or an event waits for a buffer of Linux's. */
bool gpio_waits(const struct gpio_endpoint *gpio);

/* Yours: a message came or a pin's interrupt, gpio_run() is due. From any context. */
void gpio_wake(void);

#endif
