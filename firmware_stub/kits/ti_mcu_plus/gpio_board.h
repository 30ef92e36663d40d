/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_board.h - the lines of an SK-AM62: pins of its MCU header, of MCU_GPIO0. Edit it.
 */
#ifndef GPIO_BOARD_H
#define GPIO_BOARD_H

#include <stdint.h>

#include <drivers/hw_include/cslr_soc.h>

#define BOARD_LABEL "mcu-gpio0"

/* Pin and name; all of one bank of 16, which has one interrupt. SysConfig sets up the pads. */
#define BOARD_LINES(X) \
	X(15, "MCU_GPIO0_15") \
	X(10, "MCU_GPIO0_10") \
	X(9, "MCU_GPIO0_9") \
	X(8, "MCU_GPIO0_8")

#define BOARD_ONE(...) + 1
#define BOARD_NGPIO (0 BOARD_LINES(BOARD_ONE))
#define BOARD_BANK 0u
#define BOARD_GPIO_BASE CSL_MCU_GPIO0_BASE

#define BOARD_LINUX_CORE CSL_CORE_ID_A53SS0_0

/* Of board.c in the SDK's example gpio_input_interrupt: the bank's interrupt, by Sciclient. */
void Board_gpioInit(void);
uint32_t Board_getGpioButtonIntrNum(void);

#endif
