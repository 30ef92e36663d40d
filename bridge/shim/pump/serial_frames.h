/* SPDX-License-Identifier: BSD-3-Clause */
/* serial_frames.h - frames and the bytes they are on the wire (docs/protocol.md 12.1). */
#ifndef GB_SERIAL_FRAMES_H
#define GB_SERIAL_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg_gpio_serial.h"

#define GB_SERIAL_FRAME_MAX RPMSG_GPIO_SERIAL_FRAME_MAX(RPMSG_GPIO_MESSAGE_MAX)
#define GB_SERIAL_WIRE_MAX RPMSG_GPIO_SERIAL_WIRE_SIZE(GB_SERIAL_FRAME_MAX)

/* A frame with its CRC and delimiter; `to` has room for GB_SERIAL_WIRE_MAX bytes.
 * Returns how many it takes. */
size_t gb_serial_encode(uint8_t *to, const void *head, size_t head_length, const void *payload,
			size_t payload_length);

struct gb_serial_decoder {
	uint8_t frame[GB_SERIAL_FRAME_MAX];
	size_t length;
	uint8_t left; /* bytes of the COBS block */
	bool zero;    /* follows the block */
	bool bad;     /* skip until the delimiter */
	bool begun;
};

enum gb_serial_decoded {
	GB_SERIAL_MORE,    /* nothing ended here, or an idle line */
	GB_SERIAL_FRAME,   /* in decoder->frame until the next byte */
	GB_SERIAL_DAMAGED,
};

/* Take a byte in; with GB_SERIAL_FRAME, `length` is that of the frame without its CRC. */
enum gb_serial_decoded gb_serial_decode(struct gb_serial_decoder *decoder, uint8_t byte,
					size_t *length);

#endif
