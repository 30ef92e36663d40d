/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * operation.h - what a client and the pump say to each other about a line
 * request: fixed-size records on the operation descriptor (SOCK_SEQPACKET,
 * native byte order: both ends are on one machine).
 *
 * Masks and bits index the request's line list, as in the kernel's
 * struct gpio_v2_line_values; values are logical (active-low applied).
 */
#ifndef GB_OPERATION_H
#define GB_OPERATION_H

#include <stdint.h>

enum gb_operation_code {
	GB_OPERATION_GET = 1,
	GB_OPERATION_SET = 2,
	/* From here on the pump hands them to Python, payload and all. */
	GB_OPERATION_RELEASE = 16,
	GB_OPERATION_RECONFIGURE = 17,
};

#define GB_OPERATION_BODY_MAX 512

/* One packet; codes from RELEASE on may carry a body behind it. */
struct gb_operation {
	uint32_t code;
	uint32_t sequence; /* echoed; a late reply is told from the right one */
	uint64_t mask;
	uint64_t bits;
};

struct gb_operation_reply {
	uint32_t sequence;
	int32_t error;   /* errno or 0 */
	uint32_t reason; /* enum gb_reason */
	uint32_t line;   /* index of the line that failed */
	uint64_t bits;
};

#endif
