/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls to one virtio-gpio device: their queue, their deadlines (docs/protocol.md). */
#include "controller_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pool ----------------------------------------------------------- */

struct gb_call *gb_call_new(struct gb_controller *c)
{
	struct gb_call *call = c->calls.pool;

	if (!call)
		return calloc(1, sizeof(*call));
	c->calls.pool = call->next;
	memset(call, 0, sizeof(*call));
	return call;
}

void gb_call_discard(struct gb_controller *c, struct gb_call *call)
{
	call->next = c->calls.pool;
	c->calls.pool = call;
}

static void free_pool(struct gb_controller *c)
{
	while (c->calls.pool) {
		struct gb_call *call = c->calls.pool;

		c->calls.pool = call->next;
		free(call);
	}
}

void gb_call_complete(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;

	gb_timer_cancel(c->pump, &call->deadline);
	call->done(call, outcome);
	gb_call_discard(c, call);
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

/* Mostly the first one: deadlines and replies come in the order of the requests. */
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

void gb_call_land(struct gb_controller *c, struct gb_call *call)
{
	call->in_flight = false;
	take_out(&c->calls.flying, call);
}

static void join_queue(struct gb_controller *c, struct gb_call *call)
{
	c->calls.owed += call->owed;
	append(&c->calls.queue, call);
}

static void leave_queue(struct gb_controller *c, struct gb_call *call)
{
	c->calls.owed -= call->owed;
	take_out(&c->calls.queue, call);
}

static void take_off(struct gb_controller *c, struct gb_call *call)
{
	leave_queue(c, call);
	call->in_flight = true;
	append(&c->calls.flying, call);
}

struct gb_call *gb_call_with_tag(const struct gb_controller *c, uint16_t tag)
{
	struct gb_call *call = c->calls.flying.first;

	while (call && call->tag != tag)
		call = call->next;
	return call;
}

/* ---- sending ------------------------------------------------------------ */

/* All tags in turn: a reply that comes after its call timed out matches nothing,
 * however late it is and however short the calls are (docs/protocol.md 8.4). */
static uint16_t next_tag(struct gb_controller *c)
{
	do
		c->calls.last_tag++;
	while (!c->calls.last_tag || gb_call_with_tag(c, c->calls.last_tag));
	return c->calls.last_tag;
}

static bool may_send(const struct gb_controller *c)
{
	if (c->lost)
		return false;
	if (tagged(c))
		return c->calls.flying.count < GB_FLYING_MAX;
	return c->resync.step == GB_IN_STEP && !c->calls.flying.count;
}

static int transmit_call(struct gb_controller *c, struct gb_call *call)
{
	struct {
		struct rpmsg_gpio_ext_request head;
		uint8_t body[GB_CALL_BODY_MAX];
	} message = {
		.head = {
			.request = {
				.type = rpmsg_gpio_store16(call->type),
				.gpio = rpmsg_gpio_store16(call->gpio),
				.value = rpmsg_gpio_store32(call->value),
			},
			.tag = rpmsg_gpio_store16(call->tag),
		},
	};
	size_t length = call->form == GB_CALL_EXTENDED ?
			sizeof(message.head) + call->body_length : sizeof(message.head.request);

	memcpy(message.body, call->body, call->body_length);
	/* Before it leaves: the device cannot read its clock earlier. */
	if (call->type == RPMSG_GPIO_MSG_GET_TIME)
		call->sent_ns = gb_now_ns();
	return gb_link_transmit(&c->endpoint, &message, (uint16_t)length);
}

void gb_controller_advance(struct gb_controller *c)
{
	if (c->endpoint.link->dead)
		return;
	if (c->resync.step == GB_PROBING && c->resync.probe_due)
		gb_resync_probe(c);
	while (c->calls.queue.first && may_send(c)) {
		struct gb_call *call = c->calls.queue.first;
		int error;

		if (tagged(c) && !call->tag)
			call->tag = next_tag(c);
		error = transmit_call(c, call);
		if (error == 0) {
			take_off(c, call);
		} else if (error == -EMSGSIZE) {
			leave_queue(c, call);
			gb_call_fail(call, EMSGSIZE, GB_REASON_NONE);
		} else {
			return; /* no buffer, or the link died and the call with it */
		}
	}
}

/* ---- deadlines ---------------------------------------------------------- */

static void call_expired(struct gb_timer *timer)
{
	struct gb_call *call =
		(struct gb_call *)(void *)((char *)timer - offsetof(struct gb_call, deadline));
	struct gb_controller *c = call->controller;

	if (!call->in_flight) {
		leave_queue(c, call);
	} else {
		gb_call_land(c, call);
		if (!tagged(c))
			gb_resync_lose(c);
	}
	gb_call_fail(call, ETIMEDOUT, GB_REASON_TIMEOUT);
	gb_controller_advance(c);
}

int gb_call_submit(struct gb_controller *c, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns)
{
	if (c->endpoint.link->dead || c->lost)
		return -ENODEV;
	if (c->calls.queue.count - c->calls.owed >= GB_QUEUE_MAX && !call->owed)
		return -EBUSY;
	call->controller = c;
	call->deadline.expired = call_expired;
	if (call->form == GB_CALL_AUTO)
		call->form = tagged(c) ? GB_CALL_EXTENDED : GB_CALL_BASELINE;
	c->calls.timeout_ns = timeout_ns;
	gb_timer_arm(c->pump, &call->deadline, now_ns + timeout_ns);
	gb_stream_submitted(c, call);
	join_queue(c, call);
	if (c->resync.step == GB_PROBING && c->resync.probe_due && !c->resync.timer.armed)
		gb_resync_wait(c);
	gb_controller_advance(c);
	return 0;
}

/* ---- life --------------------------------------------------------------- */

void gb_controller_abandon(struct gb_controller *c)
{
	gb_timer_cancel(c->pump, &c->resync.timer);
	gb_timer_cancel(c->pump, &c->streams.timer);
	while (c->calls.flying.first) {
		struct gb_call *call = c->calls.flying.first;

		gb_call_land(c, call);
		gb_call_fail(call, ENODEV, GB_REASON_LINK);
	}
	while (c->calls.queue.first) {
		struct gb_call *call = c->calls.queue.first;

		leave_queue(c, call);
		gb_call_fail(call, ENODEV, GB_REASON_LINK);
	}
}

static void end(struct gb_controller *c)
{
	c->lost = true; /* no new calls from the callbacks */
	gb_controller_abandon(c);
	gb_link_detach(&c->endpoint);
	for (uint32_t gpio = 0; gpio < c->owner_count; gpio++)
		if (c->owners[gpio].owner)
			c->owners[gpio].ops->orphan(c->owners[gpio].owner, c->owners[gpio].index);
	gb_stream_free(c);
	free_pool(c);
	free(c->owners);
	free(c);
}

static struct gb_controller *of_endpoint(struct gb_link_endpoint *endpoint)
{
	return (struct gb_controller *)(void *)((char *)endpoint -
						offsetof(struct gb_controller, endpoint));
}

static void controller_received(struct gb_link_endpoint *endpoint, const uint8_t *message,
				uint16_t length)
{
	gb_controller_received(of_endpoint(endpoint), message, length);
}

static void controller_writable(struct gb_link_endpoint *endpoint)
{
	if (!endpoint->link->blocked)
		gb_controller_advance(of_endpoint(endpoint));
}

static void controller_abandon(struct gb_link_endpoint *endpoint)
{
	gb_controller_abandon(of_endpoint(endpoint));
}

static void controller_free(struct gb_link_endpoint *endpoint)
{
	end(of_endpoint(endpoint));
}

static const struct gb_link_endpoint_ops endpoint_ops = {
	.received = controller_received,
	.writable = controller_writable,
	.abandon = controller_abandon,
	.free = controller_free,
};

struct gb_controller *gb_controller_open(struct gb_link *link, uint64_t id,
					 uint32_t source, uint32_t address)
{
	struct gb_controller *c = calloc(1, sizeof(*c));
	int error;

	if (!c)
		return NULL;
	c->id = id;
	c->pump = link->pump;
	c->endpoint.ops = &endpoint_ops;
	c->endpoint.source = source;
	c->endpoint.address = address;
	c->resync.timer.expired = gb_resync_expired;
	gb_stream_init(c);
	gb_lock(link->pump);
	error = gb_link_attach(link, &c->endpoint);
	gb_unlock(link->pump);
	if (!error)
		return c;
	free(c);
	errno = error;
	return NULL;
}

void gb_controller_close(struct gb_controller *c)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	end(c);
	gb_unlock(pump);
}

void gb_controller_accept(struct gb_controller *c, uint32_t features, uint32_t epoch)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	c->features = features;
	c->epoch = (uint16_t)epoch;
	if (tagged(c) && c->resync.step != GB_IN_STEP)
		gb_resync_found(c);
	gb_stream_accepted(c);
	gb_unlock(pump);
}

uint32_t gb_controller_features(const struct gb_controller *c)
{
	return c->features;
}

void gb_controller_mute(struct gb_controller *c, bool mute)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	c->mute = mute;
	/* Probes of an unknown type would never be answered. */
	if (mute && c->resync.step == GB_PROBING)
		gb_resync_lose(c);
	gb_unlock(pump);
}

/* ---- calls of the control plane ------------------------------------------- */

static void report_reply(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_pump *pump = call->controller->pump;
	struct gb_report *report = gb_report_add(pump, GB_REPORT_REPLY, call->argument);

	if (!report)
		return;
	report->error = outcome->error;
	report->reason = outcome->reason;
	report->status = outcome->status;
	report->value = outcome->value;
	report->number = outcome->form;
	report->length = outcome->length;
	if (outcome->length)
		memcpy(report->body, outcome->body, outcome->length);
}

static int submit_reported(struct gb_controller *c, const struct gb_call *wanted,
			   uint32_t timeout_ms)
{
	struct gb_pump *pump = c->pump;
	struct gb_call *call;
	int error = -ENOMEM;

	gb_lock(pump);
	call = gb_call_new(c);
	if (call) {
		*call = *wanted;
		call->done = report_reply;
		error = gb_call_submit(c, call, gb_now_ns(), (uint64_t)timeout_ms * 1000000);
		if (error)
			gb_call_discard(c, call);
	}
	gb_unlock(pump);
	return error;
}

int gb_controller_call(struct gb_controller *c, uint16_t type, uint16_t gpio,
		       uint32_t value, int form, uint32_t timeout_ms, uint64_t cookie)
{
	struct gb_call call = {
		.type = type, .gpio = gpio, .value = value,
		.form = (uint8_t)form, .argument = cookie,
	};

	return submit_reported(c, &call, timeout_ms);
}

int gb_controller_call_body(struct gb_controller *c, uint16_t type, uint16_t gpio, uint32_t value,
			    const void *body, size_t length, uint32_t timeout_ms, uint64_t cookie)
{
	struct gb_call call = {
		.type = type, .gpio = gpio, .value = value,
		.form = GB_CALL_EXTENDED, .argument = cookie,
	};

	if (length > sizeof(call.body))
		return -EMSGSIZE;
	if (length)
		memcpy(call.body, body, length);
	call.body_length = (uint8_t)length;
	return submit_reported(c, &call, timeout_ms);
}

/* ---- who owns a line ------------------------------------------------------ */

int gb_controller_own(struct gb_controller *c, uint16_t gpio,
		      const struct gb_line_owner *owner)
{
	if (gpio >= c->owner_count) {
		uint32_t count = (gpio | 31u) + 1;
		struct gb_line_owner *owners = realloc(c->owners, count * sizeof(*owners));

		if (!owners)
			return -ENOMEM;
		memset(owners + c->owner_count, 0, (count - c->owner_count) * sizeof(*owners));
		c->owners = owners;
		c->owner_count = count;
	}
	if (c->owners[gpio].owner)
		return -EBUSY;
	c->owners[gpio] = *owner;
	gb_stream_owned(c, gpio);
	return 0;
}

void gb_controller_disown(struct gb_controller *c, uint16_t gpio,
			  const void *owner)
{
	if (gpio < c->owner_count && c->owners[gpio].owner == owner)
		c->owners[gpio].owner = NULL;
}
