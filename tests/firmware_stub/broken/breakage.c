/* SPDX-License-Identifier: BSD-3-Clause */
#include "breakage.h"

#include <string.h>

#include "firmware.h"
#include "rpmsg_gpio_internal.h"

#define UNKNOWN_WAKEUP 0x0010
#define SLOW_NS UINT64_C(150000000)
/* What the drivers that attach by vhost-user call themselves, Linux too. */
#define FIRST_DRIVER 1024u

/* A message from the driver, and what its fields say; 0 where it is too short. */
typedef struct {
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
	size_t length;
	uint16_t type, gpio;
	uint32_t value;
} request_t;

/* What it does on the way of a request to the core, after the core had it, and
 * on the way of a message to the driver. Each may be NULL. */
struct breakage_rule {
	const char *name;
	const char *what;
	/* True: the core does not get the request. */
	bool (*request)(struct controller *controller, request_t *request);
	void (*after)(struct controller *controller, const request_t *request);
	/* The reply to, or the event behind, breakage.request. */
	void (*message)(struct controller *controller, uint8_t *bytes, size_t *length);
	/* As in struct message_filter. */
	void (*announced)(struct controller *controller);
	const char *channel_prefix;
};

/* What a rule keeps of a controller, until its firmware starts again. */
struct breakage {
	request_t request;    /* the latest */
	unsigned int swallow; /* replies that nobody asked for */
	bool event_due;       /* a false event follows the reply */
	bool holding;         /* the next reply waits in `held` */
	uint8_t held[RPMSG_GPIO_MESSAGE_MAX];
	size_t held_length;
	uint32_t count;
	uint32_t line;        /* the one that the rule has an eye on, plus 1 */
	struct rpmsg_gpio_timed_event edge; /* that it keeps for this line */
};

static const struct breakage_rule *rule; /* the one that this firmware breaks */
static struct breakage breakages[BOARD_CONTROLLERS_MAX];

static struct breakage *state_of(const struct controller *controller)
{
	return &breakages[controller->board->index];
}

/* ---- tools -------------------------------------------------------------------- */

static void decode(request_t *request)
{
	struct virtio_gpio_request wire = {0};

	memcpy(&wire, request->bytes,
	       request->length < sizeof(wire) ? request->length : sizeof(wire));
	request->type = rpmsg_gpio_load16(wire.type);
	request->gpio = rpmsg_gpio_load16(wire.gpio);
	request->value = rpmsg_gpio_load32(wire.value);
}

/* Write type, gpio and value back into the bytes. */
static void encode(request_t *request)
{
	struct virtio_gpio_request wire = {
		.type = rpmsg_gpio_store16(request->type),
		.gpio = rpmsg_gpio_store16(request->gpio),
		.value = rpmsg_gpio_store32(request->value),
	};

	memcpy(request->bytes, &wire, sizeof(wire));
}

static bool exists(const struct controller *controller, const request_t *request)
{
	return request->gpio < controller->config.ngpio;
}

static struct rpmsg_gpio_line *line_of(struct controller *controller, const request_t *request)
{
	static struct rpmsg_gpio_line nobody;

	return exists(controller, request) ? &controller->lines[request->gpio] : &nobody;
}

static bool is_last_line(const struct controller *controller, const request_t *request)
{
	return request->gpio + 1 == controller->config.ngpio;
}

static bool is_level(uint32_t type)
{
	return type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH || type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool is_rearm(struct controller *controller, const request_t *request)
{
	return request->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && exists(controller, request) &&
	       request->value && line_of(controller, request)->irq_type == request->value;
}

/* A request of ours, whose reply the driver does not see. */
static void inject(struct controller *controller, uint16_t type, uint16_t gpio, uint32_t value)
{
	request_t request = {.type = type, .gpio = gpio, .value = value, .length = 8};

	if (type > RPMSG_GPIO_MSG_SET_FEATURES)
		request.length = sizeof(struct rpmsg_gpio_ext_request);

	encode(&request);
	state_of(controller)->swallow++;
	if (!rpmsg_gpio_device_receive(&controller->device, request.bytes, request.length))
		state_of(controller)->swallow--; /* no buffer for the reply before */
}

static void reply(struct controller *controller, uint8_t status)
{
	uint8_t documented[] = {RPMSG_GPIO_QUEUE_REQUEST, status, 0};
	uint8_t padded[] = {RPMSG_GPIO_QUEUE_REQUEST, 0, status, 0};

	if (controller->config.dialect == RPMSG_GPIO_DIALECT_PADDED)
		controller_transmit(controller, padded, sizeof(padded));
	else
		controller_transmit(controller, documented, sizeof(documented));
}

static size_t put_event(const struct controller *controller, uint16_t gpio, uint8_t *bytes)
{
	rpmsg_gpio_le16 line = rpmsg_gpio_store16(gpio);
	size_t length = controller->config.dialect == RPMSG_GPIO_DIALECT_PADDED ? 4 : 3;

	bytes[0] = RPMSG_GPIO_QUEUE_EVENT;
	bytes[1] = 0;
	memcpy(bytes + length - sizeof(line), &line, sizeof(line));
	return length;
}

static void event(struct controller *controller, uint16_t gpio)
{
	uint8_t bytes[4];

	controller_transmit(controller, bytes, put_event(controller, gpio, bytes));
}

/* Offsets of status and value in a reply, which tell its form by its length. */
static size_t status_at(size_t length)
{
	return length == sizeof(struct rpmsg_gpio_reply) ? 1 : 2;
}

static bool is_reply(const uint8_t *bytes)
{
	return bytes[0] == RPMSG_GPIO_QUEUE_REQUEST;
}

static bool is_ok(const uint8_t *bytes, size_t length)
{
	return is_reply(bytes) && bytes[status_at(length)] == VIRTIO_GPIO_STATUS_OK;
}

/* An OK to this type. */
static bool answers(const struct controller *controller, uint16_t type, const uint8_t *bytes,
		    size_t length)
{
	return is_ok(bytes, length) && state_of(controller)->request.type == type;
}

static bool is_record(const struct controller *controller, const uint8_t *bytes)
{
	return !is_reply(bytes) && controller->device.features & EXTENDED_EVENTS;
}

static void speak_first(struct controller *controller)
{
	uint8_t bytes[4];

	rpmsg_backend_send(controller->firmware->backend, controller->address, FIRST_DRIVER,
			   bytes, (uint16_t)put_event(controller, 0, bytes));
}

/* ---- messages ------------------------------------------------------------------- */

static bool answer_empty(struct controller *controller, request_t *request)
{
	if (request->length)
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_ERR);
	return true;
}

static bool refuse_value_in_get(struct controller *controller, request_t *request)
{
	if (request->length != sizeof(struct virtio_gpio_request) || !request->value ||
	    (request->type != VIRTIO_GPIO_MSG_GET_DIRECTION &&
	     request->type != VIRTIO_GPIO_MSG_GET_VALUE))
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_ERR);
	return true;
}

static bool ignore_short(struct controller *controller, request_t *request)
{
	(void)controller;
	return request->length && request->length < sizeof(struct virtio_gpio_request);
}

static bool cut_long(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type == VIRTIO_GPIO_MSG_GET_DIRECTION &&
	    request->length != sizeof(struct rpmsg_gpio_ext_request) && request->length > 8)
		request->length = sizeof(struct virtio_gpio_request);
	return false;
}

static bool know_wakeup(struct controller *controller, request_t *request)
{
	if (request->type != UNKNOWN_WAKEUP)
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_OK);
	return true;
}

static bool wrap_line(struct controller *controller, request_t *request)
{
	if (request->length == sizeof(struct virtio_gpio_request) &&
	    (request->type == VIRTIO_GPIO_MSG_GET_DIRECTION ||
	     request->type == VIRTIO_GPIO_MSG_GET_VALUE)) {
		request->gpio = (uint16_t)(request->gpio % controller->config.ngpio);
		encode(request);
	}
	return false;
}

static bool cut_value(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type >= VIRTIO_GPIO_MSG_SET_DIRECTION &&
	    request->type <= VIRTIO_GPIO_MSG_SET_IRQ_TYPE) {
		request->value &= 0xff;
		encode(request);
	}
	return false;
}

static bool slow_down(struct controller *controller, request_t *request)
{
	struct fault_plan *plan = &controller->firmware->faults.plans[FAULT_TX];

	if (request->type == VIRTIO_GPIO_MSG_GET_VALUE && is_last_line(controller, request)) {
		plan->delay = 1;
		plan->delay_ns = SLOW_NS;
	}
	return false;
}

static void value_with_error(struct controller *controller, uint8_t *bytes, size_t *length)
{
	(void)controller;
	if (is_reply(bytes) && !is_ok(bytes, *length))
		bytes[status_at(*length) + 1] = 0x55;
}

static void value_of_set(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, VIRTIO_GPIO_MSG_SET_DIRECTION, bytes, *length))
		bytes[status_at(*length) + 1] = (uint8_t)state_of(controller)->request.value;
}

static void direction_3(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, VIRTIO_GPIO_MSG_GET_DIRECTION, bytes, *length) &&
	    is_last_line(controller, &state_of(controller)->request))
		bytes[status_at(*length) + 1] = 3;
}

static void value_2(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, VIRTIO_GPIO_MSG_GET_VALUE, bytes, *length) &&
	    is_last_line(controller, &state_of(controller)->request))
		bytes[status_at(*length) + 1] = 2;
}

/* The firmware changes its mind about the form of its messages. */
static void other_form(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (!answers(controller, VIRTIO_GPIO_MSG_GET_VALUE, bytes, *length))
		return;
	if (*length == 3) {
		memmove(bytes + 2, bytes + 1, 2);
		bytes[1] = 0;
		*length = 4;
	} else if (*length == 4) {
		memmove(bytes + 1, bytes + 2, 2);
		*length = 3;
	}
}

/* ---- lines ------------------------------------------------------------------------ */

static void hide_input(struct controller *controller, uint8_t *bytes, size_t *length)
{
	uint8_t *value = &bytes[status_at(*length) + 1];

	if (answers(controller, VIRTIO_GPIO_MSG_GET_DIRECTION, bytes, *length) &&
	    *value == VIRTIO_GPIO_DIRECTION_IN)
		*value = VIRTIO_GPIO_DIRECTION_NONE;
}

static bool forget_early_value(struct controller *controller, request_t *request)
{
	if (request->type != VIRTIO_GPIO_MSG_SET_VALUE || !exists(controller, request) ||
	    request->value > 1 ||
	    line_of(controller, request)->direction == VIRTIO_GPIO_DIRECTION_OUT)
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_OK);
	return true;
}

static bool clear_again(struct controller *controller, request_t *request)
{
	const struct rpmsg_gpio_line *line = line_of(controller, request);

	if (request->type == VIRTIO_GPIO_MSG_SET_VALUE && request->value == 1 && line->value &&
	    line->direction == VIRTIO_GPIO_DIRECTION_OUT) {
		request->value = 0;
		encode(request);
	}
	return false;
}

static bool forget_value(struct controller *controller, request_t *request)
{
	if (request->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
	    request->value == VIRTIO_GPIO_DIRECTION_IN)
		line_of(controller, request)->value = 0;
	return false;
}

static bool drive_inverse(struct controller *controller, request_t *request)
{
	if (request->type == VIRTIO_GPIO_MSG_SET_DIRECTION && exists(controller, request) &&
	    request->value == VIRTIO_GPIO_DIRECTION_OUT)
		board_port.set_direction(controller->board, request->gpio,
					 VIRTIO_GPIO_DIRECTION_OUT,
					 !line_of(controller, request)->value);
	return false;
}

/* NONE leaves the value, which the next OUT drives. */
static bool remember_value(struct controller *controller, request_t *request)
{
	struct rpmsg_gpio_line *line = line_of(controller, request);
	struct breakage *breakage = state_of(controller);

	if (request->type != VIRTIO_GPIO_MSG_SET_DIRECTION)
		return false;
	if (request->value == VIRTIO_GPIO_DIRECTION_NONE)
		breakage->line = line->value ? request->gpio + 1u : 0;
	else if (breakage->line == request->gpio + 1u && !(line->flags & LINE_VALUE))
		line->value = 1;
	return false;
}

static bool note_irq(struct controller *controller, request_t *request)
{
	state_of(controller)->count = request->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
				     request->value == VIRTIO_GPIO_DIRECTION_NONE ?
				     line_of(controller, request)->irq_type : 0;
	return false;
}

static void enable_irq_again(struct controller *controller, const request_t *request)
{
	if (state_of(controller)->count)
		inject(controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, request->gpio,
		       state_of(controller)->count);
}

static void read_register(struct controller *controller, uint8_t *bytes, size_t *length)
{
	const struct rpmsg_gpio_line *line = line_of(controller, &state_of(controller)->request);

	if (answers(controller, VIRTIO_GPIO_MSG_GET_VALUE, bytes, *length) &&
	    line->direction == VIRTIO_GPIO_DIRECTION_OUT)
		bytes[status_at(*length) + 1] = line->value;
}

/* One line of section 5 as a strict device has it, the others as a lenient one. */
static bool refuse_inactive(struct controller *controller, request_t *request)
{
	if (request->type != VIRTIO_GPIO_MSG_GET_VALUE || !exists(controller, request) ||
	    request->length != sizeof(struct virtio_gpio_request) ||
	    line_of(controller, request)->direction != VIRTIO_GPIO_DIRECTION_NONE)
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_ERR);
	return true;
}

/* ---- interrupts --------------------------------------------------------------------- */

static bool rising_is_both(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE &&
	    request->value == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING) {
		request->value = VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
		encode(request);
	}
	return false;
}

/* Falling edges are unmasked again before the next request. */
static bool unmask_falling(struct controller *controller, request_t *request)
{
	(void)request;
	for (uint16_t gpio = 0; gpio < controller->config.ngpio; gpio++) {
		const struct rpmsg_gpio_line *line = &controller->lines[gpio];

		if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING &&
		    line->flags & LINE_MASKED)
			inject(controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, gpio, line->irq_type);
	}
	return false;
}

static bool drop_latched(struct controller *controller, request_t *request)
{
	if (is_rearm(controller, request) && !is_level(request->value) &&
	    !(controller->device.features & EXTENDED_EVENTS)) {
		inject(controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, request->gpio, 0);
		inject(controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, request->gpio, request->value);
	}
	return false;
}

/* The re-arm behind one that set an edge free sends it once more. */
static bool latch_twice(struct controller *controller, request_t *request)
{
	struct breakage *breakage = state_of(controller);
	bool latched = line_of(controller, request)->fired ||
		       line_of(controller, request)->flags & LINE_LATCHED;

	if (request->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && !request->value)
		breakage->line = 0;
	if (!is_rearm(controller, request) || is_level(request->value) ||
	    controller->device.features & EXTENDED_EVENTS)
		return false;
	breakage->event_due = breakage->line == request->gpio + 1u;
	breakage->line = latched ? request->gpio + 1u : 0;
	return false;
}

static bool latch_level(struct controller *controller, request_t *request)
{
	struct board_controller *board = controller->board;
	uint8_t level = 0;

	if (!is_rearm(controller, request) || !is_level(request->value))
		return false;
	board_port.get_value(board, request->gpio, &level);
	state_of(controller)->event_due =
		level != (request->value == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	return false;
}

static bool event_first(struct controller *controller, request_t *request)
{
	state_of(controller)->holding =
		is_rearm(controller, request) && is_level(request->value);
	return false;
}

static void reply_last(struct controller *controller, const request_t *request)
{
	struct breakage *breakage = state_of(controller);

	(void)request;
	if (!breakage->held_length)
		return;
	rpmsg_gpio_device_run(&controller->device);
	controller_transmit(controller, breakage->held, breakage->held_length);
	breakage->held_length = 0;
}

static bool fire_on_rearm(struct controller *controller, request_t *request)
{
	state_of(controller)->event_due = is_rearm(controller, request) &&
					 !is_level(request->value) &&
					 !(line_of(controller, request)->flags & LINE_IRQ) &&
					 !line_of(controller, request)->fired;
	return false;
}

/* NONE leaves a latched edge, which fires when the line is enabled again. */
static bool keep_latched(struct controller *controller, request_t *request)
{
	struct breakage *breakage = state_of(controller);
	const struct rpmsg_gpio_line *line = line_of(controller, request);
	bool same = breakage->line == request->gpio + 1u;

	if (request->type != VIRTIO_GPIO_MSG_SET_IRQ_TYPE || request->value > 8)
		return false;
	if (request->value == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		if (line->flags & LINE_MASKED && (line->fired || line->flags & LINE_LATCHED))
			breakage->line = request->gpio + 1u;
	} else if (same) {
		breakage->event_due = true;
		breakage->line = 0;
	}
	return false;
}

/* Another type fires for the edge that was latched for the one before. */
static bool change_keeps_latched(struct controller *controller, request_t *request)
{
	const struct rpmsg_gpio_line *line = line_of(controller, request);

	state_of(controller)->event_due =
		request->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && request->value &&
		line->irq_type && line->irq_type != request->value &&
		line->flags & LINE_MASKED && (line->fired || line->flags & LINE_LATCHED);
	return false;
}

/* ---- negotiation ---------------------------------------------------------------------- */

static void offer_reserved(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_FEATURES, bytes, *length))
		bytes[9] |= 2; /* bit 9 */
}

static bool note_features(struct controller *controller, request_t *request)
{
	(void)request;
	state_of(controller)->count = controller->device.features;
	return false;
}

static void keep_features(struct controller *controller, const request_t *request)
{
	if (request->type == RPMSG_GPIO_MSG_GET_FEATURES && state_of(controller)->count)
		inject(controller, RPMSG_GPIO_MSG_SET_FEATURES, 0, state_of(controller)->count);
}

static bool accept_any(struct controller *controller, request_t *request)
{
	if (request->type == RPMSG_GPIO_MSG_SET_FEATURES && request->length == 8) {
		request->value &= controller->config.features;
		encode(request);
	}
	return false;
}

static void disable_all_irqs(struct controller *controller, const request_t *request)
{
	for (uint16_t gpio = 0; gpio < controller->config.ngpio; gpio++)
		if (request->type == RPMSG_GPIO_MSG_GET_FEATURES && controller->lines[gpio].irq_type)
			inject(controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, gpio, 0);
}

/* A SET_FEATURES that is refused leaves what was accepted before. */
static void restore_features(struct controller *controller, const request_t *request)
{
	if (request->type == RPMSG_GPIO_MSG_SET_FEATURES &&
	    request->value & ~controller->config.features && state_of(controller)->count)
		inject(controller, RPMSG_GPIO_MSG_SET_FEATURES, 0, state_of(controller)->count);
}

static bool cut_negotiation(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type == RPMSG_GPIO_MSG_GET_FEATURES && request->length == 12)
		request->length = sizeof(struct virtio_gpio_request);
	return false;
}

/* GET_CONFIG works before it was accepted. */
static bool leak_config(struct controller *controller, request_t *request)
{
	state_of(controller)->count = request->type == RPMSG_GPIO_MSG_GET_CONFIG &&
				     !(controller->device.features & RPMSG_GPIO_F_CONFIG);
	if (state_of(controller)->count)
		controller->device.features |= RPMSG_GPIO_F_CONFIG;
	return false;
}

static void close_leak(struct controller *controller, const request_t *request)
{
	(void)request;
	if (state_of(controller)->count)
		controller->device.features &= ~(uint32_t)RPMSG_GPIO_F_CONFIG;
}

static bool accept_untagged(struct controller *controller, request_t *request)
{
	if (request->type == VIRTIO_GPIO_MSG_GET_DIRECTION && request->length == 12 &&
	    !(controller->device.features & RPMSG_GPIO_F_TAG))
		request->length = sizeof(struct virtio_gpio_request);
	return false;
}

static bool is_extended(const struct controller *controller, const uint8_t *bytes, size_t length)
{
	return is_reply(bytes) && length >= sizeof(struct rpmsg_gpio_ext_reply) &&
	       state_of(controller)->request.type != RPMSG_GPIO_MSG_GET_FEATURES;
}

static void lose_tag(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (is_extended(controller, bytes, *length) && !is_ok(bytes, *length))
		memset(bytes + 4, 0, 2);
}

static void error_with_body(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (!is_extended(controller, bytes, *length) || is_ok(bytes, *length))
		return;
	memset(bytes + *length, 0, 4);
	*length += 4;
}

static bool refuse_reserved(struct controller *controller, request_t *request)
{
	if (request->length < sizeof(struct rpmsg_gpio_ext_request) ||
	    !(request->bytes[10] | request->bytes[11]))
		return false;
	reply(controller, VIRTIO_GPIO_STATUS_ERR);
	return true;
}

/* Of two requests for the value of a line the second is answered first. */
static bool swap_values(struct controller *controller, request_t *request)
{
	struct breakage *breakage = state_of(controller);

	breakage->holding = request->type == VIRTIO_GPIO_MSG_GET_VALUE && request->length == 12 &&
			    !breakage->held_length;
	return false;
}

static void swap_values_back(struct controller *controller, const request_t *request)
{
	struct breakage *breakage = state_of(controller);

	if (!breakage->held_length || (request->type == VIRTIO_GPIO_MSG_GET_VALUE &&
				       !breakage->count++))
		return;
	controller_transmit(controller, breakage->held, breakage->held_length);
	breakage->held_length = 0;
	breakage->count = 0;
}

/* ---- extensions ------------------------------------------------------------------------- */

static void other_epoch(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_EPOCH, bytes, *length) && *length > 8)
		bytes[8] ^= 1;
}

static void count_nothing(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_COUNTERS, bytes, *length) && *length > 8)
		memset(bytes + 8, 0, *length - 8);
}

static void no_epoch_in_head(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (is_extended(controller, bytes, *length))
		memset(bytes + 6, 0, 2);
}

static void config_padding(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_CONFIG, bytes, *length) && *length > 12)
		bytes[10] = 1;
}

static void name_8_bit(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, VIRTIO_GPIO_MSG_GET_LINE_NAMES, bytes, *length) && *length > 8 &&
	    bytes[8])
		bytes[8] |= 0x80;
}

static bool names_without_end(struct controller *controller, request_t *request)
{
	if (request->type == VIRTIO_GPIO_MSG_GET_LINE_NAMES &&
	    request->value > controller->config.names_size) {
		request->value = controller->config.names_size;
		encode(request);
	}
	return false;
}

static bool count_times(struct controller *controller, request_t *request)
{
	uint32_t *count = &state_of(controller)->count;

	*count = request->type == RPMSG_GPIO_MSG_GET_TIME ? *count + 1 : 0;
	return false;
}

/* The fourth of four in a row. */
static void time_backwards(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_TIME, bytes, *length) && *length == 16 &&
	    state_of(controller)->count > 3)
		memset(bytes + 8, 0, 8);
}

static void event_without_time(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (is_record(controller, bytes) && *length == 16)
		memset(bytes + 8, 0, 8);
}

static void sequence_from_0(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (is_record(controller, bytes) && *length >= 8 && bytes[4])
		bytes[4]--;
}

static uint16_t record_line(const uint8_t *record)
{
	return (uint16_t)(record[2] | record[3] << 8);
}

/* A record of a level type goes out in the baseline's form. */
static void level_as_baseline(struct controller *controller, uint8_t *bytes, size_t *length)
{
	uint16_t gpio = record_line(bytes);

	if (is_record(controller, bytes) && gpio < controller->config.ngpio &&
	    is_level(controller->lines[gpio].irq_type))
		*length = put_event(controller, gpio, bytes);
}

static void stamp_at_sending(struct controller *controller, uint8_t *bytes, size_t *length)
{
	rpmsg_gpio_le64 now = rpmsg_gpio_store64(board_port.get_time(controller->board));

	if (!is_record(controller, bytes) || !(controller->device.features & RPMSG_GPIO_F_TIMESTAMP))
		return;
	for (size_t at = 0; at + 16 <= *length; at += 16)
		memcpy(bytes + at + 8, &now, sizeof(now));
}

/* Keep the first edge that a line latches, until it has none. */
static bool keep_oldest(struct controller *controller, request_t *request)
{
	struct breakage *breakage = state_of(controller);

	(void)request;
	for (uint16_t gpio = 0; gpio < controller->config.ngpio; gpio++) {
		const struct rpmsg_gpio_line *line = &controller->lines[gpio];
		const struct rpmsg_gpio_stream *stream = &controller->streams[gpio];

		if (!(line->flags & LINE_HELD) || breakage->line == gpio + 1u)
			continue;
		breakage->line = gpio + 1u;
		breakage->edge = (struct rpmsg_gpio_timed_event){
			.event = {RPMSG_GPIO_QUEUE_EVENT,
				  line->flags & LINE_HIGH ? RPMSG_GPIO_EVENT_HIGH : 0,
				  rpmsg_gpio_store16(gpio), rpmsg_gpio_store32(stream->last)},
			.timestamp = rpmsg_gpio_store64((uint64_t)stream->held_high << 32 |
							stream->held_low),
		};
	}
	return false;
}

static void send_oldest(struct controller *controller, uint8_t *bytes, size_t *length)
{
	struct breakage *breakage = state_of(controller);

	if (!is_record(controller, bytes) || *length != sizeof(breakage->edge) ||
	    controller->device.features & RPMSG_GPIO_F_CREDITS ||
	    breakage->line != record_line(bytes) + 1u)
		return;
	memcpy(bytes, &breakage->edge, sizeof(breakage->edge));
	breakage->line = 0;
}

/* The edges that were counted, in the place of the events that were sent. */
static void tell_edges_as_sent(struct controller *controller, uint8_t *bytes, size_t *length)
{
	const struct rpmsg_gpio_stream *stream;
	rpmsg_gpio_le32 edges;

	if (!answers(controller, RPMSG_GPIO_MSG_GRANT_CREDITS, bytes, *length) || *length != 16)
		return;
	stream = &controller->streams[state_of(controller)->request.gpio];
	edges = rpmsg_gpio_store32(stream->edges - stream->base);
	memcpy(bytes + 12, &edges, sizeof(edges));
}

static void grant_at_once(struct controller *controller, const request_t *request)
{
	if (request->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && request->value &&
	    !is_level(request->value) && controller->device.features & RPMSG_GPIO_F_CREDITS)
		inject(controller, RPMSG_GPIO_MSG_GRANT_CREDITS, request->gpio, 1000);
}

/* Bits behind the last line are cut off. */
static bool cut_mask(struct controller *controller, request_t *request)
{
	uint32_t lines = (uint32_t)controller->config.ngpio - request->gpio;

	if (request->type != RPMSG_GPIO_MSG_GET_VALUES || !exists(controller, request) ||
	    request->length != 20)
		return false;
	for (uint32_t bit = lines; bit < RPMSG_GPIO_BULK_LINES; bit++)
		request->bytes[12 + bit / 8] &= (uint8_t)~(1u << bit % 8);
	return false;
}

static bool halve_mask(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type == RPMSG_GPIO_MSG_GET_VALUES && request->length == 20)
		memset(request->bytes + 16, 0, 4);
	return false;
}

static bool ignore_check(struct controller *controller, request_t *request)
{
	(void)controller;
	if (request->type == RPMSG_GPIO_MSG_GET_VALUES ||
	    request->type == RPMSG_GPIO_MSG_SET_VALUES ||
	    request->type == RPMSG_GPIO_MSG_SET_LINE_CONFIG)
		memset(request->bytes + 4, 0, 4);
	return false;
}

static void wrong_check(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (answers(controller, RPMSG_GPIO_MSG_GET_VALUES, bytes, *length) && *length == 16)
		bytes[3] ^= 0x80;
}

/* A SET_VALUES that is refused has set the first line of its mask before. */
static bool set_first(struct controller *controller, request_t *request)
{
	uint16_t bit = 0;

	if (request->type != RPMSG_GPIO_MSG_SET_VALUES || request->length != 28 || request->value)
		return false;
	while (bit < RPMSG_GPIO_BULK_LINES && !(request->bytes[12 + bit / 8] >> bit % 8 & 1))
		bit++;
	inject(controller, VIRTIO_GPIO_MSG_SET_VALUE, (uint16_t)(request->gpio + bit),
	       request->bytes[20 + bit / 8] >> bit % 8 & 1);
	return false;
}

static void unknown_caps(struct controller *controller, uint8_t *bytes, size_t *length)
{
	if (!answers(controller, RPMSG_GPIO_MSG_GET_LINE_CAPS, bytes, *length) || *length != 16)
		return;
	bytes[8] |= 0x40;
	bytes[3] = 0; /* no check */
}

static bool both_pulls(struct controller *controller, request_t *request)
{
	uint8_t *flags = &request->bytes[12];

	(void)controller;
	if (request->type == RPMSG_GPIO_MSG_SET_LINE_CONFIG && request->length == 20 &&
	    *flags & RPMSG_GPIO_LINE_PULL_UP)
		*flags &= (uint8_t)~RPMSG_GPIO_LINE_PULL_DOWN;
	return false;
}

static bool is_config(const request_t *request)
{
	return request->type == RPMSG_GPIO_MSG_SET_LINE_CONFIG && request->length == 20 &&
	       !request->bytes[13] && !request->bytes[14];
}

static bool lose_pull(struct controller *controller, request_t *request)
{
	uint8_t *flags = &request->bytes[12];

	(void)controller;
	if (is_config(request) && !request->bytes[15] &&
	    (*flags == RPMSG_GPIO_LINE_PULL_UP || *flags == RPMSG_GPIO_LINE_PULL_DOWN))
		*flags = 0;
	return false;
}

static bool lose_open_drain(struct controller *controller, request_t *request)
{
	(void)controller;
	if (is_config(request) && request->bytes[12] == RPMSG_GPIO_LINE_OPEN_DRAIN)
		request->bytes[12] = 0;
	return false;
}

static bool lose_debounce(struct controller *controller, request_t *request)
{
	rpmsg_gpio_le32 debounce_us;

	(void)controller;
	memcpy(&debounce_us, request->bytes + 16, sizeof(debounce_us));
	if (is_config(request) && rpmsg_gpio_load32(debounce_us) <= BOARD_DEBOUNCE_MAX_US)
		memset(request->bytes + 16, 0, sizeof(debounce_us));
	return false;
}

static bool pull_before_looking(struct controller *controller, request_t *request)
{
	uint8_t pulls = request->bytes[12] & (RPMSG_GPIO_LINE_PULL_UP | RPMSG_GPIO_LINE_PULL_DOWN);

	if (is_config(request) && exists(controller, request) && request->bytes[15])
		board_port.set_config(controller->board, request->gpio, pulls, 0);
	return false;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct breakage_rule rules[] = {
	{.name = "channel-zeros", .what = "the channel's index has leading zeros",
	 .channel_prefix = RPMSG_GPIO_CHANNEL_PREFIX "00"},
	{.name = "speaks-first", .what = "an event goes out before the first request",
	 .announced = speak_first},
	{.name = "empty-answered", .what = "an empty message is answered", .request = answer_empty},
	{.name = "value-in-get", .what = "a value in GET_* is refused",
	 .request = refuse_value_in_get},
	{.name = "two-forms", .what = "GET_VALUE has the other form of reply", .message = other_form},
	{.name = "short-silent", .what = "a short request is not answered", .request = ignore_short},
	{.name = "long-accepted", .what = "a long request is taken", .request = cut_long},
	{.name = "wakeup-known", .what = "type 0x0010 is answered by OK", .request = know_wakeup},
	{.name = "line-wraps", .what = "line numbers wrap at the last line", .request = wrap_line},
	{.name = "value-cut", .what = "of a value only 8 bits count", .request = cut_value},
	{.name = "slow", .what = "GET_VALUE of the last line takes 150 ms", .request = slow_down},
	{.name = "value-with-error", .what = "an ERR has a value", .message = value_with_error},
	{.name = "value-of-set", .what = "the OK to SET_DIRECTION has a value",
	 .message = value_of_set},
	{.name = "direction-3", .what = "the last line has direction 3", .message = direction_3},
	{.name = "value-2", .what = "the last line has value 2", .message = value_2},
	{.name = "input-hidden", .what = "the direction of an input reads NONE",
	 .message = hide_input},
	{.name = "early-value-lost", .what = "SET_VALUE is lost unless the line is an output",
	 .request = forget_early_value},
	{.name = "set-twice", .what = "an output that is set to 1 twice goes to 0",
	 .request = clear_again},
	{.name = "none-keeps-value", .what = "direction NONE keeps the value",
	 .request = remember_value},
	{.name = "in-forgets-value", .what = "direction IN forgets the value",
	 .request = forget_value},
	{.name = "out-glitches", .what = "OUT drives the other value for an instant first",
	 .request = drive_inverse},
	{.name = "none-keeps-irq", .what = "direction NONE keeps the interrupt",
	 .request = note_irq, .after = enable_irq_again},
	{.name = "register-read", .what = "GET_VALUE of an output does not look at the pin",
	 .message = read_register},
	{.name = "half-strict", .what = "GET_VALUE as if strict, the rest lenient",
	 .request = refuse_inactive},
	{.name = "rising-is-both", .what = "a rising edge type fires on both",
	 .request = rising_is_both},
	{.name = "falling-unmasked", .what = "falling edges are not masked",
	 .request = unmask_falling},
	{.name = "latch-lost", .what = "the latched edge is lost at the re-arm",
	 .request = drop_latched},
	{.name = "latch-twice", .what = "a latched edge fires twice", .request = latch_twice},
	{.name = "level-latched", .what = "level interrupts are latched", .request = latch_level},
	{.name = "event-first", .what = "the event that a re-arm sets free precedes the reply",
	 .request = event_first, .after = reply_last},
	{.name = "rearm-fires", .what = "a re-arm of an unmasked line fires",
	 .request = fire_on_rearm},
	{.name = "none-keeps-latch", .what = "irq type NONE keeps a latched edge",
	 .request = keep_latched},
	{.name = "change-keeps-latch", .what = "another irq type keeps a latched edge",
	 .request = change_keeps_latched},
	{.name = "reserved-offered", .what = "feature bit 9 is offered", .message = offer_reserved},
	{.name = "features-kept", .what = "GET_FEATURES keeps what was accepted",
	 .request = note_features, .after = keep_features},
	{.name = "any-feature", .what = "SET_FEATURES takes any bit", .request = accept_any},
	{.name = "features-end-irqs", .what = "GET_FEATURES disables interrupts",
	 .after = disable_all_irqs},
	{.name = "refusal-keeps", .what = "a refused SET_FEATURES keeps what was accepted before",
	 .request = note_features, .after = restore_features},
	{.name = "long-negotiation", .what = "GET_FEATURES of 12 bytes is taken",
	 .request = cut_negotiation},
	{.name = "config-leaks", .what = "GET_CONFIG works before it was accepted",
	 .request = leak_config, .after = close_leak},
	{.name = "untagged-extended", .what = "12 bytes are taken without TAG",
	 .request = accept_untagged},
	{.name = "tag-lost", .what = "an ERR has tag 0", .message = lose_tag},
	{.name = "error-body", .what = "an ERR has a body", .message = error_with_body},
	{.name = "reserved-refused", .what = "a reserved word that is not 0 is refused",
	 .request = refuse_reserved},
	{.name = "reordered", .what = "tagged GET_VALUEs are answered out of order",
	 .request = swap_values, .after = swap_values_back},
	{.name = "counters-stuck", .what = "GET_COUNTERS tells 0 always", .message = count_nothing},
	{.name = "two-epochs", .what = "GET_EPOCH tells another epoch", .message = other_epoch},
	{.name = "no-epoch", .what = "heads of replies have no epoch", .message = no_epoch_in_head},
	{.name = "config-padding", .what = "the padding of GET_CONFIG is not 0",
	 .message = config_padding},
	{.name = "name-8-bit", .what = "a name is not 7-bit ASCII", .message = name_8_bit},
	{.name = "names-endless", .what = "an offset beyond the names is OK",
	 .request = names_without_end},
	{.name = "time-backwards", .what = "the clock goes back", .request = count_times,
	 .message = time_backwards},
	{.name = "event-without-time", .what = "events have timestamp 0",
	 .message = event_without_time},
	{.name = "sequence-from-0", .what = "events are counted from 0", .message = sequence_from_0},
	{.name = "credits-ignored", .what = "events come without credits", .after = grant_at_once},
	{.name = "level-baseline", .what = "level types have events in the baseline's form",
	 .message = level_as_baseline},
	{.name = "stamped-late", .what = "events have the time at which they are sent",
	 .message = stamp_at_sending},
	{.name = "oldest-latched", .what = "with TIMESTAMP the oldest edge is latched",
	 .request = keep_oldest, .message = send_oldest},
	{.name = "sent-is-edges", .what = "GRANT_CREDITS tells the edges as sent",
	 .message = tell_edges_as_sent},
	{.name = "mask-cut", .what = "GET_VALUES takes lines beyond the last", .request = cut_mask},
	{.name = "half-set", .what = "a refused SET_VALUES has set a line", .request = set_first},
	{.name = "mask-32", .what = "GET_VALUES looks at 32 bits of the mask",
	 .request = halve_mask},
	{.name = "check-ignored", .what = "the check of a body is not looked at",
	 .request = ignore_check},
	{.name = "check-wrong", .what = "the check of GET_VALUES does not fit", .message = wrong_check},
	{.name = "unknown-caps", .what = "a line has a capability that nobody defined",
	 .message = unknown_caps},
	{.name = "both-pulls", .what = "pull up and down at a time are taken",
	 .request = both_pulls},
	{.name = "pulls-dead", .what = "pulls have no effect", .request = lose_pull},
	{.name = "drain-drives", .what = "open drain drives high", .request = lose_open_drain},
	{.name = "debounce-dead", .what = "debounce has no effect", .request = lose_debounce},
	{.name = "refused-config", .what = "a refused SET_LINE_CONFIG takes effect",
	 .request = pull_before_looking},
};

/* ---- on the way ---------------------------------------------------------------------------- */

static bool receive(struct controller *controller, const void *message, size_t length)
{
	struct breakage *breakage = state_of(controller);
	request_t request = {.length = length};

	if (length > sizeof(request.bytes))
		return rpmsg_gpio_device_receive(&controller->device, message, length);
	if (length)
		memcpy(request.bytes, message, length);
	decode(&request);
	breakage->event_due = false;
	if (rule->request && rule->request(controller, &request))
		return true;
	breakage->request = request;
	rpmsg_gpio_device_receive(&controller->device, request.bytes, request.length);
	if (rule->after)
		rule->after(controller, &request);
	if (breakage->event_due)
		event(controller, request.gpio);
	return true;
}

static bool send(struct controller *controller, const void *message, size_t length)
{
	struct breakage *breakage = state_of(controller);
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX + 4];

	if (!length || length > RPMSG_GPIO_MESSAGE_MAX)
		return controller_transmit(controller, message, length);
	memcpy(bytes, message, length);
	if (is_reply(bytes) && breakage->swallow) {
		breakage->swallow--;
		return true;
	}
	if (is_reply(bytes) && breakage->holding) {
		memcpy(breakage->held, bytes, length);
		breakage->held_length = length;
		breakage->holding = false;
		return true;
	}
	if (rule->message)
		rule->message(controller, bytes, &length);
	return controller_transmit(controller, bytes, length);
}

static void booted(struct controller *controller)
{
	*state_of(controller) = (struct breakage){0};
}

/* ---- by name ------------------------------------------------------------------------------- */

const struct message_filter *breakage_find(const char *name)
{
	static struct message_filter filter = {.receive = receive, .send = send, .booted = booted};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strcmp(rules[i].name, name))
			continue;
		rule = &rules[i];
		filter.announced = rule->announced;
		filter.channel_prefix = rule->channel_prefix;
		return &filter;
	}
	return NULL;
}

void breakage_list(FILE *to)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		fprintf(to, "%-19s %s\n", rules[i].name, rules[i].what);
}
