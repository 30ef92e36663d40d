/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resync.h - without tags: finding the place in the stream of replies again
 * (docs/protocol.md, "Resynchronisation"). Used with the pump's lock held.
 */
#ifndef GB_RESYNC_H
#define GB_RESYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

enum gb_step {
	GB_IN_STEP,
	GB_PROBING, /* finding the place again */
	GB_WAITING, /* mute firmware: letting a late reply pass */
};

struct gb_resync {
	struct gb_pump *pump;
	struct gb_link_endpoint *endpoint;
	uint64_t timeout_ns; /* of the latest call */
	enum gb_step step;
	unsigned int word_errors; /* length of this round's word, less its OK */
	unsigned int probes_sent, replies_seen; /* in this round */
	unsigned int errors_seen; /* ERR in a row, the latest replies */
	bool ok_seen;             /* before them, in this round */
	bool probe_due; /* the next probe waits for a buffer, or for demand */
	struct gb_timer timer;
};

/* Start in step; `expired` calls gb_resync_expired(). */
void gb_resync_init(struct gb_resync *r, struct gb_pump *pump, struct gb_link_endpoint *endpoint,
		    void (*expired)(struct gb_timer *timer));
void gb_resync_end(struct gb_resync *r);
/* A call had no reply. Mute firmware is silent on types that it does not know: no probe. */
void gb_resync_lose(struct gb_resync *r, bool mute);
/* In step again, because of something else. */
void gb_resync_found(struct gb_resync *r);
/* A call waits, for so long at most: a probe that waited for demand has a deadline from now on. */
void gb_resync_demand(struct gb_resync *r, uint64_t timeout_ns);
/* Send the probe that is due, if one is; it stays due when there is no buffer. */
void gb_resync_advance(struct gb_resync *r);
/* A reply came while probing. Returns whether it is in step again. */
bool gb_resync_replied(struct gb_resync *r, uint8_t status);
/* The timer expired; `demand`: calls wait. Returns whether it is in step again. */
bool gb_resync_expired(struct gb_resync *r, bool demand);

#endif
