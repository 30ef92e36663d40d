/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_gpio_remote.h - the core as a virtio-gpio device (virtio 1.3, 5.18) of a resource
 * table, instead of a controller on an rpmsg channel: the kernel's gpio-virtio driver makes a
 * gpiochip of it. There are no extensions then.
 *
 * The device's configuration has `channel` &virtio_gpio_remote_channel, `channel_context` the
 * struct below, `features` 0, and the dialect that is the default. Rings and their rules are
 * those of remote_rings.h.
 *
 *     virtio_gpio_remote_start(&remote);              the driver is there, rings are known
 *     for (;;) {
 *             virtio_gpio_remote_run(&remote);
 *             for (i = 0; i < REMOTE_RINGS_COUNT; i++)
 *                     if (remote_rings_publish(&remote.rings, i))
 *                             interrupt the other side, through the mailbox, with i
 *             sleep until the mailbox or a pin interrupts
 *     }
 */
#ifndef VIRTIO_GPIO_REMOTE_H
#define VIRTIO_GPIO_REMOTE_H

#include "remote_rings.h"
#include "rpmsg_gpio_device.h"

#define VIRTIO_GPIO_VQ_REQUEST 0
#define VIRTIO_GPIO_VQ_EVENT   1

/* Private. */
struct virtio_gpio_remote_line {
	uint16_t head;    /* the driver's buffer for the next interrupt, if `queued` */
	uint8_t irq_type;
	bool queued;
	bool due;         /* an interrupt waits for a buffer */
	bool masked;      /* in the core, until a buffer comes */
};

struct virtio_gpio_remote {
	struct remote_rings rings; /* set as for remote_rings_start() */
	struct rpmsg_gpio_device *device;
	struct virtio_gpio_remote_line *lines; /* as many as the device has */
	uint8_t status, value;                 /* private: of the core's reply */
};

extern const struct rpmsg_gpio_channel virtio_gpio_remote_channel;

/* Begin with a driver: no line has an interrupt; levels and directions stay. False as
 * remote_rings_start(). */
bool virtio_gpio_remote_start(struct virtio_gpio_remote *remote);
/* The driver has gone: the rings are not touched any more. */
void virtio_gpio_remote_stop(struct virtio_gpio_remote *remote);
/* Answer what was asked, and send what is due. */
void virtio_gpio_remote_run(struct virtio_gpio_remote *remote);

#endif
