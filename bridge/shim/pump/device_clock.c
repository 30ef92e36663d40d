/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_clock.h"

#include <string.h>

/* A clock that is farther off than this is no clock: an RC oscillator has 1 %. */
#define RATE_MAX 0.01
/* How fast a rate may change, in 1/ns: 0.1 ppm in a second. */
#define WANDER 1e-16
/* Age of the anchor in ns, near the one at which the two errors of a rate, that of the exchanges
 * and that of its change, have the smallest sum. */
#define ANCHOR_NS 16000000000
/* Among the first samples the one with the least error becomes the anchor. */
#define ANCHOR_CHOICE_NS 10000000

void gb_clock_reset(struct gb_clock *clock)
{
	memset(clock, 0, sizeof(*clock));
}

static int64_t since(uint64_t now, uint64_t then)
{
	return (int64_t)(now - then);
}

static double size_of(double value)
{
	return value < 0 ? -value : value;
}

static double rate_error_after(const struct gb_clock *clock, double elapsed_ns)
{
	double error = clock->rate_error + WANDER * elapsed_ns;

	return error < RATE_MAX ? error : RATE_MAX;
}

static double bound_at(const struct gb_clock *clock, uint64_t device_ns)
{
	double elapsed = size_of((double)since(device_ns, clock->base.device_ns));

	return (double)clock->base.error_ns + elapsed * rate_error_after(clock, elapsed);
}

static uint64_t host_at(const struct gb_clock *clock, uint64_t device_ns)
{
	int64_t elapsed = since(device_ns, clock->base.device_ns);

	return clock->base.host_ns + (uint64_t)elapsed +
	       (uint64_t)(int64_t)((double)elapsed * clock->rate);
}

static void start(struct gb_clock *clock, const struct gb_clock_sample *sample)
{
	*clock = (struct gb_clock){
		.samples = 1,
		.base = *sample,
		.anchor = *sample,
		.next = *sample,
		.rate_error = RATE_MAX,
	};
}

/* Both exchanges may be right, as long as nobody knows the clock's rate. */
static bool agree(const struct gb_clock_sample *a, const struct gb_clock_sample *b)
{
	double device = (double)since(b->device_ns, a->device_ns);
	double host = (double)since(b->host_ns, a->host_ns);

	return device >= 0 && size_of(host - device) <=
			      device * RATE_MAX + (double)(a->error_ns + b->error_ns);
}

static bool contradicts(const struct gb_clock *clock, const struct gb_clock_sample *sample)
{
	double off = (double)since(sample->host_ns, host_at(clock, sample->device_ns));

	return since(sample->device_ns, clock->base.device_ns) < 0 ||
	       size_of(off) > bound_at(clock, sample->device_ns) + (double)sample->error_ns;
}

static bool outlier(struct gb_clock *clock, const struct gb_clock_sample *sample)
{
	struct gb_clock_sample before = clock->outlier;

	if (clock->has_outlier && agree(&before, sample)) {
		start(clock, &before);
		clock->samples = 2;
		return true;
	}
	clock->outlier = *sample;
	clock->has_outlier = true;
	return false;
}

static void choose_anchor(struct gb_clock *clock, const struct gb_clock_sample *sample)
{
	if (since(sample->device_ns, clock->anchor.device_ns) < ANCHOR_CHOICE_NS &&
	    sample->error_ns < clock->anchor.error_ns)
		clock->anchor = clock->next = *sample;
	if (since(sample->device_ns, clock->next.device_ns) > ANCHOR_NS) {
		clock->anchor = clock->next;
		clock->next = *sample;
	}
}

static void measure_rate(struct gb_clock *clock, const struct gb_clock_sample *sample)
{
	double device = (double)since(sample->device_ns, clock->anchor.device_ns);
	double host = (double)since(sample->host_ns, clock->anchor.host_ns);
	double aged = rate_error_after(
		clock, (double)since(sample->device_ns, clock->base.device_ns));
	double error;

	if (device <= 0)
		return;
	error = (double)(sample->error_ns + clock->anchor.error_ns) / device + WANDER * device / 2;
	if (error >= aged) {
		clock->rate_error = aged;
		return;
	}
	clock->rate = host / device - 1;
	clock->rate_error = error;
}

bool gb_clock_add(struct gb_clock *clock, uint64_t sent_ns, uint64_t device_ns,
		  uint64_t received_ns)
{
	uint64_t trip = received_ns - sent_ns;
	/* The device read the clock at some time in between. */
	struct gb_clock_sample sample = {
		.device_ns = device_ns,
		.host_ns = sent_ns + trip / 2,
		.error_ns = trip / 2 + 1,
	};

	if (since(received_ns, sent_ns) < 0)
		return false;
	if (!clock->samples) {
		start(clock, &sample);
		return true;
	}
	if (contradicts(clock, &sample))
		return outlier(clock, &sample);
	clock->has_outlier = false;
	clock->samples++;
	measure_rate(clock, &sample);
	/* The better one of the old exchange, which has aged, and the new one: this filters slow
	 * round trips out. */
	if ((double)sample.error_ns <= bound_at(clock, device_ns))
		clock->base = sample;
	choose_anchor(clock, &sample);
	return true;
}

bool gb_clock_map(const struct gb_clock *clock, uint64_t device_ns, uint64_t *host_ns,
		  uint64_t *bound_ns)
{
	double bound;

	if (clock->samples < GB_CLOCK_SAMPLES_MIN)
		return false;
	bound = bound_at(clock, device_ns);
	*host_ns = host_at(clock, device_ns);
	*bound_ns = bound < 1e18 ? (uint64_t)bound : UINT64_C(1000000000000000000);
	return true;
}
