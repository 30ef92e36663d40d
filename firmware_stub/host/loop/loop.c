/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- life ----------------------------------------------------------------- */

int gb_loop_open(struct gb_loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

static void bury_sources(struct gb_loop *loop)
{
	while (loop->dead_sources) {
		struct gb_source *source = loop->dead_sources;

		loop->dead_sources = source->next_dead;
		free(source);
	}
}

void gb_loop_close(struct gb_loop *loop)
{
	bury_sources(loop);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

/* ---- descriptors ---------------------------------------------------------- */

struct gb_source *gb_loop_add(struct gb_loop *loop, int fd, uint32_t events, gb_source_fn ready,
			      void *owner, int index)
{
	struct gb_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = {.events = events, .data = {.ptr = source}};

	if (!source)
		return NULL;
	source->ready = ready;
	source->owner = owner;
	source->index = index;
	source->fd = fd;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(source);
		return NULL;
	}
	return source;
}

void gb_loop_modify(struct gb_loop *loop, struct gb_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.ptr = source}};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void gb_loop_remove(struct gb_loop *loop, struct gb_source *source)
{
	if (!source)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->ready = NULL;
	source->next_dead = loop->dead_sources;
	loop->dead_sources = source;
}

void gb_loop_dispatch(struct gb_loop *loop, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct gb_source *source = events[i].data.ptr;

		if (source->ready)
			source->ready(source->owner, source->index, events[i].events);
	}
	bury_sources(loop);
}

/* ---- deadlines ------------------------------------------------------------ */

void gb_loop_arm(struct gb_loop *loop, struct gb_timer *timer, uint64_t due_ns)
{
	if (due_ns <= loop->expiring_ns)
		due_ns = loop->expiring_ns + 1;
	gb_timers_arm(&loop->timers, timer, due_ns);
}

void gb_loop_cancel(struct gb_loop *loop, struct gb_timer *timer)
{
	gb_timers_cancel(&loop->timers, timer);
}

uint64_t gb_loop_next_due(const struct gb_loop *loop)
{
	return loop->timers.first ? loop->timers.first->due_ns : UINT64_MAX;
}

void gb_loop_expire(struct gb_loop *loop, uint64_t now_ns)
{
	loop->expiring_ns = now_ns;
	while (gb_loop_next_due(loop) <= now_ns) {
		struct gb_timer *timer = loop->timers.first;

		gb_loop_cancel(loop, timer);
		timer->expired(timer);
	}
	loop->expiring_ns = 0;
}
