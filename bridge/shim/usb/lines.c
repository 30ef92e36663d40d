/* SPDX-License-Identifier: BSD-3-Clause */
/* lines.c - what the kernel has set up of an adapter's lines, which come and go. */
#include "adapter_internal.h"

#include <errno.h>

/* ---- calls to the controller -------------------------------------------------- */

uint64_t adapter_argument(const struct adapter_line *line)
{
	return (uint64_t)line->life << 32 | line_of(line);
}

struct adapter_line *adapter_line_of_call(const struct gb_call *call)
{
	struct gb_adapter *adapter = call->owner;
	struct adapter_line *line = &adapter->lines[call->argument & UINT32_MAX];
	bool here = line->interrupt.controller && line->life == call->argument >> 32;

	return here && !adapter->closed ? line : NULL;
}

int adapter_submit(struct adapter_line *line, uint16_t type, uint32_t value, bool owed,
		   gb_call_fn done, uint64_t argument)
{
	struct gb_adapter *adapter = line->adapter;
	const struct gb_call wanted = {
		.type = type, .gpio = line->interrupt.gpio, .value = value, .owed = owed,
		.done = done, .owner = adapter, .argument = argument,
	};
	int error;

	adapter->references++;
	error = gb_call_start(line->interrupt.controller, &wanted, gb_now_ns(),
			      adapter->timeout_ns);
	if (error)
		adapter->references--;
	return error;
}

static void note_fault(struct gb_adapter *adapter)
{
	adapter->status.faults++;
	adapter_report(adapter);
}

/* ---- letting a line go, setting it up again ------------------------------------- */

static void send_none(struct adapter_line *line);

/* The message may be lost. Unless somebody uses the line again, it is sent until an answer comes,
 * since the line would stay driven. */
static void set_up_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_adapter *adapter = call->owner;
	struct adapter_line *line = adapter_line_of_call(call);
	bool frees = call->type == VIRTIO_GPIO_MSG_SET_DIRECTION &&
		     call->value == VIRTIO_GPIO_DIRECTION_NONE;

	if (line && outcome->error == ETIMEDOUT && frees) {
		if (!line->touched)
			send_none(line);
	} else if (line && outcome->error && outcome->error != ENODEV) {
		note_fault(adapter);
	}
	adapter_unreference(adapter);
}

static void set_up(struct adapter_line *line, uint16_t type, uint32_t value)
{
	int error = adapter_submit(line, type, value, true, set_up_done, adapter_argument(line));

	if (error && error != -ENODEV)
		note_fault(line->adapter);
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
	line->changed = true;
	adapter_report(line->adapter);
}

void adapter_let_go(struct adapter_line *line)
{
	bool there = line->interrupt.controller;

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

void adapter_detach(struct adapter_line *line)
{
	gb_interrupt_disown(&line->interrupt);
	pacing_forget(line);
}

int gb_adapter_attach(struct gb_adapter *adapter, uint32_t index,
		      struct gb_controller *controller, uint16_t gpio)
{
	struct adapter_line *line;
	int error;

	if (index >= adapter->count)
		return -EINVAL;
	line = &adapter->lines[index];
	gb_lock(adapter->pump);
	adapter_detach(line);
	error = gb_interrupt_own(&line->interrupt, controller, gpio);
	if (!error) {
		line->life++;
		restore(line);
	}
	gb_unlock(adapter->pump);
	return error;
}

void gb_adapter_detach(struct gb_adapter *adapter, uint32_t index)
{
	if (index >= adapter->count)
		return;
	gb_lock(adapter->pump);
	adapter_detach(&adapter->lines[index]);
	gb_unlock(adapter->pump);
}
