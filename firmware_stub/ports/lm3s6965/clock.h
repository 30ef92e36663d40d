/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock.h - the system clock, a clock in ns since the start, one alarm.
 */
#ifndef LM3S6965_CLOCK_H
#define LM3S6965_CLOCK_H

#include <stdint.h>

/* 50 MHz from the PLL; the clocks of the peripherals in use. */
void clock_init(void);

/* From anywhere, interrupts included. */
uint64_t clock_ns(void);

/* Cycles within the present 2^24 of SysTick: for jitter, not for time. */
uint32_t clock_cycles(void);

/*
 * Have an interrupt, which ends a sleep, at `ns` of clock_ns() or earlier. At
 * most 85 s ahead are in one alarm: look at the clock and set it again. The
 * alarm set before is forgotten.
 */
void clock_wake_at(uint64_t ns);
void clock_wake_never(void);

#endif
