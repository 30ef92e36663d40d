/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.h - what fuzz targets share: an input that is read as a row of small steps.
 *
 * A target is a file target_NAME.c with LLVMFuzzerTestOneInput(). With clang it is linked
 * to libFuzzer (make fuzz), with gcc to replay.c, which runs the files of its corpus.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at, *end;
};

/* All of these give zeros behind the end. */
static inline uint8_t take_u8(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static inline uint16_t take_u16(struct input *input)
{
	uint16_t low = take_u8(input);

	return (uint16_t)(low | take_u8(input) << 8);
}

static inline uint32_t take_u32(struct input *input)
{
	uint32_t low = take_u16(input);

	return low | (uint32_t)take_u16(input) << 16;
}

static inline bool take_end(const struct input *input)
{
	return input->at >= input->end;
}

/* Up to `most` bytes; how many is the next byte's to say. A copy of their exact size is
 * the caller's, if it shall be noticed that somebody reads beyond. */
static inline size_t take_bytes(struct input *input, const uint8_t **bytes, size_t most)
{
	size_t length = take_u8(input), left;

	if (length >= 0xf0) /* long ones, too */
		length = (length & 0xf) * 40 + take_u8(input);
	left = (size_t)(input->end - input->at);
	length = length < left ? length : left;
	length = length < most ? length : most;
	*bytes = input->at;
	input->at += length;
	return length;
}

#endif
