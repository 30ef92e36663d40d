/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.h - the one small language of board files and the control channel.
 * docs/stub.md describes it for users.
 */
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "firmware.h"
#include "stub_loop.h"

#define COMMAND_LENGTH_MAX 4095
#define COMMAND_REPLY_MAX 65536

enum wait_kind {
	WAIT_NOTHING,
	WAIT_LEVEL,
	WAIT_ARMED,
	WAIT_EDGES,
	WAIT_ATTACHED,
};

/* What a client waits for before its command is answered. */
struct wait {
	enum wait_kind kind;
	struct board_pin *pin;
	uint64_t wanted; /* a level or a number of edges */
	uint64_t timeout_ns;
};

/* Where a command's words go, and what comes back. */
struct command {
	/* The reply's values, or the sentence of an error. */
	char *reply;
	size_t reply_size;
	struct wait wait;
};

struct scheduled;

struct commands {
	struct loop *loop;
	struct board *board;
	struct firmware *firmware; /* NULL until power-up: board file only */
	struct scheduled *scheduled; /* by `at` */
};

void commands_init(struct commands *commands, struct loop *loop, struct board *board);
void commands_free(struct commands *commands);

/* Execute one line. Returns 0 with the values in the reply, or -errno with a sentence in it. When
 * the command has to wait, command->wait says for what. */
int commands_execute(struct commands *commands, const char *line, struct command *command);

/* Execute a board file. Returns 0, or -errno after `why` was filled. */
int commands_load(struct commands *commands, const char *path, char *why, size_t why_size);

/* Whether the condition of a wait is true now. */
bool wait_over(const struct commands *commands, const struct wait *wait);

#endif
