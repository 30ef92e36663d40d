/* SPDX-License-Identifier: BSD-3-Clause */
/* ClockP.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_CLOCKP_H
#define STAND_IN_CLOCKP_H

#include <stdint.h>

uint64_t ClockP_getTimeUsec(void);

#endif
