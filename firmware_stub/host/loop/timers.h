/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timers.h - deadlines in their order. A pairing heap of links in the timers themselves:
 * nothing is allocated, so that arming cannot fail; arming is O(1), and taking one out
 * O(log n) amortised, wherever it stands.
 */
#ifndef GB_TIMERS_H
#define GB_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t gb_now_ns(void);

/* Embedded by its owner. All bytes zero: not armed. */
struct gb_timer {
	void (*expired)(struct gb_timer *timer);
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	uint64_t order;  /* of arming: the same deadline keeps it */
	bool armed;
	struct gb_timer *child;    /* the first of those that are due later */
	struct gb_timer *sibling;  /* the next child of the same one */
	struct gb_timer *previous; /* the sibling before, or whose first child it is */
};

/* All bytes zero: none. */
struct gb_timers {
	struct gb_timer *first; /* due first; NULL: none is armed */
	uint64_t armed_so_far;
};

/* It may be armed already. */
void gb_timers_arm(struct gb_timers *timers, struct gb_timer *timer, uint64_t due_ns);
/* Nothing happens where it is not armed. */
void gb_timers_cancel(struct gb_timers *timers, struct gb_timer *timer);

#endif
