/* SPDX-License-Identifier: BSD-3-Clause */
/* liveness.c - telling the helper that somebody serves the device. */
#include "liveness.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The helper waits 120 ms at least. */
#define TURN_NS UINT64_C(30000000)
#define QUIET_MAX 10u

/* A helper that does not read has other troubles. */
static void say(const struct liveness *liveness, char byte)
{
	if (send(liveness->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void turn(struct gb_timer *timer)
{
	struct liveness *liveness =
		(struct liveness *)(void *)((char *)timer - offsetof(struct liveness, timer));

	if (++liveness->quiet > QUIET_MAX) {
		liveness->told = false;
		say(liveness, LIVENESS_REST);
		return;
	}
	say(liveness, LIVENESS_HERE);
	gb_timer_arm(liveness->pump, timer, gb_now_ns() + TURN_NS);
}

/* The helper said all that it says before we got this connection. */
static void on_gone(void *owner, int index, uint32_t events)
{
	struct liveness *liveness = owner;

	(void)index;
	(void)events;
	liveness->gone(liveness->owner);
}

void liveness_init(struct liveness *liveness, struct gb_pump *pump, void (*gone)(void *owner),
		   void *owner)
{
	*liveness = (struct liveness){.pump = pump, .fd = -1, .gone = gone, .owner = owner};
	liveness->timer.expired = turn;
}

int liveness_open(struct liveness *liveness, int fd)
{
	if (fd < 0)
		return 0;
	liveness->source = gb_source_add(liveness->pump, fd, EPOLLRDHUP, on_gone, liveness, 0);
	if (!liveness->source)
		return -errno;
	liveness->fd = fd;
	return 0;
}

void liveness_close(struct liveness *liveness)
{
	if (liveness->fd < 0)
		return;
	gb_timer_cancel(liveness->pump, &liveness->timer);
	gb_source_remove(liveness->pump, liveness->source);
	close(liveness->fd);
	liveness->source = NULL;
	liveness->fd = -1;
	liveness->told = false;
}

void liveness_touch(struct liveness *liveness)
{
	liveness->quiet = 0;
	if (liveness->fd < 0 || liveness->told)
		return;
	/* This comes before the message is read: the helper sees what is unread by itself. */
	liveness->told = true;
	say(liveness, LIVENESS_HERE);
	gb_timer_arm(liveness->pump, &liveness->timer, gb_now_ns() + TURN_NS);
}
