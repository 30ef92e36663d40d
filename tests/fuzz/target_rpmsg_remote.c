/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MCU's rpmsg remote: a driver that writes anything into rings and buffers at any time,
 * its turns between any two of the firmware's. What the firmware is handed lies in the memory.
 */
#include "fuzz.h"
#include "remote_driver.h"
#include "rpmsg_remote.h"

static struct {
	struct remote_rings remote;
	struct remote_driver driver;
	bool refuses, echoes;
} bed;

static bool received(void *context, uint32_t source, uint32_t destination, const void *message,
		     size_t length)
{
	const uint8_t *bytes = message;
	static uint8_t copy[MEMORY];

	(void)context;
	MUST(bytes >= bed.driver.memory + RPMSG_HEADER_SIZE);
	MUST(length <= (size_t)(bed.driver.memory + MEMORY - bytes));
	if (bed.refuses)
		return false;
	memcpy(copy, message, length);
	return !bed.echoes || rpmsg_remote_send(&bed.remote, destination, source, copy, length);
}

/* An entry that is nearly right, shown or not. */
static void put(struct input *input, unsigned int queue)
{
	unsigned int num = bed.remote.rings[queue].num, id = take_u8(input) % (num + 1u);
	uint8_t kind = take_u8(input);
	uint32_t offset = take_u16(input) % (MEMORY + 64u), length = take_u16(input) % 600u;

	if (id < num)
		bed.driver.desc[queue][id] = (struct split_ring_desc){
			BASE + offset, length,
			(uint16_t)(kind & 1 ? take_u8(input) : queue == RPMSG_VQ_RX ? 2 : 0), 0};
	if (queue == RPMSG_VQ_TX && offset + RPMSG_HEADER_SIZE <= MEMORY) {
		struct rpmsg_header header = rpmsg_header_make(
			1500, 1024, (uint16_t)(kind & 2 ? take_u16(input) : length - RPMSG_HEADER_SIZE));

		memcpy(bed.driver.memory + offset, &header, sizeof(header));
	}
	driver_show(&bed.driver, &bed.remote, queue, id, kind & 4 ? take_u8(input) : 1);
}

static void step(struct input *input)
{
	uint8_t kind = take_u8(input);
	unsigned int budget = 100, used, queue = kind >> 4 & 1;
	static const uint8_t message[600];

	switch (kind & 0xf) {
	case 0:
	case 1:
		put(input, RPMSG_VQ_RX);
		break;
	case 2:
	case 3:
	case 4:
		put(input, RPMSG_VQ_TX);
		break;
	case 5:
		driver_scribble(&bed.driver, &bed.remote, input);
		break;
	case 6:
		bed.refuses = kind & 0x10;
		bed.echoes = kind & 0x20;
		break;
	case 7:
		(void)rpmsg_remote_send(&bed.remote, 1024, 1500, message,
					take_u16(input) % sizeof(message));
		break;
	case 8:
		(void)rpmsg_remote_announce(&bed.remote, "rpmsg-io-0", 1024, kind & 0x10);
		break;
	case 9:
		(void)rpmsg_remote_ready(&bed.remote);
		(void)rpmsg_remote_pending(&bed.remote);
		(void)remote_rings_forgotten(&bed.remote);
		break;
	case 10:
	case 11:
		used = bed.remote.rings[queue].used_idx;
		(void)remote_rings_publish(&bed.remote, queue);
		MUST(bed.driver.used[queue]->idx == used || bed.remote.rings[queue].published == used);
		break;
	case 12:
		MUST(remote_rings_start(&bed.remote));
		break;
	default:
		/* No ring has more than it has entries, so this ends. */
		while (rpmsg_remote_receive(&bed.remote, received, NULL))
			MUST(--budget);
		break;
	}
	MUST(!bed.remote.broken || rpmsg_remote_send(&bed.remote, 1, 2, "x", 1));
	MUST(!bed.remote.broken || !rpmsg_remote_receive(&bed.remote, received, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};

	driver_begin(&bed.driver, &bed.remote, &input);
	if (remote_rings_start(&bed.remote))
		while (!take_end(&input))
			step(&input);
	driver_end(&bed.driver);
	return 0;
}
