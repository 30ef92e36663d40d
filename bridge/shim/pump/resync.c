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

void gb_step_wait(struct gb_controller *c)
{
	gb_timer_arm(c->pump, &c->step_timer, gb_now_ns() + c->timeout_ns);
}

void gb_step_found(struct gb_controller *c)
{
	c->step = GB_IN_STEP;
	gb_timer_cancel(c->pump, &c->step_timer);
	gb_controller_advance(c);
}

void gb_step_probe(struct gb_controller *c)
{
	bool first = c->probes_sent == 0;
	struct virtio_gpio_request probe = {
		.type = rpmsg_gpio_store16(first ? VIRTIO_GPIO_MSG_GET_DIRECTION : UNKNOWN_TYPE),
	};
	int error = gb_link_transmit(&c->endpoint, &probe, sizeof(probe));

	c->probe_due = error == -EAGAIN;
	if (error)
		return;
	c->probes_sent++;
	/* One that waited for demand may leave for another reason. */
	if (!c->step_timer.armed)
		gb_step_wait(c);
}

static void new_round(struct gb_controller *c)
{
	/* Probes of a round that had replies may still be answered: a longer
	 * word cannot be made of their remains. */
	if (c->replies_seen && c->word_errors < WORD_ERRORS_MAX)
		c->word_errors++;
	c->probes_sent = 0;
	c->replies_seen = 0;
	c->errors_seen = 0;
	c->ok_seen = false;
}

static void start_round(struct gb_controller *c)
{
	c->step = GB_PROBING;
	new_round(c);
	gb_step_wait(c);
	gb_step_probe(c);
}

void gb_step_lose(struct gb_controller *c)
{
	if (c->mute) {
		c->step = GB_WAITING;
		/* Half: what is asked meanwhile must have time for its answer. */
		gb_timer_arm(c->pump, &c->step_timer, gb_now_ns() + c->timeout_ns / 2);
	} else {
		c->word_errors = WORD_ERRORS;
		c->replies_seen = 0;
		start_round(c);
	}
}

void gb_step_replied(struct gb_controller *c, uint8_t status)
{
	bool ok = status == VIRTIO_GPIO_STATUS_OK;

	c->replies_seen++;
	c->errors_seen = ok ? 0 : c->errors_seen + 1;
	c->ok_seen |= ok;
	if (c->ok_seen && c->probes_sent > c->word_errors && c->errors_seen == c->word_errors) {
		gb_step_found(c);
		return;
	}
	gb_step_wait(c);
	if (c->probes_sent <= c->word_errors)
		gb_step_probe(c);
}

static struct gb_controller *of_step_timer(struct gb_timer *timer)
{
	return (struct gb_controller *)(void *)((char *)timer -
						offsetof(struct gb_controller, step_timer));
}

void gb_step_expired(struct gb_timer *timer)
{
	struct gb_controller *c = of_step_timer(timer);

	if (c->step == GB_WAITING || c->replies_seen > c->word_errors) {
		/* Silence for a whole deadline: no late reply is under way. */
		gb_step_found(c);
	} else if (c->queue.first) {
		start_round(c);
	} else {
		/* Deaf, and nobody asks: the next call starts a new round. */
		new_round(c);
		c->probe_due = true;
	}
}
