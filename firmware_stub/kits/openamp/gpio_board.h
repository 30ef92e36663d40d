/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_board.h - the lines of an STM32MP157C-DK2: two LEDs and a button. Edit it.
 */
#ifndef GPIO_BOARD_H
#define GPIO_BOARD_H

#include "stm32mp1xx_hal.h"

#define BOARD_LABEL "m4-dk2"

/* Port, pin, name, pull. A pin's number is its EXTI line: no number twice. */
#define BOARD_LINES(X) \
	X(GPIOH, 7, "LED7", GPIO_NOPULL) \
	X(GPIOD, 11, "LED8", GPIO_NOPULL) \
	X(GPIOA, 14, "BUTTON_USER", GPIO_PULLUP)

#define BOARD_ONE(...) + 1
#define BOARD_NGPIO (0 BOARD_LINES(BOARD_ONE))

/* The EXTI lines of these pins. */
#define BOARD_IRQS(X) X(7) X(11) X(14)

static inline void board_enable_clocks(void)
{
	__HAL_RCC_GPIOA_CLK_ENABLE();
	__HAL_RCC_GPIOD_CLK_ENABLE();
	__HAL_RCC_GPIOH_CLK_ENABLE();
}

/* What STGEN counts: HSE on this board. */
#define BOARD_STGEN_MHZ 24u

#endif
