/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.c - events as records: order, loss, credits and time of each line
 * (docs/protocol.md 11.1 to 11.3, docs/timing.md).
 *
 * What the firmware sends is checked here; the owner of a line gets edges in
 * order, with the number of those lost before, and times that never go back.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* A mapped time with a larger bound than this is worth less than that of the
 * arrival. */
#define BOUND_MAX (1 * MS)
/* Exchanges: one after the other when attached or after a pause, then at most
 * this often while edges come. */
#define SERIES 8u
#define SERIES_AFTER_PAUSE 3u
#define EXCHANGE_MAX_NS (100 * MS)
#define EXCHANGE_MIN_NS (2 * MS)
#define EXCHANGE_TIMEOUT_NS (1000 * MS)

/* How often to look for room, and when to go on without: then the client
 * loses its oldest, as one of the kernel's does. */
#define ROOM_POLL_NS (1 * MS)
#define ROOM_PATIENCE_NS (50 * MS)
/* After a silence the credits used are made up for: events may have been lost
 * on the way, and their credits with them. */
#define QUIET_NS (1000 * MS)
/* A delayed message comes within this; a record that does not fit the numbers
 * later than this means that the numbers are wrong. */
#define LATE_NS (1000 * MS)
#define GRANT_TIMEOUT_NS (250 * MS)
#define ATTEMPTS_MAX 3u
/* No source counts edges faster than this, but for what it had in store. */
#define EDGE_NS_MIN 50u
#define PLAUSIBLE_EDGES 10000u
/* Records in a row that make sure that the numbers are right. */
#define RUN_CONFIRMS 4

static bool has_credits(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_CREDITS;
}

static bool has_time(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_TIMESTAMP;
}

static struct gb_stream *stream_at(struct gb_controller *c, uint16_t gpio)
{
	return gpio < c->stream_count ? &c->streams[gpio] : NULL;
}

static const struct gb_line_owner *owner_at(const struct gb_controller *c, uint16_t gpio)
{
	if (gpio >= c->owner_count || !c->owners[gpio].owner)
		return NULL;
	return &c->owners[gpio];
}

static void report_fault(struct gb_controller *c, uint16_t gpio, int error, uint32_t reason)
{
	const struct gb_line_owner *owner = owner_at(c, gpio);

	if (owner && owner->ops->fault)
		owner->ops->fault(owner->owner, owner->index, error, reason);
}

/* ---- the clock --------------------------------------------------------------- */

static void ask_time(struct gb_controller *c);

static void time_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct rpmsg_gpio_time_body body;

	c->asking_time = false;
	if (outcome->error || outcome->length != sizeof(body)) {
		c->time_series = 0; /* the next edge asks again */
		return;
	}
	memcpy(&body, outcome->body, sizeof(body));
	/* What contradicts the rest wants a second opinion. */
	if (!gb_clock_add(&c->clock, call->sent_ns, rpmsg_gpio_load64(body.time), gb_now_ns()) &&
	    c->time_series < 3)
		c->time_series = 3;
	if (c->time_series)
		c->time_series--;
	if (c->time_series)
		ask_time(c);
}

static void ask_time(struct gb_controller *c)
{
	struct gb_call *call;
	uint64_t now = gb_now_ns();

	if (c->asking_time || !has_time(c))
		return;
	call = gb_call_new(c->link->pump);
	if (!call)
		return;
	call->type = RPMSG_GPIO_MSG_GET_TIME;
	call->form = GB_CALL_EXTENDED;
	call->done = time_done;
	c->asking_time = true;
	c->time_asked_ns = now;
	if (gb_call_submit(c, call, now, EXCHANGE_TIMEOUT_NS)) {
		gb_call_discard(c->link->pump, call);
		c->asking_time = false;
	}
}

/* Edges come: keep the estimate fresh. Nothing is asked while none do. */
static void freshen_clock(struct gb_controller *c, uint64_t now_ns)
{
	uint64_t pause = now_ns - c->time_asked_ns;
	uint64_t known = now_ns - c->clock_since_ns;
	uint64_t interval = known / 4;

	if (c->asking_time || !has_time(c))
		return;
	if (interval < EXCHANGE_MIN_NS)
		interval = EXCHANGE_MIN_NS;
	if (interval > EXCHANGE_MAX_NS)
		interval = EXCHANGE_MAX_NS;
	if (pause < interval)
		return;
	c->time_series = pause > 10 * EXCHANGE_MAX_NS ? SERIES_AFTER_PAUSE : 1;
	ask_time(c);
}

/* The host's time of a record; that of its arrival when there is no better. */
static uint64_t time_of(struct gb_controller *c, struct gb_stream *s, uint64_t device_ns,
			uint64_t now_ns)
{
	uint64_t host_ns, bound_ns;

	if (!gb_clock_map(&c->clock, device_ns, &host_ns, &bound_ns) || bound_ns > BOUND_MAX) {
		host_ns = now_ns;
		c->by_arrival++;
	}
	/* No edge is later than its message, nor earlier than the one before. */
	if (host_ns > now_ns)
		host_ns = now_ns;
	if (host_ns < s->time_ns)
		host_ns = s->time_ns;
	s->time_ns = host_ns;
	return host_ns;
}

void gb_controller_clock(struct gb_controller *c, struct gb_clock_state *state)
{
	struct gb_pump *pump = c->link->pump;
	uint64_t host_ns, now_ns;

	gb_lock(pump);
	now_ns = gb_now_ns();
	*state = (struct gb_clock_state){
		.samples = c->clock.samples,
		.by_arrival = c->by_arrival,
		.drift_ppb = (int32_t)(-c->clock.rate * 1e9),
		.device_ns = c->clock.base.device_ns,
		.host_ns = c->clock.base.host_ns,
		.error_ns = c->clock.base.error_ns,
	};
	/* As of an edge now. */
	state->known = gb_clock_map(&c->clock, c->clock.base.device_ns + now_ns -
						       c->clock.base.host_ns,
				    &host_ns, &state->bound_ns);
	gb_unlock(pump);
}

/* ---- credits ------------------------------------------------------------------ */

static void replenish(struct gb_controller *c, uint16_t gpio, uint64_t now_ns);

static void arm_by(struct gb_controller *c, uint64_t due_ns)
{
	if (!c->stream_timer.armed || c->stream_timer.due_ns > due_ns)
		gb_timer_arm(c->link->pump, &c->stream_timer, due_ns);
}

static bool is_edge_type(uint32_t type)
{
	return type >= VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING &&
	       type <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
}

static bool flows(const struct gb_controller *c, const struct gb_stream *s)
{
	return has_credits(c) && !s->closing && is_edge_type(s->irq_type);
}

static void grant(struct gb_controller *c, uint16_t gpio, uint32_t granted, uint64_t now_ns);

/* Sooner than others, so that a line does not run dry: a grant may be repeated.
 * Without tags a timeout costs the place in the stream of replies. */
static uint64_t grant_timeout(const struct gb_controller *c)
{
	bool soon = c->features & RPMSG_GPIO_F_TAG && c->timeout_ns > GRANT_TIMEOUT_NS;

	return soon ? GRANT_TIMEOUT_NS : c->timeout_ns;
}

/* Try again when it has been quiet: nothing is given up for good. */
static void try_later(struct gb_controller *c, struct gb_stream *s)
{
	s->attempts = 0;
	s->used = true;
	c->used_credits = true;
	c->event_ns = gb_now_ns();
	arm_by(c, c->event_ns + QUIET_NS);
}

static void enabled_again(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct gb_stream *s = stream_at(c, call->gpio);

	/* When it went well, a new stream has begun already. */
	if (!outcome->error || !s || s->generation != (uint32_t)call->argument ||
	    c->lost || c->link->dead)
		return;
	s->irq_type = (uint8_t)call->value;
	try_later(c, s);
}

/* Disabled behind our back, by a message that came twice perhaps. */
static void enable_again(struct gb_controller *c, uint16_t gpio)
{
	struct gb_stream *s = &c->streams[gpio];
	struct gb_call *call = gb_call_new(c->link->pump);

	if (!call) {
		try_later(c, s);
		return;
	}
	call->type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
	call->gpio = gpio;
	call->value = s->irq_type;
	call->argument = s->generation;
	call->done = enabled_again;
	s->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE; /* so that OK is a new stream */
	s->interrupted = true;
	if (!gb_call_submit(c, call, gb_now_ns(), grant_timeout(c)))
		return;
	s->irq_type = (uint8_t)call->value;
	gb_call_discard(c->link->pump, call);
	try_later(c, s);
}

static void retry_grant(struct gb_controller *c, uint16_t gpio, const struct gb_outcome *outcome)
{
	struct gb_stream *s = &c->streams[gpio];

	if (outcome->error)
		report_fault(c, gpio, outcome->error, outcome->reason);
	/* A message lost is asked for again at once, for as long as it takes;
	 * what is answered wrongly, a few times. */
	if (outcome->error != ETIMEDOUT && ++s->attempts > ATTEMPTS_MAX)
		try_later(c, s);
	/* Refused once: damaged on its way. Twice: the line is not enabled. */
	else if (outcome->reason == GB_REASON_STATUS && s->attempts > 1)
		enable_again(c, gpio);
	else
		grant(c, gpio, s->granted, gb_now_ns());
}

/* Neither more nor less than was asked for, and not more used than given. */
static bool fits(const struct gb_stream *s, uint32_t has, uint32_t sent)
{
	return has == s->granted && (int32_t)(has - sent) >= 0;
}

static void granted(struct gb_controller *c, uint16_t gpio, const struct gb_outcome *outcome)
{
	struct gb_stream *s = &c->streams[gpio];
	struct rpmsg_gpio_credits_body body;
	uint32_t has, sent;

	memcpy(&body, outcome->body, sizeof(body));
	has = rpmsg_gpio_load32(body.granted);
	sent = rpmsg_gpio_load32(body.sent);
	/* A damaged message: asked again it fits, unless the firmware has got a
	 * wrong number, and then it says the same again. */
	if (!fits(s, has, sent) && s->attempts < ATTEMPTS_MAX) {
		retry_grant(c, gpio, outcome);
		return;
	}
	s->granted = has;
	/* What was sent before this reply and is not here never will be. */
	if ((int32_t)(sent - s->received) > 0)
		s->received = sent;
	replenish(c, gpio, gb_now_ns());
}

static void grant_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct gb_stream *s = stream_at(c, call->gpio);
	struct gb_outcome bad = {.error = EPROTO, .reason = GB_REASON_REPLY};

	if (!s || s->generation != (uint32_t)call->argument)
		return; /* of a stream that is over */
	s->granting = false;
	if (!flows(c, s) || c->lost || c->link->dead)
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
	struct gb_stream *s = &c->streams[gpio];
	struct gb_call *call = gb_call_new(c->link->pump);
	int error;

	if (!call)
		return -ENOMEM;
	call->type = RPMSG_GPIO_MSG_GRANT_CREDITS;
	call->gpio = gpio;
	call->value = s->granted;
	call->form = GB_CALL_EXTENDED;
	call->argument = s->generation;
	call->done = grant_done;
	s->granting = true;
	error = gb_call_submit(c, call, now_ns, grant_timeout(c));
	if (error) {
		s->granting = false;
		gb_call_discard(c->link->pump, call);
	}
	return error;
}

static void grant(struct gb_controller *c, uint16_t gpio, uint32_t granted_now, uint64_t now_ns)
{
	struct gb_stream *s = &c->streams[gpio];
	int error;

	s->starved = false;
	s->unasked = false;
	s->granted = granted_now;
	error = submit_grant(c, gpio, now_ns);
	if (!error || error == -ENODEV)
		return;
	report_fault(c, gpio, -error, GB_REASON_QUEUE);
	s->unasked = true;
	arm_by(c, now_ns + ROOM_PATIENCE_NS);
}

static void starve(struct gb_controller *c, struct gb_stream *s, uint64_t now_ns)
{
	if (!s->starved)
		s->starved_ns = now_ns;
	s->starved = true;
	arm_by(c, now_ns + ROOM_POLL_NS);
}

/* Grant more when half is used, as much as the owner can take. */
static void replenish(struct gb_controller *c, uint16_t gpio, uint64_t now_ns)
{
	const struct gb_line_owner *owner = owner_at(c, gpio);
	struct gb_stream *s = &c->streams[gpio];
	uint32_t left = s->granted - s->received, more;
	struct gb_room room;

	if (!owner || !owner->ops->room || !flows(c, s) || s->granting)
		return;
	owner->ops->room(owner->owner, owner->index, &room);
	if ((int32_t)left < 0)
		left = 0;
	if (left > room.window / 2)
		return;
	more = room.window - left;
	if (more > room.free) {
		/* Not now, or less: in batches still, while the client reads. */
		if (room.free >= (room.window + 3) / 4)
			more = room.free;
		else if (!s->starved || now_ns - s->starved_ns < ROOM_PATIENCE_NS) {
			starve(c, s, now_ns);
			return;
		}
	}
	grant(c, gpio, s->received + left + more, now_ns);
}

uint32_t gb_stream_credits(const struct gb_controller *c, uint16_t gpio)
{
	const struct gb_stream *s = gpio < c->stream_count ? &c->streams[gpio] : NULL;
	int32_t left;

	if (!s || !flows(c, s))
		return 0;
	left = (int32_t)(s->granted - s->received);
	return left > 0 ? (uint32_t)left : 0;
}

/* All lines that wait for room, and after a silence all that used credits. */
static void stream_expired(struct gb_timer *timer)
{
	struct gb_controller *c = (struct gb_controller *)(void *)(
		(char *)timer - offsetof(struct gb_controller, stream_timer));
	uint64_t now = gb_now_ns();
	bool quiet = c->used_credits && now - c->event_ns >= QUIET_NS;

	for (uint32_t gpio = 0; gpio < c->stream_count; gpio++) {
		struct gb_stream *s = &c->streams[gpio];

		if (s->starved)
			replenish(c, (uint16_t)gpio, now);
		else if ((s->unasked || (quiet && s->used)) && flows(c, s) && !s->granting)
			/* As it was: the reply tells what is true. */
			grant(c, (uint16_t)gpio, s->granted, now);
		if (quiet)
			s->used = false;
	}
	if (quiet)
		c->used_credits = false;
	else if (c->used_credits)
		arm_by(c, c->event_ns + QUIET_NS);
}

/* ---- the life of a stream ------------------------------------------------------- */

static bool make_stream(struct gb_controller *c, uint16_t gpio)
{
	uint32_t count = (gpio | 31u) + 1;
	struct gb_stream *streams;

	if (gpio < c->stream_count)
		return true;
	streams = realloc(c->streams, count * sizeof(*streams));
	if (!streams)
		return false;
	memset(streams + c->stream_count, 0, (count - c->stream_count) * sizeof(*streams));
	c->streams = streams;
	c->stream_count = count;
	return true;
}

/* What a stream knew of its firmware is over; its times still do not go back. */
static void begin_stream(struct gb_stream *s, uint8_t irq_type)
{
	*s = (struct gb_stream){
		.irq_type = irq_type,
		.generation = s->generation + 1,
		.attempts = s->attempts,
		.time_ns = s->time_ns,
		.source_ns = s->source_ns,
		.interrupted = s->interrupted,
		.event_ns = gb_now_ns(),
	};
}

static bool ends_interrupt(const struct gb_call *call)
{
	return (call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE &&
		call->value == VIRTIO_GPIO_IRQ_TYPE_NONE) ||
	       (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
		call->value == VIRTIO_GPIO_DIRECTION_NONE);
}

void gb_stream_submitted(struct gb_controller *c, const struct gb_call *call)
{
	struct gb_stream *s = stream_at(c, call->gpio);

	/* Nothing is granted behind it. */
	if (s && ends_interrupt(call))
		s->closing = true;
}

void gb_stream_owned(struct gb_controller *c, uint16_t gpio)
{
	const struct gb_line_owner *owner = owner_at(c, gpio);
	struct gb_stream *s = stream_at(c, gpio);

	if (!owner || !s || !flows(c, s))
		return;
	/* An owner that takes one event and re-arms gets one for each re-arm. */
	if (owner->ops->room)
		replenish(c, gpio, gb_now_ns());
	else if (!s->granting)
		grant(c, gpio, s->received + 1, gb_now_ns());
}

void gb_stream_answered(struct gb_controller *c, const struct gb_call *call)
{
	struct gb_stream *s;

	if (!(c->features & GB_EXTENDED_EVENTS))
		return;
	if (ends_interrupt(call)) {
		s = stream_at(c, call->gpio);
		if (!s)
			return;
		s->interrupted = false; /* over, as its owner wants it */
		begin_stream(s, VIRTIO_GPIO_IRQ_TYPE_NONE);
		return;
	}
	if (call->type != VIRTIO_GPIO_MSG_SET_IRQ_TYPE || !make_stream(c, call->gpio))
		return;
	s = &c->streams[call->gpio];
	/* The same type again is a re-arm, and nothing to the device with CREDITS. */
	if (s->irq_type != call->value) {
		begin_stream(s, (uint8_t)call->value);
		freshen_clock(c, gb_now_ns()); /* for the first edge, too */
	}
	s->closing = false;
	gb_stream_owned(c, call->gpio);
}

void gb_stream_init(struct gb_controller *c)
{
	c->stream_timer.expired = stream_expired;
}

void gb_stream_accepted(struct gb_controller *c)
{
	for (uint32_t gpio = 0; gpio < c->stream_count; gpio++)
		begin_stream(&c->streams[gpio], VIRTIO_GPIO_IRQ_TYPE_NONE);
	gb_clock_reset(&c->clock);
	c->clock_since_ns = gb_now_ns();
	c->time_series = SERIES;
	ask_time(c);
}

void gb_stream_free(struct gb_controller *c)
{
	gb_timer_cancel(c->link->pump, &c->stream_timer);
	free(c->streams);
	c->streams = NULL;
	c->stream_count = 0;
}

#define KNOWN_FLAGS (RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE)

/* ---- records --------------------------------------------------------------------- */

struct record {
	uint16_t gpio;
	uint8_t flags;
	uint32_t sequence;
	uint64_t timestamp;
};

/*
 * A record that is not ahead is a duplicate or late, unless the last number was
 * ahead by mistake (damaged): then this one is behind the last number that is
 * confirmed, and later in time.
 */
static bool corrects(const struct gb_controller *c, const struct gb_stream *s,
		     const struct record *record, uint64_t now_ns)
{
	if ((int32_t)(record->sequence - s->confirmed) <= 0 ||
	    (int32_t)(s->sequence - record->sequence) <= 0)
		return false;
	if (has_time(c))
		return (int64_t)(record->timestamp - s->device_ns) > 0;
	return now_ns - s->event_ns > LATE_NS;
}

/* A time that the device's clock has not reached: damaged. */
static bool in_future(const struct gb_controller *c, const struct record *record, uint64_t now_ns)
{
	uint64_t host_ns, bound_ns;

	return has_time(c) &&
	       gb_clock_map(&c->clock, record->timestamp, &host_ns, &bound_ns) &&
	       host_ns > now_ns + bound_ns;
}

/* A number that is ahead by more than one, at an earlier time: damaged, and
 * perhaps it was taken already. Without the clock the last time is not trusted. */
static bool jumps_back(const struct gb_controller *c, const struct gb_stream *s,
		       const struct record *record)
{
	return has_time(c) && c->clock.samples >= GB_CLOCK_SAMPLES_MIN &&
	       (int64_t)(record->timestamp - s->device_ns) < 0;
}

/* A number is trusted when others led to it one by one: two that are damaged in
 * the same way follow each other, too. */
static void confirm(struct gb_stream *s, const struct record *record, int32_t ahead)
{
	if (ahead != 1)
		s->run = 0;
	else if (s->run + 1 < RUN_CONFIRMS)
		s->run++;
	else
		s->confirmed = record->sequence;
}

/* Whether the record is the next of its line, and how many were lost before. */
static bool accept_sequence(const struct gb_controller *c, struct gb_stream *s,
			    const struct record *record, uint64_t now_ns, uint32_t *lost)
{
	int32_t ahead = (int32_t)(record->sequence - s->sequence);

	/* More than can have happened: a damaged number. */
	if (ahead > 0 && (uint64_t)ahead > PLAUSIBLE_EDGES + (now_ns - s->event_ns) / EDGE_NS_MIN)
		return false;
	if (ahead <= 0) {
		if (!corrects(c, s, record, now_ns) || in_future(c, record, now_ns))
			return false;
		*lost = record->sequence - s->confirmed - 1;
	} else if (ahead > 1 && jumps_back(c, s, record)) {
		return false;
	} else {
		*lost = (uint32_t)ahead - 1;
	}
	confirm(s, record, ahead);
	*lost += s->interrupted;
	s->interrupted = false;
	s->sequence = record->sequence;
	if (!in_future(c, record, now_ns))
		s->device_ns = record->timestamp;
	s->event_ns = now_ns;
	return true;
}

/* The device's own time of the record. It does not go back, and is not one to come:
 * what is damaged so has the time of the record before. */
static uint64_t source_time(const struct gb_controller *c, struct gb_stream *s,
			    const struct record *record, uint64_t now_ns)
{
	bool back = (int64_t)(record->timestamp - s->source_ns) < 0;

	if (c->clock.samples < GB_CLOCK_SAMPLES_MIN || !(back || in_future(c, record, now_ns)))
		s->source_ns = record->timestamp;
	return s->source_ns;
}

static bool received_record(struct gb_controller *c, const struct record *record, uint64_t now_ns)
{
	const struct gb_line_owner *owner = owner_at(c, record->gpio);
	struct gb_stream *s = stream_at(c, record->gpio);
	struct gb_edge edge = {.high = record->flags & RPMSG_GPIO_EVENT_HIGH};

	if (!s || !owner || s->closing || !s->irq_type || record->flags & ~KNOWN_FLAGS ||
	    !accept_sequence(c, s, record, now_ns, &edge.lost))
		return false;
	s->attempts = 0;
	s->received++;
	s->used = true;
	edge.device_ns = source_time(c, s, record, now_ns);
	edge.time_ns = has_time(c) ? time_of(c, s, record->timestamp, now_ns) : now_ns;
	edge.rearm = !flows(c, s);
	if (!owner->ops->edge)
		return owner->ops->fired(owner->owner, owner->index, now_ns);
	owner->ops->edge(owner->owner, owner->index, &edge);
	if (!edge.rearm)
		replenish(c, record->gpio, now_ns);
	return true;
}

static void decode(const uint8_t *message, size_t size, struct record *record)
{
	struct rpmsg_gpio_timed_event wire = {0};

	memcpy(&wire, message, size);
	record->gpio = rpmsg_gpio_load16(wire.event.gpio);
	record->flags = wire.event.flags;
	record->sequence = rpmsg_gpio_load32(wire.event.sequence);
	record->timestamp = rpmsg_gpio_load64(wire.timestamp);
}

void gb_stream_received(struct gb_controller *c, const uint8_t *message, uint16_t length)
{
	size_t size = has_time(c) ? sizeof(struct rpmsg_gpio_timed_event) :
				    sizeof(struct rpmsg_gpio_event);
	uint64_t now = gb_now_ns();

	if (length % size) {
		c->strays++;
		return;
	}
	for (size_t at = 0; at < length; at += size) {
		struct record record;

		decode(message + at, size, &record);
		if (message[at] != RPMSG_GPIO_QUEUE_EVENT || !received_record(c, &record, now))
			c->strays++;
	}
	freshen_clock(c, now);
	c->event_ns = now;
	if (!has_credits(c))
		return;
	if (!c->used_credits)
		arm_by(c, now + QUIET_NS);
	c->used_credits = true;
}
