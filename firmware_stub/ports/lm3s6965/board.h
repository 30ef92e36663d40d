/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * board.h - the controllers of the LM3S6965 evaluation board.
 */
#ifndef LM3S6965_BOARD_H
#define LM3S6965_BOARD_H

#include "gpio.h"

#define BOARD_LINES_0 32
#define BOARD_LINES_1 3
#define BOARD_CONTROLLERS 2

struct board_controller {
	const struct gpio_pin *pins;
	uint16_t ngpio;
	const char *label;
	const char *names;
	uint32_t names_size;
};

extern const struct board_controller board_controllers[BOARD_CONTROLLERS];

#endif
