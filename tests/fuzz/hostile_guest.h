/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile_guest.h - the guest's side of a vhost-user connection in kernel.c: messages
 * that are right or not, rings that are right until somebody scribbles on them.
 */
#ifndef HOSTILE_GUEST_H
#define HOSTILE_GUEST_H

#include "fuzz.h"
#include "kernel.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

/* An input has more to say than that it may come again and again. */
#define GUESTS_MAX  4u
#define GUEST_NUM   16u
#define GUEST_ADDR  UINT64_C(0x40000000)
#define GUEST_USER  UINT64_C(0x700000000000)
#define GUEST_SIZE  0x8000u
#define GUEST_RING  0x1000u /* from one ring to the next */
#define GUEST_USED  0x800u
#define GUEST_BUFFERS 0x4000u
#define GUEST_TABLES  0x3000u

struct hostile_guest {
	struct input *input;
	int socket;
	int kick[2], call[2];
	uint64_t features;
};

static inline void guest_init_side(struct hostile_guest *g, struct input *input,
				   uint64_t features)
{
	memset(g, 0, sizeof(*g));
	g->input = input;
	g->socket = -1;
	g->features = features;
	g->kick[0] = g->kick[1] = g->call[0] = g->call[1] = -1;
	memset(kernel_memory, 0, GUEST_SIZE);
}

/* ---- messages ------------------------------------------------------------------------- */

static inline void guest_say(struct hostile_guest *g, uint32_t request, const void *payload,
			     uint32_t size, int fd)
{
	struct vhost_user_header header = {request, VHOST_USER_VERSION, size};
	uint8_t bytes[600];

	if (fd >= 0)
		kernel_feed_fds(g->socket, &fd, 1);
	memcpy(bytes, &header, sizeof(header));
	if (size)
		memcpy(bytes + sizeof(header), payload, size);
	kernel_feed(g->socket, bytes, sizeof(header) + size);
}

static inline void guest_say_state(struct hostile_guest *g, uint32_t request, uint32_t index,
				   uint32_t num)
{
	struct vhost_user_vring_state state = {index, num};

	guest_say(g, request, &state, sizeof(state), -1);
}

static inline void guest_say_fd(struct hostile_guest *g, uint32_t request, uint64_t index, int fd)
{
	guest_say(g, request, &index, sizeof(index), fd);
}

static inline void guest_share(struct hostile_guest *g)
{
	struct vhost_user_mem_table table = {
		.count = 1, .regions = {{GUEST_ADDR, GUEST_SIZE, GUEST_USER, 0}},
	};

	guest_say(g, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]),
		  kernel_open(KERNEL_MEMFD));
}

/* What a loop has read comes before more does, or the queue of the socket overflows, and
 * descriptors would come with the wrong message. */
static inline void guest_start_queue(struct hostile_guest *g, uint32_t index, unsigned int part)
{
	struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = GUEST_USER + index * GUEST_RING,
		.avail = GUEST_USER + index * GUEST_RING + GUEST_NUM * sizeof(struct split_ring_desc),
		.used = GUEST_USER + index * GUEST_RING + GUEST_USED,
	};

	switch (part) {
	case 0:
		guest_say_state(g, VHOST_USER_SET_VRING_NUM, index, GUEST_NUM);
		guest_say_state(g, VHOST_USER_SET_VRING_BASE, index, 0);
		guest_say(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
		g->call[index] = kernel_open(KERNEL_EVENTFD);
		guest_say_fd(g, VHOST_USER_SET_VRING_CALL, index, g->call[index]);
		break;
	case 1:
		g->kick[index] = kernel_open(KERNEL_EVENTFD);
		guest_say_fd(g, VHOST_USER_SET_VRING_KICK, index, g->kick[index]);
		break;
	default:
		guest_say_state(g, VHOST_USER_SET_VRING_ENABLE, index, 1);
		break;
	}
}

#define GUEST_SET_UP 8u /* parts; the loop must come by after each */

static inline void guest_set_up(struct hostile_guest *g, unsigned int part)
{
	if (part == 0) {
		guest_say(g, VHOST_USER_SET_OWNER, "", 0, -1);
		guest_say(g, VHOST_USER_SET_FEATURES, &g->features, sizeof(g->features), -1);
	} else if (part == 1) {
		guest_share(g);
	} else {
		guest_start_queue(g, (part - 2) / 3, (part - 2) % 3);
	}
}

/* Any message, any descriptors. */
static inline void guest_say_anything(struct hostile_guest *g, uint8_t kind)
{
	static const enum kernel_kind kinds[] = {KERNEL_EVENTFD, KERNEL_MEMFD, KERNEL_STREAM,
						 KERNEL_PACKETS};
	struct vhost_user_header header = {take_u8(g->input), VHOST_USER_VERSION, 0};
	uint8_t bytes[700];
	const uint8_t *payload;
	size_t length;
	int fds[3];

	for (int i = 0; i < (kind >> 4 & 3); i++)
		fds[i] = kernel_open(kinds[((kind >> 6) + i) & 3]);
	kernel_feed_fds(g->socket, fds, kind >> 4 & 3);
	header.flags |= kind & 8 ? VHOST_USER_NEED_REPLY : 0;
	length = take_bytes(g->input, &payload, 600);
	header.size = (uint32_t)length;
	if (length)
		memcpy(bytes + sizeof(header), payload, length);
	memcpy(bytes, &header, sizeof(header));
	kernel_feed(g->socket, bytes, sizeof(header) + length);
}

static inline void guest_say_state_wrongly(struct hostile_guest *g)
{
	static const uint8_t requests[] = {
		VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE, VHOST_USER_GET_VRING_BASE,
		VHOST_USER_SET_VRING_ENABLE, VHOST_USER_RESET_OWNER, VHOST_USER_RESET_DEVICE,
	};
	uint8_t what = take_u8(g->input) % 6, index = take_u8(g->input);

	if (what < 4)
		guest_say_state(g, requests[what], index & 3, take_u16(g->input));
	else
		guest_say(g, requests[what], "", 0, -1);
}

/* ---- rings ------------------------------------------------------------------------------ */

static inline struct split_ring guest_ring(unsigned int index)
{
	uint8_t *base = kernel_memory + index * GUEST_RING;
	struct split_ring ring = {
		.desc = (void *)base,
		.avail = (void *)(base + GUEST_NUM * sizeof(struct split_ring_desc)),
		.used = (void *)(base + GUEST_USED),
		.num = GUEST_NUM,
	};

	return ring;
}

/* One chain: `out` to be read, room for `in` bytes behind it; perhaps in a table. */
static inline void guest_put_chain(unsigned int index, uint16_t head, const void *out,
				   uint32_t out_size, uint32_t in_size, bool indirect)
{
	struct split_ring ring = guest_ring(index);
	uint64_t at = GUEST_BUFFERS + (index * GUEST_NUM + head) * 0x200u;
	struct split_ring_desc *desc = &ring.desc[head];
	uint16_t idx = ring.avail->idx, next = (uint16_t)((head + 1) % GUEST_NUM);

	if (indirect) {
		uint64_t table = GUEST_TABLES + (index * GUEST_NUM + head) * 0x40u;

		*desc = (struct split_ring_desc){GUEST_ADDR + table, 32, VRING_DESC_F_INDIRECT, 0};
		desc = (void *)(kernel_memory + table);
		next = 1;
	}
	if (out_size)
		memcpy(kernel_memory + at, out, out_size);
	desc[0] = (struct split_ring_desc){GUEST_ADDR + at, out_size,
					   in_size ? VRING_DESC_F_NEXT : 0, next};
	if (in_size && !out_size)
		desc[0] = (struct split_ring_desc){GUEST_ADDR + at, in_size, VRING_DESC_F_WRITE, 0};
	else if (in_size)
		(indirect ? desc : ring.desc)[next] = (struct split_ring_desc){
			GUEST_ADDR + at + 0x100, in_size, VRING_DESC_F_WRITE, 0};
	ring.avail->ring[idx % GUEST_NUM] = head;
	ring.avail->idx = (uint16_t)(idx + 1);
}

static inline void guest_scribble(struct hostile_guest *g)
{
	static const uint64_t addresses[] = {0, GUEST_ADDR, GUEST_ADDR + GUEST_SIZE - 1,
		GUEST_ADDR + GUEST_SIZE, GUEST_ADDR - 1, GUEST_USER, UINT64_MAX,
		GUEST_ADDR + GUEST_BUFFERS};
	static const uint32_t lengths[] = {0, 1, 2, 8, 0x200, GUEST_SIZE, 0x80000000u, UINT32_MAX};
	uint8_t kind = take_u8(g->input), value = take_u8(g->input);
	struct split_ring ring = guest_ring(kind >> 3 & 1);
	struct split_ring_desc *desc = &ring.desc[kind >> 4];
	const uint8_t *bytes;
	size_t at, length;

	switch (kind & 7) {
	case 0:
		desc->addr = addresses[value & 7] + (value >> 3);
		break;
	case 1:
		desc->len = lengths[value & 7] + (value >> 3);
		break;
	case 2:
		desc->flags = value;
		break;
	case 3:
		desc->next = value;
		break;
	case 4:
		ring.avail->idx = (uint16_t)(ring.avail->idx + (int8_t)value);
		break;
	case 5:
		ring.used->idx = value;
		ring.avail->flags = value & 1;
		break;
	default:
		at = take_u16(g->input) % GUEST_SIZE;
		length = take_bytes(g->input, &bytes, GUEST_SIZE - at);
		if (length)
			memcpy(kernel_memory + at, bytes, length);
		break;
	}
}

static inline void guest_kick(struct hostile_guest *g, unsigned int index)
{
	if (g->kick[index] >= 0 && kernel_is_open(g->kick[index]))
		kernel_signal(g->kick[index]);
}

#endif
