/* SPDX-License-Identifier: BSD-3-Clause */
#include "debounce.h"

#include <stddef.h>

static void period_over(struct gb_timer *timer)
{
	struct gb_debounce *debounce =
		(struct gb_debounce *)(void *)((char *)timer - offsetof(struct gb_debounce, timer));

	debounce->ended_ns = gb_now_ns();
	debounce->moved = false;
	debounce->read_level(debounce);
}

void gb_debounce_init(struct gb_debounce *debounce, struct gb_pump *pump,
		      void (*read_level)(struct gb_debounce *debounce))
{
	debounce->pump = pump;
	debounce->read_level = read_level;
	debounce->timer.expired = period_over;
}

void gb_debounce_set_period(struct gb_debounce *debounce, uint32_t period_us)
{
	debounce->period_ns = (uint64_t)period_us * 1000;
	if (!period_us) {
		gb_debounce_stop(debounce);
		debounce->known = false;
	}
}

void gb_debounce_edge(struct gb_debounce *debounce, uint64_t now_ns)
{
	debounce->moved = true;
	gb_timer_arm(debounce->pump, &debounce->timer, now_ns + debounce->period_ns);
}

void gb_debounce_again(struct gb_debounce *debounce, uint64_t due_ns)
{
	if (!debounce->timer.armed)
		gb_timer_arm(debounce->pump, &debounce->timer, due_ns);
}

bool gb_debounce_level(struct gb_debounce *debounce, bool high)
{
	bool changed = debounce->known && high != debounce->high;

	/* The line changed while the level was on its way, so it was not stable after all, and
	 * the period that runs now will decide. */
	if (debounce->known && debounce->moved)
		return false;
	debounce->known = true;
	debounce->high = high;
	return changed;
}

void gb_debounce_stop(struct gb_debounce *debounce)
{
	gb_timer_cancel(debounce->pump, &debounce->timer);
}
