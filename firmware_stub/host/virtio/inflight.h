/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.h - which chains a back-end has taken and not returned, in memory that the
 * front-end keeps, so that the next back-end takes them again after a crash.
 *
 * Layout and order of writes are those of docs/interop/vhost-user.rst, "Inflight I/O
 * tracking", for split virtqueues. The content is trusted no more than that of a ring.
 */
#ifndef INFLIGHT_H
#define INFLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "vhost_user.h"

struct inflight_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;    /* in the batch that is returned, behind last_batch_head */
	uint64_t counter; /* the order of taking */
};

struct inflight_queue {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_desc desc[];
};

_Static_assert(sizeof(struct inflight_desc) == 16, "DescStateSplit");
_Static_assert(sizeof(struct inflight_queue) == 16, "QueueRegionSplit");

/* ---- one queue ---------------------------------------------------------------- */

/* A chain was taken; `counter` is one more than for the chain before. */
void inflight_taken(struct inflight_queue *queue, uint16_t head, uint64_t counter);
/* The chain is in the used ring, whose index has not been shown yet. */
void inflight_pushed(struct inflight_queue *queue, uint16_t head);
/* The index of the used ring has been shown, and with it `count` chains. */
void inflight_published(struct inflight_queue *queue, uint16_t num, uint16_t count,
			uint16_t used_idx);
/* A back-end begins on a ring of `num` descriptors whose used index is `used_idx`. Puts the heads
 * of the chains that the back-end before it had not returned into `heads`, in their order (room
 * for `num`), and the counter for the next one into *counter. Returns their number, or -ENOMEM. */
int inflight_recover(struct inflight_queue *queue, uint16_t num, uint16_t used_idx,
		     uint16_t *heads, uint64_t *counter);
/* Nothing is in flight: the driver begins. */
void inflight_clear(struct inflight_queue *queue, uint16_t num);

/* ---- the memory that holds them -------------------------------------------------- */

/* All zero: none. */
struct inflight_log {
	uint8_t *base; /* as mapped */
	size_t length;
	uint8_t *first;   /* queue */
	uint16_t queues, size;
	struct vhost_user_message message; /* SET_INFLIGHT_FD, with its descriptor */
};

/* Answer GET_INFLIGHT_FD in place: make new memory and put its descriptor into the message. 0, or
 * -1 with a sentence in why[]. `queues_max`: the queues of the device. */
int inflight_create(struct vhost_user_message *message, unsigned int queues_max, char *why,
		    size_t why_size);
/* Map the memory of SET_INFLIGHT_FD; the log then owns its descriptor. Results as above. */
int inflight_map(struct inflight_log *log, struct vhost_user_message *message,
		 unsigned int queues_max, char *why, size_t why_size);
void inflight_unmap(struct inflight_log *log);
/* The part of one queue, for a ring of `num` descriptors. NULL: there is none, or *wrong says
 * what is wrong with it. */
struct inflight_queue *inflight_queue(const struct inflight_log *log, unsigned int index,
				      uint16_t num, const char **wrong);

#endif
