/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_remote.h - the remote's side of virtio-rpmsg, for an MCU without an RPMsg stack:
 * the rpmsg header and the name service on the rings of remote_rings.h.
 *
 *     remote_rings_start(&remote);                    the driver is there, rings are known
 *     for (;;) {
 *             if (!announced && rpmsg_remote_ready(&remote))
 *                     announced = rpmsg_remote_announce(&remote, "rpmsg-io-0", 1024, true);
 *             while (rpmsg_remote_receive(&remote, received, context))
 *                     ;
 *             for (i = 0; i < RPMSG_VQ_COUNT; i++)
 *                     if (remote_rings_publish(&remote, i))
 *                             interrupt the other side, through the mailbox, with i
 *             sleep until the mailbox interrupts
 *     }
 */
#ifndef RPMSG_REMOTE_H
#define RPMSG_REMOTE_H

#include "remote_rings.h"
#include "rpmsg.h"

/* Whether the driver has given receive buffers: not before can it be told anything. */
bool rpmsg_remote_ready(struct remote_rings *remote);

/*
 * Send a message of `length` bytes. False when the driver has no buffer free: it kicks
 * RPMSG_VQ_RX when there is one. A message that can never be sent, because it is longer
 * than the driver's buffers or the rings are broken, is dropped: true.
 */
bool rpmsg_remote_send(struct remote_rings *remote, uint32_t source, uint32_t destination,
		       const void *message, size_t length);

/* Say that an endpoint came (`create`) or goes. `name`: at most 31 characters. False as
 * rpmsg_remote_send(). */
bool rpmsg_remote_announce(struct remote_rings *remote, const char *name, uint32_t address,
			   bool create);

/*
 * Called with a message in shared memory, which the other side may still change: what is
 * read twice is copied first. False keeps the message: it comes again with the next
 * rpmsg_remote_receive(), and the driver has its buffer back only then.
 */
typedef bool (*rpmsg_remote_received)(void *context, uint32_t source, uint32_t destination,
				      const void *message, size_t length);

/* Whether a message waits. Unlike rpmsg_remote_receive() it does not ask for a kick where
 * none does: it is for a caller that looks again soon. */
bool rpmsg_remote_pending(const struct remote_rings *remote);

/* Hand over one message. False when there is none, or when it was not taken. */
bool rpmsg_remote_receive(struct remote_rings *remote, rpmsg_remote_received received,
			  void *context);

#endif
