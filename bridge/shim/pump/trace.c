/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_ring.h"

_Static_assert(sizeof(struct gb_trace_record) == GB_TRACE_SLOT_SIZE, "one slot");

union slot {
	struct gb_trace_record record; /* of the first slot of a record */
	uint8_t bytes[GB_TRACE_SLOT_SIZE];
};

struct gb_trace {
	struct gb_part part;
	struct gb_pump *pump;
	uint32_t number;
	uint16_t link;
	uint64_t head, tail; /* of the slots that hold whole records */
	union slot slots[GB_TRACE_LAST];
};

struct gb_tap {
	struct gb_part part;
	struct gb_pump *pump;
	struct gb_tap *next;
	struct gb_event_ring *ring;
	int bell;
	uint16_t link;
};

/* ---- the last records of a link --------------------------------------------- */

#define DATA_AT offsetof(struct gb_trace_record, data)

static uint32_t slots_for(size_t length)
{
	size_t kept = length < GB_TRACE_DATA_MAX ? length : GB_TRACE_DATA_MAX;

	return (uint32_t)((DATA_AT + kept + GB_TRACE_SLOT_SIZE - 1) / GB_TRACE_SLOT_SIZE);
}

static union slot *slot(struct gb_trace *trace, uint64_t index)
{
	return &trace->slots[index % GB_TRACE_LAST];
}

/* The oldest records go. */
static void make_room(struct gb_trace *trace, uint32_t count)
{
	while (trace->head + count - trace->tail > GB_TRACE_LAST)
		trace->tail += slots_for(slot(trace, trace->tail)->record.length);
}

static void keep(struct gb_trace *trace, const union slot *record, uint32_t count)
{
	make_room(trace, count);
	for (uint32_t i = 0; i < count; i++)
		*slot(trace, trace->head++) = record[i];
}

size_t gb_trace_last(struct gb_trace *trace, void *slots)
{
	union slot *to = slots;
	size_t count;

	gb_lock(trace->pump);
	count = (size_t)(trace->head - trace->tail);
	for (size_t i = 0; i < count; i++)
		to[i] = *slot(trace, trace->tail + i);
	gb_unlock(trace->pump);
	return count;
}

static void free_trace(struct gb_part *part)
{
	struct gb_trace *trace =
		(struct gb_trace *)(void *)((char *)part - offsetof(struct gb_trace, part));

	gb_part_remove(&trace->pump->users, part);
	free(trace);
}

struct gb_trace *gb_trace_open(struct gb_pump *pump, uint16_t link)
{
	struct gb_trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return NULL;
	trace->pump = pump;
	trace->link = link;
	trace->part.free = free_trace;
	gb_lock(pump);
	gb_part_add(&pump->users, &trace->part);
	gb_unlock(pump);
	return trace;
}

/* ---- taps ------------------------------------------------------------------- */

/* When the socket is full, the bell is ringing already. */
static void tell_taps(const struct gb_trace *trace, const union slot *record, uint32_t count)
{
	for (const struct gb_tap *tap = trace->pump->taps; tap; tap = tap->next)
		if ((tap->link == trace->link || tap->link == GB_TRACE_ALL) &&
		    gb_trace_ring_push(tap->ring, record, count) &&
		    send(tap->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			continue;
}

static void end_tap(struct gb_tap *tap)
{
	struct gb_tap **place = &tap->pump->taps;

	while (*place != tap)
		place = &(*place)->next;
	*place = tap->next;
	gb_part_remove(&tap->pump->users, &tap->part);
	gb_event_ring_retire(tap->ring);
	gb_event_ring_free(tap->ring);
	close(tap->bell);
	free(tap);
}

static void free_tap(struct gb_part *part)
{
	end_tap((struct gb_tap *)(void *)((char *)part - offsetof(struct gb_tap, part)));
}

void gb_tap_close(struct gb_tap *tap)
{
	struct gb_pump *pump = tap->pump;

	gb_lock(pump);
	end_tap(tap);
	gb_unlock(pump);
}

struct gb_tap *gb_tap_open(struct gb_pump *pump, uint16_t link, struct gb_tap_fds *fds)
{
	struct gb_tap *tap = calloc(1, sizeof(*tap));
	int ends[2];
	int error;

	if (!tap)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		free(tap);
		return NULL;
	}
	tap->ring = gb_trace_ring_create(&fds->ring);
	if (!tap->ring) {
		error = errno;
		close(ends[0]);
		close(ends[1]);
		free(tap);
		errno = error;
		return NULL;
	}
	fds->bell = ends[1];
	tap->bell = ends[0];
	tap->pump = pump;
	tap->link = link;
	tap->part.free = free_tap;
	gb_lock(pump);
	gb_part_add(&pump->users, &tap->part);
	tap->next = pump->taps;
	pump->taps = tap;
	gb_unlock(pump);
	return tap;
}

/* ---- records ---------------------------------------------------------------- */

/* A record that takes one slot, which most do, is written where it stays: a copy would be half
 * of the time. What is behind the message there is older, and known to whoever may read this. */
static union slot *next_slot(struct gb_trace *trace)
{
	make_room(trace, 1);
	return slot(trace, trace->head++);
}

/* Messages are short: gcc's memcpy() of a length that it does not know begins with a `rep movs`,
 * which takes longer than all the rest of a record. */
static void copy(uint8_t *to, const uint8_t *from, size_t length)
{
	for (; length >= 8; length -= 8, to += 8, from += 8)
		memcpy(to, from, 8);
	for (; length; length--)
		*to++ = *from++;
}

void gb_trace_add(struct gb_trace *trace, uint64_t time_ns, enum gb_trace_kind kind,
		  uint32_t source, uint32_t address, uint32_t features, const void *data,
		  size_t length)
{
	union slot longer[GB_TRACE_SLOTS_MAX], *to = longer;
	uint32_t count;

	if (!trace)
		return;
	count = slots_for(length);
	if (count == 1)
		to = next_slot(trace);
	else
		memset(&longer[count - 1], 0, sizeof(*longer));
	to->record.time_ns = time_ns;
	to->record.number = trace->number++;
	to->record.source = source;
	to->record.address = address;
	to->record.link = trace->link;
	to->record.kind = (uint16_t)kind;
	to->record.features = (uint16_t)features;
	to->record.length = length > UINT16_MAX ? UINT16_MAX : (uint16_t)length;
	copy((uint8_t *)to + DATA_AT, data, length < GB_TRACE_DATA_MAX ? length : GB_TRACE_DATA_MAX);
	if (count > 1)
		keep(trace, longer, count);
	if (__builtin_expect(trace->pump->taps != NULL, 0))
		tell_taps(trace, to, count);
}
