/* SPDX-License-Identifier: BSD-3-Clause */
/* uapi.h - a program of the GPIO character device, by the libc's calls alone. */
#ifndef GB_BENCH_UAPI_H
#define GB_BENCH_UAPI_H

#include <stdint.h>

/* Get line `offset` of the chip at `path`, so many times. 0 or -errno. */
int gb_bench_uapi_get(const char *path, uint32_t offset, uint32_t rounds, uint32_t *samples_ns);

/* Edges of lines 0 to `lines` - 1, with the largest event buffer: 0 or -errno. */
struct gb_bench_edges_read {
	uint32_t received;
	uint32_t last; /* seqno of the latest: what is missing was not received */
	uint32_t disordered; /* whose seqno did not grow */
};

/* The descriptor, -errno. */
int gb_bench_uapi_watch(const char *path, uint32_t lines);
/* Read until `count` edges were there or were told to be missing, or none comes for
 * `timeout_ms`. */
int gb_bench_uapi_edges(int fd, uint32_t count, uint32_t timeout_ms,
			struct gb_bench_edges_read *result);

#endif
