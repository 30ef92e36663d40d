/* SPDX-License-Identifier: BSD-3-Clause */
/* Getting into step again without tags (docs/protocol.md, "Resynchronisation"). */
#include "resync.h"

#include <errno.h>

#include "rpmsg_gpio.h"

/* No firmware knows this type: its status is certainly ERR. */
#define UNKNOWN_TYPE 0x7fff
/* The resynchronisation word is OK and this many ERR; one more in each round
 * after one that was given up in the middle. */
#define WORD_ERRORS 2u
#define WORD_ERRORS_MAX 16u

/* From now on a deadline may pass without a reply. */
static void wait(struct gb_resync *r)
{
	gb_timer_arm(r->pump, &r->timer, gb_now_ns() + r->timeout_ns);
}

void gb_resync_found(struct gb_resync *r)
{
	r->step = GB_IN_STEP;
	gb_timer_cancel(r->pump, &r->timer);
}

static void probe(struct gb_resync *r)
{
	bool first = r->probes_sent == 0;
	struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(first ? VIRTIO_GPIO_MSG_GET_DIRECTION : UNKNOWN_TYPE),
	};
	int error = gb_link_transmit(r->endpoint, &request, sizeof(request), 0);

	r->probe_due = error == -EAGAIN;
	if (error)
		return;
	r->probes_sent++;
	/* A probe that waited for demand may leave for another reason. */
	if (!r->timer.armed)
		wait(r);
}

void gb_resync_advance(struct gb_resync *r)
{
	if (r->step == GB_PROBING && r->probe_due)
		probe(r);
}

void gb_resync_demand(struct gb_resync *r, uint64_t timeout_ns)
{
	r->timeout_ns = timeout_ns;
	if (r->step == GB_PROBING && r->probe_due && !r->timer.armed)
		wait(r);
}

static void new_round(struct gb_resync *r)
{
	/* Probes of a round that had replies may still be answered: their remains cannot make a
	 * longer word. */
	if (r->replies_seen && r->word_errors < WORD_ERRORS_MAX)
		r->word_errors++;
	r->probes_sent = 0;
	r->replies_seen = 0;
	r->errors_seen = 0;
	r->ok_seen = false;
}

static void start_round(struct gb_resync *r)
{
	r->step = GB_PROBING;
	new_round(r);
	wait(r);
	probe(r);
}

void gb_resync_lose(struct gb_resync *r, bool mute)
{
	if (mute) {
		r->step = GB_WAITING;
		/* Half of the time: what is asked meanwhile must have time for its answer. */
		gb_timer_arm(r->pump, &r->timer, gb_now_ns() + r->timeout_ns / 2);
	} else {
		r->word_errors = WORD_ERRORS;
		r->replies_seen = 0;
		start_round(r);
	}
}

bool gb_resync_replied(struct gb_resync *r, uint8_t status)
{
	bool ok = status == VIRTIO_GPIO_STATUS_OK;

	r->replies_seen++;
	r->errors_seen = ok ? 0 : r->errors_seen + 1;
	r->ok_seen |= ok;
	if (r->ok_seen && r->probes_sent > r->word_errors && r->errors_seen == r->word_errors) {
		gb_resync_found(r);
		return true;
	}
	wait(r);
	if (r->probes_sent <= r->word_errors)
		probe(r);
	return false;
}

bool gb_resync_expired(struct gb_resync *r, bool demand)
{
	if (r->step == GB_WAITING || r->replies_seen > r->word_errors) {
		/* There was silence for a whole deadline: no late reply is under way. */
		gb_resync_found(r);
		return true;
	}
	if (demand) {
		start_round(r);
	} else {
		/* The firmware does not answer and nobody asks: the next call starts a new
		 * round. */
		new_round(r);
		r->probe_due = true;
	}
	return false;
}

void gb_resync_init(struct gb_resync *r, struct gb_pump *pump, struct gb_link_endpoint *endpoint,
		    void (*expired)(struct gb_timer *timer))
{
	r->pump = pump;
	r->endpoint = endpoint;
	r->timer.expired = expired;
}

void gb_resync_end(struct gb_resync *r)
{
	gb_timer_cancel(r->pump, &r->timer);
}
