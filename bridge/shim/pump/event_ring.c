/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "event_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct gb_line_event) == 48, "struct gpio_v2_line_event");

struct gb_event_ring {
	struct gb_event_ring_head *shared;
	/* Records are copied word by word, so that a copy that races with the producer is no
	 * undefined behaviour; a torn copy is thrown away. */
	_Atomic uint64_t *slots;
	size_t size;
	uint32_t capacity;      /* checked; never read from shared memory again */
	uint32_t words;         /* of a record */
	uint64_t head;          /* producer: the only trusted copy */
	uint64_t lost;          /* producer: records that nobody will read */
	_Atomic uint32_t owed;  /* consumer: bytes to take from the doorbell */
};

static size_t ring_size(uint32_t capacity, uint32_t record_size)
{
	return sizeof(struct gb_event_ring_head) + (size_t)capacity * record_size;
}

static _Atomic uint64_t *slot(const struct gb_event_ring *ring, uint64_t index)
{
	return ring->slots + (index & (ring->capacity - 1)) * ring->words;
}

static struct gb_event_ring *ring_view(int memfd, size_t size, uint32_t record_size)
{
	struct gb_event_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->size = size;
	ring->words = record_size / sizeof(uint64_t);
	ring->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (ring->shared == MAP_FAILED) {
		free(ring);
		return NULL;
	}
	ring->slots = (_Atomic uint64_t *)(void *)(ring->shared + 1);
	return ring;
}

static struct gb_event_ring *ring_create(uint32_t capacity, uint32_t record_size, int *memfd)
{
	size_t size = ring_size(capacity, record_size);
	struct gb_event_ring *ring;
	int fd = memfd_create("gpio-events", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	ring = ring_view(fd, size, record_size);
	if (!ring)
		goto fail;
	ring->capacity = capacity;
	ring->shared->magic = GB_EVENT_RING_MAGIC;
	ring->shared->capacity = capacity;
	ring->shared->record_size = record_size;
	*memfd = fd;
	return ring;
fail:
	close(fd);
	return NULL;
}

struct gb_event_ring *gb_event_ring_create(uint32_t capacity, int *memfd)
{
	if (capacity < 2 || capacity > GB_EVENT_CAPACITY_MAX || (capacity & (capacity - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return ring_create(capacity, sizeof(struct gb_line_event), memfd);
}

struct gb_event_ring *gb_info_ring_create(int *memfd)
{
	return ring_create(GB_INFO_CAPACITY, GB_INFO_RECORD_SIZE, memfd);
}

struct gb_event_ring *gb_trace_ring_create(int *memfd)
{
	return ring_create(GB_TRACE_CAPACITY, GB_TRACE_SLOT_SIZE, memfd);
}

static struct gb_event_ring *ring_map(int memfd, uint32_t record_size, uint32_t most)
{
	struct gb_event_ring *ring;
	struct stat status;
	int seals = fcntl(memfd, F_GET_SEALS);

	if (seals < 0 || fstat(memfd, &status) < 0)
		return NULL;
	if (!(seals & F_SEAL_SHRINK) || status.st_size < (off_t)ring_size(2, record_size)) {
		errno = EPROTO;
		return NULL;
	}
	ring = ring_view(memfd, (size_t)status.st_size, record_size);
	if (!ring)
		return NULL;
	ring->capacity = ring->shared->capacity;
	if (ring->shared->magic != GB_EVENT_RING_MAGIC ||
	    ring->shared->record_size != record_size || ring->capacity < 2 ||
	    ring->capacity > most || (ring->capacity & (ring->capacity - 1)) ||
	    ring_size(ring->capacity, record_size) > ring->size) {
		gb_event_ring_free(ring);
		errno = EPROTO;
		return NULL;
	}
	return ring;
}

struct gb_event_ring *gb_event_ring_map(int memfd)
{
	return ring_map(memfd, sizeof(struct gb_line_event), GB_EVENT_CAPACITY_MAX);
}

struct gb_event_ring *gb_info_ring_map(int memfd)
{
	return ring_map(memfd, GB_INFO_RECORD_SIZE, GB_EVENT_CAPACITY_MAX);
}

struct gb_event_ring *gb_trace_ring_map(int memfd)
{
	return ring_map(memfd, GB_TRACE_SLOT_SIZE, GB_TRACE_CAPACITY);
}

void gb_event_ring_free(struct gb_event_ring *ring)
{
	if (!ring)
		return;
	munmap(ring->shared, ring->size);
	free(ring);
}

uint32_t gb_event_ring_capacity(const struct gb_event_ring *ring)
{
	return ring->capacity;
}

/* ---- producer ----------------------------------------------------------- */

static void store_record(struct gb_event_ring *ring, uint64_t index, const void *record)
{
	_Atomic uint64_t *words = slot(ring, index);

	for (uint32_t i = 0; i < ring->words; i++) {
		uint64_t word;

		memcpy(&word, (const char *)record + i * sizeof(word), sizeof(word));
		atomic_store_explicit(&words[i], word, memory_order_relaxed);
	}
}

/* True when the doorbell must be rung. */
static bool publish(struct gb_event_ring *ring, uint32_t count)
{
	struct gb_event_ring_head *shared = ring->shared;

	ring->head += count;
	atomic_store_explicit(&shared->head, ring->head, memory_order_release);
	/* Publish before looking at `rung`: pairs with the fence in silence(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&shared->rung, memory_order_relaxed))
		return false;
	return atomic_exchange(&shared->rung, 1) == 0;
}

bool gb_event_ring_push(struct gb_event_ring *ring, const struct gb_line_event *event)
{
	struct gb_event_ring_head *shared = ring->shared;
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);

	/* The ring is full: the oldest record goes. If the swap fails, a consumer has just made
	 * room; if the client wrote nonsense, only its own events suffer. */
	if (ring->head - tail >= ring->capacity &&
	    atomic_compare_exchange_strong(&shared->tail, &tail,
					   ring->head - ring->capacity + 1))
		ring->lost++;
	/* This must not come before the tail moved: it pairs with the fence in copy_out(). */
	atomic_thread_fence(memory_order_release);
	store_record(ring, ring->head, event);
	return publish(ring, 1);
}

bool gb_info_ring_push(struct gb_event_ring *ring, const void *record)
{
	if (ring->head - atomic_load_explicit(&ring->shared->tail, memory_order_acquire) >=
	    ring->capacity)
		return false;
	store_record(ring, ring->head, record);
	return publish(ring, 1);
}

bool gb_trace_ring_push(struct gb_event_ring *ring, const void *record, uint32_t slots)
{
	struct gb_event_ring_head *shared = ring->shared;

	if (ring->head + slots - atomic_load_explicit(&shared->tail, memory_order_acquire) >
	    ring->capacity) {
		atomic_store_explicit(&shared->lost, ++ring->lost, memory_order_relaxed);
		return false;
	}
	for (uint32_t i = 0; i < slots; i++)
		store_record(ring, ring->head + i, (const char *)record + i * GB_TRACE_SLOT_SIZE);
	return publish(ring, slots);
}

uint32_t gb_event_ring_waiting(const struct gb_event_ring *ring)
{
	uint64_t waiting = ring->head -
			   atomic_load_explicit(&ring->shared->tail, memory_order_relaxed);

	return waiting < ring->capacity ? (uint32_t)waiting : ring->capacity;
}

uint64_t gb_event_ring_overwritten(const struct gb_event_ring *ring)
{
	return ring->lost;
}

void gb_event_ring_retire(struct gb_event_ring *ring)
{
	atomic_store(&ring->shared->retired, 1);
}

/* ---- consumer ----------------------------------------------------------- */

static bool empty(const struct gb_event_ring *ring)
{
	return atomic_load_explicit(&ring->shared->head, memory_order_acquire) ==
	       atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
}

static void load_record(const struct gb_event_ring *ring, uint64_t index, char *record)
{
	const _Atomic uint64_t *words = slot(ring, index);

	for (uint32_t i = 0; i < ring->words; i++) {
		uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);

		memcpy(record + i * sizeof(word), &word, sizeof(word));
	}
}

static size_t copy_out(struct gb_event_ring *ring, char *records, size_t count)
{
	struct gb_event_ring_head *shared = ring->shared;
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);

	for (;;) {
		uint64_t waiting = atomic_load_explicit(&shared->head, memory_order_acquire) - tail;

		if (waiting > ring->capacity)
			waiting = ring->capacity; /* overtaken: the swap below fails */
		if (waiting < count)
			count = (size_t)waiting;
		if (count == 0)
			return 0;
		for (size_t n = 0; n < count; n++)
			load_record(ring, tail + n, records + n * ring->words * sizeof(uint64_t));
		atomic_thread_fence(memory_order_acquire);
		/* Nobody moved the tail, so the copy is whole and ours. */
		if (atomic_compare_exchange_strong(&shared->tail, &tail, tail + count))
			return count;
	}
}

static void take_bytes(struct gb_event_ring *ring, int doorbell, uint32_t wanted)
{
	char bytes[16];
	ssize_t got;

	if (wanted > sizeof(bytes))
		wanted = sizeof(bytes);
	got = recv(doorbell, bytes, wanted, MSG_DONTWAIT);
	if (got < (ssize_t)wanted)
		atomic_fetch_add(&ring->owed, wanted - (uint32_t)(got > 0 ? got : 0));
}

/* The ring looked empty: take the bell's byte, unless a record came in. */
static void silence(struct gb_event_ring *ring, int doorbell)
{
	struct gb_event_ring_head *shared = ring->shared;
	uint32_t bytes = atomic_exchange(&ring->owed, 0);

	if (atomic_exchange(&shared->rung, 0)) {
		bytes++;
		atomic_thread_fence(memory_order_seq_cst);
		if (!empty(ring) && atomic_exchange(&shared->rung, 1) == 0)
			bytes--; /* the byte stays, for the record that came in */
	}
	if (bytes)
		take_bytes(ring, doorbell, bytes);
}

static int take(struct gb_event_ring *ring, int doorbell, void *records, size_t count)
{
	size_t taken = 0;

	if (atomic_load_explicit(&ring->shared->retired, memory_order_relaxed))
		return -ENODEV;
	if (count > GB_EVENT_READ_MAX)
		count = GB_EVENT_READ_MAX;
	taken = copy_out(ring, records, count);
	if (empty(ring))
		silence(ring, doorbell);
	return (int)taken;
}

int gb_event_ring_take(struct gb_event_ring *ring, int doorbell,
		       struct gb_line_event *events, size_t count)
{
	return take(ring, doorbell, events, count);
}

/* Wait for the bell as read(2) would: the descriptor's O_NONBLOCK decides. */
static int wait_for_bell(int doorbell)
{
	char byte;
	ssize_t got = recv(doorbell, &byte, 1, MSG_PEEK);

	if (got > 0)
		return 0;
	if (got == 0 || errno == ECONNRESET)
		return -ENODEV;
	return -errno;
}

static int read_records(struct gb_event_ring *ring, int doorbell, void *records, size_t count)
{
	for (;;) {
		int taken = take(ring, doorbell, records, count);
		int error;

		if (taken != 0 || count == 0)
			return taken;
		error = wait_for_bell(doorbell);
		if (error)
			return error;
	}
}

int gb_event_ring_read(struct gb_event_ring *ring, int doorbell,
		       struct gb_line_event *events, size_t count)
{
	return read_records(ring, doorbell, events, count);
}

int gb_info_ring_read(struct gb_event_ring *ring, int doorbell, void *record)
{
	return read_records(ring, doorbell, record, 1);
}

int gb_trace_ring_take(struct gb_event_ring *ring, int doorbell, void *slots, size_t count)
{
	return take(ring, doorbell, slots, count);
}

uint64_t gb_trace_ring_lost(const struct gb_event_ring *ring)
{
	return atomic_load_explicit(&ring->shared->lost, memory_order_relaxed);
}
