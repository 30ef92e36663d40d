/* SPDX-License-Identifier: BSD-3-Clause */
/* The core as a virtio-gpio device, and a driver that writes its rings by hand. */
#include "virtio_gpio_remote.h"

#include <string.h>

#include "check.h"

#define BASE  UINT64_C(0x140000000) /* of the driver's addresses: above 32 bits */
#define NUM   16u
#define NGPIO 4u
#define NAMES "LED\0" "\0" "IN\0" "BUTTON"

#define OK      VIRTIO_GPIO_STATUS_OK
#define ERR     VIRTIO_GPIO_STATUS_ERR
#define VALID   VIRTIO_GPIO_EVENT_VALID
#define INVALID VIRTIO_GPIO_EVENT_INVALID
#define NONE    VIRTIO_GPIO_IRQ_TYPE_NONE
#define BOTH    VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
#define HIGH    VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH

struct shared_ring {
	_Alignas(16) struct split_ring_desc desc[NUM];
	struct { uint16_t flags, idx, ring[NUM + 1]; } avail;
	_Alignas(4) struct { uint16_t flags, idx; struct split_ring_used_elem ring[NUM]; } used;
	uint16_t seen; /* of used */
};

static struct bed {
	struct shared_ring rings[REMOTE_RINGS_COUNT];
	uint8_t memory[REMOTE_RINGS_COUNT][NUM][64];
	struct { uint8_t level, direction, irq_type; } pins[NGPIO];
	struct rpmsg_gpio_line lines[NGPIO];
	struct virtio_gpio_remote_line remote_lines[NGPIO];
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct virtio_gpio_remote remote;
} bed;

/* ---- pins -------------------------------------------------------------------------- */

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	bed.pins[gpio].direction = direction;
	if (direction == VIRTIO_GPIO_DIRECTION_OUT)
		bed.pins[gpio].level = value;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	bed.pins[gpio].level = value;
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = bed.pins[gpio].level;
	return true;
}

/* Pin 1 has no interrupt. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	if (gpio == 1 && type)
		return false;
	bed.pins[gpio].irq_type = type;
	if (type == HIGH && bed.pins[gpio].level)
		rpmsg_gpio_device_irq(&bed.device, gpio);
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
};

/* ---- the driver ---------------------------------------------------------------------- */

static void run(void)
{
	virtio_gpio_remote_run(&bed.remote);
	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++)
		(void)remote_rings_publish(&bed.remote.rings, i);
}

static void start(void)
{
	memset(bed.rings, 0, sizeof(bed.rings));
	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++) {
		struct remote_ring *ring = &bed.remote.rings.rings[i];

		ring->desc = bed.rings[i].desc;
		ring->avail = (const struct split_ring_avail *)(const void *)&bed.rings[i].avail;
		ring->used = (struct split_ring_used *)(void *)&bed.rings[i].used;
		ring->num = NUM;
		ring->last_avail = 0;
	}
	CHECK(virtio_gpio_remote_start(&bed.remote));
}

static void set_up(void)
{
	memset(&bed, 0, sizeof(bed));
	bed.config = (struct rpmsg_gpio_device_config){
		.port = &port,
		.channel = &virtio_gpio_remote_channel,
		.channel_context = &bed.remote,
		.lines = bed.lines,
		.ngpio = NGPIO,
		.names = NAMES,
		.names_size = sizeof(NAMES),
	};
	rpmsg_gpio_device_init(&bed.device, &bed.config);
	bed.remote.device = &bed.device;
	bed.remote.lines = bed.remote_lines;
	bed.remote.rings.memory = bed.memory[0][0];
	bed.remote.rings.low = BASE;
	bed.remote.rings.size = sizeof(bed.memory);
	start();
}

static uint64_t address(const uint8_t *at)
{
	return BASE + (uint64_t)(at - bed.memory[0][0]);
}

/* A chain of two descriptors, `head` and the one behind it: what is said, and room. */
static void post(unsigned int queue, uint16_t head, const void *said, uint32_t length,
		 uint32_t room)
{
	struct shared_ring *ring = &bed.rings[queue];
	uint8_t *to = bed.memory[queue][head];

	memcpy(to, said, length);
	memset(bed.memory[queue][head + 1], 0xee, sizeof(bed.memory[queue][head + 1]));
	ring->desc[head] = (struct split_ring_desc){
		address(to), length, VRING_DESC_F_NEXT, (uint16_t)(head + 1)};
	ring->desc[head + 1] = (struct split_ring_desc){
		address(bed.memory[queue][head + 1]), room, VRING_DESC_F_WRITE, 0};
	ring->avail.ring[ring->avail.idx % NUM] = head;
	ring->avail.idx++;
}

/* The buffer that came back first, or NULL; its length. */
static const uint8_t *taken(unsigned int queue, uint32_t *length)
{
	struct shared_ring *ring = &bed.rings[queue];
	const struct split_ring_used_elem *elem = &ring->used.ring[ring->seen % NUM];

	if (ring->seen == ring->used.idx)
		return NULL;
	ring->seen++;
	*length = elem->len;
	return bed.memory[queue][elem->id + 1];
}

static const uint8_t *request_with(uint16_t type, uint16_t gpio, uint32_t value, uint32_t room,
				   uint32_t *length)
{
	const struct virtio_gpio_request request = {
		rpmsg_gpio_store16(type), rpmsg_gpio_store16(gpio), rpmsg_gpio_store32(value)};

	post(VIRTIO_GPIO_VQ_REQUEST, 4, &request, sizeof(request), room);
	run();
	return taken(VIRTIO_GPIO_VQ_REQUEST, length);
}

/* Status, and value << 8. */
static unsigned int request(uint16_t type, uint16_t gpio, uint32_t value)
{
	uint32_t length = 0;
	const uint8_t *reply = request_with(type, gpio, value, 2, &length);

	CHECK(reply);
	CHECK_EQ(length, 2);
	return reply ? reply[0] | (unsigned int)reply[1] << 8 : ~0u;
}

static unsigned int set_type(uint16_t gpio, uint32_t type)
{
	return request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, gpio, type);
}

static void post_event(uint16_t head, uint16_t gpio)
{
	const rpmsg_gpio_le16 said = rpmsg_gpio_store16(gpio);

	post(VIRTIO_GPIO_VQ_EVENT, head, &said, sizeof(said), 1);
	run();
}

/* The status of the buffer of the eventq that came back first; -1: none. */
static int event(void)
{
	uint32_t length;
	const uint8_t *buffer = taken(VIRTIO_GPIO_VQ_EVENT, &length);

	if (!buffer)
		return -1;
	CHECK_EQ(length, 1);
	CHECK_EQ(buffer[1], 0xee);
	return buffer[0];
}

static void edge(uint16_t gpio)
{
	bed.pins[gpio].level ^= 1;
	if (bed.pins[gpio].irq_type == BOTH)
		rpmsg_gpio_device_edge(&bed.device, gpio, bed.pins[gpio].level, 0);
	run();
}

/* ---- the requestq ----------------------------------------------------------------------- */

static void requests_are_the_cores(void)
{
	set_up();
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_VALUE, 0, 1), OK);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_DIRECTION, 0, VIRTIO_GPIO_DIRECTION_OUT), OK);
	CHECK_EQ(bed.pins[0].level, 1);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_DIRECTION, 0, 0), VIRTIO_GPIO_DIRECTION_OUT << 8);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, 0, 0), 1 << 8);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, NGPIO, 0), ERR);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_VALUE, 0, 2), ERR);
}

static void names_come_in_one_piece(void)
{
	uint32_t length = 0;
	const uint8_t *reply;

	set_up();
	reply = request_with(VIRTIO_GPIO_MSG_GET_LINE_NAMES, 0, 0, 1 + sizeof(NAMES), &length);
	CHECK_EQ(length, 1 + sizeof(NAMES));
	CHECK_EQ(reply[0], OK);
	CHECK(!memcmp(reply + 1, NAMES, sizeof(NAMES)));
	reply = request_with(VIRTIO_GPIO_MSG_GET_LINE_NAMES, 0, 0, sizeof(NAMES), &length);
	CHECK_EQ(reply[0], ERR);
	CHECK_EQ(length, 1);
	CHECK_EQ(reply[1], 0xee);
}

static void extensions_do_not_exist(void)
{
	set_up();
	CHECK_EQ(request(RPMSG_GPIO_MSG_GET_FEATURES, 0, 0), ERR);
	CHECK_EQ(request(RPMSG_GPIO_MSG_SET_FEATURES, 0, RPMSG_GPIO_F_TAG), ERR);
	CHECK_EQ(request(0, 0, 0), ERR);
	CHECK_EQ(bed.device.features, 0);
}

/* ---- the eventq --------------------------------------------------------------------------- */

static void an_edge_returns_the_buffer_of_its_line(void)
{
	set_up();
	CHECK_EQ(set_type(2, BOTH), OK);
	CHECK_EQ(set_type(3, BOTH), OK);
	post_event(0, 2);
	post_event(2, 3);
	CHECK_EQ(event(), -1);
	edge(3);
	CHECK_EQ(bed.rings[VIRTIO_GPIO_VQ_EVENT].used.ring[0].id, 2);
	CHECK_EQ(event(), VALID);
	edge(2);
	CHECK_EQ(event(), VALID);
	CHECK_EQ(event(), -1);
}

static void edges_without_a_buffer_are_one_as_soon_as_there_is_one(void)
{
	set_up();
	CHECK_EQ(set_type(2, BOTH), OK);
	edge(2);
	edge(2);
	post_event(0, 2);
	CHECK_EQ(event(), VALID);
	edge(2);
	CHECK_EQ(event(), -1);
	post_event(0, 2);
	CHECK_EQ(event(), VALID);
	post_event(0, 2);
	/* The edge before the first buffer was followed by one that the core has latched. */
	CHECK_EQ(event(), -1);
	edge(2);
	CHECK_EQ(event(), VALID);
}

static void a_level_is_looked_at_when_the_buffer_comes(void)
{
	set_up();
	bed.pins[2].level = 1;
	CHECK_EQ(set_type(2, HIGH), OK);
	bed.pins[2].level = 0;
	post_event(0, 2);
	CHECK_EQ(event(), -1);
	bed.pins[2].level = 1;
	rpmsg_gpio_device_irq(&bed.device, 2);
	run();
	CHECK_EQ(event(), VALID);
	post_event(0, 2); /* still active */
	CHECK_EQ(event(), VALID);
	bed.pins[2].level = 0;
	post_event(0, 2);
	CHECK_EQ(event(), -1);
}

static void an_interrupt_that_ends_returns_its_buffer(void)
{
	set_up();
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	CHECK_EQ(set_type(2, NONE), OK);
	CHECK_EQ(event(), INVALID);
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_NONE), OK);
	CHECK_EQ(event(), INVALID);
	/* What was due is forgotten. */
	CHECK_EQ(set_type(2, BOTH), OK);
	edge(2);
	CHECK_EQ(set_type(2, NONE), OK);
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	CHECK_EQ(event(), -1);
}

static void a_buffer_of_a_line_without_an_interrupt_stays(void)
{
	set_up();
	CHECK_EQ(set_type(1, BOTH), ERR);
	post_event(0, 1);
	CHECK_EQ(event(), -1);
	CHECK_EQ(set_type(1, NONE), OK);
	CHECK_EQ(event(), INVALID);
}

static void a_buffer_that_makes_no_sense_comes_back(void)
{
	set_up();
	post_event(0, NGPIO);
	CHECK_EQ(event(), INVALID);
	post_event(2, 2);
	post_event(4, 2);
	CHECK_EQ(bed.rings[VIRTIO_GPIO_VQ_EVENT].used.ring[1].id, 4);
	CHECK_EQ(event(), INVALID);
	CHECK_EQ(event(), -1);
}

/* ---- a driver's life ------------------------------------------------------------------- */

static void the_next_driver_finds_levels_and_no_interrupts(void)
{
	set_up();
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_VALUE, 0, 1), OK);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_SET_DIRECTION, 0, VIRTIO_GPIO_DIRECTION_OUT), OK);
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	virtio_gpio_remote_stop(&bed.remote);
	edge(2);
	CHECK_EQ(event(), -1);
	start();
	CHECK_EQ(bed.pins[2].irq_type, NONE);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_DIRECTION, 0, 0), VIRTIO_GPIO_DIRECTION_OUT << 8);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, 0, 0), 1 << 8);
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	CHECK_EQ(event(), -1);
	edge(2);
	CHECK_EQ(event(), VALID);
}

static void must_break(unsigned int queue)
{
	uint16_t used = bed.rings[queue].used.idx;

	run();
	CHECK(bed.remote.rings.broken);
	CHECK_EQ(bed.rings[queue].used.idx, used);
}

static void chains_that_are_no_request_break_the_rings(void)
{
	const uint8_t said[8] = {VIRTIO_GPIO_MSG_GET_VALUE};
	struct split_ring_desc *desc = &bed.rings[VIRTIO_GPIO_VQ_REQUEST].desc[0];

	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 7, 2);
	must_break(VIRTIO_GPIO_VQ_REQUEST);
	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 8, 0);
	must_break(VIRTIO_GPIO_VQ_REQUEST);
	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 8, 2);
	desc->next = NUM;
	must_break(VIRTIO_GPIO_VQ_REQUEST);
	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 8, 2);
	desc->next = 0; /* to itself */
	must_break(VIRTIO_GPIO_VQ_REQUEST);
	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 8, 2);
	desc[1].addr = BASE + sizeof(bed.memory) - 1;
	must_break(VIRTIO_GPIO_VQ_REQUEST);
	set_up();
	post(VIRTIO_GPIO_VQ_REQUEST, 0, said, 8, 2);
	desc[1].addr = BASE - 1;
	must_break(VIRTIO_GPIO_VQ_REQUEST);
}

static void a_buffer_that_changes_while_it_waits_breaks_the_rings(void)
{
	set_up();
	CHECK_EQ(set_type(2, BOTH), OK);
	post_event(0, 2);
	bed.rings[VIRTIO_GPIO_VQ_EVENT].desc[1].addr = 0;
	bed.pins[2].level = 1;
	rpmsg_gpio_device_edge(&bed.device, 2, true, 0);
	must_break(VIRTIO_GPIO_VQ_EVENT);
}

int main(void)
{
	RUN(requests_are_the_cores);
	RUN(names_come_in_one_piece);
	RUN(extensions_do_not_exist);
	RUN(an_edge_returns_the_buffer_of_its_line);
	RUN(edges_without_a_buffer_are_one_as_soon_as_there_is_one);
	RUN(a_level_is_looked_at_when_the_buffer_comes);
	RUN(an_interrupt_that_ends_returns_its_buffer);
	RUN(a_buffer_of_a_line_without_an_interrupt_stays);
	RUN(a_buffer_that_makes_no_sense_comes_back);
	RUN(the_next_driver_finds_levels_and_no_interrupts);
	RUN(chains_that_are_no_request_break_the_rings);
	RUN(a_buffer_that_changes_while_it_waits_breaks_the_rings);
	return check_report();
}
