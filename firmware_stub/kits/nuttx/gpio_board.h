/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_board.h - the lines of an i.MX93-QSB: pins of its expansion connector. Edit it.
 */
#ifndef GPIO_BOARD_H
#define GPIO_BOARD_H

#include "imx9_gpio.h"

#define BOARD_LABEL "m33-gpio2"

/* Port and pin of imx9_gpio.h, and the name. The board's own files set up the pads. */
#define BOARD_LINES(X) \
	X(GPIO_PORT2 | GPIO_PIN4, "GPIO2_IO04") \
	X(GPIO_PORT2 | GPIO_PIN5, "GPIO2_IO05") \
	X(GPIO_PORT2 | GPIO_PIN6, "GPIO2_IO06") \
	X(GPIO_PORT2 | GPIO_PIN7, "GPIO2_IO07")

#define BOARD_ONE(...) + 1
#define BOARD_NGPIO (0 BOARD_LINES(BOARD_ONE))

#endif
