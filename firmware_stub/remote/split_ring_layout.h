/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split_ring_layout.h - the split virtqueue (virtio 1.3, 2.7) in shared memory, and the
 * rules that hold on both sides. The host's ring and the remote's are made of this.
 */
#ifndef SPLIT_RING_LAYOUT_H
#define SPLIT_RING_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VRING_DESC_F_NEXT     1
#define VRING_DESC_F_WRITE    2
#define VRING_DESC_F_INDIRECT 4

#define VRING_AVAIL_F_NO_INTERRUPT 1
#define VRING_USED_F_NO_NOTIFY     1

#define SPLIT_RING_NUM_MAX 32768u

/* Where virtio has each part begin (2.7). */
#define SPLIT_RING_DESC_ALIGN  16u
#define SPLIT_RING_AVAIL_ALIGN 2u
#define SPLIT_RING_USED_ALIGN  4u

/* What one side writes while the other reads; C99 has no word for it. */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && !defined(__STDC_NO_ATOMICS__)
typedef _Atomic uint16_t split_ring_shared16;
#else
typedef uint16_t split_ring_shared16;
#endif

struct split_ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct split_ring_avail {
	split_ring_shared16 flags;
	split_ring_shared16 idx;
	uint16_t ring[];
};

struct split_ring_used_elem {
	uint32_t id;
	uint32_t len;
};

struct split_ring_used {
	split_ring_shared16 flags;
	split_ring_shared16 idx;
	struct split_ring_used_elem ring[];
};

/* Bytes of each part for `num` descriptors, the last two with the event field at their
 * end, though it is not used (2.7). */
static inline size_t split_ring_desc_size(unsigned int num)
{
	return sizeof(struct split_ring_desc) * num;
}

static inline size_t split_ring_avail_size(unsigned int num)
{
	return sizeof(struct split_ring_avail) + 2 * (size_t)num + 2;
}

static inline size_t split_ring_used_size(unsigned int num)
{
	return sizeof(struct split_ring_used) + sizeof(struct split_ring_used_elem) * num + 2;
}

static inline bool split_ring_num_valid(unsigned int num)
{
	return num && num <= SPLIT_RING_NUM_MAX && !(num & (num - 1));
}

/* Entries between the index that the other side shows and the one that comes next here:
 * the ring has no room for more than `num`. */
static inline bool split_ring_ahead_valid(uint16_t ahead, unsigned int num)
{
	return ahead <= num;
}

#endif
