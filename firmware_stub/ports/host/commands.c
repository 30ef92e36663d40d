/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

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
	{"self-test", do_self_test, 2, WORDS_MAX, AT_RUN_TIME,
	 "self-test LINE... [wire LINE LINE]..."},
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
	request->usage = verb->usage;
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
		error = request_split(request);
	if (!error)
		error = execute(request);
	free(request);
	return error;
}

/* ---- board files ------------------------------------------------------------------------ */

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
		} else if (!request_is_blank(line)) {
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
