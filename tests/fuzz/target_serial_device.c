/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side of the serial framing: bytes as they come, frames with a good CRC and
 * anything in them, a UART that is full, time that passes.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "pump/serial_internal.h"
#include "rpmsg_gpio_serial.h"

#define MUST(condition) do { if (!(condition)) abort(); } while (0)

static struct {
	struct rpmsg_gpio_serial serial;
	size_t room;
	bool refuse;
	uint32_t now;
} bench;

static size_t write_uart(void *context, const uint8_t *bytes, size_t length)
{
	(void)context;
	(void)bytes;
	length = length < bench.room ? length : bench.room;
	bench.room -= length;
	return length;
}

static bool received(void *context, uint8_t endpoint, uint8_t port, const void *message,
		     size_t length)
{
	volatile uint8_t last = length ? ((const uint8_t *)message)[length - 1] : 0;

	(void)context;
	(void)last;
	MUST(length <= RPMSG_GPIO_SERIAL_RX_MAX);
	if (bench.refuse)
		return false;
	rpmsg_gpio_serial_send(&bench.serial, endpoint, port, message, length);
	return true;
}

static void session(void *context, bool open)
{
	(void)context;
	(void)open;
	MUST(rpmsg_gpio_serial_send(&bench.serial, 0, 9, "old", 3));
}

static const struct rpmsg_gpio_serial_ops ops = {write_uart, received, session};
static const struct rpmsg_gpio_serial_channel channels[] = {
	{"rpmsg-io-0", 0}, {"a-name-of-the-longest-kind-31-by", 1},
};
static const struct rpmsg_gpio_serial_config config = {
	.ops = &ops, .channels = channels, .channel_count = 2, .epoch = 0xa1b2c3d4u,
};

static void run(void)
{
	rpmsg_gpio_serial_run(&bench.serial, bench.now);
}

static void feed(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		rpmsg_gpio_serial_rx(&bench.serial, bytes[i]);
		if (i % 64 == 63)
			run();
	}
	run();
}

static void frame(struct input *input)
{
	uint8_t wire[GB_SERIAL_WIRE_MAX];
	const uint8_t *bytes;
	size_t length = take_bytes(input, &bytes, RPMSG_GPIO_SERIAL_RX_MAX + 8u);

	feed(wire, gb_serial_encode(wire, bytes, length, NULL, 0));
}

/* A session begins, as a driver would begin it. */
static void hello(struct input *input)
{
	struct rpmsg_gpio_serial_hello say = {
		.kind = RPMSG_GPIO_SERIAL_HELLO, .version = RPMSG_GPIO_SERIAL_VERSION,
		.session = rpmsg_gpio_store32(take_u8(input)),
		.mru = rpmsg_gpio_store16(496), .window = 32,
		.bit_rate = rpmsg_gpio_store32(take_u8(input) * 1000u),
		.ack_ms = rpmsg_gpio_store16(5), .retry_ms = rpmsg_gpio_store16(50),
	};
	uint8_t wire[GB_SERIAL_WIRE_MAX];

	feed(wire, gb_serial_encode(wire, &say, sizeof(say), NULL, 0));
}

static void step(struct input *input)
{
	uint8_t kind = take_u8(input);
	const uint8_t *bytes;
	size_t length;

	switch (kind & 7) {
	case 0:
		length = take_bytes(input, &bytes, 512);
		feed(bytes, length);
		break;
	case 1:
	case 2:
		frame(input);
		break;
	case 3:
		hello(input);
		break;
	case 4:
		bench.now += 1u << (kind >> 3);
		run();
		break;
	case 5:
		bench.room = kind & 8 ? 100000 : kind >> 4;
		run();
		break;
	case 6:
		bench.refuse = kind & 8;
		if (kind & 16)
			rpmsg_gpio_serial_close(&bench.serial);
		if (kind & 32)
			bench.serial.announced = 0;
		run();
		break;
	default:
		length = take_bytes(input, &bytes, RPMSG_GPIO_MESSAGE_MAX);
		rpmsg_gpio_serial_send(&bench.serial, kind >> 3, 7, bytes, length);
		run();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};

	bench.room = 100000;
	bench.refuse = false;
	bench.now = 0xfffff000u; /* the clock wraps soon */
	memset(&bench.serial, 0xff, sizeof(bench.serial));
	rpmsg_gpio_serial_init(&bench.serial, &config);
	while (!take_end(&input))
		step(&input);
	return 0;
}
