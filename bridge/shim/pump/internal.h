/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * internal.h - what the parts of the pump share. Everything here is used with
 * the pump's lock held.
 *
 *   controller.c  calls to one virtio-gpio device (controller.h has their parts)
 *   stream.c      events as records (stream.h has their parts)
 *   clock.c       the coprocessor's clock on ours
 *   request.c     line requests (request.h has their parts)
 */
#ifndef GB_INTERNAL_H
#define GB_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "pump.h"
#include "rpmsg_gpio.h"

struct gb_call;

/* ---- calls -------------------------------------------------------------- */

struct gb_outcome {
	int error; /* errno */
	uint32_t reason;
	uint8_t status;
	uint8_t value;
	uint8_t form; /* bytes of the reply's head: 3, 4 or 8 */
	const uint8_t *body;
	uint16_t length;
};

typedef void (*gb_call_fn)(struct gb_call *call, const struct gb_outcome *outcome);

/* One request to a controller, from submission to its outcome. */
struct gb_call {
	struct gb_timer deadline;
	struct gb_controller *controller;
	struct gb_call *next; /* in the list, or in the pool */
	gb_call_fn done;
	void *owner;
	uint64_t argument;
	uint64_t sent_ns; /* just before it was handed to the link */
	uint32_t value;
	uint16_t type;
	uint16_t gpio;
	uint16_t tag; /* 0: none yet, or none at all */
	uint8_t form; /* GB_CALL_BASELINE or _EXTENDED */
	bool in_flight;
	bool owed; /* queued however many there are: its owner has few for each line */
	uint8_t body_length;
	uint8_t body[GB_CALL_BODY_MAX];
};

struct gb_call_list {
	struct gb_call *first, *last;
	uint32_t count;
};

/* Calls that may wait for one controller, beside those that are owed, and be in flight. */
#define GB_QUEUE_MAX 1024u
#define GB_FLYING_MAX 64u

enum gb_step {
	GB_IN_STEP,
	GB_PROBING, /* finding the place in the stream of replies again */
	GB_WAITING, /* mute firmware: letting a late reply pass */
};

#define GB_EXTENDED_EVENTS (RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP)

/* An edge that came as a record. */
struct gb_edge {
	uint64_t time_ns;   /* CLOCK_MONOTONIC; never before the line's last */
	uint64_t device_ns; /* the device's clock, never back either; 0 without TIMESTAMP */
	uint32_t lost;      /* edges of the line that did not come, before it */
	bool high;          /* the physical level after it */
	bool rearm;         /* the line is masked until SET_IRQ_TYPE */
};

/* The events of one line since its irq type left NONE, as far as they go
 * through this controller. */
struct gb_stream {
	uint8_t irq_type;    /* that the device has: answered OK */
	uint8_t attempts;    /* that were answered wrongly, in a row */
	bool agreed;         /* both sides mean the same by `granted` */
	uint8_t doubts;      /* how often they were given up for a while, in a row */
	bool closing;        /* NONE is under way, or went without an answer */
	bool reopening;      /* a type was asked for behind it */
	bool granting;       /* a grant is under way */
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
	uint64_t source_ns;  /* of the last edge, by the device's clock */
	bool ahead;          /* the last record had a time to come */
	uint64_t later_ns;   /* to ask again then; 0: not */
	bool waits;          /* in the list of gb_controller.first_waiting */
	uint32_t next_waiting; /* gpio + 1; 0: none */
};

/* What has the interrupts of a line: a line request, or an export. */
struct gb_line_owner_ops {
	/* The interrupt fired. False: nobody wants it. */
	bool (*fired)(void *owner, uint32_t index, uint64_t now_ns);
	/* The next four are optional. The first is called instead of fired()
	 * where events are records; the second says how many credits the line
	 * should have, at least 1 (without it one event comes for each
	 * SET_IRQ_TYPE, as without CREDITS), and the third how many events could be
	 * taken beyond all credits; the fourth that the line may miss edges. */
	void (*edge)(void *owner, uint32_t index, const struct gb_edge *edge);
	uint32_t (*window)(void *owner, uint32_t index);
	uint32_t (*room)(void *owner, uint32_t index);
	void (*fault)(void *owner, uint32_t index, int error, uint32_t reason);
	/* The controller goes away; it is not to be touched any more. */
	void (*orphan)(void *owner, uint32_t index);
};

struct gb_line_owner {
	const struct gb_line_owner_ops *ops;
	void *owner; /* NULL: nobody */
	uint32_t index;
};

struct gb_controller {
	uint64_t id;
	struct gb_pump *pump;
	struct gb_link_endpoint endpoint;
	uint32_t features;
	uint16_t epoch;
	bool asking_epoch;
	bool mute;
	bool lost; /* the firmware forgot the session: only closing is left */

	struct gb_call_list queue;
	uint32_t owed; /* of them: they take nobody's place */
	struct gb_call_list flying; /* without tags one at most */
	uint16_t last_tag;
	struct gb_call *free_calls;

	enum gb_step step;
	unsigned int word_errors; /* length of this round's word, less its OK */
	unsigned int probes_sent, replies_seen; /* in this round */
	unsigned int errors_seen; /* ERR in a row, the latest replies */
	bool ok_seen;             /* before them, in this round */
	bool probe_due; /* the next probe waits for a buffer, or for demand */
	uint64_t timeout_ns;  /* of the latest call */
	struct gb_timer step_timer;

	struct gb_stream *streams; /* by gpio */
	uint32_t stream_count;
	struct gb_timer stream_timer; /* lines that wait, and a silence */
	uint32_t first_waiting; /* stream: gpio + 1; 0: none */
	uint64_t event_ns;         /* the latest */
	bool used_credits;         /* since the last silence */
	struct gb_clock clock;
	uint64_t clock_since_ns, time_asked_ns;
	uint32_t time_series;      /* exchanges still to come */
	uint32_t time_contradictions; /* since it began */
	uint8_t time_doubts;       /* how often it was given up, in a row */
	bool told_time;
	bool asking_time;
	uint64_t by_arrival;       /* edges stamped with their arrival */

	struct gb_line_owner *owners; /* by gpio */
	uint32_t owner_count;
};

struct gb_call *gb_call_new(struct gb_controller *controller);
/* Back into the pool: only for a call that was not submitted. */
void gb_call_discard(struct gb_controller *controller, struct gb_call *call);
/* Submit; `done` is called exactly once unless an error is returned. */
int gb_call_submit(struct gb_controller *controller, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns);
void gb_controller_received(struct gb_controller *controller, const uint8_t *message,
			    uint16_t length);
void gb_controller_advance(struct gb_controller *controller);
int gb_controller_own(struct gb_controller *controller, uint16_t gpio,
		      const struct gb_line_owner *owner);
void gb_controller_disown(struct gb_controller *controller, uint16_t gpio,
			  const void *owner);

/* ---- streams ------------------------------------------------------------ */

void gb_stream_init(struct gb_controller *controller);
void gb_stream_free(struct gb_controller *controller);
/* Other features are in force. */
void gb_stream_accepted(struct gb_controller *controller);
/* Every call passes here on its way, and again when it was answered OK. */
void gb_stream_submitted(struct gb_controller *controller, const struct gb_call *call);
void gb_stream_answered(struct gb_controller *controller, const struct gb_call *call);
/* The line is enabled and has an owner, or it was re-armed. */
void gb_stream_owned(struct gb_controller *controller, uint16_t gpio);
/* A message of records. */
void gb_stream_received(struct gb_controller *controller, const uint8_t *message,
			uint16_t length);
/* Events of a line that may come now. */
uint32_t gb_stream_credits(const struct gb_controller *controller, uint16_t gpio);

#endif
