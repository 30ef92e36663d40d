/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MCU's rpmsg remote: a driver that writes anything into rings and buffers at any time,
 * its turns between any two of the firmware's. Ring parts and memory have their exact
 * sizes, so that a step beyond shows; what the firmware is handed lies in the memory.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "rpmsg_remote.h"

#define BASE   0x40000000u
#define MEMORY 2048u

#define MUST(condition) do { if (!(condition)) abort(); } while (0)

static const uint16_t sizes[] = {1, 2, 4, 8, 16, 0, 3, 65535};

static struct {
	struct remote_rings remote;
	struct split_ring_desc *desc[RPMSG_VQ_COUNT];
	struct split_ring_avail *avail[RPMSG_VQ_COUNT];
	struct split_ring_used *used[RPMSG_VQ_COUNT];
	uint8_t *memory;
	bool refuses, echoes;
} bed;

static bool received(void *context, uint32_t source, uint32_t destination, const void *message,
		     size_t length)
{
	const uint8_t *bytes = message;
	static uint8_t copy[MEMORY];

	(void)context;
	MUST(bytes >= bed.memory + RPMSG_HEADER_SIZE);
	MUST(length <= (size_t)(bed.memory + MEMORY - bytes));
	if (bed.refuses)
		return false;
	memcpy(copy, message, length);
	return !bed.echoes || rpmsg_remote_send(&bed.remote, destination, source, copy, length);
}

static bool start(struct input *input)
{
	uint8_t kinds = take_u8(input);

	bed.memory = malloc(MEMORY);
	MUST(bed.memory);
	memset(bed.memory, 0, MEMORY);
	bed.remote = (struct remote_rings){.memory = bed.memory, .low = BASE, .size = MEMORY};
	for (unsigned int i = 0; i < RPMSG_VQ_COUNT; i++) {
		struct remote_ring *ring = &bed.remote.rings[i];

		ring->num = sizes[kinds >> (i * 4) & 7];
		bed.desc[i] = calloc(1, split_ring_desc_size(ring->num % 64));
		bed.avail[i] = calloc(1, split_ring_avail_size(ring->num % 64));
		bed.used[i] = calloc(1, split_ring_used_size(ring->num % 64));
		MUST(bed.avail[i] && bed.used[i]);
		ring->desc = bed.desc[i];
		ring->avail = bed.avail[i];
		ring->used = bed.used[i];
		ring->last_avail = take_u8(input);
	}
	return remote_rings_start(&bed.remote);
}

/* An entry that is nearly right, shown or not. */
static void put(struct input *input, unsigned int queue)
{
	unsigned int num = bed.remote.rings[queue].num, id = take_u8(input) % (num + 1u);
	uint8_t kind = take_u8(input);
	uint32_t offset = take_u16(input) % (MEMORY + 64u), length = take_u16(input) % 600u;
	uint16_t idx = bed.avail[queue]->idx;

	if (id < num)
		bed.desc[queue][id] = (struct split_ring_desc){
			BASE + offset, length,
			(uint16_t)(kind & 1 ? take_u8(input) : queue == RPMSG_VQ_RX ? 2 : 0), 0};
	if (queue == RPMSG_VQ_TX && offset + RPMSG_HEADER_SIZE <= MEMORY) {
		struct rpmsg_header header = rpmsg_header_make(
			1500, 1024, (uint16_t)(kind & 2 ? take_u16(input) : length - RPMSG_HEADER_SIZE));

		memcpy(bed.memory + offset, &header, sizeof(header));
	}
	bed.avail[queue]->ring[idx % num] = (uint16_t)id;
	bed.avail[queue]->idx = (uint16_t)(idx + (kind & 4 ? take_u8(input) : 1));
}

static void scribble(struct input *input)
{
	unsigned int queue = take_u8(input) & 1, num = bed.remote.rings[queue].num;
	struct {
		void *at;
		size_t size;
	} parts[] = {
		{bed.desc[queue], split_ring_desc_size(num)},
		{bed.avail[queue], split_ring_avail_size(num)},
		{bed.used[queue], split_ring_used_size(num)},
		{bed.memory, MEMORY},
	}, *part = &parts[take_u8(input) & 3];
	const uint8_t *bytes;
	size_t length = take_bytes(input, &bytes, part->size);
	size_t room = part->size - length;

	if (length)
		memcpy((uint8_t *)part->at + (room ? take_u16(input) % room : 0), bytes, length);
}

static void step(struct input *input)
{
	uint8_t kind = take_u8(input);
	unsigned int budget = 100, used, queue = kind >> 4 & 1;
	static const uint8_t message[600];

	switch (kind & 0xf) {
	case 0:
	case 1:
		put(input, RPMSG_VQ_RX);
		break;
	case 2:
	case 3:
	case 4:
		put(input, RPMSG_VQ_TX);
		break;
	case 5:
		scribble(input);
		break;
	case 6:
		bed.refuses = kind & 0x10;
		bed.echoes = kind & 0x20;
		break;
	case 7:
		(void)rpmsg_remote_send(&bed.remote, 1024, 1500, message,
					take_u16(input) % sizeof(message));
		break;
	case 8:
		(void)rpmsg_remote_announce(&bed.remote, "rpmsg-io-0", 1024, kind & 0x10);
		break;
	case 9:
		(void)rpmsg_remote_ready(&bed.remote);
		(void)rpmsg_remote_pending(&bed.remote);
		(void)remote_rings_forgotten(&bed.remote);
		break;
	case 10:
	case 11:
		used = bed.remote.rings[queue].used_idx;
		(void)remote_rings_publish(&bed.remote, queue);
		MUST(bed.used[queue]->idx == used || bed.remote.rings[queue].published == used);
		break;
	case 12:
		MUST(remote_rings_start(&bed.remote));
		break;
	default:
		/* No ring has more than it has entries, so this ends. */
		while (rpmsg_remote_receive(&bed.remote, received, NULL))
			MUST(--budget);
		break;
	}
	MUST(!bed.remote.broken || rpmsg_remote_send(&bed.remote, 1, 2, "x", 1));
	MUST(!bed.remote.broken || !rpmsg_remote_receive(&bed.remote, received, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};

	if (start(&input))
		while (!take_end(&input))
			step(&input);
	for (unsigned int i = 0; i < RPMSG_VQ_COUNT; i++) {
		free(bed.desc[i]);
		free(bed.avail[i]);
		free(bed.used[i]);
	}
	free(bed.memory);
	return 0;
}
