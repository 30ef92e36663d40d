/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "stub_loop.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop/loop.h"

#define NS_PER_S 1000000000u

/* A descriptor that is watched, for users who know it by its number. */
struct watch {
	struct gb_source *source;
	int fd;
	loop_fd_fn fn;
	void *context;
	struct watch *next;
};

struct loop {
	struct gb_loop base;
	int timer_fd;
	int spare_fd; /* closed so that a peer can be accepted when there is no descriptor left */
	uint64_t timer_fd_due; /* what timer_fd is set to, 0: nothing */
	struct watch *watches;
	uint64_t step_now;
	bool stepping;
	bool again;
	bool quit;
};

static void clear_timer_fd(void *context, uint32_t events)
{
	struct loop *loop = context;
	uint64_t expirations;

	(void)events;
	if (read(loop->timer_fd, &expirations, sizeof(expirations)) > 0)
		loop->timer_fd_due = 0;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int error;

	if (!loop)
		return NULL;
	error = gb_loop_open(&loop->base);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->spare_fd = eventfd(0, EFD_CLOEXEC);
	if (error || loop->timer_fd < 0 || loop->spare_fd < 0 ||
	    loop_add(loop, loop->timer_fd, EPOLLIN, clear_timer_fd, loop)) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->watches)
		loop_remove(loop, loop->watches->fd);
	gb_loop_close(&loop->base);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->spare_fd >= 0)
		close(loop->spare_fd);
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

static void ready(void *owner, int index, uint32_t events)
{
	const struct watch *watch = owner;

	(void)index;
	watch->fn(watch->context, events);
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *context)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){.fd = fd, .fn = fn, .context = context, .next = loop->watches};
	watch->source = gb_loop_add(&loop->base, fd, events, ready, watch, 0);
	if (!watch->source) {
		int error = errno;

		free(watch);
		return -error;
	}
	loop->watches = watch;
	return 0;
}

void loop_remove(struct loop *loop, int fd)
{
	struct watch **link = &loop->watches;
	struct watch *watch;

	while (*link && (*link)->fd != fd)
		link = &(*link)->next;
	watch = *link;
	if (!watch)
		return;
	*link = watch->next;
	gb_loop_remove(&loop->base, watch->source);
	free(watch);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->stepping ? loop->step_now : gb_now_ns();
}

void loop_step_mode(struct loop *loop)
{
	loop->step_now = gb_now_ns();
	loop->stepping = true;
}

bool loop_stepping(const struct loop *loop)
{
	return loop->stepping;
}

static void expired(struct gb_timer *timer)
{
	const struct loop_timer *own = (const struct loop_timer *)(void *)
		((char *)timer - offsetof(struct loop_timer, deadline));

	own->fn(own->context);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns)
{
	timer->deadline.expired = expired;
	gb_loop_arm(&loop->base, &timer->deadline, due_ns);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	gb_loop_cancel(&loop->base, &timer->deadline);
}

void loop_advance(struct loop *loop, uint64_t ns)
{
	uint64_t target = loop->step_now + ns, due;

	while ((due = gb_loop_next_due(&loop->base)) <= target) {
		struct gb_timer *timer = loop->base.timers.first;

		if (due > loop->step_now)
			loop->step_now = due;
		gb_loop_cancel(&loop->base, timer);
		timer->expired(timer);
	}
	loop->step_now = target;
}

static void set_timer_fd(struct loop *loop)
{
	uint64_t first = loop->stepping ? UINT64_MAX : gb_loop_next_due(&loop->base);
	uint64_t due = first == UINT64_MAX ? 0 : first;
	struct itimerspec when = {.it_value = {
		.tv_sec = (time_t)(due / NS_PER_S),
		.tv_nsec = (long)(due % NS_PER_S),
	}};

	if (due == loop->timer_fd_due)
		return;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	loop->timer_fd_due = due;
}

void loop_again(struct loop *loop)
{
	loop->again = true;
}

void loop_run(struct loop *loop, void (*idle)(void *context), void *context)
{
	struct epoll_event events[GB_LOOP_BATCH];

	while (!loop->quit) {
		idle(context);
		if (loop->quit)
			break;
		set_timer_fd(loop);

		int count = epoll_wait(loop->base.epoll_fd, events, GB_LOOP_BATCH,
				       loop->again ? 0 : -1);

		loop->again = false;
		gb_loop_dispatch(&loop->base, events, count);
		if (!loop->stepping)
			gb_loop_expire(&loop->base, gb_now_ns());
	}
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
}
