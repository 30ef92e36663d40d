/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * internal.h - what the parts of the pump share. Everything here is used with
 * the pump's lock held.
 *
 *   pump.c        the loop, descriptors, deadlines, reports, links
 *   controller.c  calls to one virtio-gpio device: framing, order, deadlines
 *   request.c     line requests: operations and edges
 */
#ifndef GB_INTERNAL_H
#define GB_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pump.h"
#include "rpmsg_gpio.h"

/* ---- descriptors -------------------------------------------------------- */

typedef void (*gb_source_fn)(void *owner, int index, uint32_t epoll_events);

/* A watched descriptor. Freed by the loop only, after a removal: events of the
 * batch in hand may still point to it. */
struct gb_source {
	gb_source_fn ready; /* NULL once removed */
	void *owner;
	int index;
	int fd;
	struct gb_source *next_dead;
};

struct gb_source *gb_source_add(struct gb_pump *pump, int fd, uint32_t events,
				gb_source_fn ready, void *owner, int index);
void gb_source_modify(struct gb_pump *pump, struct gb_source *source, uint32_t events);
/* Stops watching; the caller closes the descriptor afterwards. */
void gb_source_remove(struct gb_pump *pump, struct gb_source *source);

/* ---- deadlines ---------------------------------------------------------- */

struct gb_timer {
	void (*expired)(struct gb_timer *timer);
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	struct gb_timer *previous, *next;
	bool armed;
};

uint64_t gb_now_ns(void);
void gb_timer_arm(struct gb_pump *pump, struct gb_timer *timer, uint64_t due_ns);
void gb_timer_cancel(struct gb_pump *pump, struct gb_timer *timer);

/* ---- pump --------------------------------------------------------------- */

struct gb_report_node {
	struct gb_report_node *next;
	struct gb_report report;
};

struct gb_call;

struct gb_pump {
	pthread_mutex_t lock;
	pthread_t thread;
	int epoll_fd;
	int wake_fd;
	int report_fd;
	bool stopping;
	bool sleeping;               /* in epoll_wait, until sleeping_until_ns */
	uint64_t sleeping_until_ns;  /* UINT64_MAX: for ever */
	struct gb_source *wake_source;
	struct gb_source *dead_sources;
	struct gb_timer *first_timer, *last_timer;
	struct gb_link *links;
	struct gb_request *requests;
	struct gb_report_node *first_report, *last_report;
	struct gb_call *free_calls;
};

void gb_lock(struct gb_pump *pump);
/* Flushes links, wakes the loop if a deadline came nearer, unlocks. */
void gb_unlock(struct gb_pump *pump);

/* A report that Python will read; NULL when memory is exhausted. */
struct gb_report *gb_report_add(struct gb_pump *pump, uint32_t kind, uint64_t id);
void gb_report_text(struct gb_report *report, const char *text);

/* Queue a message on the link: 0, -EAGAIN (blocked until writable), -errno. */
int gb_link_transmit(struct gb_link *link, uint32_t source, uint32_t destination,
		     const void *message, uint16_t length);
void gb_link_die(struct gb_link *link, int error);

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
	struct gb_call *next; /* in the queue, or in the pool */
	gb_call_fn done;
	void *owner;
	uint64_t argument;
	uint32_t value;
	uint16_t type;
	uint16_t gpio;
	uint16_t tag;
	uint8_t form; /* GB_CALL_BASELINE or _EXTENDED */
	bool in_flight;
};

/* Calls that may wait for one controller. */
#define GB_QUEUE_MAX 1024u
#define GB_TAG_SLOTS 64u

enum gb_step {
	GB_IN_STEP,
	GB_PROBING, /* finding the place in the stream of replies again */
	GB_WAITING, /* mute firmware: letting a late reply pass */
};

struct gb_line_owner {
	struct gb_request *request;
	uint32_t index;
};

struct gb_controller {
	uint64_t id;
	struct gb_link *link;
	struct gb_controller *next;
	uint32_t source, address;
	uint32_t features;
	uint16_t epoch;
	bool mute;
	bool lost; /* the firmware forgot the session: only closing is left */

	struct gb_call *first, *last; /* queue */
	uint32_t queued;
	struct gb_call *flying;       /* untagged: the one in flight */
	struct gb_call *slots[GB_TAG_SLOTS];
	uint16_t generations[GB_TAG_SLOTS];
	uint32_t flying_count;

	enum gb_step step;
	unsigned int word_errors; /* length of this round's word, less its OK */
	unsigned int probes_sent, replies_seen; /* in this round */
	unsigned int errors_seen; /* ERR in a row, the latest replies */
	bool ok_seen;             /* before them, in this round */
	bool probe_due; /* the next probe waits for a buffer, or for demand */
	uint64_t timeout_ns;  /* of the latest call */
	struct gb_timer step_timer;

	struct gb_line_owner *owners; /* by gpio */
	uint32_t owner_count;
	uint64_t strays;
};

struct gb_call *gb_call_new(struct gb_pump *pump);
/* Back into the pool: only for a call that was not submitted. */
void gb_call_discard(struct gb_pump *pump, struct gb_call *call);
/* Submit; `done` is called exactly once unless an error is returned. */
int gb_call_submit(struct gb_controller *controller, struct gb_call *call,
		   uint64_t now_ns, uint64_t timeout_ns);
void gb_controller_received(struct gb_controller *controller, const uint8_t *message,
			    uint16_t length);
void gb_controller_advance(struct gb_controller *controller);
void gb_controller_free(struct gb_controller *controller, int error);
/* The link is gone: every call ends now. */
void gb_controller_abandon(struct gb_controller *controller, int error);
int gb_controller_own(struct gb_controller *controller, uint16_t gpio,
		      struct gb_request *request, uint32_t index);
void gb_controller_disown(struct gb_controller *controller, uint16_t gpio,
			  const struct gb_request *request);

/* ---- requests ----------------------------------------------------------- */

/* The interrupt of a line fired. False: nobody wants it. */
bool gb_request_fired(struct gb_request *request, uint32_t index, uint64_t now_ns);
/* The line's controller goes away. */
void gb_request_orphan(struct gb_request *request, uint32_t index);
void gb_request_free(struct gb_request *request);

#endif
