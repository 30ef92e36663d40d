/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_link.h - a link of the tests to the real firmware core in the same
 * process, which can lose, hold back or forge what comes back; and a session
 * of the pump over it.
 */
#ifndef CORE_LINK_H
#define CORE_LINK_H

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "pump/client.h"
#include "pump/event_ring.h"
#include "pump/request.h"
#include "rpmsg_gpio_device.h"

#define LINES 40
#define FIFO 64
#define QUEUE 256
#define TIMEOUT_MS 100  /* of what is to end at its deadline */
#define LONG_MS 10000   /* only a fault lasts so long */
#define SOURCE 1024
#define ADDRESS 1030

struct message {
	uint16_t length;
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
};

/* A link whose far side is the firmware core. The pump's lock guards it all. */
struct core_link {
	struct gb_link link;
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line lines[LINES];
	struct rpmsg_gpio_stream streams[LINES];
	struct rpmsg_gpio_edge edges[FIFO];
	uint64_t clock_offset;     /* the core's clock is so much ahead */
	uint8_t pins[LINES];
	struct message queue[QUEUE];
	unsigned int queued;
	int event_fd;
	unsigned int drop_replies; /* swallow the next n messages to the driver */
	unsigned int damage_epochs; /* invert a byte of the epoch in the next n replies */
	bool hold;                 /* keep them instead */
	bool full;                 /* no transmit buffer */
	bool broken;               /* the next message finds the link dead */
	uint16_t largest;          /* message that fits; 0: any */
	bool mute_unknown;         /* silent on types it does not know */
	unsigned int requests;
	uint16_t last_type;
	uint16_t counted_type;     /* that the next three are about */
	unsigned int counted;
	unsigned int drop_counted_replies; /* do the next n, but swallow what they bring */
	unsigned int drop_requests; /* swallow the next n messages to the device */
	unsigned int damage_requests; /* make the next n unknown to it */
	uint16_t lie_about;        /* answers to this type have nonsense as their body */
	uint64_t nonsense;         /* the last eight bytes of it */
};

static inline bool port_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	struct core_link *core = context;

	if (direction == VIRTIO_GPIO_DIRECTION_OUT)
		core->pins[gpio] = value;
	return true;
}

static inline bool port_set(void *context, uint16_t gpio, uint8_t value)
{
	((struct core_link *)context)->pins[gpio] = value;
	return true;
}

static inline bool port_get(void *context, uint16_t gpio, uint8_t *value)
{
	*value = ((struct core_link *)context)->pins[gpio];
	return true;
}

static inline bool port_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	(void)gpio;
	(void)type;
	return true;
}

static inline uint64_t port_time(void *context)
{
	return gb_now_ns() + ((struct core_link *)context)->clock_offset;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = port_direction,
	.set_value = port_set,
	.get_value = port_get,
	.set_irq_type = port_irq_type,
	.get_time = port_time,
};

static inline void notify(struct core_link *core)
{
	uint64_t one = 1;

	CHECK_EQ(write(core->event_fd, &one, sizeof(one)), sizeof(one));
}

static inline bool channel_send(void *context, const void *message, size_t length)
{
	struct core_link *core = context;

	if (core->drop_replies) {
		core->drop_replies--;
		return true;
	}
	if (core->queued == QUEUE)
		return true; /* lost, too */
	core->queue[core->queued].length = (uint16_t)length;
	memcpy(core->queue[core->queued].bytes, message, length);
	if (core->damage_epochs) {
		core->damage_epochs--;
		core->queue[core->queued].bytes[6] ^= 0xff;
	}
	if (core->lie_about && core->last_type == core->lie_about && length >= 16) {
		core->nonsense = core->nonsense * UINT64_C(6364136223846793005) - 1;
		memcpy(core->queue[core->queued].bytes + 8, &core->nonsense,
		       sizeof(core->nonsense));
	}
	core->queued++;
	if (!core->hold)
		notify(core);
	return true;
}

static const struct rpmsg_gpio_channel channel = {.send = channel_send};

static inline int core_send(struct gb_link *link, uint32_t source, uint32_t destination,
		     const void *message, uint16_t length)
{
	struct core_link *core = (struct core_link *)link;
	const struct virtio_gpio_request *request = message;
	struct message damaged = {.length = length};

	CHECK_EQ(source, SOURCE);
	CHECK_EQ(destination, ADDRESS);
	if (core->full)
		return -EAGAIN;
	if (core->broken)
		return -EIO;
	if (core->largest && length > core->largest)
		return -EMSGSIZE;
	core->requests++;
	core->last_type = rpmsg_gpio_load16(request->type);
	if (core->last_type == core->counted_type)
		core->counted++;
	if (core->drop_requests && core->last_type == core->counted_type) {
		core->drop_requests--;
		return 0;
	}
	if (core->drop_counted_replies && core->last_type == core->counted_type) {
		core->drop_counted_replies--;
		core->drop_replies = 1;
	}
	if (core->mute_unknown && rpmsg_gpio_load16(request->type) > 6)
		return 0;
	if (core->damage_requests && core->last_type == core->counted_type) {
		core->damage_requests--;
		memcpy(damaged.bytes, message, length);
		damaged.bytes[1] ^= 0x40;
		message = damaged.bytes;
	}
	CHECK(rpmsg_gpio_device_receive(&core->device, message, length));
	CHECK(rpmsg_gpio_device_run(&core->device));
	return 0;
}

static inline void core_flush(struct gb_link *link)
{
	(void)link;
}

static inline int core_ready(struct gb_link *link, int index, uint32_t events)
{
	struct core_link *core = (struct core_link *)link;

	(void)index;
	(void)events;
	while (core->queued && !core->hold) {
		struct message first = core->queue[0];

		memmove(core->queue, core->queue + 1, --core->queued * sizeof(first));
		gb_link_received(link, ADDRESS, SOURCE, first.bytes, first.length);
	}
	return 0;
}

static inline void core_destroy(struct gb_link *link)
{
	struct core_link *core = (struct core_link *)link;

	close(core->event_fd);
	free(core);
}

static const struct gb_link_ops core_ops = {
	.name = "core",
	.send = core_send,
	.flush = core_flush,
	.ready = core_ready,
	.destroy = core_destroy,
};

/* ---- a session ------------------------------------------------------------ */

struct session {
	struct gb_pump *pump;
	struct core_link *core;
	struct gb_controller *controller;
	uint64_t cookie;
};

/* On a pump that has others. */
static inline void open_session_on(struct gb_pump *pump, struct session *s, uint32_t features)
{
	struct core_link *core = calloc(1, sizeof(*core));

	core->link.ops = &core_ops;
	core->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	core->link.fds[0] = core->event_fd;
	core->link.events[0] = EPOLLIN | EPOLLET;
	core->link.fd_count = 1;
	core->config = (struct rpmsg_gpio_device_config){
		.port = &port, .port_context = core,
		.channel = &channel, .channel_context = core,
		.lines = core->lines, .ngpio = LINES,
		.streams = core->streams, .edges = core->edges, .edge_count = FIFO,
		.features = features, .epoch = 0xabcd1234,
	};
	rpmsg_gpio_device_init(&core->device, &core->config);
	core->device.features = features; /* as if negotiated */
	s->core = core;
	s->cookie = 100;
	s->pump = pump;
	CHECK_EQ(gb_pump_add_link(s->pump, &core->link, 1), 0);
	s->controller = gb_controller_open(&core->link, 2, SOURCE, ADDRESS);
	gb_controller_accept(s->controller, features, 0xabcd1234);
}

static inline void open_session(struct session *s, uint32_t features)
{
	open_session_on(gb_pump_new(), s, features);
}

static inline void close_session(struct session *s)
{
	gb_pump_free(s->pump);
}

/* The next report; none comes only where something is wrong. */
static inline struct gb_report next_report(struct session *s)
{
	struct pollfd poller = {.fd = gb_pump_report_fd(s->pump), .events = POLLIN};
	struct gb_report report = {.kind = UINT32_MAX};

	while (!gb_pump_next_report(s->pump, &report))
		if (poll(&poller, 1, 2 * LONG_MS) != 1)
			break;
	return report;
}

static inline void call(struct session *s, uint16_t type, uint16_t gpio, uint32_t value)
{
	CHECK_EQ(gb_controller_call(s->controller, type, gpio, value, GB_CALL_AUTO, LONG_MS,
				    ++s->cookie), 0);
}

static inline struct gb_report call_and_wait(struct session *s, uint16_t type, uint16_t gpio,
				      uint32_t value)
{
	struct gb_report report;

	call(s, type, gpio, value);
	report = next_report(s);
	CHECK_EQ(report.kind, GB_REPORT_REPLY);
	CHECK_EQ(report.id, s->cookie);
	return report;
}

/* One that gets no answer. */
static inline void call_in_vain(struct session *s, uint16_t type, uint16_t gpio, uint32_t value)
{
	struct gb_report report;

	CHECK_EQ(gb_controller_call(s->controller, type, gpio, value, GB_CALL_AUTO, TIMEOUT_MS,
				    ++s->cookie), 0);
	report = next_report(s);
	CHECK_EQ(report.kind, GB_REPORT_REPLY);
	CHECK_EQ(report.id, s->cookie);
	CHECK_EQ(report.error, ETIMEDOUT);
	CHECK_EQ(report.reason, GB_REASON_TIMEOUT);
}

/* No more fits into the queue of calls, and nothing leaves; until open_gate(). */
static inline void close_gate(struct session *s)
{
	s->core->full = true;
	while (gb_controller_call(s->controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				  LONG_MS, 1) == 0)
		continue;
}

static inline void open_gate(struct session *s)
{
	gb_lock(s->pump);
	s->core->full = false;
	gb_link_writable(&s->core->link);
	gb_unlock(s->pump);
}

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline struct gb_request *open_line(struct session *s, uint16_t gpio, uint32_t flags,
				    uint8_t irq_type, struct gb_request_fds *fds)
{
	struct gb_line_plan plan = {
		.controller = s->controller, .gpio = gpio, .offset = gpio + 100u,
		.flags = flags, .irq_type = irq_type,
	};
	struct gb_request *request =
		gb_request_open(s->pump, 9, &plan, 1, 16, TIMEOUT_MS, fds);

	CHECK(request != NULL);
	return request;
}

static inline void close_fds(const struct gb_request_fds *fds)
{
	close(fds->operation);
	close(fds->event);
	close(fds->ring);
}

static inline int operate(const struct gb_request_fds *fds, uint32_t code, uint64_t mask, uint64_t *bits)
{
	static uint32_t sequence;
	struct gb_operation operation = {
		.code = code, .sequence = ++sequence, .mask = mask, .bits = *bits,
	};
	struct gb_operation_reply reply;
	int error;

	CHECK_EQ(gb_client_prepare(fds->operation, LONG_MS), 0);
	error = gb_client_operate(fds->operation, LONG_MS, &operation, &reply);
	*bits = reply.bits;
	return error;
}

#endif
