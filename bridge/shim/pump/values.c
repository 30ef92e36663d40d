/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of lines: what a get or a set sends to the firmware, and what comes back. */
#include "request_internal.h"

#include <errno.h>
#include <string.h>

static bool is_emulated(const struct gb_line *line)
{
	return line->plan.flags & (GB_LINE_OPEN_DRAIN | GB_LINE_OPEN_SOURCE);
}

/* The value of a line, at its place in the mask. */
static uint64_t logical_bit(const struct gb_request *request, uint32_t index, bool high)
{
	bool low = request->lines[index].plan.flags & GB_LINE_ACTIVE_LOW;

	return (uint64_t)(high != low) << index;
}

/* With an emulated drive the direction, which comes last, sets the level. */
static bool sets_level(const struct gb_line *line, uint16_t type)
{
	return type == VIRTIO_GPIO_MSG_SET_DIRECTION ||
	       (type == VIRTIO_GPIO_MSG_SET_VALUE && !is_emulated(line));
}

static void line_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	struct gb_operation_state *op = &request->operation;
	uint32_t index = (uint32_t)call->argument;

	op->waiting--;
	op->replied_ns = outcome->time_ns;
	if (!request->closed) {
		if (outcome->error)
			gb_operation_error(op, outcome->error, outcome->reason, index);
		else if (call->type == VIRTIO_GPIO_MSG_GET_VALUE)
			op->bits |= logical_bit(request, index, outcome->value);
		else if (sets_level(&request->lines[index], call->type))
			gb_request_drove(request, UINT64_C(1) << index, op->levels);
		if (op->waiting == 0)
			gb_operation_finish(request);
	}
	gb_request_unreference(request);
}

static void submit_for_operation(struct gb_request *request, uint32_t index, uint16_t type,
				 uint32_t value, uint64_t now_ns)
{
	struct gb_operation_state *op = &request->operation;
	int error;

	op->waiting++; /* this comes first: a link that dies now ends the call at once */
	error = gb_request_submit(request, index, type, value, line_done, now_ns);
	if (error) {
		op->waiting--;
		gb_operation_error(op, -error, gb_submit_reason(error), index);
	}
}

/* Line i alone. */
static void start_value(struct gb_request *request, uint32_t i, bool get, uint64_t now_ns)
{
	if (get)
		submit_for_operation(request, i, VIRTIO_GPIO_MSG_GET_VALUE, 0, now_ns);
	else
		submit_for_operation(request, i, VIRTIO_GPIO_MSG_SET_VALUE,
				     request->operation.levels >> i & 1, now_ns);
}

/* ---- many lines in one message ------------------------------------------- */

/* Bit of a line in the window of 64 that starts at gpio `first`. */
static bool in_window(const struct gb_line *line, const struct gb_controller *controller,
		      uint16_t first)
{
	return line->plan.controller == controller && line->plan.gpio >= first &&
	       line->plan.gpio - first < RPMSG_GPIO_BULK_LINES;
}

/* Whether the answer has the right length and, where there is a check, is whole. */
static bool is_whole(const struct gb_outcome *outcome, size_t length)
{
	return outcome->length == length &&
	       (!length || !outcome->value ||
		outcome->value == rpmsg_gpio_check8(outcome->body, length));
}

static void take_bits(struct gb_request *request, const struct gb_call *call,
		      const struct gb_outcome *outcome)
{
	struct rpmsg_gpio_bits_body body;
	uint64_t bits;

	memcpy(&body, outcome->body, sizeof(body));
	bits = rpmsg_gpio_load64(body.bits);
	for (uint32_t i = 0; i < request->count; i++) {
		unsigned int at = request->lines[i].plan.gpio - call->gpio;

		if (call->argument >> i & 1)
			request->operation.bits |= logical_bit(request, i, bits >> at & 1);
	}
}

/* The link carries no message of that length, though the firmware knows it. */
static void start_one_by_one(struct gb_request *request, uint64_t lines, bool get)
{
	uint64_t now = gb_now_ns();

	for (; lines; lines &= lines - 1)
		start_value(request, (uint32_t)__builtin_ctzll(lines), get, now);
}

/* The argument of these calls is the mask of the request's lines. */
static void bulk_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	struct gb_operation_state *op = &request->operation;
	bool get = call->type == RPMSG_GPIO_MSG_GET_VALUES;
	uint32_t first = (uint32_t)__builtin_ctzll(call->argument);

	op->replied_ns = outcome->time_ns;
	if (!request->closed) {
		if (outcome->error == EMSGSIZE)
			start_one_by_one(request, call->argument, get);
		else if (outcome->error)
			gb_operation_error(op, outcome->error, outcome->reason, first);
		else if (!is_whole(outcome, get ? sizeof(struct rpmsg_gpio_bits_body) : 0))
			gb_operation_error(op, EPROTO, GB_REASON_REPLY, first);
		else if (get)
			take_bits(request, call, outcome);
		else
			gb_request_drove(request, call->argument, op->levels);
		if (--op->waiting == 0)
			gb_operation_finish(request);
	}
	gb_request_unreference(request);
}

static int submit_bulk(struct gb_request *request, struct gb_controller *controller,
		       uint16_t first, uint64_t lines, bool get, uint64_t now_ns)
{
	struct gb_call wanted = {
		.type = get ? RPMSG_GPIO_MSG_GET_VALUES : RPMSG_GPIO_MSG_SET_VALUES,
		.gpio = first, .form = GB_CALL_EXTENDED,
		.done = bulk_done, .owner = request, .argument = lines,
	};
	uint64_t mask = 0, bits = 0;
	struct rpmsg_gpio_values_body body;
	int error;

	for (uint32_t i = 0; i < request->count; i++) {
		if (!(lines >> i & 1))
			continue;
		mask |= UINT64_C(1) << (request->lines[i].plan.gpio - first);
		bits |= (request->operation.levels >> i & 1)
			<< (request->lines[i].plan.gpio - first);
	}
	body.mask = rpmsg_gpio_store64(mask);
	body.bits = rpmsg_gpio_store64(bits);
	wanted.body_length = get ? sizeof(struct rpmsg_gpio_mask_body) : sizeof(body);
	memcpy(wanted.body, &body, wanted.body_length);
	wanted.value = rpmsg_gpio_check32(&body, wanted.body_length);
	request->references++;
	error = gb_call_start(controller, &wanted, now_ns, request->timeout_ns);
	if (error)
		request->references--;
	return error;
}

/* Finds the lines of `mask` that go with line i in one message, and the first gpio. */
static uint64_t gather(const struct gb_request *request, uint32_t i, uint64_t mask,
		       uint16_t *first)
{
	const struct gb_controller *controller = request->lines[i].plan.controller;
	uint64_t lines = 0;

	*first = request->lines[i].plan.gpio;
	if (!controller || !(gb_controller_features(controller) & RPMSG_GPIO_F_BULK))
		return 0;
	for (uint32_t n = 0; n < request->count; n++)
		if (mask >> n & 1 && request->lines[n].plan.controller == controller &&
		    request->lines[n].plan.gpio < *first)
			*first = request->lines[n].plan.gpio;
	for (uint32_t n = 0; n < request->count; n++)
		if (mask >> n & 1 && in_window(&request->lines[n], controller, *first))
			lines |= UINT64_C(1) << n;
	return lines;
}

/* Takes line i, and with BULK all that fit into its message; returns what was taken. */
static uint64_t start_some(struct gb_request *request, uint32_t i, uint64_t mask, bool get,
			   uint64_t now_ns)
{
	struct gb_operation_state *op = &request->operation;
	uint16_t first;
	uint64_t lines = gather(request, i, mask, &first);
	int error;

	if (!(lines & (lines - 1))) {
		start_value(request, i, get, now_ns);
		return UINT64_C(1) << i;
	}
	op->waiting++;
	error = submit_bulk(request, request->lines[i].plan.controller, first, lines, get, now_ns);
	if (error) {
		op->waiting--;
		gb_operation_error(op, -error, gb_submit_reason(error), i);
	}
	return lines;
}

static uint64_t physical(const struct gb_request *request, uint64_t bits)
{
	for (uint32_t i = 0; i < request->count; i++)
		if (request->lines[i].plan.flags & GB_LINE_ACTIVE_LOW)
			bits ^= UINT64_C(1) << i;
	return bits;
}

/* ---- lines whose values are no plain message ------------------------------ */

/* The line has an emulated drive and is set, or a debounced level and is read. */
static bool is_apart(const struct gb_line *line, bool get)
{
	if (get)
		return line->debounce.period_ns && line->debounce.known && line->plan.controller;
	return is_emulated(line);
}

/* gpiolib emulates it in this way: for the level that is not driven the line becomes an input. */
static void set_drive(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	uint32_t flags = request->lines[index].plan.flags;
	bool level = request->operation.levels >> index & 1;

	if (flags & (level ? GB_LINE_OPEN_DRAIN : GB_LINE_OPEN_SOURCE)) {
		submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_DIRECTION,
				     VIRTIO_GPIO_DIRECTION_IN, now_ns);
		return;
	}
	submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_VALUE, level, now_ns);
	submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_DIRECTION,
			     VIRTIO_GPIO_DIRECTION_OUT, now_ns);
}

static void start_apart(struct gb_request *request, uint32_t index, bool get, uint64_t now_ns)
{
	if (get)
		request->operation.bits |=
			logical_bit(request, index, request->lines[index].debounce.high);
	else
		set_drive(request, index, now_ns);
}

void gb_values_start(struct gb_request *request, const struct gb_operation *operation,
		     uint64_t mask)
{
	struct gb_operation_state *op = &request->operation;
	bool get = operation->code == GB_OPERATION_GET;
	uint64_t now = gb_now_ns();

	op->started_ns = now;
	op->replied_ns = 0;
	op->levels = physical(request, operation->bits);
	/* One more is counted, so that the operation cannot end before all calls are submitted. */
	op->waiting = 1;
	for (uint32_t i = 0; i < request->count; i++) {
		if (mask >> i & 1 && is_apart(&request->lines[i], get)) {
			mask &= ~(UINT64_C(1) << i);
			start_apart(request, i, get, now);
		}
	}
	while (mask)
		mask &= ~start_some(request, (uint32_t)__builtin_ctzll(mask), mask, get, now);
	if (--op->waiting == 0)
		gb_operation_finish(request);
}

bool gb_values_refuse(struct gb_request *request, const struct gb_operation *operation,
		      uint64_t mask)
{
	struct gb_operation_state *op = &request->operation;

	if (!mask)
		gb_operation_error(op, EINVAL, GB_REASON_EMPTY, 0);
	if (operation->code == GB_OPERATION_SET)
		for (uint32_t i = 0; i < request->count; i++)
			if (mask >> i & 1 && !(request->lines[i].plan.flags & GB_LINE_OUTPUT))
				gb_operation_error(op, EPERM, GB_REASON_NOT_OUTPUT, i);
	return op->error != 0;
}
