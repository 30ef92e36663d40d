/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * features.c - a device from which extensions were left out at compile time: it
 * offers the others, refuses the types of those, and has edges in either case.
 *
 * test_porting.py compiles it with RPMSG_GPIO_FEATURES and says by an argument what
 * must be offered then.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rpmsg_gpio_device.h"
#include "rpmsg_gpio_serial.h"

#define LINE 1

static uint8_t sent[RPMSG_GPIO_MESSAGE_MAX];
static size_t sent_length;
static unsigned int events;

static bool keep(void *context, const void *message, size_t length)
{
	(void)context;
	sent_length = length;
	memcpy(sent, message, length);
	events += sent[0] == RPMSG_GPIO_QUEUE_EVENT;
	return true;
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context; (void)gpio; (void)direction; (void)value;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context; (void)gpio; (void)value;
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context; (void)gpio;
	*value = 1;
	return true;
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context; (void)gpio; (void)type;
	return true;
}

static uint64_t get_time(void *context)
{
	(void)context;
	return 1;
}

static void get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context; (void)gpio;
	*caps = RPMSG_GPIO_LINE_PULL_UP;
	*max_debounce_us = 0;
}

static bool set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	(void)context; (void)gpio; (void)flags; (void)debounce_us;
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction, .set_value = set_value, .get_value = get_value,
	.set_irq_type = set_irq_type, .get_time = get_time, .get_caps = get_caps,
	.set_config = set_config,
};
static const struct rpmsg_gpio_channel channel = { .send = keep };
static struct rpmsg_gpio_line lines[4];
static struct rpmsg_gpio_stream streams[4];
static volatile struct rpmsg_gpio_edge edges[4];
static struct rpmsg_gpio_device device;
static uint32_t expected;
static const struct rpmsg_gpio_device_config config = {
	.port = &port, .channel = &channel, .lines = lines, .streams = streams, .edges = edges,
	.edge_count = 4, .ngpio = 4, .features = 0xffffffffu, .epoch = 7, .label = "some",
	.names = "a\0b\0c\0d", .names_size = 8,
};

/* The status of the reply. */
static unsigned int ask(uint16_t type, uint32_t value, size_t length)
{
	struct rpmsg_gpio_ext_request request = {
		.request = { rpmsg_gpio_store16(type), rpmsg_gpio_store16(LINE),
			     rpmsg_gpio_store32(value) },
	};
	uint8_t message[64] = { 0 };

	memcpy(message, &request, sizeof(request));
	CHECK(rpmsg_gpio_device_receive(&device, message, length));
	return sent[sent_length == 3 ? 1 : 2];
}

static void begin(void)
{
	rpmsg_gpio_device_init(&device, &config);
	events = 0;
}

static void offers_what_is_compiled_in(void)
{
	begin();
	CHECK_EQ(ask(RPMSG_GPIO_MSG_GET_FEATURES, 0, 8),
		 expected ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR);
	if (expected)
		CHECK_EQ(sent[8] | (unsigned int)sent[9] << 8, expected);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_SET_FEATURES, expected, 8),
		 expected ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_SET_FEATURES, ~expected & 0x1ff, 8),
		 expected == 0x1ff ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR);
}

static void refuses_the_types_of_the_others(void)
{
	static const struct { uint16_t type, feature; uint8_t length; } types[] = {
		{ VIRTIO_GPIO_MSG_GET_LINE_NAMES, RPMSG_GPIO_F_NAMES, 12 },
		{ RPMSG_GPIO_MSG_GET_CONFIG, RPMSG_GPIO_F_CONFIG, 12 },
		{ RPMSG_GPIO_MSG_GET_EPOCH, RPMSG_GPIO_F_EPOCH, 12 },
		{ RPMSG_GPIO_MSG_GET_TIME, RPMSG_GPIO_F_TIMESTAMP, 12 },
		{ RPMSG_GPIO_MSG_GET_VALUES, RPMSG_GPIO_F_BULK, 20 },
		{ RPMSG_GPIO_MSG_SET_VALUES, RPMSG_GPIO_F_BULK, 28 },
		{ RPMSG_GPIO_MSG_GET_LINE_CAPS, RPMSG_GPIO_F_LINE_CONFIG, 12 },
		{ RPMSG_GPIO_MSG_SET_LINE_CONFIG, RPMSG_GPIO_F_LINE_CONFIG, 20 },
		{ RPMSG_GPIO_MSG_GET_COUNTERS, RPMSG_GPIO_F_COUNTERS, 12 },
		{ VIRTIO_GPIO_MSG_GET_VALUE, RPMSG_GPIO_F_TAG, 12 },
	};

	begin();
	(void)ask(RPMSG_GPIO_MSG_SET_FEATURES, expected, 8);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		CHECK_EQ(ask(types[i].type, 0, types[i].length),
			 expected & types[i].feature ? VIRTIO_GPIO_STATUS_OK
						     : VIRTIO_GPIO_STATUS_ERR);
}

static void has_edges(void)
{
	begin();
	(void)ask(RPMSG_GPIO_MSG_SET_FEATURES, expected, 8);
	CHECK_EQ(ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH, 8),
		 VIRTIO_GPIO_STATUS_OK);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_GRANT_CREDITS, 8, 12),
		 expected & RPMSG_GPIO_F_CREDITS ? VIRTIO_GPIO_STATUS_OK
						 : VIRTIO_GPIO_STATUS_ERR);
	rpmsg_gpio_device_edge(&device, LINE, true, 5);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(events, 1);
	CHECK_EQ(sent_length, expected & RPMSG_GPIO_F_TIMESTAMP ? 16 :
			      expected & RPMSG_GPIO_F_CREDITS ? 8 : 4);
}

/* ---- the serial framing ------------------------------------------------------- */

static uint8_t wire[64];
static size_t wire_length;
static bool refusing;
static unsigned int received;

static size_t write_wire(void *context, const uint8_t *bytes, size_t length)
{
	(void)context;
	if (wire_length + length <= sizeof(wire))
		memcpy(wire + wire_length, bytes, length);
	wire_length += length;
	return length;
}

static bool receive(void *context, uint8_t endpoint, uint8_t its_port, const void *message,
		    size_t length)
{
	(void)context; (void)endpoint; (void)its_port; (void)message; (void)length;
	received += !refusing;
	return !refusing;
}

static void feed(struct rpmsg_gpio_serial *serial, const uint8_t *bytes, size_t length)
{
	wire_length = 0;
	while (length--)
		rpmsg_gpio_serial_rx(serial, *bytes++);
	(void)rpmsg_gpio_serial_run(serial, 0);
}

/* With whatever sizes of its buffers. */
static void asks_for_what_was_refused(void)
{
	/* docs/protocol.md 12.7: HELLO, DATA 0 */
	static const uint8_t hello[] = {
		0x0a, 0x01, 0x01, 0x78, 0x56, 0x34, 0x12, 0xf0, 0x01, 0x20, 0x01, 0x03,
		0xc2, 0x01, 0x02, 0x05, 0x02, 0x32, 0x05, 0xf5, 0xb5, 0xd9, 0x6a, 0x00 };
	static const uint8_t request[] = {
		0x03, 0x80, 0x01, 0x03, 0x07, 0x04, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
		0x05, 0x73, 0xce, 0x22, 0x93, 0x00 };
	static const struct rpmsg_gpio_serial_ops ops = { write_wire, receive, NULL };
	static const struct rpmsg_gpio_serial_config serial_config = { .ops = &ops };
	static struct rpmsg_gpio_serial serial;

	rpmsg_gpio_serial_init(&serial, &serial_config);
	feed(&serial, hello, sizeof(hello));
	refusing = true;
	feed(&serial, request, sizeof(request));
	CHECK_EQ(wire_length, 0);
	refusing = false;
	(void)rpmsg_gpio_serial_run(&serial, 0);
	CHECK(wire_length > 0 && wire[1] == RPMSG_GPIO_SERIAL_NAK);
	feed(&serial, request, sizeof(request));
	CHECK_EQ(received, 1);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	expected = (uint32_t)strtoul(argv[1], NULL, 0);
	RUN(offers_what_is_compiled_in);
	RUN(refuses_the_types_of_the_others);
	RUN(has_edges);
	RUN(asks_for_what_was_refused);
	return check_report();
}
