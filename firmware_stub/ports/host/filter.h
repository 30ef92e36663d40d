/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * filter.h - what may stand between the firmware core and its channels.
 *
 * Nothing does in the stub that is shipped. Tests of a test of firmware link the same
 * code with a filter that breaks a rule of docs/protocol.md (tests/firmware_stub/broken).
 */
#ifndef HOST_FILTER_H
#define HOST_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg_gpio_serial.h"

struct controller;

/* On the messages of a controller. */
struct message_filter {
	/* Takes a message of the driver in the place of rpmsg_gpio_device_receive(); it is called
	 * only when no reply waits. */
	bool (*receive)(struct controller *controller, const void *message, size_t length);
	/* Takes a message of the core in the place of controller_transmit(). */
	bool (*send)(struct controller *controller, const void *message, size_t length);
	/* The firmware starts, or was reset. */
	void (*booted)(struct controller *controller);
	/* The channel was announced. NULL: the filter does not care. */
	void (*announced)(struct controller *controller);
	/* What stands before the index in the channel's name. NULL: the prefix of the protocol. */
	const char *channel_prefix;
};

/* The longest frame that a filter sees as a whole, and what COBS makes of it. */
#define SERIAL_FILTER_FRAME_MAX 1024
#define SERIAL_FILTER_WIRE_MAX (RPMSG_GPIO_SERIAL_WIRE_SIZE(SERIAL_FILTER_FRAME_MAX) + 2)

/* On the bytes of the serial line. */
struct serial_filter {
	/* Take a byte of the driver, or of the core, and put what goes on in its place into
	 * `wire`, which has room for SERIAL_FILTER_WIRE_MAX bytes. Return their number; 0
	 * while a frame has not ended. */
	size_t (*in)(struct rpmsg_gpio_serial *core, uint8_t byte, uint8_t *wire);
	size_t (*out)(struct rpmsg_gpio_serial *core, uint8_t byte, uint8_t *wire);
	/* Called after each run of the core; true: it is to run again. */
	bool (*run)(struct rpmsg_gpio_serial *core);
};

#endif
