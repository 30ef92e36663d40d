/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * board.c - the controllers of the LM3S6965 evaluation board.
 *
 * All pins but those that must not be touched: PA0 and PA1 (UART 0, the wire to
 * the driver), PB7 and PC0 to PC3 (JTAG). What the board wires to a pin gives it
 * its name; the five buttons close to ground and need the chip's pull-up.
 */
#include "board.h"

#define PLAIN(X, port, bit) X(port, bit, false, "P" #port #bit)

#define CONTROLLER_0(X) \
	X(F, 0, false, "LED") \
	X(F, 1, true, "BUTTON_SELECT") \
	X(E, 0, true, "BUTTON_UP") \
	X(E, 1, true, "BUTTON_DOWN") \
	X(E, 2, true, "BUTTON_LEFT") \
	X(E, 3, true, "BUTTON_RIGHT") \
	PLAIN(X, B, 0) PLAIN(X, B, 1) PLAIN(X, B, 2) PLAIN(X, B, 3) \
	PLAIN(X, B, 4) PLAIN(X, B, 5) PLAIN(X, B, 6) \
	PLAIN(X, D, 0) PLAIN(X, D, 1) PLAIN(X, D, 2) PLAIN(X, D, 3) \
	PLAIN(X, D, 4) PLAIN(X, D, 5) PLAIN(X, D, 6) PLAIN(X, D, 7) \
	PLAIN(X, A, 2) PLAIN(X, A, 3) PLAIN(X, A, 4) PLAIN(X, A, 5) \
	PLAIN(X, A, 6) PLAIN(X, A, 7) \
	PLAIN(X, C, 4) PLAIN(X, C, 5) PLAIN(X, C, 6) PLAIN(X, C, 7) \
	PLAIN(X, F, 2)

#define CONTROLLER_1(X) \
	PLAIN(X, F, 3) PLAIN(X, G, 0) PLAIN(X, G, 1)

#define PIN(port, bit, pull_up, name) { PORT_##port, 1u << (bit), pull_up },
#define NAME(port, bit, pull_up, name) name "\0"

static const struct gpio_pin pins_0[BOARD_LINES_0] = { CONTROLLER_0(PIN) };
static const struct gpio_pin pins_1[BOARD_LINES_1] = { CONTROLLER_1(PIN) };

/* Each name brings its NUL; the NUL of the literal itself is not part of the block. */
static const char names_0[] = CONTROLLER_0(NAME);
static const char names_1[] = CONTROLLER_1(NAME);

const struct board_controller board_controllers[BOARD_CONTROLLERS] = {
	{ pins_0, BOARD_LINES_0, "lm3s6965 gpio", names_0, sizeof(names_0) - 1 },
	{ pins_1, BOARD_LINES_1, "lm3s6965 aux", names_1, sizeof(names_1) - 1 },
};
