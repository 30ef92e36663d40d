/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pump between a client and a firmware that both are hostile: operation records and
 * what else a client does with its descriptors; replies, records of edges and names that
 * no request asked for. The first byte may put the real firmware core behind the link.
 */
#include "firmware_link.h"

static struct bed bed;

/* ---- what the firmware does --------------------------------------------------------- */

static void deliver(const uint8_t *bytes, size_t length)
{
	uint8_t *exact = malloc(length ? length : 1);

	memcpy(exact, bytes, length);
	gb_lock(bed.pump);
	if (the_link && !the_link->base.dead)
		gb_link_received(&the_link->base, BED_ADDRESS, BED_SOURCE, exact,
				 (uint16_t)length);
	gb_unlock(bed.pump);
	free(exact);
}

/* One that answers, but for what the input says. */
static void reply(uint8_t kind)
{
	struct rpmsg_gpio_ext_reply head = {
		.queue = RPMSG_GPIO_QUEUE_REQUEST, .status = kind >> 7,
		.value = kind >> 6 & 1, .epoch = rpmsg_gpio_store16((uint16_t)BED_EPOCH),
	};
	uint8_t bytes[sizeof(head) + 64] = {0};
	const uint8_t *body;
	size_t length;

	head.tag = rpmsg_gpio_store16((uint16_t)(the_link->tag - (kind >> 4 & 3)));
	memcpy(bytes, &head, sizeof(head));
	length = take_bytes(&bed.input, &body, 64);
	if (length)
		memcpy(bytes + sizeof(head), body, length);
	deliver(bytes, sizeof(head) + length);
}

static void record(uint8_t kind)
{
	struct rpmsg_gpio_timed_event event = {
		.event = {.queue = RPMSG_GPIO_QUEUE_EVENT, .flags = kind >> 4 & 3,
			  .gpio = rpmsg_gpio_store16(take_u8(&bed.input) % (BED_LINES + 1)),
			  .sequence = rpmsg_gpio_store32(take_u8(&bed.input))},
		.timestamp = rpmsg_gpio_store64(kernel_now() + take_u16(&bed.input)),
	};

	deliver((const uint8_t *)&event, kind & 64 ? sizeof(event.event) : sizeof(event));
}

static void firmware_step(uint8_t kind)
{
	const uint8_t *bytes;
	size_t length;

	if (!the_link)
		return;
	switch (kind & 7) {
	case 0:
		length = take_bytes(&bed.input, &bytes, 600);
		deliver(bytes, length);
		break;
	case 1:
	case 2:
		reply(kind);
		break;
	case 3:
		record(kind);
		break;
	case 4:
		gb_lock(bed.pump);
		the_link->full = kind & 8;
		if (!the_link->full && !the_link->base.dead)
			gb_link_writable(&the_link->base);
		gb_unlock(bed.pump);
		break;
	case 5:
		link_edge(&bed, (kind >> 3) % BED_LINES);
		break;
	case 6:
		gb_lock(bed.pump);
		if (!the_link->base.dead)
			gb_link_announced(&the_link->base, "rpmsg-io-1", kind, kind & 8);
		gb_unlock(bed.pump);
		break;
	default:
		the_link->broken = kind == 0xff;
		the_link->honest = kind & 8;
		break;
	}
	bed_reports(&bed);
}

static void step(void *context)
{
	(void)context;
	bed_turn(&bed, firmware_step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t features[] = {
		0, RPMSG_GPIO_F_TAG, RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH, RPMSG_GPIO_FEATURES,
	};
	struct fuzz_link *link;
	uint8_t kind;

	kernel_reset();
	bed_open(&bed, data, size);
	kind = take_u8(&bed.input);
	link = link_new(kind & 4, features[kind & 3]);
	bed_attach(&bed, &link->base, features[kind & 3]);
	bed_begin_request(&bed, 0, kind);
	kernel_run(step, NULL);
	bed_close(&bed);
	return 0;
}
