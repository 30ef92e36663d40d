/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of the device: virtio 1.3 section 5.18 and docs/protocol.md.
 * The port below is a row of pins in memory: the seam is made for that.
 */
#include <stdlib.h>

#include "check.h"
#include "rpmsg_gpio_device.h"

#define NGPIO 8
#define QUEUE_MAX 64
#define ALL_FEATURES (RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | \
		      RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH)
#define EPOCH 0xa1b2c3d4u
#define NO_ROOM_LIMIT 1000000u

#define OK VIRTIO_GPIO_STATUS_OK
#define ERR VIRTIO_GPIO_STATUS_ERR
#define NONE VIRTIO_GPIO_DIRECTION_NONE
#define OUT VIRTIO_GPIO_DIRECTION_OUT
#define IN VIRTIO_GPIO_DIRECTION_IN
#define IRQ_NONE VIRTIO_GPIO_IRQ_TYPE_NONE
#define RISING VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING
#define FALLING VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING
#define BOTH VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
#define HIGH VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH
#define LOW VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW
#define GET_DIRECTION VIRTIO_GPIO_MSG_GET_DIRECTION
#define SET_DIRECTION VIRTIO_GPIO_MSG_SET_DIRECTION
#define GET_VALUE VIRTIO_GPIO_MSG_GET_VALUE
#define SET_VALUE VIRTIO_GPIO_MSG_SET_VALUE
#define SET_IRQ_TYPE VIRTIO_GPIO_MSG_SET_IRQ_TYPE

struct pin {
	uint8_t direction, level, irq_type;
	bool quiet;   /* a level interrupt that fired, until it is re-armed */
	bool refuse_direction, refuse_value;
	uint8_t refuse_irq; /* a type that this pin cannot do */
};

struct message {
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
	size_t length;
};

/* A board: pins, a device on them, and the transmit buffers. */
struct board {
	struct pin pins[NGPIO];
	struct rpmsg_gpio_line lines[NGPIO];
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct message replies[QUEUE_MAX], events[QUEUE_MAX];
	unsigned int reply_count, event_count;
	unsigned int room; /* free transmit buffers */
	bool reply_after_event;
};

static struct board board;

static bool level_active(const struct pin *pin)
{
	return (pin->irq_type == HIGH && pin->level) ||
	       (pin->irq_type == LOW && !pin->level);
}

static void fire(uint16_t gpio)
{
	rpmsg_gpio_device_irq(&board.device, gpio);
}

static void fire_level(uint16_t gpio)
{
	struct pin *pin = &board.pins[gpio];

	if (!level_active(pin) || pin->quiet)
		return;
	pin->quiet = true;
	fire(gpio);
}

static void pin_set(uint16_t gpio, uint8_t level)
{
	struct pin *pin = &board.pins[gpio];
	bool edge = pin->level != level;

	pin->level = level;
	if (edge && pin->irq_type <= BOTH && (pin->irq_type & (level ? RISING : FALLING)))
		fire(gpio);
	fire_level(gpio);
}

static bool port_set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	struct pin *pin = &((struct board *)context)->pins[gpio];

	if (pin->refuse_direction)
		return false;
	pin->direction = direction;
	if (direction == OUT)
		pin_set(gpio, value);
	return true;
}

static bool port_set_value(void *context, uint16_t gpio, uint8_t value)
{
	struct pin *pin = &((struct board *)context)->pins[gpio];

	CHECK_EQ(pin->direction, OUT);
	if (pin->refuse_value)
		return false;
	pin_set(gpio, value);
	return true;
}

static bool port_get_value(void *context, uint16_t gpio, uint8_t *value)
{
	struct pin *pin = &((struct board *)context)->pins[gpio];

	if (pin->refuse_value)
		return false;
	/* As a port that returns a masked register bit. */
	*value = pin->level ? 0x80 : 0;
	return true;
}

static bool port_set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	struct pin *pin = &((struct board *)context)->pins[gpio];

	if (type != IRQ_NONE && type == pin->refuse_irq)
		return false;
	pin->irq_type = type;
	pin->quiet = false;
	fire_level(gpio);
	return true;
}

static bool channel_send(void *context, const void *message, size_t length)
{
	struct board *b = context;
	bool event = *(const uint8_t *)message == RPMSG_GPIO_QUEUE_EVENT;
	unsigned int *count = event ? &b->event_count : &b->reply_count;
	struct message *slot = (event ? b->events : b->replies) + *count % QUEUE_MAX;

	if (!b->room)
		return false;
	b->room--;
	if (!event && b->event_count)
		b->reply_after_event = true;
	CHECK(length <= sizeof(slot->bytes));
	memcpy(slot->bytes, message, length);
	slot->length = length;
	++*count;
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = port_set_direction,
	.set_value = port_set_value,
	.get_value = port_get_value,
	.set_irq_type = port_set_irq_type,
};
static const struct rpmsg_gpio_channel channel = {.send = channel_send};
static const char names[] = "LED0\0LED1\0\0BUTTON\0\0\0\0READY";

static void boot(uint32_t features, enum rpmsg_gpio_dialect dialect, bool strict)
{
	memset(&board, 0, sizeof(board));
	memset(board.lines, 0xff, sizeof(board.lines)); /* memory is not clean at boot */
	memset(&board.device, 0xff, sizeof(board.device));
	board.room = NO_ROOM_LIMIT;
	board.config.port = &port;
	board.config.port_context = &board;
	board.config.channel = &channel;
	board.config.channel_context = &board;
	board.config.lines = board.lines;
	board.config.ngpio = NGPIO;
	board.config.features = features;
	board.config.epoch = EPOCH;
	board.config.label = "bank0";
	board.config.names = names;
	board.config.names_size = sizeof(names);
	board.config.dialect = dialect;
	board.config.strict = strict;
	rpmsg_gpio_device_init(&board.device, &board.config);
}

static void boot_lenient(void)
{
	boot(0, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
}

static void boot_strict(void)
{
	boot(0, RPMSG_GPIO_DIALECT_DOCUMENTED, true);
}

static void put(uint8_t *to, uint16_t type, uint16_t gpio, uint32_t value, uint16_t tag)
{
	struct rpmsg_gpio_ext_request r;

	memset(&r, 0, sizeof(r));
	r.request.type = rpmsg_gpio_store16(type);
	r.request.gpio = rpmsg_gpio_store16(gpio);
	r.request.value = rpmsg_gpio_store32(value);
	r.tag = rpmsg_gpio_store16(tag);
	memcpy(to, &r, sizeof(r));
}

/* Hand over one message; its reply is the one reply that came, or NULL. */
static const struct message *exchange(const void *bytes, size_t length)
{
	unsigned int before = board.reply_count;

	CHECK(rpmsg_gpio_device_receive(&board.device, bytes, length));
	rpmsg_gpio_device_run(&board.device);
	if (board.reply_count == before)
		return NULL;
	CHECK_EQ(board.reply_count, before + 1);
	return &board.replies[before % QUEUE_MAX];
}

/* Baseline request in the documented dialect: status, value in *value. */
static int ask(uint16_t type, uint16_t gpio, uint32_t value, uint8_t *got)
{
	uint8_t bytes[12];
	const struct message *reply;

	put(bytes, type, gpio, value, 0);
	reply = exchange(bytes, 8);
	if (!reply || reply->length != 3 || reply->bytes[0] != 0)
		return -1;
	if (got)
		*got = reply->bytes[2];
	else
		CHECK_EQ(reply->bytes[2], 0);
	return reply->bytes[1];
}

static int set(uint16_t type, uint16_t gpio, uint32_t value)
{
	return ask(type, gpio, value, NULL);
}

static int get(uint16_t type, uint16_t gpio)
{
	uint8_t value = 0xee;

	return ask(type, gpio, 0, &value) == OK ? value : -1;
}

/* Extended request; checks the head and returns the reply. */
static const struct message *ask_extended(uint16_t type, uint32_t value, uint16_t tag,
					  uint8_t status)
{
	static const struct message nothing;
	const struct message *reply;
	uint8_t bytes[12];

	put(bytes, type, 0, value, tag);
	reply = exchange(bytes, sizeof(bytes));
	CHECK(reply && reply->length >= 8);
	if (!reply || reply->length < 8)
		return &nothing;
	CHECK_EQ(reply->bytes[0], 0);
	CHECK_EQ(reply->bytes[1], 0);
	CHECK_EQ(reply->bytes[2], status);
	return reply;
}

static void accept_features(uint32_t features)
{
	CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, features), OK);
}

static unsigned int events(void)
{
	unsigned int count;

	CHECK(rpmsg_gpio_device_run(&board.device));
	count = board.event_count;
	board.event_count = 0;
	return count;
}

/* ---- direction and value ------------------------------------------------- */

static void a_fresh_device_has_no_state(void)
{
	uint16_t gpio;

	boot_lenient();
	for (gpio = 0; gpio < NGPIO; gpio++) {
		CHECK_EQ(get(GET_DIRECTION, gpio), NONE);
		CHECK(!rpmsg_gpio_device_armed(&board.device, gpio));
	}
	CHECK_EQ(events(), 0);
}

static void directions_are_set_and_read_back(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_DIRECTION, 1, OUT), OK);
	CHECK_EQ(get(GET_DIRECTION, 1), OUT);
	CHECK_EQ(board.pins[1].direction, OUT);
	CHECK_EQ(set(SET_DIRECTION, 1, IN), OK);
	CHECK_EQ(get(GET_DIRECTION, 1), IN);
	CHECK_EQ(set(SET_DIRECTION, 1, NONE), OK);
	CHECK_EQ(get(GET_DIRECTION, 1), NONE);
	CHECK_EQ(board.pins[1].direction, NONE);
	CHECK_EQ(get(GET_DIRECTION, 0), NONE);
}

static void a_value_before_out_is_kept_and_driven(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_VALUE, 2, 1), OK);
	CHECK_EQ(board.pins[2].level, 0);
	CHECK_EQ(set(SET_DIRECTION, 2, OUT), OK);
	CHECK_EQ(board.pins[2].level, 1);
	CHECK_EQ(set(SET_VALUE, 2, 0), OK);
	CHECK_EQ(board.pins[2].level, 0);
}

static void a_value_set_while_in_is_driven_when_out(void)
{
	boot_strict(); /* what gpiolib does for input to output: no rule forbids it */
	CHECK_EQ(set(SET_DIRECTION, 2, IN), OK);
	CHECK_EQ(set(SET_VALUE, 2, 1), OK);
	CHECK_EQ(board.pins[2].level, 0);
	CHECK_EQ(set(SET_DIRECTION, 2, OUT), OK);
	CHECK_EQ(board.pins[2].level, 1);
}

static void out_without_a_value_drives_zero_or_the_last(void)
{
	boot_lenient();
	board.pins[0].level = 1;
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	CHECK_EQ(board.pins[0].level, 0);
	CHECK_EQ(set(SET_VALUE, 0, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 0, IN), OK);
	pin_set(0, 0);
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	CHECK_EQ(board.pins[0].level, 1);
}

static void get_value_reads_the_pin_of_an_output(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_VALUE, 0, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	CHECK_EQ(get(GET_VALUE, 0), 1);
	board.pins[0].level = 0; /* shorted to ground outside */
	CHECK_EQ(get(GET_VALUE, 0), 0);
}

static void direction_none_discards_all_state(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_VALUE, 3, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 3, IN), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0); /* latched */
	CHECK_EQ(set(SET_DIRECTION, 3, NONE), OK);
	CHECK_EQ(board.pins[3].irq_type, IRQ_NONE);
	CHECK_EQ(set(SET_DIRECTION, 3, IN), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 0);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
	CHECK_EQ(set(SET_DIRECTION, 3, NONE), OK);
	CHECK_EQ(set(SET_DIRECTION, 3, OUT), OK);
	CHECK_EQ(board.pins[3].level, 0);
}

static void an_interrupt_not_yet_sent_dies_with_none(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_DIRECTION, 3, IN), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	pin_set(3, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, IRQ_NONE), OK);
	CHECK_EQ(events(), 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	pin_set(3, 0);
	pin_set(3, 1);
	CHECK_EQ(set(SET_DIRECTION, 3, NONE), OK);
	CHECK_EQ(events(), 0);
}

static void bad_values_are_errors(void)
{
	static const uint32_t bad_types[] = { 5, 6, 7, 9, 12, 0x10, 0x101, 0x80000000u };
	size_t i;

	boot_lenient();
	CHECK_EQ(set(SET_DIRECTION, 0, 3), ERR);
	CHECK_EQ(set(SET_DIRECTION, 0, 0x101), ERR); /* not cut to a byte */
	CHECK_EQ(set(SET_VALUE, 0, 2), ERR);
	CHECK_EQ(set(SET_VALUE, 0, 0x10001), ERR);
	for (i = 0; i < sizeof(bad_types) / sizeof(*bad_types); i++)
		CHECK_EQ(set(SET_IRQ_TYPE, 0, bad_types[i]), ERR);
	CHECK_EQ(get(GET_DIRECTION, 0), NONE);
	CHECK_EQ(board.pins[0].irq_type, IRQ_NONE);
}

static void lines_out_of_range_are_errors(void)
{
	uint16_t type;

	boot_lenient();
	for (type = GET_DIRECTION; type <= SET_IRQ_TYPE; type++) {
		CHECK_EQ(set(type, NGPIO, 0), ERR);
		CHECK_EQ(set(type, 0xffff, 0), ERR);
	}
	fire(NGPIO); /* a port that is wrong must not write beyond the lines */
	fire(0xffff);
	CHECK(!rpmsg_gpio_device_armed(&board.device, NGPIO));
	CHECK_EQ(events(), 0);
}

static void unknown_types_are_errors(void)
{
	static const uint16_t types[] = { 0, 1, 7, 0x10, 0x7fff, 0x8000, 0x8001, 0x8002,
					  0x8003, 0x8004, 0x8010, 0x8020, 0x8030, 0x8041, 0xffff };
	size_t i;

	boot_lenient();
	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		CHECK_EQ(set(types[i], 0, 0), ERR);
}

static void a_port_that_refuses_leaves_the_state(void)
{
	boot_lenient();
	board.pins[0].refuse_direction = true;
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), ERR);
	CHECK_EQ(get(GET_DIRECTION, 0), NONE);
	board.pins[0].refuse_direction = false;
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	board.pins[0].refuse_value = true;
	CHECK_EQ(set(SET_VALUE, 0, 1), ERR);
	CHECK_EQ(set(GET_VALUE, 0, 0), ERR);
	board.pins[0].refuse_value = false;
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	CHECK_EQ(board.pins[0].level, 0);
	board.pins[0].refuse_direction = true;
	CHECK_EQ(set(SET_DIRECTION, 0, NONE), ERR);
	CHECK_EQ(get(GET_DIRECTION, 0), OUT);
}

/* ---- interrupts ---------------------------------------------------------- */

static void listen_to(uint16_t gpio, uint8_t type)
{
	CHECK_EQ(set(SET_DIRECTION, gpio, IN), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, gpio, type), OK);
}

static void an_edge_is_one_event_and_masks(void)
{
	boot_lenient();
	listen_to(3, RISING);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
	pin_set(3, 1);
	CHECK(!rpmsg_gpio_device_armed(&board.device, 3));
	CHECK_EQ(events(), 1);
	CHECK_EQ(board.events[0].length, 3);
	CHECK_BYTES(board.events[0].bytes, "\1\3\0", 3);
	CHECK(!rpmsg_gpio_device_armed(&board.device, 3));
	CHECK_EQ(events(), 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	CHECK_EQ(events(), 0);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
	pin_set(3, 0);
	CHECK_EQ(events(), 0);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
}

static void edges_while_masked_latch_one(void)
{
	int i;

	boot_lenient();
	listen_to(3, BOTH);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	for (i = 0; i < 10; i++) {
		pin_set(3, i & 1);
		CHECK_EQ(events(), 0);
	}
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 0);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
}

static void a_latched_edge_follows_the_reply_of_the_rearm(void)
{
	boot_lenient();
	listen_to(3, BOTH);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0);
	board.reply_after_event = false;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(board.event_count, 1);
	CHECK(!board.reply_after_event);
}

static void an_edge_just_before_the_rearm_is_latched(void)
{
	boot_lenient();
	listen_to(3, RISING);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0);
	pin_set(3, 1); /* no run() in between: only the byte is stored */
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	CHECK_EQ(events(), 1);
}

static void levels_are_not_latched(void)
{
	boot_lenient();
	listen_to(4, HIGH);
	CHECK_EQ(events(), 0);
	pin_set(4, 1);
	CHECK_EQ(events(), 1);
	fire(4); /* fires again under the mask, from a port that does not hold back */
	CHECK_EQ(events(), 0);
	fire(4);
	pin_set(4, 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 4, HIGH), OK);
	CHECK_EQ(events(), 0);
	CHECK(rpmsg_gpio_device_armed(&board.device, 4));
}

static void a_level_still_active_fires_at_the_rearm(void)
{
	boot_lenient();
	pin_set(4, 0);
	listen_to(4, LOW); /* active from the start */
	CHECK_EQ(events(), 1);
	CHECK_EQ(events(), 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 4, LOW), OK);
	CHECK_EQ(events(), 1);
	pin_set(4, 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 4, LOW), OK);
	CHECK_EQ(events(), 0);
	pin_set(4, 0);
	CHECK_EQ(events(), 1);
}

static void none_disables_and_forgets(void)
{
	boot_lenient();
	listen_to(3, BOTH);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, IRQ_NONE), OK);
	CHECK_EQ(board.pins[3].irq_type, IRQ_NONE);
	pin_set(3, 1);
	fire(3); /* an interrupt that was on its way */
	CHECK_EQ(events(), 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, IRQ_NONE), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, IRQ_NONE), OK);
	fire(3);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 0);
}

static void a_refused_type_keeps_the_old_one(void)
{
	boot_lenient();
	board.pins[3].refuse_irq = LOW;
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LOW), ERR);
	CHECK(!rpmsg_gpio_device_armed(&board.device, 3));
	listen_to(3, BOTH);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, LOW), ERR);
	CHECK_EQ(events(), 0); /* still masked */
	CHECK_EQ(set(SET_IRQ_TYPE, 3, BOTH), OK);
	CHECK_EQ(events(), 1); /* and still latched */
}

static void lenient_changes_the_type_directly(void)
{
	boot_lenient();
	listen_to(3, BOTH);
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
	pin_set(3, 0); /* latched for BOTH, forgotten with it */
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	CHECK_EQ(events(), 0);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
	pin_set(3, 1);
	CHECK_EQ(events(), 1);
}

static void lenient_takes_irq_types_of_any_direction(void)
{
	boot_lenient();
	CHECK_EQ(set(SET_IRQ_TYPE, 5, BOTH), OK);
	pin_set(5, 1);
	CHECK_EQ(events(), 1);
	CHECK_EQ(set(SET_DIRECTION, 5, OUT), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 5, BOTH), OK);
	CHECK_EQ(events(), 1); /* OUT drove 0: an edge while masked */
	CHECK_EQ(get(GET_VALUE, 6), 0);
}

static void strict_refuses_what_virtio_forbids(void)
{
	boot_strict();
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), ERR);      /* no value yet */
	CHECK_EQ(set(GET_VALUE, 0, 0), ERR);            /* not active */
	CHECK_EQ(set(SET_IRQ_TYPE, 0, RISING), ERR);    /* not an input */
	CHECK_EQ(set(SET_IRQ_TYPE, 0, IRQ_NONE), OK);
	CHECK_EQ(set(SET_VALUE, 0, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	CHECK_EQ(get(GET_VALUE, 0), 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 0, RISING), ERR);    /* an output */
	CHECK_EQ(set(SET_IRQ_TYPE, 0, IRQ_NONE), ERR);
	CHECK_EQ(set(SET_DIRECTION, 0, NONE), OK);
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), ERR);      /* the value went with NONE */
	listen_to(1, RISING);
	CHECK_EQ(set(SET_IRQ_TYPE, 1, RISING), ERR);    /* repeated, not masked */
	CHECK_EQ(set(SET_IRQ_TYPE, 1, FALLING), ERR);   /* not through NONE */
	CHECK_EQ(set(SET_VALUE, 1, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 1, OUT), ERR);      /* interrupt still enabled */
	CHECK_EQ(board.pins[1].direction, IN);
	pin_set(1, 1);
	CHECK_EQ(events(), 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 1, FALLING), ERR);
	CHECK_EQ(set(SET_IRQ_TYPE, 1, RISING), OK);     /* the re-arm */
	CHECK_EQ(set(SET_IRQ_TYPE, 1, IRQ_NONE), OK);
	CHECK_EQ(set(SET_IRQ_TYPE, 1, FALLING), OK);
	pin_set(1, 0);
	CHECK_EQ(events(), 1);
}

static void each_line_gets_its_event_in_one_run(void)
{
	uint16_t gpio;
	unsigned int seen = 0, i;

	boot_lenient();
	for (gpio = 0; gpio < NGPIO; gpio++)
		listen_to(gpio, RISING);
	for (gpio = 0; gpio < NGPIO; gpio++)
		pin_set(gpio, 1);
	CHECK_EQ(events(), NGPIO);
	for (i = 0; i < NGPIO; i++)
		seen |= 1u << board.events[i].bytes[1];
	CHECK_EQ(seen, (1u << NGPIO) - 1);
}

/* ---- transmit buffers ---------------------------------------------------- */

static void a_reply_waits_for_a_buffer(void)
{
	uint8_t bytes[12];

	boot_lenient();
	board.room = 0;
	put(bytes, SET_VALUE, 0, 1, 0);
	CHECK(rpmsg_gpio_device_receive(&board.device, bytes, 8));
	put(bytes, SET_VALUE, 1, 2, 0);
	CHECK(!rpmsg_gpio_device_receive(&board.device, bytes, 8));
	CHECK(!rpmsg_gpio_device_run(&board.device));
	CHECK_EQ(board.reply_count, 0);
	CHECK(rpmsg_gpio_device_receive(&board.device, "", 0)); /* empty: no reply needed */
	board.room = 1;
	CHECK(rpmsg_gpio_device_run(&board.device));
	CHECK_EQ(board.reply_count, 1);
	CHECK_BYTES(board.replies[0].bytes, "\0\0\0", 3);
	CHECK(rpmsg_gpio_device_receive(&board.device, bytes, 8));
	CHECK(!rpmsg_gpio_device_run(&board.device));
	board.room = 1;
	CHECK(rpmsg_gpio_device_run(&board.device));
	CHECK_EQ(board.reply_count, 2);
	CHECK_BYTES(board.replies[1].bytes, "\0\1\0", 3);
}

static void events_wait_for_a_buffer_and_none_is_lost(void)
{
	uint16_t gpio;
	unsigned int seen = 0, i;

	boot_lenient();
	for (gpio = 0; gpio < NGPIO; gpio++)
		listen_to(gpio, RISING);
	board.room = 0;
	for (gpio = 0; gpio < NGPIO; gpio++)
		pin_set(gpio, 1);
	CHECK(!rpmsg_gpio_device_run(&board.device));
	for (i = 0; i < NGPIO - 1; i++) {
		board.room = 1;
		CHECK(!rpmsg_gpio_device_run(&board.device));
		CHECK_EQ(board.event_count, i + 1);
	}
	board.room = 1;
	CHECK(rpmsg_gpio_device_run(&board.device));
	for (i = 0; i < NGPIO; i++)
		seen |= 1u << board.events[i].bytes[1];
	CHECK_EQ(seen, (1u << NGPIO) - 1);
}

static void an_edge_behind_an_unsent_event_is_latched(void)
{
	boot_lenient();
	listen_to(3, RISING);
	board.room = 0;
	pin_set(3, 1);
	CHECK(!rpmsg_gpio_device_run(&board.device));
	pin_set(3, 0);
	pin_set(3, 1);
	CHECK(!rpmsg_gpio_device_run(&board.device));
	board.room = NO_ROOM_LIMIT;
	CHECK_EQ(events(), 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	CHECK_EQ(events(), 1);
	CHECK_EQ(set(SET_IRQ_TYPE, 3, RISING), OK);
	CHECK_EQ(events(), 0);
}

static void no_event_follows_the_reply_to_none(void)
{
	uint8_t bytes[12];

	boot_lenient();
	listen_to(3, RISING);
	board.room = 0;
	pin_set(3, 1);
	CHECK(!rpmsg_gpio_device_run(&board.device));
	put(bytes, SET_IRQ_TYPE, 3, IRQ_NONE, 0);
	CHECK(rpmsg_gpio_device_receive(&board.device, bytes, 8));
	board.room = NO_ROOM_LIMIT;
	CHECK_EQ(events(), 0);
}

/* ---- extensions ---------------------------------------------------------- */

static void features_are_offered_and_accepted(void)
{
	const struct message *reply;
	uint8_t bytes[12];

	boot(ALL_FEATURES | 0x80000000u, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	put(bytes, RPMSG_GPIO_MSG_GET_FEATURES, 0, 0xffffffff, 0);
	reply = exchange(bytes, 8);
	CHECK(reply && reply->length == 16);
	CHECK_BYTES(reply->bytes, "\0\0\0\0\0\0\0\0\x0f\0\0\0\xd4\xc3\xb2\xa1", 16);
	CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, 0x10), ERR);
	CHECK_EQ(board.device.features, 0);
	CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, ALL_FEATURES), OK);
	CHECK_EQ(board.device.features, ALL_FEATURES);
	CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, ALL_FEATURES | 0x80), ERR);
	CHECK_EQ(board.device.features, 0);
}

static void what_the_board_lacks_is_not_offered(void)
{
	uint8_t bytes[12];

	boot(ALL_FEATURES & ~RPMSG_GPIO_F_EPOCH, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	board.config.names = NULL;
	put(bytes, RPMSG_GPIO_MSG_GET_FEATURES, 0, 0, 0);
	CHECK_BYTES(exchange(bytes, 8)->bytes + 8, "\x05\0\0\0\0\0\0\0", 8);
	CHECK_EQ(set(RPMSG_GPIO_MSG_SET_FEATURES, 0, RPMSG_GPIO_F_NAMES), ERR);
	accept_features(RPMSG_GPIO_F_CONFIG);
	CHECK_BYTES(ask_extended(RPMSG_GPIO_MSG_GET_CONFIG, 0, 0, OK)->bytes + 8,
		    "\x08\0\0\0\0\0\0\0", 8);
}

static void get_features_starts_afresh_and_leaves_the_lines(void)
{
	const struct message *reply;
	uint8_t bytes[12];

	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	accept_features(ALL_FEATURES);
	CHECK_EQ(set(SET_VALUE, 0, 1), OK);
	CHECK_EQ(set(SET_DIRECTION, 0, OUT), OK);
	listen_to(3, RISING);
	put(bytes, RPMSG_GPIO_MSG_GET_FEATURES, 0, 0, 0);
	reply = exchange(bytes, 8);
	CHECK(reply && reply->length == 16);
	CHECK_EQ(board.device.features, 0);
	CHECK_EQ(get(GET_DIRECTION, 0), OUT);
	CHECK_EQ(board.pins[0].level, 1);
	CHECK(rpmsg_gpio_device_armed(&board.device, 3));
	put(bytes, RPMSG_GPIO_MSG_GET_CONFIG, 0, 0, 9);
	reply = exchange(bytes, 12);
	CHECK(reply && reply->length == 3 && reply->bytes[1] == ERR);
}

static void config_carries_size_and_label(void)
{
	const struct message *reply;
	uint8_t label[RPMSG_GPIO_LABEL_SIZE] = "bank0";

	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_PADDED, false);
	board.device.features = RPMSG_GPIO_F_CONFIG;
	reply = ask_extended(RPMSG_GPIO_MSG_GET_CONFIG, 0, 7, OK);
	CHECK_EQ(reply->length, 8 + 8 + 32);
	CHECK_BYTES(reply->bytes + 4, "\0\0\0\0", 4); /* neither TAG nor EPOCH */
	CHECK_BYTES(reply->bytes + 8, "\x08\0\0\0", 4);
	CHECK_EQ(reply->bytes[12], sizeof(names));
	CHECK_BYTES(reply->bytes + 16, label, sizeof(label));
	board.config.label = "a label of forty characters is cut to 32";
	reply = ask_extended(RPMSG_GPIO_MSG_GET_CONFIG, 0, 7, OK);
	CHECK_BYTES(reply->bytes + 16, board.config.label, 32);
	board.config.label = NULL;
	reply = ask_extended(RPMSG_GPIO_MSG_GET_CONFIG, 0, 7, OK);
	CHECK_EQ(reply->bytes[16], 0);
}

static void names_come_in_pieces(void)
{
	static char block[1000], got[1000];
	const struct message *reply;
	size_t at = 0, piece;

	memset(block, 'x', sizeof(block));
	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	board.config.names = block;
	board.config.names_size = sizeof(block);
	accept_features(RPMSG_GPIO_F_NAMES);
	do {
		reply = ask_extended(VIRTIO_GPIO_MSG_GET_LINE_NAMES, (uint32_t)at, 0, OK);
		piece = reply->length - 8;
		CHECK(at + piece <= sizeof(got));
		memcpy(got + at, reply->bytes + 8, piece);
		at += piece;
	} while (piece == RPMSG_GPIO_NAMES_PIECE);
	CHECK_EQ(RPMSG_GPIO_NAMES_PIECE, 488);
	CHECK_EQ(at, sizeof(block));
	CHECK_BYTES(got, block, sizeof(block));
	CHECK_EQ(ask_extended(VIRTIO_GPIO_MSG_GET_LINE_NAMES, 1000, 0, OK)->length, 8);
	CHECK_EQ(ask_extended(VIRTIO_GPIO_MSG_GET_LINE_NAMES, 1001, 0, ERR)->length, 8);
	CHECK_EQ(ask_extended(VIRTIO_GPIO_MSG_GET_LINE_NAMES, 0xffffffff, 0, ERR)->length, 8);
}

static void the_epoch_is_told(void)
{
	const struct message *reply;

	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	accept_features(RPMSG_GPIO_F_EPOCH);
	reply = ask_extended(RPMSG_GPIO_MSG_GET_EPOCH, 0, 5, OK);
	CHECK_EQ(reply->length, 12);
	CHECK_BYTES(reply->bytes, "\0\0\0\0\0\0\xd4\xc3\xd4\xc3\xb2\xa1", 12);
}

static void a_tag_comes_back(void)
{
	const struct message *reply;
	uint8_t bytes[12];

	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_DOCUMENTED, false);
	accept_features(RPMSG_GPIO_F_TAG);
	reply = ask_extended(GET_DIRECTION, 0, 0xbeef, OK);
	CHECK_EQ(reply->length, 8);
	CHECK_BYTES(reply->bytes, "\0\0\0\0\xef\xbe\0\0", 8);
	reply = ask_extended(0x7fff, 0, 0x1234, ERR);
	CHECK_BYTES(reply->bytes, "\0\0\1\0\x34\x12\0\0", 8);
	reply = ask_extended(RPMSG_GPIO_MSG_GET_CONFIG, 0, 1, ERR); /* not accepted */
	CHECK_BYTES(reply->bytes + 4, "\1\0\0\0", 4);
	reply = ask_extended(RPMSG_GPIO_MSG_GET_FEATURES, 0, 2, ERR); /* 8 bytes only */
	CHECK_BYTES(reply->bytes + 4, "\2\0\0\0", 4);
	CHECK_EQ(board.device.features, RPMSG_GPIO_F_TAG);
	CHECK_EQ(get(GET_DIRECTION, 0), NONE); /* 8 bytes: baseline as ever */
	put(bytes, SET_VALUE, 0, 1, 3);
	reply = exchange(bytes, 12);
	CHECK_BYTES(reply->bytes, "\0\0\0\0\3\0\0\0", 8);
	CHECK_EQ(board.lines[0].value, 1);
}

static void twelve_bytes_without_tag_is_a_baseline_error(void)
{
	const struct message *reply;
	uint8_t bytes[12];

	boot(ALL_FEATURES, RPMSG_GPIO_DIALECT_PADDED, false);
	put(bytes, GET_DIRECTION, 0, 0, 3);
	reply = exchange(bytes, 12);
	CHECK_EQ(reply->length, 4);
	CHECK_BYTES(reply->bytes, "\0\0\1\0", 4);
}

/* ---- every length, every type -------------------------------------------- */

static const uint16_t all_types[] = { 0, 1, 2, 3, 4, 5, 6, 7, 0x7fff, 0x8000, 0x8001, 0x8002,
				      0x8003, 0x8004, 0x8010, 0x8020, 0x8030, 0x8041, 0xffff };

static uint32_t extension(uint16_t type)
{
	return type == 1 ? RPMSG_GPIO_F_NAMES : type == 0x8002 ? RPMSG_GPIO_F_CONFIG :
	       type == 0x8003 ? RPMSG_GPIO_F_EPOCH : 0;
}

static bool should_be_ok(uint16_t type, size_t length, uint32_t offered, uint32_t accepted)
{
	if (type == 0x8000 || type == 0x8001)
		return length == 8 && offered;
	if (extension(type))
		return length == 12 && accepted & extension(type);
	if (type < 2 || type > 6)
		return false;
	return length == 8 || (length == 12 && accepted & RPMSG_GPIO_F_TAG);
}

static bool should_be_extended(uint16_t type, size_t length, uint32_t offered, uint32_t accepted)
{
	if (type == 0x8000 && length == 8)
		return offered;
	return length >= 12 && accepted & (RPMSG_GPIO_F_TAG | extension(type));
}

static void check_length(uint16_t type, size_t length, uint32_t accepted, bool padded)
{
	uint8_t *bytes = malloc(length ? length : 1); /* exact: ASan sees an overread */
	uint32_t offered = board.config.features;
	const struct message *reply;
	uint8_t whole[16] = { 0 };
	bool extended = length >= 2 && should_be_extended(type, length, offered, accepted);
	bool ok = length >= 8 && should_be_ok(type, length, offered, accepted);

	put(whole, type, 0, 0, 0x5aa5);
	memcpy(bytes, whole, length);
	board.device.features = accepted;
	reply = exchange(bytes, length);
	free(bytes);
	CHECK_EQ(reply != NULL, length > 0);
	if (!reply)
		return;
	if (extended)
		CHECK(reply->length >= 8);
	else
		CHECK_EQ(reply->length, padded ? 4 : 3);
	CHECK_EQ(reply->bytes[0], 0);
	CHECK_EQ(reply->bytes[extended || padded ? 2 : 1], ok ? OK : ERR);
	if (extended && accepted & RPMSG_GPIO_F_TAG && type != 0x8000)
		CHECK_BYTES(reply->bytes + 4, "\xa5\x5a", 2);
}

static void every_length_of_every_type_is_answered(void)
{
	static const uint32_t accepted[] = { 0, RPMSG_GPIO_F_CONFIG, RPMSG_GPIO_F_NAMES,
		RPMSG_GPIO_F_EPOCH, RPMSG_GPIO_F_TAG, ALL_FEATURES & ~RPMSG_GPIO_F_TAG, ALL_FEATURES };
	size_t length, t, a;
	int variant;

	for (variant = 0; variant < 4; variant++) {
		boot(variant & 1 ? ALL_FEATURES : 0, variant & 2 ? RPMSG_GPIO_DIALECT_PADDED :
		     RPMSG_GPIO_DIALECT_DOCUMENTED, false);
		for (t = 0; t < sizeof(all_types) / sizeof(*all_types); t++)
			for (length = 0; length <= 16; length++)
				for (a = 0; a < (variant & 1 ? 7u : 1u); a++)
					check_length(all_types[t], length, accepted[a], variant & 2);
	}
}

/* ---- random messages ----------------------------------------------------- */

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

/* What a driver knows of the interrupts, from OK replies and events alone. */
static uint8_t known_type[NGPIO];
static bool known_masked[NGPIO];

static size_t random_message(uint8_t *bytes)
{
	static const uint32_t values[] = { 0, 1, 2, 3, 4, 8, 5, 0x100, 0xffffffff };
	static const size_t lengths[] = { 0, 1, 7, 9, 11, 13, 16, 100 };
	uint32_t i;

	for (i = 0; i < 100; i++)
		bytes[i] = (uint8_t)dice(256);
	if (!dice(8))
		return lengths[dice(8)];
	put(bytes, all_types[dice(4) ? 1 + dice(7) : dice(19)], (uint16_t)dice(NGPIO + 1),
	    values[dice(dice(4) ? 7 : 9)], (uint16_t)dice(65536));
	if (!dice(16))
		put(bytes, RPMSG_GPIO_MSG_SET_FEATURES, 0, dice(16), 0);
	return dice(2) ? 8 : 12;
}

static uint8_t status_of(const struct message *reply)
{
	if (board.config.dialect == RPMSG_GPIO_DIALECT_PADDED || reply->length >= 8)
		return reply->bytes[2];
	return reply->bytes[1];
}

static void learn(const uint8_t *bytes, const struct message *reply)
{
	uint16_t type = (uint16_t)(bytes[0] | bytes[1] << 8);
	uint16_t gpio = (uint16_t)(bytes[2] | bytes[3] << 8);

	CHECK_EQ(reply->bytes[0], 0);
	CHECK(status_of(reply) <= ERR);
	if (status_of(reply) != OK)
		return;
	if (type == SET_IRQ_TYPE || (type == SET_DIRECTION && bytes[4] == NONE)) {
		known_type[gpio] = type == SET_IRQ_TYPE ? bytes[4] : IRQ_NONE;
		known_masked[gpio] = false;
	}
}

static void check_events(void)
{
	size_t line_at = board.config.dialect == RPMSG_GPIO_DIALECT_PADDED ? 2 : 1;
	unsigned int i;

	CHECK(board.event_count <= NGPIO);
	for (i = 0; i < board.event_count; i++) {
		uint8_t gpio = board.events[i].bytes[line_at];

		CHECK_EQ(board.events[i].length, line_at + 2);
		CHECK(gpio < NGPIO && known_type[gpio % NGPIO] != IRQ_NONE);
		CHECK(!known_masked[gpio % NGPIO]);
		known_masked[gpio % NGPIO] = true;
	}
	board.event_count = 0;
}

/* One message through a channel that may be full: exactly one reply. */
static void fuzz_one(void)
{
	uint8_t bytes[100];
	size_t length = random_message(bytes);
	uint8_t *exact = malloc(length ? length : 1);

	memcpy(exact, bytes, length);
	board.reply_count = 0;
	board.room = dice(3) ? NO_ROOM_LIMIT : 0;
	CHECK(rpmsg_gpio_device_receive(&board.device, exact, length));
	free(exact);
	pin_set((uint16_t)dice(NGPIO), (uint8_t)dice(2));
	CHECK_EQ(board.event_count, 0); /* receive() and irq() send no events */
	rpmsg_gpio_device_run(&board.device);
	board.room = NO_ROOM_LIMIT;
	CHECK(rpmsg_gpio_device_run(&board.device));
	CHECK_EQ(board.reply_count, length > 0);
	if (length && board.reply_count == 1)
		learn(bytes, &board.replies[0]);
	check_events();
	CHECK(board.device.reply_length == 0 && !board.device.pending);
}

static void random_messages_get_one_reply_each(void)
{
	uint32_t n, variant;

	for (variant = 0; variant < 8; variant++) {
		boot(variant & 1 ? ALL_FEATURES : 0, variant & 2 ? RPMSG_GPIO_DIALECT_PADDED :
		     RPMSG_GPIO_DIALECT_DOCUMENTED, variant & 4);
		memset(known_type, 0, sizeof(known_type));
		memset(known_masked, 0, sizeof(known_masked));
		seed = 0x2545f491u + variant;
		for (n = 0; n < 12500 && !check_bad; n++)
			fuzz_one();
	}
}

int main(void)
{
	RUN(a_fresh_device_has_no_state);
	RUN(directions_are_set_and_read_back);
	RUN(a_value_before_out_is_kept_and_driven);
	RUN(a_value_set_while_in_is_driven_when_out);
	RUN(out_without_a_value_drives_zero_or_the_last);
	RUN(get_value_reads_the_pin_of_an_output);
	RUN(direction_none_discards_all_state);
	RUN(an_interrupt_not_yet_sent_dies_with_none);
	RUN(bad_values_are_errors);
	RUN(lines_out_of_range_are_errors);
	RUN(unknown_types_are_errors);
	RUN(a_port_that_refuses_leaves_the_state);
	RUN(an_edge_is_one_event_and_masks);
	RUN(edges_while_masked_latch_one);
	RUN(a_latched_edge_follows_the_reply_of_the_rearm);
	RUN(an_edge_just_before_the_rearm_is_latched);
	RUN(levels_are_not_latched);
	RUN(a_level_still_active_fires_at_the_rearm);
	RUN(none_disables_and_forgets);
	RUN(a_refused_type_keeps_the_old_one);
	RUN(lenient_changes_the_type_directly);
	RUN(lenient_takes_irq_types_of_any_direction);
	RUN(strict_refuses_what_virtio_forbids);
	RUN(each_line_gets_its_event_in_one_run);
	RUN(a_reply_waits_for_a_buffer);
	RUN(events_wait_for_a_buffer_and_none_is_lost);
	RUN(an_edge_behind_an_unsent_event_is_latched);
	RUN(no_event_follows_the_reply_to_none);
	RUN(features_are_offered_and_accepted);
	RUN(what_the_board_lacks_is_not_offered);
	RUN(get_features_starts_afresh_and_leaves_the_lines);
	RUN(config_carries_size_and_label);
	RUN(names_come_in_pieces);
	RUN(the_epoch_is_told);
	RUN(a_tag_comes_back);
	RUN(twelve_bytes_without_tag_is_a_baseline_error);
	RUN(every_length_of_every_type_is_answered);
	RUN(random_messages_get_one_reply_each);
	return check_report();
}
