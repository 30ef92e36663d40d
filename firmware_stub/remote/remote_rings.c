/* SPDX-License-Identifier: BSD-3-Clause */
/* remote_rings.c - the device side of two split rings: see remote_rings.h. */
#include "remote_rings.h"

/* The driver can change shared memory at any time: each value is read once. */
#define READ16(x)     (*(const volatile uint16_t *)&(x))
#define READ32(x)     (*(const volatile uint32_t *)&(x))
#define READ64(x)     (*(const volatile uint64_t *)&(x))
#define WRITE16(x, v) (*(volatile uint16_t *)&(x) = (uint16_t)(v))
#define WRITE32(x, v) (*(volatile uint32_t *)&(x) = (uint32_t)(v))

#define FLAGS (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

void remote_rings_place(struct remote_ring *ring, void *at, unsigned int num,
			unsigned int align)
{
	uintptr_t avail = (uintptr_t)at + split_ring_desc_size(num);
	uintptr_t used = (avail + split_ring_avail_size(num) + align - 1) & ~(uintptr_t)(align - 1);

	ring->desc = at;
	ring->avail = (const struct split_ring_avail *)avail;
	ring->used = (struct split_ring_used *)used;
	ring->num = (uint16_t)num;
}

/* Entries that wait; what they cover is read after the index. */
static uint16_t ahead(const struct remote_ring *ring)
{
	uint16_t idx;

	REMOTE_RINGS_INVALIDATE(ring->avail, sizeof(*ring->avail));
	idx = READ16(ring->avail->idx);
	REMOTE_RINGS_BARRIER();
	return (uint16_t)(idx - ring->last_avail);
}

static void set_flags(struct remote_ring *ring, uint16_t flags)
{
	WRITE16(ring->used->flags, flags);
	REMOTE_RINGS_CLEAN(ring->used, sizeof(*ring->used));
}

/* Entries that wait, having asked to be told of more. Either the driver sees the flag, or
 * this its index. */
static uint16_t ask_for_kicks(struct remote_ring *ring)
{
	set_flags(ring, 0);
	REMOTE_RINGS_BARRIER();
	return ahead(ring);
}

static bool aligned(const struct remote_ring *ring)
{
	return !((uintptr_t)ring->desc % SPLIT_RING_DESC_ALIGN ||
		 (uintptr_t)ring->avail % SPLIT_RING_AVAIL_ALIGN ||
		 (uintptr_t)ring->used % SPLIT_RING_USED_ALIGN);
}

bool remote_rings_start(struct remote_rings *remote)
{
	struct remote_ring *ring;

	remote->broken = true;
	for (ring = remote->rings; ring < remote->rings + REMOTE_RINGS_COUNT; ring++) {
		if (!split_ring_num_valid(ring->num) || !aligned(ring))
			return false;
		REMOTE_RINGS_INVALIDATE(ring->used, sizeof(*ring->used));
		ring->used_idx = ring->published = READ16(ring->used->idx);
		set_flags(ring, 0);
	}
	remote->broken = false;
	return true;
}

bool remote_rings_forgotten(const struct remote_rings *remote)
{
	const struct remote_ring *ring;

	for (ring = remote->rings; ring < remote->rings + REMOTE_RINGS_COUNT; ring++) {
		REMOTE_RINGS_INVALIDATE(ring->used, sizeof(*ring->used));
		if (READ16(ring->used->idx) != ring->published)
			return true;
	}
	return false;
}

bool remote_rings_waiting(const struct remote_rings *remote, unsigned int queue)
{
	return !remote->broken && ahead(&remote->rings[queue]);
}

bool remote_rings_next(struct remote_rings *remote, unsigned int queue)
{
	struct remote_ring *ring = &remote->rings[queue];
	const uint16_t *entry;
	uint16_t waiting;

	if (remote->broken)
		return false;
	waiting = ahead(ring);
	if (!waiting)
		waiting = ask_for_kicks(ring);
	if (!waiting)
		return false;
	set_flags(ring, VRING_USED_F_NO_NOTIFY);
	entry = &ring->avail->ring[ring->last_avail & (ring->num - 1u)];
	REMOTE_RINGS_INVALIDATE(entry, sizeof(*entry));
	ring->head = READ16(*entry);
	remote->broken = !split_ring_ahead_valid(waiting, ring->num);
	return !remote->broken;
}

uint8_t *remote_rings_buffer(struct remote_rings *remote, unsigned int queue, uint16_t id,
			     unsigned int flags, uint32_t *size, uint16_t *next)
{
	const struct remote_ring *ring = &remote->rings[queue];
	const struct split_ring_desc *desc;
	uint64_t offset;

	if (id < ring->num) {
		desc = &ring->desc[id];
		REMOTE_RINGS_INVALIDATE(desc, sizeof(*desc));
		offset = READ64(desc->addr) - remote->low;
		*size = READ32(desc->len);
		if (next)
			*next = READ16(desc->next);
		if ((READ16(desc->flags) & FLAGS) == flags && offset <= remote->size &&
		    *size <= remote->size - offset)
			return remote->memory + (size_t)offset;
	}
	remote->broken = true;
	return NULL;
}

void remote_ring_give_back(struct remote_ring *ring, uint16_t head, uint32_t length)
{
	struct split_ring_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->num - 1u)];

	WRITE32(elem->id, head);
	WRITE32(elem->len, length);
	REMOTE_RINGS_CLEAN(elem, sizeof(*elem));
	ring->used_idx++;
}

bool remote_rings_publish(struct remote_rings *remote, unsigned int queue)
{
	struct remote_ring *ring = &remote->rings[queue];

	if (ring->published == ring->used_idx)
		return false;
	ring->published = ring->used_idx;
	REMOTE_RINGS_BARRIER(); /* buffers and elements before the index */
	WRITE16(ring->used->idx, ring->used_idx);
	REMOTE_RINGS_CLEAN(ring->used, sizeof(*ring->used));
	REMOTE_RINGS_BARRIER(); /* the index before the look at the flag */
	REMOTE_RINGS_INVALIDATE(ring->avail, sizeof(*ring->avail));
	return !(READ16(ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}
