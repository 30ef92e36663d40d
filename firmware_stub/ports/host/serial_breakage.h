/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_breakage.h - firmware that breaks one rule of the serial framing.
 *
 * As breakage.h for messages: the core stays as it is, and a broken rule is made
 * between it and the wire, on frames in both directions.
 */
#ifndef HOST_SERIAL_BREAKAGE_H
#define HOST_SERIAL_BREAKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rpmsg_gpio_serial.h"

/* The longest frame that a rule looks at, and what COBS makes of it. */
#define SERIAL_BREAKAGE_FRAME_MAX 1024
#define SERIAL_BREAKAGE_WIRE_MAX (RPMSG_GPIO_SERIAL_WIRE_SIZE(SERIAL_BREAKAGE_FRAME_MAX) + 2)

struct serial_breakage_rule;

/* Bytes until their delimiter. */
struct serial_breakage_line {
	uint8_t bytes[SERIAL_BREAKAGE_WIRE_MAX];
	size_t length;
};

struct serial_breakage {
	const struct serial_breakage_rule *rule; /* NULL: sound firmware */
	struct rpmsg_gpio_serial *core;
	struct serial_breakage_line in, out;
	unsigned int polls; /* in a row */
	bool due; /* what the rule has to do later */
};

/* The rule of a name; NULL when there is none. */
const struct serial_breakage_rule *serial_breakage_find(const char *name);
/* Print a line for each: name, and what is broken. */
void serial_breakage_list(FILE *to);

/*
 * A byte of the driver, or of the core. When it ends a frame, what becomes of it is
 * put into `wire`, which has room for SERIAL_BREAKAGE_WIRE_MAX bytes; returns their
 * number, 0 as long as nothing is due.
 */
size_t serial_breakage_in(struct serial_breakage *breakage, uint8_t byte, uint8_t *wire);
size_t serial_breakage_out(struct serial_breakage *breakage, uint8_t byte, uint8_t *wire);
/* After each run of the core; true: it is to run again. */
bool serial_breakage_run(struct serial_breakage *breakage);

#endif
