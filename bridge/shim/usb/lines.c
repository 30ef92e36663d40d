/* SPDX-License-Identifier: BSD-3-Clause */
/* lines.c - what the kernel has set up of an adapter's lines, which come and go. */
#include "adapter_internal.h"

#include <errno.h>

/* ---- letting a line go, setting it up again ------------------------------------- */

static void send_none(struct adapter_line *line);

/* The message may be lost. Unless somebody uses the line again, it is sent until an answer comes,
 * since the line would stay driven. */
static void set_up_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct adapter_line *line = of_base(gb_exported_line_of(call));
	bool frees = call->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
		     call->value == VIRTIO_GPIO_DIRECTION_NONE;

	if (line && outcome->error == ETIMEDOUT && frees) {
		if (!line->touched)
			send_none(line);
	} else if (line && outcome->error && outcome->error != ENODEV) {
		adapter_note_fault(adapter_of(line));
	}
	gb_exported_done(call);
}

static void set_up(struct adapter_line *line, uint16_t type, uint32_t value)
{
	int error = gb_exported_ask(&line->base, type, value, set_up_done);

	if (error && error != -ENODEV)
		adapter_note_fault(adapter_of(line));
}

/* DIRECTION_NONE makes the firmware forget the line. */
static void send_none(struct adapter_line *line)
{
	set_up(line, VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_NONE);
}

void adapter_set_direction(struct adapter_line *line, uint8_t direction)
{
	if (line->direction == direction)
		return;
	line->direction = direction;
	line->base.changed = true;
	gb_exported_report(line->base.exported);
}

void adapter_let_go(struct adapter_line *line)
{
	bool there = line->base.interrupt.controller;

	if (line->event != ADAPTER_NONE) {
		pacing_want(line, ADAPTER_NONE);
		set_up(line, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_NONE);
	}
	adapter_set_direction(line, VIRTIO_GPIO_DIRECTION_NONE);
	line->has_value = false;
	line->debounced = false;
	if (!line->touched || !there)
		return; /* when it returns, see restore() */
	line->touched = false;
	if (!line->kept)
		send_none(line);
}

/* ---- lines come and go -------------------------------------------------------------- */

/* The line is back, perhaps with firmware that has just started. */
static void restore(struct adapter_line *line)
{
	bool used = line->direction != VIRTIO_GPIO_DIRECTION_NONE || line->has_value ||
		    line->event != ADAPTER_NONE;

	if (!used) {
		adapter_let_go(line); /* it could not be while it was away */
		return;
	}
	if (line->has_value)
		set_up(line, VIRTIO_GPIO_MSG_SET_VALUE, line->value);
	if (line->direction != VIRTIO_GPIO_DIRECTION_NONE)
		set_up(line, VIRTIO_GPIO_MSG_SET_DIRECTION, line->direction);
	pacing_arm(line);
}

int gb_adapter_attach(struct gb_adapter *adapter, uint32_t index,
		      struct gb_controller *controller, uint16_t gpio)
{
	struct adapter_line *line;
	int error;

	if (index >= adapter->base.count)
		return -EINVAL;
	line = &adapter->lines[index];
	gb_lock(adapter->base.pump);
	pacing_detach(line);
	error = gb_exported_attach(&line->base, controller, gpio);
	if (!error)
		restore(line);
	gb_unlock(adapter->base.pump);
	return error;
}

void gb_adapter_detach(struct gb_adapter *adapter, uint32_t index)
{
	if (index >= adapter->base.count)
		return;
	gb_lock(adapter->base.pump);
	pacing_detach(&adapter->lines[index]);
	gb_unlock(adapter->base.pump);
}
