/* SPDX-License-Identifier: BSD-3-Clause */
/* split_ring.c - the split virtqueue (virtio 1.3, 2.7), both sides. */
#include "split_ring.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "inflight.h"

#define CACHE_LINE 64u
#define NO_SLOT    0xffffu

/* The peer can change shared memory at any time: fetch a value only once. */
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

static int __attribute__((format(printf, 2, 3)))
fail(struct split_ring *ring, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ring->error, sizeof(ring->error), format, args);
	va_end(args);
	return -EPROTO;
}

static uint16_t load_idx(const split_ring_shared16 *idx)
{
	/* Entries and buffers must not be read before the index that covers them. */
	return le16toh(atomic_load_explicit(idx, memory_order_acquire));
}

static void store_idx(split_ring_shared16 *idx, uint16_t value)
{
	atomic_store_explicit(idx, htole16(value), memory_order_release);
}

static bool suppressed(const split_ring_shared16 *flags, uint16_t bit)
{
	/* The index was just stored. Without a full fence this load could be done before that
	 * store, and meet a peer that enables notifications and then sees the old index: both
	 * sides would sleep. Release and acquire do not order a store and a load. */
	atomic_thread_fence(memory_order_seq_cst);
	return le16toh(atomic_load_explicit(flags, memory_order_relaxed)) & bit;
}

static void set_flags(split_ring_shared16 *flags, uint16_t value)
{
	atomic_store_explicit(flags, htole16(value), memory_order_relaxed);
}

/* ---- driver side -------------------------------------------------------- */

static size_t whole_lines(size_t size)
{
	return (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

/* Each part starts a cache line: the two sides write to different ones. */
static size_t avail_offset(unsigned int num)
{
	return whole_lines(split_ring_desc_size(num));
}

static size_t used_offset(unsigned int num)
{
	return avail_offset(num) + whole_lines(split_ring_avail_size(num));
}

size_t split_driver_size(unsigned int num)
{
	return used_offset(num) + whole_lines(split_ring_used_size(num));
}

int split_driver_init(struct split_driver *driver, void *memory,
		      unsigned int num, struct split_driver_slot *slots)
{
	unsigned int i;

	if (!split_ring_num_valid(num) || (uintptr_t)memory % CACHE_LINE)
		return -EINVAL;
	memset(driver, 0, sizeof(*driver));
	memset(memory, 0, split_driver_size(num));
	driver->ring.num = (uint16_t)num;
	driver->ring.desc = memory;
	driver->ring.avail = (void *)((char *)memory + avail_offset(num));
	driver->ring.used = (void *)((char *)memory + used_offset(num));
	driver->slots = slots;
	for (i = 0; i < num; i++) {
		slots[i].state = SPLIT_DRIVER_FREE;
		slots[i].next_free = (uint16_t)(i + 1);
	}
	slots[num - 1].next_free = NO_SLOT;
	return 0;
}

int split_driver_take(struct split_driver *driver)
{
	uint16_t id = driver->free_head;

	if (id == NO_SLOT)
		return -EAGAIN;
	driver->free_head = driver->slots[id].next_free;
	driver->slots[id].state = SPLIT_DRIVER_TAKEN;
	return id;
}

bool split_driver_has_free(const struct split_driver *driver)
{
	return driver->free_head != NO_SLOT;
}

/* Free descriptors are last in, first out: the buffer used next is the one still in the cache. */
void split_driver_release(struct split_driver *driver, uint16_t id)
{
	driver->slots[id].state = SPLIT_DRIVER_FREE;
	driver->slots[id].next_free = driver->free_head;
	driver->free_head = id;
}

void split_driver_add(struct split_driver *driver, uint16_t id, uint64_t addr,
		      uint32_t length, bool device_writes)
{
	struct split_ring *ring = &driver->ring;
	struct split_ring_desc *desc = &ring->desc[id];
	struct split_driver_slot *slot = &driver->slots[id];

	slot->length = length;
	slot->device_writes = device_writes;
	slot->state = SPLIT_DRIVER_POSTED;
	desc->addr = htole64(addr);
	desc->len = htole32(length);
	desc->flags = htole16(device_writes ? VRING_DESC_F_WRITE : 0);
	desc->next = 0;
	ring->avail->ring[driver->avail_idx & (ring->num - 1)] = htole16(id);
	driver->avail_idx++;
}

bool split_driver_publish(struct split_driver *driver)
{
	if (driver->published == driver->avail_idx)
		return false;
	driver->published = driver->avail_idx;
	store_idx(&driver->ring.avail->idx, driver->avail_idx);
	return !suppressed(&driver->ring.used->flags, VRING_USED_F_NO_NOTIFY);
}

static bool used_pending(const struct split_driver *driver)
{
	return load_idx(&driver->ring.used->idx) != driver->last_used;
}

/* The length is meaningless for a buffer that the device only reads: some devices report what
 * they read there. So it is checked for all, and reported for the others only. */
static int check_used(struct split_driver *driver, uint32_t id, uint32_t *length)
{
	struct split_ring *ring = &driver->ring;
	const struct split_driver_slot *slot;

	if (id >= ring->num)
		return fail(ring, "used descriptor %u is out of range (%u descriptors)",
			    id, ring->num);
	slot = &driver->slots[id];
	if (slot->state != SPLIT_DRIVER_POSTED)
		return fail(ring, "used descriptor %u was not available", id);
	if (!slot->device_writes)
		*length = 0;
	if (*length > slot->length)
		return fail(ring, "used descriptor %u: %u bytes written to a buffer of %u",
			    id, *length, slot->length);
	return 0;
}

int split_driver_pop(struct split_driver *driver, uint16_t *id,
		     uint32_t *length)
{
	struct split_ring *ring = &driver->ring;
	uint16_t ahead = (uint16_t)(load_idx(&ring->used->idx) - driver->last_used);
	const struct split_ring_used_elem *elem;
	uint32_t used_id;

	if (!ahead)
		return 0;
	if (!split_ring_ahead_valid(ahead, ring->num))
		return fail(ring, "the used index jumped by %u (%u descriptors)",
			    ahead, ring->num);
	elem = &ring->used->ring[driver->last_used & (ring->num - 1)];
	used_id = le32toh(READ_ONCE(elem->id));
	*length = le32toh(READ_ONCE(elem->len));
	if (check_used(driver, used_id, length) < 0)
		return -EPROTO;
	driver->slots[used_id].state = SPLIT_DRIVER_TAKEN;
	driver->last_used++;
	*id = (uint16_t)used_id;
	return 1;
}

bool split_driver_enable_used(struct split_driver *driver)
{
	set_flags(&driver->ring.avail->flags, 0);
	/* Either the device sees the flag, or this side sees the device's index. */
	atomic_thread_fence(memory_order_seq_cst);
	return used_pending(driver);
}

void split_driver_disable_used(struct split_driver *driver)
{
	set_flags(&driver->ring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

/* ---- device side -------------------------------------------------------- */

static bool aligned(const void *part, size_t to)
{
	return (uintptr_t)part % to == 0;
}

int split_device_init(struct split_device *device,
		      const struct split_ring *parts, uint16_t base,
		      split_translate_fn translate, const void *memory)
{
	memset(device, 0, sizeof(*device));
	device->ring = *parts;
	device->ring.error[0] = '\0';
	device->translate = translate;
	device->memory = memory;
	if (!split_ring_num_valid(parts->num)) {
		fail(&device->ring, "%u descriptors are not a power of two up to %u",
		     parts->num, SPLIT_RING_NUM_MAX);
		return -EINVAL;
	}
	if (!aligned(parts->desc, SPLIT_RING_DESC_ALIGN) ||
	    !aligned(parts->avail, SPLIT_RING_AVAIL_ALIGN) ||
	    !aligned(parts->used, SPLIT_RING_USED_ALIGN)) {
		fail(&device->ring, "the ring is not aligned to 16, 2 and 4 bytes");
		return -EINVAL;
	}
	device->last_avail = base;
	/* A device that takes over goes on where the one before it published last. */
	device->used_idx = load_idx(&parts->used->idx);
	device->published = device->used_idx;
	return 0;
}

bool split_device_untouched(const struct split_device *device)
{
	const struct split_ring *ring = &device->ring;

	for (unsigned int i = 0; i < ring->num; i++)
		if (READ_ONCE(ring->used->ring[i].len))
			return false;
	return true;
}

int split_device_recover(struct split_device *device, struct inflight_queue *log,
			 uint16_t *heads)
{
	struct split_ring *ring = &device->ring;
	uint16_t ahead = (uint16_t)(load_idx(&ring->avail->idx) - device->used_idx);
	int count;

	/* A ring that was just zeroed says that nothing is in flight, or everything. */
	if (!device->used_idx && split_device_untouched(device))
		inflight_clear(log, ring->num);
	count = inflight_recover(log, ring->num, device->used_idx, heads, &device->taken);
	if (count < 0) {
		fail(ring, "there is no memory for what is in flight");
		return count;
	}
	if (count > ahead) {
		fail(ring, "%d descriptors are in flight by the log, %u by the indexes", count,
		     ahead);
		return -EINVAL;
	}
	device->log = log;
	device->again = heads;
	device->again_left = (uint16_t)count;
	device->last_avail = (uint16_t)(device->used_idx + count);
	return 0;
}

bool split_device_pending(const struct split_device *device)
{
	return device->again_left || load_idx(&device->ring.avail->idx) != device->last_avail;
}

static struct split_ring_desc copy_desc(const struct split_ring_desc *from)
{
	struct split_ring_desc desc = {
		.addr = le64toh(READ_ONCE(from->addr)),
		.len = le32toh(READ_ONCE(from->len)),
		.flags = le16toh(READ_ONCE(from->flags)),
		.next = le16toh(READ_ONCE(from->next)),
	};

	return desc;
}

static int add_part(struct split_device *device, struct split_chain *chain,
		    const struct split_ring_desc *desc, uint16_t index)
{
	struct split_ring *ring = &device->ring;
	bool writable = desc->flags & VRING_DESC_F_WRITE;
	unsigned int count = chain->readable + chain->writable;
	size_t total = chain->readable_bytes + chain->writable_bytes;
	void *host;

	if (!writable && chain->writable)
		return fail(ring, "descriptor %u is readable and follows a writable one",
			    index);
	if (!desc->len)
		return 0;
	if (count >= chain->iov_max)
		return fail(ring, "the chain at descriptor %u has more than %u parts",
			    chain->head, chain->iov_max);
	if (desc->len > SPLIT_CHAIN_BYTES_MAX - total)
		return fail(ring, "the chain at descriptor %u has more than %u bytes",
			    chain->head, SPLIT_CHAIN_BYTES_MAX);
	host = device->translate(device->memory, desc->addr, desc->len);
	if (!host)
		return fail(ring, "descriptor %u: %u bytes at 0x%llx are outside the memory table",
			    index, desc->len, (unsigned long long)desc->addr);
	chain->iov[count].iov_base = host;
	chain->iov[count].iov_len = desc->len;
	chain->readable += !writable;
	chain->writable += writable;
	*(writable ? &chain->writable_bytes : &chain->readable_bytes) += desc->len;
	return 0;
}

/* Where a chain is being followed: in the ring, then perhaps in one table that the ring names. */
struct walk {
	const struct split_ring_desc *descs;
	unsigned int count;
	unsigned int left; /* descriptors that may still come */
	bool in_table;
};

/* Virtio 1.3, 2.7.5.3: a descriptor of a table is the last one of the chain in the ring, is not
 * in a table itself, and its WRITE flag means nothing. */
static int enter_table(struct split_device *device, struct walk *walk,
		       const struct split_ring_desc *desc, uint16_t index)
{
	struct split_ring *ring = &device->ring;

	if (!device->indirect)
		return fail(ring, "descriptor %u is indirect, which was not negotiated", index);
	if (walk->in_table)
		return fail(ring, "descriptor %u of an indirect table is indirect itself", index);
	if (desc->flags & VRING_DESC_F_NEXT)
		return fail(ring, "descriptor %u is indirect and has a next one", index);
	if (!desc->len || desc->len % sizeof(*desc))
		return fail(ring, "descriptor %u: an indirect table of %u bytes, not of whole descriptors",
			    index, desc->len);
	walk->descs = device->translate(device->memory, desc->addr, desc->len);
	if (!walk->descs)
		return fail(ring, "descriptor %u: its indirect table, %u bytes at 0x%llx, is outside the memory table",
			    index, desc->len, (unsigned long long)desc->addr);
	if (!aligned(walk->descs, _Alignof(struct split_ring_desc)))
		return fail(ring, "descriptor %u: its indirect table at 0x%llx is not aligned to %zu bytes",
			    index, (unsigned long long)desc->addr,
			    _Alignof(struct split_ring_desc));
	walk->count = desc->len / (uint32_t)sizeof(*desc);
	walk->in_table = true;
	return 0;
}

static int out_of_range(struct split_ring *ring, const struct walk *walk, uint16_t index)
{
	if (walk->in_table)
		return fail(ring, "descriptor %u is out of range of its indirect table (%u descriptors)",
			    index, walk->count);
	return fail(ring, "descriptor %u is out of range (%u descriptors)", index, walk->count);
}

/* Takes one descriptor. Returns 1 when there is another, whose index is in *index, else 0. */
static int walk_one(struct split_device *device, struct split_chain *chain,
		    struct walk *walk, uint16_t *index)
{
	struct split_ring_desc desc;

	if (*index >= walk->count)
		return out_of_range(&device->ring, walk, *index);
	desc = copy_desc(&walk->descs[*index]);
	if (desc.flags & VRING_DESC_F_INDIRECT) {
		if (enter_table(device, walk, &desc, *index) < 0)
			return -EPROTO;
		*index = 0;
		return 1;
	}
	if (add_part(device, chain, &desc, *index) < 0)
		return -EPROTO;
	*index = desc.next;
	return desc.flags & VRING_DESC_F_NEXT ? 1 : 0;
}

static int walk(struct split_device *device, struct split_chain *chain)
{
	struct split_ring *ring = &device->ring;
	/* No chain is longer than the queue, tables included (2.7.5.3.1); the
	 * descriptor of the table itself does not count. */
	unsigned int longest = ring->num < SPLIT_CHAIN_DESCS_MAX ? ring->num
								 : SPLIT_CHAIN_DESCS_MAX;
	struct walk walk = {.descs = ring->desc, .count = ring->num, .left = longest + 1u};
	uint16_t index = chain->head;

	while (walk.left--) {
		int more = walk_one(device, chain, &walk, &index);

		if (more <= 0)
			return more;
	}
	return fail(ring, "the chain at descriptor %u is a loop, or longer than %u descriptors",
		    chain->head, longest);
}

static int take(struct split_device *device, struct split_chain *chain, uint16_t head)
{
	chain->head = head;
	chain->readable = chain->writable = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	return walk(device, chain);
}

static int take_again(struct split_device *device, struct split_chain *chain)
{
	if (take(device, chain, *device->again) < 0)
		return -EPROTO;
	device->again++;
	device->again_left--;
	return 1;
}

int split_device_pop(struct split_device *device, struct split_chain *chain)
{
	struct split_ring *ring = &device->ring;
	uint16_t ahead = (uint16_t)(load_idx(&ring->avail->idx) - device->last_avail);
	const uint16_t *entry = &ring->avail->ring[device->last_avail & (ring->num - 1)];

	if (device->again_left)
		return take_again(device, chain);
	if (!ahead)
		return 0;
	if (!split_ring_ahead_valid(ahead, ring->num))
		return fail(ring, "the available index jumped by %u (%u descriptors)",
			    ahead, ring->num);
	if (take(device, chain, le16toh(READ_ONCE(*entry))) < 0)
		return -EPROTO;
	device->last_avail++;
	if (device->log)
		inflight_taken(device->log, chain->head, device->taken++);
	return 1;
}

void split_device_put_back(struct split_device *device)
{
	device->last_avail--;
}

void split_device_push(struct split_device *device, uint16_t head,
		       uint32_t written)
{
	struct split_ring *ring = &device->ring;
	struct split_ring_used_elem *elem =
		&ring->used->ring[device->used_idx & (ring->num - 1)];

	WRITE_ONCE(elem->id, htole32(head));
	WRITE_ONCE(elem->len, htole32(written));
	if (device->log)
		inflight_pushed(device->log, head);
	device->used_idx++;
}

bool split_device_publish(struct split_device *device)
{
	uint16_t count = (uint16_t)(device->used_idx - device->published);

	if (!count)
		return false;
	device->published = device->used_idx;
	store_idx(&device->ring.used->idx, device->used_idx);
	if (device->log)
		inflight_published(device->log, device->ring.num, count, device->used_idx);
	return !suppressed(&device->ring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

bool split_device_enable_kicks(struct split_device *device)
{
	set_flags(&device->ring.used->flags, 0);
	/* Either the driver sees the flag, or this side sees the driver's index. */
	atomic_thread_fence(memory_order_seq_cst);
	return split_device_pending(device);
}

void split_device_disable_kicks(struct split_device *device)
{
	set_flags(&device->ring.used->flags, VRING_USED_F_NO_NOTIFY);
}

/* Copy between `flat` and parts of the chain, from `offset` in them. */
static size_t copy_parts(const struct iovec *iov, unsigned int count,
			 size_t offset, void *flat, size_t size, bool to_parts)
{
	size_t done = 0;

	for (; count && done < size; iov++, count--) {
		char *part = iov->iov_base;
		size_t n;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - offset;
		if (n > size - done)
			n = size - done;
		if (to_parts)
			memcpy(part + offset, (char *)flat + done, n);
		else
			memcpy((char *)flat + done, part + offset, n);
		offset = 0;
		done += n;
	}
	return done;
}

size_t split_chain_read(const struct split_chain *chain, size_t offset,
			void *to, size_t size)
{
	size_t done = copy_parts(chain->iov, chain->readable, offset, to, size, false);

	/* Later reads are of the copy: the compiler must not read the ring again. */
	atomic_signal_fence(memory_order_seq_cst);
	return done;
}

size_t split_chain_write(const struct split_chain *chain, size_t offset,
			 const void *from, size_t size)
{
	return copy_parts(chain->iov + chain->readable, chain->writable, offset,
			  (void *)(uintptr_t)from, size, true);
}
