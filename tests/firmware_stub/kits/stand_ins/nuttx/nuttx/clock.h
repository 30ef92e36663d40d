/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.h - a stand-in for NuttX's, with its time.h. */
#ifndef STAND_IN_CLOCK_H
#define STAND_IN_CLOCK_H

#include <stdint.h>

struct timespec {
	int64_t tv_sec;
	long tv_nsec;
};

void clock_systime_timespec(struct timespec *ts);

#endif
