/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pump.h - the pump: the data plane's thread, which runs without the GIL.
 *
 * Python decides (requests, negotiation, recovery, policy) and hands over
 * plans; the pump moves bytes: operations of line requests, edges, deadlines.
 * One lock guards everything; it is never held across a blocking call. What
 * Python must know comes back as reports, in order, behind one eventfd.
 *
 * Objects are owned by the caller: each *_close() may be called once, and the
 * pointer is invalid afterwards. Identifiers (`id`, `cookie`) are chosen by the
 * caller and come back in reports.
 *
 * Here are the thread, which waits for descriptors and deadlines, the lock, and what is
 * open; none of that is known by its kind. The first part is what Python calls; all else
 * is used with the lock held.
 */
#ifndef GB_PUMP_H
#define GB_PUMP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "reports.h"

struct gb_pump;

/* NULL with errno. The thread runs from here on. */
struct gb_pump *gb_pump_new(void);
/* The same with a lock that lends its owner the priority of whoever waits for it. */
struct gb_pump *gb_pump_new_realtime(void);
/* The pump's thread and those that it starts later: SCHED_FIFO of this priority, unless it is 0,
 * on these CPUs, unless there are none. 0 or -errno of the first that failed (EPERM, EINVAL). */
int gb_pump_schedule(struct gb_pump *pump, int priority, const int *cpus, size_t count);
/* Stops the thread, closes whatever is left, frees. */
void gb_pump_free(struct gb_pump *pump);
/* Readable while reports wait. */
int gb_pump_report_fd(const struct gb_pump *pump);
/* Next report: 1, or 0 when there is none (and the descriptor is cleared). */
int gb_pump_next_report(struct gb_pump *pump, struct gb_report *report);

/* ---- descriptors -------------------------------------------------------- */

/* As gb_loop_add() and so on. */
struct gb_source *gb_source_add(struct gb_pump *pump, int fd, uint32_t events,
				gb_source_fn ready, void *owner, int index);
void gb_source_modify(struct gb_pump *pump, struct gb_source *source, uint32_t events);
void gb_source_remove(struct gb_pump *pump, struct gb_source *source);

/* ---- what is open --------------------------------------------------------- */

/* Something that ends with the pump; embedded by its owner. */
struct gb_part {
	/* The pump ends: remove it, and free its owner. */
	void (*free)(struct gb_part *part);
	struct gb_part *next, *previous;
};

/* The last part added is freed first. */
struct gb_parts {
	struct gb_part *first;
};

void gb_part_add(struct gb_parts *parts, struct gb_part *part);
void gb_part_remove(struct gb_parts *parts, struct gb_part *part);

/* ---- what is flushed ------------------------------------------------------ */

/* Work that is done once, when the lock is given up; embedded by its owner. */
struct gb_flush {
	void (*flush)(struct gb_flush *flush);
	struct gb_flush *next;
	bool wanted;
};

/* ---- who waits for the pump ----------------------------------------------- */

/* A thread that waits for one thing that the pump does. All bytes zero: it goes on. */
struct gb_waiter {
	_Atomic uint32_t over;
};

/* ---- pump --------------------------------------------------------------- */

struct gb_pump {
	pthread_mutex_t lock;
	pthread_t thread;
	struct gb_loop loop;
	int wake_fd;
	bool stopping;
	bool sleeping;               /* who runs the loop is in epoll_wait, until sleeping_until_ns */
	uint64_t sleeping_until_ns;  /* UINT64_MAX: for ever */
	bool fed;                    /* messages come through threads of links */
	/* Where threads that wait may run the loop, the pump's own one watches it from outside. */
	bool lent;
	int rest_fd;                 /* epoll of the loop's epoll_fd, if lent */
	bool resting;                /* in epoll_wait on it, until resting_until_ns */
	uint64_t resting_until_ns;
	struct gb_waiter *leader;    /* runs the loop; NULL: the pump's thread does */
	_Atomic uint32_t *woken;     /* whose wait is over, to be told when the lock is free */
	struct gb_source *wake_source;
	uint64_t looked_ns;          /* what descriptors had to say until then is known */
	struct gb_flush *flushes;    /* that are wanted */
	struct gb_reports reports;
	/* Carriers go first: their end gives back what the users wait for. */
	struct gb_parts carriers;
	struct gb_parts users;
	struct gb_tap *taps;         /* who reads along (trace.h) */
};

void gb_lock(struct gb_pump *pump);
/* Flushes what wants it, wakes the loop if a deadline came nearer, unlocks. */
void gb_unlock(struct gb_pump *pump);

/* From here on threads that wait run the loop meanwhile. 0 or -errno. */
int gb_pump_lend(struct gb_pump *pump);
/* Gives up the lock, and returns when the wait is over: there must be a deadline for that. */
void gb_wait(struct gb_pump *pump, struct gb_waiter *waiter);
/* The wait is over; nothing of the waiter is touched any more. */
void gb_wait_end(struct gb_pump *pump, struct gb_waiter *waiter);

/* It may be wanted already. */
void gb_flush_want(struct gb_pump *pump, struct gb_flush *flush);
/* Its owner ends. Nothing happens where it is not wanted. */
void gb_flush_cancel(struct gb_pump *pump, struct gb_flush *flush);

/* As gb_loop_arm() and gb_loop_cancel(). */
void gb_timer_arm(struct gb_pump *pump, struct gb_timer *timer, uint64_t due_ns);
void gb_timer_cancel(struct gb_pump *pump, struct gb_timer *timer);

/* Schedule a thread that works for the pump as the pump's own. */
void gb_pump_adopt(const struct gb_pump *pump, pthread_t thread);

/* A report that Python will read; NULL when memory is exhausted. */
struct gb_report *gb_report_add(struct gb_pump *pump, uint32_t kind, uint64_t id);

#endif
