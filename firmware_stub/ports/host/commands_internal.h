/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands_internal.h - a command taken apart, and what its words can be.
 *
 *   commands.c           the language: words, numbers, the table of verbs, board files
 *   commands_board.c     what is on the board, and what happens on it
 *   commands_firmware.c  looking at the firmware, waiting for it, and its faults
 *
 * What returns an int returns 0, or -errno with a sentence in the reply.
 */
#ifndef HOST_COMMANDS_INTERNAL_H
#define HOST_COMMANDS_INTERNAL_H

#include "commands.h"

#define WORDS_MAX 16
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* One command taken apart. */
struct request {
	struct commands *commands;
	struct command *command;
	const char *line;
	int count;
	char *words[WORDS_MAX];
	size_t starts[WORDS_MAX]; /* of each word in the line */
	char text[COMMAND_LENGTH_MAX + 1];
};

/* Add to the reply's values. */
__attribute__((format(printf, 2, 3)))
void request_answer(struct request *request, const char *format, ...);
/* Put a sentence into the reply; returns -error. */
__attribute__((format(printf, 3, 4)))
int request_fail(struct request *request, int error, const char *format, ...);
/* The words do not fit the verb. */
int request_usage(struct request *request);

/* The word of this index, as ... */
int request_number(struct request *request, int word, const char *what, uint64_t min, uint64_t max,
		   uint64_t *value);
int request_duration(struct request *request, int word, uint64_t max_ns, uint64_t *ns);
int request_level(struct request *request, int word, int8_t *value);
int request_pin(struct request *request, int word, struct board_pin **found);
bool request_is(const struct request *request, int word, const char *text);

/* commands_board.c */
int do_button(struct request *request);
int do_caps(struct request *request);
int do_clock(struct request *request);
int do_clock_drift(struct request *request);
int do_clock_offset(struct request *request);
int do_clock_read(struct request *request);
int do_controller(struct request *request);
int do_drive(struct request *request);
int do_float(struct request *request);
int do_line(struct request *request);
int do_press(struct request *request);
int do_pull(struct request *request);
int do_pulse(struct request *request);
int do_release(struct request *request);
int do_unwire(struct request *request);
int do_wire(struct request *request);

/* commands_firmware.c */
int do_advance(struct request *request);
int do_channels(struct request *request);
int do_config(struct request *request);
int do_count(struct request *request);
int do_crash(struct request *request);
int do_edge(struct request *request);
int do_fault(struct request *request);
int do_quit(struct request *request);
int do_read(struct request *request);
int do_restart(struct request *request);
int do_state(struct request *request);
int do_times(struct request *request);
int do_trace(struct request *request);
int do_wait(struct request *request);
int do_wait_armed(struct request *request);
int do_wait_attached(struct request *request);
int do_wait_edges(struct request *request);

#endif
