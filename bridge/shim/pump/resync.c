/* SPDX-License-Identifier: BSD-3-Clause */
/* Getting into step again without tags (docs/protocol.md, "Resynchronisation"). */
#include "calls.h"

#include <errno.h>

#include "rpmsg_gpio.h"

/* No firmware knows this type: its status is certainly ERR. */
#define UNKNOWN_TYPE 0x7fff
/* The resynchronisation word is OK and this many ERR; one more in each round
 * after one that was given up in the middle. */
#define WORD_ERRORS 2u
#define WORD_ERRORS_MAX 16u

void gb_resync_wait(struct gb_calls *calls)
{
	gb_timer_arm(calls->pump, &calls->resync.timer, gb_now_ns() + calls->timeout_ns);
}

void gb_resync_found(struct gb_calls *calls)
{
	calls->resync.step = GB_IN_STEP;
	gb_timer_cancel(calls->pump, &calls->resync.timer);
	gb_calls_advance(calls);
}

void gb_resync_probe(struct gb_calls *calls)
{
	struct gb_resync *r = &calls->resync;
	bool first = r->probes_sent == 0;
	struct virtio_gpio_request probe = {
		.type = rpmsg_gpio_store16(first ? VIRTIO_GPIO_MSG_GET_DIRECTION : UNKNOWN_TYPE),
	};
	int error = gb_link_transmit(calls->endpoint, &probe, sizeof(probe));

	r->probe_due = error == -EAGAIN;
	if (error)
		return;
	r->probes_sent++;
	/* A probe that waited for demand may leave for another reason. */
	if (!r->timer.armed)
		gb_resync_wait(calls);
}

static void new_round(struct gb_calls *calls)
{
	struct gb_resync *r = &calls->resync;

	/* Probes of a round that had replies may still be answered: their remains cannot make a
	 * longer word. */
	if (r->replies_seen && r->word_errors < WORD_ERRORS_MAX)
		r->word_errors++;
	r->probes_sent = 0;
	r->replies_seen = 0;
	r->errors_seen = 0;
	r->ok_seen = false;
}

static void start_round(struct gb_calls *calls)
{
	calls->resync.step = GB_PROBING;
	new_round(calls);
	gb_resync_wait(calls);
	gb_resync_probe(calls);
}

void gb_resync_lose(struct gb_calls *calls)
{
	struct gb_resync *r = &calls->resync;

	if (calls->mute) {
		r->step = GB_WAITING;
		/* Half of the time: what is asked meanwhile must have time for its answer. */
		gb_timer_arm(calls->pump, &r->timer, gb_now_ns() + calls->timeout_ns / 2);
	} else {
		r->word_errors = WORD_ERRORS;
		r->replies_seen = 0;
		start_round(calls);
	}
}

void gb_resync_replied(struct gb_calls *calls, uint8_t status)
{
	struct gb_resync *r = &calls->resync;
	bool ok = status == VIRTIO_GPIO_STATUS_OK;

	r->replies_seen++;
	r->errors_seen = ok ? 0 : r->errors_seen + 1;
	r->ok_seen |= ok;
	if (r->ok_seen && r->probes_sent > r->word_errors && r->errors_seen == r->word_errors) {
		gb_resync_found(calls);
		return;
	}
	gb_resync_wait(calls);
	if (r->probes_sent <= r->word_errors)
		gb_resync_probe(calls);
}

static void expired(struct gb_timer *timer)
{
	struct gb_calls *calls = (struct gb_calls *)(void *)(
		(char *)timer - offsetof(struct gb_calls, resync.timer));
	struct gb_resync *r = &calls->resync;

	if (r->step == GB_WAITING || r->replies_seen > r->word_errors) {
		/* There was silence for a whole deadline: no late reply is under way. */
		gb_resync_found(calls);
	} else if (calls->queue.first) {
		start_round(calls);
	} else {
		/* The firmware does not answer and nobody asks: the next call starts a new
		 * round. */
		new_round(calls);
		r->probe_due = true;
	}
}

void gb_resync_init(struct gb_calls *calls)
{
	calls->resync.timer.expired = expired;
}
