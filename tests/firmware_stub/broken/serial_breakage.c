/* SPDX-License-Identifier: BSD-3-Clause */
#include "serial_breakage.h"

#include <string.h>

#define HEAD sizeof(struct rpmsg_gpio_serial_data)
#define SEQUENCE(n) ((uint8_t)((n) & RPMSG_GPIO_SERIAL_SEQUENCE_MASK))

struct serial_breakage_rule;

/* Bytes until their delimiter. */
struct serial_breakage_line {
	uint8_t bytes[SERIAL_FILTER_WIRE_MAX];
	size_t length;
};

/* What the rule keeps of the line. */
struct serial_breakage {
	const struct serial_breakage_rule *rule; /* the one that this firmware breaks */
	struct rpmsg_gpio_serial *core;
	struct serial_breakage_line in, out;
	unsigned int polls; /* in a row */
	bool due; /* what the rule has to do later */
};

/* A frame between wire and core, without its CRC. */
struct frame {
	uint8_t bytes[SERIAL_FILTER_FRAME_MAX];
	size_t length;
	bool damaged; /* the CRC did not fit */
};

/* False: the frame is lost. What was changed gets a CRC that fits. */
typedef bool (*rule_fn)(struct serial_breakage *breakage, struct frame *frame);

struct serial_breakage_rule {
	const char *name;
	const char *what;
	rule_fn in, out; /* each may be NULL */
	/* True: the core is to run again. May be NULL. */
	bool (*run)(struct serial_breakage *breakage);
};

/* ---- COBS ------------------------------------------------------------------------- */

/* False when the blocks do not fit. */
static bool decode(const struct serial_breakage_line *line, struct frame *frame)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	size_t at = 0, length = 0;

	while (at < line->length) {
		uint8_t code = line->bytes[at];

		if (at + code > line->length || length + code > sizeof(frame->bytes))
			return false;
		memcpy(frame->bytes + length, line->bytes + at + 1, code - 1u);
		length += code - 1u;
		at += code;
		if (code != 0xff && at < line->length)
			frame->bytes[length++] = 0;
	}
	if (length <= RPMSG_GPIO_SERIAL_CRC_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame->bytes[i]);
	frame->damaged = crc != RPMSG_GPIO_SERIAL_CRC_RESIDUE;
	frame->length = length - RPMSG_GPIO_SERIAL_CRC_SIZE;
	return true;
}

static size_t encode(struct frame *frame, uint8_t *wire)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	size_t code_at = 0, at = 1;
	rpmsg_gpio_le32 le;

	for (size_t i = 0; i < frame->length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame->bytes[i]);
	le = rpmsg_gpio_store32(~crc);
	memcpy(frame->bytes + frame->length, &le, sizeof(le));
	for (size_t i = 0; i < frame->length + sizeof(le); i++) {
		if (frame->bytes[i])
			wire[at++] = frame->bytes[i];
		if (!frame->bytes[i] || at - code_at == 0xff) {
			wire[code_at] = (uint8_t)(at - code_at);
			code_at = at++;
		}
	}
	wire[code_at] = (uint8_t)(at - code_at);
	wire[at++] = 0;
	return at;
}

/* ---- rules -------------------------------------------------------------------------- */

static bool is_data(const struct frame *frame)
{
	return frame->bytes[0] & RPMSG_GPIO_SERIAL_DATA && frame->length >= HEAD;
}

static bool is_kind(const struct frame *frame, uint8_t kind)
{
	return frame->bytes[0] == kind;
}

/* How far its number is beyond the expected one. */
static uint8_t ahead(const struct serial_breakage *breakage, const struct frame *frame)
{
	return SEQUENCE((unsigned int)frame->bytes[0] - breakage->core->session.expected);
}

static void number_as_expected(struct serial_breakage *breakage, struct frame *frame)
{
	frame->bytes[0] = (uint8_t)(RPMSG_GPIO_SERIAL_DATA | breakage->core->session.expected);
}

static bool close_window(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (is_kind(frame, RPMSG_GPIO_SERIAL_WELCOME))
		frame->bytes[offsetof(struct rpmsg_gpio_serial_welcome, window)] = 0;
	return true;
}

static bool take_any_version(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (is_kind(frame, RPMSG_GPIO_SERIAL_HELLO))
		frame->bytes[1] = RPMSG_GPIO_SERIAL_VERSION;
	return true;
}

/* The same session again is taken for another one, once it has carried something. */
static bool begin_again(struct serial_breakage *breakage, struct frame *frame)
{
	if (is_kind(frame, RPMSG_GPIO_SERIAL_HELLO) && breakage->core->session.expected)
		breakage->core->session_id = ~breakage->core->session_id;
	return true;
}

static bool lose_early_nak(struct serial_breakage *breakage, struct frame *frame)
{
	return !is_kind(frame, RPMSG_GPIO_SERIAL_NAK) || breakage->core->session.up;
}

static bool note_reset(struct serial_breakage *breakage, struct frame *frame)
{
	breakage->due = is_kind(frame, RPMSG_GPIO_SERIAL_RESET);
	return true;
}

static bool note_ack(struct serial_breakage *breakage, struct frame *frame)
{
	breakage->due = is_kind(frame, RPMSG_GPIO_SERIAL_ACK) && breakage->core->session.up;
	return true;
}

static bool owe(struct serial_breakage *breakage, unsigned int what)
{
	if (!breakage->due)
		return false;
	breakage->due = false;
	rpmsg_gpio_serial_owe(&breakage->core->session, what);
	return true;
}

static bool answer_reset(struct serial_breakage *breakage)
{
	return owe(breakage, RPMSG_GPIO_SERIAL_OWE_RESET);
}

static bool answer_ack(struct serial_breakage *breakage)
{
	return owe(breakage, RPMSG_GPIO_SERIAL_OWE_ACK);
}

static bool other_epoch(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (is_kind(frame, RPMSG_GPIO_SERIAL_RESET))
		frame->bytes[offsetof(struct rpmsg_gpio_serial_reset, id)] ^= 1;
	return true;
}

static bool repair(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	frame->damaged = false;
	return true;
}

/* Called with length 0 for what is no frame at all. */
static bool stay_deaf(struct serial_breakage *breakage, struct frame *frame)
{
	bool deaf = breakage->due;

	if (!frame->length)
		breakage->due = true;
	else if (is_data(frame) || is_kind(frame, RPMSG_GPIO_SERIAL_HELLO))
		breakage->due = false;
	return !deaf || !frame->length || !is_data(frame);
}

static bool cut(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (frame->length > HEAD + RPMSG_GPIO_SERIAL_RX_MAX)
		frame->length = HEAD + RPMSG_GPIO_SERIAL_RX_MAX;
	return true;
}

static bool reset_by_unknown(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (!is_data(frame) && frame->bytes[0] > RPMSG_GPIO_SERIAL_RESET)
		frame->bytes[0] = RPMSG_GPIO_SERIAL_RESET;
	return true;
}

static bool take_repeated(struct serial_breakage *breakage, struct frame *frame)
{
	if (is_data(frame) && ahead(breakage, frame) == RPMSG_GPIO_SERIAL_SEQUENCE_MASK)
		number_as_expected(breakage, frame);
	return true;
}

static bool take_far_ahead(struct serial_breakage *breakage, struct frame *frame)
{
	if (is_data(frame) && ahead(breakage, frame) == RPMSG_GPIO_SERIAL_WINDOW_MAX - 1)
		number_as_expected(breakage, frame);
	return true;
}

static bool lose_nak(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	return !is_kind(frame, RPMSG_GPIO_SERIAL_NAK);
}

static bool note_poll(struct serial_breakage *breakage, struct frame *frame)
{
	breakage->due |= is_kind(frame, RPMSG_GPIO_SERIAL_POLL);
	return true;
}

static bool lose_own_ack(struct serial_breakage *breakage, struct frame *frame)
{
	bool polled = breakage->due;

	if (!is_kind(frame, RPMSG_GPIO_SERIAL_ACK))
		return true;
	breakage->due = false;
	return polled;
}

static bool lose_fourth_poll(struct serial_breakage *breakage, struct frame *frame)
{
	breakage->polls = is_kind(frame, RPMSG_GPIO_SERIAL_POLL) ? breakage->polls + 1 : 0;
	return breakage->polls < 4;
}

static bool widen_window(struct serial_breakage *breakage)
{
	bool narrow = breakage->core->session.peer_window < RPMSG_GPIO_SERIAL_WINDOW_MAX;

	breakage->core->session.peer_window = RPMSG_GPIO_SERIAL_WINDOW_MAX;
	return narrow;
}

static bool forget_repetition(struct serial_breakage *breakage)
{
	breakage->core->session.retry_armed = false;
	return false;
}

static bool nak_is_ack(struct serial_breakage *breakage, struct frame *frame)
{
	if (is_kind(frame, RPMSG_GPIO_SERIAL_NAK) && breakage->core->session.up)
		frame->bytes[0] = RPMSG_GPIO_SERIAL_ACK;
	return true;
}

static bool lose_list(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	if (is_data(frame) && frame->length > HEAD &&
	    frame->bytes[2] == RPMSG_GPIO_SERIAL_NS_ENDPOINT)
		frame->bytes[HEAD] = RPMSG_GPIO_SERIAL_NS_GONE;
	return true;
}

static const struct serial_breakage_rule rules[] = {
	{.name = "welcome-window", .what = "serial: WELCOME has window 0", .out = close_window},
	{.name = "any-version", .what = "serial: HELLO of any version begins a session",
	 .in = take_any_version},
	{.name = "hello-restarts", .what = "serial: HELLO again begins the session anew",
	 .in = begin_again},
	{.name = "nak-unanswered", .what = "serial: a NAK without session is not answered",
	 .in = lose_early_nak},
	{.name = "reset-answered", .what = "serial: a RESET is answered by a RESET",
	 .in = note_reset, .run = answer_reset},
	{.name = "reset-epoch", .what = "serial: a RESET tells another epoch", .out = other_epoch},
	{.name = "crc-ignored", .what = "serial: a wrong CRC does not matter", .in = repair},
	{.name = "garbage-deafens", .what = "serial: the DATA behind garbage is lost",
	 .in = stay_deaf},
	{.name = "oversized-cut", .what = "serial: a message that is too long is cut", .in = cut},
	{.name = "unknown-resets", .what = "serial: an unknown frame ends the session",
	 .in = reset_by_unknown},
	{.name = "repeated-taken", .what = "serial: a frame that comes again is taken again",
	 .in = take_repeated},
	{.name = "ahead-taken", .what = "serial: a frame 63 ahead is taken", .in = take_far_ahead},
	{.name = "nak-never", .what = "serial: no NAK is sent", .out = lose_nak},
	{.name = "ack-never", .what = "serial: no ACK is sent unless polled",
	 .in = note_poll, .out = lose_own_ack},
	{.name = "poll-thrice", .what = "serial: of POLLs in a row three are answered",
	 .in = lose_fourth_poll},
	{.name = "ack-answered", .what = "serial: an ACK is answered by an ACK",
	 .in = note_ack, .run = answer_ack},
	{.name = "window-ignored", .what = "serial: HELLO's window does not matter",
	 .run = widen_window},
	{.name = "again-never", .what = "serial: only a NAK has frames sent again",
	 .run = forget_repetition},
	{.name = "nak-ignored", .what = "serial: a NAK is taken for an ACK", .in = nak_is_ack},
	{.name = "list-ignored", .what = "serial: announcements are not repeated when asked",
	 .in = lose_list},
};

/* ---- on the way ------------------------------------------------------------------------ */

static size_t as_it_was(const struct serial_breakage_line *line, uint8_t *wire)
{
	memcpy(wire, line->bytes, line->length);
	wire[line->length] = 0;
	return line->length + 1;
}

static size_t frame_ended(struct serial_breakage *breakage, struct serial_breakage_line *line,
			  rule_fn fn, uint8_t *wire)
{
	struct frame frame = {.length = 0};
	bool whole = decode(line, &frame);
	bool damaged = frame.damaged;

	if (!whole)
		frame.length = 0;
	if (!line->length || (!whole && fn != stay_deaf))
		return as_it_was(line, wire);
	if (!fn(breakage, &frame))
		return 0;
	/* What was damaged stays so, unless the rule is to repair it. */
	return !whole || (damaged && frame.damaged) ? as_it_was(line, wire) : encode(&frame, wire);
}

static size_t pass(struct serial_breakage *breakage, struct serial_breakage_line *line,
		   rule_fn fn, uint8_t byte, uint8_t *wire)
{
	size_t length = 0;

	/* What no frame can be so long is handed on in pieces. */
	if (byte && line->length + 2 < sizeof(line->bytes)) {
		line->bytes[line->length++] = byte;
		return 0;
	}
	if (byte) {
		memcpy(wire, line->bytes, line->length);
		length = line->length;
		line->bytes[0] = byte;
		line->length = 1;
		return length;
	}
	length = frame_ended(breakage, line, fn, wire);
	line->length = 0;
	return length;
}

static bool hand_on(struct serial_breakage *breakage, struct frame *frame)
{
	(void)breakage;
	(void)frame;
	return true;
}

static struct serial_breakage line;

static size_t in(struct rpmsg_gpio_serial *core, uint8_t byte, uint8_t *wire)
{
	line.core = core;
	return pass(&line, &line.in, line.rule->in ? line.rule->in : hand_on, byte, wire);
}

static size_t out(struct rpmsg_gpio_serial *core, uint8_t byte, uint8_t *wire)
{
	line.core = core;
	return pass(&line, &line.out, line.rule->out ? line.rule->out : hand_on, byte, wire);
}

static bool run(struct rpmsg_gpio_serial *core)
{
	line.core = core;
	return line.rule->run && line.rule->run(&line);
}

/* ---- by name ------------------------------------------------------------------------------ */

const struct serial_filter *serial_breakage_find(const char *name)
{
	static const struct serial_filter filter = {.in = in, .out = out, .run = run};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strcmp(rules[i].name, name))
			continue;
		line.rule = &rules[i];
		return &filter;
	}
	return NULL;
}

void serial_breakage_list(FILE *to)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		fprintf(to, "%-19s %s\n", rules[i].name, rules[i].what);
}
