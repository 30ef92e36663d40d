/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock estimator against clocks whose truth is known. */
#include <stdlib.h>

#include "check.h"
#include "pump/device_clock.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define HOURS (7200 * S)

/* A device: its clock is `offset` ahead at host time 0 and runs `ppm` too fast. */
struct truth {
	uint64_t offset;
	double ppm;
};

static uint64_t device_at(const struct truth *truth, uint64_t host_ns)
{
	return truth->offset + host_ns + (uint64_t)(int64_t)((double)host_ns * truth->ppm * 1e-6);
}

static uint32_t seed = 1;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % sides;
}

/* Ask at a time: both ways take a while, now and then a long one. */
static bool exchange(struct gb_clock *clock, const struct truth *truth, uint64_t host_ns)
{
	uint64_t there = 5 * US + dice(5000) + (dice(4) ? 0 : dice(400) * US);
	uint64_t back = 5 * US + dice(5000) + (dice(4) ? 0 : dice(400) * US);

	return gb_clock_add(clock, host_ns, device_at(truth, host_ns + there),
			    host_ns + there + back);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Whether an edge at a time is mapped within the bound; the bound in *bound. */
static bool inside(const struct gb_clock *clock, const struct truth *truth, uint64_t host_ns,
		   uint64_t *bound)
{
	uint64_t mapped;

	if (!gb_clock_map(clock, device_at(truth, host_ns), &mapped, bound))
		return false;
	return distance(mapped, host_ns) <= *bound;
}

static void the_truth_is_inside_the_bound(void)
{
	static const struct truth truths[] = {
		{HOURS, 100}, {HOURS, -100}, {0, 0}, {1, 9000}, {UINT64_MAX - HOURS, -9000}};

	for (size_t t = 0; t < sizeof(truths) / sizeof(truths[0]); t++) {
		struct gb_clock clock;
		uint64_t now = 20 * S, bound;

		gb_clock_reset(&clock);
		for (int i = 0; i < 8; i++, now += 500 * US)
			CHECK(exchange(&clock, &truths[t], now));
		for (int i = 0; i < 600 && !check_bad; i++, now += 100 * MS) {
			CHECK(exchange(&clock, &truths[t], now));
			for (uint64_t at = now; at < now + 100 * MS; at += 7 * MS) {
				CHECK(inside(&clock, &truths[t], at, &bound));
				/* after one second */
				if (i > 10)
					CHECK(bound < 50 * US);
			}
		}
	}
}

/* What goes wrong on the way shows: the bound is not a wish. */
static void after_a_long_silence_the_bound_has_grown(void)
{
	static const struct truth truth = {HOURS, 100};
	struct gb_clock clock;
	uint64_t now = S, bound, later;

	gb_clock_reset(&clock);
	for (int i = 0; i < 30; i++, now += 100 * MS)
		exchange(&clock, &truth, now);
	CHECK(inside(&clock, &truth, now, &bound));
	CHECK(inside(&clock, &truth, now + 600 * S, &later));
	CHECK(later > bound + 100 * US);
	CHECK(exchange(&clock, &truth, now + 600 * S));
	for (uint64_t at = 1; at < 10; at++)
		CHECK(exchange(&clock, &truth, now + 600 * S + at * MS));
	CHECK(inside(&clock, &truth, now + 600 * S, &bound));
	CHECK(bound < 50 * US);
}

static void a_rate_that_wanders_is_followed(void)
{
	struct truth truth = {HOURS, 100};
	struct gb_clock clock;
	uint64_t now = S, bound;

	gb_clock_reset(&clock);
	for (int i = 0; i < 3000 && !check_bad; i++, now += 100 * MS) {
		/* 0.05 ppm a second, without a jump */
		double ppm = truth.ppm + 0.005;

		truth.offset = device_at(&truth, now) -
			       device_at(&(struct truth){0, ppm}, now);
		truth.ppm = ppm;
		CHECK(exchange(&clock, &truth, now));
		if (i > 3)
			CHECK(inside(&clock, &truth, now + 50 * MS, &bound));
	}
	CHECK(bound < 50 * US);
}

static void nothing_is_mapped_from_one_sample(void)
{
	static const struct truth truth = {HOURS, 0};
	struct gb_clock clock;
	uint64_t host, bound;

	gb_clock_reset(&clock);
	CHECK(!gb_clock_map(&clock, 1, &host, &bound));
	exchange(&clock, &truth, S);
	CHECK(!gb_clock_map(&clock, 1, &host, &bound));
}

static void a_damaged_answer_is_left_out(void)
{
	static const struct truth truth = {HOURS, 50};
	struct gb_clock clock;
	uint64_t now = S, bound;

	gb_clock_reset(&clock);
	for (int i = 0; i < 100 && !check_bad; i++, now += 100 * MS) {
		if (i % 10 == 5) {
			uint64_t bad = device_at(&truth, now) ^ UINT64_C(1) << (10 + i % 50);

			if (distance(bad, device_at(&truth, now)) > MS)
				CHECK(!gb_clock_add(&clock, now, bad, now + 10 * US));
		}
		CHECK(exchange(&clock, &truth, now + US));
		if (i > 3)
			CHECK(inside(&clock, &truth, now + 50 * MS, &bound));
	}
	/* The first of all may be the bad one. */
	gb_clock_reset(&clock);
	gb_clock_add(&clock, now, 5, now + 10 * US);
	for (int i = 1; i < 6; i++)
		exchange(&clock, &truth, now + (uint64_t)i * MS);
	CHECK(inside(&clock, &truth, now + 6 * MS, &bound));
}

static void a_clock_that_was_set_is_learned_anew(void)
{
	struct truth truth = {HOURS, 50};
	struct gb_clock clock;
	uint64_t now = S, bound;

	gb_clock_reset(&clock);
	for (int i = 0; i < 20; i++, now += 100 * MS)
		exchange(&clock, &truth, now);
	truth.offset -= 3600 * S;
	CHECK(!exchange(&clock, &truth, now));
	CHECK(exchange(&clock, &truth, now + MS));
	CHECK(exchange(&clock, &truth, now + 2 * MS));
	CHECK(inside(&clock, &truth, now + 3 * MS, &bound));
}

int main(void)
{
	RUN(the_truth_is_inside_the_bound);
	RUN(after_a_long_silence_the_bound_has_grown);
	RUN(a_rate_that_wanders_is_followed);
	RUN(nothing_is_mapped_from_one_sample);
	RUN(a_damaged_answer_is_left_out);
	RUN(a_clock_that_was_set_is_learned_anew);
	return check_report();
}
