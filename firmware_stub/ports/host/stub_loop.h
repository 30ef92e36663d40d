/* SPDX-License-Identifier: BSD-3-Clause */
/* stub_loop.h - one epoll loop with descriptors and timers on the board's clock. */
#ifndef HOST_STUB_LOOP_H
#define HOST_STUB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/timers.h"

struct loop;

typedef void (*loop_fd_fn)(void *context, uint32_t epoll_events);
typedef void (*loop_timer_fn)(void *context);

/* Embedded by its owner; at most one expiry is pending. */
struct loop_timer {
	loop_timer_fn fn;
	void *context;
	struct gb_timer deadline; /* by board time */
};

struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Watch a descriptor; `events` is an epoll mask (EPOLLET allowed). Returns 0
 * or -errno. The descriptor is removed before it is closed. A callback may
 * remove any descriptor, its own included. */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *context);
void loop_remove(struct loop *loop, int fd);

/* Accept a connection; returns its non-blocking descriptor, or -1. Where no descriptor is left,
 * the peer is hung up on, since a peer that waits would wake the loop without end. */
int loop_accept(struct loop *loop, int listener);

/* Board time: CLOCK_MONOTONIC ns, or stepped by loop_advance(). */
uint64_t loop_now(const struct loop *loop);
/* Stop real time: from now on only loop_advance() moves the clock and fires timers. */
void loop_step_mode(struct loop *loop);
bool loop_stepping(const struct loop *loop);
void loop_advance(struct loop *loop, uint64_t ns);

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Run until loop_quit(). `idle` is called after each batch of events, before
 * the loop sleeps: the place to run the firmware and flush notifications. */
void loop_run(struct loop *loop, void (*idle)(void *context), void *context);
void loop_quit(struct loop *loop);
/* To be called from `idle`: there is more to do, so the loop looks for events but does not
 * sleep. */
void loop_again(struct loop *loop);

#endif
