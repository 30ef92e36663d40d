/* SPDX-License-Identifier: BSD-3-Clause */
/* A command's words: taken apart, read as numbers, levels, times and lines; and its reply. */
#define _GNU_SOURCE
#include "command_words.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers --------------------------------------------------------------- */

void request_answer(struct request *request, const char *format, ...)
{
	struct command *command = request->command;
	size_t used = strlen(command->reply);
	va_list args;

	va_start(args, format);
	vsnprintf(command->reply + used, command->reply_size - used, format, args);
	va_end(args);
}

int request_fail(struct request *request, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(request->command->reply, request->command->reply_size, format, args);
	va_end(args);
	return -error;
}

/* ---- words ------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of a word that starts at `at`, or NULL when its quote is not closed. */
static const char *word_end(const char *at)
{
	if (*at == '"') {
		const char *end = strchr(at + 1, '"');

		return end ? end + 1 : NULL;
	}
	while (*at && !is_space(*at) && *at != '"')
		at++;
	return at;
}

static int add_word(struct request *request, const char *start, const char *end, char **text)
{
	bool quoted = *start == '"';
	size_t length = (size_t)(end - start) - (quoted ? 2 : 0);

	if (request->count == WORDS_MAX)
		return request_fail(request, EINVAL, "more than %d words; no command has so many",
				    WORDS_MAX);
	if (*end && !is_space(*end))
		return request_fail(request, EINVAL,
				    "a quote inside a word; put the quotes around the whole word");
	request->starts[request->count] = (size_t)(start - request->line);
	request->words[request->count++] = *text;
	memcpy(*text, start + quoted, length);
	(*text)[length] = '\0';
	*text += length + 1;
	return 0;
}

int request_split(struct request *request)
{
	const char *at = request->line;
	char *text = request->text;

	for (const char *c = at; *c; c++)
		if (!is_space(*c) && (*c < ' ' || *c > '~'))
			return request_fail(request, EINVAL,
					    "byte 0x%02x in the command; use printable 7-bit ASCII",
					    (unsigned char)*c);
	for (;;) {
		while (is_space(*at))
			at++;
		if (!*at || *at == '#')
			return 0;

		const char *end = word_end(at);

		if (!end)
			return request_fail(request, EINVAL,
					    "a quote is not closed; add the second \"");

		int error = add_word(request, at, end, &text);

		if (error)
			return error;
		at = end;
	}
}

bool request_is_blank(const char *line)
{
	while (is_space(*line))
		line++;
	return !*line || *line == '#';
}

/* ---- numbers, levels, times, lines --------------------------------------------- */

static bool parse_number(const char *word, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)word[0]))
		return false;
	errno = 0;
	*value = strtoull(word, &end, 10);
	return !*end && !errno;
}

int request_number(struct request *request, int word, const char *what, uint64_t min, uint64_t max,
		   uint64_t *value)
{
	if (parse_number(request->words[word], value) && *value >= min && *value <= max)
		return 0;
	return request_fail(request, EINVAL, "%s is `%s`; give a number from %llu to %llu", what,
			    request->words[word], (unsigned long long)min, (unsigned long long)max);
}

int request_duration(struct request *request, int word, uint64_t max_ns, uint64_t *ns)
{
	static const struct { const char *name; uint64_t ns; } units[] = {
		{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S},
		{"h", 3600 * NS_PER_S}};
	const char *text = request->words[word];
	size_t digits = strspn(text, "0123456789");

	for (size_t i = 0; digits && digits < 16 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].name))
			continue;
		uint64_t value = strtoull(text, NULL, 10);

		if (value > max_ns / units[i].ns)
			return request_fail(request, ERANGE,
					    "the time %s is too long; at most %llus", text,
					    (unsigned long long)(max_ns / NS_PER_S));
		*ns = value * units[i].ns;
		return 0;
	}
	return request_fail(request, EINVAL,
		    "the time is `%s`; give a whole number with its unit, such as 500us, 10ms or 2s",
			    text);
}

int request_level(struct request *request, int word, int8_t *value)
{
	const char *text = request->words[word];

	if ((text[0] != '0' && text[0] != '1') || text[1])
		return request_fail(request, EINVAL, "the level is `%s`; give 0 or 1", text);
	*value = text[0] == '1';
	return 0;
}

int request_pin(struct request *request, int word, struct board_pin **found)
{
	*found = board_find(request->commands->board, request->words[word]);
	if (*found)
		return 0;
	return request_fail(request, ENOENT,
		    "no line `%s`; give the name of a line, or CONTROLLER/OFFSET of an existing one",
			    request->words[word]);
}

int request_usage(struct request *request)
{
	return request_fail(request, EINVAL, "the words do not fit `%s`; write: %s",
			    request->words[0], request->usage);
}

bool request_is(const struct request *request, int word, const char *text)
{
	return word < request->count && !strcmp(request->words[word], text);
}
