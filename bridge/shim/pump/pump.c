/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "pump.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- descriptors and deadlines ------------------------------------------ */

struct gb_source *gb_source_add(struct gb_pump *pump, int fd, uint32_t events,
				gb_source_fn ready, void *owner, int index)
{
	return gb_loop_add(&pump->loop, fd, events, ready, owner, index);
}

void gb_source_modify(struct gb_pump *pump, struct gb_source *source, uint32_t events)
{
	gb_loop_modify(&pump->loop, source, events);
}

void gb_source_remove(struct gb_pump *pump, struct gb_source *source)
{
	gb_loop_remove(&pump->loop, source);
}

void gb_timer_arm(struct gb_pump *pump, struct gb_timer *timer, uint64_t due_ns)
{
	gb_loop_arm(&pump->loop, timer, due_ns);
}

void gb_timer_cancel(struct gb_pump *pump, struct gb_timer *timer)
{
	gb_loop_cancel(&pump->loop, timer);
}

/* ---- reports ------------------------------------------------------------ */

struct gb_report *gb_report_add(struct gb_pump *pump, uint32_t kind, uint64_t id)
{
	return gb_reports_add(&pump->reports, kind, id, NULL);
}

int gb_pump_report_fd(const struct gb_pump *pump)
{
	return pump->reports.fd;
}

int gb_pump_next_report(struct gb_pump *pump, struct gb_report *report)
{
	struct gb_report_node *node;

	gb_lock(pump);
	node = gb_reports_take(&pump->reports);
	gb_unlock(pump);
	if (!node)
		return 0;
	*report = node->report;
	free(node);
	return 1;
}

/* ---- what is open --------------------------------------------------------- */

void gb_part_add(struct gb_parts *parts, struct gb_part *part)
{
	part->previous = NULL;
	part->next = parts->first;
	if (part->next)
		part->next->previous = part;
	parts->first = part;
}

void gb_part_remove(struct gb_parts *parts, struct gb_part *part)
{
	if (part->previous)
		part->previous->next = part->next;
	else
		parts->first = part->next;
	if (part->next)
		part->next->previous = part->previous;
}

static void free_parts(struct gb_parts *parts)
{
	while (parts->first)
		parts->first->free(parts->first);
}

/* ---- lock --------------------------------------------------------------- */

void gb_flush_want(struct gb_pump *pump, struct gb_flush *flush)
{
	if (flush->wanted)
		return;
	flush->wanted = true;
	flush->next = pump->flushes;
	pump->flushes = flush;
}

void gb_flush_cancel(struct gb_pump *pump, struct gb_flush *flush)
{
	struct gb_flush **place = &pump->flushes;

	if (!flush->wanted)
		return;
	while (*place != flush)
		place = &(*place)->next;
	*place = flush->next;
	flush->wanted = false;
}

static void flush_all(struct gb_pump *pump)
{
	while (pump->flushes) {
		struct gb_flush *flush = pump->flushes;

		gb_flush_cancel(pump, flush);
		flush->flush(flush);
	}
}

static void wake(const struct gb_pump *pump)
{
	uint64_t one = 1;

	/* This fails only when the counter is full, and the descriptor is readable then anyway. */
	if (write(pump->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void gb_lock(struct gb_pump *pump)
{
	pthread_mutex_lock(&pump->lock);
}

static void tell(_Atomic uint32_t *over)
{
	syscall(SYS_futex, over, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The waiter is woken when the lock is free, so that it does not have to wait for that, too. It may
 * have ended by then: the kernel takes the address of its memory only as a name. */
static void release(struct gb_pump *pump)
{
	_Atomic uint32_t *woken = pump->woken;

	pump->woken = NULL;
	pthread_mutex_unlock(&pump->lock);
	if (woken)
		tell(woken);
}

/* Whether who runs the loop sleeps, and should not. */
static bool overslept(const struct gb_pump *pump)
{
	return pump->sleeping && (gb_loop_next_due(&pump->loop) < pump->sleeping_until_ns ||
				  (pump->leader && pump->leader->over));
}

void gb_unlock(struct gb_pump *pump)
{
	flush_all(pump);
	if (overslept(pump)) {
		pump->sleeping = false; /* one wake is enough */
		wake(pump);
	}
	release(pump);
}

/* ---- the loop ----------------------------------------------------------- */

static int sleep_ms(const struct gb_pump *pump, uint64_t now_ns)
{
	uint64_t due = gb_loop_next_due(&pump->loop), left;

	if (due == UINT64_MAX)
		return -1;
	if (due <= now_ns)
		return 0;
	left = (due - now_ns + 999999) / 1000000; /* never early */
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

/* Wait for descriptors, no longer than until the first deadline, and do what is to be done.
 * One thread at a time: what it was told of may be freed by the end of the next turn. */
static void turn(struct gb_pump *pump, bool sleep)
{
	struct epoll_event events[GB_LOOP_BATCH];
	int count, timeout;

	flush_all(pump);
	pump->looked_ns = gb_now_ns();
	timeout = sleep ? sleep_ms(pump, pump->looked_ns) : 0;
	pump->sleeping = timeout != 0;
	pump->sleeping_until_ns = gb_loop_next_due(&pump->loop);
	release(pump);
	count = epoll_wait(pump->loop.epoll_fd, events, GB_LOOP_BATCH, timeout);
	gb_lock(pump);
	pump->sleeping = false;
	gb_loop_dispatch(&pump->loop, events, count);
	/* Only deadlines that had passed when the descriptors were looked at count: an
	 * answer that came in time is taken before its deadline is judged, however late
	 * this runs. */
	gb_loop_expire(&pump->loop, pump->looked_ns);
}

/* Wait until the loop has something to do, and nobody leads. */
static void rest(struct gb_pump *pump)
{
	struct epoll_event event;
	int timeout;

	do {
		flush_all(pump);
		/* The leader minds the deadlines, and looks at them when it ends. */
		timeout = pump->leader ? -1 : sleep_ms(pump, gb_now_ns());
		pump->resting = true;
		pump->resting_until_ns = pump->leader ? UINT64_MAX : gb_loop_next_due(&pump->loop);
		if (!pump->leader) {
			pump->sleeping = true;
			pump->sleeping_until_ns = pump->resting_until_ns;
		}
		release(pump);
		epoll_wait(pump->rest_fd, &event, 1, timeout);
		gb_lock(pump);
		pump->resting = false;
	} while (pump->leader);
	pump->sleeping = false;
}

static void *pump_main(void *argument)
{
	struct gb_pump *pump = argument;

	gb_lock(pump);
	while (!pump->stopping) {
		if (pump->lent)
			rest(pump);
		turn(pump, !pump->lent);
	}
	gb_unlock(pump);
	return NULL;
}

/* ---- threads that wait ------------------------------------------------------ */

static int rest_watch(const struct gb_pump *pump, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events};

	return epoll_ctl(pump->rest_fd, operation, pump->loop.epoll_fd, &event) < 0 ? -errno : 0;
}

int gb_pump_lend(struct gb_pump *pump)
{
	int error;

	if (pump->lent)
		return 0;
	pump->rest_fd = epoll_create1(EPOLL_CLOEXEC);
	if (pump->rest_fd < 0)
		return -errno;
	error = rest_watch(pump, EPOLL_CTL_ADD, EPOLLIN);
	if (error) {
		close(pump->rest_fd);
		return error;
	}
	pump->lent = true;
	wake(pump);
	return 0;
}

/* The pump's thread rests, and what comes wakes this one: no thread hands over to another. What
 * comes between the last turn and the end wakes the pump's thread then. */
static void lead(struct gb_pump *pump, struct gb_waiter *waiter)
{
	pump->leader = waiter;
	rest_watch(pump, EPOLL_CTL_MOD, 0);
	while (!waiter->over)
		turn(pump, true);
	pump->leader = NULL;
	pump->sleeping = pump->resting;
	pump->sleeping_until_ns = pump->resting_until_ns;
	rest_watch(pump, EPOLL_CTL_MOD, EPOLLIN);
	gb_unlock(pump);
}

static void follow(struct gb_pump *pump, struct gb_waiter *waiter)
{
	gb_unlock(pump);
	while (!waiter->over)
		syscall(SYS_futex, &waiter->over, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

void gb_wait(struct gb_pump *pump, struct gb_waiter *waiter)
{
	/* The pump's thread may be in a turn, and its events in hand. */
	if (pump->resting && !pump->leader && !pump->fed && !waiter->over)
		lead(pump, waiter);
	else
		follow(pump, waiter);
}

void gb_wait_end(struct gb_pump *pump, struct gb_waiter *waiter)
{
	bool leads = waiter == pump->leader; /* it looks by itself, and is woken by gb_unlock() */

	waiter->over = 1;
	if (leads)
		return;
	if (pump->woken)
		tell(pump->woken);
	pump->woken = &waiter->over;
}

/* ---- the thread --------------------------------------------------------------- */

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

int gb_pump_schedule(struct gb_pump *pump, int priority, const int *cpus, size_t count)
{
	const struct sched_param param = {.sched_priority = priority};
	cpu_set_t set;
	int error = 0;

	CPU_ZERO(&set);
	for (size_t i = 0; i < count; i++)
		if (cpus[i] >= 0 && cpus[i] < CPU_SETSIZE)
			CPU_SET(cpus[i], &set);
	gb_lock(pump);
	if (count)
		error = pthread_setaffinity_np(pump->thread, sizeof(set), &set);
	if (!error && priority)
		error = pthread_setschedparam(pump->thread, SCHED_FIFO, &param);
	gb_unlock(pump);
	return -error;
}

void gb_pump_adopt(const struct gb_pump *pump, pthread_t thread)
{
	struct sched_param param;
	cpu_set_t set;
	int policy;

	/* What the pump's thread may, one beside it may, too. */
	if (!pthread_getschedparam(pump->thread, &policy, &param))
		pthread_setschedparam(thread, policy, &param);
	if (!pthread_getaffinity_np(pump->thread, sizeof(set), &set))
		pthread_setaffinity_np(thread, sizeof(set), &set);
}

static void close_descriptors(struct gb_pump *pump)
{
	if (pump->wake_fd >= 0)
		close(pump->wake_fd);
	if (pump->lent)
		close(pump->rest_fd);
	gb_loop_close(&pump->loop);
}

static struct gb_pump *new_pump(int protocol)
{
	struct gb_pump *pump = calloc(1, sizeof(*pump));
	pthread_mutexattr_t attributes;
	int error;

	if (!pump)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	error = pthread_mutex_init(&pump->lock, &attributes);
	if (error) /* a kernel without CONFIG_FUTEX_PI */
		pthread_mutex_init(&pump->lock, NULL);
	pthread_mutexattr_destroy(&attributes);
	error = gb_loop_open(&pump->loop);
	pump->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gb_reports_init(&pump->reports) || pump->wake_fd < 0 || error)
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
	gb_reports_free(&pump->reports);
	free(pump->wake_source);
	free(pump);
	errno = error;
	return NULL;
}

struct gb_pump *gb_pump_new(void)
{
	return new_pump(PTHREAD_PRIO_NONE);
}

struct gb_pump *gb_pump_new_realtime(void)
{
	return new_pump(PTHREAD_PRIO_INHERIT);
}

void gb_pump_free(struct gb_pump *pump)
{
	gb_lock(pump);
	pump->stopping = true;
	wake(pump);
	gb_unlock(pump);
	pthread_join(pump->thread, NULL);

	free_parts(&pump->carriers);
	free_parts(&pump->users);
	gb_source_remove(pump, pump->wake_source);
	gb_reports_free(&pump->reports);
	close_descriptors(pump);
	pthread_mutex_destroy(&pump->lock);
	free(pump);
}
