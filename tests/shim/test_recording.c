/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of edges become changes, and changes text: gaps, blocks that are full, nonsense. */
#include <string.h>

#include "check.h"
#include "recording/changes.h"
#include "recording/text.h"

#define LOW(signal)     ((signal) << 2)
#define HIGH(signal)    ((signal) << 2 | 1u)
#define UNKNOWN(signal) ((signal) << 2 | GB_LEVEL_UNKNOWN)

/* Two lines, 7 and 3, which are the signals 10 and 11. */
static struct gb_recorded two_lines(void)
{
	return (struct gb_recorded){
		.first = 10,
		.count = 2,
		.lines = {{.offset = 7, .code = GB_LEVEL_UNKNOWN}, {.offset = 3, .code = GB_LEVEL_UNKNOWN}},
	};
}

static struct gb_line_event edge(uint64_t time, uint32_t offset, bool rising, uint32_t number)
{
	return (struct gb_line_event){.timestamp_ns = time,
				      .offset = offset,
				      .id = rising ? 1 : 2,
				      .line_seqno = number};
}

static void edges_that_follow_each_other_are_changes(void)
{
	struct gb_recorded recorded = two_lines();
	struct gb_line_event events[] = {edge(100, 7, true, 1), edge(150, 3, false, 1),
					 edge(200, 7, false, 2)};
	struct gb_loss losses[3];
	uint64_t times[6];
	uint32_t codes[6];
	size_t lost;

	CHECK_EQ(gb_changes_take(&recorded, events, 3, times, codes, losses, &lost), 3);
	CHECK_EQ(lost, 0);
	CHECK_EQ(times[1], 150);
	CHECK_EQ(codes[0], HIGH(10u));
	CHECK_EQ(codes[1], LOW(11u));
	CHECK_EQ(codes[2], LOW(10u));
}

static void what_is_missing_is_unknown_since_the_edge_before(void)
{
	struct gb_recorded recorded = two_lines();
	struct gb_line_event first = edge(100, 7, true, 1);
	/* Two are missing by the numbers; the next one has the level that was there before. */
	struct gb_line_event events[] = {edge(500, 7, false, 4), edge(600, 7, false, 5)};
	struct gb_loss losses[2];
	uint64_t times[4];
	uint32_t codes[4];
	size_t lost;

	CHECK_EQ(gb_changes_take(&recorded, &first, 1, times, codes, losses, &lost), 1);
	CHECK_EQ(gb_changes_take(&recorded, events, 2, times, codes, losses, &lost), 4);
	CHECK_EQ(lost, 2);
	CHECK_EQ(losses[0].since_ns, 100);
	CHECK_EQ(losses[0].signal, 10);
	CHECK_EQ(losses[0].count, 2);
	CHECK_EQ(losses[1].since_ns, 500);
	CHECK_EQ(losses[1].count, 1);
	CHECK_EQ(times[0], 101); /* the edge at 100 shows, too */
	CHECK_EQ(codes[0], UNKNOWN(10u));
	CHECK_EQ(codes[1], LOW(10u));
	CHECK_EQ(codes[2], UNKNOWN(10u));
	CHECK_EQ(codes[3], LOW(10u));
}

static void each_change_of_a_line_has_a_time_of_its_own(void)
{
	struct gb_recorded recorded = two_lines();
	/* As of edges whose times are those of the message that brought them. */
	struct gb_line_event events[] = {edge(100, 7, true, 1), edge(100, 7, false, 2),
					 edge(100, 3, true, 1), edge(100, 7, false, 4),
					 edge(300, 7, true, 5)};
	static const uint64_t wanted[] = {100, 101, 100, 102, 103, 300};
	struct gb_loss losses[5];
	uint64_t times[10];
	uint32_t codes[10];
	size_t lost;

	CHECK_EQ(gb_changes_take(&recorded, events, 5, times, codes, losses, &lost), 6);
	CHECK_EQ(lost, 1);
	for (size_t n = 0; n < 6; n++)
		CHECK_EQ(times[n], wanted[n]);
}

static void an_edge_of_no_line_is_left_out(void)
{
	struct gb_recorded recorded = two_lines();
	struct gb_line_event events[] = {edge(100, 4, true, 1), edge(200, 3, true, 1)};
	struct gb_loss losses[2];
	uint64_t times[4];
	uint32_t codes[4];
	size_t lost;

	CHECK_EQ(gb_changes_take(&recorded, events, 2, times, codes, losses, &lost), 1);
	CHECK_EQ(lost, 0);
	CHECK_EQ(codes[0], HIGH(11u));
}

static void order_and_levels_of_changes(void)
{
	uint64_t ordered[] = {1, 1, 5}, back[] = {1, 5, 4};
	uint32_t codes[] = {HIGH(0u), UNKNOWN(1u), LOW(0u), HIGH(9u)};
	uint8_t levels[2] = {1, 1};

	CHECK(gb_changes_in_order(ordered, 3));
	CHECK(!gb_changes_in_order(back, 3));
	CHECK(gb_changes_in_order(back, 0));
	gb_changes_apply(codes, 4, levels, 2);
	CHECK_EQ(levels[0], 0);
	CHECK_EQ(levels[1], GB_LEVEL_UNKNOWN);
}

static void words_go_on_in_the_next_block(void)
{
	static const uint64_t times[] = {1000, 1005, UINT64_MAX};
	static const uint32_t codes[] = {HIGH(0u), 77, LOW(0u)};
	struct gb_word before = {"#", 1}, words[] = {{" 0\n", 3}, {" 1\n", 3}};
	struct gb_changes changes = {times, codes, 3, 1000};
	char out[28];
	size_t used;

	/* The code 77 has no word; for the third change no room is left. */
	CHECK_EQ(gb_text_words(&changes, &before, words, 2, out, sizeof(out), &used), 2);
	CHECK_EQ(used, 5);
	CHECK(!memcmp(out, "#0 1\n", used));
	changes = (struct gb_changes){times + 2, codes + 2, 1, 0};
	CHECK_EQ(gb_text_words(&changes, &before, words, 2, out, sizeof(out), &used), 1);
	CHECK_EQ(used, 24);
	CHECK(!memcmp(out, "#18446744073709551615 0\n", used));
}

static void changes_at_one_time_are_one_row(void)
{
	static const uint64_t times[] = {5, 5, 9, 9};
	static const uint32_t codes[] = {HIGH(0u), LOW(1u), UNKNOWN(1u), HIGH(5u)};
	char row[] = ",0,1\n", out[64];
	struct gb_word levels = {row, 5};
	struct gb_changes changes = {times, codes, 4, 0};
	size_t used;

	CHECK_EQ(gb_text_rows(&changes, &levels, out, sizeof(out), &used), 4);
	CHECK_EQ(used, 12);
	CHECK(!memcmp(out, "5,1,0\n9,1,x\n", used));
}

static void samples_go_on_in_the_next_block(void)
{
	static const uint64_t times[] = {3000000000u, 3000000001u};
	static const uint32_t codes[] = {HIGH(9u), HIGH(99u)};
	uint8_t levels[2] = {1, 0};
	struct gb_sampler sampler = {.rate_hz = 2, .levels = levels, .unit = 2};
	struct gb_changes changes = {times, codes, 2, 0};
	char out[9];
	size_t used;

	/* Four of the six samples before the change fit. */
	CHECK_EQ(gb_text_samples(&changes, &sampler, out, sizeof(out), &used), 0);
	CHECK_EQ(used, 8);
	CHECK(!memcmp(out, "\1\0\1\0\1\0\1\0", used));
	CHECK_EQ(gb_text_samples(&changes, &sampler, out, sizeof(out), &used), 2);
	CHECK_EQ(used, 4);
	CHECK_EQ(sampler.done, 6);
	CHECK_EQ(levels[1], 2);
}

int main(void)
{
	RUN(edges_that_follow_each_other_are_changes);
	RUN(what_is_missing_is_unknown_since_the_edge_before);
	RUN(each_change_of_a_line_has_a_time_of_its_own);
	RUN(an_edge_of_no_line_is_left_out);
	RUN(order_and_levels_of_changes);
	RUN(words_go_on_in_the_next_block);
	RUN(changes_at_one_time_are_one_row);
	RUN(samples_go_on_in_the_next_block);
	return check_report();
}
