/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.h - descriptors and deadlines of a thread that waits for both. How it sleeps, with
 * which lock and by which clock, is its user's: the pump's thread, or the stub.
 */
#ifndef GB_LOOP_H
#define GB_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "timers.h"

#define GB_LOOP_BATCH 64

typedef void (*gb_source_fn)(void *owner, int index, uint32_t epoll_events);

/* A watched descriptor. The loop owns it, and frees it some time after its removal: its user
 * may remove it while another thread, without the lock, has just got an event of it from
 * epoll_wait(). So it is not embedded in the user's memory, as a timer is. */
struct gb_source {
	gb_source_fn ready; /* NULL once removed */
	void *owner;
	int index;
	int fd;
	struct gb_source *next_dead;
};

struct gb_loop {
	int epoll_fd;
	struct gb_source *dead_sources;
	struct gb_timers timers;
	uint64_t expiring_ns; /* timers due until then expire now; 0: none do */
};

/* 0 or -errno. */
int gb_loop_open(struct gb_loop *loop);
/* Sources and timers are gone by then. Harmless after a failed open. */
void gb_loop_close(struct gb_loop *loop);

/* Watch a descriptor; `events` is an epoll mask (EPOLLET is allowed). NULL with errno. */
struct gb_source *gb_loop_add(struct gb_loop *loop, int fd, uint32_t events, gb_source_fn ready,
			      void *owner, int index);
void gb_loop_modify(struct gb_loop *loop, struct gb_source *source, uint32_t events);
/* Stops watching; the caller closes the descriptor afterwards. Any source may be removed
 * in a callback, its own included. NULL is none. */
void gb_loop_remove(struct gb_loop *loop, struct gb_source *source);

/* It may be armed already. One that is armed while timers expire waits for the next turn
 * of the loop, however soon it is due: descriptors come first. */
void gb_loop_arm(struct gb_loop *loop, struct gb_timer *timer, uint64_t due_ns);
/* Nothing happens where it is not armed. */
void gb_loop_cancel(struct gb_loop *loop, struct gb_timer *timer);
/* Of the timer due first; UINT64_MAX: none is armed. */
uint64_t gb_loop_next_due(const struct gb_loop *loop);

/* Call those that have something to say, of one batch from the loop's epoll_fd. */
void gb_loop_dispatch(struct gb_loop *loop, const struct epoll_event *events, int count);
/* Call the timers that are due until `now_ns`, each once. */
void gb_loop_expire(struct gb_loop *loop, uint64_t now_ns);

#endif
