/* SPDX-License-Identifier: BSD-3-Clause */
/* Edges of requested lines: from an edge of the line to an event of the client. */
#define _GNU_SOURCE
#include "request_internal.h"

#include <errno.h>
#include <time.h>

static uint64_t stamp(const struct gb_line *line, uint64_t monotonic_ns)
{
	struct timespec real;

	if (line->plan.flags & GB_LINE_SOURCE_CLOCK && line->device_ns)
		return line->device_ns;
	if (!(line->plan.flags & GB_LINE_REALTIME))
		return monotonic_ns;
	clock_gettime(CLOCK_REALTIME, &real);
	/* The event clock's time when the edge arrived, not that of now. */
	return (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec -
	       (gb_now_ns() - monotonic_ns);
}

/* `high`: the physical level after the edge. */
static void push_edge(struct gb_request *request, struct gb_line *line, bool high,
		      uint64_t timestamp_ns)
{
	bool rising = high != !!(line->plan.flags & GB_LINE_ACTIVE_LOW);
	struct gb_line_event event = {
		.timestamp_ns = timestamp_ns,
		.id = rising ? 1 : 2,
		.offset = line->plan.offset,
	};

	if (!(line->plan.flags & (rising ? GB_LINE_EDGE_RISING : GB_LINE_EDGE_FALLING)))
		return;
	event.seqno = ++request->seqno;
	event.line_seqno = ++line->line_seqno;
	request->client->event(request->client_owner, &event);
}

static void report_line_fault(struct gb_request *request, uint32_t index, int error,
			      uint32_t reason)
{
	struct gb_report *report;

	if (request->lines[index].faulted)
		return;
	request->lines[index].faulted = true;
	report = gb_report_add(request->pump, GB_REPORT_LINE_FAULT, request->id);
	if (!report)
		return;
	report->number = index;
	report->error = error;
	report->reason = reason;
}

/* The kind of the edge is unknown: it shows as a gap in the numbers. */
static void miss_edge(struct gb_request *request, uint32_t index, int error, uint32_t reason)
{
	request->seqno++;
	request->lines[index].line_seqno++;
	report_line_fault(request, index, error, reason);
}

static void level_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct gb_line *line = &request->lines[index];

	if (!request->closed && !outcome->error)
		push_edge(request, line, outcome->value, stamp(line, line->fired_ns));
	else if (!request->closed)
		miss_edge(request, index, outcome->error, outcome->reason);
	gb_request_unreference(request);
}

/* The level after the edge shows which one it was, as in the kernel. It is read before the
 * re-arm, so that no later edge hides. */
static void read_level(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	int error = gb_request_submit(request, index, VIRTIO_GPIO_MSG_GET_VALUE, 0, level_done,
				      now_ns);

	if (error)
		miss_edge(request, index, -error, gb_submit_reason(error));
}

/* Without its level the line would stay as it was, perhaps for ever: ask again, and at once after
 * a timeout. */
static void settle_later(struct gb_request *request, uint32_t index, int error, uint32_t reason)
{
	uint64_t pause_ns = error == ETIMEDOUT ? 0 : request->timeout_ns;

	report_line_fault(request, index, error, reason);
	if (error != ENODEV)
		gb_debounce_again(&request->lines[index].debounce, gb_now_ns() + pause_ns);
}

static void settled_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct gb_line *line = &request->lines[index];

	if (request->closed || !line->debounce.period_ns) {
		/* nobody listens any more */
	} else if (outcome->error) {
		settle_later(request, index, outcome->error, outcome->reason);
	} else if (gb_debounce_level(&line->debounce, outcome->value)) {
		push_edge(request, line, outcome->value, stamp(line, line->debounce.ended_ns));
	}
	gb_request_unreference(request);
}

static void read_settled(struct gb_debounce *debounce)
{
	struct gb_line *line =
		(struct gb_line *)(void *)((char *)debounce - offsetof(struct gb_line, debounce));
	struct gb_request *request = line->request;
	uint32_t index = (uint32_t)(line - request->lines);
	int error = gb_request_submit(request, index, VIRTIO_GPIO_MSG_GET_VALUE, 0, settled_done,
				      debounce->ended_ns);

	if (error)
		settle_later(request, index, -error, gb_submit_reason(error));
}

static struct gb_line *of_interrupt(struct gb_interrupt *interrupt)
{
	return (struct gb_line *)(void *)((char *)interrupt - offsetof(struct gb_line, interrupt));
}

static uint32_t index_of(const struct gb_line *line)
{
	return (uint32_t)(line - line->request->lines);
}

/* For an edge that is no record, the type or the level says what it was. */
static void take_plain(struct gb_request *request, struct gb_line *line, uint64_t now_ns)
{
	uint8_t type = line->plan.irq_type;

	line->fired_ns = now_ns;
	if (type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH)
		read_level(request, index_of(line), now_ns);
	else
		push_edge(request, line, type == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING,
			  stamp(line, now_ns));
}

/* ---- edges that come as records -------------------------------------------- */

/* How many of the lost edges would have been reported. */
static uint32_t reported(const struct gb_line *line, uint32_t lost)
{
	uint32_t both = GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING;

	/* It is every other one, when the line has both edges and its client wants one. */
	if (line->plan.irq_type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH &&
	    (line->plan.flags & both) != both)
		return lost / 2;
	return lost;
}

static void take_record(struct gb_request *request, struct gb_line *line,
			const struct gb_edge *edge)
{
	uint32_t lost = reported(line, edge->lost);

	/* Leave a gap in the numbers, so that the client sees what did not come. */
	request->seqno += lost;
	line->line_seqno += lost;
	push_edge(request, line, edge->high, stamp(line, edge->time_ns));
}

static bool take_edge(struct gb_interrupt *interrupt, const struct gb_edge *edge)
{
	struct gb_line *line = of_interrupt(interrupt);
	struct gb_request *request = line->request;

	if (!line->plan.irq_type)
		return edge->record;
	if (edge->record)
		line->device_ns = edge->device_ns;
	if (line->debounce.period_ns)
		gb_debounce_edge(&line->debounce, edge->record ? gb_now_ns() : edge->time_ns);
	else if (edge->record)
		take_record(request, line, edge);
	else
		take_plain(request, line, edge->time_ns);
	if (edge->masked)
		gb_interrupt_arm(interrupt);
	else
		line->faulted = false;
	return true;
}

static void fault(struct gb_interrupt *interrupt, int error, uint32_t reason, bool again)
{
	struct gb_line *line = of_interrupt(interrupt);

	(void)again;
	report_line_fault(line->request, index_of(line), error, reason);
}

static void armed(struct gb_interrupt *interrupt)
{
	of_interrupt(interrupt)->faulted = false;
}

static void orphan(struct gb_interrupt *interrupt)
{
	struct gb_line *line = of_interrupt(interrupt);

	line->plan.controller = NULL;
	gb_edges_count(line->request);
	gb_edges_stop(line);
}

static const struct gb_interrupt_ops interrupt_ops = {
	.edge = take_edge,
	.fault = fault,
	.armed = armed,
	.orphan = orphan,
};

/* ---- places for events ----------------------------------------------------- */

static bool has_edges(const struct gb_line *line)
{
	return line->plan.irq_type && line->plan.controller;
}

static uint32_t taken(const struct gb_event_places *places)
{
	const struct gb_request *request = (const struct gb_request *)(const void *)
		((const char *)places - offsetof(struct gb_request, places));

	return request->client->waiting(request->client_owner);
}

static void wanted(struct gb_event_places *places)
{
	const struct gb_request *request = (const struct gb_request *)(void *)
		((char *)places - offsetof(struct gb_request, places));

	request->client->want_room(request->client_owner);
}

/* The lines that have edges share the client's places. */
void gb_edges_count(struct gb_request *request)
{
	struct gb_event_places *places = &request->places;

	places->count = request->client->capacity(request->client_owner);
	places->taken = taken;
	places->wanted = request->client->want_room ? wanted : NULL;
	places->lines = 0;
	places->first = NULL;
	for (uint32_t i = 0; i < request->count; i++) {
		struct gb_line *line = &request->lines[i];

		if (!has_edges(line))
			continue;
		places->lines++;
		line->interrupt.next_sharing = places->first;
		places->first = &line->interrupt;
	}
}

/* ---- life --------------------------------------------------------------- */

void gb_edges_init(struct gb_request *request, struct gb_line *line)
{
	line->request = request;
	line->interrupt = (struct gb_interrupt){
		.ops = &interrupt_ops,
		.places = &request->places,
		.timeout_ns = request->timeout_ns,
		.type = line->plan.irq_type,
	};
	gb_debounce_init(&line->debounce, request->pump, read_settled);
	gb_debounce_set_period(&line->debounce, line->plan.debounce_us);
}

void gb_edges_stop(struct gb_line *line)
{
	gb_debounce_stop(&line->debounce);
	gb_interrupt_disown(&line->interrupt);
}
