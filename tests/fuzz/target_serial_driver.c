/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver side of the serial framing, handshake included: what firmware sends and when
 * it takes what we send; calls and line requests run over it.
 */
#include <stdlib.h>

#include "pump_bed.h"
#include "pump/serial_link.h"
#include "pump/serial_internal.h"

static struct bed bed;
static int tty;
static uint8_t expected; /* the number that our next message should have */

static void frame(const void *bytes, size_t length)
{
	uint8_t wire[GB_SERIAL_WIRE_MAX];

	kernel_feed(tty, wire, gb_serial_encode(wire, bytes, length, NULL, 0));
}

static void welcome(uint8_t kind)
{
	struct rpmsg_gpio_serial_welcome say = {
		.kind = RPMSG_GPIO_SERIAL_WELCOME,
		.version = kind & 0x40 ? take_u8(&bed.input) : RPMSG_GPIO_SERIAL_VERSION,
		.session = rpmsg_gpio_store32(0x5a5a5a5au), /* kernel.c: getrandom() */
		.mru = rpmsg_gpio_store16(kind & 0x20 ? take_u8(&bed.input) : 64),
		.window = kind & 0x10 ? take_u8(&bed.input) : 8,
		.epoch = rpmsg_gpio_store32(kind >> 7 ? 1 : 77),
	};

	frame(&say, sizeof(say));
}

static void firmware_step(uint8_t kind)
{
	struct rpmsg_gpio_serial_data data = {0};
	struct rpmsg_gpio_serial_ack ack;
	uint8_t bytes[GB_SERIAL_FRAME_MAX];
	const uint8_t *payload;
	size_t length;

	switch (kind & 7) {
	case 0:
		length = take_bytes(&bed.input, &payload, 512);
		kernel_feed(tty, payload, length);
		break;
	case 1:
		length = take_bytes(&bed.input, &payload, RPMSG_GPIO_MESSAGE_MAX);
		frame(payload, length);
		break;
	case 2:
	case 3:
		data.sequence = RPMSG_GPIO_SERIAL_DATA | (uint8_t)(expected + (kind >> 6));
		if (kind >> 6 == 0)
			expected = (expected + 1) & RPMSG_GPIO_SERIAL_SEQUENCE_MASK;
		data.ack = kind & 8 ? take_u8(&bed.input) : 0;
		data.endpoint = kind & 16 ? RPMSG_GPIO_SERIAL_NS_ENDPOINT : (uint8_t)BED_ADDRESS;
		data.port = (uint8_t)BED_SOURCE;
		length = take_bytes(&bed.input, &payload, RPMSG_GPIO_MESSAGE_MAX);
		memcpy(bytes, &data, sizeof(data));
		if (length)
			memcpy(bytes + sizeof(data), payload, length);
		frame(bytes, sizeof(data) + length);
		break;
	case 4:
		ack.kind = (uint8_t)(RPMSG_GPIO_SERIAL_ACK + (kind >> 3 & 3) % 3);
		ack.ack = take_u8(&bed.input);
		frame(&ack, sizeof(ack));
		break;
	case 5:
		kernel_block(tty, kind & 8);
		break;
	case 6:
		welcome(kind);
		break;
	default:
		if (kind == 0xff)
			kernel_hang_up(tty);
		break;
	}
}

/* It waits for a WELCOME. */
static void polled(int fd)
{
	(void)fd;
	if (!take_end(&bed.input))
		firmware_step(take_u8(&bed.input));
	else
		kernel_advance(100 * BED_MS);
}

static void step(void *context)
{
	(void)context;
	bed_turn(&bed, firmware_step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_serial_options options = {
		.bit_rate = 0, .ack_ms = 5, .retry_ms = 50, .dead_ms = 2000,
	};
	struct gb_link *link;
	char why[200];
	uint8_t kind;

	kernel_reset();
	bed_open(&bed, data, size);
	kind = take_u8(&bed.input);
	options.bit_rate = kind & 1 ? 115200 : 0;
	options.keepalive_ms = kind & 2 ? 500 : 0;
	expected = 0;
	tty = kernel_open(KERNEL_STREAM);
	kernel_polled = polled;
	if (kind & 4)
		welcome(0);
	link = gb_serial_attach(tty, "/dev/ttyX", &options, 1000, why, sizeof(why));
	if (link) {
		bed_attach(&bed, link, kind & 8 ? RPMSG_GPIO_FEATURES : 0);
		bed_begin_request(&bed, 0, kind);
		kernel_run(step, NULL);
	} else if (!why[0]) {
		kernel_broken("no sentence says why there is no link");
	}
	bed_close(&bed);
	return 0;
}
