/* SPDX-License-Identifier: BSD-3-Clause */
/* ti_drivers_open_close.h - a stand-in for what SysConfig generates. */
#ifndef STAND_IN_TI_DRIVERS_OPEN_CLOSE_H
#define STAND_IN_TI_DRIVERS_OPEN_CLOSE_H

#include <stdint.h>

int32_t Drivers_open(void);
void Drivers_close(void);

#endif
