/* SPDX-License-Identifier: BSD-3-Clause */
/* Debouncing of one line: which levels count, and when the level is read. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "pump/debounce.h"

#define PERIOD_US 5000u

struct bench {
	struct gb_debounce debounce;
	struct gb_pump *pump;
	int read_fd; /* readable when the level was asked for */
};

static void asked(struct gb_debounce *debounce)
{
	struct bench *bench = (struct bench *)(void *)debounce;
	uint64_t one = 1;

	CHECK_EQ(write(bench->read_fd, &one, sizeof(one)), sizeof(one));
}

static void open_bench(struct bench *bench)
{
	*bench = (struct bench){.pump = gb_pump_new(), .read_fd = eventfd(0, EFD_NONBLOCK)};
	CHECK(bench->pump && bench->read_fd >= 0);
	gb_debounce_init(&bench->debounce, bench->pump, asked);
	gb_debounce_set_period(&bench->debounce, PERIOD_US);
}

static void close_bench(struct bench *bench)
{
	gb_lock(bench->pump);
	gb_debounce_stop(&bench->debounce);
	gb_unlock(bench->pump);
	gb_pump_free(bench->pump);
	close(bench->read_fd);
}

static void edge(struct bench *bench)
{
	gb_lock(bench->pump);
	gb_debounce_edge(&bench->debounce, gb_now_ns());
	gb_unlock(bench->pump);
}

/* The level comes before the edge's period ends. */
static bool edge_and_level(struct bench *bench, bool high)
{
	bool changed;

	gb_lock(bench->pump);
	gb_debounce_edge(&bench->debounce, gb_now_ns());
	changed = gb_debounce_level(&bench->debounce, high);
	gb_unlock(bench->pump);
	return changed;
}

static bool level(struct bench *bench, bool high)
{
	bool changed;

	gb_lock(bench->pump);
	changed = gb_debounce_level(&bench->debounce, high);
	gb_unlock(bench->pump);
	return changed;
}

static bool level_is_asked_for(struct bench *bench, int timeout_ms)
{
	struct pollfd poller = {.fd = bench->read_fd, .events = POLLIN};
	uint64_t count;

	return poll(&poller, 1, timeout_ms) == 1 &&
	       read(bench->read_fd, &count, sizeof(count)) == sizeof(count) && count == 1;
}

static void only_another_level_is_an_edge(void)
{
	struct bench bench;

	open_bench(&bench);
	CHECK(!level(&bench, false)); /* the one to start from */
	CHECK(!level(&bench, false));
	CHECK(level(&bench, true));
	CHECK(!level(&bench, true));
	CHECK(level(&bench, false));
	close_bench(&bench);
}

static void the_level_is_read_once_a_period_after_the_last_edge(void)
{
	struct bench bench;
	uint64_t last = 0;

	open_bench(&bench);
	level(&bench, false);
	CHECK(!level_is_asked_for(&bench, 20)); /* no edge, no question */
	gb_lock(bench.pump); /* the period of none ends before the next */
	for (int i = 0; i < 50; i++) {
		last = gb_now_ns();
		gb_debounce_edge(&bench.debounce, last);
	}
	gb_unlock(bench.pump);
	CHECK(level_is_asked_for(&bench, 10000));
	CHECK(gb_now_ns() - last >= PERIOD_US * 1000u);
	CHECK(bench.debounce.ended_ns - last >= PERIOD_US * 1000u);
	CHECK(!level_is_asked_for(&bench, 20));
	CHECK(level(&bench, true));
	close_bench(&bench);
}

static void a_line_that_moves_while_its_level_is_read_was_not_stable(void)
{
	struct bench bench;

	open_bench(&bench);
	level(&bench, false);
	edge(&bench);
	CHECK(level_is_asked_for(&bench, 10000));
	CHECK(!edge_and_level(&bench, true));
	CHECK(level_is_asked_for(&bench, 10000));
	CHECK(level(&bench, true));
	close_bench(&bench);
}

static void an_edge_before_the_first_level_is_known_loses_nothing(void)
{
	struct bench bench;

	open_bench(&bench);
	CHECK(!edge_and_level(&bench, false)); /* what it was before the edge, read late */
	CHECK(level_is_asked_for(&bench, 10000));
	CHECK(level(&bench, true));
	close_bench(&bench);
}

static void switched_off_it_forgets(void)
{
	struct bench bench;

	open_bench(&bench);
	level(&bench, true);
	gb_lock(bench.pump);
	gb_debounce_edge(&bench.debounce, gb_now_ns());
	gb_debounce_set_period(&bench.debounce, 0);
	gb_unlock(bench.pump);
	CHECK(!level_is_asked_for(&bench, 20));
	CHECK(!bench.debounce.known);
	close_bench(&bench);
}

static void another_period_keeps_the_level(void)
{
	struct bench bench;

	open_bench(&bench);
	level(&bench, true);
	gb_lock(bench.pump);
	gb_debounce_set_period(&bench.debounce, 2 * PERIOD_US);
	gb_unlock(bench.pump);
	CHECK(level(&bench, false));
	close_bench(&bench);
}

int main(void)
{
	RUN(only_another_level_is_an_edge);
	RUN(the_level_is_read_once_a_period_after_the_last_edge);
	RUN(a_line_that_moves_while_its_level_is_read_was_not_stable);
	RUN(an_edge_before_the_first_level_is_known_loses_nothing);
	RUN(switched_off_it_forgets);
	RUN(another_period_keeps_the_level);
	return check_report();
}
