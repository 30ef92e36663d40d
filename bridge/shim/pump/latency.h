/* SPDX-License-Identifier: BSD-3-Clause */
/* latency.h - how many things took how long, and the time that most did not exceed. */
#ifndef GB_LATENCY_H
#define GB_LATENCY_H

#include <stdint.h>

/* There are eight counts in each octave, from 1 us to an hour. */
#define GB_LATENCIES 256u

struct gb_latency {
	uint64_t counts[GB_LATENCIES];
};

void gb_latency_add(struct gb_latency *latency, uint64_t time_ns);
/* The time in ns that `permille` of them did not exceed, at most an eighth too large; 0: there
 * were none. */
uint64_t gb_latency_of(const struct gb_latency *latency, uint32_t permille);

#endif
