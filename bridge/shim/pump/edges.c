/* SPDX-License-Identifier: BSD-3-Clause */
/* Edges of requested lines: from an interrupt to an event of the client. */
#define _GNU_SOURCE
#include "request_internal.h"

#include <errno.h>
#include <time.h>

/* Re-arms of one line that may be under way: one, and one for an edge that
 * overtook the reply to it. More events than that are not the firmware's. */
#define REARMS_MAX 2
/* A re-arm that the firmware refuses is asked for so many times in a row again: it may
 * have been damaged on its way. */
#define REFUSALS_MAX 3

static uint64_t stamp(const struct gb_line *line, uint64_t monotonic_ns)
{
	struct timespec real;

	if (line->plan.flags & GB_LINE_SOURCE_CLOCK && line->device_ns)
		return line->device_ns;
	if (!(line->plan.flags & GB_LINE_REALTIME))
		return monotonic_ns;
	clock_gettime(CLOCK_REALTIME, &real);
	/* As of the moment the edge arrived, not of now. */
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

static void rearm(struct gb_request *request, uint32_t index, uint64_t now_ns);

static void rearm_due(struct gb_timer *timer)
{
	struct gb_line *line =
		(struct gb_line *)(void *)((char *)timer - offsetof(struct gb_line, rearm_timer));

	rearm(line->request, (uint32_t)(line - line->request->lines), gb_now_ns());
}

/* A line that stays masked is silent for ever; the same type again does no harm. */
static void rearm_again(struct gb_request *request, uint32_t index, int error, uint32_t reason)
{
	struct gb_line *line = &request->lines[index];
	uint64_t now = gb_now_ns();

	report_line_fault(request, index, error, reason);
	if (error == ENODEV || line->rearms)
		return;
	if (error == ETIMEDOUT)
		rearm(request, index, now);
	else if (reason != GB_REASON_STATUS || line->refusals++ < REFUSALS_MAX)
		gb_timer_arm(request->pump, &line->rearm_timer, now + request->timeout_ns);
}

static void rearm_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct gb_line *line = &request->lines[index];

	line->rearms--;
	if (request->closed) {
		/* nobody listens any more */
	} else if (!outcome->error) {
		line->faulted = false;
		line->refusals = 0;
	} else {
		rearm_again(request, index, outcome->error, outcome->reason);
	}
	gb_request_unreference(request);
}

static void rearm(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	struct gb_line *line = &request->lines[index];
	int error;

	gb_timer_cancel(request->pump, &line->rearm_timer);
	if (!line->plan.irq_type)
		return; /* reconfigured meanwhile */
	line->rearms++;
	error = gb_request_submit(request, index, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, line->plan.irq_type,
				  rearm_done, now_ns);
	if (error) {
		line->rearms--;
		if (error != -ENODEV)
			rearm_again(request, index, -error, gb_submit_reason(error));
	}
}

/* An edge of unknown kind: a gap in the numbers shows it. */
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

/* The level after the edge tells which one it was, as in the kernel; read before the
 * re-arm, so that no later edge hides. */
static void read_level(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	int error = gb_request_submit(request, index, VIRTIO_GPIO_MSG_GET_VALUE, 0, level_done,
				      now_ns);

	if (error)
		miss_edge(request, index, -error, gb_submit_reason(error));
}

/* Without its level the line would stay as it was, perhaps for ever: ask again, at
 * once after a timeout. */
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

bool gb_edges_fired(void *owner, uint32_t index, uint64_t now_ns)
{
	struct gb_request *request = owner;
	struct gb_line *line = &request->lines[index];
	uint8_t type = line->plan.irq_type;

	if (!type || line->rearms >= REARMS_MAX)
		return false;
	line->fired_ns = now_ns;
	if (line->debounce.period_ns) {
		gb_debounce_edge(&line->debounce, now_ns);
	} else if (type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH) {
		read_level(request, index, now_ns);
	} else {
		push_edge(request, line, type == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING,
			  stamp(line, now_ns));
	}
	rearm(request, index, now_ns);
	return true;
}

/* ---- edges that come as records -------------------------------------------- */

/* Of the edges lost, those that would have been reported. */
static uint32_t reported(const struct gb_line *line, uint32_t lost)
{
	uint32_t both = GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING;

	/* Every other one, when the line has both and its client wants one. */
	if (line->plan.irq_type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH &&
	    (line->plan.flags & both) != both)
		return lost / 2;
	return lost;
}

void gb_edges_record(void *owner, uint32_t index, const struct gb_edge *edge)
{
	struct gb_request *request = owner;
	struct gb_line *line = &request->lines[index];
	uint32_t lost = reported(line, edge->lost);

	if (!line->plan.irq_type)
		return;
	line->device_ns = edge->device_ns;
	if (line->debounce.period_ns) {
		gb_debounce_edge(&line->debounce, gb_now_ns());
	} else {
		/* A gap in the numbers: the client sees what did not come. */
		request->seqno += lost;
		line->line_seqno += lost;
		push_edge(request, line, edge->high, stamp(line, edge->time_ns));
	}
	if (!edge->rearm)
		line->faulted = false;
	else if (line->rearms < REARMS_MAX)
		rearm(request, index, gb_now_ns());
}

static bool has_edges(const struct gb_line *line)
{
	return line->plan.irq_type && line->plan.controller;
}

void gb_edges_count(struct gb_request *request)
{
	request->edge_lines = 0;
	for (uint32_t i = 0; i < request->count; i++)
		request->edge_lines += has_edges(&request->lines[i]);
}

/* The ring is shared by the lines that have edges. */
uint32_t gb_edges_window(void *owner, uint32_t index)
{
	const struct gb_request *request = owner;
	uint32_t capacity = request->client->capacity(request->client_owner);
	uint32_t lines = request->edge_lines;

	(void)index;
	return lines && capacity > lines ? capacity / lines : 1;
}

/*
 * Credits are given for what the ring can hold beside what waits in it and what may come
 * already: so a client that reads, however late, loses nothing of what the firmware could
 * keep back.
 */
uint32_t gb_edges_room(void *owner, uint32_t index)
{
	const struct gb_request *request = owner;
	uint32_t capacity = request->client->capacity(request->client_owner);
	uint32_t taken = request->client->waiting(request->client_owner);

	(void)index;
	for (uint32_t i = 0; i < request->count; i++)
		if (has_edges(&request->lines[i]))
			taken += gb_stream_credits(request->lines[i].plan.controller,
						   request->lines[i].plan.gpio);
	return taken < capacity ? capacity - taken : 0;
}

void gb_edges_fault(void *owner, uint32_t index, int error, uint32_t reason)
{
	report_line_fault(owner, index, error, reason);
}

/* ---- life --------------------------------------------------------------- */

void gb_edges_init(struct gb_request *request, struct gb_line *line)
{
	line->request = request;
	line->rearm_timer.expired = rearm_due;
	gb_debounce_init(&line->debounce, request->pump, read_settled);
	gb_debounce_set_period(&line->debounce, line->plan.debounce_us);
}

void gb_edges_stop(struct gb_request *request, struct gb_line *line)
{
	gb_debounce_stop(&line->debounce);
	gb_timer_cancel(request->pump, &line->rearm_timer);
}
