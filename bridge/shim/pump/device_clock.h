/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_clock.h - the coprocessor's clock on the host's: offset and drift from
 * GET_TIME exchanges, with a bound of the error. docs/timing.md has the method.
 *
 * Plain arithmetic: no time is read and nothing is sent here.
 */
#ifndef GB_DEVICE_CLOCK_H
#define GB_DEVICE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* One exchange: the device's clock showed `device_ns` at `host_ns`, give or
 * take `error_ns`. */
struct gb_clock_sample {
	uint64_t device_ns;
	uint64_t host_ns;
	uint64_t error_ns;
};

struct gb_clock {
	uint32_t samples; /* that agree; 0: nothing is known */
	struct gb_clock_sample base;   /* what times are mapped from */
	struct gb_clock_sample anchor; /* what the rate is measured from... */
	struct gb_clock_sample next;   /* ...and will be, when it is too old */
	struct gb_clock_sample outlier;
	bool has_outlier;
	double rate;       /* the host's ns per device's ns, less 1 */
	double rate_error;
};

/* Samples before times are mapped: one alone may be damaged. */
#define GB_CLOCK_SAMPLES_MIN 3u

void gb_clock_reset(struct gb_clock *clock);
/* Take an exchange: the request left at `sent_ns`, the answer has `device_ns` and was seen at
 * `received_ns`, both CLOCK_MONOTONIC. False: it contradicts the others. When a
 * second one agrees with it, the others are forgotten. */
bool gb_clock_add(struct gb_clock *clock, uint64_t sent_ns, uint64_t device_ns,
		  uint64_t received_ns);
/* Convert a time of the device to the host's. False while too little is known. */
bool gb_clock_map(const struct gb_clock *clock, uint64_t device_ns, uint64_t *host_ns,
		  uint64_t *bound_ns);

#endif
