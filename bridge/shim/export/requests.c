/* SPDX-License-Identifier: BSD-3-Clause */
/* requests.c - requestq: what the driver asks, and the answers in their order. */
#include "export_internal.h"

#include <errno.h>

bool export_busy(void *guest)
{
	const struct gb_export *e = of_guest(guest);

	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (e->requests[i].used && !e->requests[i].stale)
			return true;
	return false;
}

/* ---- the answer ---------------------------------------------------------------------- */

static void push_answer(struct gb_export *e, struct request *request)
{
	request->used = false;
	e->status.requests++;
	*request->status = request->answer[0];
	*request->value = request->answer[1];
	guest_push(&e->guest, REQUESTQ, request->head, 2);
}

/* Returns the request of a line whose turn it is, if its answer is known. */
static struct request *next_answered(struct gb_export *e, uint16_t line)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++) {
		struct request *request = &e->requests[i];

		if (request->used && !request->stale && request->answered &&
		    request->line == line && request->ticket == e->lines[line].answers)
			return request;
	}
	return NULL;
}

/* Requests of a line are answered in their order (5.18.6.8); a refusal here does not overtake
 * requests that the firmware was asked before. */
static void answer(struct gb_export *e, struct request *request, uint8_t status, uint8_t value)
{
	uint16_t line = request->line;

	if (request->stale) {
		request->used = false;
		return;
	}
	request->answered = true;
	request->answer[0] = status;
	request->answer[1] = value;
	while ((request = next_answered(e, line))) {
		e->lines[line].answers++;
		push_answer(e, request);
	}
}

/* No request is under way any more. */
static void at_rest(struct gb_export *e)
{
	guest_resume(&e->guest);
	if (e->paused)
		gb_exported_report(&e->base);
}

static void request_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_export *e = export_of(call->owner);
	struct request *request = &e->requests[call->argument];
	/* A line that is not there is free, so it counts as let go. */
	bool done = !outcome->error ||
		    (outcome->error == ENODEV && lets_go(call->type, call->value));

	guest_enter(&e->guest);
	if (!request->stale)
		export_line_settle(e, &e->lines[request->line], call, request->irq_type_before,
				   outcome->error);
	answer(e, request, done ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR,
	       outcome->error ? 0 : outcome->value);
	if (e->starved && !e->base.closed)
		guest_look_again(&e->guest);
	if (!export_busy(&e->guest))
		at_rest(e);
	guest_leave(&e->guest);
	gb_exported_done(call);
}

/* ---- from the ring to the controller ---------------------------------------------------- */

bool export_sensible(uint16_t type, uint32_t value)
{
	switch (type) {
	case VIRTIO_GPIO_MSG_GET_DIRECTION:
	case VIRTIO_GPIO_MSG_GET_VALUE:
		return true;
	case VIRTIO_GPIO_MSG_SET_DIRECTION:
		return value <= VIRTIO_GPIO_DIRECTION_IN;
	case VIRTIO_GPIO_MSG_SET_VALUE:
		return value <= 1;
	case VIRTIO_GPIO_MSG_SET_IRQ_TYPE:
		return value <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH ||
		       value == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
		       value == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
	default:
		return false;
	}
}

static void relay(struct gb_export *e, struct request *request, uint16_t type, uint32_t value)
{
	struct line *line = &e->lines[request->line];
	const struct gb_call wanted = {
		.type = type, .value = value,
		.done = request_done, .argument = (uint64_t)(request - e->requests),
	};
	int error;

	request->irq_type_before = state_of(e, line)->irq_type;
	export_line_ask(e, line, type, value);
	error = gb_exported_submit(&line->base, &wanted);
	if (!error)
		return;
	export_line_settle(e, line, &wanted, request->irq_type_before, -error);
	answer(e, request,
	       error == -ENODEV && lets_go(type, value) ? VIRTIO_GPIO_STATUS_OK
							: VIRTIO_GPIO_STATUS_ERR, 0);
}

static void answer_names(struct gb_export *e, const struct split_chain *chain)
{
	uint8_t status[2] = {VIRTIO_GPIO_STATUS_OK, 0};
	uint32_t size = e->names_size;

	if (!size || chain->writable_bytes <= size) {
		status[0] = VIRTIO_GPIO_STATUS_ERR;
		size = 1; /* zeros, as long as any other answer */
	} else {
		split_chain_write(chain, 1, e->names, size);
	}
	split_chain_write(chain, 0, status, status[0] ? 2 : 1);
	e->status.requests++;
	guest_push(&e->guest, REQUESTQ, chain->head, size + 1);
}

static void start_request(struct gb_export *e, struct request *request,
			  const struct split_chain *chain)
{
	struct virtio_gpio_request message;
	uint16_t type, gpio;
	uint32_t value;

	split_chain_read(chain, 0, &message, sizeof(message));
	type = rpmsg_gpio_load16(message.type);
	gpio = rpmsg_gpio_load16(message.gpio);
	value = rpmsg_gpio_load32(message.value);
	if (type == VIRTIO_GPIO_MSG_GET_LINE_NAMES) {
		answer_names(e, chain);
		return;
	}
	*request = (struct request){
		.used = true,
		.head = chain->head,
		.line = gpio,
		.status = writable_byte(chain, 0),
		.value = writable_byte(chain, 1),
	};
	if (gpio >= e->base.count) {
		request->answer[0] = VIRTIO_GPIO_STATUS_ERR;
		push_answer(e, request);
		return;
	}
	request->ticket = e->lines[gpio].tickets++;
	if (!export_sensible(type, value) || (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && !has_irq(e)))
		answer(e, request, VIRTIO_GPIO_STATUS_ERR, 0);
	else
		relay(e, request, type, value);
}

static struct request *free_request(struct gb_export *e)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (!e->requests[i].used)
			return &e->requests[i];
	return NULL;
}

int export_take_request(struct gb_export *e)
{
	struct request *request = free_request(e);
	struct iovec iov[GUEST_PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = GUEST_PARTS_MAX};

	e->starved = !request;
	if (!request || !guest_pop(&e->guest, REQUESTQ, &chain))
		return 0;
	if (chain.readable_bytes != sizeof(struct virtio_gpio_request) || chain.writable_bytes < 2) {
		guest_fail(&e->guest,
			     "virtqueue 0: a request of %zu bytes with room for %zu; it takes 8 and 2",
			     chain.readable_bytes, chain.writable_bytes);
		return 0;
	}
	start_request(e, request, &chain);
	return 1;
}

/* ---- the end ------------------------------------------------------------------------------ */

void export_refuse_requests(struct gb_export *e)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (e->requests[i].used && !e->requests[i].stale && !e->requests[i].answered)
			answer(e, &e->requests[i], VIRTIO_GPIO_STATUS_ERR, 0);
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		e->requests[i].stale = true; /* calls that come back find nothing to do */
}

void export_forget_requests(struct gb_export *e)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++) {
		e->requests[i].used &= !e->requests[i].answered; /* no call will return */
		e->requests[i].stale = true;
	}
}
