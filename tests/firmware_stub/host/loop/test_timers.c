/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines come in their order, whatever is armed and cancelled in between, and cheaply. */
#define _GNU_SOURCE
#include "loop/timers.h"

#include <stdlib.h>

#include "check.h"

#define MANY 20000u

static struct gb_timers timers;
static struct gb_timer many[MANY];

static void set_up(void)
{
	memset(&timers, 0, sizeof(timers));
	memset(many, 0, sizeof(many));
	srandom(1);
}

/* The number of those that were armed, all in their order. */
static unsigned int take_all(void)
{
	const struct gb_timer *last = NULL;
	unsigned int count = 0;

	while (timers.first) {
		struct gb_timer *first = timers.first;

		CHECK(first->armed);
		CHECK(!last || last->due_ns < first->due_ns ||
		      (last->due_ns == first->due_ns && last->order < first->order));
		gb_timers_cancel(&timers, first);
		CHECK(!first->armed);
		last = first;
		count++;
	}
	return count;
}

static void they_come_in_their_order(void)
{
	set_up();
	for (unsigned int i = 0; i < MANY; i++)
		gb_timers_arm(&timers, &many[i], (uint64_t)random() % 1000);
	CHECK_EQ(take_all(), MANY);
}

static void the_same_deadline_keeps_the_order_of_arming(void)
{
	set_up();
	for (unsigned int i = 0; i < 100; i++)
		gb_timers_arm(&timers, &many[i], 7);
	for (unsigned int i = 0; i < 100; i++) {
		CHECK(timers.first == &many[i]);
		gb_timers_cancel(&timers, timers.first);
	}
}

static void any_may_be_cancelled_or_armed_again(void)
{
	unsigned int armed = 0;

	set_up();
	for (unsigned int i = 0; i < 10 * MANY; i++) {
		struct gb_timer *timer = &many[(unsigned long)random() % MANY];

		if (random() % 3)
			gb_timers_arm(&timers, timer, (uint64_t)random());
		else
			gb_timers_cancel(&timers, timer);
	}
	for (unsigned int i = 0; i < MANY; i++)
		armed += many[i].armed;
	CHECK_EQ(take_all(), armed);
}

static void none_is_nothing_to_cancel(void)
{
	set_up();
	gb_timers_cancel(&timers, &many[0]);
	CHECK(!timers.first);
}

/* A short deadline behind a thousand long ones, over and over. A list that is walked
 * takes minutes for this. */
static void a_short_deadline_behind_many_long_ones_costs_little(void)
{
	struct gb_timer call = {0};

	set_up();
	for (unsigned int i = 0; i < MANY; i++)
		gb_timers_arm(&timers, &many[i], 1000000 + i);
	for (unsigned int i = 0; i < 1000000; i++) {
		gb_timers_arm(&timers, &call, i);
		CHECK(timers.first == &call);
		gb_timers_cancel(&timers, &call);
	}
	CHECK_EQ(take_all(), MANY);
}

int main(void)
{
	RUN(they_come_in_their_order);
	RUN(the_same_deadline_keeps_the_order_of_arming);
	RUN(any_may_be_cancelled_or_armed_again);
	RUN(none_is_nothing_to_cancel);
	RUN(a_short_deadline_behind_many_long_ones_costs_little);
	return check_report();
}
