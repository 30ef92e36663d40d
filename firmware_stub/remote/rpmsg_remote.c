/* SPDX-License-Identifier: BSD-3-Clause */
/* rpmsg_remote.c - the remote's side of virtio-rpmsg: see rpmsg_remote.h. */
#include "rpmsg_remote.h"

#include <string.h>

bool rpmsg_remote_ready(struct remote_rings *remote)
{
	return remote_rings_waiting(remote, RPMSG_VQ_RX);
}

/* The next buffer of a ring, one descriptor with room for a header, for the device to write
 * or to read: NULL when there is none. It stays in hand until give_back(). */
static uint8_t *next(struct remote_rings *remote, unsigned int queue, uint32_t *size)
{
	uint8_t *found;

	if (!remote_rings_next(remote, queue))
		return NULL;
	found = remote_rings_buffer(remote, queue, remote->rings[queue].head,
				    queue == RPMSG_VQ_RX ? VRING_DESC_F_WRITE : 0, size, NULL);
	if (found && *size < RPMSG_HEADER_SIZE) {
		remote->broken = true;
		return NULL;
	}
	return found;
}

static void give_back(struct remote_ring *ring, uint32_t length)
{
	remote_ring_take(ring);
	remote_ring_give_back(ring, ring->head, length);
}

bool rpmsg_remote_send(struct remote_rings *remote, uint32_t source, uint32_t destination,
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
	REMOTE_RINGS_CLEAN(to, RPMSG_HEADER_SIZE + length);
	give_back(&remote->rings[RPMSG_VQ_RX], RPMSG_HEADER_SIZE + (uint32_t)length);
	return true;
}

bool rpmsg_remote_announce(struct remote_rings *remote, const char *name, uint32_t address,
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

bool rpmsg_remote_pending(const struct remote_rings *remote)
{
	return remote_rings_waiting(remote, RPMSG_VQ_TX);
}

bool rpmsg_remote_receive(struct remote_rings *remote, rpmsg_remote_received received,
			  void *context)
{
	struct rpmsg_header header;
	uint32_t size;
	const uint8_t *from = next(remote, RPMSG_VQ_TX, &size);

	if (!from)
		return false;
	REMOTE_RINGS_INVALIDATE(from, size);
	memcpy(&header, from, RPMSG_HEADER_SIZE);
	REMOTE_RINGS_BARRIER(); /* what is checked is the copy: it is not read again */
	if (!rpmsg_payload_fits(&header, size))
		remote->broken = true;
	else if (!received(context, rpmsg_gpio_load32(header.src), rpmsg_gpio_load32(header.dst),
			   from + RPMSG_HEADER_SIZE, rpmsg_gpio_load16(header.len)))
		return false;
	give_back(&remote->rings[RPMSG_VQ_TX], 0);
	return !remote->broken;
}
