/* SPDX-License-Identifier: BSD-3-Clause */
/* lines.c - what a guest has set up of its lines: interrupts, and lines that come and go. */
#include "export_internal.h"

#include <errno.h>

/* So many unanswered messages in a row count as a fault of the line. */
#define ATTEMPTS 2u

static bool is_edge(uint8_t irq_type)
{
	return irq_type >= VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING &&
	       irq_type <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
}

static void note_fault(struct gb_export *e)
{
	e->status.faults++;
	gb_exported_report(&e->base);
}

void export_save(struct gb_export *e, const struct line *line)
{
	kept_line(&e->kept, line->base.index, state_of(e, line));
	if (state_file_put(&e->file, line->base.index, state_of(e, line)))
		return;
	e->status.state_lost = true;
	gb_exported_report(&e->base);
}

/* ---- flags of a state ------------------------------------------------------------ */

static void set_flag(struct gb_export *e, const struct line *line, uint8_t flag, bool set)
{
	struct gb_export_line *state = state_of(e, line);

	state->flags = (uint8_t)(set ? state->flags | flag : state->flags & ~flag);
	export_save(e, line);
}

/* ---- an edge that came while there was no buffer --------------------------------- */

static bool is_latched(struct gb_export *e, const struct line *line)
{
	return state_of(e, line)->flags & GB_EXPORT_LINE_LATCHED;
}

static void set_latched(struct gb_export *e, const struct line *line, bool latched)
{
	set_flag(e, line, GB_EXPORT_LINE_LATCHED, latched);
}

/* ---- letting a line go, setting it up again ------------------------------------- */

static void let_go(struct gb_export *e, struct line *line);

/* The message may be lost. Unless somebody uses the line again, it is sent until an answer comes,
 * since the line would stay driven; and until then a next process would have to send it. */
static void let_go_answered(struct gb_export *e, struct line *line, int error)
{
	line->letting_go = false;
	if (error == ETIMEDOUT)
		let_go(e, line);
	else if (!error)
		set_flag(e, line, GB_EXPORT_LINE_TOUCHED, false);
}

static void set_up_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_export *e = export_of(call->owner);
	struct line *line = of_base(gb_exported_line_of(call));
	bool freed = frees(call->type, call->value);
	bool lost = outcome->error == ETIMEDOUT && freed;

	/* Count one fault, however long the silence lasts. */
	if (outcome->error && outcome->error != ENODEV && !e->base.closed &&
	    !(lost && line && line->attempts++))
		note_fault(e);
	if (freed && line && line->letting_go)
		let_go_answered(e, line, outcome->error);
	gb_exported_done(call);
}

static int set_up(struct gb_export *e, struct line *line, uint16_t type, uint32_t value)
{
	int error = gb_exported_ask(&line->base, type, value, set_up_done);

	if (error && error != -ENODEV)
		note_fault(e);
	return error;
}

/* DIRECTION_NONE makes the firmware forget the line. The interrupt is disabled before, as the
 * driver would do it; later requests find the line free. */
static void let_go(struct gb_export *e, struct line *line)
{
	if (!line->base.interrupt.controller || line->letting_go ||
	    !(state_of(e, line)->flags & GB_EXPORT_LINE_TOUCHED))
		return; /* when it returns, see export_line_restore() */
	if (line->enabled)
		set_up(e, line, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_NONE);
	line->enabled = false;
	line->letting_go = !set_up(e, line, VIRTIO_GPIO_MSG_SET_DIRECTION,
				   VIRTIO_GPIO_DIRECTION_NONE);
}

/* The firmware will have state of the guest; the answer to a DIRECTION_NONE of before says
 * nothing about it. */
static void touch(struct gb_export *e, struct line *line)
{
	set_flag(e, line, GB_EXPORT_LINE_TOUCHED, true);
	if (line->letting_go)
		line->base.life++;
	line->letting_go = false;
}

static void forget_irq(struct gb_export *e, struct line *line)
{
	set_latched(e, line, false);
	line->armed = false;
	line->attempts = 0;
	gb_interrupt_forget(&line->base.interrupt);
}

static void set_direction(struct gb_export *e, struct line *line, uint8_t direction)
{
	struct gb_export_line *state = state_of(e, line);

	if (state->direction == direction)
		return;
	state->direction = direction;
	export_save(e, line);
	line->base.changed = true;
	gb_exported_report(&e->base);
}

static void forget_state(struct gb_export *e, struct line *line)
{
	struct gb_export_line *state = state_of(e, line);

	set_direction(e, line, VIRTIO_GPIO_DIRECTION_NONE);
	*state = (struct gb_export_line){.flags = state->flags & GB_EXPORT_LINE_TOUCHED};
	line->base.interrupt.type = VIRTIO_GPIO_IRQ_TYPE_NONE;
	export_save(e, line);
}

void export_line_reset(struct gb_export *e, struct line *line)
{
	let_go(e, line);
	forget_state(e, line);
	forget_irq(e, line);
}

/* ---- interrupts -------------------------------------------------------------------- */

void export_line_give_back(struct gb_export *e, struct line *line, uint8_t status)
{
	if (!line->buffered)
		return;
	line->buffered = false;
	if (!guest_runs(&e->guest, EVENTQ))
		return;
	*line->buffer_status = status;
	guest_push(&e->guest, EVENTQ, line->buffer, 1);
}

static void deliver(struct gb_export *e, struct line *line)
{
	set_latched(e, line, false);
	e->status.events++;
	export_line_give_back(e, line, VIRTIO_GPIO_EVENT_VALID);
}

/* Ask for the next interrupt. What the firmware latched meanwhile fires at once,
 * and a level that lasts. */
static void arm(struct gb_export *e, struct line *line)
{
	line->base.interrupt.type = state_of(e, line)->irq_type;
	if (!line->base.interrupt.type || line->armed || !line->base.interrupt.controller)
		return;
	line->armed = line->enabled = true;
	if (gb_interrupt_arm(&line->base.interrupt) < 0)
		line->armed = false; /* attach arms it */
}

void export_line_buffered(struct gb_export *e, struct line *line)
{
	if (!state_of(e, line)->irq_type)
		return; /* refused, or not enabled: kept until NONE */
	line->attempts = 0;
	if (is_latched(e, line))
		deliver(e, line);
	else
		arm(e, line);
}

static struct line *of_interrupt(struct gb_interrupt *interrupt)
{
	return (struct line *)(void *)interrupt;
}

/* The guest finds out by itself which edge it was. */
static bool take_edge(struct gb_interrupt *interrupt, const struct gb_edge *edge)
{
	struct line *line = of_interrupt(interrupt);
	struct gb_export *e = export_of(line);
	uint8_t type = state_of(e, line)->irq_type;

	(void)edge;
	if (!type || !line->armed)
		return false;
	line->armed = false;
	line->attempts = 0;
	guest_enter(&e->guest);
	if (line->buffered)
		deliver(e, line);
	else
		set_latched(e, line, is_edge(type)); /* a level is looked at again */
	guest_leave(&e->guest);
	return true;
}

static void fault(struct gb_interrupt *interrupt, int error, uint32_t reason, bool again)
{
	struct line *line = of_interrupt(interrupt);

	(void)reason;
	if (!again)
		line->armed = false; /* attach arms it, or the next buffer */
	if (error == ENODEV)
		return;
	if (error != ETIMEDOUT || ++line->attempts == ATTEMPTS)
		note_fault(export_of(line));
}

static void armed(struct gb_interrupt *interrupt)
{
	of_interrupt(interrupt)->attempts = 0;
}

/* ---- what the guest asks for ------------------------------------------------------- */

static bool changes(uint16_t type)
{
	return type == VIRTIO_GPIO_MSG_SET_DIRECTION || type == VIRTIO_GPIO_MSG_SET_VALUE ||
	       type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
}

/* It counts from the moment the firmware is asked: the interrupt may come before the answer. */
static void set_irq_type(struct gb_export *e, struct line *line, uint8_t type)
{
	forget_irq(e, line);
	line->base.interrupt.type = state_of(e, line)->irq_type = type;
	export_save(e, line);
	line->armed = type != VIRTIO_GPIO_IRQ_TYPE_NONE;
	line->enabled |= line->armed;
}

void export_line_ask(struct gb_export *e, struct line *line, uint16_t type, uint32_t value)
{
	if (changes(type))
		touch(e, line);
	if (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		set_irq_type(e, line, (uint8_t)value);
}

/* What the guest has asked for has happened: remember it. */
static void remember(struct gb_export *e, struct line *line, const struct gb_call *call)
{
	struct gb_export_line *state = state_of(e, line);

	if (call->type == VIRTIO_GPIO_MSG_SET_VALUE) {
		state->value = (uint8_t)call->value;
		set_flag(e, line, GB_EXPORT_LINE_VALUE, true);
	} else if (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION) {
		set_direction(e, line, (uint8_t)call->value);
	}
}

/* Whatever came of the request, the driver goes on as if it had succeeded. The buffer is returned
 * before the answer, or the driver would meet it in its next session. */
static void line_let_go(struct gb_export *e, struct line *line, uint16_t type, int error)
{
	struct gb_export_line *state = state_of(e, line);

	line->enabled &= error != 0;
	if (type == VIRTIO_GPIO_MSG_SET_DIRECTION) {
		forget_state(e, line);
		forget_irq(e, line);
		/* If other requests are under way, the driver uses the line again. */
		if (line->tickets - line->answers == 1)
			let_go_answered(e, line, error);
	}
	if (!state->irq_type)
		export_line_give_back(e, line, VIRTIO_GPIO_EVENT_INVALID);
}

/* A driver ignores that a type was refused: its buffer stays here. A driver that got no answer
 * believes that the type is set, so it is asked for again with the buffer. */
static void irq_type_failed(struct gb_export *e, struct line *line,
			    uint8_t irq_type_before, int error)
{
	struct gb_export_line *state = state_of(e, line);

	forget_irq(e, line);
	if (error == EIO)
		line->base.interrupt.type = state->irq_type = irq_type_before;
	export_save(e, line);
	if (state->irq_type && line->buffered)
		arm(e, line);
}

void export_line_settle(struct gb_export *e, struct line *line, const struct gb_call *call,
			uint8_t irq_type_before, int error)
{
	if (lets_go(call->type, call->value))
		line_let_go(e, line, call->type, error);
	else if (!error)
		remember(e, line, call);
	else if (call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		irq_type_failed(e, line, irq_type_before, error);
}

/* ---- lines come and go -------------------------------------------------------------- */

void export_line_restore(struct gb_export *e, struct line *line)
{
	struct gb_export_line *state = state_of(e, line);

	if (e->stale && (state->direction || state->irq_type || state->flags & GB_EXPORT_LINE_VALUE))
		return; /* whose state is that? */
	if (state->direction == VIRTIO_GPIO_DIRECTION_NONE)
		let_go(e, line); /* this comes first, since it discards the value */
	if (state->flags & GB_EXPORT_LINE_VALUE) {
		touch(e, line);
		set_up(e, line, VIRTIO_GPIO_MSG_SET_VALUE, state->value);
	}
	if (state->direction != VIRTIO_GPIO_DIRECTION_NONE)
		set_up(e, line, VIRTIO_GPIO_MSG_SET_DIRECTION, state->direction);
	if (!is_latched(e, line))
		arm(e, line);
}

void export_line_detach(struct line *line)
{
	gb_interrupt_disown(&line->base.interrupt);
	line->enabled = line->armed = line->letting_go = false;
	line->attempts = 0;
}

static void orphan(struct gb_interrupt *interrupt)
{
	export_line_detach(of_interrupt(interrupt));
}

static const struct gb_interrupt_ops interrupt_ops = {
	.edge = take_edge,
	.fault = fault,
	.armed = armed,
	.orphan = orphan,
};

void export_init_lines(struct gb_export *e)
{
	gb_exported_init_lines(&e->base, &interrupt_ops);
}

int gb_export_attach(struct gb_export *e, uint32_t index, struct gb_controller *controller,
		     uint16_t gpio)
{
	struct line *line;
	int error;

	if (index >= e->base.count)
		return -EINVAL;
	line = &e->lines[index];
	gb_lock(e->base.pump);
	guest_enter(&e->guest);
	export_line_detach(line);
	error = gb_exported_attach(&line->base, controller, gpio);
	if (!error)
		export_line_restore(e, line);
	guest_leave(&e->guest);
	gb_unlock(e->base.pump);
	return error;
}

void gb_export_detach(struct gb_export *e, uint32_t index)
{
	if (index >= e->base.count)
		return;
	gb_lock(e->base.pump);
	export_line_detach(&e->lines[index]);
	gb_unlock(e->base.pump);
}
