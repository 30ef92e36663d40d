/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "linux_device.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Edges on their way to the driver: more than one turn of the loop reads. */
#define EDGES 1024
#define EVENTS_A_TURN 16

/* What a turn of the loop is about, beside lines: in the data of its epoll event. */
#define ENDPOINT UINT32_MAX
#define CHIP (UINT32_MAX - 1)
#define LINES (UINT32_MAX - 2)

struct linux_device {
	struct linux_gpio gpio;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_device core;
	int chip, endpoint, epoll;
	bool blocked;  /* no room in the endpoint: waiting for EPOLLOUT */
	bool closed;   /* the other end of the endpoint is gone */
	ssize_t held;  /* bytes of `message` that the core could not take yet */
	uint8_t message[RPMSG_GPIO_MESSAGE_MAX];
};

static bool channel_send(void *context, const void *message, size_t length)
{
	struct linux_device *device = context;

	if (send(device->endpoint, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS)
		return false;
	device->closed = true;
	return true;
}

static const struct rpmsg_gpio_channel channel = {.send = channel_send};

/* ---- the loop ------------------------------------------------------------ */

static void watch_endpoint(struct linux_device *device, bool blocked)
{
	struct epoll_event event = {
		.events = blocked ? EPOLLOUT : EPOLLIN,
		.data.u32 = ENDPOINT,
	};

	if (blocked == device->blocked)
		return;
	device->blocked = blocked;
	epoll_ctl(device->epoll, EPOLL_CTL_MOD, device->endpoint, &event);
}

/* Send what is due. While the endpoint has no room, nothing more is read from the driver. */
static void settle(struct linux_device *device)
{
	bool sent;

	do
		sent = rpmsg_gpio_device_run(&device->core);
	while (sent && device->core.pending && !device->closed);
	watch_endpoint(device, !sent || device->held);
}

static void offer(struct linux_device *device)
{
	if (rpmsg_gpio_device_receive(&device->core, device->message, (size_t)device->held))
		device->held = 0;
}

/* The end reads as an empty message does, which is ignored. */
static void endpoint_ready(struct linux_device *device, uint32_t events)
{
	if (!device->held) {
		device->held = recv(device->endpoint, device->message, sizeof(device->message),
				    MSG_DONTWAIT);
		if (device->held <= 0) {
			device->closed = device->held ? errno != EAGAIN : events & EPOLLHUP;
			device->held = 0;
			return;
		}
	} else if (!rpmsg_gpio_device_run(&device->core)) {
		return;
	}
	offer(device);
}

static int lines_ready(struct linux_device *device)
{
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(device->gpio.epoll, events, EVENTS_A_TURN, 0);
	int error = 0;

	for (int i = 0; !error && i < count; i++) {
		error = linux_gpio_take_edges(&device->gpio, (uint16_t)events[i].data.u32);
		(void)rpmsg_gpio_device_run(&device->core);
	}
	return error;
}

static int handle(struct linux_device *device, const struct epoll_event *event)
{
	switch (event->data.u32) {
	case CHIP: /* watched for its end only */
		return -ENODEV;
	case LINES:
		return lines_ready(device);
	default:
		endpoint_ready(device, event->events);
		return 0;
	}
}

int linux_device_run(struct linux_device *device)
{
	int error = 0;

	while (!error && !device->closed) {
		struct epoll_event events[3];
		int count = epoll_wait(device->epoll, events, 3, -1);

		for (int i = 0; !error && i < count; i++)
			error = handle(device, &events[i]);
		if (!error)
			settle(device);
	}
	return error;
}

/* ---- life ---------------------------------------------------------------- */

static int watch(const struct linux_device *device, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = {.events = events, .data.u32 = what};

	return epoll_ctl(device->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int watch_all(struct linux_device *device)
{
	int error;

	device->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (device->epoll < 0)
		return -errno;
	error = watch(device, device->endpoint, EPOLLIN, ENDPOINT);
	if (!error)
		error = watch(device, device->chip, 0, CHIP);
	if (!error)
		error = watch(device, device->gpio.epoll, EPOLLIN, LINES);
	return error;
}

static uint32_t new_epoch(void)
{
	uint32_t epoch = 0;

	while (!epoch)
		if (getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
			epoch = (uint32_t)getpid();
	return epoch;
}

static int start_core(struct linux_device *device)
{
	uint16_t ngpio = device->gpio.ngpio;

	device->config = (struct rpmsg_gpio_device_config){
		.port = &linux_gpio_port,
		.port_context = &device->gpio,
		.channel = &channel,
		.channel_context = device,
		.lines = calloc(ngpio, sizeof(struct rpmsg_gpio_line)),
		.streams = calloc(ngpio, sizeof(struct rpmsg_gpio_stream)),
		.edges = calloc(EDGES, sizeof(struct rpmsg_gpio_edge)),
		.edge_count = EDGES,
		.ngpio = ngpio,
		.features = RPMSG_GPIO_FEATURES,
		.epoch = new_epoch(),
		.label = device->gpio.label,
		.names = device->gpio.names,
		.names_size = device->gpio.names_size,
	};
	if (!device->config.lines || !device->config.streams || !device->config.edges)
		return -ENOMEM;
	rpmsg_gpio_device_init(&device->core, &device->config);
	device->gpio.device = &device->core;
	return 0;
}

void linux_device_free(struct linux_device *device)
{
	linux_gpio_close(&device->gpio);
	if (device->epoll >= 0)
		close(device->epoll);
	free(device->config.lines);
	free(device->config.streams);
	free((void *)device->config.edges);
	free(device);
}

int linux_device_new(struct linux_device **result, int chip, int endpoint)
{
	struct linux_device *device = calloc(1, sizeof(*device));
	int error;

	if (!device)
		return -ENOMEM;
	device->chip = chip;
	device->endpoint = endpoint;
	device->epoll = -1;
	error = linux_gpio_open(&device->gpio, chip);
	if (!error)
		error = start_core(device);
	if (!error)
		error = watch_all(device);
	if (error) {
		linux_device_free(device);
		return error;
	}
	*result = device;
	return 0;
}

void linux_device_on_refusal(struct linux_device *device, linux_gpio_refused_fn refused,
			     void *context)
{
	device->gpio.refused = refused;
	device->gpio.context = context;
}

