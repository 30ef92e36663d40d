/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.h - one controller on an endpoint of OpenAMP.
 */
#ifndef GPIO_ENDPOINT_H
#define GPIO_ENDPOINT_H

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
	volatile unsigned int head; /* written by the callback, from whatever context */
	volatile unsigned int tail; /* written by gpio_run() */
};

extern const struct rpmsg_gpio_channel gpio_channel;

/* Once, when the firmware starts. `config` names gpio_channel and, as its context, `gpio`. */
void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config);

/* At each start of the link, after rpmsg_init_vdev(): announces the channel. Lines are as
 * they were. Returns 0, RPMSG_ERR_PARAM when RX_BUFFERS is too small for the vring, or an
 * error of rpmsg_create_ept(). It is gpio_announce() with the checks of a virtio device. */
int gpio_start(struct gpio_endpoint *gpio, struct rpmsg_virtio_device *rvdev, const char *name);
int gpio_announce(struct gpio_endpoint *gpio, struct rpmsg_device *rdev, const char *name);

/* When Linux has reset the device or has restarted, before rpmsg_deinit_vdev(). Lines stay
 * as they are. */
void gpio_stop(struct gpio_endpoint *gpio);

/* From one context, a main loop or a task: after gpio_wake(), and after Linux freed buffers
 * while gpio_waits(). */
void gpio_run(struct gpio_endpoint *gpio);

/* Whether a message or an event waits for a buffer of Linux's. */
bool gpio_waits(const struct gpio_endpoint *gpio);

/* Yours: a message came or a pin's interrupt, gpio_run() is due. From any context. */
void gpio_wake(void);

#endif
