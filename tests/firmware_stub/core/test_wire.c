/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of docs/protocol.md: layouts, and every hex example of it, sent to
 * a device in the order of the document.
 */
#include <stdlib.h>

#include "check.h"
#include "rpmsg_gpio_device.h"

#define NGPIO 4
#define FEATURES (RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | \
		  RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH)
#define OFFSET(type, member, at) CHECK_EQ(offsetof(struct type, member), at)
#define SIZE(type, bytes) CHECK_EQ(sizeof(struct type), bytes)

/* ---- the board of the examples ------------------------------------------- */

static uint8_t levels[NGPIO];
static struct rpmsg_gpio_line lines[NGPIO];
static struct rpmsg_gpio_device device;
static struct rpmsg_gpio_device_config config;
static uint8_t sent[RPMSG_GPIO_MESSAGE_MAX];
static size_t sent_length;

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	if (direction == VIRTIO_GPIO_DIRECTION_OUT)
		levels[gpio] = value;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	levels[gpio] = value;
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = levels[gpio];
	return true;
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	(void)gpio;
	(void)type;
	return true;
}

static uint64_t now = UINT64_C(0x0102030405060708);

static uint64_t get_time(void *context)
{
	(void)context;
	return now;
}

static void get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context;
	(void)gpio;
	*caps = RPMSG_GPIO_LINE_PULL_UP | RPMSG_GPIO_LINE_BIAS_DISABLE |
		RPMSG_GPIO_LINE_DEBOUNCE;
	*max_debounce_us = 10000;
}

static bool set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	(void)context;
	CHECK_EQ(gpio, 2);
	CHECK_EQ(flags, RPMSG_GPIO_LINE_PULL_UP);
	CHECK_EQ(debounce_us, 5000);
	return true;
}

static bool channel_send(void *context, const void *message, size_t length)
{
	(void)context;
	CHECK_EQ(sent_length, 0);
	memcpy(sent, message, length);
	sent_length = length;
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
	.get_caps = get_caps,
	.set_config = set_config,
};
static const struct rpmsg_gpio_channel channel = {.send = channel_send};

static void boot(uint32_t features, enum rpmsg_gpio_dialect dialect)
{
	memset(levels, 0, sizeof(levels));
	memset(&config, 0, sizeof(config));
	config.port = &port;
	config.channel = &channel;
	config.lines = lines;
	config.ngpio = NGPIO;
	config.features = features;
	config.epoch = 0xa1b2c3d4;
	config.label = "bank0";
	config.names = "LED0\0\0BUTTON\0";
	config.names_size = 14;
	config.dialect = dialect;
	rpmsg_gpio_device_init(&device, &config);
}

/* ---- hex, as the document writes it -------------------------------------- */

static size_t from_hex(const char *hex, uint8_t *bytes)
{
	size_t n = 0;
	char *end;

	for (; *hex; hex = end) {
		bytes[n++] = (uint8_t)strtoul(hex, &end, 16);
		while (*end == ' ')
			end++;
	}
	return n;
}

static void expect(const char *hex)
{
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX] = { 0 };
	size_t length = from_hex(hex, bytes);

	if (sent_length != length || memcmp(sent, bytes, length))
		printf("wanted: %s\n", hex);
	CHECK_EQ(sent_length, length);
	CHECK_BYTES(sent, bytes, length);
	sent_length = 0;
}

static void say(const char *hex, const char *reply)
{
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];

	CHECK(rpmsg_gpio_device_receive(&device, bytes, from_hex(hex, bytes)));
	expect(reply);
	CHECK(rpmsg_gpio_device_run(&device));
}

static void interrupt(uint16_t gpio, const char *event)
{
	rpmsg_gpio_device_irq(&device, gpio);
	CHECK(rpmsg_gpio_device_run(&device));
	expect(event);
}

/* ---- layouts ------------------------------------------------------------- */

static void integers_are_little_endian(void)
{
	rpmsg_gpio_le16 le16 = rpmsg_gpio_store16(0x80fe);
	rpmsg_gpio_le32 le32 = rpmsg_gpio_store32(0x80fe1234);

	rpmsg_gpio_le64 le64 = rpmsg_gpio_store64(UINT64_C(0xfedcba9876543210));

	CHECK_BYTES(&le64, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8);
	CHECK(rpmsg_gpio_load64(le64) == UINT64_C(0xfedcba9876543210));
	CHECK_BYTES(&le16, "\xfe\x80", 2);
	CHECK_BYTES(&le32, "\x34\x12\xfe\x80", 4);
	CHECK_EQ(rpmsg_gpio_load16(le16), 0x80fe);
	CHECK_EQ(rpmsg_gpio_load32(le32), 0x80fe1234u);
}

static void baseline_layouts(void)
{
	SIZE(virtio_gpio_request, 8);
	OFFSET(virtio_gpio_request, type, 0);
	OFFSET(virtio_gpio_request, gpio, 2);
	OFFSET(virtio_gpio_request, value, 4);
	SIZE(rpmsg_gpio_reply, 3);
	OFFSET(rpmsg_gpio_reply, status, 1);
	OFFSET(rpmsg_gpio_reply, value, 2);
	SIZE(rpmsg_gpio_irq, 3);
	OFFSET(rpmsg_gpio_irq, gpio, 1);
	SIZE(rpmsg_gpio_padded_reply, 4);
	OFFSET(rpmsg_gpio_padded_reply, status, 2);
	OFFSET(rpmsg_gpio_padded_reply, value, 3);
	SIZE(rpmsg_gpio_padded_irq, 4);
	OFFSET(rpmsg_gpio_padded_irq, gpio, 2);
}

static void extended_layouts(void)
{
	SIZE(rpmsg_gpio_ext_request, 12);
	OFFSET(rpmsg_gpio_ext_request, tag, 8);
	OFFSET(rpmsg_gpio_ext_request, reserved, 10);
	SIZE(rpmsg_gpio_ext_reply, 8);
	OFFSET(rpmsg_gpio_ext_reply, status, 2);
	OFFSET(rpmsg_gpio_ext_reply, value, 3);
	OFFSET(rpmsg_gpio_ext_reply, tag, 4);
	OFFSET(rpmsg_gpio_ext_reply, epoch, 6);
	SIZE(rpmsg_gpio_features, 8);
	OFFSET(rpmsg_gpio_features, epoch, 4);
	SIZE(virtio_gpio_config, 8);
	OFFSET(virtio_gpio_config, gpio_names_size, 4);
	SIZE(rpmsg_gpio_config_body, 40);
	OFFSET(rpmsg_gpio_config_body, label, 8);
	SIZE(rpmsg_gpio_epoch_body, 4);
	SIZE(rpmsg_gpio_event, 8);
	OFFSET(rpmsg_gpio_event, flags, 1);
	OFFSET(rpmsg_gpio_event, gpio, 2);
	OFFSET(rpmsg_gpio_event, sequence, 4);
	SIZE(rpmsg_gpio_timed_event, 16);
	OFFSET(rpmsg_gpio_timed_event, timestamp, 8);
	SIZE(rpmsg_gpio_credits_body, 8);
	OFFSET(rpmsg_gpio_credits_body, sent, 4);
	SIZE(rpmsg_gpio_time_body, 8);
	SIZE(rpmsg_gpio_mask_body, 8);
	SIZE(rpmsg_gpio_bits_body, 8);
	SIZE(rpmsg_gpio_values_body, 16);
	OFFSET(rpmsg_gpio_values_body, bits, 8);
	SIZE(rpmsg_gpio_caps_body, 8);
	OFFSET(rpmsg_gpio_caps_body, max_debounce_us, 4);
	SIZE(rpmsg_gpio_line_config_body, 8);
	OFFSET(rpmsg_gpio_line_config_body, debounce_us, 4);
	CHECK_EQ(RPMSG_GPIO_MESSAGE_MAX, 496);
	CHECK_EQ(RPMSG_GPIO_NAMES_PIECE, 488);
}

/* ---- the examples -------------------------------------------------------- */

static void baseline_examples(void)
{
	boot(0, RPMSG_GPIO_DIALECT_DOCUMENTED);
	say("02 00 00 00 00 00 00 00", "00 00 00");
	say("05 00 00 00 01 00 00 00", "00 00 00");
	say("03 00 00 00 01 00 00 00", "00 00 00");
	say("04 00 00 00 00 00 00 00", "00 00 01");
	say("03 00 02 00 02 00 00 00", "00 00 00");
	say("02 00 02 00 00 00 00 00", "00 00 02");
	say("06 00 02 00 03 00 00 00", "00 00 00");
	interrupt(2, "01 02 00");
	say("06 00 02 00 03 00 00 00", "00 00 00");
	say("06 00 02 00 00 00 00 00", "00 00 00");
	say("03 00 02 00 00 00 00 00", "00 00 00");
	say("04 00 09 00 00 00 00 00", "00 01 00");
	say("ff 7f 00 00 00 00 00 00", "00 01 00");
	say("02 00 00", "00 01 00");
	say("00 80 00 00 0f 00 00 00", "00 01 00");
}

static void padded_examples(void)
{
	boot(0, RPMSG_GPIO_DIALECT_PADDED);
	say("02 00 00 00 00 00 00 00", "00 00 00 00");
	say("05 00 00 00 01 00 00 00", "00 00 00 00");
	say("03 00 00 00 01 00 00 00", "00 00 00 00");
	say("04 00 00 00 00 00 00 00", "00 00 00 01");
	say("03 00 02 00 02 00 00 00", "00 00 00 00");
	say("02 00 02 00 00 00 00 00", "00 00 00 02");
	say("06 00 02 00 03 00 00 00", "00 00 00 00");
	interrupt(2, "01 00 02 00");
	say("06 00 02 00 03 00 00 00", "00 00 00 00");
	say("06 00 02 00 00 00 00 00", "00 00 00 00");
	say("03 00 02 00 00 00 00 00", "00 00 00 00");
	say("04 00 09 00 00 00 00 00", "00 00 01 00");
	say("ff 7f 00 00 00 00 00 00", "00 00 01 00");
	say("02 00 00", "00 00 01 00");
	say("00 80 00 00 0f 00 00 00", "00 00 01 00");
}

#define LABEL \
	"62 61 6e 6b 30 00 00 00 00 00 00 00 00 00 00 00 " \
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"

static void extension_examples(void)
{
	boot(FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED);
	say("00 80 00 00 0f 00 00 00",
	    "00 00 00 00 00 00 00 00 0f 00 00 00 d4 c3 b2 a1");
	say("01 80 00 00 10 00 00 00", "00 01 00");
	say("01 80 00 00 0f 00 00 00", "00 00 00");
	say("02 80 00 00 00 00 00 00 01 00 00 00",
	    "00 00 00 00 01 00 d4 c3 04 00 00 00 0e 00 00 00 " LABEL);
	say("01 00 00 00 00 00 00 00 02 00 00 00",
	    "00 00 00 00 02 00 d4 c3 4c 45 44 30 00 00 42 55 54 54 4f 4e 00 00");
	say("01 00 00 00 0e 00 00 00 03 00 00 00", "00 00 00 00 03 00 d4 c3");
	say("03 80 00 00 00 00 00 00 04 00 00 00",
	    "00 00 00 00 04 00 d4 c3 d4 c3 b2 a1");
	say("05 00 00 00 01 00 00 00 05 00 00 00", "00 00 00 00 05 00 d4 c3");
	say("03 00 00 00 01 00 00 00 06 00 00 00", "00 00 00 00 06 00 d4 c3");
	say("04 00 00 00 00 00 00 00 34 12 00 00", "00 00 00 01 34 12 d4 c3");
	say("05 00 00 00 02 00 00 00 07 00 00 00", "00 00 01 00 07 00 d4 c3");
}

static void config_alone_example(void)
{
	boot(FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED);
	say("01 80 00 00 01 00 00 00", "00 00 00");
	say("02 80 00 00 00 00 00 00 00 00 00 00",
	    "00 00 00 00 00 00 00 00 04 00 00 00 0e 00 00 00 " LABEL);
	say("04 00 00 00 00 00 00 00 34 12 00 00", "00 01 00");
}

static void streaming_examples(void)
{
	static struct rpmsg_gpio_stream streams[NGPIO];
	static struct rpmsg_gpio_edge edges[4];

	boot(FEATURES | RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | RPMSG_GPIO_F_BULK |
	     RPMSG_GPIO_F_LINE_CONFIG, RPMSG_GPIO_DIALECT_DOCUMENTED);
	config.streams = streams;
	config.edges = edges;
	config.edge_count = 4;
	rpmsg_gpio_device_init(&device, &config);
	levels[2] = 1;
	say("01 80 00 00 f3 00 00 00", "00 00 00");
	say("06 00 02 00 03 00 00 00", "00 00 00");
	rpmsg_gpio_device_edge(&device, 2, true, now);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(sent_length, 0);
	say("10 80 02 00 04 00 00 00 00 00 00 00",
	    "00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00");
	expect("01 01 02 00 01 00 00 00 08 07 06 05 04 03 02 01");
	rpmsg_gpio_device_edge(&device, 2, false, now + 1);
	rpmsg_gpio_device_edge(&device, 2, true, now + 2);
	CHECK(rpmsg_gpio_device_run(&device));
	expect("01 00 02 00 02 00 00 00 09 07 06 05 04 03 02 01 "
	       "01 01 02 00 03 00 00 00 0a 07 06 05 04 03 02 01");
	say("20 80 00 00 00 00 00 00 00 00 00 00",
	    "00 00 00 00 00 00 00 00 08 07 06 05 04 03 02 01");
	say("31 80 00 00 02 00 00 00 00 00 00 00 "
	    "03 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00", "00 00 00 00 00 00 00 00");
	say("30 80 01 00 03 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00",
	    "00 00 00 02 00 00 00 00 02 00 00 00 00 00 00 00");
	say("30 80 01 00 03 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00",
	    "00 00 01 00 00 00 00 00");
	say("30 80 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 00",
	    "00 00 01 00 00 00 00 00");
	say("40 80 02 00 00 00 00 00 00 00 00 00",
	    "00 00 00 12 00 00 00 00 25 00 00 00 10 27 00 00");
	say("41 80 02 00 89 13 00 00 00 00 00 00 01 00 00 00 88 13 00 00",
	    "00 00 00 00 00 00 00 00");
	say("41 80 02 00 00 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00",
	    "00 00 01 00 00 00 00 00");
}

static void an_event_carries_16_bits_of_line(void)
{
	static struct rpmsg_gpio_line many[301];

	boot(0, RPMSG_GPIO_DIALECT_DOCUMENTED);
	config.lines = many;
	config.ngpio = 301;
	rpmsg_gpio_device_init(&device, &config);
	say("06 00 2c 01 01 00 00 00", "00 00 00");
	interrupt(300, "01 2c 01");
	config.dialect = RPMSG_GPIO_DIALECT_PADDED;
	say("06 00 2c 01 01 00 00 00", "00 00 00 00");
	interrupt(300, "01 00 2c 01");
}

int main(void)
{
	RUN(integers_are_little_endian);
	RUN(baseline_layouts);
	RUN(extended_layouts);
	RUN(baseline_examples);
	RUN(padded_examples);
	RUN(extension_examples);
	RUN(config_alone_example);
	RUN(streaming_examples);
	RUN(an_event_carries_16_bits_of_line);
	return check_report();
}
