/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.h - line requests: operations and edges of one client. What Python calls.
 */
#ifndef GB_REQUEST_H
#define GB_REQUEST_H

#include "controller.h"

struct gb_request;

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

struct gb_operation;
struct gb_operation_reply;
struct gb_line_event;

/* The client of a request: who gets its answers and its events. Called with the pump's lock
 * held. */
struct gb_request_client {
	/* The answer to the operation in hand; the next one may start. */
	void (*answer)(void *client, const struct gb_operation_reply *reply, const void *body,
		       size_t length);
	void (*event)(void *client, const struct gb_line_event *event);
	/* Events that are kept for it, and how many it has not taken. */
	uint32_t (*capacity)(const void *client);
	uint32_t (*waiting)(const void *client);
	/* Call gb_event_places_freed() when it has taken events; NULL: it cannot. */
	void (*want_room)(void *client);
	/* Whether it still holds its end. */
	bool (*alive)(const void *client);
	/* It let go: nothing more is taken from it. The request ends later. */
	void (*hang_up)(void *client);
	/* The request ends: hang up on it, and free what it has here. */
	void (*end)(void *client);
};

/* The client's ends, to be passed by SCM_RIGHTS and closed by the caller. */
struct gb_request_fds {
	int operation; /* SOCK_SEQPACKET: struct gb_operation and its reply */
	int event;     /* doorbell of the event ring */
	int ring;      /* memfd of the event ring */
};

/* event_capacity: a power of two, 2..GB_EVENT_CAPACITY_MAX (the caller applies the kernel's
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
/* Of one client since it has the lines. */
struct gb_request_counters {
	uint64_t operations, failed; /* gets and sets */
	uint64_t p50_ns, p99_ns;     /* what they took in the service, 0 without any */
	uint64_t edges;              /* that its lines had, those that were lost, too */
	uint64_t overwritten;        /* of them, by later ones that it had no place for */
};

void gb_request_count(struct gb_request *request, struct gb_request_counters *counters);
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
