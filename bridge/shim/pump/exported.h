/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exported.h - what exports have in common, whoever drives their lines: lines of controllers,
 * which come and go, and the calls about them.
 *
 * Used with the pump's lock held, but for gb_exported_changed().
 */
#ifndef GB_EXPORTED_H
#define GB_EXPORTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller.h"
#include "interrupt.h"

struct gb_exported;

struct gb_exported_line {
	struct gb_interrupt interrupt; /* its controller is NULL: not there now */
	struct gb_exported *exported;
	uint32_t index;
	uint32_t life; /* of the attachment: calls of an earlier one do not count */
	bool changed;  /* its direction, see gb_exported_changed() */
};

/* Embedded by its owner, who sets all but `closed` and `reported`. */
struct gb_exported {
	struct gb_pump *pump;
	struct gb_part part;
	uint64_t id, timeout_ns;
	uint32_t count;
	void *lines;      /* each begins with a struct gb_exported_line */
	size_t line_size;
	bool closed;
	bool reported;       /* a report waits until Python looks at the status */
	uint32_t references; /* calls that will come back, and the owner */
	/* The last reference is gone. */
	void (*free)(struct gb_exported *exported);
};

/* The lines' edges are for `ops`. */
void gb_exported_init_lines(struct gb_exported *exported, const struct gb_interrupt_ops *ops);
/* Wake Python; at most one report waits. */
void gb_exported_report(struct gb_exported *exported);
/* The owner ends. */
void gb_exported_unreference(struct gb_exported *exported);
/* The first line from `index` on whose direction was changed since it was named here the last
 * time; -1: none. Takes the lock. */
int64_t gb_exported_changed(struct gb_exported *exported, uint32_t index);

/* The line is that of a controller from here on. 0 or -errno of gb_interrupt_own(). */
int gb_exported_attach(struct gb_exported_line *line, struct gb_controller *controller,
		       uint16_t gpio);
/* Ask the line's controller what `wanted` says; the call's owner is the line, and gb_exported_done()
 * is the last that its `done` does. 0; -ENODEV: the line is not there; other errors of
 * gb_call_start(). */
int gb_exported_submit(struct gb_exported_line *line, const struct gb_call *wanted);
/* Ask for the export itself. The call joins the queue however long that is, since a line that is
 * not let go stays driven. */
int gb_exported_ask(struct gb_exported_line *line, uint16_t type, uint32_t value, gb_call_fn done);
/* The line of a call of gb_exported_ask(); NULL: it was detached in between. */
struct gb_exported_line *gb_exported_line_of(const struct gb_call *call);
/* The call is over: the export may end. */
void gb_exported_done(const struct gb_call *call);

#endif
