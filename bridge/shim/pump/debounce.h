/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * debounce.h - software debounce of one line, as gpiolib's: every edge starts
 * the period anew; at its end the level is read, and only a level that differs
 * from the last debounced one is an edge. Used with the pump's lock held.
 */
#ifndef GB_DEBOUNCE_H
#define GB_DEBOUNCE_H

#include "pump.h"

struct gb_debounce {
	struct gb_timer timer;
	struct gb_pump *pump;
	/* The period is over: read the level, then call gb_debounce_level(). */
	void (*read_level)(struct gb_debounce *debounce);
	uint64_t period_ns; /* 0: off */
	uint64_t ended_ns;  /* when the latest period was over */
	bool known;         /* `high` means something */
	bool high;          /* the debounced level, physical */
	bool moved;         /* an edge since the level was asked for */
};

void gb_debounce_init(struct gb_debounce *debounce, struct gb_pump *pump,
		      void (*read_level)(struct gb_debounce *debounce));
/* Sets the period. 0 switches debouncing off and forgets the level; another period keeps it. */
void gb_debounce_set_period(struct gb_debounce *debounce, uint32_t period_us);
void gb_debounce_edge(struct gb_debounce *debounce, uint64_t now_ns);
/* The level could not be read: ask again at that time, unless an edge comes first. */
void gb_debounce_again(struct gb_debounce *debounce, uint64_t due_ns);
/* Takes the level at the end of a period, or the one to start from. True: it is an edge. */
bool gb_debounce_level(struct gb_debounce *debounce, bool high);
void gb_debounce_stop(struct gb_debounce *debounce);

#endif
