/* SPDX-License-Identifier: BSD-3-Clause */
/* The remote of rpmsg_remote.h, with the host's driver side of both rings against it. */
#include "rpmsg_remote.h"

#include <stdlib.h>

#include "check.h"
#include "virtio/split_ring.h"

#define BASE   UINT64_C(0x140000000) /* of the driver's addresses: above 32 bits */
#define BUFFER 512u
#define US     1024u /* addresses of endpoints */
#define THEM   1500u

static const unsigned int sizes[RPMSG_VQ_COUNT] = {16, 4};

static struct bed {
	_Alignas(64) uint8_t rings[RPMSG_VQ_COUNT][8192];
	uint8_t memory[20 * BUFFER];
	struct split_driver_slot slots[RPMSG_VQ_COUNT][16];
	struct split_driver drivers[RPMSG_VQ_COUNT];
	struct remote_rings remote;
	unsigned int received;
	uint8_t message[BUFFER];
	size_t length;
	uint32_t source, destination;
	bool refuses;
} bed;

/* Each descriptor has its own buffer: those of RX, then those of TX. */
static uint8_t *buffer_of(unsigned int queue, uint16_t id)
{
	return bed.memory + (queue * sizes[0] + id) * BUFFER;
}

static void give(unsigned int queue, uint16_t id, uint32_t length)
{
	split_driver_add(&bed.drivers[queue], id, BASE + (uint64_t)(buffer_of(queue, id) - bed.memory),
			 length, queue == RPMSG_VQ_RX);
}

static void give_all_receive_buffers(void)
{
	int id;

	while ((id = split_driver_take(&bed.drivers[RPMSG_VQ_RX])) >= 0)
		give(RPMSG_VQ_RX, (uint16_t)id, BUFFER);
	(void)split_driver_publish(&bed.drivers[RPMSG_VQ_RX]);
}

static void set_up(void)
{
	memset(&bed, 0, sizeof(bed));
	for (unsigned int i = 0; i < RPMSG_VQ_COUNT; i++) {
		struct remote_ring *ring = &bed.remote.rings[i];

		CHECK_EQ(split_driver_init(&bed.drivers[i], bed.rings[i], sizes[i], bed.slots[i]), 0);
		ring->desc = bed.drivers[i].ring.desc;
		ring->avail = bed.drivers[i].ring.avail;
		ring->used = bed.drivers[i].ring.used;
		ring->num = (uint16_t)sizes[i];
	}
	bed.remote.memory = bed.memory;
	bed.remote.low = BASE;
	bed.remote.size = sizeof(bed.memory);
	CHECK(remote_rings_start(&bed.remote));
}

/* A message of the driver's; true when the remote wants a kick for it. */
static bool say_with(uint16_t header_length, const void *message, size_t length)
{
	int id = split_driver_take(&bed.drivers[RPMSG_VQ_TX]);
	struct rpmsg_header header = rpmsg_header_make(THEM, US, header_length);
	uint8_t *to;

	CHECK(id >= 0);
	to = buffer_of(RPMSG_VQ_TX, (uint16_t)id);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), message, length);
	give(RPMSG_VQ_TX, (uint16_t)id, (uint32_t)(sizeof(header) + length));
	return split_driver_publish(&bed.drivers[RPMSG_VQ_TX]);
}

static bool say(const void *message, size_t length)
{
	return say_with((uint16_t)length, message, length);
}

static bool received(void *context, uint32_t source, uint32_t destination, const void *message,
		     size_t length)
{
	(void)context;
	if (bed.refuses)
		return false;
	bed.received++;
	bed.source = source;
	bed.destination = destination;
	bed.length = length;
	memcpy(bed.message, message, length);
	return true;
}

static bool receive(void)
{
	return rpmsg_remote_receive(&bed.remote, received, NULL);
}

/* The next message that the remote has sent, NULL when there is none. Its buffer is free. */
static const uint8_t *heard(struct rpmsg_header *header, uint32_t *length)
{
	uint16_t id;

	if (split_driver_pop(&bed.drivers[RPMSG_VQ_RX], &id, length) != 1)
		return NULL;
	split_driver_release(&bed.drivers[RPMSG_VQ_RX], id);
	memcpy(header, buffer_of(RPMSG_VQ_RX, id), sizeof(*header));
	return buffer_of(RPMSG_VQ_RX, id) + sizeof(*header);
}

static void announces_when_the_driver_has_given_buffers(void)
{
	struct rpmsg_header header;
	struct rpmsg_ns_msg ns;
	const uint8_t *message;
	uint32_t length;

	set_up();
	CHECK(!rpmsg_remote_ready(&bed.remote));
	CHECK(!rpmsg_remote_announce(&bed.remote, "rpmsg-io-0", US, true));
	give_all_receive_buffers();
	CHECK(rpmsg_remote_ready(&bed.remote));
	CHECK(rpmsg_remote_announce(&bed.remote, "rpmsg-io-0", US, true));
	CHECK(!heard(&header, &length)); /* not shown yet */
	CHECK(remote_rings_publish(&bed.remote, RPMSG_VQ_RX));
	CHECK(!remote_rings_publish(&bed.remote, RPMSG_VQ_RX));
	message = heard(&header, &length);
	CHECK(message);
	CHECK_EQ(length, RPMSG_HEADER_SIZE + sizeof(ns));
	CHECK_EQ(rpmsg_gpio_load32(header.src), US);
	CHECK_EQ(rpmsg_gpio_load32(header.dst), RPMSG_NS_ADDR);
	CHECK_EQ(rpmsg_gpio_load16(header.len), sizeof(ns));
	memcpy(&ns, message, sizeof(ns));
	CHECK(!strcmp((const char *)ns.name, "rpmsg-io-0"));
	CHECK_EQ(rpmsg_gpio_load32(ns.addr), US);
	CHECK_EQ(rpmsg_gpio_load32(ns.flags), 0);
}

static void a_longer_name_than_the_field_ends_with_a_zero(void)
{
	struct rpmsg_header header;
	const uint8_t *message;
	uint32_t length;

	set_up();
	give_all_receive_buffers();
	CHECK(rpmsg_remote_announce(&bed.remote, "0123456789012345678901234567890123", US, false));
	(void)remote_rings_publish(&bed.remote, RPMSG_VQ_RX);
	message = heard(&header, &length);
	CHECK(message && strlen((const char *)message) == RPMSG_NAME_SIZE - 1);
	CHECK_EQ(message[36], RPMSG_NS_DESTROY);
}

static void two_hundred_thousand_messages_go_both_ways(void)
{
	struct rpmsg_header header;
	uint32_t length;

	set_up();
	give_all_receive_buffers();
	for (uint32_t i = 0; i < 200000; i++) {
		const uint8_t *message;
		uint16_t id;

		(void)say(&i, sizeof(i));
		CHECK(receive());
		CHECK(!memcmp(bed.message, &i, sizeof(i)) && bed.length == sizeof(i));
		CHECK(rpmsg_remote_send(&bed.remote, bed.destination, bed.source, &i, sizeof(i)));
		(void)remote_rings_publish(&bed.remote, RPMSG_VQ_TX);
		(void)remote_rings_publish(&bed.remote, RPMSG_VQ_RX);
		CHECK_EQ(split_driver_pop(&bed.drivers[RPMSG_VQ_TX], &id, &length), 1);
		split_driver_release(&bed.drivers[RPMSG_VQ_TX], id);
		message = heard(&header, &length);
		CHECK(message && !memcmp(message, &i, sizeof(i)));
		give_all_receive_buffers();
		if (check_bad)
			return;
	}
	CHECK_EQ(bed.received, 200000);
	CHECK_EQ(bed.source, THEM);
	CHECK_EQ(bed.destination, US);
}

static void kicks_are_wanted_only_while_nothing_waits(void)
{
	set_up();
	CHECK(say("a", 1)); /* it may sleep */
	CHECK(receive());
	CHECK(!say("b", 1)); /* it looks again by itself */
	CHECK(receive());
	CHECK(!receive());
	CHECK(say("c", 1));
}

static void who_looks_again_soon_asks_for_no_kick(void)
{
	set_up();
	CHECK(say("a", 1));
	CHECK(rpmsg_remote_pending(&bed.remote));
	CHECK(receive());
	CHECK(!rpmsg_remote_pending(&bed.remote));
	CHECK(!say("b", 1));
	CHECK(rpmsg_remote_pending(&bed.remote));
}

static void interrupts_that_the_driver_does_not_want_are_spared(void)
{
	set_up();
	split_driver_disable_used(&bed.drivers[RPMSG_VQ_TX]);
	(void)say("a", 1);
	CHECK(receive());
	CHECK(!remote_rings_publish(&bed.remote, RPMSG_VQ_TX));
	CHECK(split_driver_enable_used(&bed.drivers[RPMSG_VQ_TX])); /* shown all the same */
}

static void without_a_buffer_a_message_waits_for_a_kick(void)
{
	struct rpmsg_header header;
	uint32_t length;

	set_up();
	give_all_receive_buffers();
	for (unsigned int i = 0; i < sizes[RPMSG_VQ_RX]; i++)
		CHECK(rpmsg_remote_send(&bed.remote, US, THEM, "x", 1));
	CHECK(!rpmsg_remote_send(&bed.remote, US, THEM, "late", 4));
	(void)remote_rings_publish(&bed.remote, RPMSG_VQ_RX);
	while (heard(&header, &length))
		;
	for (int id; (id = split_driver_take(&bed.drivers[RPMSG_VQ_RX])) >= 0;)
		give(RPMSG_VQ_RX, (uint16_t)id, BUFFER);
	CHECK(split_driver_publish(&bed.drivers[RPMSG_VQ_RX]));
	CHECK(rpmsg_remote_send(&bed.remote, US, THEM, "late", 4));
}

static void a_message_that_is_refused_comes_again(void)
{
	set_up();
	(void)say("first", 5);
	(void)say("second", 6);
	bed.refuses = true;
	CHECK(!receive());
	CHECK(!receive());
	CHECK(!remote_rings_publish(&bed.remote, RPMSG_VQ_TX));
	bed.refuses = false;
	CHECK(receive());
	CHECK_EQ(bed.length, 5);
	CHECK(receive());
	CHECK_EQ(bed.length, 6);
	CHECK(!receive());
}

static void a_message_that_is_too_long_for_a_buffer_is_dropped(void)
{
	uint8_t message[BUFFER] = {0};
	struct rpmsg_header header;
	uint32_t length;

	set_up();
	give_all_receive_buffers();
	CHECK(rpmsg_remote_send(&bed.remote, US, THEM, message, BUFFER - RPMSG_HEADER_SIZE + 1));
	CHECK(rpmsg_remote_send(&bed.remote, US, THEM, message, BUFFER - RPMSG_HEADER_SIZE));
	(void)remote_rings_publish(&bed.remote, RPMSG_VQ_RX);
	CHECK(heard(&header, &length));
	CHECK_EQ(length, BUFFER);
	CHECK(!heard(&header, &length));
	CHECK(!bed.remote.broken);
}

static void a_restart_goes_on_where_the_driver_says(void)
{
	set_up();
	(void)say("before", 6);
	CHECK(receive());
	(void)remote_rings_publish(&bed.remote, RPMSG_VQ_TX);
	/* The firmware forgets all; the driver's rings go on. */
	bed.remote.rings[RPMSG_VQ_TX].last_avail = 1;
	bed.remote.rings[RPMSG_VQ_TX].used_idx = bed.remote.rings[RPMSG_VQ_TX].published = 0xdead;
	CHECK(remote_rings_start(&bed.remote));
	(void)say("after", 5);
	CHECK(receive());
	CHECK_EQ(bed.length, 5);
	CHECK(remote_rings_publish(&bed.remote, RPMSG_VQ_TX));
	CHECK_EQ(bed.drivers[RPMSG_VQ_TX].ring.used->idx, 2);
}

static void rings_that_were_made_anew_are_noticed(void)
{
	set_up();
	CHECK(!remote_rings_forgotten(&bed.remote));
	(void)say("a", 1);
	CHECK(receive());
	(void)remote_rings_publish(&bed.remote, RPMSG_VQ_TX);
	CHECK(!remote_rings_forgotten(&bed.remote));
	CHECK_EQ(split_driver_init(&bed.drivers[RPMSG_VQ_TX], bed.rings[RPMSG_VQ_TX],
				   sizes[RPMSG_VQ_TX], bed.slots[RPMSG_VQ_TX]), 0);
	CHECK(remote_rings_forgotten(&bed.remote));
}

static void sizes_and_places_that_cannot_be_are_refused(void)
{
	static const uint16_t bad[] = {0, 3, 12, 65535};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_up();
		bed.remote.rings[RPMSG_VQ_TX].num = bad[i];
		CHECK(!remote_rings_start(&bed.remote));
		give_all_receive_buffers();
		CHECK(!rpmsg_remote_ready(&bed.remote));
		CHECK(!receive());
		CHECK(rpmsg_remote_send(&bed.remote, US, THEM, "lost", 4));
	}
	set_up();
	bed.remote.rings[RPMSG_VQ_RX].used =
		(struct split_ring_used *)((uint8_t *)bed.remote.rings[RPMSG_VQ_RX].used + 2);
	CHECK(!remote_rings_start(&bed.remote));
}

static void lays_a_vring_out_as_linux_does(void)
{
	struct remote_ring ring;

	remote_rings_place(&ring, (void *)(uintptr_t)0x88100000, 256, 4096);
	CHECK_EQ((uintptr_t)ring.desc, 0x88100000);
	CHECK_EQ((uintptr_t)ring.avail, 0x88101000);
	CHECK_EQ((uintptr_t)ring.used, 0x88102000);
	CHECK_EQ(ring.num, 256);
}

/* ---- a hostile driver --------------------------------------------------------- */

static struct split_ring_desc *tx_desc(void)
{
	return &bed.drivers[RPMSG_VQ_TX].ring.desc[bed.drivers[RPMSG_VQ_TX].ring.avail->ring[0]];
}

/* The message that waits must not arrive, and nothing after it. */
static void must_break(void)
{
	CHECK(!receive());
	CHECK_EQ(bed.received, 0);
	CHECK(bed.remote.broken);
	CHECK(!rpmsg_remote_ready(&bed.remote));
	CHECK(rpmsg_remote_send(&bed.remote, US, THEM, "lost", 4));
	CHECK(!receive());
}

static void set_up_with_a_message(void)
{
	set_up();
	give_all_receive_buffers();
	(void)say("hello", 5);
}

static void an_index_that_jumps_breaks_the_rings(void)
{
	set_up_with_a_message();
	bed.drivers[RPMSG_VQ_TX].ring.avail->idx = 5;
	must_break();
}

static void an_entry_that_is_no_descriptor_breaks_the_rings(void)
{
	set_up_with_a_message();
	bed.drivers[RPMSG_VQ_TX].ring.avail->ring[0] = 4;
	must_break();
}

static void a_buffer_outside_of_the_memory_breaks_the_rings(void)
{
	static const uint64_t bad[] = {0, BASE - 1, BASE + sizeof(bed.memory) - 20,
				       BASE + sizeof(bed.memory), UINT64_MAX};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_up_with_a_message();
		tx_desc()->addr = bad[i];
		must_break();
	}
	set_up_with_a_message();
	tx_desc()->len = UINT32_MAX;
	must_break();
}

static void a_buffer_without_room_for_a_header_breaks_the_rings(void)
{
	set_up_with_a_message();
	tx_desc()->len = RPMSG_HEADER_SIZE - 1;
	must_break();
}

static void chains_and_buffers_of_the_wrong_direction_break_the_rings(void)
{
	static const uint16_t bad[] = {VRING_DESC_F_NEXT, VRING_DESC_F_WRITE, VRING_DESC_F_INDIRECT};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_up_with_a_message();
		tx_desc()->flags = bad[i];
		must_break();
	}
	set_up();
	give_all_receive_buffers();
	bed.drivers[RPMSG_VQ_RX].ring.desc[bed.drivers[RPMSG_VQ_RX].ring.avail->ring[0]].flags = 0;
	CHECK(rpmsg_remote_send(&bed.remote, US, THEM, "lost", 4));
	CHECK(bed.remote.broken);
	CHECK(!remote_rings_publish(&bed.remote, RPMSG_VQ_RX));
}

static void a_header_that_names_more_than_the_buffer_breaks_the_rings(void)
{
	set_up();
	(void)say_with(6, "hello", 5);
	must_break();
}

int main(void)
{
	RUN(announces_when_the_driver_has_given_buffers);
	RUN(a_longer_name_than_the_field_ends_with_a_zero);
	RUN(two_hundred_thousand_messages_go_both_ways);
	RUN(kicks_are_wanted_only_while_nothing_waits);
	RUN(who_looks_again_soon_asks_for_no_kick);
	RUN(interrupts_that_the_driver_does_not_want_are_spared);
	RUN(without_a_buffer_a_message_waits_for_a_kick);
	RUN(a_message_that_is_refused_comes_again);
	RUN(a_message_that_is_too_long_for_a_buffer_is_dropped);
	RUN(a_restart_goes_on_where_the_driver_says);
	RUN(rings_that_were_made_anew_are_noticed);
	RUN(sizes_and_places_that_cannot_be_are_refused);
	RUN(lays_a_vring_out_as_linux_does);
	RUN(an_index_that_jumps_breaks_the_rings);
	RUN(an_entry_that_is_no_descriptor_breaks_the_rings);
	RUN(a_buffer_outside_of_the_memory_breaks_the_rings);
	RUN(a_buffer_without_room_for_a_header_breaks_the_rings);
	RUN(chains_and_buffers_of_the_wrong_direction_break_the_rings);
	RUN(a_header_that_names_more_than_the_buffer_breaks_the_rings);
	return check_report();
}
