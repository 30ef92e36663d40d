/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls to one device, from submission to outcome (docs/protocol.md). */
#include "calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpmsg_gpio.h"

/* ---- the pool ----------------------------------------------------------- */

struct gb_call *gb_calls_new(struct gb_calls *calls)
{
	struct gb_call *call = calls->pool;

	if (!call)
		return calloc(1, sizeof(*call));
	calls->pool = call->next;
	memset(call, 0, sizeof(*call));
	return call;
}

void gb_calls_discard(struct gb_calls *calls, struct gb_call *call)
{
	call->next = calls->pool;
	calls->pool = call;
}

void gb_call_complete(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_calls *calls = call->calls;
	struct gb_call *waiting = call->waiting;
	struct gb_outcome ok = {.status = VIRTIO_GPIO_STATUS_OK};
	bool over = outcome->error == ENODEV;

	gb_timer_cancel(calls->pump, &call->deadline);
	if (waiting) {
		ok.form = waiting->reply_form;
		ok.time_ns = outcome->time_ns;
		gb_call_complete(waiting, over ? outcome : &ok);
	}
	call->done(call, outcome);
	gb_calls_discard(calls, call);
}

void gb_call_wait(struct gb_call *call, uint8_t reply_form, struct gb_call *first)
{
	gb_timer_cancel(call->calls->pump, &call->deadline);
	call->reply_form = reply_form;
	call->waiting = first->waiting;
	first->waiting = call;
}

void gb_call_fail(struct gb_call *call, int error, uint32_t reason)
{
	struct gb_outcome outcome = {.error = error, .reason = reason};

	gb_call_complete(call, &outcome);
}

/* ---- lists -------------------------------------------------------------- */

static void append(struct gb_call_list *list, struct gb_call *call)
{
	call->next = NULL;
	if (list->last)
		list->last->next = call;
	else
		list->first = call;
	list->last = call;
	list->count++;
}

/* It is mostly the first call: deadlines and replies come in the order of the requests. */
static void take_out(struct gb_call_list *list, struct gb_call *call)
{
	struct gb_call *before = NULL;

	for (struct gb_call *at = list->first; at != call; at = at->next)
		before = at;
	if (before)
		before->next = call->next;
	else
		list->first = call->next;
	if (list->last == call)
		list->last = before;
	list->count--;
}

void gb_call_land(struct gb_call *call)
{
	call->in_flight = false;
	take_out(&call->calls->flying, call);
}

static void join_queue(struct gb_calls *calls, struct gb_call *call)
{
	calls->owed += call->owed;
	append(&calls->queue, call);
}

static void leave_queue(struct gb_calls *calls, struct gb_call *call)
{
	calls->owed -= call->owed;
	take_out(&calls->queue, call);
}

static void take_off(struct gb_calls *calls, struct gb_call *call)
{
	leave_queue(calls, call);
	call->in_flight = true;
	append(&calls->flying, call);
}

struct gb_call *gb_calls_with_tag(const struct gb_calls *calls, uint16_t tag)
{
	struct gb_call *call = calls->flying.first;

	while (call && call->tag != tag)
		call = call->next;
	return call;
}

/* ---- sending ------------------------------------------------------------ */

/* All tags are used in turn: a reply that comes after its call timed out matches nothing, however
 * late it is and however short the calls are (docs/protocol.md 8.4). */
static uint16_t next_tag(struct gb_calls *calls)
{
	do
		calls->last_tag++;
	while (!calls->last_tag || gb_calls_with_tag(calls, calls->last_tag));
	return calls->last_tag;
}

static bool may_send(const struct gb_calls *calls)
{
	if (calls->lost)
		return false;
	if (calls->tagged)
		return calls->flying.count < GB_FLYING_MAX;
	return calls->resync.step == GB_IN_STEP && !calls->flying.count;
}

static struct rpmsg_gpio_ext_request head_of(const struct gb_call *call)
{
	return (struct rpmsg_gpio_ext_request){
		.request = {
			.type = rpmsg_gpio_store16(call->type),
			.gpio = rpmsg_gpio_store16(call->gpio),
			.value = rpmsg_gpio_store32(call->value),
		},
		.tag = rpmsg_gpio_store16(call->tag),
	};
}

static int transmit_call(struct gb_calls *calls, struct gb_call *call, uint64_t now_ns)
{
	struct {
		struct rpmsg_gpio_ext_request head;
		uint8_t body[GB_CALL_BODY_MAX];
	} message = {
		.head = head_of(call),
	};
	size_t length = call->form == GB_CALL_EXTENDED ?
			sizeof(message.head) + call->body_length : sizeof(message.head.request);
	int error;

	memcpy(message.body, call->body, call->body_length);
	/* The time before the call leaves: the device cannot read its clock earlier. */
	if (call->type == RPMSG_GPIO_MSG_GET_TIME)
		call->sent_ns = gb_now_ns();
	error = gb_link_transmit(calls->endpoint, &message, (uint16_t)length, now_ns);
	call->flown_ns = calls->endpoint->link->message_ns;
	return error;
}

/* `now_ns`: the time, 0 where nobody knows it. */
static void advance(struct gb_calls *calls, uint64_t now_ns)
{
	if (calls->endpoint->link->dead)
		return;
	gb_resync_advance(&calls->resync);
	while (calls->queue.first && may_send(calls)) {
		struct gb_call *call = calls->queue.first;
		int error;

		if (calls->tagged && !call->tag)
			call->tag = next_tag(calls);
		error = transmit_call(calls, call, now_ns);
		if (error == 0) {
			take_off(calls, call);
		} else if (error == -EMSGSIZE) {
			leave_queue(calls, call);
			gb_call_fail(call, EMSGSIZE, GB_REASON_NONE);
		} else {
			return; /* no buffer, or the link died and the call with it */
		}
	}
}

void gb_calls_advance(struct gb_calls *calls)
{
	advance(calls, 0);
}

/* ---- counters ----------------------------------------------------------- */

void gb_call_answered(struct gb_call *call, bool refused)
{
	struct gb_call_counters *counters = &call->calls->counters;
	uint64_t now_ns = call->calls->endpoint->link->message_ns;

	counters->answered++;
	counters->refused += refused;
	if (call->flown_ns && now_ns >= call->flown_ns)
		gb_latency_add(&counters->latency, now_ns - call->flown_ns);
}

/* ---- deadlines ---------------------------------------------------------- */

static void trace_timeout(const struct gb_call *call)
{
	const struct gb_link_endpoint *endpoint = call->calls->endpoint;
	struct rpmsg_gpio_ext_request head = head_of(call);

	gb_trace_add(endpoint->link->trace, gb_now_ns(), GB_TRACE_TIMEOUT, endpoint->source,
		     endpoint->address, endpoint->features, &head, sizeof(head));
}

static void call_expired(struct gb_timer *timer)
{
	struct gb_call *call =
		(struct gb_call *)(void *)((char *)timer - offsetof(struct gb_call, deadline));
	struct gb_calls *calls = call->calls;

	if (!call->in_flight) {
		leave_queue(calls, call);
	} else {
		trace_timeout(call);
		calls->counters.timeouts++;
		gb_call_land(call);
		if (!calls->tagged)
			gb_calls_lose_step(calls);
	}
	gb_call_fail(call, ETIMEDOUT, GB_REASON_TIMEOUT);
	gb_calls_advance(calls);
}

int gb_calls_check(const struct gb_calls *calls, const struct gb_call *call)
{
	if (gb_calls_over(calls))
		return -ENODEV;
	if (calls->queue.count - calls->owed >= GB_QUEUE_MAX && !call->owed)
		return -EBUSY;
	return 0;
}

void gb_calls_submit(struct gb_calls *calls, struct gb_call *call, uint64_t now_ns,
		     uint64_t timeout_ns)
{
	call->calls = calls;
	call->deadline.expired = call_expired;
	if (call->form == GB_CALL_AUTO)
		call->form = calls->tagged ? GB_CALL_EXTENDED : GB_CALL_BASELINE;
	calls->timeout_ns = timeout_ns;
	gb_timer_arm(calls->pump, &call->deadline, now_ns + timeout_ns);
	join_queue(calls, call);
	gb_resync_demand(&calls->resync, timeout_ns);
	advance(calls, now_ns);
}

/* ---- the place in the stream of replies ---------------------------------- */

void gb_calls_lose_step(struct gb_calls *calls)
{
	gb_resync_lose(&calls->resync, calls->mute);
}

void gb_calls_find_step(struct gb_calls *calls)
{
	gb_resync_found(&calls->resync);
	gb_calls_advance(calls);
}

void gb_calls_probe_replied(struct gb_calls *calls, uint8_t status)
{
	if (gb_resync_replied(&calls->resync, status))
		gb_calls_advance(calls);
}

static void resync_expired(struct gb_timer *timer)
{
	struct gb_calls *calls = (struct gb_calls *)(void *)(
		(char *)timer - offsetof(struct gb_calls, resync.timer));

	if (gb_resync_expired(&calls->resync, calls->queue.first))
		gb_calls_advance(calls);
}

/* ---- the end ------------------------------------------------------------ */

bool gb_calls_over(const struct gb_calls *calls)
{
	return calls->lost || calls->endpoint->link->dead;
}

void gb_calls_abandon(struct gb_calls *calls)
{
	gb_resync_end(&calls->resync);
	while (calls->flying.first) {
		struct gb_call *call = calls->flying.first;

		gb_call_land(call);
		gb_call_fail(call, ENODEV, GB_REASON_LINK);
	}
	while (calls->queue.first) {
		struct gb_call *call = calls->queue.first;

		leave_queue(calls, call);
		gb_call_fail(call, ENODEV, GB_REASON_LINK);
	}
}

/* ---- life --------------------------------------------------------------- */

void gb_calls_init(struct gb_calls *calls, struct gb_pump *pump,
		   struct gb_link_endpoint *endpoint)
{
	calls->pump = pump;
	calls->endpoint = endpoint;
	gb_resync_init(&calls->resync, pump, endpoint, resync_expired);
}

void gb_calls_free(struct gb_calls *calls)
{
	while (calls->pool) {
		struct gb_call *call = calls->pool;

		calls->pool = call->next;
		free(call);
	}
}
