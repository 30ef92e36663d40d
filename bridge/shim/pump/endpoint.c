/* SPDX-License-Identifier: BSD-3-Clause */
#include "endpoint.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Firmware that floods us only loses its own messages. */
#define QUEUE 1024u

struct gb_endpoint {
	struct gb_link_endpoint base;
	struct gb_pump *pump;
	int fd;
	uint32_t first, count;
	uint64_t lost;
	struct gb_message queue[QUEUE];
};

static void ring(struct gb_endpoint *endpoint)
{
	uint64_t one = 1;

	/* This fails only when the counter is full, and the descriptor is readable then anyway. */
	if (write(endpoint->fd, &one, sizeof(one)) < 0)
		return;
}

static struct gb_endpoint *of_base(struct gb_link_endpoint *base)
{
	return (struct gb_endpoint *)(void *)((char *)base - offsetof(struct gb_endpoint, base));
}

/* ---- what the link calls ---------------------------------------------------- */

static void endpoint_received(struct gb_link_endpoint *base, const uint8_t *bytes,
			      uint16_t length)
{
	struct gb_endpoint *endpoint = of_base(base);
	struct gb_message *message = &endpoint->queue[(endpoint->first + endpoint->count) % QUEUE];

	if (endpoint->count == QUEUE || length > sizeof(message->bytes)) {
		endpoint->lost++;
		return;
	}
	message->arrival_ns = gb_now_ns();
	message->length = length;
	if (length)
		memcpy(message->bytes, bytes, length);
	endpoint->count++;
	ring(endpoint);
}

static void endpoint_writable(struct gb_link_endpoint *base)
{
	ring(of_base(base));
}

static void endpoint_free(struct gb_link_endpoint *base)
{
	struct gb_endpoint *endpoint = of_base(base);

	gb_link_detach(base);
	close(endpoint->fd);
	free(endpoint);
}

static const struct gb_link_endpoint_ops endpoint_ops = {
	.received = endpoint_received,
	.writable = endpoint_writable,
	.free = endpoint_free,
};

/* ---- what Python calls ------------------------------------------------------ */

/* 0 or errno. */
static int attach(struct gb_endpoint *endpoint, struct gb_link *link)
{
	int error;

	gb_lock(link->pump);
	error = gb_link_attach(link, &endpoint->base);
	gb_unlock(link->pump);
	return error;
}

struct gb_endpoint *gb_endpoint_open(struct gb_link *link, uint32_t source, uint32_t address)
{
	struct gb_endpoint *endpoint = calloc(1, sizeof(*endpoint));
	int error;

	if (!endpoint)
		return NULL;
	endpoint->base.ops = &endpoint_ops;
	endpoint->base.source = source;
	endpoint->base.address = address;
	endpoint->pump = link->pump;
	endpoint->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = endpoint->fd < 0 ? errno : attach(endpoint, link);
	if (!error)
		return endpoint;
	if (endpoint->fd >= 0)
		close(endpoint->fd);
	free(endpoint);
	errno = error;
	return NULL;
}

void gb_endpoint_close(struct gb_endpoint *endpoint)
{
	struct gb_pump *pump = endpoint->pump;

	gb_lock(pump);
	endpoint_free(&endpoint->base);
	gb_unlock(pump);
}

int gb_endpoint_fd(const struct gb_endpoint *endpoint)
{
	return endpoint->fd;
}

int gb_endpoint_send(struct gb_endpoint *endpoint, const void *message, uint16_t length)
{
	struct gb_pump *pump = endpoint->pump;
	int error;

	gb_lock(pump);
	error = gb_link_transmit(&endpoint->base, message, length, 0);
	gb_unlock(pump);
	return error;
}

int gb_endpoint_receive(struct gb_endpoint *endpoint, struct gb_message *message)
{
	struct gb_pump *pump = endpoint->pump;
	uint64_t count;
	int found = 0;

	gb_lock(pump);
	if (endpoint->count) {
		*message = endpoint->queue[endpoint->first];
		endpoint->first = (endpoint->first + 1) % QUEUE;
		endpoint->count--;
		found = 1;
	} else if (read(endpoint->fd, &count, sizeof(count)) < 0) {
		count = 0; /* non-blocking: it was clear */
	}
	gb_unlock(pump);
	return found;
}

uint64_t gb_endpoint_lost(struct gb_endpoint *endpoint)
{
	struct gb_pump *pump = endpoint->pump;
	uint64_t lost;

	gb_lock(pump);
	lost = endpoint->lost;
	gb_unlock(pump);
	return lost;
}
