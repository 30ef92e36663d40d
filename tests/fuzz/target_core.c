/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The firmware core: hostile messages, edges and interrupts at any time, transmit
 * buffers that run out. The pins check that no message makes the core touch what it
 * has not; the channel, that it says no more than it may.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "rpmsg_gpio_device.h"

#define LINES 70u /* more than one window of BULK */
#define EDGES 8u

#define MUST(condition) do { if (!(condition)) abort(); } while (0)

static struct {
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line lines[LINES];
	struct rpmsg_gpio_stream streams[LINES];
	volatile struct rpmsg_gpio_edge edges[EDGES];
	uint8_t direction[LINES];
	uint8_t irq_type[LINES];
	unsigned int room, replies, requests;
	uint8_t refuses;
	uint64_t now;
} board;

static bool refuse(unsigned int what)
{
	return board.refuses & 1u << what;
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	MUST(gpio < LINES && direction <= VIRTIO_GPIO_DIRECTION_IN && value <= 1);
	if (refuse(0))
		return false;
	board.direction[gpio] = direction;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	MUST(gpio < LINES && value <= 1);
	MUST(board.direction[gpio] == VIRTIO_GPIO_DIRECTION_OUT);
	return !refuse(1);
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	MUST(gpio < LINES);
	*value = (uint8_t)(gpio * 3); /* any bit set is high */
	return !refuse(2);
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	MUST(gpio < LINES);
	if (type != VIRTIO_GPIO_IRQ_TYPE_NONE && refuse(3))
		return false;
	board.irq_type[gpio] = type;
	if (type >= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH && board.now & 1)
		rpmsg_gpio_device_irq(&board.device, gpio);
	return true;
}

static uint64_t get_time(void *context)
{
	(void)context;
	return board.now;
}

static bool get_values(void *context, uint16_t first, uint64_t mask, uint64_t *values)
{
	(void)context;
	MUST(first < LINES && (first + 64 <= (int)LINES || !(mask >> (LINES - first))));
	*values = mask & board.now;
	return !refuse(4);
}

static bool set_values(void *context, uint16_t first, uint64_t mask, uint64_t values)
{
	(void)context;
	(void)values;
	MUST(first < LINES && (first + 64 <= (int)LINES || !(mask >> (LINES - first))));
	for (unsigned int i = 0; i < 64; i++)
		MUST(!(mask >> i & 1) || board.direction[first + i] == VIRTIO_GPIO_DIRECTION_OUT);
	return !refuse(5);
}

static void get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context;
	MUST(gpio < LINES);
	*caps = gpio % 3 ? 0x3f : 0;
	*max_debounce_us = *caps ? 1000 : 0;
}

static bool set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	(void)context;
	MUST(gpio < LINES && (gpio % 3 || !(flags | debounce_us)));
	MUST(debounce_us <= 1000 && flags < RPMSG_GPIO_LINE_DEBOUNCE);
	return !refuse(6);
}

static bool send_message(void *context, const void *message, size_t length)
{
	const uint8_t *bytes = message;

	(void)context;
	MUST(length >= 3 && length <= RPMSG_GPIO_MESSAGE_MAX);
	MUST(bytes[0] == RPMSG_GPIO_QUEUE_REQUEST || bytes[0] == RPMSG_GPIO_QUEUE_EVENT);
	if (!board.room)
		return false;
	board.room--;
	if (bytes[0] == RPMSG_GPIO_QUEUE_REQUEST)
		MUST(++board.replies <= board.requests);
	return true;
}

static const struct rpmsg_gpio_port whole_port = {
	.set_direction = set_direction, .set_value = set_value, .get_value = get_value,
	.set_irq_type = set_irq_type, .get_time = get_time, .get_values = get_values,
	.set_values = set_values, .get_caps = get_caps, .set_config = set_config,
};
static const struct rpmsg_gpio_port least_port = {
	.set_direction = set_direction, .set_value = set_value, .get_value = get_value,
	.set_irq_type = set_irq_type,
};
static const struct rpmsg_gpio_channel channels[] = {{.send = send_message},
						     {.send = send_message, .event_max = 64}};
static const char names[] = "LED0\0LED1\0\0BUTTON\0\0\0\0READY";

static void boot(struct input *input)
{
	uint8_t kind = take_u8(input);

	memset(board.lines, 0xff, sizeof(board.lines)); /* memory is not clean at boot */
	memset(board.direction, 0, sizeof(board.direction));
	memset(board.irq_type, 0, sizeof(board.irq_type));
	board.room = 4;
	board.replies = board.requests = 0;
	board.refuses = 0;
	board.now = 1000;
	board.config = (struct rpmsg_gpio_device_config){
		.port = kind & 1 ? &least_port : &whole_port,
		.channel = &channels[kind >> 1 & 1],
		.lines = board.lines,
		.streams = kind & 4 ? NULL : board.streams,
		.edges = kind & 4 ? NULL : board.edges,
		.edge_count = EDGES,
		.ngpio = LINES,
		.features = kind & 8 ? take_u8(input) : RPMSG_GPIO_FEATURES,
		.epoch = 0xa1b2c3d4u,
		.label = kind & 16 ? NULL : "bank0",
		.names = kind & 16 ? NULL : names,
		.names_size = kind & 16 ? 0 : sizeof(names),
		.dialect = kind & 32 ? RPMSG_GPIO_DIALECT_PADDED : RPMSG_GPIO_DIALECT_DOCUMENTED,
		.strict = kind & 64,
	};
	rpmsg_gpio_device_init(&board.device, &board.config);
}

/* What the main loop of a port does with a message: keep it until it is taken. */
static void receive(const uint8_t *bytes, size_t length)
{
	uint8_t *exact = malloc(length);

	if (!exact && length)
		return;
	memcpy(exact, bytes, length);
	board.requests += length > 0; /* rpmsg has no empty messages */
	if (!rpmsg_gpio_device_receive(&board.device, exact, length)) {
		board.room = 4;
		rpmsg_gpio_device_run(&board.device);
		MUST(rpmsg_gpio_device_receive(&board.device, exact, length));
	}
	free(exact);
}

static void request(struct input *input, size_t head)
{
	uint8_t bytes[sizeof(struct rpmsg_gpio_ext_request) + 16] = {0};
	uint8_t type = take_u8(input), line = take_u8(input), body = take_u8(input) & 0x1f;
	uint8_t i;

	bytes[0] = type & 0x7f;
	bytes[1] = type & 0x80;
	bytes[2] = line;
	bytes[4] = take_u8(input);
	bytes[8] = line;
	body = body <= 16 && head == 12 ? body : 0;
	for (i = 0; i < body; i++)
		bytes[head + i] = take_u8(input);
	receive(bytes, head + body);
}

static void step(struct input *input)
{
	const uint8_t *bytes;
	uint8_t kind = take_u8(input);
	uint16_t line;
	size_t length;

	switch (kind & 7) {
	case 0:
		length = take_bytes(input, &bytes, RPMSG_GPIO_MESSAGE_MAX);
		receive(bytes, length);
		break;
	case 1:
		request(input, 8);
		break;
	case 2:
		request(input, 12);
		break;
	case 3:
		line = take_u8(input) % LINES;
		if (board.irq_type[line])
			rpmsg_gpio_device_irq(&board.device, line);
		break;
	case 4:
		line = take_u8(input) % LINES;
		board.now += kind >> 3;
		for (int i = 0; i <= kind >> 5 && board.config.edges; i++)
			rpmsg_gpio_device_edge(&board.device, line, (kind >> 4) & 1, board.now);
		break;
	case 5:
		rpmsg_gpio_device_run(&board.device);
		break;
	case 6:
		board.room = kind >> 3;
		break;
	default:
		board.refuses = take_u8(input);
		break;
	}
	line = (uint16_t)(kind % LINES);
	rpmsg_gpio_device_armed(&board.device, line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};

	boot(&input);
	while (!take_end(&input))
		step(&input);
	/* With room everything is said, and within a bound. */
	board.room = 10000;
	for (int i = 0; i < 200; i++)
		if (rpmsg_gpio_device_run(&board.device))
			break;
	MUST(rpmsg_gpio_device_run(&board.device));
	MUST(board.replies == board.requests);
	return 0;
}
