/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remote_driver.h - a hostile driver of an MCU's rings: it writes anything into them and into
 * the buffers. Ring parts and memory have their exact sizes, so that a step beyond shows.
 */
#ifndef REMOTE_DRIVER_H
#define REMOTE_DRIVER_H

#include <stdlib.h>

#include "fuzz.h"
#include "remote_rings.h"

#define BASE   0x40000000u
#define MEMORY 2048u

#define MUST(condition) do { if (!(condition)) abort(); } while (0)

struct remote_driver {
	struct split_ring_desc *desc[REMOTE_RINGS_COUNT];
	struct split_ring_avail *avail[REMOTE_RINGS_COUNT];
	struct split_ring_used *used[REMOTE_RINGS_COUNT];
	uint8_t *memory;
};

/* New rings and memory of a driver, whose places go into `remote`. */
static inline void driver_begin(struct remote_driver *driver, struct remote_rings *remote,
				struct input *input)
{
	static const uint16_t sizes[] = {1, 2, 4, 8, 16, 0, 3, 65535};
	uint8_t kinds = take_u8(input);

	driver->memory = calloc(1, MEMORY);
	MUST(driver->memory);
	*remote = (struct remote_rings){.memory = driver->memory, .low = BASE, .size = MEMORY};
	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++) {
		struct remote_ring *ring = &remote->rings[i];

		ring->num = sizes[kinds >> (i * 4) & 7];
		driver->desc[i] = calloc(1, split_ring_desc_size(ring->num % 64));
		driver->avail[i] = calloc(1, split_ring_avail_size(ring->num % 64));
		driver->used[i] = calloc(1, split_ring_used_size(ring->num % 64));
		MUST(driver->avail[i] && driver->used[i]);
		ring->desc = driver->desc[i];
		ring->avail = driver->avail[i];
		ring->used = driver->used[i];
		ring->last_avail = take_u8(input);
	}
}

static inline void driver_end(struct remote_driver *driver)
{
	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++) {
		free(driver->desc[i]);
		free(driver->avail[i]);
		free(driver->used[i]);
	}
	free(driver->memory);
}

/* Anything anywhere. */
static inline void driver_scribble(struct remote_driver *driver, const struct remote_rings *remote,
				   struct input *input)
{
	unsigned int queue = take_u8(input) & 1, num = remote->rings[queue].num;
	struct {
		void *at;
		size_t size;
	} parts[] = {
		{driver->desc[queue], split_ring_desc_size(num)},
		{driver->avail[queue], split_ring_avail_size(num)},
		{driver->used[queue], split_ring_used_size(num)},
		{driver->memory, MEMORY},
	}, *part = &parts[take_u8(input) & 3];
	const uint8_t *bytes;
	size_t length = take_bytes(input, &bytes, part->size);
	size_t room = part->size - length;

	if (length)
		memcpy((uint8_t *)part->at + (room ? take_u16(input) % room : 0), bytes, length);
}

/* The head of a chain, shown to the remote. */
static inline void driver_show(struct remote_driver *driver, const struct remote_rings *remote,
			       unsigned int queue, unsigned int head, unsigned int step)
{
	uint16_t idx = driver->avail[queue]->idx;

	driver->avail[queue]->ring[idx % remote->rings[queue].num] = (uint16_t)head;
	driver->avail[queue]->idx = (uint16_t)(idx + step);
}

#endif
