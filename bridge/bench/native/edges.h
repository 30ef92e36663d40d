/* SPDX-License-Identifier: BSD-3-Clause */
/* edges.h - the rate of edges that nothing behind the same ring can beat. */
#ifndef GB_BENCH_EDGES_H
#define GB_BENCH_EDGES_H

#include <stdint.h>

/*
 * Two processes, no Python, no firmware: one writes `count` records into an
 * event ring of the largest size and waits where it is full, the other reads
 * them in batches. *elapsed_ns gets the time from the first to the last.
 * 0 or -errno (-ENODEV: the child died; -EILSEQ: a record was lost).
 */
int gb_bench_edges(uint32_t count, uint64_t *elapsed_ns);

#endif
