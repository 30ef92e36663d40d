/* SPDX-License-Identifier: BSD-3-Clause */
/* latency.h - how long things took: how many of them so long, and what most did not exceed. */
#ifndef GB_LATENCY_H
#define GB_LATENCY_H

#include <stdint.h>

/* Eight in each octave, from 1 us to an hour. */
#define GB_LATENCIES 256u

struct gb_latency {
	uint64_t counts[GB_LATENCIES];
};

void gb_latency_add(struct gb_latency *latency, uint64_t time_ns);
/* The time in ns that so many did not exceed, by an eighth too much at most; 0 without any. */
uint64_t gb_latency_of(const struct gb_latency *latency, uint32_t permille);

#endif
