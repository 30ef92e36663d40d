/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.h - changes (changes.h) as the formats of bridge/recording have them. Each function does as
 * many changes as fit into `capacity` bytes, returns their number, and leaves in *used that of the
 * bytes. No time is before `zero_ns`, and none before the one in front of it.
 */
#ifndef GB_TEXT_H
#define GB_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Digits of a time. */
#define GB_TEXT_TIME_MAX 20u

struct gb_word {
	const char *text;
	size_t length;
};

struct gb_changes {
	const uint64_t *times;
	const uint32_t *codes;
	size_t count;
	uint64_t zero_ns;
};

/* For each change the text `before`, the time, and the word of its code; codes beyond `words_count`
 * have none and are left out. */
size_t gb_text_words(const struct gb_changes *changes, const struct gb_word *before,
		     const struct gb_word *words, size_t words_count, char *out, size_t capacity,
		     size_t *used);
/* For each time a row of it and of `levels`, which are ",0,1,x\n" with a letter for each signal; of
 * changes at one time it is the last one's. The levels are kept up. */
size_t gb_text_rows(const struct gb_changes *changes, struct gb_word *levels, char *out,
		    size_t capacity, size_t *used);

/* Samples at a rate, of `unit` bytes with a bit for each signal. */
struct gb_sampler {
	uint64_t rate_hz;
	uint64_t done; /* samples so far */
	uint8_t *levels;
	size_t unit;
};

/* The samples before each change, which shows in those behind; a level that is unknown changes
 * nothing. */
size_t gb_text_samples(const struct gb_changes *changes, struct gb_sampler *sampler, char *out,
		       size_t capacity, size_t *used);

#endif
