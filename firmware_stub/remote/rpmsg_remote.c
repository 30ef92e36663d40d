/* SPDX-License-Identifier: BSD-3-Clause */
/* rpmsg_remote.c - the remote's side of virtio-rpmsg: see rpmsg_remote.h. */
#include "rpmsg_remote.h"

#include <string.h>

/* The driver can change shared memory at any time: each value is read once. */
#define READ16(x)     (*(const volatile uint16_t *)&(x))
#define READ32(x)     (*(const volatile uint32_t *)&(x))
#define READ64(x)     (*(const volatile uint64_t *)&(x))
#define WRITE16(x, v) (*(volatile uint16_t *)&(x) = (uint16_t)(v))
#define WRITE32(x, v) (*(volatile uint32_t *)&(x) = (uint32_t)(v))

#define FLAGS (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

void rpmsg_remote_place(struct rpmsg_remote_ring *ring, void *at, unsigned int num,
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
static uint16_t ahead(const struct rpmsg_remote_ring *ring)
{
	uint16_t idx;

	RPMSG_REMOTE_INVALIDATE(ring->avail, sizeof(*ring->avail));
	idx = READ16(ring->avail->idx);
	RPMSG_REMOTE_BARRIER();
	return (uint16_t)(idx - ring->last_avail);
}

static void set_flags(struct rpmsg_remote_ring *ring, uint16_t flags)
{
	WRITE16(ring->used->flags, flags);
	RPMSG_REMOTE_CLEAN(ring->used, sizeof(*ring->used));
}

/* Entries that wait, having asked to be told of more. Either the driver sees the flag, or
 * this its index. */
static uint16_t ask_for_kicks(struct rpmsg_remote_ring *ring)
{
	set_flags(ring, 0);
	RPMSG_REMOTE_BARRIER();
	return ahead(ring);
}

static bool aligned(const struct rpmsg_remote_ring *ring)
{
	return !((uintptr_t)ring->desc % SPLIT_RING_DESC_ALIGN ||
		 (uintptr_t)ring->avail % SPLIT_RING_AVAIL_ALIGN ||
		 (uintptr_t)ring->used % SPLIT_RING_USED_ALIGN);
}

bool rpmsg_remote_start(struct rpmsg_remote *remote)
{
	struct rpmsg_remote_ring *ring;

	remote->broken = true;
	for (ring = remote->rings; ring < remote->rings + RPMSG_VQ_COUNT; ring++) {
		if (!split_ring_num_valid(ring->num) || !aligned(ring))
			return false;
		RPMSG_REMOTE_INVALIDATE(ring->used, sizeof(*ring->used));
		ring->used_idx = ring->published = READ16(ring->used->idx);
		set_flags(ring, 0);
	}
	remote->broken = false;
	return true;
}

bool rpmsg_remote_forgotten(const struct rpmsg_remote *remote)
{
	const struct rpmsg_remote_ring *ring;

	for (ring = remote->rings; ring < remote->rings + RPMSG_VQ_COUNT; ring++) {
		RPMSG_REMOTE_INVALIDATE(ring->used, sizeof(*ring->used));
		if (READ16(ring->used->idx) != ring->published)
			return true;
	}
	return false;
}

bool rpmsg_remote_ready(struct rpmsg_remote *remote)
{
	return !remote->broken && ahead(&remote->rings[RPMSG_VQ_RX]);
}

/* The buffer of the entry that comes next: one descriptor, inside of the memory, with room
 * for a header, for the device to write or to read. NULL where there is another. */
static uint8_t *buffer(const struct rpmsg_remote *remote, struct rpmsg_remote_ring *ring,
		       uint32_t *size)
{
	const uint16_t *entry = &ring->avail->ring[ring->last_avail & (ring->num - 1u)];
	unsigned int wanted = ring == &remote->rings[RPMSG_VQ_RX] ? VRING_DESC_F_WRITE : 0;
	const struct split_ring_desc *desc;
	uint64_t offset;

	RPMSG_REMOTE_INVALIDATE(entry, sizeof(*entry));
	ring->head = READ16(*entry);
	if (ring->head >= ring->num)
		return NULL;
	desc = &ring->desc[ring->head];
	RPMSG_REMOTE_INVALIDATE(desc, sizeof(*desc));
	offset = READ64(desc->addr) - remote->low;
	*size = READ32(desc->len);
	if ((READ16(desc->flags) & FLAGS) != wanted || *size < RPMSG_HEADER_SIZE ||
	    offset > remote->size || *size > remote->size - offset)
		return NULL;
	return remote->memory + (size_t)offset;
}

/*
 * The next buffer of a ring, NULL when there is none. It stays in hand until give_back().
 * Kicks are wanted only while there is none.
 */
static uint8_t *next(struct rpmsg_remote *remote, unsigned int queue, uint32_t *size)
{
	struct rpmsg_remote_ring *ring = &remote->rings[queue];
	uint16_t waiting;
	uint8_t *found;

	if (remote->broken)
		return NULL;
	waiting = ahead(ring);
	if (!waiting)
		waiting = ask_for_kicks(ring);
	if (!waiting)
		return NULL;
	set_flags(ring, VRING_USED_F_NO_NOTIFY);
	found = split_ring_ahead_valid(waiting, ring->num) ? buffer(remote, ring, size) : NULL;
	remote->broken = !found;
	return found;
}

static void give_back(struct rpmsg_remote_ring *ring, uint32_t length)
{
	struct split_ring_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->num - 1u)];

	WRITE32(elem->id, ring->head);
	WRITE32(elem->len, length);
	RPMSG_REMOTE_CLEAN(elem, sizeof(*elem));
	ring->last_avail++;
	ring->used_idx++;
}

bool rpmsg_remote_publish(struct rpmsg_remote *remote, unsigned int queue)
{
	struct rpmsg_remote_ring *ring = &remote->rings[queue];

	if (ring->published == ring->used_idx)
		return false;
	ring->published = ring->used_idx;
	RPMSG_REMOTE_BARRIER(); /* buffers and elements before the index */
	WRITE16(ring->used->idx, ring->used_idx);
	RPMSG_REMOTE_CLEAN(ring->used, sizeof(*ring->used));
	RPMSG_REMOTE_BARRIER(); /* the index before the look at the flag */
	RPMSG_REMOTE_INVALIDATE(ring->avail, sizeof(*ring->avail));
	return !(READ16(ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

bool rpmsg_remote_send(struct rpmsg_remote *remote, uint32_t source, uint32_t destination,
		       const void *message, size_t length)
{
	struct rpmsg_header header = rpmsg_header_make(source, destination, (uint16_t)length);
	uint32_t size;
	uint8_t *to = next(remote, RPMSG_VQ_RX, &size);

	if (!to)
		return remote->broken;
	if (length > size - RPMSG_HEADER_SIZE)
		return true;
	memcpy(to, &header, RPMSG_HEADER_SIZE);
	memcpy(to + RPMSG_HEADER_SIZE, message, length);
	RPMSG_REMOTE_CLEAN(to, RPMSG_HEADER_SIZE + length);
	give_back(&remote->rings[RPMSG_VQ_RX], RPMSG_HEADER_SIZE + (uint32_t)length);
	return true;
}

bool rpmsg_remote_announce(struct rpmsg_remote *remote, const char *name, uint32_t address,
			   bool create)
{
	struct rpmsg_ns_msg ns;
	size_t i;

	memset(&ns, 0, sizeof(ns));
	for (i = 0; i < RPMSG_NAME_SIZE - 1u && name[i]; i++)
		ns.name[i] = (uint8_t)name[i];
	ns.addr = rpmsg_gpio_store32(address);
	ns.flags = rpmsg_gpio_store32(create ? 0 : RPMSG_NS_DESTROY);
	return rpmsg_remote_send(remote, address, RPMSG_NS_ADDR, &ns, sizeof(ns));
}

bool rpmsg_remote_pending(const struct rpmsg_remote *remote)
{
	return !remote->broken && ahead(&remote->rings[RPMSG_VQ_TX]);
}

bool rpmsg_remote_receive(struct rpmsg_remote *remote, rpmsg_remote_received received,
			  void *context)
{
	struct rpmsg_header header;
	uint32_t size;
	const uint8_t *from = next(remote, RPMSG_VQ_TX, &size);

	if (!from)
		return false;
	RPMSG_REMOTE_INVALIDATE(from, size);
	memcpy(&header, from, RPMSG_HEADER_SIZE);
	RPMSG_REMOTE_BARRIER(); /* what is checked is the copy: it is not read again */
	if (!rpmsg_payload_fits(&header, size))
		remote->broken = true;
	else if (!received(context, rpmsg_gpio_load32(header.src), rpmsg_gpio_load32(header.dst),
			   from + RPMSG_HEADER_SIZE, rpmsg_gpio_load16(header.len)))
		return false;
	give_back(&remote->rings[RPMSG_VQ_TX], 0);
	return !remote->broken;
}
