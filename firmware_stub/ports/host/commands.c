/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "commands.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 16
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define WAIT_DEFAULT_NS (5 * NS_PER_S)
#define WAIT_MAX_NS (3600 * NS_PER_S)
#define ADVANCE_MAX_NS (60 * NS_PER_S)
#define CLOCK_MAX_NS (24 * 3600 * NS_PER_S)
#define TIMES_MAX 2000 /* that fit a reply */
#define FAULTS_MAX 10000
#define BOUNCES_MAX 1000
#define EXIT_CRASHED 134
#define NO_SERIAL "there is no serial line; start the stub with --serial or --rpmsg-tty"

enum where {
	IN_BOARD = 1,   /* before power-up */
	AT_RUN_TIME = 2,
	ANYWHERE = IN_BOARD | AT_RUN_TIME,
};

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

__attribute__((format(printf, 2, 3)))
static void answer(struct request *request, const char *format, ...)
{
	struct command *command = request->command;
	size_t used = strlen(command->reply);
	va_list args;

	va_start(args, format);
	vsnprintf(command->reply + used, command->reply_size - used, format, args);
	va_end(args);
}

__attribute__((format(printf, 3, 4)))
static int fail(struct request *request, int error, const char *format, ...)
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
		return fail(request, EINVAL, "more than %d words; no command has so many",
			    WORDS_MAX);
	if (*end && !is_space(*end))
		return fail(request, EINVAL,
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
			return fail(request, EINVAL,
				    "byte 0x%02x in the command; use printable 7-bit ASCII",
				    (unsigned char)*c);
	for (;;) {
		while (is_space(*at))
			at++;
		if (!*at || *at == '#')
			return 0;

		const char *end = word_end(at);

		if (!end)
			return fail(request, EINVAL, "a quote is not closed; add the second \"");

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

static int number(struct request *request, int word, const char *what, uint64_t min, uint64_t max,
		  uint64_t *value)
{
	if (parse_number(request->words[word], value) && *value >= min && *value <= max)
		return 0;
	return fail(request, EINVAL, "%s is `%s`; give a number from %llu to %llu", what,
		    request->words[word], (unsigned long long)min, (unsigned long long)max);
}

static int duration(struct request *request, int word, uint64_t max_ns, uint64_t *ns)
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
			return fail(request, ERANGE, "the time %s is too long; at most %llus",
				    text, (unsigned long long)(max_ns / NS_PER_S));
		*ns = value * units[i].ns;
		return 0;
	}
	return fail(request, EINVAL,
		    "the time is `%s`; give a whole number with its unit, such as 500us, 10ms or 2s",
		    text);
}

static int level(struct request *request, int word, int8_t *value)
{
	const char *text = request->words[word];

	if ((text[0] != '0' && text[0] != '1') || text[1])
		return fail(request, EINVAL, "the level is `%s`; give 0 or 1", text);
	*value = text[0] == '1';
	return 0;
}

static int pin(struct request *request, int word, struct board_pin **found)
{
	*found = board_find(request->commands->board, request->words[word]);
	if (*found)
		return 0;
	return fail(request, ENOENT,
		    "no line `%s`; give the name of a line, or CONTROLLER/OFFSET of an existing one",
		    request->words[word]);
}

static bool is(const struct request *request, int word, const char *text)
{
	return word < request->count && !strcmp(request->words[word], text);
}

static int usage(struct request *request);

/* ---- the board -------------------------------------------------------------------- */

struct controller_words {
	uint64_t index, lines;
	bool raw;
	const char *label;
};

static int controller_channel(struct request *request, int word, struct controller_words *wanted)
{
	const char *name = request->words[word];
	char own[32];

	snprintf(own, sizeof(own), "%s%llu", RPMSG_GPIO_CHANNEL_PREFIX,
		 (unsigned long long)wanted->index);
	wanted->raw = !strcmp(name, RPMSG_GPIO_CHANNEL_RAW);
	if (wanted->raw || !strcmp(name, own))
		return 0;
	return fail(request, EINVAL, "the channel of controller %llu is `%s`; give %s or %s",
		    (unsigned long long)wanted->index, name, own, RPMSG_GPIO_CHANNEL_RAW);
}

static int controller_words(struct request *request, struct controller_words *wanted)
{
	int error = number(request, 1, "the controller", 0, BOARD_CONTROLLERS_MAX - 1,
			   &wanted->index);

	for (int word = 2; !error && word < request->count; word += 2) {
		if (word + 1 == request->count)
			return usage(request);
		if (is(request, word, "channel"))
			error = controller_channel(request, word + 1, wanted);
		else if (is(request, word, "label"))
			wanted->label = request->words[word + 1];
		else if (is(request, word, "lines"))
			error = number(request, word + 1, "the number of lines", 1, UINT16_MAX,
				       &wanted->lines);
		else
			return usage(request);
	}
	return error;
}

static int do_controller(struct request *request)
{
	struct controller_words wanted = {.label = ""};
	struct board *board = request->commands->board;
	struct board_controller *controller;
	int error = controller_words(request, &wanted);

	if (error)
		return error;
	if (!wanted.lines)
		return fail(request, EINVAL, "controller %llu has no lines; add `lines N`",
			    (unsigned long long)wanted.index);
	if (board->controllers[wanted.index])
		return fail(request, EEXIST, "controller %llu is there already; give another index",
			    (unsigned long long)wanted.index);
	if (strlen(wanted.label) > RPMSG_GPIO_LABEL_SIZE)
		return fail(request, EINVAL, "the label has %zu characters; at most %d",
			    strlen(wanted.label), RPMSG_GPIO_LABEL_SIZE);
	controller = board_add_controller(board, (unsigned int)wanted.index,
					  (uint16_t)wanted.lines);
	if (!controller)
		return fail(request, ENOMEM, "no memory for the controller");
	controller->raw = wanted.raw;
	strcpy(controller->label, wanted.label);
	return 0;
}

static int check_name(struct request *request, const struct board_pin *line, const char *name)
{
	if (!name[0] || strlen(name) > BOARD_NAME_MAX)
		return fail(request, EINVAL, "the name has %zu characters; give 1 to %d",
			    strlen(name), BOARD_NAME_MAX);
	if (strspn(name, "0123456789/") == strlen(name))
		return fail(request, EINVAL,
			    "the name `%s` could be an offset; put a letter into it", name);
	if (line->name[0])
		return fail(request, EEXIST, "line %u/%u is named `%s` already; name it once",
			    line->controller->index, line->offset, line->name);
	if (board_find_in(line->controller, name))
		return fail(request, EEXIST,
			    "controller %u has a line `%s` already; names are unique per controller",
			    line->controller->index, name);
	return 0;
}

static int do_line(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		error = check_name(request, line, request->words[2]);
	if (!error)
		strcpy(line->name, request->words[2]);
	return error;
}

static int do_pull(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (error)
		return error;
	if (is(request, 2, "up"))
		board_pull(line, 1);
	else if (is(request, 2, "down"))
		board_pull(line, 0);
	else if (is(request, 2, "none"))
		board_pull(line, BOARD_FLOAT);
	else
		return usage(request);
	return 0;
}

static int two_pins(struct request *request, struct board_pin **a, struct board_pin **b)
{
	int error = pin(request, 1, a);

	if (!error)
		error = pin(request, 2, b);
	if (!error && *a == *b)
		error = fail(request, EINVAL, "both ends are `%s`; give two different lines",
			     request->words[1]);
	return error;
}

static int do_wire(struct request *request)
{
	struct board_pin *a, *b;
	int error = two_pins(request, &a, &b);

	if (!error && !board_wire(request->commands->board, a, b))
		error = fail(request, ENOMEM, "no memory for the wire");
	return error;
}

static int do_unwire(struct request *request)
{
	struct board_pin *a, *b;
	int error = two_pins(request, &a, &b);

	if (!error && !board_unwire(request->commands->board, a, b))
		error = fail(request, ENOENT, "no wire from `%s` to `%s`; name both of its ends",
			     request->words[1], request->words[2]);
	return error;
}

/* [bounce N TIME], or bounce 0 */
static int bounce_words(struct request *request, uint64_t *count, uint64_t *ns)
{
	int error;

	if (request->count == 3)
		return 0;
	if (!is(request, 3, "bounce") || request->count == 4)
		return usage(request);
	error = number(request, 4, "the number of bounces", 0, BOUNCES_MAX, count);
	if (error || (request->count == 5 && !*count))
		return error;
	if (request->count == 5)
		return fail(request, EINVAL,
			    "bounces without a time; give it too, such as: bounce 3 200us");
	error = duration(request, 5, NS_PER_S, ns);
	if (!error && !*ns)
		error = fail(request, EINVAL, "the time between bounces is 0; give at least 1ns");
	return error;
}

static int do_button(struct request *request)
{
	struct board_pin *line;
	uint64_t bounces = 0, ns = 0;
	int error = pin(request, 1, &line);

	if (!error)
		error = bounce_words(request, &bounces, &ns);
	if (error)
		return error;
	if (!is(request, 2, "active-low") && !is(request, 2, "active-high"))
		return usage(request);
	if (line->is_button)
		return fail(request, EEXIST, "`%s` is a button already; declare it once",
			    request->words[1]);
	board_button(line, is(request, 2, "active-high"), (unsigned int)bounces, ns);
	return 0;
}

/* ---- stimulus --------------------------------------------------------------------- */

static int idle_pin(struct request *request, struct board_pin **line)
{
	int error = pin(request, 1, line);

	if (!error && board_busy(*line))
		error = fail(request, EBUSY,
			     (*line)->wave.endless
				     ? "a clock runs on `%s`; stop it with `clock NAME off`"
				     : "pulses run on `%s`; wait until they have ended",
			     request->words[1]);
	return error;
}

static int do_clock(struct request *request)
{
	struct board_pin *line;
	uint64_t hz;
	int error;

	if (request->count == 3 && is(request, 2, "off")) {
		error = pin(request, 1, &line);
		if (!error)
			board_clock_off(line);
		return error;
	}
	if (request->count != 4 || !is(request, 2, "hz"))
		return usage(request);
	error = idle_pin(request, &line);
	if (!error)
		error = number(request, 3, "the frequency in Hz", 1, BOARD_HZ_MAX, &hz);
	if (!error)
		board_clock(line, (uint32_t)hz);
	return error;
}

static int do_pulse(struct request *request)
{
	struct board_pin *line;
	uint64_t count, hz;
	int error;

	if (!is(request, 3, "hz"))
		return usage(request);
	error = idle_pin(request, &line);
	if (!error)
		error = number(request, 2, "the number of pulses", 1, UINT32_MAX, &count);
	if (!error && is(request, 4, "max"))
		hz = 0;
	else if (!error)
		error = number(request, 4, "the frequency in Hz", 0, BOARD_HZ_MAX, &hz);
	if (!error)
		board_pulse(line, count, (uint32_t)hz);
	return error;
}

static int button_to(struct request *request, bool pressed)
{
	struct board_pin *line;
	int error = idle_pin(request, &line);

	if (error)
		return error;
	if (!line->is_button)
		return fail(request, EINVAL,
			    "`%s` is not a button; declare it with `button`, or use `drive`",
			    request->words[1]);
	board_press(line, pressed);
	return 0;
}

static int do_press(struct request *request)
{
	return button_to(request, true);
}

static int do_release(struct request *request)
{
	return button_to(request, false);
}

static int do_drive(struct request *request)
{
	struct board_pin *line;
	int8_t value;
	int error = idle_pin(request, &line);

	if (!error)
		error = level(request, 2, &value);
	if (!error)
		board_drive(line, value);
	return error;
}

static int do_float(struct request *request)
{
	struct board_pin *line;
	int error = idle_pin(request, &line);

	if (!error)
		board_drive(line, BOARD_FLOAT);
	return error;
}

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

static const struct verb *find_verb(const char *name);

static int do_at(struct request *request)
{
	struct commands *commands = request->commands;
	const char *text = request->line + request->starts[2];
	const struct verb *verb = find_verb(request->words[2]);
	struct scheduled *scheduled;
	uint64_t ns;
	int error = duration(request, 1, 24 * 3600 * NS_PER_S, &ns);

	if (error)
		return error;
	if (!verb || !(verb->where & AT_RUN_TIME))
		return fail(request, EINVAL,
			    "`%s` cannot be done later; give a command of run time, such as: at 100ms press BUTTON",
			    request->words[2]);
	if (request->count - 2 < verb->min || request->count - 2 > verb->max)
		return fail(request, EINVAL, "the words do not fit `%s`; write: at TIME %s",
			    verb->name, verb->usage);
	scheduled = malloc(sizeof(*scheduled) + strlen(text) + 1);
	if (!scheduled)
		return fail(request, ENOMEM, "no memory for the command");
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

/* ---- the coprocessor's clock and pins ------------------------------------------------ */

/* [-]TIME */
static int signed_duration(struct request *request, int word, int64_t *ns)
{
	bool negative = request->words[word][0] == '-';
	uint64_t size;
	int error;

	request->words[word] += negative;
	error = duration(request, word, CLOCK_MAX_NS, &size);
	*ns = negative ? -(int64_t)size : (int64_t)size;
	return error;
}

static int do_clock_offset(struct request *request)
{
	int64_t ns;
	int error = signed_duration(request, 1, &ns);

	if (!error)
		board_clock_shift(request->commands->board, ns);
	return error;
}

static int do_clock_drift(struct request *request)
{
	const char *text = request->words[1];
	int ppm, length = 0;

	if (sscanf(text, "%d%n", &ppm, &length) != 1 || strcmp(text + length, "ppm") ||
	    ppm < -BOARD_DRIFT_MAX_PPM || ppm > BOARD_DRIFT_MAX_PPM)
		return fail(request, EINVAL,
			    "the drift is `%s`; give a whole number from -%d to %d and its unit, such as 100ppm",
			    text, BOARD_DRIFT_MAX_PPM, BOARD_DRIFT_MAX_PPM);
	board_clock_drift(request->commands->board, ppm);
	return 0;
}

static int do_clock_read(struct request *request)
{
	const struct board *board = request->commands->board;
	uint64_t now = loop_now(board->loop), device = board_device_time(board, now);

	answer(request, "board %llu device %llu drift %d", (unsigned long long)now,
	       (unsigned long long)device, board->clock.drift_ppm);
	return 0;
}

static int capability(struct request *request, const char *name, size_t length, uint32_t *caps)
{
	static const struct { const char *name; uint32_t bits; } known[] = {
		{"bias", RPMSG_GPIO_LINE_BIAS},
		{"drive", RPMSG_GPIO_LINE_DRIVE},
		{"debounce", RPMSG_GPIO_LINE_DEBOUNCE},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) == length && !strncmp(known[i].name, name, length)) {
			*caps |= known[i].bits;
			return 0;
		}
	}
	return fail(request, EINVAL,
		    "no capability `%.*s`; give none, or some of bias,drive,debounce", (int)length,
		    name);
}

static int do_caps(struct request *request)
{
	const char *list = request->words[2];
	struct board_pin *line;
	uint32_t caps = 0;
	int error = pin(request, 1, &line);

	while (!error && !is(request, 2, "none")) {
		size_t length = strcspn(list, ",");

		error = capability(request, list, length, &caps);
		if (!list[length])
			break;
		list += length + 1;
	}
	if (!error)
		line->caps = caps;
	return error;
}

/* ---- looking ------------------------------------------------------------------------ */

static int do_read(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		answer(request, "%u", line->level);
	return error;
}

static int do_count(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		answer(request, "edges %llu interrupts %llu", (unsigned long long)line->edges,
		       (unsigned long long)line->interrupts);
	return error;
}

static int do_edge(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		answer(request, "edges %llu time %llu step %llu", (unsigned long long)line->edges,
		       (unsigned long long)line->edge_ns, (unsigned long long)line->edge_step);
	return error;
}

static int do_config(struct request *request)
{
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		answer(request, "caps 0x%x flags 0x%x debounce %llu", line->caps, line->config,
		       (unsigned long long)(line->debounce_ns / NS_PER_US));
	return error;
}

static int do_trace(struct request *request)
{
	struct board_pin *line;
	uint64_t room;
	int error = pin(request, 1, &line);

	if (!error)
		error = number(request, 2, "the number of edges", 1, BOARD_TRACE_MAX, &room);
	if (!error && !board_trace(line, (size_t)room))
		error = fail(request, ENOMEM, "no memory for so many edges");
	return error;
}

static int do_times(struct request *request)
{
	struct board_pin *line;
	uint64_t from, count;
	int error = pin(request, 1, &line);

	if (!error)
		error = number(request, 2, "the first edge", 0, BOARD_TRACE_MAX, &from);
	if (!error)
		error = number(request, 3, "the number of edges", 1, TIMES_MAX, &count);
	for (uint64_t i = from; !error && i < from + count && i < line->trace.count; i++)
		answer(request, "%s%llu", i > from ? " " : "",
		       (unsigned long long)line->trace.times[i]);
	return error;
}

static const char *irq_type_name(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_NONE: return "none";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: return "edge-rising";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING: return "edge-falling";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: return "edge-both";
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: return "level-high";
	default: return "level-low";
	}
}

static int do_state(struct request *request)
{
	static const char *const directions[] = {"none", "out", "in"};
	struct board_pin *line;
	int error = pin(request, 1, &line);

	if (!error)
		answer(request, "direction %s irq %s armed %s level %u",
		       directions[line->direction], irq_type_name(line->irq_type),
		       firmware_armed(line) ? "yes" : "no", line->level);
	return error;
}

static int do_channels(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;
	char name[32];

	for (unsigned int i = 0; i < firmware->count; i++) {
		const struct controller *controller = &firmware->controllers[i];

		firmware_channel_name(controller, name, sizeof(name));
		answer(request, "%s%u %s 0x%x lines %u label \"%s\"", i ? "\n" : "",
		       controller->board->index, name, controller->address,
		       controller->board->ngpio, controller->board->label);
		if (controller->driver_known)
			answer(request, " driver 0x%x", controller->driver);
	}
	return 0;
}

/* ---- waiting ------------------------------------------------------------------------- */

/* [timeout TIME] at `word`, and whether one may wait here. */
static int start_wait(struct request *request, int word, struct wait wait)
{
	int error = 0;

	wait.timeout_ns = WAIT_DEFAULT_NS;
	if (!request->command->may_wait)
		return fail(request, EINVAL,
			    "nobody is there to wait; wait on the control channel");
	if (word < request->count) {
		if (!is(request, word, "timeout") || word + 2 != request->count)
			return usage(request);
		error = duration(request, word + 1, WAIT_MAX_NS, &wait.timeout_ns);
	}
	if (!error)
		request->command->wait = wait;
	return error;
}

static int do_wait(struct request *request)
{
	struct wait wait = {.kind = WAIT_LEVEL};
	int8_t value;
	int error = pin(request, 1, &wait.pin);

	if (!error)
		error = level(request, 2, &value);
	if (error)
		return error;
	wait.wanted = (uint64_t)value;
	return start_wait(request, 3, wait);
}

static int do_wait_armed(struct request *request)
{
	struct wait wait = {.kind = WAIT_ARMED};
	int error = pin(request, 1, &wait.pin);

	return error ? error : start_wait(request, 2, wait);
}

static int do_wait_edges(struct request *request)
{
	struct wait wait = {.kind = WAIT_EDGES};
	int error = pin(request, 1, &wait.pin);

	if (!error)
		error = number(request, 2, "the number of edges", 0, UINT64_MAX, &wait.wanted);
	return error ? error : start_wait(request, 3, wait);
}

static int do_wait_attached(struct request *request)
{
	return start_wait(request, 1, (struct wait){.kind = WAIT_ATTACHED});
}

bool wait_over(const struct commands *commands, const struct wait *wait)
{
	switch (wait->kind) {
	case WAIT_LEVEL: return wait->pin->level == wait->wanted;
	case WAIT_ARMED: return firmware_armed(wait->pin);
	case WAIT_EDGES: return wait->pin->edges >= wait->wanted;
	case WAIT_ATTACHED: return firmware_attached(commands->firmware);
	default: return true;
	}
}

/* ---- the machine ------------------------------------------------------------------------ */

static int do_advance(struct request *request)
{
	uint64_t ns;
	int error = duration(request, 1, ADVANCE_MAX_NS, &ns);

	if (error)
		return error;
	if (!loop_stepping(request->commands->loop))
		return fail(request, EINVAL,
			    "time runs by itself; start the stub with --step to advance it");
	loop_advance(request->commands->loop, ns);
	return 0;
}

static int do_restart(struct request *request)
{
	firmware_restart(request->commands->firmware);
	return 0;
}

static int do_crash(struct request *request)
{
	(void)request;
	_exit(EXIT_CRASHED);
}

static int do_quit(struct request *request)
{
	loop_quit(request->commands->loop);
	return 0;
}

/* drop|duplicate|corrupt|delay rx|tx N [TIME] */
static int fault_messages(struct request *request)
{
	struct faults *faults = &request->commands->firmware->faults;
	bool delay = is(request, 1, "delay");
	struct fault_plan *plan;
	uint64_t count, ns = 0;
	int error;

	if (request->count != (delay ? 5 : 4) || !(is(request, 2, "rx") || is(request, 2, "tx")))
		return usage(request);
	plan = &faults->plans[is(request, 2, "tx") ? FAULT_TX : FAULT_RX];
	error = number(request, 3, "the number of messages", 0, FAULTS_MAX, &count);
	if (!error && delay)
		error = duration(request, 4, ADVANCE_MAX_NS, &ns);
	if (error)
		return error;
	if (delay) {
		plan->delay = (unsigned int)count;
		plan->delay_ns = ns;
	} else if (is(request, 1, "drop")) {
		plan->drop = (unsigned int)count;
	} else if (is(request, 1, "duplicate")) {
		plan->duplicate = (unsigned int)count;
	} else {
		plan->corrupt = (unsigned int)count;
	}
	return 0;
}

static int fault_stall(struct request *request)
{
	if (request->count != 3 || !(is(request, 2, "on") || is(request, 2, "off")))
		return usage(request);
	firmware_stall(request->commands->firmware, is(request, 2, "on"));
	return 0;
}

static int fault_mute(struct request *request)
{
	uint64_t count;
	int error;

	if (request->count != 3)
		return usage(request);
	error = number(request, 2, "the number of replies", 0, FAULTS_MAX, &count);
	if (!error)
		request->commands->firmware->faults.plans[FAULT_TX].mute = (unsigned int)count;
	return error;
}

/* A length that a message claims to have; `-` leaves the true one. */
static int lie_length(struct request *request, int word, int *length)
{
	uint64_t value;
	int error;

	if (is(request, word, "-")) {
		*length = -1;
		return 0;
	}
	error = number(request, word, "the length", 0, UINT16_MAX, &value);
	*length = (int)value;
	return error;
}

static int fault_lie(struct request *request)
{
	uint64_t count;
	int header = -1, used = -1, error;

	if (request->count != 5)
		return usage(request);
	error = number(request, 2, "the number of messages", 0, FAULTS_MAX, &count);
	if (!error)
		error = lie_length(request, 3, &header);
	if (!error)
		error = lie_length(request, 4, &used);
	if (!error && !request->commands->firmware->backend)
		return fail(request, EOPNOTSUPP,
			    "a serial line has no such lengths; start the stub with --socket");
	if (!error)
		rpmsg_backend_lie(request->commands->firmware->backend, (unsigned int)count,
				  header, used);
	return error;
}

/* noise N [SEED]: errors of each kind in a million bytes of the serial line */
static int fault_noise(struct request *request)
{
	struct serial_port *serial = request->commands->firmware->serial;
	uint64_t rate, seed = 1;
	int error;

	if (request->count < 3 || request->count > 4)
		return usage(request);
	error = number(request, 2, "the errors in a million bytes", 0, 100000, &rate);
	if (!error && request->count == 4)
		error = number(request, 3, "the seed", 0, UINT32_MAX, &seed);
	if (!error && !serial)
		return fail(request, EOPNOTSUPP, NO_SERIAL);
	if (!error)
		serial_port_noise(serial, (uint32_t)rate, seed);
	return error;
}

static int fault_cable(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;
	bool in = is(request, 2, "in");

	if (request->count != 3 || !(in || is(request, 2, "out")))
		return usage(request);
	if (!firmware->serial)
		return fail(request, EOPNOTSUPP, NO_SERIAL);
	if (!firmware_plug(firmware, in))
		return fail(request, errno, "the cable cannot be %s: %s",
			    in ? "plugged in" : "pulled", strerror(errno));
	return 0;
}

static int fault_announce_late(struct request *request)
{
	if (request->count != 3)
		return usage(request);
	return duration(request, 2, ADVANCE_MAX_NS,
			&request->commands->firmware->faults.announce_late_ns);
}

static int fault_clear(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;

	if (request->count != 2)
		return usage(request);
	faults_clear(&firmware->faults);
	if (firmware->backend)
		rpmsg_backend_lie(firmware->backend, 0, -1, -1);
	if (firmware->serial)
		serial_port_noise(firmware->serial, 0, 0);
	firmware_stall(firmware, false);
	return 0;
}

static int do_fault(struct request *request)
{
	static const struct { const char *name; int (*fn)(struct request *request); } kinds[] = {
		{"drop", fault_messages},
		{"duplicate", fault_messages},
		{"corrupt", fault_messages},
		{"delay", fault_messages},
		{"stall", fault_stall},
		{"mute", fault_mute},
		{"lie", fault_lie},
		{"noise", fault_noise},
		{"cable", fault_cable},
		{"announce-late", fault_announce_late},
		{"clear", fault_clear},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (is(request, 1, kinds[i].name))
			return kinds[i].fn(request);
	return usage(request);
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
	{"wait", do_wait, 3, 5, AT_RUN_TIME, "wait LINE 0|1 [timeout TIME]"},
	{"wait-armed", do_wait_armed, 2, 4, AT_RUN_TIME, "wait-armed LINE [timeout TIME]"},
	{"wait-edges", do_wait_edges, 3, 5, AT_RUN_TIME, "wait-edges LINE N [timeout TIME]"},
	{"wait-attached", do_wait_attached, 1, 3, AT_RUN_TIME, "wait-attached [timeout TIME]"},
	{"advance", do_advance, 2, 2, AT_RUN_TIME, "advance TIME"},
	{"restart", do_restart, 1, 1, AT_RUN_TIME, "restart"},
	{"crash", do_crash, 1, 1, AT_RUN_TIME, "crash"},
	{"fault", do_fault, 2, 5, AT_RUN_TIME,
	 "fault drop|duplicate|corrupt rx|tx N, fault delay rx|tx N TIME, fault stall on|off, "
	 "fault mute N, fault lie N HEADER|- USED|-, fault announce-late TIME, or fault clear"},
	{"quit", do_quit, 1, 1, AT_RUN_TIME, "quit"},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int usage(struct request *request)
{
	return fail(request, EINVAL, "the words do not fit `%s`; write: %s", request->words[0],
		    find_verb(request->words[0])->usage);
}

static int execute(struct request *request)
{
	const struct verb *verb;
	bool powered = request->commands->firmware;

	if (!request->count)
		return fail(request, EINVAL, "an empty command; `channels` is a harmless one");
	verb = find_verb(request->words[0]);
	if (!verb)
		return fail(request, EINVAL, "no command `%s`; docs/stub.md lists them",
			    request->words[0]);
	if (!(verb->where & (powered ? AT_RUN_TIME : IN_BOARD)))
		return fail(request, EINVAL, "`%s` belongs %s", verb->name,
			    powered ? "in the board file: the board is powered up"
				    : "on the control channel: the board is not powered up yet");
	if (request->count < verb->min || request->count > verb->max)
		return usage(request);
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
		error = fail(request, EMSGSIZE, "the command is longer than %d bytes; shorten it",
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
