/* SPDX-License-Identifier: BSD-3-Clause */
/* Getting into step again without tags (docs/protocol.md, "Resynchronisation"). */
#include "controller_internal.h"

#include <errno.h>

/* A type that no firmware knows: its status is ERR for sure. */
#define UNKNOWN_TYPE 0x7fff
/* The resynchronisation word is OK and this many ERR; one more in each round
 * after one that was given up in the middle. */
#define WORD_ERRORS 2u
#define WORD_ERRORS_MAX 16u

void gb_resync_wait(struct gb_controller *c)
{
	gb_timer_arm(c->pump, &c->resync.timer, gb_now_ns() + c->calls.timeout_ns);
}

void gb_resync_found(struct gb_controller *c)
{
	c->resync.step = GB_IN_STEP;
	gb_timer_cancel(c->pump, &c->resync.timer);
	gb_controller_advance(c);
}

void gb_resync_probe(struct gb_controller *c)
{
	struct gb_resync *r = &c->resync;
	bool first = r->probes_sent == 0;
	struct virtio_gpio_request probe = {
		.type = rpmsg_gpio_store16(first ? VIRTIO_GPIO_MSG_GET_DIRECTION : UNKNOWN_TYPE),
	};
	int error = gb_link_transmit(&c->endpoint, &probe, sizeof(probe));

	r->probe_due = error == -EAGAIN;
	if (error)
		return;
	r->probes_sent++;
	/* One that waited for demand may leave for another reason. */
	if (!r->timer.armed)
		gb_resync_wait(c);
}

static void new_round(struct gb_controller *c)
{
	struct gb_resync *r = &c->resync;

	/* Probes of a round that had replies may still be answered: a longer
	 * word cannot be made of their remains. */
	if (r->replies_seen && r->word_errors < WORD_ERRORS_MAX)
		r->word_errors++;
	r->probes_sent = 0;
	r->replies_seen = 0;
	r->errors_seen = 0;
	r->ok_seen = false;
}

static void start_round(struct gb_controller *c)
{
	c->resync.step = GB_PROBING;
	new_round(c);
	gb_resync_wait(c);
	gb_resync_probe(c);
}

void gb_resync_lose(struct gb_controller *c)
{
	struct gb_resync *r = &c->resync;

	if (c->mute) {
		r->step = GB_WAITING;
		/* Half: what is asked meanwhile must have time for its answer. */
		gb_timer_arm(c->pump, &r->timer, gb_now_ns() + c->calls.timeout_ns / 2);
	} else {
		r->word_errors = WORD_ERRORS;
		r->replies_seen = 0;
		start_round(c);
	}
}

void gb_resync_replied(struct gb_controller *c, uint8_t status)
{
	struct gb_resync *r = &c->resync;
	bool ok = status == VIRTIO_GPIO_STATUS_OK;

	r->replies_seen++;
	r->errors_seen = ok ? 0 : r->errors_seen + 1;
	r->ok_seen |= ok;
	if (r->ok_seen && r->probes_sent > r->word_errors && r->errors_seen == r->word_errors) {
		gb_resync_found(c);
		return;
	}
	gb_resync_wait(c);
	if (r->probes_sent <= r->word_errors)
		gb_resync_probe(c);
}

static struct gb_controller *of_timer(struct gb_timer *timer)
{
	return (struct gb_controller *)(void *)((char *)timer -
						offsetof(struct gb_controller, resync.timer));
}

void gb_resync_expired(struct gb_timer *timer)
{
	struct gb_controller *c = of_timer(timer);
	struct gb_resync *r = &c->resync;

	if (r->step == GB_WAITING || r->replies_seen > r->word_errors) {
		/* Silence for a whole deadline: no late reply is under way. */
		gb_resync_found(c);
	} else if (c->calls.queue.first) {
		start_round(c);
	} else {
		/* Deaf, and nobody asks: the next call starts a new round. */
		new_round(c);
		r->probe_due = true;
	}
}
