/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.h - one controller on an endpoint of RPMsg-Lite.
 */
#ifndef GPIO_ENDPOINT_H
#define GPIO_ENDPOINT_H

#include "rpmsg_lite.h"

#include "rpmsg_gpio_device.h"

/* Each of them may have to wait. With RL_ALLOW_CUSTOM_SHMEM_CONFIG define the largest count that
 * the platform gives, a power of two. */
#ifndef RX_BUFFERS
#define RX_BUFFERS RL_BUFFER_COUNT
#endif

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
	volatile uint32_t tail; /* written by gpio_run() */
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

/* From the task: after gpio_wake(), and after Linux freed buffers while gpio_waits(). */
void gpio_run(struct gpio_endpoint *gpio);

/* Whether a message or an event waits for a buffer of Linux's. */
bool gpio_waits(const struct gpio_endpoint *gpio);

/* Yours: a message came or a pin's interrupt, gpio_run() is due. From interrupts. */
void gpio_wake(void);

#endif
