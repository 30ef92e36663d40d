/* SPDX-License-Identifier: BSD-3-Clause */
#include "latency.h"

/* Where a time is counted: above 1 us each octave has eight places. */
static uint32_t bucket(uint64_t time_ns)
{
	uint64_t units = time_ns / 125; /* eight in a microsecond */
	uint32_t octave;

	if (units < 8)
		return (uint32_t)units;
	octave = 60u - (uint32_t)__builtin_clzll(units);
	return octave * 8u + 8u + ((uint32_t)(units >> octave) & 7u);
}

static uint64_t end_of_bucket(uint32_t at)
{
	if (at < 8)
		return (at + 1) * UINT64_C(125);
	return ((UINT64_C(8) + (at - 8) % 8 + 1) << (at - 8) / 8) * 125;
}

void gb_latency_add(struct gb_latency *latency, uint64_t time_ns)
{
	uint32_t at = bucket(time_ns);

	latency->counts[at < GB_LATENCIES ? at : GB_LATENCIES - 1]++;
}

uint64_t gb_latency_of(const struct gb_latency *latency, uint32_t permille)
{
	uint64_t total = 0, sum = 0;

	for (uint32_t at = 0; at < GB_LATENCIES; at++)
		total += latency->counts[at];
	for (uint32_t at = 0; total && at < GB_LATENCIES; at++) {
		sum += latency->counts[at];
		if (sum * 1000 >= total * permille)
			return end_of_bucket(at);
	}
	return 0;
}
