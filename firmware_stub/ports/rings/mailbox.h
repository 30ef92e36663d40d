/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox.h - what the firmware and the other side say over the UART that stands for a
 * SoC's mailbox: one byte each, of which START has a body.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdint.h>

/* To the firmware. */
#define MAILBOX_START 0x01 /* struct mailbox_start follows */
#define MAILBOX_STOP  0x02 /* answered with STOPPED */

/* From the firmware. */
#define MAILBOX_READY   0x01 /* it has booted, and knows of no rings */
#define MAILBOX_STOPPED 0x02 /* it leaves the shared memory alone */
#define MAILBOX_BROKEN  0x03 /* the rings make no sense, or START */

/* With the number of a virtqueue: a kick; from the firmware, a call. */
#define MAILBOX_QUEUE 0x10

#define MAILBOX_QUEUES 2

/* Little-endian; addresses are the MCU's unless said otherwise. */
struct mailbox_start {
	uint64_t memory;    /* of what the driver calls `low` */
	uint64_t low, size; /* what descriptors may name, in the driver's addresses */
	struct {
		uint64_t desc, avail, used;
		uint16_t num, base;
		uint32_t reserved;
	} rings[MAILBOX_QUEUES];
	uint32_t epoch;
	uint32_t check; /* see mailbox_check() */
};

/* The words before, added and inverted. */
static inline uint32_t mailbox_check(const struct mailbox_start *start)
{
	const uint32_t *word = (const uint32_t *)start;
	uint32_t sum = 0;
	unsigned int i;

	for (i = 0; i < sizeof(*start) / 4 - 1; i++)
		sum += word[i];
	return ~sum;
}

#endif
