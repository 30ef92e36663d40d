/* SPDX-License-Identifier: BSD-3-Clause */
#include "changes.h"

/* Mostly it is the line of the last record, or the next one. */
static uint32_t line_of(struct gb_recorded *recorded, uint32_t offset)
{
	for (uint32_t n = 0; n < recorded->count; n++) {
		uint32_t index = (recorded->guess + n) % recorded->count;

		if (recorded->lines[index].offset == offset)
			return recorded->guess = index;
	}
	return recorded->count;
}

static uint64_t time_of_its_own(struct gb_recorded_line *line, uint64_t time_ns)
{
	line->moved_ns = time_ns == line->time_ns ? line->moved_ns + 1 : 0;
	line->time_ns = time_ns;
	return time_ns + line->moved_ns;
}

size_t gb_changes_take(struct gb_recorded *recorded, const struct gb_line_event *events,
		       size_t count, uint64_t *times, uint32_t *codes, struct gb_loss *losses,
		       size_t *lost)
{
	size_t made = 0;

	*lost = 0;
	for (size_t n = 0; n < count; n++) {
		const struct gb_line_event *event = &events[n];
		uint32_t index = line_of(recorded, event->offset);
		struct gb_recorded_line *line = &recorded->lines[index];
		uint32_t code, missing;

		if (index == recorded->count)
			continue; /* no line of the request: nonsense of the service */
		code = (recorded->first + index) << 2 | (event->id == 1);
		missing = event->line_seqno - line->line_seqno - 1;
		/* Firmware that latches edges of a masked line as one leaves no gap. */
		if (!missing && line->code == code)
			missing = 1;
		if (missing) {
			uint64_t since = recorded->latest_ns;

			if (!since || since > event->timestamp_ns)
				since = event->timestamp_ns;
			losses[(*lost)++] = (struct gb_loss){since, code >> 2, missing};
			times[made] = time_of_its_own(line, since);
			codes[made++] = (code & ~3u) | GB_LEVEL_UNKNOWN;
		}
		times[made] = time_of_its_own(line, event->timestamp_ns);
		codes[made++] = code;
		line->code = code;
		line->line_seqno = event->line_seqno;
		if (event->timestamp_ns > recorded->latest_ns)
			recorded->latest_ns = event->timestamp_ns;
	}
	return made;
}

bool gb_changes_in_order(const uint64_t *times, size_t count)
{
	for (size_t n = 1; n < count; n++)
		if (times[n] < times[n - 1])
			return false;
	return true;
}

void gb_changes_apply(const uint32_t *codes, size_t count, uint8_t *levels, size_t signals)
{
	for (size_t n = 0; n < count; n++)
		if (codes[n] >> 2 < signals)
			levels[codes[n] >> 2] = codes[n] & 3;
}
