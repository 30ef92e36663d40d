/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has the interrupts of a line, and arming them. */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So many calls that arm one line may be under way: one, and one for an edge that overtook the
 * reply to it. More events than that are not the firmware's. */
#define ASKED_MAX 2
/* A refused arming is repeated so many times in a row: the message may have been damaged. */
#define REFUSALS_MAX 3

/* ---- arming ----------------------------------------------------------------- */

static void expired(struct gb_timer *timer)
{
	gb_interrupt_arm((struct gb_interrupt *)(void *)((char *)timer -
							 offsetof(struct gb_interrupt, again)));
}

/* A line that stays masked is silent for ever; the same type again does no harm. */
static void failed(struct gb_interrupt *interrupt, int error, uint32_t reason)
{
	bool again = error != ENODEV && !interrupt->asked &&
		     (reason != GB_REASON_STATUS || interrupt->refusals++ < REFUSALS_MAX);

	interrupt->ops->fault(interrupt, error, reason, again || interrupt->asked);
	if (again && error == ETIMEDOUT)
		gb_interrupt_arm(interrupt);
	else if (again)
		gb_timer_arm(interrupt->controller->pump, &interrupt->again,
			     gb_now_ns() + interrupt->timeout_ns);
}

static void answered(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_interrupt *interrupt = interrupt_at(call->controller, call->gpio);

	if (!interrupt || interrupt->life != (uint32_t)call->argument)
		return;
	interrupt->asked--;
	if (outcome->error && interrupt->wanted) {
		failed(interrupt, outcome->error, outcome->reason);
	} else if (!outcome->error) {
		interrupt->refusals = 0;
		interrupt->ops->armed(interrupt);
	}
}

/* The call joins the queue however long that is: a line that is not armed is silent. */
static int ask(struct gb_interrupt *interrupt)
{
	const struct gb_call wanted = {
		.type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE, .gpio = interrupt->gpio,
		.value = interrupt->type, .owed = true,
		.done = answered, .argument = interrupt->life,
	};

	return gb_call_start(interrupt->controller, &wanted, gb_now_ns(), interrupt->timeout_ns);
}

int gb_interrupt_arm(struct gb_interrupt *interrupt)
{
	int error;

	if (!interrupt->controller)
		return -ENODEV;
	gb_timer_cancel(interrupt->controller->pump, &interrupt->again);
	interrupt->wanted = interrupt->type;
	if (!interrupt->type || interrupt->asked >= ASKED_MAX)
		return 0; /* nobody wants it any more, or an answer on its way arms it */
	interrupt->asked++; /* counted first, since the answer may come at once */
	error = ask(interrupt);
	if (!error)
		return 0;
	interrupt->asked--;
	if (error != -ENODEV)
		failed(interrupt, -error, GB_REASON_QUEUE);
	return error == -ENODEV ? error : 0;
}

void gb_interrupt_forget(struct gb_interrupt *interrupt)
{
	struct gb_controller *c = interrupt->controller;

	if (!c)
		return;
	gb_timer_cancel(c->pump, &interrupt->again);
	interrupt->life = ++c->lives;
	interrupt->asked = interrupt->refusals = 0;
	interrupt->wanted = false;
}

/* ---- edges --------------------------------------------------------------------- */

bool gb_interrupt_take(struct gb_interrupt *interrupt, const struct gb_edge *edge)
{
	struct gb_line_counters *counters = &interrupt->controller->edges[interrupt->gpio];

	counters->edges++;
	counters->lost += edge->lost;
	if (edge->masked)
		interrupt->wanted = false;
	return interrupt->ops->edge(interrupt, edge);
}

bool gb_interrupt_fired(struct gb_controller *c, uint16_t gpio)
{
	struct gb_interrupt *interrupt = interrupt_at(c, gpio);
	struct gb_edge edge = {.time_ns = gb_now_ns(), .masked = true};

	return interrupt && interrupt->type && interrupt->asked < ASKED_MAX &&
	       gb_interrupt_take(interrupt, &edge);
}

/* ---- who has a line ------------------------------------------------------------ */

static int make_place(struct gb_controller *c, uint16_t gpio)
{
	uint32_t count = (gpio | 31u) + 1;
	struct gb_interrupt **interrupts;
	struct gb_line_counters *edges;

	if (gpio < c->interrupt_count)
		return 0;
	interrupts = realloc(c->interrupts, count * sizeof(struct gb_interrupt *));
	if (!interrupts)
		return -ENOMEM;
	memset(interrupts + c->interrupt_count, 0,
	       (count - c->interrupt_count) * sizeof(struct gb_interrupt *));
	c->interrupts = interrupts;
	edges = realloc(c->edges, count * sizeof(*edges));
	if (!edges)
		return -ENOMEM;
	memset(edges + c->interrupt_count, 0, (count - c->interrupt_count) * sizeof(*edges));
	c->edges = edges;
	c->interrupt_count = count;
	return 0;
}

int gb_interrupt_own(struct gb_interrupt *interrupt, struct gb_controller *c, uint16_t gpio)
{
	int error = make_place(c, gpio);

	if (error)
		return error;
	if (c->interrupts[gpio])
		return -EBUSY;
	c->interrupts[gpio] = interrupt;
	interrupt->controller = c;
	interrupt->gpio = gpio;
	interrupt->bound_ns = 0;
	interrupt->again.expired = expired;
	gb_interrupt_forget(interrupt);
	gb_stream_owned(c, gpio);
	return 0;
}

void gb_interrupt_disown(struct gb_interrupt *interrupt)
{
	struct gb_controller *c = interrupt->controller;

	if (!c)
		return;
	gb_interrupt_forget(interrupt);
	c->interrupts[interrupt->gpio] = NULL;
	interrupt->controller = NULL;
}

void gb_interrupts_free(struct gb_controller *c)
{
	for (uint32_t gpio = 0; gpio < c->interrupt_count; gpio++) {
		struct gb_interrupt *interrupt = c->interrupts[gpio];

		if (!interrupt)
			continue;
		gb_interrupt_disown(interrupt);
		interrupt->ops->orphan(interrupt);
	}
	free(c->interrupts);
	free(c->edges);
}
