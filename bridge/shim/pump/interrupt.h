/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interrupt.h - the interrupts of a line, for the consumer of its edges: a line request, or
 * an export.
 *
 * Used with the pump's lock held. An edge masks the line at the firmware, unless its edges
 * come by credits; the consumer arms it again, and a call for that which is lost is repeated
 * here.
 */
#ifndef GB_INTERRUPT_H
#define GB_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/timers.h"

struct gb_controller;
struct gb_interrupt;

struct gb_edge {
	uint64_t time_ns;   /* CLOCK_MONOTONIC; never before the line's last */
	uint64_t device_ns; /* the device's clock, never back either; 0: not known */
	uint32_t lost;      /* edges of the line that did not come, before it */
	bool record;        /* it came as a record, with its level and what was lost */
	bool high;          /* the physical level after it */
	bool masked;        /* the line is, until gb_interrupt_arm() */
};

struct gb_interrupt_ops {
	/* An edge came. False: nobody wants it. */
	bool (*edge)(struct gb_interrupt *interrupt, const struct gb_edge *edge);
	/* The line may miss edges, since the firmware could not be asked. `again`: it will be
	 * asked again. Called for each failure in a row; a consumer may report only one of them. */
	void (*fault)(struct gb_interrupt *interrupt, int error, uint32_t reason, bool again);
	/* It was armed as asked for. */
	void (*armed)(struct gb_interrupt *interrupt);
	/* The controller goes away; it is not to be touched any more. */
	void (*orphan)(struct gb_interrupt *interrupt);
};

/* The places for events that the lines of one consumer share: credits are given for the places
 * that no event occupies. */
struct gb_event_places {
	uint32_t count;
	uint32_t lines; /* that share them */
	uint32_t (*taken)(const struct gb_event_places *places);
	/* A line waits for a free place: gb_event_places_freed() is to be called soon after the
	 * consumer took its events. NULL: he does not tell, and a timer looks. */
	void (*wanted)(struct gb_event_places *places);
	struct gb_interrupt *first; /* of those lines */
	uint64_t counted_ns;        /* when `room` was counted, places that are free for credits */
	uint32_t room;
};

/* Embedded by the consumer, who sets the first four; all other bytes zero. */
struct gb_interrupt {
	const struct gb_interrupt_ops *ops;
	struct gb_event_places *places; /* NULL: one event for each time it is armed */
	uint64_t timeout_ns;
	uint8_t type;                   /* VIRTIO_GPIO_IRQ_TYPE_* that it is armed with */
	/* --- not touched by the consumer --- */
	struct gb_controller *controller; /* NULL: none has it */
	uint16_t gpio;
	bool wanted;      /* armed, and no edge since */
	uint8_t asked;    /* how often it is being armed */
	uint8_t refusals; /* in a row */
	uint32_t life;    /* tells answers to what was asked before it was forgotten */
	uint64_t bound_ns; /* largest one of the mapped times of its edges */
	struct gb_timer again;
	struct gb_interrupt *next_sharing;
};

/* The consumer has the interrupts of the line from here on. 0 or -errno: EBUSY, ENOMEM. */
int gb_interrupt_own(struct gb_interrupt *interrupt, struct gb_controller *controller,
		     uint16_t gpio);
/* No more; it may have none. */
void gb_interrupt_disown(struct gb_interrupt *interrupt);
/* The edge was taken: ask for the next one. -ENODEV: nobody is there to be asked. */
int gb_interrupt_arm(struct gb_interrupt *interrupt);
/* What was asked for is not wanted any more, and not asked for again. */
void gb_interrupt_forget(struct gb_interrupt *interrupt);
/* Places are free again: lines that wait for them get credits. False: none waited. */
bool gb_event_places_freed(struct gb_event_places *places);

#endif
