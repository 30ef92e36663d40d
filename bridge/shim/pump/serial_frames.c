/* SPDX-License-Identifier: BSD-3-Clause */
#include "serial_frames.h"

#include <string.h>

/* ---- out -------------------------------------------------------------------- */

static size_t cobs(uint8_t *to, const uint8_t *bytes, size_t length)
{
	size_t code_at = 0, end = 1;
	uint8_t code = 1;

	for (size_t i = 0; i < length; i++) {
		if (bytes[i]) {
			to[end++] = bytes[i];
			code++;
		}
		if (!bytes[i] || (code == 0xff && i + 1 < length)) {
			to[code_at] = code;
			code_at = end++; /* the next code's place */
			code = 1;
		}
	}
	to[code_at] = code;
	to[end++] = 0;
	return end;
}

size_t gb_serial_encode(uint8_t *to, const void *head, size_t head_length, const void *payload,
			size_t payload_length)
{
	uint8_t frame[GB_SERIAL_FRAME_MAX];
	size_t length = head_length + payload_length;
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	rpmsg_gpio_le32 le;

	memcpy(frame, head, head_length);
	if (payload_length)
		memcpy(frame + head_length, payload, payload_length);
	for (size_t i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame[i]);
	le = rpmsg_gpio_store32(~crc);
	memcpy(frame + length, &le, sizeof(le));
	return cobs(to, frame, length + sizeof(le));
}

/* ---- in --------------------------------------------------------------------- */

static bool crc_fits(const struct gb_serial_decoder *decoder)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;

	if (decoder->length <= RPMSG_GPIO_SERIAL_CRC_SIZE)
		return false;
	for (size_t i = 0; i < decoder->length; i++)
		crc = rpmsg_gpio_serial_crc(crc, decoder->frame[i]);
	return crc == RPMSG_GPIO_SERIAL_CRC_RESIDUE;
}

static void append(struct gb_serial_decoder *decoder, uint8_t byte)
{
	if (decoder->length < sizeof(decoder->frame))
		decoder->frame[decoder->length++] = byte;
	else
		decoder->bad = true;
}

static enum gb_serial_decoded end(struct gb_serial_decoder *decoder, size_t *length)
{
	bool begun = decoder->begun;
	bool good = !decoder->bad && !decoder->left && crc_fits(decoder);

	*length = decoder->length - RPMSG_GPIO_SERIAL_CRC_SIZE;
	decoder->length = 0;
	decoder->left = 0;
	decoder->zero = decoder->bad = decoder->begun = false;
	if (good)
		return GB_SERIAL_FRAME;
	/* Two delimiters in a row are an idle line. */
	return begun ? GB_SERIAL_DAMAGED : GB_SERIAL_MORE;
}

enum gb_serial_decoded gb_serial_decode(struct gb_serial_decoder *decoder, uint8_t byte,
					size_t *length)
{
	if (!byte)
		return end(decoder, length);
	decoder->begun = true;
	if (decoder->left) {
		decoder->left--;
		append(decoder, byte);
		return GB_SERIAL_MORE;
	}
	if (decoder->zero)
		append(decoder, 0);
	decoder->left = (uint8_t)(byte - 1);
	decoder->zero = byte != 0xff;
	return GB_SERIAL_MORE;
}
