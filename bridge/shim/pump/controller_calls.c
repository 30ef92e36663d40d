/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls of a controller's parts, and their end. */
#include "stream.h"

#include <errno.h>

struct gb_call *gb_call_new(struct gb_controller *c)
{
	return gb_calls_new(&c->calls);
}

void gb_call_discard(struct gb_controller *c, struct gb_call *call)
{
	gb_calls_discard(&c->calls, call);
}

static void note_end_of_stream(struct gb_controller *c, const struct gb_call *call)
{
	struct gb_stream *s = stream_at(c, call->gpio);

	/* Nothing is granted after it. */
	if (s && ends_interrupt(call))
		s->closing = true;
	else if (s && call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		s->reopening = s->closing;
}

int gb_call_submit(struct gb_controller *c, struct gb_call *call, uint64_t now_ns,
		   uint64_t timeout_ns)
{
	int error = gb_calls_check(&c->calls, call);

	if (error)
		return error;
	call->controller = c;
	note_end_of_stream(c, call);
	gb_calls_submit(&c->calls, call, now_ns, timeout_ns);
	return 0;
}

int gb_call_start(struct gb_controller *c, const struct gb_call *wanted, uint64_t now_ns,
		  uint64_t timeout_ns)
{
	struct gb_call *call;
	int error;

	if (!c)
		return -ENODEV;
	call = gb_call_new(c);
	if (!call)
		return -ENOMEM;
	*call = *wanted;
	error = gb_call_submit(c, call, now_ns, timeout_ns);
	if (error)
		gb_call_discard(c, call);
	return error;
}

void gb_controller_abandon(struct gb_controller *c)
{
	gb_timer_cancel(c->pump, &c->streams.timer);
	gb_calls_abandon(&c->calls);
}
