/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split_ring.h - the split virtqueue (virtio 1.3, 2.7), driver and device side.
 *
 * Little-endian always: every user negotiates VIRTIO_F_VERSION_1. Suppression
 * of notifications is by flags; VIRTIO_F_EVENT_IDX is neither offered nor
 * accepted. Indirect descriptors are for the device side, where they were
 * negotiated. The other side of the ring is not trusted.
 *
 * Where a function can fail with -EPROTO, ring.error holds a sentence without
 * full stop; the ring must not be used any more.
 */
#ifndef SPLIT_RING_H
#define SPLIT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "split_ring_layout.h"

_Static_assert(sizeof(split_ring_shared16) == 2, "atomics share the ring's layout");
_Static_assert(ATOMIC_SHORT_LOCK_FREE == 2, "a lock cannot be shared with the peer");
_Static_assert(sizeof(struct split_ring_desc) == 16, "virtio 2.7.5");
_Static_assert(sizeof(struct split_ring_used) == 4, "virtio 2.7.8");

struct split_ring {
	struct split_ring_desc *desc;
	struct split_ring_avail *avail;
	struct split_ring_used *used;
	uint16_t num; /* power of two */
	char error[128];
};

/* ---- driver side: buffers of one descriptor ----------------------------- */

enum split_driver_state {
	SPLIT_DRIVER_FREE,
	SPLIT_DRIVER_TAKEN,  /* the caller's */
	SPLIT_DRIVER_POSTED, /* the device's */
};

/* Kept outside the shared memory, to check what the device says. */
struct split_driver_slot {
	uint32_t length;
	uint16_t next_free;
	uint8_t state;
	bool device_writes;
};

struct split_driver {
	struct split_ring ring;
	struct split_driver_slot *slots; /* one a descriptor */
	uint16_t free_head;
	uint16_t avail_idx; /* of what was added */
	uint16_t published; /* avail_idx the device was shown */
	uint16_t last_used;
};

/* Bytes for a whole ring made by split_driver_init(). */
size_t split_driver_size(unsigned int num);

/*
 * Make an empty ring in `memory` (split_driver_size() bytes, aligned to 64),
 * with `num` slots of private memory. 0 or -EINVAL.
 */
int split_driver_init(struct split_driver *driver, void *memory,
		      unsigned int num, struct split_driver_slot *slots);

/* Take a free descriptor: returns its number, or -EAGAIN. The number can name the buffer too,
 * which spares a table. */
int split_driver_take(struct split_driver *driver);
bool split_driver_has_free(const struct split_driver *driver);
/* Give a taken descriptor back unused. */
void split_driver_release(struct split_driver *driver, uint16_t id);

/* Add a buffer under a taken descriptor; the device sees it at publish. */
void split_driver_add(struct split_driver *driver, uint16_t id, uint64_t addr,
		      uint32_t length, bool device_writes);

/* Show the device what was added. True when it wants to be notified. */
bool split_driver_publish(struct split_driver *driver);

/*
 * Take one used buffer: 1 with its number (now taken, see above) and the bytes
 * written into it, 0 when there is none, -EPROTO when the device lies.
 */
int split_driver_pop(struct split_driver *driver, uint16_t *id,
		     uint32_t *length);

/* Ask for notifications of used buffers. True when some are there already. */
bool split_driver_enable_used(struct split_driver *driver);
void split_driver_disable_used(struct split_driver *driver);

/* ---- device side -------------------------------------------------------- */

/* Host address of `length` bytes of guest memory, NULL when they are not
 * inside one region. */
typedef void *(*split_translate_fn)(const void *memory, uint64_t addr,
				    uint64_t length);

struct inflight_queue;

struct split_device {
	struct split_ring ring;
	struct inflight_queue *log; /* NULL: none; see split_device_recover() */
	uint64_t taken;             /* chains, for the log */
	const uint16_t *again;      /* heads that are taken first */
	uint16_t again_left;
	bool indirect; /* VIRTIO_F_INDIRECT_DESC was negotiated; set after init */
	split_translate_fn translate;
	const void *memory;
	uint16_t last_avail; /* next entry to take */
	uint16_t used_idx;   /* of what was pushed */
	uint16_t published;  /* used_idx the driver was shown */
};

/* A chain may not carry more, whatever its descriptors say. */
#define SPLIT_CHAIN_BYTES_MAX (64u << 20)
/* A chain may not have more descriptors either, those of no bytes included: each costs time. */
#define SPLIT_CHAIN_DESCS_MAX 64u

/* One buffer of the driver. The caller provides the array; the readable parts
 * stand in front of the writable ones. */
struct split_chain {
	struct iovec *iov;
	unsigned int iov_max;
	unsigned int readable;
	unsigned int writable;
	size_t readable_bytes;
	size_t writable_bytes;
	uint16_t head;
};

/*
 * Start on a ring of the driver, taking the entry with index `base` next.
 * `parts` gives the three addresses and num. 0, or -EINVAL and ring.error.
 */
int split_device_init(struct split_device *device,
		      const struct split_ring *parts, uint16_t base,
		      split_translate_fn translate, const void *memory);

/*
 * Keep a log of what is taken and not returned (inflight.h) from here on, and go on from
 * what it says: those chains are taken again, before others, and the entry to take next
 * follows from it. `heads`: room for num, the device's as long as it is used. 0, or
 * -EINVAL or -ENOMEM and ring.error. No chain can be put back then.
 */
int split_device_recover(struct split_device *device, struct inflight_queue *log,
			 uint16_t *heads);

/* True while no chain has been returned in the ring, though its indexes may have gone round to 0:
 * the driver has just zeroed it. */
bool split_device_untouched(const struct split_device *device);

bool split_device_pending(const struct split_device *device);

/* Take one chain: 1, 0 when there is none, -EPROTO when the driver lies.
 * Every chain taken must be pushed, or put back. */
int split_device_pop(struct split_device *device, struct split_chain *chain);
/* Put the chain taken last back; the next pop takes it again. */
void split_device_put_back(struct split_device *device);

/* Return a chain with `written` bytes in its writable parts. */
void split_device_push(struct split_device *device, uint16_t head,
		       uint32_t written);
/* Show the driver what was pushed. True when it wants to be notified. */
bool split_device_publish(struct split_device *device);

/* Ask for kicks. True when chains are there already. */
bool split_device_enable_kicks(struct split_device *device);
void split_device_disable_kicks(struct split_device *device);

/* Copy from the readable, to the writable parts; returns the bytes copied,
 * less than `size` where the chain ends. */
size_t split_chain_read(const struct split_chain *chain, size_t offset,
			void *to, size_t size);
size_t split_chain_write(const struct split_chain *chain, size_t offset,
			 const void *from, size_t size);

#endif
