/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

#define CLOCK_MAX_NS (24 * 3600 * NS_PER_S)
#define BOUNCES_MAX 1000

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
	return request_fail(request, EINVAL,
			    "the channel of controller %llu is `%s`; give %s or %s",
			    (unsigned long long)wanted->index, name, own, RPMSG_GPIO_CHANNEL_RAW);
}

static int controller_words(struct request *request, struct controller_words *wanted)
{
	int error = request_number(request, 1, "the controller", 0, BOARD_CONTROLLERS_MAX - 1,
				   &wanted->index);

	for (int word = 2; !error && word < request->count; word += 2) {
		if (word + 1 == request->count)
			return request_usage(request);
		if (request_is(request, word, "channel"))
			error = controller_channel(request, word + 1, wanted);
		else if (request_is(request, word, "label"))
			wanted->label = request->words[word + 1];
		else if (request_is(request, word, "lines"))
			error = request_number(request, word + 1, "the number of lines", 1,
					       UINT16_MAX, &wanted->lines);
		else
			return request_usage(request);
	}
	return error;
}

int do_controller(struct request *request)
{
	struct controller_words wanted = {.label = ""};
	struct board *board = request->commands->board;
	struct board_controller *controller;
	int error = controller_words(request, &wanted);

	if (error)
		return error;
	if (!wanted.lines)
		return request_fail(request, EINVAL, "controller %llu has no lines; add `lines N`",
				    (unsigned long long)wanted.index);
	if (board->controllers[wanted.index])
		return request_fail(request, EEXIST,
				    "controller %llu is there already; give another index",
				    (unsigned long long)wanted.index);
	if (strlen(wanted.label) > RPMSG_GPIO_LABEL_SIZE)
		return request_fail(request, EINVAL, "the label has %zu characters; at most %d",
				    strlen(wanted.label), RPMSG_GPIO_LABEL_SIZE);
	controller = board_add_controller(board, (unsigned int)wanted.index,
					  (uint16_t)wanted.lines);
	if (!controller)
		return request_fail(request, ENOMEM, "no memory for the controller");
	controller->raw = wanted.raw;
	strcpy(controller->label, wanted.label);
	return 0;
}

static int check_name(struct request *request, const struct board_pin *line, const char *name)
{
	if (!name[0] || strlen(name) > BOARD_NAME_MAX)
		return request_fail(request, EINVAL, "the name has %zu characters; give 1 to %d",
				    strlen(name), BOARD_NAME_MAX);
	if (strspn(name, "0123456789/") == strlen(name))
		return request_fail(request, EINVAL,
				    "the name `%s` could be an offset; put a letter into it", name);
	if (line->name[0])
		return request_fail(request, EEXIST,
				    "line %u/%u is named `%s` already; name it once",
				    line->controller->index, line->offset, line->name);
	if (board_find_in(line->controller, name))
		return request_fail(request, EEXIST,
			    "controller %u has a line `%s` already; names are unique per controller",
				    line->controller->index, name);
	return 0;
}

int do_line(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		error = check_name(request, line, request->words[2]);
	if (!error)
		strcpy(line->name, request->words[2]);
	return error;
}

int do_pull(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (error)
		return error;
	if (request_is(request, 2, "up"))
		board_pull(line, 1);
	else if (request_is(request, 2, "down"))
		board_pull(line, 0);
	else if (request_is(request, 2, "none"))
		board_pull(line, BOARD_FLOAT);
	else
		return request_usage(request);
	return 0;
}

static int two_pins(struct request *request, struct board_pin **a, struct board_pin **b)
{
	int error = request_pin(request, 1, a);

	if (!error)
		error = request_pin(request, 2, b);
	if (!error && *a == *b)
		error = request_fail(request, EINVAL,
				     "both ends are `%s`; give two different lines",
				     request->words[1]);
	return error;
}

int do_wire(struct request *request)
{
	struct board_pin *a, *b;
	int error = two_pins(request, &a, &b);

	if (!error && !board_wire(request->commands->board, a, b))
		error = request_fail(request, ENOMEM, "no memory for the wire");
	return error;
}

int do_unwire(struct request *request)
{
	struct board_pin *a, *b;
	int error = two_pins(request, &a, &b);

	if (!error && !board_unwire(request->commands->board, a, b))
		error = request_fail(request, ENOENT,
				     "no wire from `%s` to `%s`; name both of its ends",
				     request->words[1], request->words[2]);
	return error;
}

/* [bounce N TIME], or bounce 0 */
static int bounce_words(struct request *request, uint64_t *count, uint64_t *ns)
{
	int error;

	if (request->count == 3)
		return 0;
	if (!request_is(request, 3, "bounce") || request->count == 4)
		return request_usage(request);
	error = request_number(request, 4, "the number of bounces", 0, BOUNCES_MAX, count);
	if (error || (request->count == 5 && !*count))
		return error;
	if (request->count == 5)
		return request_fail(request, EINVAL,
				    "bounces without a time; give it too, such as: bounce 3 200us");
	error = request_duration(request, 5, NS_PER_S, ns);
	if (!error && !*ns)
		error = request_fail(request, EINVAL,
				     "the time between bounces is 0; give at least 1ns");
	return error;
}

int do_button(struct request *request)
{
	struct board_pin *line;
	uint64_t bounces = 0, ns = 0;
	int error = request_pin(request, 1, &line);

	if (!error)
		error = bounce_words(request, &bounces, &ns);
	if (error)
		return error;
	if (!request_is(request, 2, "active-low") && !request_is(request, 2, "active-high"))
		return request_usage(request);
	if (line->is_button)
		return request_fail(request, EEXIST, "`%s` is a button already; declare it once",
				    request->words[1]);
	board_button(line, request_is(request, 2, "active-high"), (unsigned int)bounces, ns);
	return 0;
}

/* ---- stimulus --------------------------------------------------------------------- */

static int idle_pin(struct request *request, struct board_pin **line)
{
	int error = request_pin(request, 1, line);

	if (!error && board_busy(*line))
		error = request_fail(request, EBUSY,
				     (*line)->wave.endless
					     ? "a clock runs on `%s`; stop it with `clock NAME off`"
					     : "pulses run on `%s`; wait until they have ended",
				     request->words[1]);
	return error;
}

int do_clock(struct request *request)
{
	struct board_pin *line;
	uint64_t hz;
	int error;

	if (request->count == 3 && request_is(request, 2, "off")) {
		error = request_pin(request, 1, &line);
		if (!error)
			board_clock_off(line);
		return error;
	}
	if (request->count != 4 || !request_is(request, 2, "hz"))
		return request_usage(request);
	error = idle_pin(request, &line);
	if (!error)
		error = request_number(request, 3, "the frequency in Hz", 1, BOARD_HZ_MAX, &hz);
	if (!error)
		board_clock(line, (uint32_t)hz);
	return error;
}

int do_pulse(struct request *request)
{
	struct board_pin *line;
	uint64_t count, hz;
	int error;

	if (!request_is(request, 3, "hz"))
		return request_usage(request);
	error = idle_pin(request, &line);
	if (!error)
		error = request_number(request, 2, "the number of pulses", 1, UINT32_MAX, &count);
	if (!error && request_is(request, 4, "max"))
		hz = 0;
	else if (!error)
		error = request_number(request, 4, "the frequency in Hz", 0, BOARD_HZ_MAX, &hz);
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
		return request_fail(request, EINVAL,
			    "`%s` is not a button; declare it with `button`, or use `drive`",
				    request->words[1]);
	board_press(line, pressed);
	return 0;
}

int do_press(struct request *request)
{
	return button_to(request, true);
}

int do_release(struct request *request)
{
	return button_to(request, false);
}

int do_drive(struct request *request)
{
	struct board_pin *line;
	int8_t value;
	int error = idle_pin(request, &line);

	if (!error)
		error = request_level(request, 2, &value);
	if (!error)
		board_drive(line, value);
	return error;
}

int do_float(struct request *request)
{
	struct board_pin *line;
	int error = idle_pin(request, &line);

	if (!error)
		board_drive(line, BOARD_FLOAT);
	return error;
}

/* ---- the coprocessor's clock and pins ------------------------------------------------ */

/* [-]TIME */
static int signed_duration(struct request *request, int word, int64_t *ns)
{
	bool negative = request->words[word][0] == '-';
	uint64_t size;
	int error;

	request->words[word] += negative;
	error = request_duration(request, word, CLOCK_MAX_NS, &size);
	*ns = negative ? -(int64_t)size : (int64_t)size;
	return error;
}

int do_clock_offset(struct request *request)
{
	int64_t ns;
	int error = signed_duration(request, 1, &ns);

	if (!error)
		board_clock_shift(request->commands->board, ns);
	return error;
}

int do_clock_drift(struct request *request)
{
	const char *text = request->words[1];
	char *unit;
	long ppm = strtol(text, &unit, 10);

	if (!isdigit((unsigned char)text[text[0] == '-']) || strcmp(unit, "ppm") ||
	    ppm < -BOARD_DRIFT_MAX_PPM || ppm > BOARD_DRIFT_MAX_PPM)
		return request_fail(request, EINVAL,
				    "the drift is `%s`; give a whole number from -%d to %d and its "
				    "unit, such as 100ppm",
				    text, BOARD_DRIFT_MAX_PPM, BOARD_DRIFT_MAX_PPM);
	board_clock_drift(request->commands->board, (int32_t)ppm);
	return 0;
}

int do_clock_read(struct request *request)
{
	const struct board *board = request->commands->board;
	uint64_t now = loop_now(board->loop), device = board_device_time(board, now);

	request_answer(request, "board %llu device %llu drift %d", (unsigned long long)now,
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
	return request_fail(request, EINVAL,
			    "no capability `%.*s`; give none, or some of bias,drive,debounce",
			    (int)length, name);
}

int do_caps(struct request *request)
{
	const char *list = request->words[2];
	struct board_pin *line;
	uint32_t caps = 0;
	int error = request_pin(request, 1, &line);

	while (!error && !request_is(request, 2, "none")) {
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
