/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * controller.h - one virtio-gpio device, as its parts see it. Used with the pump's lock
 * held.
 *
 *   controller.c  calls: their queue, framing and deadlines
 *   receive.c     what comes back
 *   resync.c      finding the place in the stream of replies again
 */
#ifndef GB_CONTROLLER_H
#define GB_CONTROLLER_H

#include "internal.h"

static inline bool tagged(const struct gb_controller *c)
{
	return c->features & RPMSG_GPIO_F_TAG;
}

/* ---- controller.c --------------------------------------------------------- */

/* The call in flight with this tag, or NULL. */
struct gb_call *gb_call_with_tag(const struct gb_controller *c, uint16_t tag);
/* It is in flight no more. */
void gb_call_land(struct gb_controller *c, struct gb_call *call);
/* Its outcome; the call is gone then. */
void gb_call_complete(struct gb_call *call, const struct gb_outcome *outcome);
void gb_call_fail(struct gb_call *call, int error, uint32_t reason);

/* The session is gone: every call ends now. */
void gb_controller_abandon(struct gb_controller *c);

/* ---- resync.c ------------------------------------------------------------- */

void gb_step_lose(struct gb_controller *c);
void gb_step_found(struct gb_controller *c);
/* Send the next probe; it stays due when there is no buffer. */
void gb_step_probe(struct gb_controller *c);
/* A reply came while probing. */
void gb_step_replied(struct gb_controller *c, uint8_t status);
/* From now on a deadline may pass without a reply. */
void gb_step_wait(struct gb_controller *c);
/* It passed (of gb_controller.step_timer). */
void gb_step_expired(struct gb_timer *timer);

#endif
