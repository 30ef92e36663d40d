/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * command_words.h - a command taken apart, and what its words can be.
 *
 * What returns an int returns 0, or -errno with a sentence in the reply.
 */
#ifndef HOST_COMMAND_WORDS_H
#define HOST_COMMAND_WORDS_H

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
	const char *usage; /* of its verb, as soon as that is known */
	int count;
	char *words[WORDS_MAX];
	size_t starts[WORDS_MAX]; /* of each word in the line */
	char text[COMMAND_LENGTH_MAX + 1];
};

/* Take the line apart. */
int request_split(struct request *request);
/* Whether a line of a board file says nothing. */
bool request_is_blank(const char *line);

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

#endif
