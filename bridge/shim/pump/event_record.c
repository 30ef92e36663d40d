/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_record.c - records of events: what the firmware sends is checked here, and becomes
 * edges of a line: in order, with the number of those lost before, and with times that
 * never go back (docs/protocol.md 11.1 and 11.3, docs/timing.md).
 */
#include "stream.h"

#include <string.h>

/* A delayed message comes within this time; when a record does not fit the numbers later than
 * this, the numbers are wrong. */
#define LATE_NS (1000 * MS)
/* No source counts edges faster than this, except those that it had stored. */
#define EDGE_NS_MIN 50u
#define PLAUSIBLE_EDGES 10000u
/* So many records in a row confirm that the numbers are right. */
#define RUN_CONFIRMS 4

#define KNOWN_FLAGS (RPMSG_GPIO_EVENT_HIGH | RPMSG_GPIO_EVENT_LATE)

struct record {
	uint16_t gpio;
	uint8_t flags;
	uint32_t sequence;
	uint64_t timestamp;
};

/* A time that the device's clock has not reached is damaged. */
static bool in_future(const struct gb_controller *c, uint64_t device_ns, uint64_t now_ns)
{
	uint64_t host_ns, bound_ns;

	return has_time(c) && gb_clock_map(&c->sync.clock, device_ns, &host_ns, &bound_ns) &&
	       (int64_t)(host_ns - now_ns) > (int64_t)bound_ns;
}

/* How much later than the last record this one is. The last one's time may be damaged, if it came
 * before the clock was known: any time is later then. */
static int64_t later_by(const struct gb_controller *c, const struct gb_stream *s,
			const struct record *record, uint64_t now_ns)
{
	if (in_future(c, s->device_ns, now_ns))
		return 1;
	return (int64_t)(record->timestamp - s->device_ns);
}

/* A record that is not ahead is a duplicate or late, unless the last number was ahead by mistake
 * because it was damaged: then this record comes after the last number that is confirmed, and is
 * later in time. */
static bool corrects(const struct gb_controller *c, const struct gb_stream *s,
		     const struct record *record, uint64_t now_ns)
{
	if ((int32_t)(record->sequence - s->confirmed) <= 0 ||
	    (int32_t)(s->sequence - record->sequence) <= 0)
		return false;
	if (has_time(c))
		return later_by(c, s, record, now_ns) > 0;
	return now_ns - s->event_ns > LATE_NS;
}

/* A number that is ahead by more than one at an earlier time is damaged, and its event perhaps
 * was taken already. Without the clock the last time is not trusted. */
static bool jumps_back(const struct gb_controller *c, const struct gb_stream *s,
		       const struct record *record, uint64_t now_ns)
{
	return has_time(c) && c->sync.clock.samples >= GB_CLOCK_SAMPLES_MIN &&
	       later_by(c, s, record, now_ns) < 0;
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

	/* There cannot have been so many edges: the number is damaged. */
	if (ahead > 0 && (uint64_t)ahead > PLAUSIBLE_EDGES + (now_ns - s->event_ns) / EDGE_NS_MIN)
		return false;
	if (ahead <= 0) {
		if (!corrects(c, s, record, now_ns) || in_future(c, record->timestamp, now_ns))
			return false;
		*lost = record->sequence - s->confirmed - 1;
	} else if (ahead > 1 && jumps_back(c, s, record, now_ns)) {
		return false;
	} else {
		*lost = (uint32_t)ahead - 1;
	}
	confirm(s, record, ahead);
	*lost += s->interrupted;
	s->interrupted = false;
	s->sequence = record->sequence;
	if (!in_future(c, record->timestamp, now_ns))
		s->device_ns = record->timestamp;
	s->event_ns = now_ns;
	return true;
}

/* The device's own time of the record. It neither goes back nor lies ahead of the device's clock:
 * a record whose time is damaged in this way gets the time of the record before. The second time
 * in a row that lies ahead is true: the host slept, and its clock stood still. */
static uint64_t source_time(const struct gb_controller *c, struct gb_stream *s,
			    const struct record *record, uint64_t now_ns)
{
	bool back = c->sync.clock.samples >= GB_CLOCK_SAMPLES_MIN &&
		    (int64_t)(record->timestamp - s->source_ns) < 0;
	bool ahead = in_future(c, record->timestamp, now_ns);

	if (!back && !(ahead && !s->ahead))
		s->source_ns = record->timestamp;
	s->ahead = ahead;
	return s->source_ns;
}

static bool received_record(struct gb_controller *c, const struct record *record, uint64_t now_ns)
{
	struct gb_interrupt *interrupt = interrupt_at(c, record->gpio);
	struct gb_stream *s = stream_at(c, record->gpio);
	struct gb_edge edge = {.record = true, .high = record->flags & RPMSG_GPIO_EVENT_HIGH};

	if (!s || !interrupt || s->closing || !s->irq_type || record->flags & ~KNOWN_FLAGS ||
	    !accept_sequence(c, s, record, now_ns, &edge.lost))
		return false;
	s->attempts = 0;
	s->received++;
	s->used = true;
	edge.device_ns = source_time(c, s, record, now_ns);
	edge.time_ns = has_time(c) ? gb_clock_sync_time(c, s, record->timestamp, now_ns,
							 &interrupt->bound_ns)
				   : now_ns;
	edge.masked = !gb_stream_flows(c, s);
	if (!gb_interrupt_take(interrupt, &edge))
		return false;
	if (!edge.masked)
		gb_stream_replenish(c, record->gpio, now_ns);
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
		c->endpoint.strays++;
		return;
	}
	for (size_t at = 0; at < length; at += size) {
		struct record record;

		decode(message + at, size, &record);
		if (message[at] != RPMSG_GPIO_QUEUE_EVENT || !received_record(c, &record, now))
			c->endpoint.strays++;
	}
	gb_clock_sync_freshen(c, now);
	gb_stream_used(c, now);
}
