/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "stub_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define NS_PER_S 1000000000u

struct watch {
	int fd;
	loop_fd_fn fn;
	void *context;
	struct watch *next;
	bool removed;
};

struct loop {
	int epoll_fd;
	int timer_fd;
	int spare_fd; /* closed so that a peer can be accepted when there is no descriptor left */
	uint64_t timer_fd_due; /* what timer_fd is set to, 0: nothing */
	struct watch *watches;
	struct watch *removed;      /* freed after the batch that may name them */
	struct loop_timer *waiting; /* sorted by due_ns */
	struct loop_timer *due;     /* taken off `waiting`, not yet fired */
	uint64_t step_now;
	bool stepping;
	bool again;
	bool quit;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event event = {.events = EPOLLIN};

	if (!loop)
		return NULL;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->spare_fd = eventfd(0, EFD_CLOEXEC);
	/* data.ptr NULL stands for the timer. */
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->spare_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event)) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

static void free_watches(struct watch **list)
{
	while (*list) {
		struct watch *watch = *list;

		*list = watch->next;
		free(watch);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	free_watches(&loop->watches);
	free_watches(&loop->removed);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->spare_fd >= 0)
		close(loop->spare_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop);
}

static void hang_up_on_one(struct loop *loop, int listener)
{
	int fd;

	close(loop->spare_fd);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	loop->spare_fd = eventfd(0, EFD_CLOEXEC);
}

int loop_accept(struct loop *loop, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && errno == EMFILE && loop->spare_fd >= 0)
		hang_up_on_one(loop, listener);
	return fd;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *context)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	struct epoll_event event = {.events = events, .data = {.ptr = watch}};

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){.fd = fd, .fn = fn, .context = context};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		int error = errno;

		free(watch);
		return -error;
	}
	watch->next = loop->watches;
	loop->watches = watch;
	return 0;
}

void loop_remove(struct loop *loop, int fd)
{
	struct watch **link = &loop->watches;

	while (*link && (*link)->fd != fd)
		link = &(*link)->next;
	if (!*link)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);

	/* The batch of events in hand may still point at it. */
	struct watch *watch = *link;

	*link = watch->next;
	watch->removed = true;
	watch->next = loop->removed;
	loop->removed = watch;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->stepping ? loop->step_now : monotonic_ns();
}

void loop_step_mode(struct loop *loop)
{
	loop->step_now = monotonic_ns();
	loop->stepping = true;
}

bool loop_stepping(const struct loop *loop)
{
	return loop->stepping;
}

static bool unlink_timer(struct loop_timer **link, const struct loop_timer *timer)
{
	while (*link && *link != timer)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = timer->next;
	return true;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	if (!unlink_timer(&loop->waiting, timer))
		unlink_timer(&loop->due, timer);
	timer->armed = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns)
{
	struct loop_timer **link = &loop->waiting;

	loop_timer_cancel(loop, timer);
	while (*link && (*link)->due_ns <= due_ns)
		link = &(*link)->next;
	timer->due_ns = due_ns;
	timer->armed = true;
	timer->next = *link;
	*link = timer;
}

static void fire(struct loop_timer **link)
{
	struct loop_timer *timer = *link;

	*link = timer->next;
	timer->armed = false;
	timer->fn(timer->context);
}

void loop_advance(struct loop *loop, uint64_t ns)
{
	uint64_t target = loop->step_now + ns;

	while (loop->waiting && loop->waiting->due_ns <= target) {
		if (loop->waiting->due_ns > loop->step_now)
			loop->step_now = loop->waiting->due_ns;
		fire(&loop->waiting);
	}
	loop->step_now = target;
}

/*
 * Each timer fires at most once here, even if it sets itself to a time that
 * has passed: descriptors and the idle hook get their turn in between.
 */
static void fire_due(struct loop *loop)
{
	struct loop_timer **end = &loop->waiting;
	uint64_t now = loop_now(loop);

	while (*end && (*end)->due_ns <= now)
		end = &(*end)->next;
	if (end == &loop->waiting)
		return;
	loop->due = loop->waiting;
	loop->waiting = *end;
	*end = NULL;
	while (loop->due)
		fire(&loop->due);
}

static void set_timer_fd(struct loop *loop)
{
	uint64_t due = loop->waiting && !loop->stepping ? loop->waiting->due_ns : 0;
	struct itimerspec when = {.it_value = {
		.tv_sec = (time_t)(due / NS_PER_S),
		.tv_nsec = (long)(due % NS_PER_S),
	}};

	if (due == loop->timer_fd_due)
		return;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	loop->timer_fd_due = due;
}

static void clear_timer_fd(struct loop *loop)
{
	uint64_t expirations;

	if (read(loop->timer_fd, &expirations, sizeof(expirations)) > 0)
		loop->timer_fd_due = 0;
}

static void dispatch(struct loop *loop, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		const struct watch *watch = events[i].data.ptr;

		if (!watch)
			clear_timer_fd(loop);
		else if (!watch->removed)
			watch->fn(watch->context, events[i].events);
	}
	free_watches(&loop->removed);
}

void loop_again(struct loop *loop)
{
	loop->again = true;
}

void loop_run(struct loop *loop, void (*idle)(void *context), void *context)
{
	struct epoll_event events[BATCH];

	while (!loop->quit) {
		idle(context);
		if (loop->quit)
			break;
		set_timer_fd(loop);

		int count = epoll_wait(loop->epoll_fd, events, BATCH, loop->again ? 0 : -1);

		loop->again = false;
		dispatch(loop, events, count);
		if (!loop->stepping)
			fire_due(loop);
	}
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
}
