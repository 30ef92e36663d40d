/* SPDX-License-Identifier: BSD-3-Clause */
/* What a virtio-gpio device sends: replies and their calls, interrupts (docs/protocol.md). */
#include "controller_internal.h"

#include <errno.h>
#include <string.h>

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

/* The firmware answers as if nothing had been negotiated, or from another boot: nothing that it
 * knows of our lines can be trusted. */
static void lose_session(struct gb_controller *c)
{
	if (c->calls.lost)
		return;
	c->calls.lost = true;
	gb_report_add(c->pump, GB_REPORT_RESTARTED, c->id);
	gb_controller_abandon(c);
}

static bool forgot_session(const struct gb_controller *c, const struct reply *reply)
{
	return !reply->extended && c->calls.tagged && c->calls.flying.count &&
	       reply->status != VIRTIO_GPIO_STATUS_OK;
}

/* Without tags one such answer may be to a request that was damaged on its way. */
static bool forgot_features(const struct gb_controller *c, const struct gb_call *call,
			    const struct reply *reply)
{
	return !reply->extended && call->form == GB_CALL_EXTENDED &&
	       c->features & RPMSG_GPIO_F_EPOCH && reply->status != VIRTIO_GPIO_STATUS_OK;
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

/* Another epoch may be one damaged byte, which must not end the chips of all clients. The answer
 * to this question decides. */
static void ask_epoch(struct gb_controller *c)
{
	static const struct gb_call wanted = {
		.type = RPMSG_GPIO_MSG_GET_EPOCH, .form = GB_CALL_EXTENDED, .done = epoch_done,
	};

	if (c->asking_epoch)
		return;
	c->asking_epoch = true;
	if (gb_call_start(c, &wanted, gb_now_ns(), c->calls.timeout_ns))
		c->asking_epoch = false; /* the next reply asks */
}

static struct gb_call *match(const struct gb_controller *c, const struct reply *reply)
{
	if (!c->calls.tagged)
		return c->calls.flying.first;
	return reply->extended ? gb_calls_with_tag(&c->calls, reply->tag) : NULL;
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
		.time_ns = call->calls->endpoint->link->message_ns,
	};
	struct gb_call *grant = NULL;

	gb_call_answered(call, reply->status != VIRTIO_GPIO_STATUS_OK);
	if (!plausible(call, reply)) {
		outcome.error = EPROTO;
		outcome.reason = GB_REASON_REPLY;
	} else if (reply->status == VIRTIO_GPIO_STATUS_ERR) {
		outcome.error = EIO;
		outcome.reason = GB_REASON_STATUS;
	} else {
		grant = gb_stream_answered(call->controller, call);
	}
	if (grant)
		gb_call_wait(call, outcome.form, grant);
	else
		gb_call_complete(call, &outcome);
}

/* The answer has the epoch twice, in its head and as its body: one damaged byte cannot change
 * both. */
static bool tells_epoch(const struct gb_call *call, const struct reply *reply)
{
	rpmsg_gpio_le32 epoch;

	if (call->type != RPMSG_GPIO_MSG_GET_EPOCH || reply->length != sizeof(epoch))
		return false;
	memcpy(&epoch, reply->body, sizeof(epoch));
	return (uint16_t)rpmsg_gpio_load32(epoch) == reply->epoch;
}

/* Handles a reply with another epoch than ours; what it says is not to be trusted. */
static void answered_by_another(struct gb_controller *c, struct gb_call *call,
				const struct reply *reply)
{
	bool asked = call->done == epoch_done;

	if (asked && tells_epoch(call, reply)) {
		lose_session(c);
		return;
	}
	gb_call_land(call);
	gb_call_fail(call, EPROTO, GB_REASON_REPLY);
	/* If the answer itself is damaged, the next reply of another epoch asks again, so that no
	 * firmware makes us ask without end. */
	if (!asked)
		ask_epoch(c);
	gb_calls_advance(&c->calls);
}

/* Without tags: whether the reply belongs to no call. */
static bool answers_no_call(struct gb_controller *c, const struct reply *reply)
{
	if (reply->tag) {
		c->endpoint.strays++; /* to a call that timed out while TAG was accepted */
	} else if (c->calls.resync.step == GB_PROBING) {
		gb_calls_probe_replied(&c->calls, reply->status);
	} else if (c->calls.resync.step == GB_WAITING) {
		c->endpoint.strays++; /* the late one */
		gb_calls_find_step(&c->calls);
	} else {
		return false;
	}
	return true;
}

static void received_reply(struct gb_controller *c, const struct reply *reply)
{
	struct gb_call *call;

	if (forgot_session(c, reply)) {
		lose_session(c);
		return;
	}
	if (!c->calls.tagged && answers_no_call(c, reply))
		return;
	call = match(c, reply);
	if (!call) {
		c->endpoint.strays++;
		return;
	}
	if (has_other_epoch(c, reply)) {
		answered_by_another(c, call, reply);
		return;
	}
	if (forgot_features(c, call, reply)) {
		if (call->done == epoch_done) {
			lose_session(c);
			return;
		}
		ask_epoch(c);
	}
	gb_call_land(call);
	answer(call, reply);
	gb_calls_advance(&c->calls);
}

void gb_controller_received(struct gb_controller *c, const uint8_t *message, uint16_t length)
{
	struct reply reply;
	uint16_t gpio;

	if (gb_calls_over(&c->calls))
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
		c->endpoint.strays += !gb_interrupt_fired(c, gpio);
	else
		c->endpoint.strays++;
}
