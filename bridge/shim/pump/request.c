/* SPDX-License-Identifier: BSD-3-Clause */
/* Line requests: their lines, their descriptors, their end. */
#define _GNU_SOURCE
#include "request_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch_bell(struct gb_request *request, bool watched)
{
	if (request->bell_watched == watched || !request->event_source)
		return;
	request->bell_watched = watched;
	gb_source_modify(request->pump, request->event_source,
			 EPOLLRDHUP | (watched ? EPOLLOUT | EPOLLET : 0));
}

/* Nothing is read from this socket. It tells that the client is gone, and, where that is wanted,
 * that it emptied its ring: it took the bell's byte, which makes place for another. */
static void on_event_end(void *owner, int index, uint32_t events)
{
	struct gb_request *request = owner;

	(void)index;
	if (events & ~(uint32_t)EPOLLOUT)
		gb_request_hang_up(request);
	else if (!gb_event_places_freed(&request->places))
		watch_bell(request, false);
}

static void disown_lines(struct gb_request *request)
{
	for (uint32_t i = 0; i < request->count; i++)
		gb_edges_stop(&request->lines[i]);
}

static void close_ends(struct gb_request *request)
{
	gb_source_remove(request->pump, request->operation_source);
	gb_source_remove(request->pump, request->event_source);
	request->operation_source = NULL;
	request->event_source = NULL;
	if (request->operation_fd >= 0)
		close(request->operation_fd);
	if (request->event_fd >= 0)
		close(request->event_fd);
	request->operation_fd = -1;
	request->event_fd = -1;
}

static void end(struct gb_request *request)
{
	gb_part_remove(&request->pump->users, &request->part);
	request->closed = true;
	disown_lines(request);
	request->client->end(request->client_owner);
	gb_request_unreference(request);
}

static struct gb_request *to_request(struct gb_part *part)
{
	return (struct gb_request *)(void *)((char *)part - offsetof(struct gb_request, part));
}

static void free_request(struct gb_part *part)
{
	end(to_request(part));
}

void gb_request_close(struct gb_request *request)
{
	struct gb_pump *pump = request->pump;

	gb_lock(pump);
	end(request);
	gb_unlock(pump);
}

static int own_lines(struct gb_request *request)
{
	gb_edges_count(request);
	for (uint32_t i = 0; i < request->count; i++) {
		struct gb_line *line = &request->lines[i];
		int error = gb_interrupt_own(&line->interrupt, line->plan.controller,
					     line->plan.gpio);

		if (error) {
			disown_lines(request);
			return error;
		}
	}
	return 0;
}

/* Linux has the first from 4.12 and the second from 6.16 on; older headers lack them. */
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* A client's messages carry no descriptors: the kernel would close them here, and some wait as
 * long as the client likes. Older kernels accept them all the same. */
static void refuse_descriptors(int fd)
{
	const int no = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

static int socket_pair(int type, int *ours, int *theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	refuse_descriptors(ends[0]);
	*ours = ends[0];
	*theirs = ends[1];
	return 0;
}

/* What the kernel calls the socket, whichever number it has here; 0: it is none. */
static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

static int open_ends(struct gb_request *request, uint32_t capacity, struct gb_request_fds *fds)
{
	if (socket_pair(SOCK_SEQPACKET, &request->operation_fd, &fds->operation) < 0 ||
	    socket_pair(SOCK_STREAM, &request->event_fd, &fds->event) < 0)
		return -errno;
	request->cookie = cookie_of(fds->operation);
	/* A byte that we never read: when we close our end, the kernel reports
	 * ERR beside HUP to the client, as for a removed gpiochip. */
	if (send(fds->event, "", 1, MSG_NOSIGNAL) < 0)
		return -errno;
	request->ring = gb_event_ring_create(capacity, &fds->ring);
	return request->ring ? 0 : -errno;
}

static int watch_ends(struct gb_request *request)
{
	request->operation_source = gb_source_add(request->pump, request->operation_fd, EPOLLIN,
						  gb_operation_ready, request, 0);
	request->event_source = gb_source_add(request->pump, request->event_fd, EPOLLRDHUP,
					      on_event_end, request, 0);
	return request->operation_source && request->event_source ? 0 : -errno;
}

/* ---- a client with a ring -------------------------------------------------- */

static void push_event(void *client, const struct gb_line_event *event)
{
	struct gb_request *request = client;

	/* When the socket is full, the bell is ringing already. */
	if (gb_event_ring_push(request->ring, event) &&
	    send(request->event_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static uint32_t ring_capacity(const void *client)
{
	return gb_event_ring_capacity(((const struct gb_request *)client)->ring);
}

static uint32_t ring_waiting(const void *client)
{
	return gb_event_ring_waiting(((const struct gb_request *)client)->ring);
}

static void watch_for_room(void *client)
{
	watch_bell(client, true);
}

static bool holds_ends(const void *client)
{
	const struct gb_request *request = client;
	struct pollfd ends[2] = {{.fd = request->operation_fd, .events = POLLRDHUP},
				 {.fd = request->event_fd, .events = POLLRDHUP}};

	return poll(ends, 2, 0) == 0;
}

static void hang_up_ends(void *client)
{
	gb_operation_abandon(client);
	close_ends(client);
}

static void end_ends(void *client)
{
	struct gb_request *request = client;

	gb_event_ring_retire(request->ring);
	gb_operation_abandon(request);
	close_ends(request);
	gb_event_ring_free(request->ring);
	request->ring = NULL;
}

static const struct gb_request_client ring_client = {
	.answer = gb_operation_reply_to_ring,
	.event = push_event,
	.capacity = ring_capacity,
	.waiting = ring_waiting,
	.want_room = watch_for_room,
	.alive = holds_ends,
	.hang_up = hang_up_ends,
	.end = end_ends,
};

static void close_client_ends(const struct gb_request_fds *fds)
{
	if (fds->operation >= 0)
		close(fds->operation);
	if (fds->event >= 0)
		close(fds->event);
	if (fds->ring >= 0)
		close(fds->ring);
}

static struct gb_request *request_new(struct gb_pump *pump, uint64_t id,
				      const struct gb_line_plan *lines, size_t count,
				      uint32_t timeout_ms)
{
	struct gb_request *request;

	if (count < 1 || count > GB_LINES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	request = calloc(1, sizeof(*request) + count * sizeof(request->lines[0]));
	if (!request)
		return NULL;
	request->pump = pump;
	request->id = id;
	request->count = (uint32_t)count;
	request->timeout_ns = (uint64_t)timeout_ms * 1000000;
	request->references = 1;
	request->part.free = free_request;
	request->client = &ring_client;
	request->client_owner = request;
	request->operation_fd = request->event_fd = -1;
	for (size_t i = 0; i < count; i++) {
		struct gb_line *line = &request->lines[i];

		line->plan = lines[i];
		gb_edges_init(request, line);
	}
	return request;
}

struct gb_request *gb_request_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_line_plan *lines, size_t count,
				   uint32_t event_capacity, uint32_t timeout_ms,
				   struct gb_request_fds *fds)
{
	struct gb_request *request;
	int error;

	*fds = (struct gb_request_fds){-1, -1, -1};
	request = request_new(pump, id, lines, count, timeout_ms);
	if (!request)
		return NULL;
	error = open_ends(request, event_capacity, fds);
	gb_lock(pump);
	if (!error)
		error = own_lines(request);
	if (!error) {
		error = watch_ends(request);
		if (error)
			disown_lines(request);
	}
	if (!error) {
		gb_part_add(&pump->users, &request->part);
	} else {
		close_ends(request);
		close_client_ends(fds);
		gb_event_ring_free(request->ring);
		free(request);
		request = NULL;
	}
	gb_unlock(pump);
	errno = -error;
	return request;
}

struct gb_request *gb_request_open_for(struct gb_pump *pump, uint64_t id,
				       const struct gb_line_plan *lines, size_t count,
				       uint32_t timeout_ms,
				       const struct gb_request_client *client, void *owner)
{
	struct gb_request *request;
	int error;

	request = request_new(pump, id, lines, count, timeout_ms);
	if (!request)
		return NULL;
	request->client = client;
	request->client_owner = owner;
	gb_lock(pump);
	error = own_lines(request);
	if (!error) {
		gb_part_add(&pump->users, &request->part);
	} else {
		free(request);
		request = NULL;
	}
	gb_unlock(pump);
	errno = -error;
	return request;
}

struct gb_request *gb_request_with_end(const struct gb_pump *pump, int fd)
{
	uint64_t cookie = cookie_of(fd);

	for (struct gb_part *part = pump->users.first; cookie && part; part = part->next)
		if (part->free == free_request && to_request(part)->cookie == cookie)
			return to_request(part);
	return NULL;
}

int gb_request_replan(struct gb_request *request, const struct gb_line_plan *lines, size_t count)
{
	struct gb_pump *pump = request->pump;

	if (count != request->count)
		return -EINVAL;
	gb_lock(pump);
	for (size_t i = 0; i < count; i++) {
		struct gb_line_plan *plan = &request->lines[i].plan;

		plan->flags = lines[i].flags;
		plan->irq_type = lines[i].irq_type;
		request->lines[i].interrupt.type = plan->irq_type;
		gb_debounce_set_period(&request->lines[i].debounce, lines[i].debounce_us);
	}
	gb_edges_count(request);
	gb_unlock(pump);
	return 0;
}

void gb_request_settle(struct gb_request *request, uint32_t index, bool high)
{
	gb_lock(request->pump);
	if (index < request->count && !request->lines[index].debounce.known)
		gb_debounce_level(&request->lines[index].debounce, high);
	gb_unlock(request->pump);
}

void gb_request_note_driven(struct gb_request *request, uint32_t index, bool high)
{
	gb_lock(request->pump);
	if (index < request->count)
		gb_request_drove(request, UINT64_C(1) << index, (uint64_t)high << index);
	gb_unlock(request->pump);
}

uint64_t gb_request_driven(struct gb_request *request, uint64_t *levels)
{
	uint64_t mask;

	gb_lock(request->pump);
	mask = request->driven_mask;
	*levels = request->driven;
	gb_unlock(request->pump);
	return mask;
}

bool gb_request_alive(const struct gb_request *request)
{
	struct gb_pump *pump = request->pump;
	bool alive;

	gb_lock(pump);
	alive = !request->hung_up && request->client->alive(request->client_owner);
	gb_unlock(pump);
	return alive;
}

void gb_request_count(struct gb_request *request, struct gb_request_counters *counters)
{
	gb_lock(request->pump);
	counters->operations = request->operations;
	counters->failed = request->failed;
	counters->p50_ns = gb_latency_of(&request->latency, 500);
	counters->p99_ns = gb_latency_of(&request->latency, 990);
	counters->edges = request->seqno;
	counters->overwritten = request->ring ? gb_event_ring_overwritten(request->ring) : 0;
	gb_unlock(request->pump);
}
