/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * controller_internal.h - a controller, as its parts see it. Used with the pump's lock
 * held.
 *
 *   controller_calls.c  calls of the other parts
 *   stream.c            streams of events (stream.h has their parts)
 *   interrupt.c         who has the interrupts of a line, and arming them
 *   receive.c           what comes back
 *   controller.c        life, and calls of Python
 */
#ifndef GB_CONTROLLER_INTERNAL_H
#define GB_CONTROLLER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device_clock.h"
#include "controller.h"
#include "interrupt.h"
#include "rpmsg_gpio.h"

#define GB_EXTENDED_EVENTS (RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP)

/* The events of one line since its irq type left NONE, as far as they go
 * through this controller. */
struct gb_stream {
	uint8_t irq_type;    /* that the device has: answered OK */
	uint8_t attempts;    /* that were answered wrongly, in a row */
	bool agreed;         /* both sides mean the same by `granted` */
	uint8_t doubts;      /* how often they were given up for a while, in a row */
	bool closing;        /* NONE is under way, or went without an answer */
	bool reopening;      /* a type was asked for behind it */
	struct gb_call *granting; /* the grant that is under way */
	bool starved;        /* no room for more */
	bool unasked;        /* no place in the queue for the last grant */
	bool used;           /* events since the last grant after a silence */
	uint32_t generation; /* tells the answer to a grant of an earlier stream */
	uint32_t granted, received;
	bool interrupted;    /* it began anew: edges may have been lost before */
	uint32_t sequence;   /* of the last record taken */
	uint32_t confirmed;  /* the last one at the end of a run of records without gap */
	uint8_t run;         /* how many of that run there were */
	uint64_t device_ns;  /* the device's time of the last record taken */
	uint64_t starved_ns;
	uint64_t event_ns;   /* when the last record came */
	uint64_t time_ns;    /* of the last edge */
	uint64_t bound_ns;   /* of that time; UINT64_MAX: it is that of an arrival */
	uint64_t source_ns;  /* of the last edge, by the device's clock */
	bool ahead;          /* the last record had a time to come */
	uint64_t later_ns;   /* to ask again then; 0: not */
	bool waits;          /* in the list of gb_streams.first_waiting */
	uint32_t next_waiting; /* gpio + 1; 0: none */
};

/* The events of all lines. */
struct gb_streams {
	struct gb_stream *lines; /* by gpio */
	uint32_t count;
	struct gb_timer timer; /* lines that wait, and a silence */
	uint32_t first_waiting; /* stream: gpio + 1; 0: none */
	uint64_t event_ns;      /* the latest */
	bool used_credits;      /* since the last silence */
};

/* The coprocessor's clock, and when it is asked for. */
struct gb_clock_sync {
	struct gb_clock clock;
	uint64_t since_ns, asked_ns;
	uint32_t series;         /* exchanges still to come */
	uint32_t contradictions; /* since it began */
	uint8_t doubts;          /* how often it was given up, in a row */
	bool told;
	bool asking;
	uint64_t by_arrival;     /* edges stamped with their arrival */
};

struct gb_controller {
	uint64_t id;
	struct gb_pump *pump;
	struct gb_link_endpoint endpoint;
	uint32_t features;
	uint16_t epoch;
	bool asking_epoch;
	struct gb_calls calls;
	struct gb_streams streams;
	struct gb_clock_sync sync;
	struct gb_interrupt **interrupts; /* by gpio; NULL: nobody has it */
	struct gb_line_counters *edges;   /* as many */
	uint32_t interrupt_count;
	uint32_t lives; /* of them, so far */
};

void gb_controller_received(struct gb_controller *controller, const uint8_t *message,
			    uint16_t length);

/* ---- streams ------------------------------------------------------------ */

void gb_stream_init(struct gb_controller *controller);
void gb_stream_free(struct gb_controller *controller);
/* Other features are in force. */
void gb_stream_accepted(struct gb_controller *controller);
/* A call was answered OK. Returns the line's first grant, if the call enabled edges: until that is
 * answered, an edge takes the place of the one before. NULL: there is none to wait for. */
struct gb_call *gb_stream_answered(struct gb_controller *controller, const struct gb_call *call);
/* The line is enabled and somebody has it, or it was armed again. */
void gb_stream_owned(struct gb_controller *controller, uint16_t gpio);
/* A message of records. */
void gb_stream_received(struct gb_controller *controller, const uint8_t *message,
			uint16_t length);

/* ---- interrupt.c ---------------------------------------------------------- */

static inline struct gb_interrupt *interrupt_at(const struct gb_controller *c, uint16_t gpio)
{
	return gpio < c->interrupt_count ? c->interrupts[gpio] : NULL;
}

/* The consumer's edge. False: nobody wants it. */
bool gb_interrupt_take(struct gb_interrupt *interrupt, const struct gb_edge *edge);
/* An interrupt came that is no record. False: nobody wants it. */
bool gb_interrupt_fired(struct gb_controller *c, uint16_t gpio);
/* Tell whoever has a line that the controller goes. */
void gb_interrupts_free(struct gb_controller *c);

/* ---- controller_calls.c ---------------------------------------------------- */

/* The session is lost: every call ends now with ENODEV. */
void gb_controller_abandon(struct gb_controller *c);

#endif
