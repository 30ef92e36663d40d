/* SPDX-License-Identifier: BSD-3-Clause */
/* by_mailbox.c - rings that a back-end names through the mailbox. */
#include "attachment.h"
#include "machine.h"
#include "mailbox.h"

/* Written by the interrupt until `started`, then read by the main loop. */
static union {
	struct mailbox_start start;
	uint8_t bytes[sizeof(struct mailbox_start)];
} body;
static unsigned int missing; /* bytes of the body */
static volatile bool started, stopped;

/* A kick says nothing but: look. So none needs to be kept, and nothing overflows. */
void mailbox_byte(uint8_t byte)
{
	if (missing) {
		body.bytes[sizeof(body) - missing] = byte;
		if (--missing)
			return;
		started = true;
	} else if (byte == MAILBOX_START) {
		started = false;
		missing = sizeof(body);
		return;
	} else if (byte == MAILBOX_STOP) {
		stopped = true;
	}
	wake_main();
}

void attachment_init(uint32_t seed)
{
	(void)seed; /* START has one */
	machine_mailbox(MAILBOX_READY);
}

void attachment_broken(void)
{
	machine_mailbox(MAILBOX_BROKEN);
}

static void place(struct remote_rings *remote, unsigned int queue)
{
	struct remote_ring *ring = &remote->rings[queue];

	ring->desc = (const struct split_ring_desc *)(uintptr_t)body.start.rings[queue].desc;
	ring->avail = (const struct split_ring_avail *)(uintptr_t)body.start.rings[queue].avail;
	ring->used = (struct split_ring_used *)(uintptr_t)body.start.rings[queue].used;
	ring->num = body.start.rings[queue].num;
	ring->last_avail = body.start.rings[queue].base;
}

static bool take_start(struct remote_rings *remote, uint32_t *epoch)
{
	if (body.start.check != mailbox_check(&body.start))
		return false;
	remote->memory = (uint8_t *)(uintptr_t)body.start.memory;
	remote->low = body.start.low;
	remote->size = (size_t)body.start.size;
	place(remote, 0);
	place(remote, 1);
	*epoch = body.start.epoch;
	return remote_rings_start(remote);
}

enum attachment attachment_poll(struct remote_rings *remote, uint32_t *epoch)
{
	if (stopped) {
		stopped = false;
		machine_mailbox(MAILBOX_STOPPED);
		return ATTACHMENT_GONE;
	}
	if (!started)
		return ATTACHMENT_AS_BEFORE;
	started = false;
	if (take_start(remote, epoch))
		return ATTACHMENT_NEW;
	attachment_broken();
	return ATTACHMENT_GONE;
}
