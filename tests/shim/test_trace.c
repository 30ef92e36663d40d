/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes over a link: the last records, and taps whose readers are slow or hostile. */
#define _GNU_SOURCE
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "core_link.h"
#include "pump/event_ring.h"
#include "pump/trace.h"

#define LINK 7

struct tap {
	struct gb_tap *tap;
	struct gb_tap_fds fds;
	struct gb_event_ring *ring;
};

static void open_tap(struct tap *t, struct gb_pump *pump, uint16_t link)
{
	t->tap = gb_tap_open(pump, link, &t->fds);
	CHECK(t->tap);
	t->ring = gb_trace_ring_map(t->fds.ring);
	CHECK(t->ring);
}

static void close_reader(struct tap *t)
{
	gb_event_ring_free(t->ring);
	close(t->fds.bell);
	close(t->fds.ring);
}

/* The next record that takes one slot; its kind, or -1 when none waits. */
static int next_of(struct tap *t, struct gb_trace_record *record)
{
	int taken = gb_trace_ring_take(t->ring, t->fds.bell, record, 1);

	return taken == 1 ? record->kind : taken == 0 ? -1 : taken;
}

static void a_round_trip_is_seen_with_what_was_negotiated(void)
{
	struct gb_trace_record record;
	struct session s;
	struct tap t;

	open_session(&s, RPMSG_GPIO_F_TAG);
	gb_link_record(&s.core->link, gb_trace_open(s.pump, LINK));
	open_tap(&t, s.pump, LINK);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_VALUE, 3, 1);
	CHECK_EQ(next_of(&t, &record), GB_TRACE_SENT);
	CHECK_EQ(record.link, LINK);
	CHECK_EQ(record.number, 0);
	CHECK_EQ(record.source, SOURCE);
	CHECK_EQ(record.address, ADDRESS);
	CHECK_EQ(record.features, RPMSG_GPIO_F_TAG);
	CHECK_EQ(record.length, 12);
	CHECK_EQ(memcmp(record.data, "\x05\0\x03\0\x01\0\0\0", 8), 0);
	CHECK_EQ(next_of(&t, &record), GB_TRACE_RECEIVED);
	CHECK_EQ(record.number, 1);
	CHECK_EQ(record.length, 8);
	CHECK_EQ(next_of(&t, &record), -1);
	s.core->drop_replies = 1;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 2, 0);
	CHECK_EQ(next_of(&t, &record), GB_TRACE_SENT);
	CHECK_EQ(next_of(&t, &record), GB_TRACE_TIMEOUT);
	CHECK_EQ(memcmp(record.data, "\x04\0\x02\0", 4), 0);
	close_reader(&t);
	close_session(&s);
}

static void the_last_records_are_whole_whatever_their_length(void)
{
	static uint8_t slots[GB_TRACE_LAST * GB_TRACE_SLOT_SIZE];
	struct gb_pump *pump = gb_pump_new();
	struct gb_trace *trace = gb_trace_open(pump, LINK);
	uint8_t message[600];
	size_t count, at = 0;
	uint32_t number = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		memset(message, (int)i, sizeof(message));
		gb_lock(pump);
		gb_trace_add(trace, gb_now_ns(), GB_TRACE_RECEIVED, 1, 2, 0, message, i % sizeof(message));
		gb_unlock(pump);
	}
	count = gb_trace_last(trace, slots);
	CHECK(count <= GB_TRACE_LAST && count > GB_TRACE_LAST - GB_TRACE_SLOTS_MAX);
	while (at < count) {
		struct gb_trace_record record;
		const uint8_t *slot = slots + at * GB_TRACE_SLOT_SIZE;
		size_t kept;

		memcpy(&record, slot, sizeof(record));
		CHECK(number == 0 || record.number == number + 1);
		number = record.number;
		CHECK_EQ(record.length, number % sizeof(message));
		kept = record.length < GB_TRACE_DATA_MAX ? record.length : GB_TRACE_DATA_MAX;
		for (size_t i = 0; i < kept; i++)
			CHECK_EQ(slot[offsetof(struct gb_trace_record, data) + i], (uint8_t)number);
		at += (offsetof(struct gb_trace_record, data) + kept + GB_TRACE_SLOT_SIZE - 1) /
		      GB_TRACE_SLOT_SIZE;
	}
	CHECK_EQ(at, count);
	CHECK_EQ(number, 999);
	gb_pump_free(pump);
}

static void a_reader_who_is_slow_loses_the_newest_and_they_are_counted(void)
{
	struct gb_pump *pump = gb_pump_new();
	struct gb_trace *trace = gb_trace_open(pump, LINK), *other = gb_trace_open(pump, LINK + 1);
	struct gb_trace_record record;
	struct pollfd poller;
	struct tap t;

	open_tap(&t, pump, LINK);
	gb_lock(pump);
	gb_trace_add(other, gb_now_ns(), GB_TRACE_SENT, 1, 2, 0, "", 1);
	for (uint32_t i = 0; i < GB_TRACE_CAPACITY + 5; i++)
		gb_trace_add(trace, gb_now_ns(), GB_TRACE_SENT, 1, 2, 0, &i, sizeof(i));
	gb_unlock(pump);
	poller = (struct pollfd){.fd = t.fds.bell, .events = POLLIN};
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(gb_trace_ring_lost(t.ring), 5);
	for (uint32_t i = 0; i < GB_TRACE_CAPACITY; i++) {
		CHECK_EQ(next_of(&t, &record), GB_TRACE_SENT);
		CHECK_EQ(record.number, i);
	}
	CHECK_EQ(next_of(&t, &record), -1);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	gb_lock(pump);
	gb_trace_add(trace, gb_now_ns(), GB_TRACE_SENT, 1, 2, 0, "", 1);
	gb_unlock(pump);
	CHECK_EQ(next_of(&t, &record), GB_TRACE_SENT);
	CHECK_EQ(record.number, GB_TRACE_CAPACITY + 5); /* the gap shows the loss */
	gb_tap_close(t.tap);
	CHECK_EQ(next_of(&t, &record), -ENODEV);
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK(poller.revents & POLLHUP);
	close_reader(&t);
	gb_pump_free(pump);
}

static void a_reader_who_writes_nonsense_spoils_only_its_own(void)
{
	struct gb_pump *pump = gb_pump_new();
	struct gb_trace *trace = gb_trace_open(pump, LINK);
	struct gb_trace_record record;
	struct gb_event_ring_head *head;
	struct tap bad, good;

	open_tap(&bad, pump, GB_TRACE_ALL);
	open_tap(&good, pump, GB_TRACE_ALL);
	head = mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, bad.fds.ring, 0);
	CHECK(head != MAP_FAILED);
	for (uint64_t tail = 0; tail < 300; tail++) {
		atomic_store(&head->tail, tail * UINT64_C(0x0123456789abcdef));
		atomic_store(&head->head, tail * UINT64_C(0xfedcba9876543210));
		head->capacity = (uint32_t)tail;
		gb_lock(pump);
		gb_trace_add(trace, gb_now_ns(), GB_TRACE_SENT, 1, 2, 0, "", 1);
		gb_unlock(pump);
		CHECK_EQ(next_of(&good, &record), GB_TRACE_SENT);
		CHECK_EQ(record.number, (uint32_t)tail);
	}
	munmap(head, sizeof(*head));
	close_reader(&bad);
	close_reader(&good);
	gb_pump_free(pump); /* ends the taps, too */
}

int main(void)
{
	RUN(a_round_trip_is_seen_with_what_was_negotiated);
	RUN(the_last_records_are_whole_whatever_their_length);
	RUN(a_reader_who_is_slow_loses_the_newest_and_they_are_counted);
	RUN(a_reader_who_writes_nonsense_spoils_only_its_own);
	return check_report();
}
