/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs.h - what the verbs of the language do; commands.c has the table of them.
 *
 *   commands_board.c     what is on the board, and what happens on it
 *   commands_firmware.c  looking at the firmware, waiting for it, and its faults
 *
 * Each returns 0, or -errno with a sentence in the reply.
 */
#ifndef HOST_VERBS_H
#define HOST_VERBS_H

#include "command_words.h"

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
int do_self_test(struct request *request);
int do_state(struct request *request);
int do_times(struct request *request);
int do_trace(struct request *request);
int do_wait(struct request *request);
int do_wait_armed(struct request *request);
int do_wait_attached(struct request *request);
int do_wait_edges(struct request *request);

#endif
