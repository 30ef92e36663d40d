/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands_internal.h"

enum where {
	IN_BOARD = 1,   /* before power-up */
	AT_RUN_TIME = 2,
	BY_A_CLIENT = AT_RUN_TIME | 4, /* the client that waits for the reply; not in `at` */
	ANYWHERE = IN_BOARD | AT_RUN_TIME,
};

struct verb {
	const char *name;
	int (*fn)(struct request *request);
	int min, max; /* words, its own included */
	enum where where;
	const char *usage;
};

struct scheduled {
	struct scheduled *next;
	struct commands *commands;
	struct loop_timer timer;
	char text[]; /* the command */
};

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

static int split(struct request *request)
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

bool request_is(const struct request *request, int word, const char *text)
{
	return word < request->count && !strcmp(request->words[word], text);
}

/* ---- the verbs ------------------------------------------------------------ */

static const struct verb *find_verb(const char *name);

static void unlink_scheduled(struct scheduled *scheduled)
{
	struct scheduled **link = &scheduled->commands->scheduled;

	while (*link != scheduled)
		link = &(*link)->next;
	*link = scheduled->next;
}

static void execute_scheduled(void *context)
{
	struct scheduled *scheduled = context;
	char reply[512];
	struct command command = {.reply = reply, .reply_size = sizeof(reply)};

	unlink_scheduled(scheduled);
	if (commands_execute(scheduled->commands, scheduled->text, &command))
		fprintf(stderr, "firmware-stub: `%s`, scheduled by `at`: %s\n", scheduled->text,
			reply);
	free(scheduled);
}

static int do_at(struct request *request)
{
	struct commands *commands = request->commands;
	const char *text = request->line + request->starts[2];
	const struct verb *verb = find_verb(request->words[2]);
	struct scheduled *scheduled;
	uint64_t ns = 0;
	int error = request_duration(request, 1, 24 * 3600 * NS_PER_S, &ns);

	if (error)
		return error;
	if (!verb || !(verb->where & AT_RUN_TIME) || verb->where == BY_A_CLIENT)
		return request_fail(request, EINVAL,
			    "`%s` cannot be done later; give a command of run time, "
				    "such as: at 100ms press BUTTON",
				    request->words[2]);
	if (request->count - 2 < verb->min || request->count - 2 > verb->max)
		return request_fail(request, EINVAL, "the words do not fit `%s`; write: at TIME %s",
				    verb->name, verb->usage);
	scheduled = malloc(sizeof(*scheduled) + strlen(text) + 1);
	if (!scheduled)
		return request_fail(request, ENOMEM, "no memory for the command");
	*scheduled = (struct scheduled){
		.next = commands->scheduled,
		.commands = commands,
		.timer = {.fn = execute_scheduled, .context = scheduled},
	};
	strcpy(scheduled->text, text);
	commands->scheduled = scheduled;
	loop_timer_set(commands->loop, &scheduled->timer, loop_now(commands->loop) + ns);
	return 0;
}

static const struct verb verbs[] = {
	{"controller", do_controller, 4, 8, IN_BOARD,
	 "controller INDEX [channel rpmsg-io-INDEX|rpmsg-raw] [label LABEL] lines N"},
	{"line", do_line, 3, 3, IN_BOARD, "line CONTROLLER/OFFSET NAME"},
	{"button", do_button, 3, 6, IN_BOARD,
	 "button LINE active-low|active-high [bounce N TIME]"},
	{"pull", do_pull, 3, 3, ANYWHERE, "pull LINE up|down|none"},
	{"wire", do_wire, 3, 3, ANYWHERE, "wire LINE LINE"},
	{"unwire", do_unwire, 3, 3, ANYWHERE, "unwire LINE LINE"},
	{"clock", do_clock, 3, 4, ANYWHERE, "clock LINE hz N, or clock LINE off"},
	{"press", do_press, 2, 2, ANYWHERE, "press LINE"},
	{"release", do_release, 2, 2, ANYWHERE, "release LINE"},
	{"drive", do_drive, 3, 3, ANYWHERE, "drive LINE 0|1"},
	{"float", do_float, 2, 2, ANYWHERE, "float LINE"},
	{"pulse", do_pulse, 5, 5, ANYWHERE, "pulse LINE N hz F, or pulse LINE N hz max"},
	{"clock-offset", do_clock_offset, 2, 2, ANYWHERE, "clock-offset TIME, or clock-offset -TIME"},
	{"clock-drift", do_clock_drift, 2, 2, ANYWHERE, "clock-drift Nppm"},
	{"caps", do_caps, 3, 3, ANYWHERE, "caps LINE bias,drive,debounce, or caps LINE none"},
	{"trace", do_trace, 3, 3, ANYWHERE, "trace LINE N"},
	{"at", do_at, 3, WORDS_MAX, ANYWHERE, "at TIME COMMAND"},
	{"read", do_read, 2, 2, AT_RUN_TIME, "read LINE"},
	{"count", do_count, 2, 2, AT_RUN_TIME, "count LINE"},
	{"edge", do_edge, 2, 2, AT_RUN_TIME, "edge LINE"},
	{"config", do_config, 2, 2, AT_RUN_TIME, "config LINE"},
	{"times", do_times, 4, 4, AT_RUN_TIME, "times LINE FIRST N"},
	{"clock-read", do_clock_read, 1, 1, AT_RUN_TIME, "clock-read"},
	{"state", do_state, 2, 2, AT_RUN_TIME, "state LINE"},
	{"channels", do_channels, 1, 1, AT_RUN_TIME, "channels"},
	{"wait", do_wait, 3, 5, BY_A_CLIENT, "wait LINE 0|1 [timeout TIME]"},
	{"wait-armed", do_wait_armed, 2, 4, BY_A_CLIENT, "wait-armed LINE [timeout TIME]"},
	{"wait-edges", do_wait_edges, 3, 5, BY_A_CLIENT, "wait-edges LINE N [timeout TIME]"},
	{"wait-attached", do_wait_attached, 1, 3, BY_A_CLIENT, "wait-attached [timeout TIME]"},
	{"advance", do_advance, 2, 2, AT_RUN_TIME, "advance TIME"},
	{"restart", do_restart, 1, 1, AT_RUN_TIME, "restart"},
	{"crash", do_crash, 1, 1, AT_RUN_TIME, "crash"},
	{"fault", do_fault, 2, 5, AT_RUN_TIME,
	 "fault drop|duplicate|corrupt rx|tx N, fault delay rx|tx N TIME, fault stall on|off, "
	 "fault mute N, fault lie N HEADER|- USED|-, fault noise N [SEED], fault cable in|out, "
	 "fault announce-late TIME, fault announce INDEX created|destroyed, or fault clear"},
	{"quit", do_quit, 1, 1, AT_RUN_TIME, "quit"},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

int request_usage(struct request *request)
{
	return request_fail(request, EINVAL, "the words do not fit `%s`; write: %s",
			    request->words[0], find_verb(request->words[0])->usage);
}

static int execute(struct request *request)
{
	const struct verb *verb;
	bool powered = request->commands->firmware;

	if (!request->count)
		return request_fail(request, EINVAL,
				    "an empty command; `channels` is a harmless one");
	verb = find_verb(request->words[0]);
	if (!verb)
		return request_fail(request, EINVAL, "no command `%s`; docs/stub.md lists them",
				    request->words[0]);
	if (!(verb->where & (powered ? AT_RUN_TIME : IN_BOARD)))
		return request_fail(request, EINVAL, "`%s` belongs %s", verb->name,
			    powered ? "in the board file: the board is powered up"
					    : "on the control channel: the board is not powered up yet");
	if (request->count < verb->min || request->count > verb->max)
		return request_usage(request);
	return verb->fn(request);
}

int commands_execute(struct commands *commands, const char *line, struct command *command)
{
	struct request *request;
	int error;

	command->reply[0] = '\0';
	command->wait.kind = WAIT_NOTHING;
	request = calloc(1, sizeof(*request));
	if (!request) {
		snprintf(command->reply, command->reply_size, "no memory for the command");
		return -ENOMEM;
	}
	request->commands = commands;
	request->command = command;
	request->line = line;
	if (strlen(line) > COMMAND_LENGTH_MAX)
		error = request_fail(request, EMSGSIZE,
				     "the command is longer than %d bytes; shorten it",
				     COMMAND_LENGTH_MAX);
	else
		error = split(request);
	if (!error)
		error = execute(request);
	free(request);
	return error;
}

/* ---- board files ------------------------------------------------------------------------ */

static bool is_blank(const char *line)
{
	while (is_space(*line))
		line++;
	return !*line || *line == '#';
}

static bool has_controller(const struct board *board)
{
	for (unsigned int i = 0; i < BOARD_CONTROLLERS_MAX; i++)
		if (board->controllers[i])
			return true;
	return false;
}

static int load_lines(struct commands *commands, FILE *file, const char *path, char *why,
		      size_t why_size)
{
	char *line = NULL, sentence[512];
	size_t size = 0;
	int error = 0;

	for (unsigned int n = 1; !error; n++) {
		ssize_t length = getline(&line, &size, file);
		struct command command = {.reply = sentence, .reply_size = sizeof(sentence)};

		if (length < 0)
			break;
		if (strlen(line) != (size_t)length) {
			error = -EINVAL;
			strcpy(sentence, "a NUL byte; a board file is text");
		} else if (!is_blank(line)) {
			error = commands_execute(commands, line, &command);
		}
		if (error)
			snprintf(why, why_size, "%s:%u: %s", path, n, sentence);
	}
	if (!error && ferror(file)) {
		error = -errno;
		snprintf(why, why_size, "%s: %s; give a readable board file", path,
			 strerror(-error));
	}
	free(line);
	return error;
}

int commands_load(struct commands *commands, const char *path, char *why, size_t why_size)
{
	FILE *file = fopen(path, "re");
	int error;

	if (!file) {
		error = -errno;
		snprintf(why, why_size, "%s: %s; give a readable board file", path,
			 strerror(-error));
		return error;
	}
	error = load_lines(commands, file, path, why, why_size);
	fclose(file);
	if (!error && !has_controller(commands->board)) {
		error = -EINVAL;
		snprintf(why, why_size, "%s: no controller; add one, such as: controller 0 lines 8",
			 path);
	}
	return error;
}

void commands_init(struct commands *commands, struct loop *loop, struct board *board)
{
	*commands = (struct commands){.loop = loop, .board = board};
}

void commands_free(struct commands *commands)
{
	while (commands->scheduled) {
		struct scheduled *scheduled = commands->scheduled;

		commands->scheduled = scheduled->next;
		loop_timer_cancel(commands->loop, &scheduled->timer);
		free(scheduled);
	}
}
