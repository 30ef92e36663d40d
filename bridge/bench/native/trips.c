/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "trips.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "pump/client.h"
#include "pump/event_ring.h"
#include "pump/link.h"
#include "rpmsg_gpio.h"

#define PATIENCE_MS 10000
#define PATIENCE_NS (PATIENCE_MS * UINT64_C(1000000))
#define WARM_UP     20
#define OUR_ADDRESS 1024u /* the first that Linux gives to an endpoint */

/* ---- how long ---------------------------------------------------------------- */

/* One way there and back: 0 or -errno. */
typedef int (*trip_fn)(void *context);

static int64_t measure(trip_fn trip, void *context, uint64_t duration_ns, uint32_t rounds,
		       uint32_t *samples_ns)
{
	uint64_t before, end;
	uint32_t count = 0;
	int error = 0;

	for (int i = 0; !error && i < WARM_UP; i++)
		error = trip(context);
	before = gb_now_ns();
	for (end = before + duration_ns; !error && count < rounds && before < end;) {
		uint64_t after, took;

		error = trip(context);
		after = gb_now_ns();
		took = after - before;
		samples_ns[count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
		before = after;
	}
	return error ? error : (int64_t)count;
}

/* ---- our own client ------------------------------------------------------------ */

struct client {
	const struct gb_bench_client *way;
	int bell;
	struct gb_event_ring *ring;
	struct gb_operation operation;
};

typedef int (*operate_fn)(void *direct, uint32_t timeout_ms, const struct gb_operation *operation,
			  struct gb_operation_reply *reply);

static int operate(struct client *client)
{
	struct gb_operation_reply reply;

	client->operation.sequence++;
	if (client->way->direct)
		return -((operate_fn)client->way->operate)(client->way->direct, PATIENCE_MS,
							  &client->operation, &reply);
	return -gb_client_operate(client->way->operation_fd, PATIENCE_MS, &client->operation,
				  &reply);
}

static int get_trip(void *context)
{
	return operate(context);
}

int64_t gb_bench_client_get(const struct gb_bench_client *way, uint64_t duration_ns,
			    uint32_t rounds, uint32_t *samples_ns)
{
	struct client client = {
		.way = way, .operation = {.code = GB_OPERATION_GET, .mask = 1},
	};
	int error = gb_client_prepare(way->operation_fd, PATIENCE_MS);

	return error ? error : measure(get_trip, &client, duration_ns, rounds, samples_ns);
}

static int edge_trip(void *context)
{
	struct client *client = context;
	struct pollfd bell = {.fd = client->bell, .events = POLLIN};
	struct gb_line_event event;
	int error, got;

	client->operation.bits ^= 1;
	error = operate(client);
	if (error)
		return error;
	if (poll(&bell, 1, PATIENCE_MS) != 1)
		return -ETIMEDOUT;
	got = gb_event_ring_read(client->ring, client->bell, &event, 1);
	return got < 0 ? got : 0;
}

int64_t gb_bench_client_edge(const struct gb_bench_client *way, int bell, int ring_fd,
			     uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns)
{
	struct client client = {
		.way = way, .bell = bell, .ring = gb_event_ring_map(ring_fd),
		.operation = {.code = GB_OPERATION_SET, .mask = 1},
	};
	int64_t count = client.ring ? gb_client_prepare(way->operation_fd, PATIENCE_MS) : -errno;

	if (count == 0)
		count = measure(edge_trip, &client, duration_ns, rounds, samples_ns);
	if (client.ring)
		gb_event_ring_free(client.ring);
	return count;
}

/* ---- messages -------------------------------------------------------------------- */

/* In baseline form, whatever extensions the firmware has: its reply follows that form. */
static struct virtio_gpio_request get_value_of(uint16_t gpio)
{
	return (struct virtio_gpio_request){
		.type = rpmsg_gpio_store16(VIRTIO_GPIO_MSG_GET_VALUE),
		.gpio = rpmsg_gpio_store16(gpio),
	};
}

static bool is_reply(const uint8_t *message, size_t length)
{
	return length && message[0] == RPMSG_GPIO_QUEUE_REQUEST;
}

struct device {
	int fd;
	struct virtio_gpio_request request;
};

static int device_trip(void *context)
{
	const struct device *device = context;
	uint8_t message[512];
	ssize_t size;

	if (write(device->fd, &device->request, sizeof(device->request)) < 0)
		return -errno;
	do { /* an interrupt may come first */
		size = read(device->fd, message, sizeof(message));
		if (size < 0)
			return -errno;
	} while (!is_reply(message, (size_t)size));
	return 0;
}

int64_t gb_bench_device_get(int fd, uint16_t gpio, uint64_t duration_ns, uint32_t rounds,
			    uint32_t *samples_ns)
{
	struct device device = {fd, get_value_of(gpio)};

	return measure(device_trip, &device, duration_ns, rounds, samples_ns);
}

/* ---- a link without the pump's thread ------------------------------------------- */

struct node {
	struct gb_pump pump;
	struct gb_link *link;
	struct gb_link_endpoint endpoint;
	struct virtio_gpio_request request;
	bool replied;
};

static void received(struct gb_link_endpoint *endpoint, const uint8_t *message, uint16_t length)
{
	struct node *node = (struct node *)(void *)((char *)endpoint -
						   offsetof(struct node, endpoint));

	node->replied |= is_reply(message, length);
}

static void writable(struct gb_link_endpoint *endpoint)
{
	(void)endpoint;
}

static const struct gb_link_endpoint_ops node_ops = {
	.received = received,
	.writable = writable,
	.free = gb_link_detach,
};

/* What the pump's thread does in a turn. */
static int turn(struct node *node, uint64_t deadline_ns)
{
	uint64_t now = gb_now_ns(), due = gb_loop_next_due(&node->pump.loop);
	struct epoll_event events[GB_LOOP_BATCH];
	int count;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	due = due < deadline_ns ? due : deadline_ns;
	count = epoll_wait(node->pump.loop.epoll_fd, events, GB_LOOP_BATCH,
			   due > now ? (int)((due - now + 999999) / 1000000) : 0);
	gb_lock(&node->pump);
	gb_loop_dispatch(&node->pump.loop, events, count);
	gb_loop_expire(&node->pump.loop, now);
	gb_unlock(&node->pump);
	return node->link->dead ? -ENODEV : 0;
}

static int node_trip(void *context)
{
	struct node *node = context;
	uint64_t deadline = gb_now_ns() + PATIENCE_NS;
	int error;

	node->replied = false;
	gb_lock(&node->pump);
	error = gb_link_transmit(&node->endpoint, &node->request, sizeof(node->request), 0);
	gb_unlock(&node->pump);
	while (!error && !node->replied)
		error = turn(node, deadline);
	return error;
}

/* The address of a channel that the firmware announces; 0 or -errno. */
static int find_channel(struct node *node, const char *channel, uint32_t *address)
{
	uint64_t deadline = gb_now_ns() + PATIENCE_NS;
	int error = 0;

	while (!error) {
		struct gb_report report = {0};

		while (gb_pump_next_report(&node->pump, &report)) {
			if (report.kind != GB_REPORT_ANNOUNCED || !report.value ||
			    report.length != strlen(channel) ||
			    memcmp(report.body, channel, report.length))
				continue;
			*address = report.number;
			return 0;
		}
		error = turn(node, deadline);
	}
	return error == -ETIMEDOUT ? -ENOENT : error;
}

static int attach(struct node *node, const char *channel)
{
	uint32_t address = 0;
	int error = find_channel(node, channel, &address);

	if (error)
		return error;
	node->endpoint.ops = &node_ops;
	node->endpoint.source = OUR_ADDRESS;
	node->endpoint.address = address;
	return -gb_link_attach(node->link, &node->endpoint);
}

int64_t gb_bench_link_get(void *link, const char *channel, uint16_t gpio, char why[160],
			  uint64_t duration_ns, uint32_t rounds, uint32_t *samples_ns)
{
	struct node node = {
		.pump = {.wake_fd = -1, .reports.fd = -1}, .link = link,
		.request = get_value_of(gpio),
	};
	int64_t count = gb_loop_open(&node.pump.loop);

	pthread_mutex_init(&node.pump.lock, NULL);
	if (count == 0)
		count = gb_reports_init(&node.pump.reports);
	if (count == 0)
		count = gb_pump_add_link(&node.pump, node.link, 1);
	else
		gb_link_close(node.link);
	if (count == 0) {
		count = attach(&node, channel);
		if (count == 0)
			count = measure(node_trip, &node, duration_ns, rounds, samples_ns);
		memcpy(why, node.link->why, sizeof(node.link->why));
		gb_link_close(node.link);
	}
	gb_reports_free(&node.pump.reports);
	gb_loop_close(&node.pump.loop);
	pthread_mutex_destroy(&node.pump.lock);
	return count;
}
