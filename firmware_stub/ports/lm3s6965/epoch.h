/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoch.h - the boot id.
 */
#ifndef LM3S6965_EPOCH_H
#define LM3S6965_EPOCH_H

#include <stdint.h>

/*
 * Choose the epoch of this start; once, after clock_init().
 *
 * After a reset it is the last one plus one, kept in SRAM: it always differs.
 * After a loss of power it is drawn from what the SRAM happens to hold and from
 * the jitter of the clock. This chip has neither a random generator nor, without
 * a battery, a clock that runs on: two starts with power lost in between have the
 * same epoch with a probability that is small (2^-32 at best) but not bounded. A
 * product that must exclude it keeps the number in flash.
 */
uint32_t epoch_choose(void);

#endif
