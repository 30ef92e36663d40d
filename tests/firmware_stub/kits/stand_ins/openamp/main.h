/* SPDX-License-Identifier: BSD-3-Clause */
/* main.h - a stand-in for that of STM32Cube's example. */
#ifndef STAND_IN_MAIN_H
#define STAND_IN_MAIN_H

#include "stm32mp1xx_hal.h"

void Error_Handler(void);

#endif
