/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include <string.h>

#include "changes.h"

#define NS_PER_S 1000000000u

static size_t put_time(char *out, uint64_t time)
{
	char digits[GB_TEXT_TIME_MAX];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + time % 10);
		time /= 10;
	} while (time);
	for (size_t n = 0; n < count; n++)
		out[n] = digits[count - 1 - n];
	return count;
}

size_t gb_text_words(const struct gb_changes *changes, const struct gb_word *before,
		     const struct gb_word *words, size_t words_count, char *out, size_t capacity,
		     size_t *used)
{
	size_t n, at = 0;

	for (n = 0; n < changes->count; n++) {
		uint32_t code = changes->codes[n];

		if (code >= words_count)
			continue;
		if (capacity - at < before->length + GB_TEXT_TIME_MAX + words[code].length)
			break;
		memcpy(out + at, before->text, before->length);
		at += before->length;
		at += put_time(out + at, changes->times[n] - changes->zero_ns);
		memcpy(out + at, words[code].text, words[code].length);
		at += words[code].length;
	}
	*used = at;
	return n;
}

size_t gb_text_rows(const struct gb_changes *changes, struct gb_word *levels, char *out,
		    size_t capacity, size_t *used)
{
	static const char letters[] = "01xx";
	char *row = (char *)levels->text;
	size_t n, at = 0;

	for (n = 0; n < changes->count; n++) {
		uint32_t code = changes->codes[n];
		size_t cell = 2 * (size_t)(code >> 2) + 1;

		if (capacity - at < GB_TEXT_TIME_MAX + levels->length)
			break;
		if (cell < levels->length)
			row[cell] = letters[code & 3];
		if (n + 1 < changes->count && changes->times[n + 1] == changes->times[n])
			continue;
		at += put_time(out + at, changes->times[n] - changes->zero_ns);
		memcpy(out + at, row, levels->length);
		at += levels->length;
	}
	*used = at;
	return n;
}

static uint64_t sample_at(const struct gb_sampler *sampler, uint64_t ns)
{
	return ns / NS_PER_S * sampler->rate_hz + ns % NS_PER_S * sampler->rate_hz / NS_PER_S;
}

size_t gb_text_samples(const struct gb_changes *changes, struct gb_sampler *sampler, char *out,
		       size_t capacity, size_t *used)
{
	size_t n, at = 0, unit = sampler->unit;

	for (n = 0; n < changes->count; n++) {
		uint64_t until = sample_at(sampler, changes->times[n] - changes->zero_ns);
		uint32_t signal = changes->codes[n] >> 2, level = changes->codes[n] & 3;

		for (; sampler->done < until && capacity - at >= unit; sampler->done++, at += unit)
			memcpy(out + at, sampler->levels, unit);
		if (sampler->done < until)
			break;
		if (level == GB_LEVEL_UNKNOWN || signal / 8 >= unit)
			continue;
		if (level)
			sampler->levels[signal / 8] |= (uint8_t)(1u << signal % 8);
		else
			sampler->levels[signal / 8] &= (uint8_t)~(1u << signal % 8);
	}
	*used = at;
	return n;
}
