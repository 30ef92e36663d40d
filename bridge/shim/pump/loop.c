/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
/* Announcements of one link that Python has not read; no firmware has so many channels. */
#define ANNOUNCED_MAX 4096u

/* ---- time and deadlines ------------------------------------------------- */

uint64_t gb_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void gb_timer_arm(struct gb_pump *pump, struct gb_timer *timer, uint64_t due_ns)
{
	if (due_ns <= pump->expiring_ns)
		due_ns = pump->expiring_ns + 1; /* in the next turn: descriptors come first */
	gb_timers_arm(&pump->timers, timer, due_ns);
}

void gb_timer_cancel(struct gb_pump *pump, struct gb_timer *timer)
{
	gb_timers_cancel(&pump->timers, timer);
}

static uint64_t next_due(const struct gb_pump *pump)
{
	return pump->timers.first ? pump->timers.first->due_ns : UINT64_MAX;
}

static void expire_timers(struct gb_pump *pump)
{
	if (!pump->timers.first)
		return;
	pump->expiring_ns = gb_now_ns();
	while (next_due(pump) <= pump->expiring_ns) {
		struct gb_timer *timer = pump->timers.first;

		gb_timer_cancel(pump, timer);
		timer->expired(timer);
	}
	pump->expiring_ns = 0;
}

/* ---- descriptors -------------------------------------------------------- */

struct gb_source *gb_source_add(struct gb_pump *pump, int fd, uint32_t events,
				gb_source_fn ready, void *owner, int index)
{
	struct gb_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = {.events = events};

	if (!source)
		return NULL;
	source->ready = ready;
	source->owner = owner;
	source->index = index;
	source->fd = fd;
	event.data.ptr = source;
	if (epoll_ctl(pump->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(source);
		return NULL;
	}
	return source;
}

void gb_source_modify(struct gb_pump *pump, struct gb_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.ptr = source}};

	epoll_ctl(pump->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void gb_source_remove(struct gb_pump *pump, struct gb_source *source)
{
	if (!source)
		return;
	epoll_ctl(pump->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->ready = NULL;
	source->next_dead = pump->dead_sources;
	pump->dead_sources = source;
}

static void bury_sources(struct gb_pump *pump)
{
	while (pump->dead_sources) {
		struct gb_source *source = pump->dead_sources;

		pump->dead_sources = source->next_dead;
		free(source);
	}
}

/* ---- reports ------------------------------------------------------------ */

static void signal_eventfd(int fd)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: readable anyway. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

struct gb_report *gb_report_add(struct gb_pump *pump, uint32_t kind, uint64_t id)
{
	struct gb_report_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->report.kind = kind;
	node->report.id = id;
	if (pump->last_report)
		pump->last_report->next = node;
	else
		pump->first_report = node;
	pump->last_report = node;
	/* Python may run at once, but must wait for the lock: the caller has
	 * time to fill the report in. */
	if (pump->first_report == node)
		signal_eventfd(pump->report_fd);
	return &node->report;
}

void gb_report_text(struct gb_report *report, const char *text)
{
	size_t length = strlen(text);

	if (length > GB_REPORT_BODY_MAX)
		length = GB_REPORT_BODY_MAX;
	memcpy(report->body, text, length);
	report->length = (uint16_t)length;
}

int gb_pump_report_fd(const struct gb_pump *pump)
{
	return pump->report_fd;
}

static void announcement_was_read(struct gb_pump *pump, uint64_t id)
{
	for (struct gb_link *link = pump->links; link; link = link->next)
		if (link->id == id)
			link->announced--;
}

int gb_pump_next_report(struct gb_pump *pump, struct gb_report *report)
{
	struct gb_report_node *node;
	uint64_t count;

	gb_lock(pump);
	node = pump->first_report;
	if (!node) {
		/* Non-blocking: clears the descriptor if it was set. */
		if (read(pump->report_fd, &count, sizeof(count)) < 0)
			count = 0;
		gb_unlock(pump);
		return 0;
	}
	pump->first_report = node->next;
	if (!node->next)
		pump->last_report = NULL;
	if (node->report.kind == GB_REPORT_ANNOUNCED)
		announcement_was_read(pump, node->report.id);
	gb_unlock(pump);
	*report = node->report;
	free(node);
	return 1;
}

/* ---- lock --------------------------------------------------------------- */

static void flush_links(struct gb_pump *pump)
{
	for (struct gb_link *link = pump->links; link; link = link->next) {
		if (link->unflushed && !link->dead)
			link->ops->flush(link);
		link->unflushed = false;
	}
}

void gb_lock(struct gb_pump *pump)
{
	pthread_mutex_lock(&pump->lock);
}

void gb_unlock(struct gb_pump *pump)
{
	flush_links(pump);
	if (pump->sleeping && next_due(pump) < pump->sleeping_until_ns) {
		pump->sleeping = false; /* one wake is enough */
		signal_eventfd(pump->wake_fd);
	}
	pthread_mutex_unlock(&pump->lock);
}

/* ---- the loop ----------------------------------------------------------- */

static int sleep_ms(const struct gb_pump *pump)
{
	uint64_t due = next_due(pump), now, left;

	if (due == UINT64_MAX)
		return -1;
	now = gb_now_ns();
	if (due <= now)
		return 0;
	left = (due - now + 999999) / 1000000; /* never early */
	return left > INT_MAX ? INT_MAX : (int)left;
}

static void on_wake(void *owner, int index, uint32_t events)
{
	struct gb_pump *pump = owner;
	uint64_t count;

	(void)index;
	(void)events;
	if (read(pump->wake_fd, &count, sizeof(count)) < 0)
		return;
}

static void *pump_main(void *argument)
{
	struct gb_pump *pump = argument;
	struct epoll_event events[BATCH];

	gb_lock(pump);
	while (!pump->stopping) {
		int count, timeout;

		bury_sources(pump);
		flush_links(pump);
		timeout = sleep_ms(pump);
		pump->sleeping = true;
		pump->sleeping_until_ns = next_due(pump);
		pthread_mutex_unlock(&pump->lock);
		count = epoll_wait(pump->epoll_fd, events, BATCH, timeout);
		gb_lock(pump);
		pump->sleeping = false;
		for (int i = 0; i < count; i++) {
			struct gb_source *source = events[i].data.ptr;

			if (source->ready)
				source->ready(source->owner, source->index, events[i].events);
		}
		expire_timers(pump);
	}
	gb_unlock(pump);
	return NULL;
}

/* Signals belong to Python's threads. */
static int start_thread(struct gb_pump *pump)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* an export's guest may truncate its memory */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&pump->thread, NULL, pump_main, pump);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static void close_descriptors(struct gb_pump *pump)
{
	if (pump->wake_fd >= 0)
		close(pump->wake_fd);
	if (pump->report_fd >= 0)
		close(pump->report_fd);
	if (pump->epoll_fd >= 0)
		close(pump->epoll_fd);
}

struct gb_pump *gb_pump_new(void)
{
	struct gb_pump *pump = calloc(1, sizeof(*pump));
	int error;

	if (!pump)
		return NULL;
	pthread_mutex_init(&pump->lock, NULL);
	pump->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pump->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pump->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->epoll_fd < 0 || pump->wake_fd < 0 || pump->report_fd < 0)
		goto fail;
	pump->wake_source = gb_source_add(pump, pump->wake_fd, EPOLLIN, on_wake, pump, 0);
	if (!pump->wake_source)
		goto fail;
	error = start_thread(pump);
	if (!error)
		return pump;
	errno = error;
fail:
	error = errno;
	close_descriptors(pump);
	free(pump->wake_source);
	free(pump);
	errno = error;
	return NULL;
}

static void free_reports(struct gb_pump *pump)
{
	while (pump->first_report) {
		struct gb_report_node *node = pump->first_report;

		pump->first_report = node->next;
		free(node);
	}
}

static void free_calls(struct gb_pump *pump)
{
	while (pump->free_calls) {
		struct gb_call *call = pump->free_calls;

		pump->free_calls = call->next;
		free(call);
	}
}

static void link_retire(struct gb_link *link);

void gb_pump_free(struct gb_pump *pump)
{
	gb_lock(pump);
	pump->stopping = true;
	signal_eventfd(pump->wake_fd);
	gb_unlock(pump);
	pthread_join(pump->thread, NULL);

	while (pump->links) {
		struct gb_link *link = pump->links;

		link_retire(link);
		link->ops->destroy(link);
	}
	while (pump->requests)
		gb_request_free(pump->requests);
	while (pump->exports)
		gb_export_free(pump->exports);
	gb_source_remove(pump, pump->wake_source);
	bury_sources(pump);
	free_reports(pump);
	free_calls(pump);
	close_descriptors(pump);
	pthread_mutex_destroy(&pump->lock);
	free(pump);
}

/* ---- links -------------------------------------------------------------- */

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

int gb_pump_add_link(struct gb_pump *pump, struct gb_link *link, uint64_t id)
{
	int error;

	gb_lock(pump);
	link->pump = pump;
	link->id = id;
	link->dead = false;
	link->announced = 0;
	link->controllers = NULL;
	link->endpoints = NULL;
	link->next = pump->links;
	pump->links = link;
	error = watch(link);
	if (error)
		link_retire(link);
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
	unwatch(link);
	for (struct gb_controller *c = link->controllers; c; c = c->next)
		gb_controller_abandon(c, ENODEV);
	report = gb_report_add(link->pump, GB_REPORT_LINK_DOWN, link->id);
	if (!report)
		return;
	report->error = error;
	report->reason = GB_REASON_LINK;
	gb_report_text(report, link->why);
}

/* Nobody finds it any more: it is the caller's to destroy. */
static void link_retire(struct gb_link *link)
{
	struct gb_link **place = &link->pump->links;

	if (!link->dead && link->ops->leave)
		link->ops->leave(link);
	link->dead = true;
	unwatch(link);
	while (link->controllers)
		gb_controller_free(link->controllers, ENODEV);
	while (link->endpoints)
		gb_endpoint_free(link->endpoints);
	while (*place != link)
		place = &(*place)->next;
	*place = link->next;
	if (link->ops->stop)
		link->ops->stop(link);
}

void gb_link_close(struct gb_link *link)
{
	struct gb_pump *pump = link->pump;

	if (pump) {
		gb_lock(pump);
		link_retire(link);
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
	for (struct gb_controller *c = link->controllers; c; c = c->next)
		strays += c->strays;
	gb_unlock(pump);
	return strays;
}

int gb_link_transmit(struct gb_link *link, uint32_t source, uint32_t destination,
		     const void *message, uint16_t length)
{
	int error;

	if (link->dead)
		return -ENODEV;
	if (link->blocked)
		return -EAGAIN;
	error = link->ops->send(link, source, destination, message, length);
	if (error == -EAGAIN)
		link->blocked = true;
	else if (error == 0)
		link->unflushed = true;
	else if (error != -EMSGSIZE)
		gb_link_die(link, -error);
	return error;
}

void gb_link_writable(struct gb_link *link)
{
	link->blocked = false;
	for (struct gb_controller *c = link->controllers; c && !link->blocked; c = c->next)
		gb_controller_advance(c);
	gb_endpoint_writable(link);
}

void gb_link_received(struct gb_link *link, uint32_t source, uint32_t destination,
		      const void *message, uint16_t length)
{
	for (struct gb_controller *c = link->controllers; c; c = c->next) {
		if (c->source == destination && c->address == source) {
			gb_controller_received(c, message, length);
			return;
		}
	}
	if (!gb_endpoint_received(link, source, destination, message, length))
		link->strays++;
}

int gb_link_refuses(const struct gb_link *link, uint32_t source)
{
	if (link->dead)
		return ENODEV;
	for (const struct gb_controller *c = link->controllers; c; c = c->next)
		if (c->source == source)
			return EADDRINUSE;
	return gb_endpoint_has(link, source) ? EADDRINUSE : 0;
}

void gb_link_announced(struct gb_link *link, const char *name, uint32_t address,
		       bool created)
{
	struct gb_report *report;

	if (link->announced == ANNOUNCED_MAX) {
		snprintf(link->why, sizeof(link->why),
			 "the firmware side announces channels without end");
		gb_link_die(link, EPROTO);
	}
	report = link->dead ? NULL
			    : gb_report_add(link->pump, GB_REPORT_ANNOUNCED, link->id);
	if (!report)
		return;
	link->announced++;
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
