/* SPDX-License-Identifier: BSD-3-Clause */
/* ti_board_open_close.h - a stand-in for what SysConfig generates. */
#ifndef STAND_IN_TI_BOARD_OPEN_CLOSE_H
#define STAND_IN_TI_BOARD_OPEN_CLOSE_H

#include <stdint.h>

int32_t Board_driversOpen(void);

#endif
