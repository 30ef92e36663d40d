/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * breakage.h - firmware that breaks one rule of docs/protocol.md.
 *
 * What `gpio-bridge conformance` must find. The core stays as it is: a broken
 * rule is made between it and the channel, on messages in both directions.
 */
#ifndef HOST_BREAKAGE_H
#define HOST_BREAKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rpmsg_gpio_device.h"

struct controller;
struct breakage_rule;

/* A message from the driver, and what its fields say; 0 where it is too short. */
struct breakage_request {
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
	size_t length;
	uint16_t type, gpio;
	uint32_t value;
};

/* Of a controller. `rule` NULL: sound firmware. */
struct breakage {
	const struct breakage_rule *rule;
	struct breakage_request request; /* the latest */
	unsigned int swallow; /* replies that nobody asked for */
	bool event_due;       /* a false event follows the reply */
	bool holding;         /* the next reply waits in `held` */
	uint8_t held[RPMSG_GPIO_MESSAGE_MAX];
	size_t held_length;
	uint32_t count;
	uint32_t line;        /* the one that the rule has an eye on, plus 1 */
	struct rpmsg_gpio_edge edge; /* that it keeps for this line */
};

/* The rule of a name; NULL when there is none. */
const struct breakage_rule *breakage_find(const char *name);
/* Print a line for each: name, and what is broken. */
void breakage_list(FILE *to);

/* In the place of rpmsg_gpio_device_receive(), when no reply waits. */
bool breakage_receive(struct controller *controller, const void *message, size_t length);
/* In front of controller_transmit(). */
bool breakage_send(struct controller *controller, const void *message, size_t length);
/* What is in front of the index in the channel's name. */
const char *breakage_prefix(const struct controller *controller);
/* The channel was announced to the driver that will be `driver`. */
void breakage_announced(struct controller *controller);

#endif
