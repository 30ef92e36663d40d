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
/* How an untagged session finds its place in the stream of replies after a timeout: by probes,
 * or, for firmware that is silent on unknown types, by waiting one more deadline. */
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
	uint64_t edges_bound_ns; /* the largest one of the edges of lines that are watched now */
	uint64_t device_ns;  /* the exchange that times are mapped from: the */
	uint64_t host_ns;    /* device's clock, CLOCK_MONOTONIC, */
	uint64_t error_ns;   /* and half its round trip */
	uint64_t by_arrival; /* edges stamped with their arrival for want of it */
};

void gb_controller_clock(struct gb_controller *controller, struct gb_clock_state *state);

/* What went over the endpoint since it was opened. */
struct gb_controller_counters {
	uint64_t answered, refused, timeouts; /* calls */
	uint64_t p50_ns, p99_ns;              /* of their replies, 0 without any */
};

struct gb_line_counters {
	uint64_t edges, lost; /* reported, and missing by their numbers */
};

void gb_controller_count(struct gb_controller *controller,
			 struct gb_controller_counters *counters);
/* Of the lines from 0 on, as many as have had edges and `count` at most; returns how many. */
size_t gb_controller_count_lines(struct gb_controller *controller,
				 struct gb_line_counters *counters, size_t count);

/* ---- calls: what follows is used with the pump's lock held ------------------ */

struct gb_call *gb_call_new(struct gb_controller *controller);
/* Put a call back into the pool; only for a call that was not submitted. */
void gb_call_discard(struct gb_controller *controller, struct gb_call *call);
/* Submit; `done` is called exactly once unless an error is returned. */
int gb_call_submit(struct gb_controller *controller, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns);
/* Both at once: make a call that says what `wanted` does, and submit it. -ENODEV without a
 * controller, -ENOMEM; other errors of gb_call_submit(). */
int gb_call_start(struct gb_controller *controller, const struct gb_call *wanted,
		  uint64_t now_ns, uint64_t timeout_ns);
/* RPMSG_GPIO_F_* that are in force. */
uint32_t gb_controller_features(const struct gb_controller *controller);

#endif
