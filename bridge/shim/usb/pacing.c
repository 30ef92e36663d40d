/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pacing.c - from edges to events. Where gpiolib wants both edges, it reads the level after each
 * event to see which edge it was. So the next event waits for that question, and the answer is the
 * level after the edge of the event, not the level of now. A kernel that wants one kind of edge
 * does not ask, and neither does one that debounces: these get events as they come.
 */
#include "adapter_internal.h"

#include <errno.h>

/* How long an event waits for that question; after so many that never came, none waits. */
#define WINDOW_NS   UINT64_C(50000000)
#define UNASKED_MAX 3u

/* ---- levels that wait --------------------------------------------------------------- */

static bool take_level(struct adapter_levels *levels)
{
	uint32_t at = levels->first;

	levels->first = (at + 1) % ADAPTER_LEVELS;
	levels->count--;
	return levels->bits[at / 64] >> (at % 64) & 1;
}

static void add_level(struct adapter_levels *levels, bool high)
{
	uint32_t at = (levels->first + levels->count++) % ADAPTER_LEVELS;
	uint64_t bit = UINT64_C(1) << (at % 64);

	levels->bits[at / 64] = high ? levels->bits[at / 64] | bit : levels->bits[at / 64] & ~bit;
}

static uint32_t taken(const struct gb_event_places *places)
{
	const struct gb_adapter *adapter = (const struct gb_adapter *)(const void *)
		((const char *)places - offsetof(struct gb_adapter, places));
	uint32_t count = 0;

	for (uint32_t i = 0; i < adapter->base.count; i++)
		count += adapter->lines[i].levels.count;
	return count;
}

/* The lines that have events share the places. */
static void count_lines(struct gb_adapter *adapter)
{
	struct gb_event_places *places = &adapter->places;

	places->lines = 0;
	places->first = NULL;
	for (uint32_t i = 0; i < adapter->base.count; i++) {
		struct adapter_line *line = &adapter->lines[i];

		if (line->event == ADAPTER_NONE || !line->base.interrupt.controller)
			continue;
		places->lines++;
		line->base.interrupt.next_sharing = places->first;
		places->first = &line->base.interrupt;
	}
}

/* ---- events --------------------------------------------------------------------------- */

static bool is_paced(const struct adapter_line *line)
{
	return line->event == ADAPTER_CHANGE && !line->debounced && line->unasked < UNASKED_MAX;
}

static void wait_for_question(struct adapter_line *line, bool high)
{
	struct gb_adapter *adapter = adapter_of(line);

	line->told = true;
	line->level = high;
	line->until_ns = gb_now_ns() + WINDOW_NS;
	if (!adapter->window.armed)
		gb_timer_arm(adapter->base.pump, &adapter->window, line->until_ns);
}

/* Ask for edges again that were masked, as soon as there is room for them. */
static void unmask(struct adapter_line *line)
{
	if (!line->masked || line->levels.count >= ADAPTER_LEVELS / 2)
		return;
	line->masked = false;
	gb_interrupt_arm(&line->base.interrupt);
}

static void tell(struct adapter_line *line)
{
	struct gb_adapter *adapter = adapter_of(line);

	while (line->levels.count && !line->told && usbip_ready(&adapter->usb)) {
		bool high = take_level(&line->levels);

		adapter->status.events++;
		dln2_send_event(line, high);
		if (is_paced(line))
			wait_for_question(line, high);
	}
	unmask(line);
}

void pacing_ready(struct usbip *usb)
{
	struct gb_adapter *adapter = of_usb(usb);

	for (uint32_t i = 0; i < adapter->base.count; i++)
		tell(&adapter->lines[i]);
}

static void windows_close(struct gb_timer *timer)
{
	struct gb_adapter *adapter =
		(struct gb_adapter *)(void *)((char *)timer - offsetof(struct gb_adapter, window));
	uint64_t now = gb_now_ns();

	usbip_enter(&adapter->usb);
	for (uint32_t i = 0; i < adapter->base.count; i++) {
		struct adapter_line *line = &adapter->lines[i];

		if (line->told && line->until_ns <= now) {
			line->told = false;
			line->unasked++;
			tell(line);
		}
	}
	for (uint32_t i = 0; i < adapter->base.count; i++)
		if (adapter->lines[i].told)
			gb_timer_arm(adapter->base.pump, timer, now + WINDOW_NS / 4);
	usbip_leave(&adapter->usb);
}

bool pacing_asked(struct adapter_line *line, bool *high)
{
	bool told = line->told;

	line->unasked = 0;
	line->told = false;
	*high = line->level;
	return told;
}

/* ---- edges ----------------------------------------------------------------------------- */

static void lose(struct adapter_line *line, uint32_t count)
{
	adapter_of(line)->status.lost += count;
	gb_exported_report(line->base.exported);
}

static void note_level(struct adapter_line *line, bool high)
{
	if ((line->event == ADAPTER_HIGH && !high) || (line->event == ADAPTER_LOW && high))
		return;
	if (line->levels.count == ADAPTER_LEVELS) {
		take_level(&line->levels);
		lose(line, 1);
	}
	add_level(&line->levels, high);
	usbip_enter(&adapter_of(line)->usb);
	tell(line);
	usbip_leave(&adapter_of(line)->usb);
}

static void level_read(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct adapter_line *line = of_base(gb_exported_line_of(call));

	if (line && line->event != ADAPTER_NONE) {
		if (!outcome->error)
			note_level(line, outcome->value);
		else if (outcome->error != ENODEV)
			lose(line, 1);
	}
	gb_exported_done(call);
}

static void read_level(struct adapter_line *line)
{
	if (gb_exported_ask(&line->base, VIRTIO_GPIO_MSG_GET_VALUE, 0, level_read))
		lose(line, 1);
}

/* The level is read before the line is armed again, so that no later edge hides. */
static bool take_edge(struct gb_interrupt *interrupt, const struct gb_edge *edge)
{
	struct adapter_line *line = of_interrupt(interrupt);

	if (line->event == ADAPTER_NONE)
		return edge->record;
	if (edge->lost)
		lose(line, edge->lost);
	if (edge->record)
		note_level(line, edge->high);
	else
		read_level(line);
	line->masked = edge->masked;
	unmask(line);
	return true;
}

static void fault(struct gb_interrupt *interrupt, int error, uint32_t reason, bool again)
{
	(void)reason;
	(void)again;
	if (error != ENODEV)
		adapter_note_fault(adapter_of(of_interrupt(interrupt)));
}

static void armed(struct gb_interrupt *interrupt)
{
	(void)interrupt;
}

void pacing_detach(struct adapter_line *line)
{
	gb_interrupt_disown(&line->base.interrupt);
	line->masked = false;
	count_lines(adapter_of(line));
}

static void orphan(struct gb_interrupt *interrupt)
{
	pacing_detach(of_interrupt(interrupt));
}

static const struct gb_interrupt_ops interrupt_ops = {
	.edge = take_edge,
	.fault = fault,
	.armed = armed,
	.orphan = orphan,
};

/* ---- what the kernel wants -------------------------------------------------------------- */

void pacing_init(struct gb_adapter *adapter)
{
	adapter->places.count = ADAPTER_LEVELS;
	adapter->places.taken = taken;
	adapter->window.expired = windows_close;
	gb_exported_init_lines(&adapter->base, &interrupt_ops);
	for (uint32_t i = 0; i < adapter->base.count; i++)
		adapter->lines[i].base.interrupt.places = &adapter->places;
}

/* It counts from the moment the firmware is asked: an edge may come before the answer. */
void pacing_want(struct adapter_line *line, enum adapter_event event)
{
	gb_interrupt_forget(&line->base.interrupt);
	line->event = event;
	line->base.interrupt.type = event == ADAPTER_NONE ? VIRTIO_GPIO_IRQ_TYPE_NONE
							  : VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
	line->levels.count = line->unasked = 0;
	line->told = line->masked = false;
	count_lines(adapter_of(line));
}

void pacing_begun(struct adapter_line *line)
{
	if (line->event == ADAPTER_HIGH || line->event == ADAPTER_LOW)
		read_level(line);
}

void pacing_arm(struct adapter_line *line)
{
	if (line->event == ADAPTER_NONE)
		return;
	count_lines(adapter_of(line));
	gb_interrupt_arm(&line->base.interrupt);
	pacing_begun(line);
}
