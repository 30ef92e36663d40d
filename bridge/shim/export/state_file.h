/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state_file.h - what a guest has set up, in a file that outlives the process.
 *
 * The file is read once, in the beginning, and then only written, by way of memory: a
 * change costs no system call. When somebody truncates it, the next service does not find
 * what was in it, and this one goes on.
 */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export.h"

struct state_file {
	uint8_t *base; /* as mapped; NULL: there is none */
	size_t length;
	volatile sig_atomic_t lost;
};

/* Of `count` lines. 0 or -errno: -EINVAL: it has another length. */
int state_file_open(struct state_file *file, int fd, uint32_t count);
/* What is in it before anything is written. 0 or -errno. */
int state_file_read(int fd, struct gb_export_line *lines, uint32_t count);
/* Write one. False: the file has been lost in this call. */
bool state_file_put(struct state_file *file, uint32_t line, const struct gb_export_line *state);
void state_file_close(struct state_file *file);

/* For the handler of SIGBUS: whether the address is of the file that this thread
 * writes to; then other memory is in its place. */
bool state_file_vanished(const void *addr);

#endif
