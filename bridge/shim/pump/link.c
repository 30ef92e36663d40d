/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The limit of announcements of one link that Python has not read; no firmware has so many
 * channels. */
#define ANNOUNCED_MAX 4096u

/* ---- life ----------------------------------------------------------------- */


static void link_ready(void *owner, int index, uint32_t events)
{
	struct gb_link *link = owner;
	int error = link->ops->ready(link, index, events);

	if (error)
		gb_link_die(link, -error);
}

static void unwatch(struct gb_link *link)
{
	for (int i = 0; i < link->fd_count; i++) {
		gb_source_remove(link->pump, link->sources[i]);
		link->sources[i] = NULL;
	}
}

static int watch(struct gb_link *link)
{
	for (int i = 0; i < link->fd_count; i++) {
		link->sources[i] = gb_source_add(link->pump, link->fds[i], link->events[i],
						 link_ready, link, i);
		if (!link->sources[i])
			return -errno;
	}
	return 0;
}

/* Nobody finds the link any more; the caller must destroy it. */
static void retire(struct gb_link *link)
{
	struct gb_pump *pump = link->pump;

	if (!link->dead && link->ops->leave)
		link->ops->leave(link);
	link->dead = true;
	unwatch(link);
	while (link->endpoints)
		link->endpoints->ops->free(link->endpoints);
	gb_flush_cancel(pump, &link->flush);
	gb_reports_forget(&pump->reports, &link->announced);
	gb_part_remove(&pump->carriers, &link->part);
	if (link->ops->stop)
		link->ops->stop(link);
}

static void free_link(struct gb_part *part)
{
	struct gb_link *link =
		(struct gb_link *)(void *)((char *)part - offsetof(struct gb_link, part));

	/* Threads of links may deliver until they are destroyed. */
	gb_lock(link->pump);
	retire(link);
	gb_unlock(link->pump);
	link->ops->destroy(link);
}

static void flush_link(struct gb_flush *flush)
{
	struct gb_link *link =
		(struct gb_link *)(void *)((char *)flush - offsetof(struct gb_link, flush));

	if (!link->dead)
		link->ops->flush(link);
}

int gb_pump_add_link(struct gb_pump *pump, struct gb_link *link, uint64_t id)
{
	int error;

	gb_lock(pump);
	link->pump = pump;
	link->id = id;
	link->dead = false;
	link->announced = 0;
	link->endpoints = NULL;
	link->flush = (struct gb_flush){.flush = flush_link};
	gb_trace_add(link->trace, gb_now_ns(), GB_TRACE_UP, 0, 0, 0, NULL, 0);
	link->part.free = free_link;
	gb_part_add(&pump->carriers, &link->part);
	pump->fed |= link->ops->feeds;
	error = watch(link);
	if (error)
		retire(link);
	else if (link->ops->start)
		link->ops->start(link);
	gb_unlock(pump);
	if (error)
		link->ops->destroy(link);
	return error;
}

void gb_link_die(struct gb_link *link, int error)
{
	struct gb_report *report;

	if (link->dead)
		return;
	link->dead = true;
	gb_trace_add(link->trace, gb_now_ns(), GB_TRACE_DOWN, 0, 0, 0, link->why,
		     strlen(link->why));
	unwatch(link);
	for (struct gb_link_endpoint *e = link->endpoints; e; e = e->next)
		if (e->ops->abandon)
			e->ops->abandon(e);
	report = gb_report_add(link->pump, GB_REPORT_LINK_DOWN, link->id);
	if (!report)
		return;
	report->error = error;
	report->reason = GB_REASON_LINK;
	gb_report_text(report, link->why);
}

void gb_link_record(struct gb_link *link, struct gb_trace *trace)
{
	link->trace = trace;
}

void gb_link_close(struct gb_link *link)
{
	struct gb_pump *pump = link->pump;

	if (pump) {
		gb_lock(pump);
		retire(link);
		gb_unlock(pump);
	}
	link->ops->destroy(link);
}

uint64_t gb_link_strays(struct gb_link *link)
{
	struct gb_pump *pump = link->pump;
	uint64_t strays;

	gb_lock(pump);
	strays = link->strays;
	for (const struct gb_link_endpoint *e = link->endpoints; e; e = e->next)
		strays += e->strays;
	gb_unlock(pump);
	return strays;
}

/* ---- descriptors, timers and threads of a link ------------------------------ */

bool gb_link_watch(struct gb_link *link, int index, uint32_t events)
{
	if (!link->sources[index])
		return false;
	gb_source_modify(link->pump, link->sources[index], events);
	return true;
}

void gb_link_arm(struct gb_link *link, struct gb_timer *timer, uint64_t due_ns)
{
	gb_timer_arm(link->pump, timer, due_ns);
}

void gb_link_disarm(struct gb_link *link, struct gb_timer *timer)
{
	gb_timer_cancel(link->pump, timer);
}

void gb_link_adopt(struct gb_link *link, pthread_t thread)
{
	gb_pump_adopt(link->pump, thread);
}

void gb_link_lock(struct gb_link *link)
{
	gb_lock(link->pump);
}

void gb_link_unlock(struct gb_link *link)
{
	gb_unlock(link->pump);
}

void gb_link_count(struct gb_link *link, struct gb_link_counters *counters)
{
	gb_lock(link->pump);
	counters->sent = link->sent;
	counters->received = link->received;
	gb_unlock(link->pump);
}

/* ---- endpoints ------------------------------------------------------------ */

static struct gb_link_endpoint *find(const struct gb_link *link, uint32_t source)
{
	struct gb_link_endpoint *endpoint = link->endpoints;

	while (endpoint && endpoint->source != source)
		endpoint = endpoint->next;
	return endpoint;
}

int gb_link_attach(struct gb_link *link, struct gb_link_endpoint *endpoint)
{
	if (link->dead)
		return ENODEV;
	if (find(link, endpoint->source))
		return EADDRINUSE;
	endpoint->link = link;
	endpoint->next = link->endpoints;
	link->endpoints = endpoint;
	return 0;
}

void gb_link_detach(struct gb_link_endpoint *endpoint)
{
	struct gb_link_endpoint **place = &endpoint->link->endpoints;

	while (*place != endpoint)
		place = &(*place)->next;
	*place = endpoint->next;
}

/* ---- messages ------------------------------------------------------------- */

/* A time that somebody knows is used for one message only: of those after it, it is too early. */
static void note_time(struct gb_link *link, uint64_t now_ns)
{
	if (link->trace)
		link->message_ns = now_ns > link->message_ns ? now_ns : gb_now_ns();
}

int gb_link_transmit(struct gb_link_endpoint *endpoint, const void *message, uint16_t length,
		     uint64_t now_ns)
{
	struct gb_link *link = endpoint->link;
	int error;

	if (link->dead)
		return -ENODEV;
	if (link->blocked)
		return -EAGAIN;
	error = link->ops->send(link, endpoint->source, endpoint->address, message, length);
	if (error == 0) {
		note_time(link, now_ns);
		gb_trace_add(link->trace, link->message_ns, GB_TRACE_SENT, endpoint->source,
			     endpoint->address, endpoint->features, message, length);
		link->sent++;
		gb_flush_want(link->pump, &link->flush);
		return 0;
	}
	if (error == -EAGAIN)
		link->blocked = true;
	else if (error != -EMSGSIZE)
		gb_link_die(link, -error);
	return error;
}

void gb_link_writable(struct gb_link *link)
{
	link->blocked = false;
	for (struct gb_link_endpoint *e = link->endpoints; e; e = e->next)
		e->ops->writable(e);
}

void gb_link_received(struct gb_link *link, uint32_t source, uint32_t destination,
		      const void *message, uint16_t length)
{
	struct gb_link_endpoint *endpoint = find(link, destination);

	note_time(link, 0);
	gb_trace_add(link->trace, link->message_ns, GB_TRACE_RECEIVED, destination, source,
		     endpoint ? endpoint->features : 0, message, length);
	link->received++;
	if (endpoint && endpoint->address == source)
		endpoint->ops->received(endpoint, message, length);
	else
		link->strays++;
}

/* ---- news ----------------------------------------------------------------- */

void gb_link_announced(struct gb_link *link, const char *name, uint32_t address,
		       bool created)
{
	struct gb_report *report;

	gb_trace_add(link->trace, gb_now_ns(), created ? GB_TRACE_CHANNEL : GB_TRACE_CHANNEL_GONE, 0,
		     address, 0, name, strlen(name));
	if (link->announced == ANNOUNCED_MAX) {
		snprintf(link->why, sizeof(link->why),
			 "the firmware side announces channels without end");
		gb_link_die(link, EPROTO);
	}
	report = link->dead ? NULL
			    : gb_reports_add(&link->pump->reports, GB_REPORT_ANNOUNCED, link->id,
					     &link->announced);
	if (!report)
		return;
	report->value = created;
	report->number = address;
	gb_report_text(report, name);
}

void gb_link_note(struct gb_link *link, const char *format, ...)
{
	struct gb_report *report = gb_report_add(link->pump, GB_REPORT_LINK_NOTE, link->id);
	char text[sizeof(link->why)];
	va_list args;

	if (!report)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	gb_report_text(report, text);
}
