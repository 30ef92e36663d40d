/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.h - events as records, as its parts see them. Used with the pump's lock held.
 *
 *   stream.c        credits, and the life of a stream
 *   event_record.c  the records themselves
 *   clock_sync.c    the device's clock
 */
#ifndef GB_STREAM_H
#define GB_STREAM_H

#include "controller_internal.h"

#define MS UINT64_C(1000000)

static inline bool has_credits(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_CREDITS;
}

static inline bool has_time(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_TIMESTAMP;
}

static inline struct gb_stream *stream_at(const struct gb_controller *c, uint16_t gpio)
{
	return gpio < c->streams.count ? &c->streams.lines[gpio] : NULL;
}

/* Whether the call, answered OK, ends the line's stream. */
static inline bool ends_interrupt(const struct gb_call *call)
{
	return (call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE &&
		call->value == VIRTIO_GPIO_IRQ_TYPE_NONE) ||
	       (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
		call->value == VIRTIO_GPIO_DIRECTION_NONE);
}

/* ---- stream.c ------------------------------------------------------------- */

/* Whether edges of the line come by credits. */
bool gb_stream_flows(const struct gb_controller *c, const struct gb_stream *s);
/* Grant more credits when half of them are used, as many as the owner can take. */
void gb_stream_replenish(struct gb_controller *c, uint16_t gpio, uint64_t now_ns);
/* A message of records has been handled. */
void gb_stream_used(struct gb_controller *c, uint64_t now_ns);

/* ---- clock_sync.c --------------------------------------------------------- */

/* Learn the clock anew. */
void gb_clock_sync_begin(struct gb_controller *c);
/* Edges come: keep the estimate of the clock fresh. Nothing is asked while none come. */
void gb_clock_sync_freshen(struct gb_controller *c, uint64_t now_ns);
/* The host's time of a record; that of its arrival when there is no better. The bound of a mapped
 * time raises *largest_ns. */
uint64_t gb_clock_sync_time(struct gb_controller *c, struct gb_stream *s, uint64_t device_ns,
			    uint64_t now_ns, uint64_t *largest_ns);

#endif
