/* SPDX-License-Identifier: BSD-3-Clause */
/* sleep.c - the main loop sleeps until an interrupt has work for it. */
#include "machine.h"

volatile bool woken;

void wake_main(void)
{
	woken = true;
}

/* An interrupt before the look at `woken` is seen by it, and one after ends the sleep. */
void sleep_until_woken(void)
{
	unsigned long flags = irq_save();

	if (!woken)
		wait_for_interrupt();
	irq_restore(flags);
}
