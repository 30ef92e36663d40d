/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remote_rings.h - the device side of a virtio device's two split rings in shared memory,
 * for an MCU: what rpmsg_remote.h and virtio_gpio_remote.h have in common.
 *
 * C99, freestanding, no allocation; nothing waits. All calls come from one context, a main
 * loop or a task. The core is little-endian, as every Linux that it may meet is. The other
 * side is not trusted: whatever stands in its memory, nothing outside of `memory` and of
 * the rings is touched, and rings that make no sense are left alone from then on.
 *
 * What a SoC wants otherwise is defined in a header of yours, named on the compiler's
 * command line: -DREMOTE_RINGS_USER_CONFIG='"my_remote_rings.h"'
 */
#ifndef REMOTE_RINGS_H
#define REMOTE_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "split_ring_layout.h"

#ifdef REMOTE_RINGS_USER_CONFIG
#include REMOTE_RINGS_USER_CONFIG
#endif

/* Orders this core's accesses to memory, loads and stores, before and after, in the eyes of
 * the other side: dmb on Arm, fence on RISC-V. */
#ifndef REMOTE_RINGS_BARRIER
#define REMOTE_RINGS_BARRIER() __sync_synchronize()
#endif

/* Where this core caches the shared memory: forget what the cache has of it, before a
 * read; write back what was stored, after a write. Nothing for memory without a cache. */
#ifndef REMOTE_RINGS_INVALIDATE
#define REMOTE_RINGS_INVALIDATE(address, size) ((void)(address), (void)(size))
#endif
#ifndef REMOTE_RINGS_CLEAN
#define REMOTE_RINGS_CLEAN(address, size) ((void)(address), (void)(size))
#endif

#define REMOTE_RINGS_COUNT 2

struct remote_ring {
	const struct split_ring_desc *desc;
	const struct split_ring_avail *avail;
	struct split_ring_used *used;
	uint16_t num;        /* the two rings may differ */
	uint16_t last_avail; /* next entry to take; 0 for a driver that begins */
	/* the remote's own */
	uint16_t head;      /* the descriptor of that entry */
	uint16_t used_idx;  /* of what was given back */
	uint16_t published; /* used_idx that the driver was shown */
};

struct remote_rings {
	struct remote_ring rings[REMOTE_RINGS_COUNT];
	uint8_t *memory; /* where this core has the driver's address `low` */
	uint64_t low;    /* descriptors may name `size` bytes from here, */
	size_t size;     /* in addresses as the driver writes them */
	bool broken;     /* the rings made no sense; until the next start */
};

/* ---- for the firmware --------------------------------------------------------------- */

/*
 * Fill in where the parts of a ring are, as Linux lays out a vring of a resource table.
 * `at`: where this core has the vring's device address; `align`: its alignment in bytes, a
 * power of two.
 */
void remote_rings_place(struct remote_ring *ring, void *at, unsigned int num,
			unsigned int align);

/*
 * Begin, or begin again, with rings[].desc, avail, used, num and last_avail, memory, low
 * and size as the caller has set them. False when a ring's size or alignment cannot be.
 */
bool remote_rings_start(struct remote_rings *remote);

/*
 * Whether rings that run are not those of the last start any more: the driver has made
 * them anew at the same place, which some transports do not tell. Almost always seen; not
 * while nothing was given back yet, when it makes no difference.
 */
bool remote_rings_forgotten(const struct remote_rings *remote);

/* Show the driver what was done to a virtqueue. True when it wants an interrupt. */
bool remote_rings_publish(struct remote_rings *remote, unsigned int queue);

/* Whether an entry of a virtqueue waits. Unlike remote_rings_next() it does not ask for a
 * kick where none does. */
bool remote_rings_waiting(const struct remote_rings *remote, unsigned int queue);

/* ---- for what is built on the rings ---------------------------------------------------- */

/* The entry that comes next, whose descriptor is then `head` of the ring: false when there
 * is none. Kicks are wanted only while there is none. */
bool remote_rings_next(struct remote_rings *remote, unsigned int queue);

/*
 * One descriptor, inside of the memory: its bytes, its size, and its `flags` of
 * VRING_DESC_F_NEXT and VRING_DESC_F_WRITE, which are what is wanted. `next`: may be NULL.
 * Where there is another the rings are broken, and the result NULL.
 */
uint8_t *remote_rings_buffer(struct remote_rings *remote, unsigned int queue, uint16_t id,
			     unsigned int flags, uint32_t *size, uint16_t *next);

/* The next entry is taken. Its descriptor may be given back later. */
static inline void remote_ring_take(struct remote_ring *ring)
{
	ring->last_avail++;
}

/* Give back the buffers of a descriptor, of which `length` bytes were written. */
void remote_ring_give_back(struct remote_ring *ring, uint16_t head, uint32_t length);

#endif
