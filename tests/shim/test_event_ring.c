/* SPDX-License-Identifier: BSD-3-Clause */
/* The event ring: exact overflow, the bell, hostile clients, racing threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "pump/event_ring.h"

struct pair {
	struct gb_event_ring *producer, *consumer;
	int memfd, ours, theirs;
};

static void open_pair(struct pair *p, uint32_t capacity)
{
	int ends[2];

	p->producer = gb_event_ring_create(capacity, &p->memfd);
	p->consumer = gb_event_ring_map(p->memfd);
	CHECK(p->producer && p->consumer);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	p->ours = ends[0];
	p->theirs = ends[1];
}

static void close_pair(struct pair *p)
{
	gb_event_ring_free(p->producer);
	gb_event_ring_free(p->consumer);
	close(p->memfd);
	close(p->ours);
	close(p->theirs);
}

static void push(struct pair *p, uint32_t seqno)
{
	struct gb_line_event event = {.seqno = seqno, .timestamp_ns = seqno};

	if (gb_event_ring_push(p->producer, &event))
		CHECK_EQ(send(p->ours, "", 1, MSG_DONTWAIT), 1);
}

static bool readable(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, 0) == 1;
}

static void records_come_out_in_order(void)
{
	struct gb_line_event events[8];
	struct pair p;

	open_pair(&p, 8);
	for (uint32_t i = 1; i <= 5; i++)
		push(&p, i);
	CHECK_EQ(gb_event_ring_take(p.consumer, p.theirs, events, 8), 5);
	for (uint32_t i = 0; i < 5; i++)
		CHECK_EQ(events[i].seqno, i + 1);
	close_pair(&p);
}

static void a_full_ring_drops_exactly_the_oldest(void)
{
	struct gb_line_event events[16];
	struct pair p;

	open_pair(&p, 8);
	for (uint32_t i = 1; i <= 21; i++)
		push(&p, i);
	CHECK_EQ(gb_event_ring_take(p.consumer, p.theirs, events, 16), 8);
	CHECK_EQ(events[0].seqno, 14);
	CHECK_EQ(events[7].seqno, 21);
	close_pair(&p);
}

static void the_bell_is_readable_exactly_while_records_wait(void)
{
	struct gb_line_event events[8];
	struct pair p;

	open_pair(&p, 8);
	CHECK(!readable(p.theirs));
	for (int round = 0; round < 100; round++) {
		push(&p, 1);
		push(&p, 2);
		CHECK(readable(p.theirs));
		CHECK_EQ(gb_event_ring_take(p.consumer, p.theirs, events, 1), 1);
		CHECK(readable(p.theirs));
		CHECK_EQ(gb_event_ring_take(p.consumer, p.theirs, events, 1), 1);
		CHECK(!readable(p.theirs));
	}
	close_pair(&p);
}

static void a_read_honours_o_nonblock(void)
{
	struct gb_line_event event;
	struct pair p;

	open_pair(&p, 2);
	fcntl(p.theirs, F_SETFL, O_NONBLOCK);
	CHECK_EQ(gb_event_ring_read(p.consumer, p.theirs, &event, 1), -EAGAIN);
	push(&p, 7);
	CHECK_EQ(gb_event_ring_read(p.consumer, p.theirs, &event, 1), 1);
	CHECK_EQ(event.seqno, 7);
	close_pair(&p);
}

static void a_read_says_that_the_chip_is_gone(void)
{
	struct gb_line_event event;
	struct pair p;

	open_pair(&p, 2);
	push(&p, 1);
	gb_event_ring_retire(p.producer);
	CHECK_EQ(gb_event_ring_read(p.consumer, p.theirs, &event, 1), -ENODEV);
	close_pair(&p);

	open_pair(&p, 2);
	shutdown(p.ours, SHUT_RDWR);
	CHECK_EQ(gb_event_ring_read(p.consumer, p.theirs, &event, 1), -ENODEV);
	close_pair(&p);
}

static void a_memfd_of_another_shape_is_refused(void)
{
	int fd = memfd_create("not a ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(!gb_event_ring_map(fd));
	CHECK_EQ(ftruncate(fd, 4096), 0);
	CHECK(!gb_event_ring_map(fd)); /* it could shrink under our feet */
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	CHECK(!gb_event_ring_map(fd)); /* no magic */
	CHECK_EQ(errno, EPROTO);
	close(fd);
}

static void a_hostile_client_does_not_disturb_the_producer(void)
{
	struct gb_event_ring_head *shared;
	struct gb_line_event events[8];
	struct pair p;
	int taken;

	open_pair(&p, 8);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p.memfd, 0);
	CHECK(ftruncate(p.memfd, 0) < 0);
	for (uint32_t i = 0; i < 1000; i++) {
		atomic_store(&shared->tail, i * UINT64_C(0x9e3779b97f4a7c15));
		atomic_store(&shared->head, i * UINT64_C(0xc2b2ae3d27d4eb4f));
		atomic_store(&shared->rung, i & 1);
		shared->capacity = i;
		push(&p, i);
		taken = gb_event_ring_take(p.consumer, p.theirs, events, 8);
		CHECK(taken >= 0 && taken <= 8);
	}
	munmap(shared, 4096);
	close_pair(&p);
}

#define RACED 200000u

static void *produce(void *argument)
{
	struct pair *p = argument;

	for (uint32_t i = 1; i <= RACED; i++) {
		struct gb_line_event event = {
			.seqno = i, .line_seqno = i, .timestamp_ns = i, .padding = {i, i, i, i, i, i},
		};

		if (gb_event_ring_push(p->producer, &event))
			while (send(p->ours, "", 1, 0) != 1)
				;
	}
	return NULL;
}

/* Whole records, in order, the newest never lost, no lost wake-up. */
static void consumer_and_producer_race(void)
{
	struct gb_line_event events[64];
	struct pair p;
	pthread_t thread;
	uint32_t last = 0;

	open_pair(&p, 64);
	CHECK_EQ(pthread_create(&thread, NULL, produce, &p), 0);
	while (last < RACED) {
		int taken = gb_event_ring_read(p.consumer, p.theirs, events, 1 + last % 64);

		if (taken <= 0)
			break;
		for (int i = 0; i < taken; i++) {
			if (events[i].seqno <= last || events[i].padding[5] != events[i].seqno ||
			    events[i].timestamp_ns != events[i].seqno)
				check_bad = 1;
			last = events[i].seqno;
		}
	}
	CHECK_EQ(last, RACED);
	pthread_join(thread, NULL);
	CHECK_EQ(gb_event_ring_take(p.consumer, p.theirs, events, 64), 0);
	CHECK(!readable(p.theirs));
	close_pair(&p);
}

int main(void)
{
	RUN(records_come_out_in_order);
	RUN(a_full_ring_drops_exactly_the_oldest);
	RUN(the_bell_is_readable_exactly_while_records_wait);
	RUN(a_read_honours_o_nonblock);
	RUN(a_read_says_that_the_chip_is_gone);
	RUN(a_memfd_of_another_shape_is_refused);
	RUN(a_hostile_client_does_not_disturb_the_producer);
	RUN(consumer_and_producer_race);
	return check_report();
}
