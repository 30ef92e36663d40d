/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pump.h - the data plane: a C epoll loop in its own thread, without the GIL.
 *
 * Python decides (requests, negotiation, recovery, policy) and hands over
 * plans; the pump moves bytes: operations of line requests, edges, deadlines.
 * One lock guards everything; it is never held across a blocking call. What
 * Python must know comes back as reports, in order, behind one eventfd.
 *
 * Objects are owned by the caller: each *_close() may be called once, and the
 * pointer is invalid afterwards. Identifiers (`id`, `cookie`) are chosen by the
 * caller and come back in reports.
 */
#ifndef GB_PUMP_H
#define GB_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "loop.h"

struct gb_pump;
struct gb_controller;
struct gb_request;

/* ---- controllers -------------------------------------------------------- */

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

enum gb_call_form {
	GB_CALL_AUTO,     /* 12 bytes with TAG, else 8 */
	GB_CALL_BASELINE, /* 8 bytes: GET_FEATURES, SET_FEATURES */
	GB_CALL_EXTENDED, /* 12 bytes */
};

/* Queue a request; its outcome comes as GB_REPORT_REPLY with `cookie`. Ends
 * within timeout_ms whatever the firmware does. 0 or -errno. */
int gb_controller_call(struct gb_controller *controller, uint16_t type,
		       uint16_t gpio, uint32_t value, int form,
		       uint32_t timeout_ms, uint64_t cookie);

#define GB_CALL_BODY_MAX 16

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

/* ---- line requests ------------------------------------------------------ */

#define GB_LINES_MAX 64

enum gb_line_flags {
	GB_LINE_OUTPUT      = 1 << 0, /* set_values is allowed */
	GB_LINE_ACTIVE_LOW  = 1 << 1,
	GB_LINE_EDGE_RISING = 1 << 2, /* logical edges that are reported */
	GB_LINE_EDGE_FALLING = 1 << 3,
	GB_LINE_REALTIME    = 1 << 4, /* stamp with CLOCK_REALTIME */
	GB_LINE_SOURCE_CLOCK = 1 << 5, /* stamp with the device's own clock
	                                  (needs TIMESTAMP), not with ours */
	/* Emulated as gpiolib does: the level that is not driven is an input. */
	GB_LINE_OPEN_DRAIN  = 1 << 6,
	GB_LINE_OPEN_SOURCE = 1 << 7,
};

/* What the pump needs to know of a requested line. */
struct gb_line_plan {
	struct gb_controller *controller;
	uint32_t offset;  /* what the client calls the line */
	uint16_t gpio;    /* what the controller calls it */
	uint8_t irq_type; /* VIRTIO_GPIO_IRQ_TYPE_* to re-arm with */
	uint8_t reserved;
	uint32_t flags;
	uint32_t debounce_us; /* 0: none; else irq_type is EDGE_BOTH */
};

/* The client's ends, to be passed by SCM_RIGHTS and closed by the caller. */
struct gb_request_fds {
	int operation; /* SOCK_SEQPACKET: struct gb_operation and its reply */
	int event;     /* doorbell of the event ring */
	int ring;      /* memfd of the event ring */
};

/* event_capacity: a power of two, 2..1024 (the caller applies the kernel's
 * rules). timeout_ms: deadline of one operation. NULL with errno. */
struct gb_request *gb_request_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_line_plan *lines, size_t count,
				   uint32_t event_capacity, uint32_t timeout_ms,
				   struct gb_request_fds *fds);
/* Replace the plans (same lines, same order). */
int gb_request_replan(struct gb_request *request,
		      const struct gb_line_plan *lines, size_t count);
/* The physical level that debouncing of a line starts from. */
void gb_request_settle(struct gb_request *request, uint32_t index, bool high);
/* What the owner drove a line to by calls of its own: a physical level. */
void gb_request_note_driven(struct gb_request *request, uint32_t index, bool high);
/* The physical levels that lines were last driven to, as far as the firmware said
 * so; the result is the mask of the lines for which one is known. */
uint64_t gb_request_driven(struct gb_request *request, uint64_t *levels);
/* Answer an operation that was reported. */
int gb_request_answer(struct gb_request *request, uint32_t sequence,
		      int32_t error, uint32_t reason, const void *body,
		      size_t length);
/* Whether the client still holds its end. */
bool gb_request_alive(const struct gb_request *request);
/* Hang up: the client sees HUP and ERR on its descriptors, ENODEV from calls. */
void gb_request_close(struct gb_request *request);

#endif
