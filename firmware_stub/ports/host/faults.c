/* SPDX-License-Identifier: BSD-3-Clause */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

struct fault_message {
	struct fault_message *next;
	struct faults *faults;
	struct loop_timer timer; /* armed while the message is not due */
	enum fault_direction direction;
	uint32_t source, destination;
	uint16_t length;
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
};

void faults_init(struct faults *faults, struct loop *loop, fault_deliver_fn rx,
		 fault_deliver_fn tx, void *context)
{
	*faults = (struct faults){
		.loop = loop, .deliver = {[FAULT_RX] = rx, [FAULT_TX] = tx}, .context = context};
}

static void message_due(void *context)
{
	struct fault_message *message = context;

	faults_run(message->faults);
}

/* A message for which there is no memory is lost: faults lose messages anyway. */
static void enqueue(struct faults *faults, const struct fault_message *message, uint64_t delay_ns)
{
	struct fault_message **end = &faults->queue;
	struct fault_message *copy = malloc(sizeof(*copy));

	if (!copy)
		return;
	*copy = *message;
	copy->next = NULL;
	copy->faults = faults;
	copy->timer = (struct loop_timer){.fn = message_due, .context = copy};
	while (*end)
		end = &(*end)->next;
	*end = copy;
	if (delay_ns)
		loop_timer_set(faults->loop, &copy->timer, loop_now(faults->loop) + delay_ns);
}

static bool deliver(struct faults *faults, const struct fault_message *message)
{
	return faults->deliver[message->direction](faults->context, message->source,
						   message->destination, message->bytes,
						   message->length);
}

static bool take(unsigned int *count)
{
	if (!*count)
		return false;
	--*count;
	return true;
}

static bool is_reply(const struct fault_message *message)
{
	return message->length && message->bytes[0] == RPMSG_GPIO_QUEUE_REQUEST;
}

/* Damages another byte each time, so that n damaged messages reach every field. */
static void corrupt(struct fault_plan *plan, struct fault_message *message)
{
	unsigned int at = plan->corrupted++;

	if (message->length)
		message->bytes[at % message->length] ^= 0xff;
}

static bool apply(struct faults *faults, struct fault_plan *plan, struct fault_message *message)
{
	bool damaged, twice, late;

	if (take(&plan->drop) || (is_reply(message) && take(&plan->mute)))
		return true;
	damaged = take(&plan->corrupt);
	twice = take(&plan->duplicate);
	late = take(&plan->delay);
	if (damaged)
		corrupt(plan, message);
	if (!late && deliver(faults, message)) {
		if (twice)
			enqueue(faults, message, 0);
		return true;
	}
	if (!damaged && !twice && !late)
		return false;
	/* From here the message is ours: a fault hits each message once. */
	enqueue(faults, message, late ? plan->delay_ns : 0);
	if (twice)
		enqueue(faults, message, late ? plan->delay_ns : 0);
	return true;
}

static bool is_quiet(const struct fault_plan *plan)
{
	return !(plan->drop | plan->duplicate | plan->corrupt | plan->delay | plan->mute);
}

bool faults_pass(struct faults *faults, enum fault_direction direction, uint32_t source,
		 uint32_t destination, const void *bytes, uint16_t length)
{
	struct fault_plan *plan = &faults->plans[direction];
	struct fault_message message;

	if (is_quiet(plan) || length > sizeof(message.bytes))
		return faults->deliver[direction](faults->context, source, destination, bytes,
						  length);
	message = (struct fault_message){.direction = direction,
					 .source = source,
					 .destination = destination,
					 .length = length};
	if (length)
		memcpy(message.bytes, bytes, length);
	return apply(faults, plan, &message);
}

void faults_forget(struct faults *faults)
{
	while (faults->queue) {
		struct fault_message *message = faults->queue;

		faults->queue = message->next;
		loop_timer_cancel(faults->loop, &message->timer);
		free(message);
	}
	faults->forgotten++;
}

void faults_run(struct faults *faults)
{
	struct fault_message **link = &faults->queue;
	unsigned int forgotten = faults->forgotten;

	while (*link && !faults->stalled) {
		struct fault_message *message = *link;

		if (message->timer.deadline.armed) {
			link = &message->next;
			continue;
		}
		/* It is off the queue meanwhile, since delivering it may end the session. */
		*link = message->next;
		bool delivered = deliver(faults, message);

		if (!delivered && faults->forgotten == forgotten) {
			message->next = *link;
			*link = message;
			link = &message->next;
			continue;
		}
		free(message);
		if (faults->forgotten != forgotten)
			return;
	}
}

void faults_clear(struct faults *faults)
{
	memset(faults->plans, 0, sizeof(faults->plans));
	faults->announce_late_ns = 0;
	faults->stalled = false;
}
