/* SPDX-License-Identifier: BSD-3-Clause */
/* Both sides of the split virtqueue, over real shared memory. */
#include "virtio/split_ring.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"

#define NUM        16u
#define GUEST_BASE UINT64_C(0x40000000)
#define ARENA_SIZE 4096u
#define TIMEOUT_MS 10000

/* Both ends of one ring, and the memory that its descriptors speak of. */
static struct bench {
	_Alignas(64) uint8_t memory[8192];
	_Alignas(64) uint8_t arena[ARENA_SIZE];
	struct split_driver_slot slots[256];
	struct split_driver driver;
	struct split_device device;
	struct iovec iov[NUM];
	struct split_chain chain;
} bench;

static void *translate(const void *memory, uint64_t addr, uint64_t length)
{
	(void)memory;
	if (addr < GUEST_BASE || addr - GUEST_BASE >= ARENA_SIZE ||
	    length > ARENA_SIZE - (addr - GUEST_BASE))
		return NULL;
	return bench.arena + (addr - GUEST_BASE);
}

static void set_up(unsigned int num)
{
	CHECK(split_driver_size(num) <= sizeof(bench.memory));
	CHECK_EQ(split_driver_init(&bench.driver, bench.memory, num, bench.slots), 0);
	CHECK_EQ(split_device_init(&bench.device, &bench.driver.ring, 0, translate, NULL), 0);
	bench.chain = (struct split_chain){.iov = bench.iov, .iov_max = NUM};
}

static void post(uint64_t offset, uint32_t length, bool device_writes)
{
	int id = split_driver_take(&bench.driver);

	CHECK(id >= 0);
	split_driver_add(&bench.driver, (uint16_t)id, GUEST_BASE + offset, length, device_writes);
}

static void seventy_thousand_buffers_wrap_both_indexes(void)
{
	uint32_t sent = 0, seen = 0, returned = 0, length;
	uint16_t id;

	set_up(NUM);
	while (returned < 70000) {
		unsigned int batch = 1 + sent % NUM;

		for (; batch; batch--, sent++) {
			int slot = split_driver_take(&bench.driver);

			CHECK(slot >= 0);
			if (slot < 0)
				return;
			memcpy(bench.arena + 4 * slot, &sent, 4);
			split_driver_add(&bench.driver, (uint16_t)slot,
					 GUEST_BASE + 4 * (uint64_t)slot, 4, false);
		}
		CHECK(split_driver_publish(&bench.driver));
		while (split_device_pop(&bench.device, &bench.chain) == 1) {
			uint32_t value;

			CHECK_EQ(split_chain_read(&bench.chain, 0, &value, 4), 4);
			CHECK_EQ(value, seen);
			seen++;
			split_device_push(&bench.device, bench.chain.head, 0);
		}
		CHECK(split_device_publish(&bench.device));
		while (split_driver_pop(&bench.driver, &id, &length) == 1) {
			split_driver_release(&bench.driver, id);
			returned++;
		}
		if (check_bad)
			return;
	}
	CHECK_EQ(seen, sent);
	CHECK_EQ(returned, sent);
}

static void descriptors_run_out_and_come_back(void)
{
	uint32_t length;
	uint16_t id;
	unsigned int i;

	set_up(NUM);
	for (i = 0; i < NUM; i++)
		post(0, 8, true);
	CHECK_EQ(split_driver_take(&bench.driver), -EAGAIN);
	CHECK(!split_driver_has_free(&bench.driver));
	split_driver_publish(&bench.driver);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	CHECK_EQ(split_chain_write(&bench.chain, 0, "12345678", 8), 8);
	split_device_push(&bench.device, bench.chain.head, 5);
	split_device_publish(&bench.device);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), 1);
	CHECK_EQ(length, 5);
	CHECK_BYTES(bench.arena, "12345678", 8);
	CHECK_EQ(split_driver_take(&bench.driver), -EAGAIN);
	split_driver_release(&bench.driver, id);
	CHECK_EQ(split_driver_take(&bench.driver), id);
}

static void notifications_are_suppressed_by_flags(void)
{
	uint32_t length;
	uint16_t id;

	set_up(NUM);
	CHECK(!split_driver_publish(&bench.driver)); /* nothing new */
	CHECK(!split_device_publish(&bench.device));
	CHECK(!split_device_enable_kicks(&bench.device));
	CHECK(!split_driver_enable_used(&bench.driver));

	split_device_disable_kicks(&bench.device);
	post(0, 4, false);
	CHECK(!split_driver_publish(&bench.driver));
	CHECK(split_device_enable_kicks(&bench.device)); /* came meanwhile */
	CHECK(split_device_pending(&bench.device));
	post(0, 4, false);
	CHECK(split_driver_publish(&bench.driver));

	split_driver_disable_used(&bench.driver);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	split_device_push(&bench.device, bench.chain.head, 0);
	CHECK(!split_device_publish(&bench.device));
	CHECK(split_driver_enable_used(&bench.driver)); /* came meanwhile */
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), 1);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	split_device_push(&bench.device, bench.chain.head, 0);
	CHECK(split_device_publish(&bench.device));
}

static void a_chain_can_be_put_back(void)
{
	uint16_t head;

	set_up(NUM);
	post(0, 4, false);
	split_driver_publish(&bench.driver);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	head = bench.chain.head;
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 0);
	split_device_put_back(&bench.device);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	CHECK_EQ(bench.chain.head, head);
}

/* ---- what a driver may write into a ring ---------------------------------- */

static void desc(unsigned int index, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	bench.driver.ring.desc[index] = (struct split_ring_desc){
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

static void offer(uint16_t head)
{
	struct split_ring_avail *avail = bench.driver.ring.avail;

	avail->ring[le16toh(avail->idx) & (bench.driver.ring.num - 1)] = htole16(head);
	atomic_store(&avail->idx, htole16((uint16_t)(le16toh(avail->idx) + 1)));
}

static void scattered_parts_and_empty_descriptors_are_joined(void)
{
	char text[16] = "";

	set_up(NUM);
	memcpy(bench.arena, "abcdef", 6);
	desc(3, GUEST_BASE, 2, VRING_DESC_F_NEXT, 7);
	desc(7, 0, 0, VRING_DESC_F_NEXT, 1); /* empty: its address says nothing */
	desc(1, GUEST_BASE + 2, 4, VRING_DESC_F_NEXT, 0);
	desc(0, GUEST_BASE + 100, 3, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	desc(2, GUEST_BASE + 200, 3, VRING_DESC_F_WRITE, 0);
	offer(3);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	CHECK_EQ(bench.chain.readable, 2);
	CHECK_EQ(bench.chain.readable_bytes, 6);
	CHECK_EQ(bench.chain.writable, 2);
	CHECK_EQ(bench.chain.writable_bytes, 6);
	CHECK_EQ(split_chain_read(&bench.chain, 1, text, sizeof(text)), 5);
	CHECK_BYTES(text, "bcdef", 6);
	CHECK_EQ(split_chain_write(&bench.chain, 1, "12345678", 8), 5);
	CHECK_BYTES(bench.arena + 100, "\0" "12", 3);
	CHECK_BYTES(bench.arena + 200, "345\0", 4);
}

static void refused(const char *sentence)
{
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), -EPROTO);
	CHECK(strstr(bench.device.ring.error, sentence) != NULL);
	if (!strstr(bench.device.ring.error, sentence))
		printf("  said: %s\n", bench.device.ring.error);
}

static void hostile_drivers_are_refused(void)
{
	unsigned int i;

	set_up(NUM);
	atomic_store(&bench.driver.ring.avail->idx, htole16(NUM + 1));
	refused("jumped by 17");
	set_up(NUM);
	atomic_store(&bench.driver.ring.avail->idx, htole16(0xffff));
	refused("jumped by 65535");

	set_up(NUM);
	offer(NUM);
	refused("descriptor 16 is out of range (16 descriptors)");
	set_up(NUM);
	desc(0, GUEST_BASE, 4, VRING_DESC_F_NEXT, 0xffff);
	offer(0);
	refused("descriptor 65535 is out of range");

	set_up(NUM);
	desc(0, GUEST_BASE, 0, VRING_DESC_F_NEXT, 1);
	desc(1, GUEST_BASE, 0, VRING_DESC_F_NEXT, 0);
	offer(0);
	refused("loop");

	set_up(NUM);
	desc(0, GUEST_BASE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	refused("indirect");

	set_up(NUM);
	desc(0, GUEST_BASE, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	desc(1, GUEST_BASE, 4, 0, 0);
	offer(0);
	refused("follows a writable one");

	set_up(NUM);
	desc(0, GUEST_BASE - 1, 4, 0, 0);
	offer(0);
	refused("outside the memory table");
	set_up(NUM);
	desc(0, GUEST_BASE + ARENA_SIZE - 3, 4, 0, 0);
	offer(0);
	refused("outside the memory table");
	set_up(NUM);
	desc(0, UINT64_MAX - 1, 4, 0, 0);
	offer(0);
	refused("outside the memory table");
	set_up(NUM);
	desc(0, GUEST_BASE, UINT32_MAX, 0, 0);
	offer(0);
	refused("bytes");

	set_up(NUM);
	bench.chain.iov_max = 2;
	for (i = 0; i < 3; i++)
		desc(i, GUEST_BASE, 4, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	offer(0);
	refused("more than 2 parts");
}

/* ---- indirect descriptors --------------------------------------------------- */

#define TABLE 1024u /* where it is in the arena */

static struct split_ring_desc *table(unsigned int index)
{
	return (struct split_ring_desc *)(void *)(bench.arena + TABLE) + index;
}

static void entry(unsigned int index, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	*table(index) = (struct split_ring_desc){
		.addr = htole64(addr), .len = htole32(len),
		.flags = htole16(flags), .next = htole16(next),
	};
}

/* A request of 8 bytes and an answer of 2 in the table, which descriptor 0 refers to. */
static void set_up_indirect(void)
{
	set_up(NUM);
	bench.device.indirect = true;
	entry(0, GUEST_BASE, 8, VRING_DESC_F_NEXT, 1);
	entry(1, GUEST_BASE + 8, 2, VRING_DESC_F_WRITE, 0);
	desc(0, GUEST_BASE + TABLE, 32, VRING_DESC_F_INDIRECT, 0);
}

static void request_is_there(uint16_t head)
{
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	CHECK_EQ(bench.chain.head, head);
	CHECK_EQ(bench.chain.readable_bytes, 8);
	CHECK_EQ(bench.chain.writable_bytes, 2);
	CHECK(bench.chain.iov[0].iov_base == bench.arena);
}

static void indirect_tables_are_followed(void)
{
	set_up_indirect();
	offer(0);
	request_is_there(0);

	/* The WRITE flag of the descriptor that refers to the table says nothing. */
	set_up_indirect();
	desc(5, GUEST_BASE + TABLE, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 3);
	offer(5);
	request_is_there(5);

	/* Behind descriptors in the ring, 2.7.5.3.2. */
	set_up_indirect();
	entry(0, GUEST_BASE + 4, 4, VRING_DESC_F_NEXT, 1);
	desc(3, GUEST_BASE, 4, VRING_DESC_F_NEXT, 0);
	offer(3);
	request_is_there(3);

	/* As long as the queue, in a table that is longer. */
	set_up_indirect();
	entry(0, GUEST_BASE, 1, VRING_DESC_F_NEXT, 40);
	for (unsigned int i = 1; i < NUM; i++)
		entry(41 - i, GUEST_BASE, 1, i < NUM - 1 ? VRING_DESC_F_NEXT : 0,
		      (uint16_t)(40 - i));
	desc(0, GUEST_BASE + TABLE, 41 * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);
	CHECK_EQ(bench.chain.readable_bytes, NUM);
}

static void table_is(uint64_t addr, uint32_t len, uint16_t flags, const char *sentence)
{
	set_up_indirect();
	desc(0, addr, len, flags | VRING_DESC_F_INDIRECT, 1);
	offer(0);
	refused(sentence);
}

static void hostile_tables_are_refused(void)
{
	const uint64_t at = GUEST_BASE + TABLE;

	table_is(at, 0, 0, "an indirect table of 0 bytes");
	table_is(at, 31, 0, "an indirect table of 31 bytes");
	table_is(at, UINT32_MAX, 0, "bytes, not of whole descriptors");
	table_is(at, UINT32_MAX - 15, 0, "is outside the memory table");
	table_is(at, 32, VRING_DESC_F_NEXT, "indirect and has a next one");
	table_is(0, 32, 0, "is outside the memory table");
	table_is(UINT64_MAX - 15, 32, 0, "is outside the memory table");
	table_is(GUEST_BASE + ARENA_SIZE - 16, 32, 0, "is outside the memory table");
	table_is(at + 1, 32, 0, "is not aligned");

	set_up_indirect();
	bench.device.indirect = false;
	offer(0);
	refused("was not negotiated");

	set_up_indirect();
	entry(1, GUEST_BASE + TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	refused("descriptor 1 of an indirect table is indirect itself");

	set_up_indirect();
	entry(0, GUEST_BASE, 8, VRING_DESC_F_NEXT, 2);
	offer(0);
	refused("descriptor 2 is out of range of its indirect table (2 descriptors)");

	set_up_indirect();
	entry(0, GUEST_BASE, 0, VRING_DESC_F_NEXT, 0);
	offer(0);
	refused("loop");

	/* One longer than the queue, without a loop: small parts of none at all. */
	set_up_indirect();
	for (unsigned int i = 0; i <= NUM; i++)
		entry(i, GUEST_BASE, 0, i < NUM ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	desc(0, GUEST_BASE + TABLE, (NUM + 1) * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	refused("longer than 16 descriptors");

	set_up_indirect();
	entry(0, GUEST_BASE, 8, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	entry(1, GUEST_BASE, 8, 0, 0);
	offer(0);
	refused("follows a writable one");

	set_up_indirect();
	entry(1, GUEST_BASE + ARENA_SIZE - 1, 2, VRING_DESC_F_WRITE, 0);
	offer(0);
	refused("outside the memory table");
}

/* Each descriptor costs the device time, those of no bytes too: a large queue does not
 * make long chains. */
static void chains_of_nothing_have_an_end(void)
{
	const unsigned int longest = SPLIT_CHAIN_DESCS_MAX;

	set_up(2 * longest);
	for (unsigned int i = 0; i < longest; i++)
		desc(i, GUEST_BASE, 0, i + 1 < longest ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	offer(0);
	CHECK_EQ(split_device_pop(&bench.device, &bench.chain), 1);

	set_up(2 * longest);
	for (unsigned int i = 0; i < longest + 2; i++) /* one could be that of a table */
		desc(i, GUEST_BASE, 0, i < longest + 1 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	offer(0);
	refused("longer than 64 descriptors");
}

static void bad_rings_are_not_started(void)
{
	struct split_ring parts;

	set_up(NUM);
	parts = bench.driver.ring;
	parts.num = 12;
	CHECK_EQ(split_device_init(&bench.device, &parts, 0, translate, NULL), -EINVAL);
	parts.num = 0;
	CHECK_EQ(split_device_init(&bench.device, &parts, 0, translate, NULL), -EINVAL);
	parts = bench.driver.ring;
	parts.used = (void *)((char *)parts.used + 2);
	CHECK_EQ(split_device_init(&bench.device, &parts, 0, translate, NULL), -EINVAL);
	parts = bench.driver.ring;
	parts.desc = (void *)((char *)parts.desc + 8);
	CHECK_EQ(split_device_init(&bench.device, &parts, 0, translate, NULL), -EINVAL);
	CHECK_EQ(split_driver_init(&bench.driver, bench.memory, 12, bench.slots), -EINVAL);
	CHECK_EQ(split_driver_init(&bench.driver, bench.memory + 4, 16, bench.slots), -EINVAL);
}

/* ---- what a device may write into a ring ---------------------------------- */

static void returned(uint32_t id, uint32_t len)
{
	split_device_push(&bench.device, (uint16_t)id, len);
	/* push takes 16 bits, the ring has room for 32 */
	bench.driver.ring.used->ring[(bench.device.used_idx - 1) & (NUM - 1)].id = htole32(id);
	split_device_publish(&bench.device);
}

static void hostile_devices_are_refused(void)
{
	uint32_t length;
	uint16_t id;

	set_up(NUM);
	post(0, 8, true);
	returned(NUM, 0);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);
	CHECK(strstr(bench.driver.ring.error, "used descriptor 16 is out of range") != NULL);

	set_up(NUM);
	post(0, 8, true);
	returned(0x10000, 0);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);

	set_up(NUM);
	post(0, 8, true);
	returned(5, 0);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);
	CHECK(strstr(bench.driver.ring.error, "was not available") != NULL);

	set_up(NUM);
	post(0, 8, true);
	returned(0, 8);
	returned(0, 8);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), 1);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);

	set_up(NUM);
	post(0, 8, true);
	returned(0, 9);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);
	CHECK(strstr(bench.driver.ring.error, "9 bytes written to a buffer of 8") != NULL);

	set_up(NUM);
	atomic_store(&bench.driver.ring.used->idx, htole16(NUM + 1));
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), -EPROTO);
}

static void the_length_of_a_read_buffer_says_nothing(void)
{
	uint32_t length;
	uint16_t id;

	set_up(NUM);
	post(0, 8, false);
	returned(0, 512);
	CHECK_EQ(split_driver_pop(&bench.driver, &id, &length), 1);
	CHECK_EQ(length, 0);
}

/* ---- two threads, suppression on, nobody may sleep through ------------------ */

#define MESSAGES 100000u

static int kick_fd, call_fd;

static bool sleep_on(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	if (poll(&pollfd, 1, TIMEOUT_MS) != 1)
		return false;
	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void wake(int fd)
{
	uint64_t one = 1;

	CHECK_EQ(write(fd, &one, sizeof(one)), (long long)sizeof(one));
}

static void *consumer(void *unused)
{
	uint32_t wanted = 0, value;

	(void)unused;
	while (wanted < MESSAGES) {
		split_device_disable_kicks(&bench.device);
		while (split_device_pop(&bench.device, &bench.chain) == 1) {
			split_chain_read(&bench.chain, 0, &value, 4);
			if (value != wanted++)
				return NULL;
			split_device_push(&bench.device, bench.chain.head, 0);
		}
		if (split_device_publish(&bench.device))
			wake(call_fd);
		if (split_device_enable_kicks(&bench.device) || wanted == MESSAGES)
			continue;
		if (!sleep_on(kick_fd))
			return NULL;
	}
	return &bench;
}

static bool reclaim(void)
{
	uint32_t length;
	uint16_t id;
	int ret;

	while ((ret = split_driver_pop(&bench.driver, &id, &length)) == 1)
		split_driver_release(&bench.driver, id);
	return ret == 0;
}

/* A free buffer, waiting for it as the link does; -1 after the deadline. */
static int wait_for_buffer(void)
{
	int id;

	while ((id = split_driver_take(&bench.driver)) < 0) {
		if (split_driver_publish(&bench.driver))
			wake(kick_fd);
		if (!split_driver_enable_used(&bench.driver) && !sleep_on(call_fd))
			return -1;
		split_driver_disable_used(&bench.driver);
		if (!reclaim())
			return -1;
	}
	return id;
}

static void two_threads_never_lose_a_wakeup(void)
{
	pthread_t thread;
	void *result;
	uint32_t i;

	set_up(NUM);
	kick_fd = eventfd(0, EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_CLOEXEC);
	CHECK_EQ(pthread_create(&thread, NULL, consumer, NULL), 0);
	for (i = 0; i < MESSAGES; i++) {
		int id = wait_for_buffer();

		CHECK(id >= 0);
		if (id < 0)
			break;
		memcpy(bench.arena + 4 * id, &i, 4);
		split_driver_add(&bench.driver, (uint16_t)id,
				 GUEST_BASE + 4 * (uint64_t)id, 4, false);
		/* Batches of changing size, so that either side sleeps. */
		if (i % 7 < 3 && split_driver_publish(&bench.driver))
			wake(kick_fd);
	}
	if (split_driver_publish(&bench.driver))
		wake(kick_fd);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == &bench);
	close(kick_fd);
	close(call_fd);
}

int main(void)
{
	RUN(seventy_thousand_buffers_wrap_both_indexes);
	RUN(descriptors_run_out_and_come_back);
	RUN(notifications_are_suppressed_by_flags);
	RUN(a_chain_can_be_put_back);
	RUN(scattered_parts_and_empty_descriptors_are_joined);
	RUN(hostile_drivers_are_refused);
	RUN(indirect_tables_are_followed);
	RUN(hostile_tables_are_refused);
	RUN(chains_of_nothing_have_an_end);
	RUN(bad_rings_are_not_started);
	RUN(hostile_devices_are_refused);
	RUN(the_length_of_a_read_buffer_says_nothing);
	RUN(two_threads_never_lose_a_wakeup);
	return check_report();
}
