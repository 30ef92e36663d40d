/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_remote.h - the remote's side of virtio-rpmsg, for an MCU without an RPMsg stack:
 * the device side of two split rings in shared memory, the rpmsg header, the name service.
 *
 * C99, freestanding, no allocation; nothing waits. All calls come from one context, a main
 * loop or a task. The core is little-endian, as every Linux that it may meet is. The other
 * side is not trusted: whatever stands in its memory, nothing outside of `memory` and of
 * the rings is touched, and rings that make no sense are left alone from then on.
 *
 *     rpmsg_remote_start(&remote);                    the driver is there, rings are known
 *     for (;;) {
 *             if (!announced && rpmsg_remote_ready(&remote))
 *                     announced = rpmsg_remote_announce(&remote, "rpmsg-io-0", 1024, true);
 *             while (rpmsg_remote_receive(&remote, received, context))
 *                     ;
 *             for (i = 0; i < RPMSG_VQ_COUNT; i++)
 *                     if (rpmsg_remote_publish(&remote, i))
 *                             interrupt the other side, through the mailbox, with i
 *             sleep until the mailbox interrupts
 *     }
 *
 * What a SoC wants otherwise is defined in a header of yours, named on the compiler's
 * command line: -DRPMSG_REMOTE_USER_CONFIG='"my_rpmsg_remote.h"'
 */
#ifndef RPMSG_REMOTE_H
#define RPMSG_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg.h"
#include "split_ring_layout.h"

#ifdef RPMSG_REMOTE_USER_CONFIG
#include RPMSG_REMOTE_USER_CONFIG
#endif

/* Orders this core's accesses to memory, loads and stores, before and after, in the eyes of
 * the other side: dmb on Arm, fence on RISC-V. */
#ifndef RPMSG_REMOTE_BARRIER
#define RPMSG_REMOTE_BARRIER() __sync_synchronize()
#endif

/* Where this core caches the shared memory: forget what the cache has of it, before a
 * read; write back what was stored, after a write. Nothing for memory without a cache. */
#ifndef RPMSG_REMOTE_INVALIDATE
#define RPMSG_REMOTE_INVALIDATE(address, size) ((void)(address), (void)(size))
#endif
#ifndef RPMSG_REMOTE_CLEAN
#define RPMSG_REMOTE_CLEAN(address, size) ((void)(address), (void)(size))
#endif

struct rpmsg_remote_ring {
	const struct split_ring_desc *desc;
	const struct split_ring_avail *avail;
	struct split_ring_used *used;
	uint16_t num;        /* the two rings may differ */
	uint16_t last_avail; /* next entry to take; 0 for a driver that begins */
	/* the remote's own */
	uint16_t head;      /* the descriptor that is in hand */
	uint16_t used_idx;  /* of what was given back */
	uint16_t published; /* used_idx that the driver was shown */
};

struct rpmsg_remote {
	struct rpmsg_remote_ring rings[RPMSG_VQ_COUNT];
	uint8_t *memory; /* where this core has the driver's address `low` */
	uint64_t low;    /* descriptors may name `size` bytes from here, */
	size_t size;     /* in addresses as the driver writes them */
	bool broken;     /* the rings made no sense; until the next start */
};

/*
 * Fill in where the parts of a ring are, as Linux lays out a vring of a resource table.
 * `at`: where this core has the vring's device address; `align`: its alignment in bytes, a
 * power of two.
 */
void rpmsg_remote_place(struct rpmsg_remote_ring *ring, void *at, unsigned int num,
			unsigned int align);

/*
 * Begin, or begin again, with rings[].desc, avail, used, num and last_avail, memory, low
 * and size as the caller has set them. False when a ring's size or alignment cannot be.
 */
bool rpmsg_remote_start(struct rpmsg_remote *remote);

/* Whether the driver has given receive buffers: not before can it be told anything. */
bool rpmsg_remote_ready(struct rpmsg_remote *remote);

/*
 * Send a message of `length` bytes. False when the driver has no buffer free: it kicks
 * RPMSG_VQ_RX when there is one. A message that can never be sent, because it is longer
 * than the driver's buffers or the rings are broken, is dropped: true.
 */
bool rpmsg_remote_send(struct rpmsg_remote *remote, uint32_t source, uint32_t destination,
		       const void *message, size_t length);

/* Say that an endpoint came (`create`) or goes. `name`: at most 31 characters. False as
 * rpmsg_remote_send(). */
bool rpmsg_remote_announce(struct rpmsg_remote *remote, const char *name, uint32_t address,
			   bool create);

/*
 * Called with a message in shared memory, which the other side may still change: what is
 * read twice is copied first. False keeps the message: it comes again with the next
 * rpmsg_remote_receive(), and the driver has its buffer back only then.
 */
typedef bool (*rpmsg_remote_received)(void *context, uint32_t source, uint32_t destination,
				      const void *message, size_t length);

/* Whether a message waits. Unlike rpmsg_remote_receive() it does not ask for a kick where
 * none does: for who looks again soon. */
bool rpmsg_remote_pending(const struct rpmsg_remote *remote);

/* Hand over one message. False when there is none, or when it was not taken. */
bool rpmsg_remote_receive(struct rpmsg_remote *remote, rpmsg_remote_received received,
			  void *context);

/*
 * Whether rings that run are not those of the last start any more: the driver has made
 * them anew at the same place, which some transports do not tell. Almost always seen; not
 * while nothing was given back yet, when it makes no difference.
 */
bool rpmsg_remote_forgotten(const struct rpmsg_remote *remote);

/* Show the driver what was done to a virtqueue, RPMSG_VQ_RX or RPMSG_VQ_TX. True when it
 * wants an interrupt. */
bool rpmsg_remote_publish(struct rpmsg_remote *remote, unsigned int queue);

#endif
