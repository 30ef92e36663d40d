/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.c - the streams of events of lines: their life, and their credits
 * (docs/protocol.md 11.2).
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How often to look for room, and when to go on without: then the client loses its oldest event,
 * as one of the kernel's does. */
#define ROOM_POLL_NS (1 * MS)
#define ROOM_PATIENCE_NS (50 * MS)
/* A client with more places than the kernel gives would rather lose nothing than be up to date. */
#define PLACES_USUAL 1024u
#define ROOM_PATIENCE_LONG_NS (500 * MS)
/* Credits that are worth a message, where the window has many more. */
#define BATCH 256u
/* After a silence, credits that were used are granted again: events may have been lost on the
 * way, and their credits with them. */
#define QUIET_NS (1000 * MS)
#define GRANT_TIMEOUT_NS (250 * MS)
#define ATTEMPTS_MAX 3u
/* No owner of a line grants as many. */
#define CREDITS_MAX 524288u
/* Firmware whose answers make no sense is asked again after QUIET_NS, and each time after twice
 * as long, up to this many doublings, which is some minutes. */
#define DOUBTS_MAX 8

static void report_fault(struct gb_controller *c, uint16_t gpio, int error, uint32_t reason)
{
	struct gb_interrupt *interrupt = interrupt_at(c, gpio);

	/* A consumer that takes one event at a time has asked for it, and only then learns that
	 * it is lost. */
	if (interrupt && interrupt->places)
		interrupt->ops->fault(interrupt, error, reason, true);
}

/* ---- credits ------------------------------------------------------------------ */

static void arm_by(struct gb_controller *c, uint64_t due_ns)
{
	if (!c->streams.timer.armed || c->streams.timer.due_ns > due_ns)
		gb_timer_arm(c->pump, &c->streams.timer, due_ns);
}

static bool is_edge_type(uint32_t type)
{
	return type >= VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING &&
	       type <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
}

bool gb_stream_flows(const struct gb_controller *c, const struct gb_stream *s)
{
	return has_credits(c) && !s->closing && is_edge_type(s->irq_type);
}

static void grant(struct gb_controller *c, uint16_t gpio, uint32_t granted, uint64_t now_ns);

/* Its timeout is shorter than that of other calls, so that a line does not run dry: a grant may
 * be repeated. Without tags a timeout costs the place in the stream of replies. */
static uint64_t grant_timeout(const struct gb_controller *c)
{
	bool soon = c->calls.tagged && c->calls.timeout_ns > GRANT_TIMEOUT_NS;

	return soon ? GRANT_TIMEOUT_NS : c->calls.timeout_ns;
}

/* The timer looks at the line. */
static void wait_for_timer(struct gb_controller *c, uint16_t gpio, uint64_t due_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	if (!s->waits)
		s->next_waiting = c->streams.first_waiting;
	if (!s->waits)
		c->streams.first_waiting = gpio + 1u;
	s->waits = true;
	arm_by(c, due_ns);
}

/* No line is given up for good, but firmware that answers nonsense is asked ever more seldom. */
static void try_later(struct gb_controller *c, uint16_t gpio)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	s->attempts = 0;
	s->later_ns = gb_now_ns() + (QUIET_NS << s->doubts);
	if (s->doubts < DOUBTS_MAX)
		s->doubts++;
	wait_for_timer(c, gpio, s->later_ns);
}

static void enabled_again(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct gb_stream *s = stream_at(c, call->gpio);

	/* When the call succeeded, a new stream has begun already. */
	if (!outcome->error || !s || s->generation != (uint32_t)call->argument ||
	    gb_calls_over(&c->calls))
		return;
	s->irq_type = (uint8_t)call->value;
	try_later(c, call->gpio);
}

/* The line was disabled without us, perhaps by a message that came twice. */
static void enable_again(struct gb_controller *c, uint16_t gpio)
{
	struct gb_stream *s = &c->streams.lines[gpio];
	const struct gb_call wanted = {
		.type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE, .gpio = gpio, .value = s->irq_type,
		.done = enabled_again, .argument = s->generation,
	};

	s->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE; /* so that OK is a new stream */
	s->interrupted = true;
	if (!gb_call_start(c, &wanted, gb_now_ns(), grant_timeout(c)))
		return;
	s->irq_type = (uint8_t)wanted.value;
	try_later(c, gpio);
}

static void retry_grant(struct gb_controller *c, uint16_t gpio, const struct gb_outcome *outcome)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	if (outcome->error)
		report_fault(c, gpio, outcome->error, outcome->reason);
	/* A message that was lost is repeated at once, for as long as it takes; one that is
	 * answered wrongly, a few times. */
	if (outcome->error != ETIMEDOUT && ++s->attempts > ATTEMPTS_MAX)
		try_later(c, gpio);
	/* A grant that is refused once was damaged on its way. When it is refused twice, the line
	 * is not enabled. */
	else if (outcome->reason == GB_REASON_STATUS && s->attempts > 1)
		enable_again(c, gpio);
	else
		grant(c, gpio, s->granted, gb_now_ns());
}

/* The answer must say neither more nor less than was asked for, and not more used than given. */
static bool fits(const struct gb_stream *s, uint32_t has, uint32_t sent)
{
	return has == s->granted && (int32_t)(has - sent) >= 0;
}

/* The stream is one that the process before began: the firmware goes on with its numbers. */
static bool goes_on(const struct gb_stream *s, uint32_t has, uint32_t sent)
{
	return !s->agreed && (int32_t)(has - s->granted) > 0 && has - sent <= CREDITS_MAX;
}

/* The firmware says so again and again: it has got a wrong number. Events may come by that
 * number; a right one is not asked for at once, or it would be asked for without end. */
static void believe(struct gb_controller *c, uint16_t gpio, uint32_t has)
{
	c->streams.lines[gpio].granted = has;
	report_fault(c, gpio, EPROTO, GB_REASON_REPLY);
	try_later(c, gpio);
}

static void granted(struct gb_controller *c, uint16_t gpio, const struct gb_outcome *outcome)
{
	struct gb_stream *s = &c->streams.lines[gpio];
	struct rpmsg_gpio_credits_body body;
	uint32_t has, sent;
	bool missed, right, asked_late = s->doubts > 0;

	memcpy(&body, outcome->body, sizeof(body));
	has = rpmsg_gpio_load32(body.granted);
	sent = rpmsg_gpio_load32(body.sent);
	right = fits(s, has, sent);
	/* The message was damaged: asked again, the answer fits. */
	if (!right && s->attempts < ATTEMPTS_MAX) {
		retry_grant(c, gpio, outcome);
		return;
	}
	/* An event that was sent before this reply and is not here will never come. */
	missed = (int32_t)(sent - s->received) > 0;
	if (missed)
		s->received = sent;
	if (!right && !goes_on(s, has, sent)) {
		believe(c, gpio, has);
		return;
	}
	s->granted = has;
	s->agreed = true;
	s->doubts = 0;
	/* An owner that takes one event for each re-arm still waits for its event: it was lost,
	 * or the credit was given by the process before, and is spent. */
	if ((missed || asked_late) && s->granted == s->received)
		gb_stream_owned(c, gpio);
	else
		gb_stream_replenish(c, gpio, gb_now_ns());
}

static void grant_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct gb_stream *s = stream_at(c, call->gpio);
	struct gb_outcome bad = {.error = EPROTO, .reason = GB_REASON_REPLY};

	if (!s || s->generation != (uint32_t)call->argument)
		return; /* of a stream that is over */
	s->granting = NULL;
	if (!gb_stream_flows(c, s) || gb_calls_over(&c->calls))
		return;
	if (outcome->error)
		retry_grant(c, call->gpio, outcome);
	else if (outcome->length != sizeof(struct rpmsg_gpio_credits_body))
		retry_grant(c, call->gpio, &bad);
	else
		granted(c, call->gpio, outcome);
}

static int submit_grant(struct gb_controller *c, uint16_t gpio, uint64_t now_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];
	struct gb_call *call = gb_call_new(c);
	int error;

	if (!call)
		return -ENOMEM;
	call->type = RPMSG_GPIO_MSG_GRANT_CREDITS;
	call->gpio = gpio;
	call->value = s->granted;
	call->form = GB_CALL_EXTENDED;
	call->argument = s->generation;
	call->done = grant_done;
	s->granting = call;
	error = gb_call_submit(c, call, now_ns, grant_timeout(c));
	if (error) {
		s->granting = NULL;
		gb_call_discard(c, call);
	}
	return error;
}

static void grant(struct gb_controller *c, uint16_t gpio, uint32_t granted_now, uint64_t now_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];
	int error;

	s->starved = false;
	s->unasked = false;
	s->later_ns = 0;
	s->granted = granted_now;
	error = submit_grant(c, gpio, now_ns);
	if (!error || error == -ENODEV)
		return;
	report_fault(c, gpio, -error, GB_REASON_QUEUE);
	s->unasked = true;
	wait_for_timer(c, gpio, now_ns + ROOM_PATIENCE_NS);
}

static void starve(struct gb_controller *c, uint16_t gpio, struct gb_event_places *places,
		   uint64_t now_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	if (!s->starved)
		s->starved_ns = now_ns;
	if (!s->starved && places->wanted)
		places->wanted(places);
	s->starved = true;
	wait_for_timer(c, gpio, now_ns + ROOM_POLL_NS);
}

/* Events of a line that may come now. */
static uint32_t credits(const struct gb_interrupt *interrupt)
{
	const struct gb_controller *c = interrupt->controller;
	const struct gb_stream *s = c ? stream_at(c, interrupt->gpio) : NULL;
	int32_t left;

	if (!s || !gb_stream_flows(c, s))
		return 0;
	left = (int32_t)(s->granted - s->received);
	return left > 0 ? (uint32_t)left : 0;
}

/* How many credits the line should have. */
static uint32_t window_of(const struct gb_event_places *places)
{
	return places->lines && places->count > places->lines ? places->count / places->lines : 1;
}

static uint64_t patience_of(const struct gb_event_places *places)
{
	return places->count > PLACES_USUAL ? ROOM_PATIENCE_LONG_NS : ROOM_PATIENCE_NS;
}

/* Credits are given for the free places: all places less the events that wait in them and those
 * that may come already. So a client that reads, however late, loses nothing of what the firmware
 * could keep back. They are counted once for all lines that are looked at in one go. */
static uint32_t room_in(struct gb_event_places *places, uint64_t now_ns)
{
	uint32_t taken;

	if (places->counted_ns == now_ns)
		return places->room;
	taken = places->taken(places);
	for (const struct gb_interrupt *i = places->first; i; i = i->next_sharing)
		taken += credits(i);
	places->counted_ns = now_ns;
	places->room = taken < places->count ? places->count - taken : 0;
	return places->room;
}

void gb_stream_replenish(struct gb_controller *c, uint16_t gpio, uint64_t now_ns)
{
	const struct gb_interrupt *interrupt = interrupt_at(c, gpio);
	struct gb_stream *s = &c->streams.lines[gpio];
	uint32_t left = s->granted - s->received, window, batch, room, more;

	if (!interrupt || !interrupt->places || !gb_stream_flows(c, s) || s->granting)
		return;
	window = window_of(interrupt->places);
	if ((int32_t)left < 0)
		left = 0;
	if (left > window / 2)
		return;
	room = room_in(interrupt->places, now_ns);
	more = window - left;
	batch = (window + 3) / 4;
	if (batch > BATCH)
		batch = BATCH;
	if (more > room) {
		/* No credits now, or fewer: they still go in batches while the client reads. */
		if (room >= batch)
			more = room;
		else if (!s->starved || now_ns - s->starved_ns < patience_of(interrupt->places)) {
			starve(c, gpio, interrupt->places, now_ns);
			return;
		}
	}
	interrupt->places->room -= more < room ? more : room;
	grant(c, gpio, s->received + left + more, now_ns);
}

bool gb_event_places_freed(struct gb_event_places *places)
{
	uint64_t now_ns = gb_now_ns();
	bool waited = false;

	for (const struct gb_interrupt *i = places->first; i; i = i->next_sharing) {
		const struct gb_stream *s = i->controller ? stream_at(i->controller, i->gpio) : NULL;

		if (!s || !s->starved)
			continue;
		waited = true;
		gb_stream_replenish(i->controller, i->gpio, now_ns);
	}
	return waited;
}

/* It is granted as before: the reply says what is true. */
static void grant_again(struct gb_controller *c, uint16_t gpio, uint64_t now_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	if (gb_stream_flows(c, s) && !s->granting)
		grant(c, gpio, s->granted, now_ns);
}

static void wait_is_over(struct gb_controller *c, uint16_t gpio, uint64_t now_ns)
{
	struct gb_stream *s = &c->streams.lines[gpio];

	if (s->starved)
		gb_stream_replenish(c, gpio, now_ns);
	else if (s->unasked || (s->later_ns && s->later_ns <= now_ns))
		grant_again(c, gpio, now_ns);
	else if (s->later_ns)
		wait_for_timer(c, gpio, s->later_ns);
}

static void look_at_waiting(struct gb_controller *c, uint64_t now_ns)
{
	uint32_t next = c->streams.first_waiting;

	c->streams.first_waiting = 0; /* some will wait again */
	while (next) {
		uint16_t gpio = (uint16_t)(next - 1);

		next = c->streams.lines[gpio].next_waiting;
		c->streams.lines[gpio].waits = false;
		wait_is_over(c, gpio, now_ns);
	}
}

/* After a silence: all events that used credits, except those that are in doubt. */
static void make_up(struct gb_controller *c, uint64_t now_ns)
{
	for (uint32_t gpio = 0; gpio < c->streams.count; gpio++) {
		struct gb_stream *s = &c->streams.lines[gpio];

		if (s->used && !s->starved && !s->later_ns)
			grant_again(c, (uint16_t)gpio, now_ns);
		s->used = false;
	}
}

static void stream_expired(struct gb_timer *timer)
{
	struct gb_controller *c = (struct gb_controller *)(void *)(
		(char *)timer - offsetof(struct gb_controller, streams.timer));
	uint64_t now = gb_now_ns();

	look_at_waiting(c, now);
	if (!c->streams.used_credits)
		return;
	if (now - c->streams.event_ns < QUIET_NS) {
		arm_by(c, c->streams.event_ns + QUIET_NS);
		return;
	}
	c->streams.used_credits = false;
	make_up(c, now);
}

void gb_stream_used(struct gb_controller *c, uint64_t now_ns)
{
	c->streams.event_ns = now_ns;
	if (!has_credits(c))
		return;
	if (!c->streams.used_credits)
		arm_by(c, now_ns + QUIET_NS);
	c->streams.used_credits = true;
}

/* ---- the life of a stream ------------------------------------------------------- */

static bool make_stream(struct gb_controller *c, uint16_t gpio)
{
	uint32_t count = (gpio | 31u) + 1;
	struct gb_stream *streams;

	if (gpio < c->streams.count)
		return true;
	streams = realloc(c->streams.lines, count * sizeof(*streams));
	if (!streams)
		return false;
	memset(streams + c->streams.count, 0, (count - c->streams.count) * sizeof(*streams));
	c->streams.lines = streams;
	c->streams.count = count;
	return true;
}

/* All that a stream knew of its firmware is void; its times still do not go back. */
static void begin_stream(struct gb_stream *s, uint8_t irq_type)
{
	*s = (struct gb_stream){
		.irq_type = irq_type,
		.generation = s->generation + 1,
		.attempts = s->attempts,
		.time_ns = s->time_ns,
		.bound_ns = s->bound_ns,
		.source_ns = s->source_ns,
		.doubts = s->doubts,
		.interrupted = s->interrupted,
		.event_ns = gb_now_ns(),
		.waits = s->waits,
		.next_waiting = s->next_waiting,
	};
}

void gb_stream_owned(struct gb_controller *c, uint16_t gpio)
{
	const struct gb_interrupt *interrupt = interrupt_at(c, gpio);
	struct gb_stream *s = stream_at(c, gpio);

	if (!interrupt || !s || !gb_stream_flows(c, s))
		return;
	/* A consumer that takes one event and arms the line again gets one credit each time. */
	if (interrupt->places)
		gb_stream_replenish(c, gpio, gb_now_ns());
	else if (!s->granting)
		grant(c, gpio, s->received + 1, gb_now_ns());
}

struct gb_call *gb_stream_answered(struct gb_controller *c, const struct gb_call *call)
{
	struct gb_stream *s;

	if (!(c->features & GB_EXTENDED_EVENTS))
		return NULL;
	if (ends_interrupt(call)) {
		s = stream_at(c, call->gpio);
		if (!s)
			return NULL;
		s->interrupted = false; /* ended, as its owner wants it */
		begin_stream(s, VIRTIO_GPIO_IRQ_TYPE_NONE);
		return NULL;
	}
	if (call->type != VIRTIO_GPIO_MSG_SET_IRQ_TYPE || !make_stream(c, call->gpio))
		return NULL;
	s = &c->streams.lines[call->gpio];
	if (s->closing && !s->reopening)
		return NULL; /* asked for before a NONE that is still to come */
	/* The same type again is a re-arm, and with CREDITS it does nothing at the device. After
	 * a NONE without an answer it is new as far as we know, and the grant's reply will tell. */
	if (s->irq_type != call->value || s->closing) {
		begin_stream(s, (uint8_t)call->value);
		gb_clock_sync_freshen(c, gb_now_ns()); /* for the first edge, too */
	}
	gb_stream_owned(c, call->gpio);
	return s->agreed ? NULL : s->granting;
}

void gb_stream_init(struct gb_controller *c)
{
	c->streams.timer.expired = stream_expired;
}

void gb_stream_accepted(struct gb_controller *c)
{
	for (uint32_t gpio = 0; gpio < c->streams.count; gpio++) {
		c->streams.lines[gpio].doubts = 0;
		begin_stream(&c->streams.lines[gpio], VIRTIO_GPIO_IRQ_TYPE_NONE);
	}
	gb_clock_sync_begin(c);
}

void gb_stream_free(struct gb_controller *c)
{
	gb_timer_cancel(c->pump, &c->streams.timer);
	free(c->streams.lines);
	c->streams.lines = NULL;
	c->streams.count = c->streams.first_waiting = 0;
}
