/* SPDX-License-Identifier: BSD-3-Clause */
/* exported.c - what exports have in common: lines that come and go, and calls about them. */
#include "exported.h"

static struct gb_exported_line *line_at(const struct gb_exported *exported, uint32_t index)
{
	return (struct gb_exported_line *)(void *)((char *)exported->lines +
						   index * exported->line_size);
}

void gb_exported_init_lines(struct gb_exported *exported, const struct gb_interrupt_ops *ops)
{
	for (uint32_t i = 0; i < exported->count; i++) {
		struct gb_exported_line *line = line_at(exported, i);

		line->exported = exported;
		line->index = i;
		line->interrupt.ops = ops;
		line->interrupt.timeout_ns = exported->timeout_ns;
	}
}

void gb_exported_report(struct gb_exported *exported)
{
	if (exported->reported || exported->closed)
		return;
	exported->reported =
		gb_report_add(exported->pump, GB_REPORT_EXPORT, exported->id) != NULL;
}

void gb_exported_unreference(struct gb_exported *exported)
{
	if (--exported->references == 0)
		exported->free(exported);
}

int64_t gb_exported_changed(struct gb_exported *exported, uint32_t index)
{
	int64_t found = -1;

	gb_lock(exported->pump);
	while (index < exported->count && !line_at(exported, index)->changed)
		index++;
	if (index < exported->count) {
		line_at(exported, index)->changed = false;
		found = index;
	}
	gb_unlock(exported->pump);
	return found;
}

int gb_exported_attach(struct gb_exported_line *line, struct gb_controller *controller,
		       uint16_t gpio)
{
	int error = gb_interrupt_own(&line->interrupt, controller, gpio);

	if (!error)
		line->life++;
	return error;
}

/* ---- calls to the controller -------------------------------------------------- */

int gb_exported_submit(struct gb_exported_line *line, const struct gb_call *wanted)
{
	struct gb_exported *exported = line->exported;
	struct gb_call call = *wanted;
	int error;

	call.gpio = line->interrupt.gpio;
	call.owner = line;
	exported->references++;
	error = gb_call_start(line->interrupt.controller, &call, gb_now_ns(),
			      exported->timeout_ns);
	if (error)
		exported->references--;
	return error;
}

int gb_exported_ask(struct gb_exported_line *line, uint16_t type, uint32_t value, gb_call_fn done)
{
	const struct gb_call wanted = {
		.type = type, .value = value, .owed = true, .done = done, .argument = line->life,
	};

	return gb_exported_submit(line, &wanted);
}

struct gb_exported_line *gb_exported_line_of(const struct gb_call *call)
{
	struct gb_exported_line *line = call->owner;
	bool here = line->interrupt.controller && line->life == call->argument;

	return here && !line->exported->closed ? line : NULL;
}

void gb_exported_done(const struct gb_call *call)
{
	struct gb_exported_line *line = call->owner;

	gb_exported_unreference(line->exported);
}
