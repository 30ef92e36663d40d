/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_ring.h - events from the service to one client: a ring in a memfd and
 * a socket as its doorbell. Edge events and what goes over links (trace.h) come from
 * the pump; info events from Python. Each has a ring of its own kind.
 *
 * Edge records are laid out as struct gpio_v2_line_event (48 bytes); when the
 * ring is full the oldest goes. Info records are laid out as struct
 * gpio_v2_line_info_changed (288 bytes); when 32 wait the newest goes, as in the
 * kernel. A record of the trace takes one slot or several; when they do not fit it is
 * counted and goes. Producer and consumer both advance `tail`
 * by compare-and-swap: the consumer copies first and keeps the copy only if
 * nobody moved the tail meanwhile, so it never sees a record being overwritten.
 *
 * The doorbell is readable exactly while records wait (bar the moment of a
 * read in progress). `rung` is 1 while one byte lies in the socket: whoever
 * turns it from 0 to 1 (the producer) sends a byte, whoever turns it from 1 to
 * 0 (a consumer that found the ring empty) takes one out. A consumer that
 * loses a race remembers the byte it owes and takes it at its next look.
 *
 * The client can write all of this memory: the producer trusts only its own
 * copy of `head` and masks every index, so a hostile client hurts only itself.
 */
#ifndef GB_EVENT_RING_H
#define GB_EVENT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GB_EVENT_RING_MAGIC 0x47425231u /* "GBR1" */
/* The kernel has at most 1024, which are 2 ms of 500,000 edges a second. */
#define GB_EVENT_CAPACITY_MAX 262144u
/* Records of one read. */
#define GB_EVENT_READ_MAX 1024u
/* The kernel's gpio_chardev_data has as many. */
#define GB_INFO_CAPACITY 32u
#define GB_INFO_RECORD_SIZE 288u
/* Slots of the trace: 1 MiB. */
#define GB_TRACE_CAPACITY 16384u
#define GB_TRACE_SLOT_SIZE 64u

/* struct gpio_v2_line_event of <linux/gpio.h>. */
struct gb_line_event {
	uint64_t timestamp_ns;
	uint32_t id; /* 1 rising, 2 falling */
	uint32_t offset;
	uint32_t seqno;
	uint32_t line_seqno;
	uint32_t padding[6];
};

struct gb_event_ring_head {
	uint32_t magic;
	uint32_t capacity; /* a power of two */
	_Atomic uint32_t retired;
	uint32_t record_size; /* bytes: 48, GB_INFO_RECORD_SIZE or GB_TRACE_SLOT_SIZE */
	_Atomic uint64_t lost; /* records of the trace */
	uint32_t reserved[10];
	_Alignas(64) _Atomic uint64_t head; /* written by the producer */
	_Alignas(64) _Atomic uint64_t tail; /* next record to read */
	_Alignas(64) _Atomic uint32_t rung;
};

struct gb_event_ring; /* one side's view */

/* Producer: creates the memfd (sealed against resizing), returns a view and
 * the descriptor. NULL with errno. */
struct gb_event_ring *gb_event_ring_create(uint32_t capacity, int *memfd);
/* True when the doorbell must be rung for this record. */
bool gb_event_ring_push(struct gb_event_ring *ring, const struct gb_line_event *event);
/* The number of records that the client has not taken: it may claim anything, but at most the
 * capacity counts. */
uint32_t gb_event_ring_waiting(const struct gb_event_ring *ring);
/* How many records made place for later ones. */
uint64_t gb_event_ring_overwritten(const struct gb_event_ring *ring);
/* The chip is gone: reads answer ENODEV from now on. */
void gb_event_ring_retire(struct gb_event_ring *ring);

/* Consumer: maps a received memfd; checks size, seals and magic. NULL, errno. */
struct gb_event_ring *gb_event_ring_map(int memfd);
uint32_t gb_event_ring_capacity(const struct gb_event_ring *ring);
/* Take up to `count` records and return their number. When it empties the ring it silences the bell on
 * `doorbell`. Never blocks; -ENODEV once the ring is retired. */
int gb_event_ring_take(struct gb_event_ring *ring, int doorbell,
			  struct gb_line_event *events, size_t count);
/* Does what read(2) does on the kernel's request descriptor: blocks for the first record unless
 * O_NONBLOCK is set on `doorbell`. Returns the number of records, or -EAGAIN, -EINTR, -ENODEV
 * (the chip or the service is gone). */
int gb_event_ring_read(struct gb_event_ring *ring, int doorbell,
		       struct gb_line_event *events, size_t count);

void gb_event_ring_free(struct gb_event_ring *ring);

/* The same for info events; a record is GB_INFO_RECORD_SIZE bytes. */
struct gb_event_ring *gb_info_ring_create(int *memfd);
/* The newest record goes when the ring is full. True: ring the doorbell. */
bool gb_info_ring_push(struct gb_event_ring *ring, const void *record);
struct gb_event_ring *gb_info_ring_map(int memfd);
/* Does what gb_event_ring_read() does, for one record: 1 or -errno. */
int gb_info_ring_read(struct gb_event_ring *ring, int doorbell, void *record);

/* The same for the trace: a record takes `slots` slots of GB_TRACE_SLOT_SIZE bytes. */
struct gb_event_ring *gb_trace_ring_create(int *memfd);
/* What does not fit is counted and goes. True: ring the doorbell. */
bool gb_trace_ring_push(struct gb_event_ring *ring, const void *record, uint32_t slots);
struct gb_event_ring *gb_trace_ring_map(int memfd);
/* Does what gb_event_ring_take() does, for at most GB_EVENT_READ_MAX slots; the last record
 * may be cut, and goes on in the next ones. */
int gb_trace_ring_take(struct gb_event_ring *ring, int doorbell, void *slots, size_t count);
/* Records that did not fit so far. */
uint64_t gb_trace_ring_lost(const struct gb_event_ring *ring);

#endif
