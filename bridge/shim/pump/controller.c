/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls to one virtio-gpio device: framing, order, deadlines (docs/protocol.md). */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAG_SLOT_BITS 6
_Static_assert(GB_TAG_SLOTS == 1u << TAG_SLOT_BITS, "tags hold a slot and a generation");

/* A type that no firmware knows: its status is ERR for sure. */
#define UNKNOWN_TYPE 0x7fff
/* The resynchronisation word is OK and this many ERR; one more in each round
 * after one that was given up in the middle. */
#define WORD_ERRORS 2u
#define WORD_ERRORS_MAX 16u

static bool tagged(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_TAG;
}

/* ---- the pool ----------------------------------------------------------- */

struct gb_call *gb_call_new(struct gb_pump *pump)
{
	struct gb_call *call = pump->free_calls;

	if (!call)
		return calloc(1, sizeof(*call));
	pump->free_calls = call->next;
	memset(call, 0, sizeof(*call));
	return call;
}

void gb_call_discard(struct gb_pump *pump, struct gb_call *call)
{
	call->next = pump->free_calls;
	pump->free_calls = call;
}

static void complete(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_pump *pump = call->controller->link->pump;

	gb_timer_cancel(pump, &call->deadline);
	call->done(call, outcome);
	gb_call_discard(pump, call);
}

static void fail(struct gb_call *call, int error, uint32_t reason)
{
	struct gb_outcome outcome = {.error = error, .reason = reason};

	complete(call, &outcome);
}

/* ---- queue -------------------------------------------------------------- */

static void enqueue(struct gb_controller *c, struct gb_call *call)
{
	call->next = NULL;
	if (c->last)
		c->last->next = call;
	else
		c->first = call;
	c->last = call;
	c->queued++;
}

static void unlink_queued(struct gb_controller *c, struct gb_call *call)
{
	struct gb_call *before = NULL;

	for (struct gb_call *at = c->first; at != call; at = at->next)
		before = at;
	if (before)
		before->next = call->next;
	else
		c->first = call->next;
	if (c->last == call)
		c->last = before;
	c->queued--;
}

/* ---- sending ------------------------------------------------------------ */

static bool reserve_tag(struct gb_controller *c, struct gb_call *call)
{
	for (unsigned int slot = 0; slot < GB_TAG_SLOTS; slot++) {
		if (!c->slots[slot]) {
			/* A new generation at each use: a reply that comes after
			 * its call timed out matches nothing. */
			call->tag = (uint16_t)(++c->generations[slot] << TAG_SLOT_BITS | slot);
			return true;
		}
	}
	return false;
}

static bool may_send(struct gb_controller *c, struct gb_call *call)
{
	if (c->lost)
		return false;
	if (tagged(c))
		return c->flying_count < GB_TAG_SLOTS && reserve_tag(c, call);
	return c->step == GB_IN_STEP && !c->flying;
}

static void mark_flying(struct gb_controller *c, struct gb_call *call)
{
	call->in_flight = true;
	c->flying_count++;
	if (tagged(c))
		c->slots[call->tag & (GB_TAG_SLOTS - 1)] = call;
	else
		c->flying = call;
}

static void unmark_flying(struct gb_controller *c, struct gb_call *call)
{
	call->in_flight = false;
	c->flying_count--;
	if (c->flying == call)
		c->flying = NULL;
	else
		c->slots[call->tag & (GB_TAG_SLOTS - 1)] = NULL;
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
	return gb_link_transmit(c->link, c->source, c->address, &message, (uint16_t)length);
}

static void send_probe(struct gb_controller *c);

void gb_controller_advance(struct gb_controller *c)
{
	if (c->link->dead)
		return;
	if (c->step == GB_PROBING && c->probe_due)
		send_probe(c);
	while (c->first && may_send(c, c->first)) {
		struct gb_call *call = c->first;

		/* On any error but "no buffer" the link has died, and the call
		 * with it. */
		if (transmit_call(c, call) != 0)
			return;
		unlink_queued(c, call);
		mark_flying(c, call);
	}
}

/* ---- getting into step again (docs/protocol.md, "Resynchronisation") ------ */

static void arm_step_timer(struct gb_controller *c)
{
	gb_timer_arm(c->link->pump, &c->step_timer, gb_now_ns() + c->timeout_ns);
}

static void in_step(struct gb_controller *c)
{
	c->step = GB_IN_STEP;
	gb_timer_cancel(c->link->pump, &c->step_timer);
	gb_controller_advance(c);
}

static void send_probe(struct gb_controller *c)
{
	bool first = c->probes_sent == 0;
	struct virtio_gpio_request probe = {
		.type = rpmsg_gpio_store16(first ? VIRTIO_GPIO_MSG_GET_DIRECTION : UNKNOWN_TYPE),
	};
	int error = gb_link_transmit(c->link, c->source, c->address, &probe, sizeof(probe));

	c->probe_due = error == -EAGAIN;
	if (error == 0)
		c->probes_sent++;
}

static void new_round(struct gb_controller *c)
{
	/* Probes of a round that had replies may still be answered: a longer
	 * word cannot be made of their remains. */
	if (c->replies_seen && c->word_errors < WORD_ERRORS_MAX)
		c->word_errors++;
	c->probes_sent = 0;
	c->replies_seen = 0;
	c->errors_seen = 0;
	c->ok_seen = false;
}

static void start_round(struct gb_controller *c)
{
	c->step = GB_PROBING;
	new_round(c);
	arm_step_timer(c);
	send_probe(c);
}

static void lose_step(struct gb_controller *c)
{
	if (c->mute) {
		c->step = GB_WAITING;
		/* Half: what is asked meanwhile must have time for its answer. */
		gb_timer_arm(c->link->pump, &c->step_timer, gb_now_ns() + c->timeout_ns / 2);
	} else {
		c->word_errors = WORD_ERRORS;
		c->replies_seen = 0;
		start_round(c);
	}
}

static void note_probe_reply(struct gb_controller *c, uint8_t status)
{
	bool ok = status == VIRTIO_GPIO_STATUS_OK;

	c->replies_seen++;
	c->errors_seen = ok ? 0 : c->errors_seen + 1;
	c->ok_seen |= ok;
	if (c->ok_seen && c->probes_sent > c->word_errors && c->errors_seen == c->word_errors) {
		in_step(c);
		return;
	}
	arm_step_timer(c);
	if (c->probes_sent <= c->word_errors)
		send_probe(c);
}

static struct gb_controller *of_step_timer(struct gb_timer *timer)
{
	return (struct gb_controller *)(void *)((char *)timer -
						offsetof(struct gb_controller, step_timer));
}

static void step_expired(struct gb_timer *timer)
{
	struct gb_controller *c = of_step_timer(timer);

	if (c->step == GB_WAITING || c->replies_seen > c->word_errors) {
		/* Silence for a whole deadline: no late reply is under way. */
		in_step(c);
	} else if (c->first) {
		start_round(c);
	} else {
		/* Deaf, and nobody asks: the next call starts a new round. */
		new_round(c);
		c->probe_due = true;
	}
}

/* ---- deadlines ---------------------------------------------------------- */

static void call_expired(struct gb_timer *timer)
{
	struct gb_call *call =
		(struct gb_call *)(void *)((char *)timer - offsetof(struct gb_call, deadline));
	struct gb_controller *c = call->controller;

	if (!call->in_flight) {
		unlink_queued(c, call);
	} else {
		unmark_flying(c, call);
		if (!tagged(c))
			lose_step(c);
	}
	fail(call, ETIMEDOUT, GB_REASON_TIMEOUT);
	gb_controller_advance(c);
}

int gb_call_submit(struct gb_controller *c, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns)
{
	if (c->link->dead || c->lost)
		return -ENODEV;
	if (c->queued >= GB_QUEUE_MAX)
		return -EBUSY;
	call->controller = c;
	call->deadline.expired = call_expired;
	if (call->form == GB_CALL_AUTO)
		call->form = tagged(c) ? GB_CALL_EXTENDED : GB_CALL_BASELINE;
	c->timeout_ns = timeout_ns;
	gb_timer_arm(c->link->pump, &call->deadline, now_ns + timeout_ns);
	gb_stream_submitted(c, call);
	enqueue(c, call);
	if (c->step == GB_PROBING && c->probe_due && !c->step_timer.armed)
		arm_step_timer(c);
	gb_controller_advance(c);
	return 0;
}

/* ---- receiving ---------------------------------------------------------- */

/* A reply in any of its forms, fields where its length says they are. */
struct reply {
	uint8_t status, value;
	uint8_t form; /* size of its head, which tells the dialect */
	bool extended;
	uint16_t tag, epoch;
	const uint8_t *body;
	uint16_t length;
};

static bool parse_reply(const uint8_t *message, uint16_t length, struct reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	if (length == sizeof(struct rpmsg_gpio_reply)) {
		reply->status = message[1];
		reply->value = message[2];
		reply->form = (uint8_t)length;
		return true;
	}
	if (length == sizeof(struct rpmsg_gpio_padded_reply)) {
		reply->status = message[2];
		reply->value = message[3];
		reply->form = (uint8_t)length;
		return true;
	}
	if (length >= sizeof(struct rpmsg_gpio_ext_reply)) {
		struct rpmsg_gpio_ext_reply head;

		memcpy(&head, message, sizeof(head));
		reply->extended = true;
		reply->form = sizeof(head);
		reply->status = head.status;
		reply->value = head.value;
		reply->tag = rpmsg_gpio_load16(head.tag);
		reply->epoch = rpmsg_gpio_load16(head.epoch);
		reply->body = message + sizeof(head);
		reply->length = (uint16_t)(length - sizeof(head));
		return true;
	}
	return false;
}

static bool parse_irq(const uint8_t *message, uint16_t length, uint16_t *gpio)
{
	rpmsg_gpio_le16 line;

	if (length != sizeof(struct rpmsg_gpio_irq) &&
	    length != sizeof(struct rpmsg_gpio_padded_irq))
		return false;
	memcpy(&line, message + length - sizeof(line), sizeof(line));
	*gpio = rpmsg_gpio_load16(line);
	return true;
}

/* The firmware answers as if nothing had been negotiated, or from another
 * boot: nothing it knows of our lines can be trusted. */
static void lose_session(struct gb_controller *c)
{
	if (c->lost)
		return;
	c->lost = true;
	gb_report_add(c->link->pump, GB_REPORT_RESTARTED, c->id);
	gb_controller_abandon(c, ENODEV);
}

static bool forgot_session(const struct gb_controller *c, const struct reply *reply)
{
	return !reply->extended && tagged(c) && c->flying_count &&
	       reply->status != VIRTIO_GPIO_STATUS_OK;
}

static bool has_other_epoch(const struct gb_controller *c, const struct reply *reply)
{
	return reply->extended && c->features & RPMSG_GPIO_F_EPOCH && reply->epoch != c->epoch;
}

static void epoch_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	(void)outcome;
	call->controller->asking_epoch = false;
}

/* Another epoch once is a damaged byte, perhaps: the chips of all clients do not
 * hang on that. The answer to this tells. */
static void ask_epoch(struct gb_controller *c)
{
	struct gb_call *call;

	if (c->asking_epoch)
		return;
	call = gb_call_new(c->link->pump);
	if (!call)
		return; /* the next reply asks */
	call->type = RPMSG_GPIO_MSG_GET_EPOCH;
	call->form = GB_CALL_EXTENDED;
	call->done = epoch_done;
	c->asking_epoch = true;
	if (gb_call_submit(c, call, gb_now_ns(), c->timeout_ns)) {
		gb_call_discard(c->link->pump, call);
		c->asking_epoch = false;
	}
}

static struct gb_call *match(struct gb_controller *c, const struct reply *reply)
{
	struct gb_call *call;

	if (!tagged(c))
		return c->flying;
	if (!reply->extended)
		return NULL;
	call = c->slots[reply->tag & (GB_TAG_SLOTS - 1)];
	return call && call->tag == reply->tag ? call : NULL;
}

static bool plausible(const struct gb_call *call, const struct reply *reply)
{
	if (reply->status > VIRTIO_GPIO_STATUS_ERR)
		return false;
	if (reply->status == VIRTIO_GPIO_STATUS_ERR)
		return true;
	if (call->type == VIRTIO_GPIO_MSG_GET_VALUE)
		return reply->value <= 1;
	if (call->type == VIRTIO_GPIO_MSG_GET_DIRECTION)
		return reply->value <= VIRTIO_GPIO_DIRECTION_IN;
	return true;
}

static void answer(struct gb_call *call, const struct reply *reply)
{
	struct gb_outcome outcome = {
		.status = reply->status,
		.value = reply->value,
		.form = reply->form,
		.body = reply->body,
		.length = reply->length,
	};

	if (!plausible(call, reply)) {
		outcome.error = EPROTO;
		outcome.reason = GB_REASON_REPLY;
	} else if (reply->status == VIRTIO_GPIO_STATUS_ERR) {
		outcome.error = EIO;
		outcome.reason = GB_REASON_STATUS;
	} else {
		gb_stream_answered(call->controller, call);
	}
	complete(call, &outcome);
}

/* It says the epoch twice, in its head and as its body: no one damaged byte
 * makes another epoch of it. */
static bool tells_epoch(const struct gb_call *call, const struct reply *reply)
{
	rpmsg_gpio_le32 epoch;

	if (call->type != RPMSG_GPIO_MSG_GET_EPOCH || reply->length != sizeof(epoch))
		return false;
	memcpy(&epoch, reply->body, sizeof(epoch));
	return (uint16_t)rpmsg_gpio_load32(epoch) == reply->epoch;
}

/* A reply with another epoch than ours; what it says is not to be trusted. */
static void answered_by_another(struct gb_controller *c, struct gb_call *call,
				const struct reply *reply)
{
	bool asked = call->done == epoch_done;

	if (asked && tells_epoch(call, reply)) {
		lose_session(c);
		return;
	}
	unmark_flying(c, call);
	fail(call, EPROTO, GB_REASON_REPLY);
	/* An answer that is damaged itself: the next reply of another epoch
	 * asks again, so that no firmware makes us ask without end. */
	if (!asked)
		ask_epoch(c);
	gb_controller_advance(c);
}

static void received_reply(struct gb_controller *c, const struct reply *reply)
{
	struct gb_call *call;

	if (forgot_session(c, reply)) {
		lose_session(c);
		return;
	}
	/* To a request that timed out while TAG was accepted: nobody waits for it. */
	if (!tagged(c) && reply->tag) {
		c->strays++;
		return;
	}
	if (!tagged(c) && c->step == GB_PROBING) {
		note_probe_reply(c, reply->status);
		return;
	}
	if (!tagged(c) && c->step == GB_WAITING) {
		c->strays++; /* the late one */
		in_step(c);
		return;
	}
	call = match(c, reply);
	if (!call) {
		c->strays++;
		return;
	}
	if (has_other_epoch(c, reply)) {
		answered_by_another(c, call, reply);
		return;
	}
	unmark_flying(c, call);
	answer(call, reply);
	gb_controller_advance(c);
}

static void received_irq(struct gb_controller *c, uint16_t gpio)
{
	struct gb_line_owner *owner = gpio < c->owner_count ? &c->owners[gpio] : NULL;

	if (!owner || !owner->owner ||
	    !owner->ops->fired(owner->owner, owner->index, gb_now_ns()))
		c->strays++;
}

void gb_controller_received(struct gb_controller *c, const uint8_t *message, uint16_t length)
{
	struct reply reply;
	uint16_t gpio;

	if (c->lost || c->link->dead)
		return;
	if (length > RPMSG_GPIO_MESSAGE_MAX)
		length = 0; /* more than an endpoint can carry: no form of ours */
	if (length && message[0] == RPMSG_GPIO_QUEUE_REQUEST &&
	    parse_reply(message, length, &reply))
		received_reply(c, &reply);
	else if (length && message[0] == RPMSG_GPIO_QUEUE_EVENT &&
		 c->features & GB_EXTENDED_EVENTS)
		gb_stream_received(c, message, length);
	else if (length && message[0] == RPMSG_GPIO_QUEUE_EVENT &&
		 parse_irq(message, length, &gpio))
		received_irq(c, gpio);
	else
		c->strays++;
}

/* ---- life --------------------------------------------------------------- */

struct gb_controller *gb_controller_open(struct gb_link *link, uint64_t id,
					 uint32_t source, uint32_t address)
{
	struct gb_controller *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	gb_lock(link->pump);
	for (struct gb_controller *other = link->controllers; other; other = other->next) {
		if (other->source == source) {
			gb_unlock(link->pump);
			free(c);
			errno = EADDRINUSE;
			return NULL;
		}
	}
	c->id = id;
	c->link = link;
	c->source = source;
	c->address = address;
	c->step_timer.expired = step_expired;
	gb_stream_init(c);
	c->next = link->controllers;
	link->controllers = c;
	gb_unlock(link->pump);
	return c;
}

void gb_controller_abandon(struct gb_controller *c, int error)
{
	gb_timer_cancel(c->link->pump, &c->step_timer);
	gb_timer_cancel(c->link->pump, &c->stream_timer);
	for (unsigned int slot = 0; slot < GB_TAG_SLOTS; slot++) {
		struct gb_call *call = c->slots[slot];

		if (!call)
			continue;
		unmark_flying(c, call);
		fail(call, error, GB_REASON_LINK);
	}
	if (c->flying) {
		struct gb_call *call = c->flying;

		unmark_flying(c, call);
		fail(call, error, GB_REASON_LINK);
	}
	while (c->first) {
		struct gb_call *call = c->first;

		unlink_queued(c, call);
		fail(call, error, GB_REASON_LINK);
	}
}

void gb_controller_free(struct gb_controller *c, int error)
{
	struct gb_controller **place = &c->link->controllers;

	c->lost = true; /* no new calls from the callbacks */
	gb_controller_abandon(c, error);
	while (*place != c)
		place = &(*place)->next;
	*place = c->next;
	for (uint32_t gpio = 0; gpio < c->owner_count; gpio++)
		if (c->owners[gpio].owner)
			c->owners[gpio].ops->orphan(c->owners[gpio].owner, c->owners[gpio].index);
	gb_stream_free(c);
	free(c->owners);
	free(c);
}

void gb_controller_close(struct gb_controller *c)
{
	struct gb_pump *pump = c->link->pump;

	gb_lock(pump);
	gb_controller_free(c, ENODEV);
	gb_unlock(pump);
}

void gb_controller_accept(struct gb_controller *c, uint32_t features, uint32_t epoch)
{
	struct gb_pump *pump = c->link->pump;

	gb_lock(pump);
	c->features = features;
	c->epoch = (uint16_t)epoch;
	if (tagged(c) && c->step != GB_IN_STEP)
		in_step(c);
	gb_stream_accepted(c);
	gb_unlock(pump);
}

void gb_controller_mute(struct gb_controller *c, bool mute)
{
	struct gb_pump *pump = c->link->pump;

	gb_lock(pump);
	c->mute = mute;
	/* Probes of an unknown type would never be answered. */
	if (mute && c->step == GB_PROBING)
		lose_step(c);
	gb_unlock(pump);
}

/* ---- calls of the control plane ------------------------------------------- */

static void report_reply(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_pump *pump = call->controller->link->pump;
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
	struct gb_pump *pump = c->link->pump;
	struct gb_call *call;
	int error = -ENOMEM;

	gb_lock(pump);
	call = gb_call_new(pump);
	if (call) {
		*call = *wanted;
		call->done = report_reply;
		error = gb_call_submit(c, call, gb_now_ns(), (uint64_t)timeout_ms * 1000000);
		if (error)
			gb_call_discard(pump, call);
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
