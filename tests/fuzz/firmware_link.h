/* SPDX-License-Identifier: BSD-3-Clause */
/* firmware_link.h - a link of the pump with the firmware core behind it, if it is honest. */
#ifndef FIRMWARE_LINK_H
#define FIRMWARE_LINK_H

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "pump_bed.h"
#include "rpmsg_gpio_device.h"

#define EDGES 16u

struct fuzz_link {
	struct gb_link base;
	bool full, broken, honest;
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line lines[BED_LINES];
	struct rpmsg_gpio_stream streams[BED_LINES];
	volatile struct rpmsg_gpio_edge edges[EDGES];
	uint8_t pins[BED_LINES];
	/* What the core says, until the loop comes by. */
	uint8_t said[32][RPMSG_GPIO_MESSAGE_MAX];
	uint16_t lengths[32];
	unsigned int count;
	uint16_t tag; /* of the latest request, for replies that fit */
};

/* ---- the honest firmware ----------------------------------------------------------- */

static inline bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	struct fuzz_link *link = context;

	if (direction == VIRTIO_GPIO_DIRECTION_OUT)
		link->pins[gpio] = value;
	return true;
}

static inline bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	((struct fuzz_link *)context)->pins[gpio] = value;
	return true;
}

static inline bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	*value = ((struct fuzz_link *)context)->pins[gpio];
	return true;
}

static inline bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	(void)gpio;
	(void)type;
	return true;
}

static inline uint64_t get_time(void *context)
{
	(void)context;
	return kernel_now() + 12345;
}

static inline bool say(void *context, const void *message, size_t length)
{
	struct fuzz_link *link = context;

	if (link->count == 32)
		return true; /* lost */
	memcpy(link->said[link->count], message, length);
	link->lengths[link->count++] = (uint16_t)length;
	kernel_signal(link->base.fds[0]);
	return true;
}

static inline void get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context;
	(void)gpio;
	*caps = RPMSG_GPIO_LINE_BIAS;
	*max_debounce_us = 0;
}

static inline bool set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	(void)context;
	(void)gpio;
	(void)flags;
	(void)debounce_us;
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction, .set_value = set_value, .get_value = get_value,
	.set_irq_type = set_irq_type, .get_time = get_time,
	.get_caps = get_caps, .set_config = set_config,
};
static const struct rpmsg_gpio_channel channel = {.send = say};

static inline void boot(struct fuzz_link *link, uint32_t features)
{
	link->config = (struct rpmsg_gpio_device_config){
		.port = &port, .port_context = link, .channel = &channel, .channel_context = link,
		.lines = link->lines, .streams = link->streams, .edges = link->edges,
		.edge_count = EDGES, .ngpio = BED_LINES, .features = features, .epoch = BED_EPOCH,
	};
	rpmsg_gpio_device_init(&link->device, &link->config);
	link->device.features = features; /* as if negotiated */
}

/* ---- the link ---------------------------------------------------------------------- */

static inline int link_send(struct gb_link *base, uint32_t source, uint32_t destination,
		     const void *message, uint16_t length)
{
	struct fuzz_link *link = (struct fuzz_link *)base;

	(void)source;
	(void)destination;
	if (link->broken)
		return -EIO;
	if (link->full)
		return -EAGAIN;
	if (length >= sizeof(struct rpmsg_gpio_ext_request)) {
		const struct rpmsg_gpio_ext_request *request = message;

		link->tag = rpmsg_gpio_load16(request->tag);
	}
	if (link->honest && rpmsg_gpio_device_receive(&link->device, message, length))
		rpmsg_gpio_device_run(&link->device);
	return 0;
}

static inline void link_flush(struct gb_link *base)
{
	(void)base;
}

static inline int link_ready(struct gb_link *base, int index, uint32_t events)
{
	struct fuzz_link *link = (struct fuzz_link *)base;
	unsigned int count = link->count;

	(void)index;
	(void)events;
	for (unsigned int i = 0; i < count; i++)
		gb_link_received(base, BED_ADDRESS, BED_SOURCE, link->said[i], link->lengths[i]);
	memmove(link->said, link->said + count, (link->count - count) * sizeof(link->said[0]));
	memmove(link->lengths, link->lengths + count,
		(link->count - count) * sizeof(link->lengths[0]));
	link->count -= count;
	if (link->count)
		kernel_signal(base->fds[0]);
	return 0;
}

static struct fuzz_link *the_link;

static inline void link_destroy(struct gb_link *base)
{
	kernel_close(base->fds[0]);
	the_link = NULL;
	free(base);
}

static const struct gb_link_ops ops = {
	.name = "fuzz", .send = link_send, .flush = link_flush, .ready = link_ready,
	.destroy = link_destroy,
};

static inline struct fuzz_link *link_new(bool honest, uint32_t features)
{
	struct fuzz_link *link = calloc(1, sizeof(*link));

	link->base.ops = &ops;
	link->base.fds[0] = kernel_open(KERNEL_EVENTFD);
	link->base.events[0] = EPOLLIN | EPOLLET;
	link->base.fd_count = 1;
	link->honest = honest;
	boot(link, features);
	the_link = link;
	return link;
}

/* An edge on a pin, as its interrupt tells it. */
static inline void link_edge(struct bed *bed, uint8_t line)
{
	if (!the_link || !the_link->honest)
		return;
	the_link->pins[line] ^= 1;
	gb_lock(bed->pump);
	rpmsg_gpio_device_edge(&the_link->device, line, the_link->pins[line], kernel_now());
	rpmsg_gpio_device_run(&the_link->device);
	gb_unlock(bed->pump);
}

#endif
