/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "edges.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump/event_ring.h"

struct setup {
	struct gb_event_ring *producer, *consumer;
	int bell_in, bell_out; /* socket pair: the doorbell */
	int room;              /* eventfd: the consumer took some */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wait_for_room(const struct setup *s)
{
	uint64_t count;

	while (gb_event_ring_waiting(s->producer) == GB_EVENT_READ_MAX)
		if (read(s->room, &count, sizeof(count)) != sizeof(count))
			_exit(1);
}

static void produce(const struct setup *s, uint32_t count)
{
	struct gb_line_event event = {.id = 1};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(s->bell_out);
	for (uint32_t i = 1; i <= count; i++) {
		wait_for_room(s);
		event.seqno = event.line_seqno = i;
		event.timestamp_ns = now_ns();
		if (gb_event_ring_push(s->producer, &event) &&
		    send(s->bell_in, "", 1, MSG_NOSIGNAL) < 0)
			_exit(1);
	}
	_exit(0);
}

static int consume(const struct setup *s, uint32_t count)
{
	static struct gb_line_event events[GB_EVENT_READ_MAX];
	uint64_t one = 1;
	uint32_t seqno = 0;

	while (seqno < count) {
		int taken = gb_event_ring_read(s->consumer, s->bell_out, events,
					       GB_EVENT_READ_MAX);

		if (taken < 0)
			return taken;
		seqno += (uint32_t)taken;
		if (events[taken - 1].seqno != seqno)
			return -EILSEQ;
		if (write(s->room, &one, sizeof(one)) < 0)
			return -errno;
	}
	return 0;
}

static int open_setup(struct setup *s)
{
	int ends[2], memfd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	s->bell_in = ends[0];
	s->bell_out = ends[1];
	s->room = eventfd(0, EFD_CLOEXEC);
	if (s->room < 0)
		return -errno;
	s->producer = gb_event_ring_create(GB_EVENT_READ_MAX, &memfd);
	if (!s->producer)
		return -errno;
	s->consumer = gb_event_ring_map(memfd);
	close(memfd);
	return s->consumer ? 0 : -errno;
}

static void close_setup(struct setup *s)
{
	gb_event_ring_free(s->producer);
	gb_event_ring_free(s->consumer);
	if (s->bell_in >= 0)
		close(s->bell_in);
	if (s->bell_out >= 0)
		close(s->bell_out);
	if (s->room >= 0)
		close(s->room);
}

static int run(struct setup *s, uint32_t count, uint64_t *elapsed_ns)
{
	uint64_t start = now_ns();
	pid_t child = fork();
	int error;

	if (child < 0)
		return -errno;
	if (child == 0)
		produce(s, count);
	/* Ours alone: it hangs up when the producer dies. */
	close(s->bell_in);
	s->bell_in = -1;
	error = consume(s, count);
	*elapsed_ns = now_ns() - start;
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return error;
}

int gb_bench_edges(uint32_t count, uint64_t *elapsed_ns)
{
	struct setup s = {.bell_in = -1, .bell_out = -1, .room = -1};
	int error = open_setup(&s);

	if (!error)
		error = run(&s, count, elapsed_ns);
	close_setup(&s);
	return error;
}
