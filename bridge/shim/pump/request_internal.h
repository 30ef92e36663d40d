/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request_internal.h - a line request, as its parts see it. Used with the pump's lock held.
 *
 *   request_calls.c  calls to the firmware, answers to the client
 *   values.c         operations that get and set values: messages to the firmware
 *   operation.c      the client's operations, one after the other
 *   direct.c         operations of a client in the pump's process, past the descriptor
 *   edges.c          from an edge to an event, debouncing
 *   request.c        life: plans, descriptors, owners of lines
 */
#ifndef GB_REQUEST_INTERNAL_H
#define GB_REQUEST_INTERNAL_H

#include "debounce.h"
#include "event_ring.h"
#include "interrupt.h"
#include "operation.h"
#include "request.h"
#include "rpmsg_gpio.h"

struct gb_line {
	struct gb_line_plan plan;
	uint32_t line_seqno;
	struct gb_interrupt interrupt;
	bool faulted; /* told that it may miss edges */
	uint64_t fired_ns; /* of the edge whose level is being read */
	uint64_t device_ns; /* of the latest edge, by the device's clock; 0: unknown */
	struct gb_request *request;
	struct gb_debounce debounce;
};

/* A thread of the pump's own process that waits for its operation. */
struct gb_caller {
	struct gb_waiter waiter;
	struct gb_operation_reply *reply;
};

/* The operation in hand; the next one stays in the socket until it is done. */
struct gb_operation_state {
	bool busy;
	bool paused; /* not watching the descriptor: the next one is waiting */
	uint32_t sequence;
	uint32_t waiting; /* calls without an outcome */
	uint64_t started_ns; /* 0: it was refused before */
	uint64_t replied_ns; /* when its last reply came, 0: none did */
	uint64_t bits;
	uint64_t levels; /* to set, not inverted for active-low */
	int error;
	uint32_t reason;
	uint32_t line;
};

struct gb_request {
	struct gb_pump *pump;
	struct gb_part part;
	uint64_t id;
	uint64_t timeout_ns;
	uint32_t count;
	uint32_t references; /* calls that will come back, and the owner */
	bool closed;
	bool hung_up;
	uint32_t seqno;
	uint64_t operations, failed;
	struct gb_latency latency; /* of gets and sets that the firmware was asked about */
	uint64_t driven_mask, driven; /* the levels last driven, and of which lines */
	const struct gb_request_client *client;
	void *client_owner;
	/* Of a client with a ring (`ring_client`), which is its own owner. */
	int operation_fd, event_fd;
	uint64_t cookie; /* of the client's end of the operation descriptor (SO_COOKIE) */
	struct gb_caller *caller; /* whose operation is in hand; NULL: it came by the descriptor */
	struct gb_source *operation_source, *event_source;
	struct gb_event_ring *ring;
	bool bell_watched; /* that the client silences it */
	struct gb_event_places places; /* of the client, for lines with interrupts */
	struct gb_operation_state operation;
	struct gb_line lines[];
};

/* ---- request_calls.c ------------------------------------------------------ */

/* Submit a call about a line; `done` gets its index as the argument and gives the
 * reference back. 0 or -errno. */
int gb_request_submit(struct gb_request *request, uint32_t index, uint16_t type, uint32_t value,
		      gb_call_fn done, uint64_t now_ns);
void gb_request_unreference(struct gb_request *request);
/* The client let go of its descriptors. Python releases the lines and closes the request. */
void gb_request_hang_up(struct gb_request *request);
/* The lines of `mask` are driven to `levels`, as the firmware said. */
void gb_request_drove(struct gb_request *request, uint64_t mask, uint64_t levels);
/* Why a call was not submitted. */
uint32_t gb_submit_reason(int error);
/* The first error of an operation is its result. */
void gb_operation_error(struct gb_operation_state *op, int error, uint32_t reason, uint32_t line);
/* Answer the operation in hand. */
void gb_operation_finish(struct gb_request *request);
/* Answer the operation in hand, with a body. */
void gb_operation_answer(struct gb_request *request, const struct gb_operation_reply *reply,
			 const void *body, size_t length);

/* ---- request.c ------------------------------------------------------------ */

/* A request of another kind of client than those with a ring. With the pump's lock not
 * held; NULL with errno. */
struct gb_request *gb_request_open_for(struct gb_pump *pump, uint64_t id,
				       const struct gb_line_plan *lines, size_t count,
				       uint32_t timeout_ms,
				       const struct gb_request_client *client, void *owner);

/* The request with this end of an operation descriptor, or NULL. */
struct gb_request *gb_request_with_end(const struct gb_pump *pump, int fd);

/* ---- operation.c ---------------------------------------------------------- */

/* The operation descriptor is ready (a gb_source_fn). */
void gb_operation_ready(void *owner, int index, uint32_t events);
/* The answer of a client with a ring (as struct gb_request_client says). */
void gb_operation_reply_to_ring(void *client, const struct gb_operation_reply *reply,
				const void *body, size_t length);
/* The client ends: a thread that waits for its operation is answered ENODEV. */
void gb_operation_abandon(struct gb_request *request);
/* Start an operation; none may be in hand. */
void gb_operation_start(struct gb_request *request, const struct gb_operation *operation,
			const uint8_t *body, size_t length);

/* ---- values.c ------------------------------------------------------------- */

/* Whether the lines of `mask` cannot be got or set; the error is noted then. */
bool gb_values_refuse(struct gb_request *request, const struct gb_operation *operation,
		      uint64_t mask);
void gb_values_start(struct gb_request *request, const struct gb_operation *operation,
		     uint64_t mask);

/* ---- edges.c -------------------------------------------------------------- */

void gb_edges_init(struct gb_request *request, struct gb_line *line);
/* Lines have got or lost interrupts, or their controller. */
void gb_edges_count(struct gb_request *request);
/* The line has no interrupts and no timer any more. */
void gb_edges_stop(struct gb_line *line);

#endif
