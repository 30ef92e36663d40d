/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of info events: 32 wait, the newest is dropped; the bell; hostile clients. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "pump/event_ring.h"

struct pair {
	struct gb_event_ring *producer, *consumer;
	int memfd, ours, theirs;
};

static void open_pair(struct pair *p)
{
	int ends[2];

	p->producer = gb_info_ring_create(&p->memfd);
	p->consumer = gb_info_ring_map(p->memfd);
	CHECK(p->producer && p->consumer);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	p->ours = ends[0];
	p->theirs = ends[1];
	CHECK_EQ(fcntl(p->theirs, F_SETFL, O_NONBLOCK), 0);
}

static void close_pair(struct pair *p)
{
	gb_event_ring_free(p->producer);
	gb_event_ring_free(p->consumer);
	close(p->memfd);
	close(p->ours);
	close(p->theirs);
}

static void push(struct pair *p, uint8_t number)
{
	uint8_t record[GB_INFO_RECORD_SIZE];

	memset(record, number, sizeof(record));
	if (gb_info_ring_push(p->producer, record))
		CHECK_EQ(send(p->ours, "", 1, MSG_DONTWAIT), 1);
}

/* The number in the next record, which must be whole; or -errno. */
static int next(struct pair *p)
{
	uint8_t record[GB_INFO_RECORD_SIZE];
	int result = gb_info_ring_read(p->consumer, p->theirs, record);

	if (result < 0)
		return result;
	CHECK_EQ(result, 1);
	for (size_t i = 1; i < sizeof(record); i++)
		if (record[i] != record[0])
			check_bad = 1;
	return record[0];
}

static bool readable(const struct pair *p)
{
	struct pollfd poller = {.fd = p->theirs, .events = POLLIN};

	return poll(&poller, 1, 0) == 1;
}

static void the_newest_is_dropped(void)
{
	struct pair p;

	open_pair(&p);
	for (uint8_t i = 1; i <= 40; i++)
		push(&p, i);
	for (int i = 1; i <= 32; i++) {
		CHECK(readable(&p));
		CHECK_EQ(next(&p), i);
	}
	CHECK(!readable(&p));
	CHECK_EQ(next(&p), -EAGAIN);
	push(&p, 41);
	CHECK_EQ(next(&p), 41);
	close_pair(&p);
}

static void there_is_room_for_each_that_was_read(void)
{
	struct pair p;

	open_pair(&p);
	for (uint8_t i = 0; i < 32; i++)
		push(&p, i);
	for (uint8_t i = 0; i < 200; i++) {
		CHECK_EQ(next(&p), i);
		push(&p, (uint8_t)(i + 32));
		push(&p, 255); /* no room for this one */
	}
	close_pair(&p);
}

static void a_ring_that_is_retired_is_gone(void)
{
	struct pair p;

	open_pair(&p);
	push(&p, 1);
	gb_event_ring_retire(p.producer);
	CHECK_EQ(next(&p), -ENODEV);
	close_pair(&p);
}

static void rings_of_edges_and_of_info_are_told_apart(void)
{
	struct gb_event_ring *edges;
	struct pair p;
	int memfd;

	open_pair(&p);
	CHECK(gb_event_ring_map(p.memfd) == NULL);
	CHECK_EQ(errno, EPROTO);
	edges = gb_event_ring_create(1024, &memfd);
	CHECK(edges != NULL);
	CHECK(gb_info_ring_map(memfd) == NULL);
	CHECK_EQ(errno, EPROTO);
	gb_event_ring_free(edges);
	close(memfd);
	close_pair(&p);
}

static void a_hostile_client_does_not_disturb_the_producer(void)
{
	static const uint64_t tails[] = {
		1, 31, 32, 33, UINT64_MAX, UINT64_MAX - 31, UINT64_C(1) << 63, 0x1234567890abcdef,
	};
	struct gb_event_ring_head *shared;
	struct pair p;

	open_pair(&p);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p.memfd, 0);
	CHECK(shared != MAP_FAILED);
	for (unsigned int i = 0; i < 2000; i++) {
		uint8_t record[GB_INFO_RECORD_SIZE] = {0};

		atomic_store(&shared->tail, tails[i % 8]);
		atomic_store(&shared->head, tails[(i + 3) % 8]);
		atomic_store(&shared->rung, i);
		shared->capacity = i;
		shared->record_size = i;
		gb_info_ring_push(p.producer, record);
	}
	munmap(shared, 4096);
	close_pair(&p);
}

int main(void)
{
	RUN(the_newest_is_dropped);
	RUN(there_is_room_for_each_that_was_read);
	RUN(a_ring_that_is_retired_is_gone);
	RUN(rings_of_edges_and_of_info_are_told_apart);
	RUN(a_hostile_client_does_not_disturb_the_producer);
	return check_report();
}
