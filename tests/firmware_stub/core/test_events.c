/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CREDITS, TIMESTAMP, BULK and LINE_CONFIG of the device: docs/protocol.md
 * section 11.
 */
#include <stdlib.h>

#include "check.h"
#include "rpmsg_gpio_device.h"

#define NGPIO 70
#define FIFO 8
#define EVENTS_MAX 4096

#define CREDITS RPMSG_GPIO_F_CREDITS
#define TIMESTAMP RPMSG_GPIO_F_TIMESTAMP
#define BULK RPMSG_GPIO_F_BULK
#define LINE_CONFIG RPMSG_GPIO_F_LINE_CONFIG
#define ALL (CREDITS | TIMESTAMP | BULK | LINE_CONFIG)

#define SET_DIRECTION VIRTIO_GPIO_MSG_SET_DIRECTION
#define SET_IRQ_TYPE VIRTIO_GPIO_MSG_SET_IRQ_TYPE
#define BOTH VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
#define LEVEL_HIGH VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH
#define OK VIRTIO_GPIO_STATUS_OK
#define ERR VIRTIO_GPIO_STATUS_ERR

struct event {
	uint16_t gpio;
	uint8_t flags;
	uint32_t sequence;
	uint64_t timestamp;
};

static struct rpmsg_gpio_line lines[NGPIO];
static struct rpmsg_gpio_stream streams[NGPIO];
static struct rpmsg_gpio_edge fifo[FIFO];
static struct rpmsg_gpio_device device;
static struct rpmsg_gpio_device_config config;
static struct rpmsg_gpio_port port;
static uint8_t pins[NGPIO], types[NGPIO];
static unsigned int port_calls, set_configs;
static uint32_t config_flags, config_debounce;
static int refuses; /* a line that takes no value, or -1 */
static uint64_t clock_ns;
static bool no_room;
static struct event events[EVENTS_MAX];
static unsigned int event_count, message_count;
static unsigned int events_before_reply;
static uint8_t reply[RPMSG_GPIO_MESSAGE_MAX];
static size_t reply_length;
static size_t record_size;
/* Stands for an interrupt that comes while the main loop runs the device. */
static void (*interrupt)(void);

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	if (direction == VIRTIO_GPIO_DIRECTION_OUT)
		pins[gpio] = value;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	port_calls++;
	if (gpio == refuses)
		return false;
	pins[gpio] = value;
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = pins[gpio];
	return gpio != refuses;
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	types[gpio] = type;
	if (type == LEVEL_HIGH && pins[gpio])
		rpmsg_gpio_device_irq(&device, gpio);
	return true;
}

static uint64_t get_time(void *context)
{
	(void)context;
	return clock_ns;
}

static bool set_values(void *context, uint16_t first, uint64_t mask, uint64_t values)
{
	(void)context;
	port_calls++;
	for (uint16_t n = 0; n < 64; n++)
		if (mask >> n & 1)
			pins[first + n] = (uint8_t)(values >> n & 1);
	return true;
}

static bool get_values(void *context, uint16_t first, uint64_t mask, uint64_t *values)
{
	(void)context;
	(void)mask;
	port_calls++;
	for (uint16_t n = 0; n < 64 && first + n < NGPIO; n++)
		*values |= (uint64_t)pins[first + n] << n;
	return true;
}

static void get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	(void)context;
	*caps = gpio == 1 ? 0 : RPMSG_GPIO_LINE_BIAS | RPMSG_GPIO_LINE_OPEN_DRAIN |
				RPMSG_GPIO_LINE_OPEN_SOURCE;
	if (gpio == 2)
		*caps |= RPMSG_GPIO_LINE_DEBOUNCE;
	*max_debounce_us = 1000; /* also where there is no filter: the bit decides */
}

static bool set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	(void)context;
	(void)gpio;
	set_configs++;
	config_flags = flags;
	config_debounce = debounce_us;
	return true;
}

static void note_event(const uint8_t *record)
{
	struct rpmsg_gpio_timed_event wire = {0};
	struct event *event = &events[event_count++ % EVENTS_MAX];

	memcpy(&wire, record, record_size);
	CHECK_EQ(wire.event.queue, RPMSG_GPIO_QUEUE_EVENT);
	event->gpio = rpmsg_gpio_load16(wire.event.gpio);
	event->flags = wire.event.flags;
	event->sequence = rpmsg_gpio_load32(wire.event.sequence);
	event->timestamp = rpmsg_gpio_load64(wire.timestamp);
}

static bool channel_send(void *context, const void *message, size_t length)
{
	const uint8_t *bytes = message;

	(void)context;
	if (interrupt)
		interrupt();
	if (no_room)
		return false;
	CHECK(length <= RPMSG_GPIO_MESSAGE_MAX);
	if (bytes[0] == RPMSG_GPIO_QUEUE_REQUEST) {
		memcpy(reply, bytes, length);
		reply_length = length;
		events_before_reply = event_count;
		return true;
	}
	message_count++;
	CHECK_EQ(length % record_size, 0);
	for (size_t at = 0; at + record_size <= length; at += record_size)
		note_event(bytes + at);
	return true;
}

static const struct rpmsg_gpio_channel channel = {.send = channel_send};
/* A record a message: there is time between them for an interrupt. */
static const struct rpmsg_gpio_channel slow_channel = {.send = channel_send, .event_max = 16};

/* Start the device with these features offered and accepted. */
static void boot(uint32_t features)
{
	memset(pins, 0, sizeof(pins));
	port = (struct rpmsg_gpio_port){
		.set_direction = set_direction, .set_value = set_value,
		.get_value = get_value, .set_irq_type = set_irq_type,
		.get_time = get_time, .get_caps = get_caps, .set_config = set_config,
	};
	config = (struct rpmsg_gpio_device_config){
		.port = &port, .channel = &channel, .lines = lines, .ngpio = NGPIO,
		.streams = streams, .edges = fifo, .edge_count = FIFO, .features = features,
	};
	memset(lines, 0xee, sizeof(lines));
	memset(streams, 0xee, sizeof(streams));
	rpmsg_gpio_device_init(&device, &config);
	device.features = features;
	no_room = false;
	interrupt = NULL;
	refuses = -1;
	port_calls = set_configs = event_count = message_count = 0;
	record_size = features & TIMESTAMP ? 16 : features & CREDITS ? 8 : 4;
	clock_ns = 1000;
}

/* Send a request of the extended form; its status, the body in `reply`. */
static int ask(uint16_t type, uint16_t gpio, uint32_t value, const void *body, size_t size)
{
	uint8_t bytes[64] = {0};
	struct rpmsg_gpio_ext_request head = {
		.request = {rpmsg_gpio_store16(type), rpmsg_gpio_store16(gpio),
			    rpmsg_gpio_store32(value)},
	};

	memcpy(bytes, &head, sizeof(head));
	if (size)
		memcpy(bytes + sizeof(head), body, size);
	reply_length = 0;
	CHECK(rpmsg_gpio_device_receive(&device, bytes, sizeof(head) + size));
	rpmsg_gpio_device_run(&device);
	CHECK(reply_length >= 4);
	return reply[2];
}

/* A request whose reply comes before the main loop looks at edges. */
static int set_only(uint16_t type, uint16_t gpio, uint32_t value)
{
	struct virtio_gpio_request request = {rpmsg_gpio_store16(type), rpmsg_gpio_store16(gpio),
					      rpmsg_gpio_store32(value)};

	reply_length = 0;
	CHECK(rpmsg_gpio_device_receive(&device, &request, sizeof(request)));
	return reply_length == 4 ? reply[2] : -1;
}

static int set(uint16_t type, uint16_t gpio, uint32_t value)
{
	int status = set_only(type, gpio, value);

	rpmsg_gpio_device_run(&device);
	return status;
}

static int grant(uint16_t gpio, uint32_t value)
{
	return ask(RPMSG_GPIO_MSG_GRANT_CREDITS, gpio, value, NULL, 0);
}

static uint32_t body32(size_t at)
{
	rpmsg_gpio_le32 value;

	memcpy(&value, reply + 8 + at, sizeof(value));
	return rpmsg_gpio_load32(value);
}

static void edge(uint16_t gpio)
{
	pins[gpio] = !pins[gpio];
	rpmsg_gpio_device_edge(&device, gpio, pins[gpio], ++clock_ns);
}

static void edges(uint16_t gpio, unsigned int count)
{
	while (count--) {
		edge(gpio);
		CHECK(rpmsg_gpio_device_run(&device));
	}
}

static void expect_event(unsigned int n, uint16_t gpio, uint32_t sequence, uint64_t timestamp)
{
	CHECK_EQ(events[n].gpio, gpio);
	CHECK_EQ(events[n].sequence, sequence);
	CHECK_EQ(events[n].flags, sequence & 1 ? RPMSG_GPIO_EVENT_HIGH : 0);
	CHECK_EQ(events[n].timestamp, timestamp);
}

/* ---- credits --------------------------------------------------------------- */

static void edges_stream_while_there_are_credits(void)
{
	boot(CREDITS | TIMESTAMP);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(grant(3, 10), OK);
	CHECK_EQ(body32(0), 10);
	CHECK_EQ(body32(4), 0);
	edges(3, 10);
	CHECK_EQ(event_count, 10);
	for (uint32_t n = 0; n < 10; n++)
		expect_event(n, 3, n + 1, 1001 + n);
	CHECK(!rpmsg_gpio_device_armed(&device, 3));
	CHECK_EQ(grant(3, 11), OK);
	CHECK_EQ(body32(4), 10);
	CHECK(rpmsg_gpio_device_armed(&device, 3));
}

static void without_credits_edges_are_counted_and_the_latest_is_kept(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	edges(3, 4);
	CHECK_EQ(event_count, 0);
	grant(3, 2);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 4, 0);
	edges(3, 5);
	CHECK_EQ(event_count, 2);
	expect_event(1, 3, 5, 0);
	grant(3, 100);
	CHECK_EQ(event_count, 3);
	expect_event(2, 3, 9, 0); /* 6 to 8 are lost, and the gap says so */
}

static void a_burst_shares_messages(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	set(SET_IRQ_TYPE, 5, BOTH);
	grant(3, 100);
	grant(5, 100);
	for (int n = 0; n < FIFO / 2; n++) {
		edge(3);
		edge(5);
	}
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, FIFO);
	CHECK_EQ(message_count, 1);
}

static void a_grant_is_idempotent_and_never_taken_back(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 5);
	CHECK_EQ(grant(3, 5), OK);
	CHECK_EQ(grant(3, 2), OK); /* late */
	CHECK_EQ(body32(0), 5);
	edges(3, 9);
	CHECK_EQ(event_count, 5);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK); /* no re-arm */
	CHECK_EQ(event_count, 5);
	CHECK_EQ(grant(3, 5 + 0x80000001u), OK);
	CHECK_EQ(body32(0), 5);
}

static void counters_wrap(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	streams[3].granted = streams[3].sent = 0xfffffffeu;
	rpmsg_gpio_device_lost(&device, 3, 0xfffffffeu);
	streams[3].last = 0xfffffffeu;
	grant(3, 2);
	edges(3, 6);
	CHECK_EQ(event_count, 4);
	CHECK_EQ(events[3].sequence, 2);
}

static void none_forgets_credits_and_edges(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 5);
	edges(3, 8);
	event_count = 0;
	edge(3); /* on its way when NONE comes */
	CHECK(rpmsg_gpio_device_receive(&device, "\6\0\3\0\0\0\0\0", 8));
	CHECK(rpmsg_gpio_device_receive(&device, "\6\0\3\0\3\0\0\0", 8));
	CHECK_EQ(grant(3, 5), OK);
	CHECK_EQ(event_count, 0);
	edges(3, 1);
	CHECK_EQ(event_count, 1);
	CHECK_EQ(events[0].sequence, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, VIRTIO_GPIO_IRQ_TYPE_NONE), OK);
	CHECK_EQ(grant(3, 9), ERR);
	CHECK_EQ(grant(NGPIO, 9), ERR);
}

static void level_types_are_rearmed_with_records(void)
{
	boot(CREDITS | TIMESTAMP);
	pins[3] = 1;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK_EQ(grant(3, 9), ERR);
	CHECK_EQ(event_count, 1);
	CHECK_EQ(events[0].flags, RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE);
	CHECK_EQ(events[0].sequence, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK_EQ(event_count, 2);
	CHECK_EQ(events[1].sequence, 2);
	CHECK(!rpmsg_gpio_device_armed(&device, 3));
	pins[3] = 0;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK(rpmsg_gpio_device_armed(&device, 3));
}

/* The kernel driver in review re-arms twice: the second one finds an armed line. */
static void a_rearm_of_an_armed_level_counts_nothing(void)
{
	boot(CREDITS);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	pins[3] = 1;
	rpmsg_gpio_device_irq(&device, 3);
	CHECK(rpmsg_gpio_device_receive(&device, "\6\0\3\0\4\0\0\0", 8)); /* not sent yet */
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 1);
	CHECK_EQ(events[0].sequence, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK_EQ(event_count, 2);
	CHECK_EQ(events[1].sequence, 2);
}

static void a_line_without_credits_holds_up_no_other(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	set(SET_IRQ_TYPE, 4, BOTH);
	grant(4, 1000);
	for (int n = 0; n < 100; n++) {
		edge(3);
		edge(4);
		CHECK(rpmsg_gpio_device_run(&device));
	}
	CHECK_EQ(event_count, 100);
	CHECK_EQ(events[99].gpio, 4);
	CHECK_EQ(events[99].sequence, 100);
}

static void a_grant_is_answered_before_what_it_frees(void)
{
	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	edges(3, 2);
	CHECK_EQ(grant(3, 4), OK);
	CHECK_EQ(events_before_reply, 0);
	CHECK_EQ(body32(4), 0);
	CHECK_EQ(event_count, 1);
	edge(3); /* has a credit, but is not sent yet: comes behind the reply */
	CHECK_EQ(grant(3, 5), OK);
	CHECK_EQ(events_before_reply, 1);
	CHECK_EQ(body32(4), 1);
	CHECK_EQ(event_count, 2);
	CHECK_EQ(grant(3, 6), OK);
	CHECK_EQ(body32(4), 2);
}

/* ---- interrupts that are enabled while the features change ------------------- */

static int accept(uint32_t features)
{
	record_size = features & TIMESTAMP ? 16 : features & CREDITS ? 8 : 4;
	return set(RPMSG_GPIO_MSG_SET_FEATURES, 0, features);
}

/* Both edges, in the baseline: the event of the first of `count` edges is sent. */
static void boot_masked(unsigned int count)
{
	boot(ALL);
	device.features = 0;
	record_size = 4;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	edges(3, count);
	CHECK_EQ(message_count, 1);
	event_count = 0;
}

/* It counts, but it is not on its way. */
static void an_edge_that_had_a_plain_event_disarms_nothing(void)
{
	static const uint32_t features[] = {TIMESTAMP, CREDITS, CREDITS | TIMESTAMP};

	for (int n = 0; n < 3; n++) {
		boot_masked(1);
		CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
		CHECK_EQ(accept(features[n]), OK);
		if (features[n] & CREDITS) {
			CHECK(!rpmsg_gpio_device_armed(&device, 3));
			CHECK_EQ(grant(3, 1), OK);
		}
		CHECK(rpmsg_gpio_device_armed(&device, 3));
		edge(3);
		CHECK(!rpmsg_gpio_device_armed(&device, 3));
		CHECK(rpmsg_gpio_device_run(&device));
		CHECK_EQ(event_count, 1);
		CHECK_EQ(events[0].sequence, 2);
		CHECK(!rpmsg_gpio_device_armed(&device, 3));
	}
}

static void credits_end_a_mask(void)
{
	boot_masked(1);
	CHECK_EQ(accept(CREDITS), OK);
	CHECK_EQ(grant(3, 1), OK);
	CHECK_EQ(body32(4), 0); /* what was sent before is not counted */
	edges(3, 1);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 2, 0);
}

static void credits_keep_what_was_latched(void)
{
	boot_masked(3);
	CHECK_EQ(accept(CREDITS), OK);
	CHECK_EQ(event_count, 0);
	CHECK_EQ(grant(3, 1), OK);
	CHECK_EQ(event_count, 1);
	CHECK_EQ(events[0].sequence, 3);
	CHECK_EQ(events[0].flags, RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE);
}

static void the_end_of_credits_arms(void)
{
	boot_masked(1);
	CHECK_EQ(accept(CREDITS), OK);
	edges(3, 2); /* kept for want of credits */
	CHECK_EQ(accept(TIMESTAMP), OK);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 3, 1003);
	edges(3, 1);
	CHECK_EQ(event_count, 1); /* masked again */
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(event_count, 2);
	expect_event(1, 3, 4, 1004);
}

/* Also where nothing was sent in between, so that the mask does not come back. */
static void a_mask_does_not_come_back(void)
{
	boot_masked(1);
	CHECK(rpmsg_gpio_device_receive(&device, "\1\200\0\0\20\0\0\0", 8)); /* CREDITS */
	CHECK(rpmsg_gpio_device_receive(&device, "\1\200\0\0\0\0\0\0", 8));
	edges(3, 1);
	CHECK_EQ(event_count, 1);
}

static void numbers_and_credits_outlive_the_features(void)
{
	boot(ALL);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(grant(3, 5), OK);
	edges(3, 2);
	CHECK_EQ(accept(0), OK);
	edges(3, 1);
	CHECK_EQ(accept(CREDITS), OK);
	event_count = 0;
	edges(3, 1);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 4, 0);
	CHECK_EQ(grant(3, 1), OK);
	CHECK_EQ(body32(0), 5);
	CHECK_EQ(body32(4), 3); /* of the four, one was sent without CREDITS */
}

/* An event that tells the latest edge leaves none behind to tell again. */
static void no_edge_is_told_twice(void)
{
	boot(ALL);
	device.features = 0;
	record_size = 4;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	no_room = true;
	for (int n = 0; n < 2; n++) {
		edge(3);
		CHECK(!rpmsg_gpio_device_run(&device));
	}
	no_room = false;
	device.features = TIMESTAMP;
	record_size = 16;
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 1);
	CHECK_EQ(events[0].sequence, 2);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(event_count, 1);
	edges(3, 1);
	CHECK_EQ(event_count, 2);
}

/* One that came without records is later than one that was latched with its record. */
static void the_latest_is_latched_over_a_change(void)
{
	boot(TIMESTAMP);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	edges(3, 2); /* sent, and latched with its record */
	CHECK_EQ(event_count, 1);
	CHECK_EQ(accept(0), OK);
	edges(3, 1);
	CHECK_EQ(accept(TIMESTAMP), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(event_count, 2);
	CHECK_EQ(events[1].sequence, 3);
	CHECK_EQ(events[1].flags, RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE);
}

static void a_mask_of_a_level_type_stays(void)
{
	boot(ALL);
	device.features = 0;
	record_size = 4;
	pins[3] = 1;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK_EQ(event_count, 1);
	CHECK_EQ(accept(CREDITS), OK);
	CHECK_EQ(event_count, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LEVEL_HIGH), OK);
	CHECK_EQ(event_count, 2);
	CHECK_EQ(events[1].sequence, 2);
	CHECK_EQ(events[1].flags, RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE);
}

/* ---- no room --------------------------------------------------------------- */

static void edges_wait_for_a_transmit_buffer(void)
{
	boot(CREDITS | TIMESTAMP);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	no_room = true;
	edge(3);
	CHECK(!rpmsg_gpio_device_run(&device));
	for (int n = 0; n < FIFO; n++)
		edge(3);
	CHECK(!rpmsg_gpio_device_run(&device));
	CHECK(!rpmsg_gpio_device_armed(&device, 3));
	no_room = false;
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 1 + FIFO);
	expect_event(FIFO, 3, 1 + FIFO, 1001 + FIFO);
}

static void what_finds_the_fifo_full_shows_late(void)
{
	boot(CREDITS | TIMESTAMP);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	for (int n = 0; n < FIFO + 5; n++)
		edge(3);
	clock_ns = 9999;
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, FIFO + 1);
	CHECK_EQ(device.counters.overruns, 5);
	CHECK_EQ(events[FIFO].sequence, FIFO + 5);
	CHECK_EQ(events[FIFO].flags, RPMSG_GPIO_EVENT_LATE |
				     ((FIFO + 5) & 1 ? RPMSG_GPIO_EVENT_HIGH : 0));
	CHECK_EQ(events[FIFO].timestamp, 9999);
	edges(3, 1);
	CHECK_EQ(event_count, FIFO + 2);
	CHECK_EQ(events[FIFO + 1].sequence, FIFO + 6);
}

static void one_edge(void)
{
	interrupt = NULL;
	edge(3);
	clock_ns += 100;
}

/* The edge that found the FIFO full is older than one that found room meanwhile. */
static void a_late_edge_is_not_sent_before_a_newer_one(void)
{
	boot(CREDITS | TIMESTAMP);
	config.channel = &slow_channel;
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	for (int n = 0; n < FIFO + 1; n++)
		edge(3);
	interrupt = one_edge;
	while (!rpmsg_gpio_device_run(&device) || device.pending)
		;
	CHECK_EQ(event_count, FIFO + 1);
	expect_event(FIFO, 3, FIFO + 2, 1000 + FIFO + 2);
}

static void fill_again(void)
{
	interrupt = NULL;
	for (int n = 0; n < FIFO; n++)
		edge(3);
}

static void an_edge_that_was_stored_is_sent(void)
{
	boot(CREDITS | TIMESTAMP);
	config.channel = &slow_channel;
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	for (int n = 0; n < FIFO; n++)
		edge(3);
	interrupt = fill_again; /* some of them, when some have gone */
	while (!rpmsg_gpio_device_run(&device) || device.pending)
		;
	CHECK(event_count > FIFO + 1);
	for (unsigned int n = 0; n + 1 < event_count; n++)
		expect_event(n, 3, n + 1, 1001 + n);
	CHECK_EQ(events[event_count - 1].sequence, 2 * FIFO);
	CHECK(events[event_count - 1].flags & RPMSG_GPIO_EVENT_LATE);
}

static bool look_and_edge(void *context, uint16_t gpio, uint8_t *value)
{
	(void)get_value(context, gpio, value);
	one_edge();
	return true;
}

/* The firing of a line that was enabled before there were records: an edge while
 * the device looks at the pin is the next one. */
static void an_edge_behind_the_look_is_not_lost(void)
{
	boot(CREDITS | TIMESTAMP);
	device.features = 0;
	set(SET_IRQ_TYPE, 3, BOTH);
	edge(3);
	device.features = CREDITS | TIMESTAMP;
	port.get_value = look_and_edge;
	grant(3, 100);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 2);
	CHECK_EQ(events[0].flags & RPMSG_GPIO_EVENT_LATE, RPMSG_GPIO_EVENT_LATE);
	CHECK_EQ(events[0].sequence, 1);
	CHECK(events[0].timestamp < events[1].timestamp);
	expect_event(1, 3, 2, 1002);
}

/* Of an overflow long ago nothing is left that could be taken for a new edge. */
static void an_old_overflow_is_over(void)
{
	boot(CREDITS | TIMESTAMP);
	set(SET_IRQ_TYPE, 3, BOTH);
	set(SET_IRQ_TYPE, 5, BOTH);
	grant(3, 100);
	grant(5, 100);
	for (int n = 0; n < FIFO + 1; n++)
		edge(3);
	CHECK(rpmsg_gpio_device_run(&device));
	/* As after so many edges of line 3, all of them sent. */
	rpmsg_gpio_device_lost(&device, 3, 0x60000000u);
	streams[3].last += 0x60000000u;
	for (int n = 0; n < FIFO + 1; n++)
		edge(5);
	event_count = 0;
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, FIFO + 1);
	for (unsigned int n = 0; n < event_count; n++)
		CHECK_EQ(events[n].gpio, 5);
	event_count = 0;
	edges(3, 1);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 0x60000000u + FIFO + 2, clock_ns);
}

/* Of the number of an edge 15 bits are stored: one too far ahead for them is told as if it had
 * found no room. */
static void an_edge_behind_many_lost_ones_keeps_its_number(void)
{
	boot(CREDITS | TIMESTAMP);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	for (uint32_t lost = 0x7d00; lost < 0x18200; lost += 0x80) {
		uint32_t before = streams[3].last;

		event_count = 0;
		streams[3].sent = 0;
		edge(3);
		rpmsg_gpio_device_lost(&device, 3, lost);
		edge(3);
		CHECK(rpmsg_gpio_device_run(&device));
		CHECK_EQ(event_count, 2);
		CHECK_EQ(events[0].sequence, before + 1);
		CHECK_EQ(events[1].sequence, before + 2 + lost);
		CHECK_EQ(events[1].flags & RPMSG_GPIO_EVENT_HIGH,
			 pins[3] ? RPMSG_GPIO_EVENT_HIGH : 0);
		CHECK_EQ(!(events[1].flags & RPMSG_GPIO_EVENT_LATE), lost + 2 <= 0x7e00);
	}
}

/* However many edges there were in between: these are of an earlier time. */
static void edges_of_a_line_that_was_disabled_are_dropped(void)
{
	for (uint32_t lost = 0; lost < 0x18000; lost += 0x101) {
		boot(CREDITS | TIMESTAMP);
		set(SET_IRQ_TYPE, 3, BOTH);
		grant(3, 100);
		edge(3);
		edge(3);
		rpmsg_gpio_device_lost(&device, 3, lost);
		CHECK_EQ(set_only(SET_IRQ_TYPE, 3, VIRTIO_GPIO_IRQ_TYPE_NONE), OK);
		CHECK_EQ(set_only(SET_IRQ_TYPE, 3, BOTH), OK);
		edge(3);
		CHECK_EQ(grant(3, 100), OK);
		CHECK_EQ(event_count, 1);
		expect_event(0, 3, 1, clock_ns);
	}
}

static bool only_both_edges(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	types[gpio] = type;
	return type == BOTH || type == VIRTIO_GPIO_IRQ_TYPE_NONE;
}

static void a_type_that_the_port_refuses_costs_no_edge(void)
{
	boot(CREDITS | TIMESTAMP);
	port.set_irq_type = only_both_edges;
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	edge(3);
	edge(3);
	CHECK_EQ(set_only(SET_IRQ_TYPE, 3, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING), ERR);
	CHECK_EQ(types[3], BOTH);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 2);
	expect_event(0, 3, 1, 1001);
	expect_event(1, 3, 2, 1002);
}

/* An edge on its way, or kept for want of credits, when the features change. */
static void an_edge_outlives_the_features(void)
{
	for (int kept = 0; kept < 2; kept++) {
		boot(CREDITS | TIMESTAMP);
		set(SET_IRQ_TYPE, 3, BOTH);
		edge(3);
		if (kept)
			CHECK(rpmsg_gpio_device_run(&device));
		CHECK_EQ(event_count, 0);
		record_size = 4;
		CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, 0), OK);
		while (!rpmsg_gpio_device_run(&device) || device.pending)
			;
		CHECK_EQ(event_count, 1);
	}
}

/* Without a buffer for the reply before it a request waits, and is not overtaken. */
static void a_burst_does_not_starve_requests(void)
{
	static const struct virtio_gpio_request get = {
		{{VIRTIO_GPIO_MSG_GET_VALUE, 0}}, {{0, 0}}, {{0, 0, 0, 0}}};

	boot(CREDITS);
	set(SET_IRQ_TYPE, 3, BOTH);
	grant(3, 100);
	no_room = true;
	CHECK(rpmsg_gpio_device_receive(&device, &get, sizeof(get)));
	CHECK(!rpmsg_gpio_device_receive(&device, &get, sizeof(get)));
	edge(3);
	no_room = false;
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 0);
	CHECK(rpmsg_gpio_device_receive(&device, &get, sizeof(get)));
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(event_count, 1);
}

/* ---- timestamps without credits ----------------------------------------------- */

static void timestamps_alone_keep_the_rearm(void)
{
	boot(TIMESTAMP);
	set(SET_IRQ_TYPE, 3, BOTH);
	edges(3, 4);
	CHECK_EQ(event_count, 1);
	expect_event(0, 3, 1, 1001);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(event_count, 2);
	expect_event(1, 3, 4, 1004); /* the latest */
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(event_count, 2);
	CHECK(rpmsg_gpio_device_armed(&device, 3));
	CHECK_EQ(grant(3, 9), ERR);
}

static void the_clock_can_be_read(void)
{
	boot(TIMESTAMP);
	clock_ns = UINT64_C(0x123456789abc);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_GET_TIME, 0, 0, NULL, 0), OK);
	CHECK_EQ(reply_length, 16);
	CHECK_EQ(body32(0), 0x56789abcu);
	CHECK_EQ(body32(4), 0x1234);
}

static void the_baseline_is_as_before(void)
{
	boot(0);
	set(SET_IRQ_TYPE, 3, BOTH);
	record_size = 4;
	edge(3);
	edge(3);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(message_count, 1);
	edge(3);
	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(message_count, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(message_count, 2);
}

static void what_the_port_lacks_is_not_offered(void)
{
	static const uint32_t offers[] = {ALL, BULK | LINE_CONFIG, ALL & ~TIMESTAMP,
					  ALL & ~LINE_CONFIG};

	for (int n = 0; n < 4; n++) {
		rpmsg_gpio_le32 features;

		boot(ALL);
		config.streams = n == 1 ? NULL : streams;
		port.get_time = n == 2 ? NULL : get_time;
		port.get_caps = n == 3 ? NULL : get_caps;
		CHECK(rpmsg_gpio_device_receive(&device, "\0\x80\0\0\0\0\0\0", 8));
		memcpy(&features, reply + 8, sizeof(features));
		CHECK_EQ(rpmsg_gpio_load32(features), offers[n]);
	}
}

/* Every subset of the four: each type is answered as its feature says. */
static void each_feature_is_refused_alone(void)
{
	static const struct { uint16_t type; uint32_t feature; size_t body; } types_of[] = {
		{RPMSG_GPIO_MSG_GRANT_CREDITS, CREDITS, 0},
		{RPMSG_GPIO_MSG_GET_TIME, TIMESTAMP, 0},
		{RPMSG_GPIO_MSG_GET_VALUES, BULK, 8},
		{RPMSG_GPIO_MSG_SET_VALUES, BULK, 16},
		{RPMSG_GPIO_MSG_GET_LINE_CAPS, LINE_CONFIG, 0},
		{RPMSG_GPIO_MSG_SET_LINE_CONFIG, LINE_CONFIG, 8},
	};
	static const uint8_t zeros[40];

	for (uint32_t subset = 0; subset <= ALL; subset += CREDITS) {
		for (int t = 0; t < 6; t++) {
			bool accepted = subset & types_of[t].feature;

			for (size_t body = 0; body <= 20; body++) {
				boot(ALL);
				record_size = 4;
				set(SET_IRQ_TYPE, 0, BOTH);
				device.features = subset;
				CHECK_EQ(ask(types_of[t].type, 0, 0, zeros, body),
					 accepted && body == types_of[t].body ? OK : ERR);
			}
		}
	}
}

/* ---- bulk ------------------------------------------------------------------- */

static int get_bulk(uint16_t first, uint64_t mask, uint64_t *bits)
{
	struct rpmsg_gpio_mask_body body = {rpmsg_gpio_store64(mask)};
	int status = ask(RPMSG_GPIO_MSG_GET_VALUES, first, 0, &body, sizeof(body));

	*bits = status == OK ? body32(0) | (uint64_t)body32(4) << 32 : 0;
	return status;
}

static int set_bulk(uint16_t first, uint64_t mask, uint64_t bits)
{
	struct rpmsg_gpio_values_body body = {rpmsg_gpio_store64(mask), rpmsg_gpio_store64(bits)};

	return ask(RPMSG_GPIO_MSG_SET_VALUES, first, 0, &body, sizeof(body));
}

static void boot_outputs(bool at_once)
{
	boot(BULK);
	if (at_once) {
		port.set_values = set_values;
		port.get_values = get_values;
	}
	for (uint16_t gpio = 0; gpio < NGPIO - 1; gpio++)
		CHECK_EQ(set(SET_DIRECTION, gpio, VIRTIO_GPIO_DIRECTION_OUT), OK);
}

static void many_lines_are_set_and_read(void)
{
	for (int at_once = 0; at_once < 2; at_once++) {
		uint64_t bits;

		boot_outputs(at_once);
		CHECK_EQ(set_bulk(4, UINT64_MAX, UINT64_C(0x8000000000000005)), OK);
		CHECK_EQ(port_calls, at_once ? 1 : 64);
		CHECK(pins[4] && !pins[5] && pins[6] && pins[67] && !pins[66]);
		CHECK_EQ(get_bulk(4, UINT64_C(0xc000000000000004), &bits), OK);
		CHECK(bits == UINT64_C(0x8000000000000004));
		CHECK_EQ(set_bulk(0, 0, 0), OK);
		CHECK_EQ(get_bulk(6, UINT64_MAX, &bits), OK);
		CHECK_EQ(get_bulk(7, UINT64_MAX, &bits), ERR);
		CHECK_EQ(set_bulk(NGPIO - 1, 2, 0), ERR);
		CHECK_EQ(set_bulk(NGPIO, 0, 0), ERR);
	}
}

static void a_line_that_is_no_output_keeps_its_value(void)
{
	for (int at_once = 0; at_once < 2; at_once++) {
		boot_outputs(at_once);
		CHECK_EQ(set_bulk(NGPIO - 2, 3, 3), OK);
		CHECK_EQ(pins[NGPIO - 1], 0);
		CHECK_EQ(set(SET_DIRECTION, NGPIO - 1, VIRTIO_GPIO_DIRECTION_OUT), OK);
		CHECK_EQ(pins[NGPIO - 1], 1);
	}
}

static void a_line_that_refuses_leaves_all_as_they_were(void)
{
	uint64_t bits;

	boot_outputs(false);
	CHECK_EQ(set_bulk(0, 0xf, 0x5), OK);
	refuses = 3;
	CHECK_EQ(set_bulk(0, 0xf, 0xa), ERR);
	CHECK(pins[0] && !pins[1] && pins[2] && !pins[3]);
	CHECK_EQ(lines[0].value, 1);
	CHECK_EQ(get_bulk(0, 0xf, &bits), ERR);
}

/* Every bit of every byte: neither the lines nor the values are others. */
static void a_damaged_body_changes_nothing(void)
{
	struct rpmsg_gpio_values_body body = {rpmsg_gpio_store64(0xf), rpmsg_gpio_store64(0x5)};
	uint32_t check = rpmsg_gpio_check32(&body, sizeof(body));

	boot_outputs(true);
	for (size_t at = 0; at < sizeof(body); at++) {
		for (unsigned int damage = 1; damage < 256; damage++) {
			uint8_t bytes[sizeof(body)];

			memcpy(bytes, &body, sizeof(body));
			bytes[at] = (uint8_t)(bytes[at] ^ damage);
			CHECK_EQ(ask(RPMSG_GPIO_MSG_SET_VALUES, 0, check, bytes, sizeof(bytes)), ERR);
		}
	}
	CHECK_EQ(port_calls, 0);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_SET_VALUES, 0, check, &body, sizeof(body)), OK);
	CHECK(pins[0] && !pins[1] && pins[2] && !pins[3]);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_SET_VALUES, 0, check ^ 1, &body, sizeof(body)), ERR);
}

static void what_is_read_carries_a_check(void)
{
	uint64_t bits;

	boot_outputs(true);
	for (uint64_t value = 0; value < 256; value++) {
		CHECK_EQ(set_bulk(0, 0xff, value), OK);
		CHECK_EQ(get_bulk(0, 0xff, &bits), OK);
		CHECK(bits == value);
		CHECK_EQ(reply[3], value ? value : 0x55);
		CHECK_EQ(reply[3], rpmsg_gpio_check8(reply + 8, 8));
	}
}

/* ---- line configuration -------------------------------------------------------- */

static int configure(uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	struct rpmsg_gpio_line_config_body body = {rpmsg_gpio_store32(flags),
						   rpmsg_gpio_store32(debounce_us)};

	return ask(RPMSG_GPIO_MSG_SET_LINE_CONFIG, gpio, 0, &body, sizeof(body));
}

static void only_what_the_line_can_do_is_configured(void)
{
	boot(LINE_CONFIG);
	CHECK_EQ(configure(0, RPMSG_GPIO_LINE_PULL_UP | RPMSG_GPIO_LINE_OPEN_DRAIN, 0), OK);
	CHECK_EQ(config_flags, RPMSG_GPIO_LINE_PULL_UP | RPMSG_GPIO_LINE_OPEN_DRAIN);
	CHECK_EQ(configure(2, 0, 1000), OK);
	CHECK_EQ(config_debounce, 1000);
	set_configs = 0;
	CHECK_EQ(configure(0, RPMSG_GPIO_LINE_BIAS_DISABLE | RPMSG_GPIO_LINE_PULL_UP, 0), ERR);
	CHECK_EQ(configure(0, RPMSG_GPIO_LINE_DRIVE, 0), ERR);
	CHECK_EQ(configure(0, 1u << 6, 0), ERR);
	CHECK_EQ(configure(0, 0, 1), ERR);
	CHECK_EQ(configure(1, RPMSG_GPIO_LINE_PULL_UP, 0), ERR);
	CHECK_EQ(configure(2, 0, 1001), ERR);
	CHECK_EQ(configure(2, RPMSG_GPIO_LINE_DEBOUNCE, 0), ERR);
	CHECK_EQ(configure(NGPIO, 0, 0), ERR);
	CHECK_EQ(set_configs, 0);
}

static void capabilities_are_told(void)
{
	boot(LINE_CONFIG);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_GET_LINE_CAPS, 1, 0, NULL, 0), OK);
	CHECK_EQ(body32(0), 0);
	CHECK_EQ(ask(RPMSG_GPIO_MSG_GET_LINE_CAPS, 2, 0, NULL, 0), OK);
	CHECK_EQ(body32(0), 0x3f);
	CHECK_EQ(body32(4), 1000);
}

static void direction_none_forgets_the_configuration(void)
{
	boot(LINE_CONFIG);
	CHECK_EQ(set(SET_DIRECTION, 0, VIRTIO_GPIO_DIRECTION_NONE), OK);
	CHECK_EQ(set_configs, 0); /* nothing to forget */
	configure(0, RPMSG_GPIO_LINE_PULL_UP, 0);
	CHECK_EQ(set(SET_DIRECTION, 0, VIRTIO_GPIO_DIRECTION_NONE), OK);
	CHECK_EQ(set_configs, 2);
	CHECK_EQ(config_flags, 0);
}

/* ---- chance ------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

static uint32_t total[4];

static void any_edge(void)
{
	uint16_t gpio = (uint16_t)dice(4);

	if (dice(3))
		return;
	edge(gpio);
	total[gpio]++;
}

/* Whatever the order of edges, grants and room, with interrupts while the device
 * runs: the order of a line's edges is kept, their times do not go back, no more is
 * sent than granted, and in the end its last level is known. */
static void any_mixture_ends_with_the_truth(void)
{
	for (uint32_t round = 0; round < 40 && !check_bad; round++) {
		uint32_t granted[4] = {0}, got[4] = {0}, count[4] = {0};
		uint64_t latest[4] = {0};
		uint8_t level[4] = {0};

		seed = 0x2545f491u + round;
		memset(total, 0, sizeof(total));
		boot(round & 1 ? CREDITS | TIMESTAMP : CREDITS);
		for (uint16_t gpio = 0; gpio < 4; gpio++)
			set(SET_IRQ_TYPE, gpio, BOTH);
		if (round & 2) {
			config.channel = &slow_channel;
			interrupt = any_edge;
		}
		for (int n = 0; n < 3000; n++) {
			uint16_t gpio = (uint16_t)dice(4);

			event_count = 0;
			switch (dice(6)) {
			case 0:
				if (rpmsg_gpio_device_run(&device) && !no_room)
					grant(gpio, granted[gpio] += dice(10));
				break;
			case 1:
				no_room = dice(3) == 0;
				break;
			case 2:
				rpmsg_gpio_device_run(&device);
				break;
			default:
				for (uint32_t burst = 1 + dice(4); burst--; total[gpio]++)
					edge(gpio);
			}
			if (n == 2999) {
				no_room = false;
				interrupt = NULL;
				while (!rpmsg_gpio_device_run(&device) || device.pending)
					;
				for (gpio = 0; gpio < 4; gpio++)
					grant(gpio, granted[gpio] += 100);
			}
			for (unsigned int e = 0; e < event_count; e++) {
				gpio = events[e].gpio;
				CHECK((int32_t)(events[e].sequence - got[gpio]) > 0);
				got[gpio] = events[e].sequence;
				level[gpio] = events[e].flags & RPMSG_GPIO_EVENT_HIGH;
				CHECK(++count[gpio] <= granted[gpio]);
				CHECK_EQ(level[gpio], got[gpio] & 1);
				CHECK(events[e].timestamp >= latest[gpio]);
				latest[gpio] = events[e].timestamp;
			}
		}
		for (uint16_t gpio = 0; gpio < 4; gpio++) {
			CHECK_EQ(got[gpio], total[gpio]);
			CHECK_EQ(level[gpio], pins[gpio]);
		}
	}
}

/* What a driver that re-arms knows of a line. */
static struct {
	uint32_t sequence;
	uint64_t time;
	bool high, masked;
} known[4];

static void learn(void)
{
	for (unsigned int n = 0; n < event_count; n++) {
		const struct event *event = &events[n];

		CHECK(!known[event->gpio].masked);
		CHECK((int32_t)(event->sequence - known[event->gpio].sequence) > 0);
		CHECK(event->timestamp >= known[event->gpio].time);
		known[event->gpio].sequence = event->sequence;
		known[event->gpio].time = event->timestamp;
		known[event->gpio].high = event->flags & RPMSG_GPIO_EVENT_HIGH;
		known[event->gpio].masked = true;
	}
	event_count = 0;
}

static void rearm(uint16_t gpio)
{
	if (!known[gpio].masked || !rpmsg_gpio_device_run(&device) || no_room)
		return;
	learn();
	known[gpio].masked = false;
	set(SET_IRQ_TYPE, gpio, BOTH);
}

static void any_step(void)
{
	switch (dice(5)) {
	case 0:
		rearm((uint16_t)dice(4));
		break;
	case 1:
		no_room = dice(3) == 0;
		break;
	case 2:
		rpmsg_gpio_device_run(&device);
		break;
	default:
		for (uint32_t burst = 1 + dice(4); burst--;)
			any_edge();
	}
	learn();
}

/* The same without credits: one event a re-arm, and no line is stuck in the end. */
static void any_mixture_of_rearms_ends_with_the_truth(void)
{
	for (uint32_t round = 0; round < 40 && !check_bad; round++) {
		seed = 0x2545f491u + round;
		memset(total, 0, sizeof(total));
		memset(known, 0, sizeof(known));
		boot(TIMESTAMP);
		if (round & 1)
			config.channel = &slow_channel;
		for (uint16_t gpio = 0; gpio < 4; gpio++)
			set(SET_IRQ_TYPE, gpio, BOTH);
		interrupt = any_edge;
		for (int n = 0; n < 3000; n++)
			any_step();
		no_room = false;
		interrupt = NULL;
		for (int n = 0; n < 12; n++) {
			while (!rpmsg_gpio_device_run(&device) || device.pending)
				;
			learn();
			rearm((uint16_t)(n % 4));
		}
		for (uint16_t gpio = 0; gpio < 4; gpio++) {
			CHECK_EQ(known[gpio].sequence, total[gpio]);
			CHECK_EQ(known[gpio].high, pins[gpio]);
			edges(gpio, 1);
			CHECK_EQ(event_count, 1);
			learn();
		}
	}
}

int main(void)
{
	RUN(edges_stream_while_there_are_credits);
	RUN(without_credits_edges_are_counted_and_the_latest_is_kept);
	RUN(a_burst_shares_messages);
	RUN(a_grant_is_idempotent_and_never_taken_back);
	RUN(counters_wrap);
	RUN(none_forgets_credits_and_edges);
	RUN(level_types_are_rearmed_with_records);
	RUN(a_rearm_of_an_armed_level_counts_nothing);
	RUN(a_line_without_credits_holds_up_no_other);
	RUN(a_grant_is_answered_before_what_it_frees);
	RUN(an_edge_that_had_a_plain_event_disarms_nothing);
	RUN(credits_end_a_mask);
	RUN(credits_keep_what_was_latched);
	RUN(the_end_of_credits_arms);
	RUN(a_mask_does_not_come_back);
	RUN(numbers_and_credits_outlive_the_features);
	RUN(no_edge_is_told_twice);
	RUN(the_latest_is_latched_over_a_change);
	RUN(a_mask_of_a_level_type_stays);
	RUN(edges_wait_for_a_transmit_buffer);
	RUN(what_finds_the_fifo_full_shows_late);
	RUN(a_late_edge_is_not_sent_before_a_newer_one);
	RUN(an_edge_that_was_stored_is_sent);
	RUN(an_edge_behind_the_look_is_not_lost);
	RUN(an_old_overflow_is_over);
	RUN(an_edge_behind_many_lost_ones_keeps_its_number);
	RUN(edges_of_a_line_that_was_disabled_are_dropped);
	RUN(a_type_that_the_port_refuses_costs_no_edge);
	RUN(an_edge_outlives_the_features);
	RUN(a_burst_does_not_starve_requests);
	RUN(timestamps_alone_keep_the_rearm);
	RUN(the_clock_can_be_read);
	RUN(the_baseline_is_as_before);
	RUN(what_the_port_lacks_is_not_offered);
	RUN(each_feature_is_refused_alone);
	RUN(many_lines_are_set_and_read);
	RUN(a_line_that_is_no_output_keeps_its_value);
	RUN(a_line_that_refuses_leaves_all_as_they_were);
	RUN(a_damaged_body_changes_nothing);
	RUN(what_is_read_carries_a_check);
	RUN(only_what_the_line_can_do_is_configured);
	RUN(capabilities_are_told);
	RUN(direction_none_forgets_the_configuration);
	RUN(any_mixture_ends_with_the_truth);
	RUN(any_mixture_of_rearms_ends_with_the_truth);
	return check_report();
}
