/* SPDX-License-Identifier: BSD-3-Clause */
/* messages.c - messages of a DLN-2 to the kernel's drivers; all that is in them is little-endian. */
#include "adapter_internal.h"

#include <string.h>

#define BODY_MAX   4u      /* of an answer */
#define GPIO_EVENT 0x010fu /* module GPIO, "condition met" */

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

/* Behind the header, which comes back, is a result; the driver knows no errno from it. */
void dln2_answer(struct gb_adapter *adapter, uint64_t message, const uint8_t *header,
		 const uint8_t *body, size_t length)
{
	uint8_t bytes[DLN2_HEADER_SIZE + 2 + BODY_MAX] = {0};

	if (!usbip_complete(&adapter->usb, message, 0))
		return; /* nobody waits any more */
	memcpy(bytes, header, DLN2_HEADER_SIZE);
	put16(bytes, (uint32_t)(DLN2_HEADER_SIZE + 2 + length));
	if (length)
		memcpy(bytes + DLN2_HEADER_SIZE + 2, body, length);
	usbip_send(&adapter->usb, bytes, DLN2_HEADER_SIZE + 2 + length);
}

void dln2_answer_value(const struct adapter_line *line, uint64_t message, const uint8_t *header,
		       uint8_t value)
{
	uint8_t body[3] = {0, 0, value};

	put16(body, line->base.index);
	dln2_answer(adapter_of(line), message, header, body, sizeof(body));
}

void dln2_send_event(const struct adapter_line *line, bool high)
{
	uint8_t bytes[DLN2_HEADER_SIZE + 6] = {0};

	put16(bytes, sizeof(bytes));
	put16(bytes + 2, GPIO_EVENT);
	put16(bytes + DLN2_HEADER_SIZE, 1); /* count */
	bytes[DLN2_HEADER_SIZE + 2] = 1;    /* type */
	put16(bytes + DLN2_HEADER_SIZE + 3, line->base.index);
	bytes[DLN2_HEADER_SIZE + 5] = high;
	usbip_send(&adapter_of(line)->usb, bytes, sizeof(bytes));
}
