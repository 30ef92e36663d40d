/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * controller.h - one virtio-gpio device: calls to it, and who has its lines.
 */
#ifndef GB_CONTROLLER_H
#define GB_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls.h"

struct gb_controller;

/* ---- what Python calls ---------------------------------------------------- */

/* A virtio-gpio device behind the endpoint `address`; ours is `source`.
 * NULL with errno (ENODEV, ENOMEM, EADDRINUSE). */
struct gb_controller *gb_controller_open(struct gb_link *link, uint64_t id,
					 uint32_t source, uint32_t address);
void gb_controller_close(struct gb_controller *controller);
/* After negotiation: TAG and EPOCH change how requests are framed and checked. */
void gb_controller_accept(struct gb_controller *controller, uint32_t features,
			  uint32_t epoch);
/* How an untagged session gets into step after a timeout: by probes, or, for
 * firmware that is silent on unknown types, by waiting one more deadline. */
void gb_controller_mute(struct gb_controller *controller, bool mute);

/* Queue a request; its outcome comes as GB_REPORT_REPLY with `cookie`. Ends
 * within timeout_ms whatever the firmware does. 0 or -errno. */
int gb_controller_call(struct gb_controller *controller, uint16_t type,
		       uint16_t gpio, uint32_t value, int form,
		       uint32_t timeout_ms, uint64_t cookie);

/* The same for types with a body behind the extended form (12 bytes): BULK and
 * LINE_CONFIG. -EMSGSIZE when it is longer than GB_CALL_BODY_MAX. */
int gb_controller_call_body(struct gb_controller *controller, uint16_t type,
			    uint16_t gpio, uint32_t value, const void *body,
			    size_t length, uint32_t timeout_ms, uint64_t cookie);

/* What is known of the coprocessor's clock, with TIMESTAMP (docs/timing.md). */
struct gb_clock_state {
	bool known;          /* times are mapped */
	uint32_t samples;    /* GET_TIME exchanges that agree */
	int32_t drift_ppb;   /* the device's clock runs so much too fast */
	uint64_t bound_ns;   /* of the time of an edge now: it is off by no more */
	uint64_t device_ns;  /* the exchange that times are mapped from: the */
	uint64_t host_ns;    /* device's clock, CLOCK_MONOTONIC, */
	uint64_t error_ns;   /* and half its round trip */
	uint64_t by_arrival; /* edges stamped with their arrival for want of it */
};

void gb_controller_clock(struct gb_controller *controller, struct gb_clock_state *state);

/* ---- calls: what follows is used with the pump's lock held ------------------ */

struct gb_call *gb_call_new(struct gb_controller *controller);
/* Back into the pool: only for a call that was not submitted. */
void gb_call_discard(struct gb_controller *controller, struct gb_call *call);
/* Submit; `done` is called exactly once unless an error is returned. */
int gb_call_submit(struct gb_controller *controller, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns);
/* RPMSG_GPIO_F_* that are in force. */
uint32_t gb_controller_features(const struct gb_controller *controller);

/* ---- who has a line --------------------------------------------------------- */

/* An edge that came as a record. */
struct gb_edge {
	uint64_t time_ns;   /* CLOCK_MONOTONIC; never before the line's last */
	uint64_t device_ns; /* the device's clock, never back either; 0 without TIMESTAMP */
	uint32_t lost;      /* edges of the line that did not come, before it */
	bool high;          /* the physical level after it */
	bool rearm;         /* the line is masked until SET_IRQ_TYPE */
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

int gb_controller_own(struct gb_controller *controller, uint16_t gpio,
		      const struct gb_line_owner *owner);
void gb_controller_disown(struct gb_controller *controller, uint16_t gpio,
			  const void *owner);
/* Events of a line that may come now. */
uint32_t gb_stream_credits(const struct gb_controller *controller, uint16_t gpio);

#endif
