/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MCU's virtio-gpio device behind a resource table: a driver that writes anything into rings
 * and buffers, also while the firmware works on one of its requests, and pins that interrupt at
 * any time. Each buffer comes back once, pins are touched as configured.
 */
#include "fuzz.h"
#include "remote_driver.h"
#include "virtio_gpio_remote.h"

#define LINES 4u
#define NAMES "LED\0" "\0" "IN\0" "BUTTON"

static struct {
	struct virtio_gpio_remote remote;
	struct remote_driver driver;
	struct virtio_gpio_remote_line *remote_lines;
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_line lines[LINES];
	uint8_t direction[LINES], irq_type[LINES];
	uint8_t refuses, level;
	uint16_t ahead[REMOTE_RINGS_COUNT]; /* of buffers taken to those given back, at the start */
	struct input *meanwhile;            /* what the driver does while a pin is touched */
} bed;

/* ---- pins ----------------------------------------------------------------------------- */

static bool touch(uint16_t gpio, unsigned int what)
{
	MUST(gpio < LINES);
	if (bed.meanwhile)
		driver_scribble(&bed.driver, &bed.remote.rings, bed.meanwhile);
	return !(bed.refuses >> what & 1);
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	if (!touch(gpio, 0))
		return false;
	MUST(direction <= VIRTIO_GPIO_DIRECTION_IN && value <= 1);
	bed.direction[gpio] = direction;
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	MUST(bed.direction[gpio] == VIRTIO_GPIO_DIRECTION_OUT && value <= 1);
	return touch(gpio, 1);
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = bed.level;
	return touch(gpio, 2);
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	if (!touch(gpio, 3) && type != VIRTIO_GPIO_IRQ_TYPE_NONE)
		return false;
	bed.irq_type[gpio] = type;
	if (type >= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH && bed.level)
		rpmsg_gpio_device_irq(&bed.device, gpio);
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction, .set_value = set_value, .get_value = get_value,
	.set_irq_type = set_irq_type,
};

/* ---- the driver ----------------------------------------------------------------------- */

static uint16_t ahead(unsigned int queue)
{
	const struct remote_ring *ring = &bed.remote.rings.rings[queue];

	return (uint16_t)(ring->last_avail - ring->used_idx);
}

static bool start(void)
{
	bool started = virtio_gpio_remote_start(&bed.remote);

	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++)
		bed.ahead[i] = ahead(i);
	return started;
}

static bool set_up(struct input *input)
{
	memset(&bed, 0, sizeof(bed));
	bed.remote_lines = malloc(LINES * sizeof(*bed.remote_lines));
	MUST(bed.remote_lines);
	bed.config = (struct rpmsg_gpio_device_config){
		.port = &port,
		.channel = &virtio_gpio_remote_channel,
		.channel_context = &bed.remote,
		.lines = bed.lines,
		.ngpio = LINES,
		.names = NAMES,
		.names_size = sizeof(NAMES),
		.strict = take_u8(input) & 1,
	};
	rpmsg_gpio_device_init(&bed.device, &bed.config);
	driver_begin(&bed.driver, &bed.remote.rings, input);
	bed.remote.device = &bed.device;
	bed.remote.lines = bed.remote_lines;
	return start();
}

/* A chain that is nearly right: what is said, and room, at the end of the memory. */
static void post(struct input *input, unsigned int queue)
{
	unsigned int num = bed.remote.rings.rings[queue].num, head = take_u8(input) % num;
	uint16_t next = (uint16_t)((head + 1) % num);
	uint8_t kind = take_u8(input);
	uint32_t offset = (uint32_t)take_u8(input) * 8, room = take_u8(input);
	uint32_t reply = kind & 4 ? take_u16(input) : MEMORY - room;
	uint8_t said[8] = {take_u8(input), 0, 0, 0, 0};

	if (queue == VIRTIO_GPIO_VQ_REQUEST) {
		said[2] = take_u8(input);
		said[4] = take_u8(input);
		said[0] = kind & 1 ? said[0] : said[0] % 8;
	}
	if (offset + sizeof(said) <= MEMORY)
		memcpy(bed.driver.memory + offset, said, sizeof(said));
	bed.driver.desc[queue][head] = (struct split_ring_desc){
		BASE + offset, queue == VIRTIO_GPIO_VQ_REQUEST ? 8 : 2,
		kind & 2 ? take_u8(input) : VRING_DESC_F_NEXT, next};
	bed.driver.desc[queue][next] = (struct split_ring_desc){
		BASE + reply, room,
		kind & 8 ? take_u8(input) : VRING_DESC_F_WRITE, next};
	driver_show(&bed.driver, &bed.remote.rings, queue, head, kind & 16 ? take_u8(input) : 1);
}

static unsigned int kept(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < LINES; i++)
		count += bed.remote_lines[i].queued;
	return count;
}

/* The buffers taken and not given back are those that wait for an interrupt. */
static void check(void)
{
	uint16_t requests = (uint16_t)(ahead(VIRTIO_GPIO_VQ_REQUEST) - bed.ahead[VIRTIO_GPIO_VQ_REQUEST]);
	uint16_t events = (uint16_t)(ahead(VIRTIO_GPIO_VQ_EVENT) - bed.ahead[VIRTIO_GPIO_VQ_EVENT]);

	if (bed.remote.rings.broken)
		return;
	MUST(!requests && events == kept());
	MUST(!remote_rings_waiting(&bed.remote.rings, VIRTIO_GPIO_VQ_REQUEST));
}

static void interrupt(uint16_t gpio)
{
	if (bed.irq_type[gpio] >= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH)
		rpmsg_gpio_device_irq(&bed.device, gpio);
	else if (bed.irq_type[gpio])
		rpmsg_gpio_device_edge(&bed.device, gpio, bed.level, 0);
}

static void run(struct input *meanwhile)
{
	bool was_broken = bed.remote.rings.broken;
	uint16_t before[] = {ahead(VIRTIO_GPIO_VQ_REQUEST), ahead(VIRTIO_GPIO_VQ_EVENT)};

	bed.meanwhile = meanwhile;
	virtio_gpio_remote_run(&bed.remote);
	bed.meanwhile = NULL;
	MUST(!was_broken || (bed.remote.rings.broken && before[0] == ahead(0) &&
			     before[1] == ahead(1)));
	if (!meanwhile)
		check();
	for (unsigned int i = 0; i < REMOTE_RINGS_COUNT; i++)
		(void)remote_rings_publish(&bed.remote.rings, i);
}

static void step(struct input *input)
{
	uint8_t kind = take_u8(input);

	switch (kind & 0xf) {
	case 0:
	case 1:
	case 2:
	case 3:
		post(input, VIRTIO_GPIO_VQ_REQUEST);
		break;
	case 4:
	case 5:
		post(input, VIRTIO_GPIO_VQ_EVENT);
		break;
	case 6:
		driver_scribble(&bed.driver, &bed.remote.rings, input);
		break;
	case 7:
		bed.refuses = kind >> 4;
		break;
	case 8:
	case 9:
		bed.level = kind >> 4 & 1;
		interrupt(kind >> 5 & 3);
		break;
	case 10:
		(void)remote_rings_forgotten(&bed.remote.rings);
		if (kind & 0x10)
			virtio_gpio_remote_stop(&bed.remote);
		MUST(start());
		break;
	case 11:
		run(input);
		break;
	default:
		run(NULL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};

	if (set_up(&input))
		while (!take_end(&input))
			step(&input);
	driver_end(&bed.driver);
	free(bed.remote_lines);
	return 0;
}
