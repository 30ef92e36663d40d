/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * changes.h - from records of edges to changes of signals, which bridge/recording works with:
 * for each the time in ns, and a code, which is the number of the signal << 2 | its new level.
 */
#ifndef GB_CHANGES_H
#define GB_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pump/event_ring.h"

#define GB_LEVEL_UNKNOWN 2u
#define GB_RECORDED_LINES_MAX 64u

struct gb_recorded_line {
	uint32_t offset;
	uint32_t line_seqno; /* of its last edge */
	uint32_t code;       /* of its last edge; 0 with GB_LEVEL_UNKNOWN before the first */
	uint32_t moved_ns;   /* its last change has this behind its time */
	uint64_t time_ns;    /* of its last change */
};

/* A line request whose edges are recorded; its lines are the signals `first`, `first` + 1... */
struct gb_recorded {
	uint32_t first;
	uint32_t count;
	uint32_t guess; /* the line of the last record */
	uint64_t latest_ns;
	struct gb_recorded_line lines[GB_RECORDED_LINES_MAX];
};

/* Edges that did not come, since a time. */
struct gb_loss {
	uint64_t since_ns;
	uint32_t signal;
	uint32_t count;
};

/*
 * Make changes of records. Where edges of a line are missing, by its numbers or since the same edge
 * came twice, its level is unknown from the edge before on. Of changes of a line at one time each
 * but the first is a nanosecond later, since a waveform shows one only. `times` and `codes` have
 * room for 2 * `count`, `losses` for `count`. Returns the number of changes; *lost is that of the
 * losses.
 */
size_t gb_changes_take(struct gb_recorded *recorded, const struct gb_line_event *events,
		       size_t count, uint64_t *times, uint32_t *codes, struct gb_loss *losses,
		       size_t *lost);
/* Whether no time is before the one in front of it. */
bool gb_changes_in_order(const uint64_t *times, size_t count);
/* Let changes happen to the levels of `signals` signals. */
void gb_changes_apply(const uint32_t *codes, size_t count, uint8_t *levels, size_t signals);

#endif
