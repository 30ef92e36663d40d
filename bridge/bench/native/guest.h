/* SPDX-License-Identifier: BSD-3-Clause */
/* guest.h - a virtio-gpio driver behind vhost-user, as lean as it gets, to measure
 * back-ends with. */
#ifndef GB_BENCH_GUEST_H
#define GB_BENCH_GUEST_H

#include <stdint.h>

struct gb_bench_guest;

/* Connect to the socket at `path`. NULL with errno. */
struct gb_bench_guest *gb_bench_guest_open(const char *path);
/* One request; its status, or -errno. */
int gb_bench_guest_request(struct gb_bench_guest *guest, uint16_t type, uint16_t gpio,
			   uint32_t value);
/* `rounds` times SET_VALUE of lines 0 to `lines` - 1 (at most 32), all of a round in
 * flight at once, as from as many CPUs. The ns that it took, or -errno. */
int64_t gb_bench_guest_set(struct gb_bench_guest *guest, uint32_t lines, uint32_t rounds);
/* Queue the event buffer of a line. 0. */
int gb_bench_guest_arm(struct gb_bench_guest *guest, uint16_t gpio);
/* Wait for an event: CLOCK_MONOTONIC in ns of its arrival, or -errno. */
int64_t gb_bench_guest_event(struct gb_bench_guest *guest);
void gb_bench_guest_close(struct gb_bench_guest *guest);

#endif
