/* SPDX-License-Identifier: BSD-3-Clause */
#include "timers.h"

#include <stddef.h>
#include <time.h>

uint64_t gb_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool before(const struct gb_timer *a, const struct gb_timer *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->order < b->order;
}

/* Of two heaps one: the later top becomes the first child of the other. */
static struct gb_timer *meld(struct gb_timer *a, struct gb_timer *b)
{
	struct gb_timer *top, *below;

	if (!a || !b)
		return a ? a : b;
	top = before(a, b) ? a : b;
	below = top == a ? b : a;
	below->previous = top;
	below->sibling = top->child;
	if (below->sibling)
		below->sibling->previous = below;
	top->child = below;
	return top;
}

static struct gb_timer *take_first(struct gb_timer **list)
{
	struct gb_timer *first = *list;

	if (!first)
		return NULL;
	*list = first->sibling;
	first->sibling = first->previous = NULL;
	return first;
}

/* Of siblings one heap: in pairs from the left, then all of these from the right. */
static struct gb_timer *meld_all(struct gb_timer *siblings)
{
	struct gb_timer *pairs = NULL, *all = NULL;

	while (siblings) {
		struct gb_timer *a = take_first(&siblings), *b = take_first(&siblings);
		struct gb_timer *pair = meld(a, b);

		pair->sibling = pairs;
		pairs = pair;
	}
	while (pairs)
		all = meld(all, take_first(&pairs));
	return all;
}

static void unlink_from_siblings(struct gb_timer *timer)
{
	if (timer->previous->child == timer)
		timer->previous->child = timer->sibling;
	else
		timer->previous->sibling = timer->sibling;
	if (timer->sibling)
		timer->sibling->previous = timer->previous;
}

void gb_timers_cancel(struct gb_timers *timers, struct gb_timer *timer)
{
	struct gb_timer *below;

	if (!timer->armed)
		return;
	below = meld_all(timer->child);
	if (timer == timers->first) {
		timers->first = below;
	} else {
		unlink_from_siblings(timer);
		timers->first = meld(timers->first, below);
	}
	timer->armed = false;
	timer->child = timer->sibling = timer->previous = NULL;
}

void gb_timers_arm(struct gb_timers *timers, struct gb_timer *timer, uint64_t due_ns)
{
	gb_timers_cancel(timers, timer);
	timer->due_ns = due_ns;
	timer->order = timers->armed_so_far++;
	timer->armed = true;
	timers->first = meld(timers->first, timer);
}
