/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.h - calls to one device: their queue, their tags and deadlines, and, without
 * tags, the place in the stream of replies. Used with the pump's lock held.
 */
#ifndef GB_CALLS_H
#define GB_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latency.h"
#include "link.h"
#include "resync.h"

struct gb_call;
struct gb_calls;
struct gb_controller;

enum gb_call_form {
	GB_CALL_AUTO,     /* 12 bytes with TAG, else 8 */
	GB_CALL_BASELINE, /* 8 bytes: GET_FEATURES, SET_FEATURES */
	GB_CALL_EXTENDED, /* 12 bytes */
};

#define GB_CALL_BODY_MAX 16

struct gb_outcome {
	int error; /* errno */
	uint32_t reason;
	uint8_t status;
	uint8_t value;
	uint8_t form; /* bytes of the reply's head: 3, 4 or 8 */
	const uint8_t *body;
	uint16_t length;
	uint64_t time_ns; /* when the reply came, 0: none came, or without a trace */
};

typedef void (*gb_call_fn)(struct gb_call *call, const struct gb_outcome *outcome);

/* One request to a controller, from submission to its outcome. */
struct gb_call {
	struct gb_timer deadline;
	struct gb_controller *controller; /* of its submitter */
	struct gb_calls *calls;
	struct gb_call *next; /* in the list, or in the pool */
	struct gb_call *waiting; /* answered, it completes with this one */
	gb_call_fn done;
	void *owner;
	uint64_t argument;
	uint64_t sent_ns; /* just before it was handed to the link */
	uint64_t flown_ns; /* when the link had it, 0: without a trace */
	uint32_t value;
	uint16_t type;
	uint16_t gpio;
	uint16_t tag; /* 0: none yet, or none at all */
	uint8_t form; /* GB_CALL_BASELINE or _EXTENDED */
	uint8_t reply_form; /* of a call that waits: bytes of the reply's head */
	bool in_flight;
	bool owed; /* queued however many there are, since its owner has few for each line */
	uint8_t body_length;
	uint8_t body[GB_CALL_BODY_MAX];
};

/* Calls that may wait for one controller, beside those that are owed, and be in flight. */
#define GB_QUEUE_MAX 1024u
#define GB_FLYING_MAX 64u

struct gb_call_list {
	struct gb_call *first, *last;
	uint32_t count;
};

/* How calls ended. */
struct gb_call_counters {
	uint64_t answered, refused, timeouts;
	struct gb_latency latency; /* of the answered ones */
};

/* The calls to one device: those that wait, those in flight. */
struct gb_calls {
	struct gb_pump *pump;
	struct gb_link_endpoint *endpoint;
	bool tagged;
	bool mute; /* the firmware is silent on types that it does not know */
	bool lost; /* the firmware forgot the session: only closing is left */
	struct gb_call_list queue;
	uint32_t owed; /* of them: they take nobody's place */
	struct gb_call_list flying; /* without tags one at most */
	uint16_t last_tag;
	uint64_t timeout_ns; /* of the latest call */
	struct gb_call *pool;
	struct gb_resync resync;
	struct gb_call_counters counters;
};

/* Start without calls, through `endpoint`, which is attached later. */
void gb_calls_init(struct gb_calls *calls, struct gb_pump *pump,
		   struct gb_link_endpoint *endpoint);
/* Whether no call is under way any more. */
void gb_calls_free(struct gb_calls *calls);
/* The firmware forgot the session, or the link is dead. */
bool gb_calls_over(const struct gb_calls *calls);
/* The session is lost: every call ends now with ENODEV. */
void gb_calls_abandon(struct gb_calls *calls);

/* As gb_call_new() and gb_call_discard(). */
struct gb_call *gb_calls_new(struct gb_calls *calls);
void gb_calls_discard(struct gb_calls *calls, struct gb_call *call);
/* Whether there is a place for a call: 0, -ENODEV or -EBUSY. */
int gb_calls_check(const struct gb_calls *calls, const struct gb_call *call);
/* A reply came to the call. */
void gb_call_answered(struct gb_call *call, bool refused);
/* Queue a call for which there is a place. Its `done` may be called at once, when the link dies
 * of it. */
void gb_calls_submit(struct gb_calls *calls, struct gb_call *call, uint64_t now_ns,
		     uint64_t timeout_ns);
/* Send what may be sent. */
void gb_calls_advance(struct gb_calls *calls);
/* The call in flight with this tag, or NULL. */
struct gb_call *gb_calls_with_tag(const struct gb_calls *calls, uint16_t tag);
/* Take the call out of those in flight. */
void gb_call_land(struct gb_call *call);
/* The call, which was answered OK by a head of so many bytes, completes with `first`. */
void gb_call_wait(struct gb_call *call, uint8_t reply_form, struct gb_call *first);
/* Tell the call's owner its outcome; the call is gone afterwards. */
void gb_call_complete(struct gb_call *call, const struct gb_outcome *outcome);
void gb_call_fail(struct gb_call *call, int error, uint32_t reason);

/* ---- without tags: the place in the stream of replies ---------------------- */

/* A call had no reply: other messages may come in the place of its reply. */
void gb_calls_lose_step(struct gb_calls *calls);
/* The next reply is that of the next call. */
void gb_calls_find_step(struct gb_calls *calls);
/* A reply came while probing. */
void gb_calls_probe_replied(struct gb_calls *calls, uint8_t status);

#endif
