/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_TIME exchanges: when to ask for the coprocessor's clock, and times by it
 * (docs/timing.md). */
#include "stream.h"

#include <string.h>

/* A mapped time with a larger bound than this is worth less than the time of arrival. */
#define BOUND_MAX (1 * MS)
/* Exchanges follow one another after attaching or after a pause; then they come at most this
 * often, while edges come. */
#define SERIES 8u
#define SERIES_AFTER_PAUSE 3u
#define EXCHANGE_MAX_NS (100 * MS)
#define EXCHANGE_MIN_NS (2 * MS)
#define EXCHANGE_TIMEOUT_NS (1000 * MS)
/* So many doubts may come on one occasion; firmware with more of them is asked half as often the
 * next time, again and again, and at last once in some minutes. */
#define CONTRADICTIONS_MAX 8u
#define DOUBTS_MAX 11

static void ask(struct gb_controller *c);

static void doubt(struct gb_controller *c)
{
	c->sync.series = 0; /* the next edge asks again, some time */
	if (c->sync.doubts < DOUBTS_MAX)
		c->sync.doubts++;
}

/* An exchange that contradicts the rest is checked by a second one, but not without end. */
static void contradicted(struct gb_controller *c)
{
	struct gb_report *report;

	if (++c->sync.contradictions <= CONTRADICTIONS_MAX) {
		if (c->sync.series < 3)
			c->sync.series = 3;
		return;
	}
	doubt(c);
	if (c->sync.told)
		return;
	c->sync.told = true;
	report = gb_report_add(c->pump, GB_REPORT_NONSENSE, c->id);
	if (report)
		report->number = RPMSG_GPIO_MSG_GET_TIME;
}

static void time_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_controller *c = call->controller;
	struct rpmsg_gpio_time_body body;

	c->sync.asking = false;
	if (outcome->error || outcome->length != sizeof(body)) {
		doubt(c);
		return;
	}
	memcpy(&body, outcome->body, sizeof(body));
	if (!gb_clock_add(&c->sync.clock, call->sent_ns, rpmsg_gpio_load64(body.time), gb_now_ns()))
		contradicted(c);
	if (!c->sync.series)
		return;
	if (--c->sync.series)
		ask(c);
	else
		c->sync.doubts = 0; /* it went well */
}

static void ask(struct gb_controller *c)
{
	static const struct gb_call wanted = {
		.type = RPMSG_GPIO_MSG_GET_TIME, .form = GB_CALL_EXTENDED, .done = time_done,
	};
	uint64_t now = gb_now_ns();

	if (c->sync.asking || !has_time(c))
		return;
	c->sync.asking = true;
	c->sync.asked_ns = now;
	if (gb_call_start(c, &wanted, now, EXCHANGE_TIMEOUT_NS))
		c->sync.asking = false;
}

static void begin_series(struct gb_controller *c, uint32_t count)
{
	c->sync.series = count;
	c->sync.contradictions = 0;
}

void gb_clock_sync_begin(struct gb_controller *c)
{
	gb_clock_reset(&c->sync.clock);
	c->sync.since_ns = gb_now_ns();
	c->sync.doubts = 0;
	c->sync.told = false;
	begin_series(c, SERIES);
	ask(c);
}

void gb_clock_sync_freshen(struct gb_controller *c, uint64_t now_ns)
{
	uint64_t pause = now_ns - c->sync.asked_ns;
	uint64_t known = now_ns - c->sync.since_ns;
	uint64_t interval = known / 4;

	if (c->sync.asking || !has_time(c))
		return;
	if (interval < EXCHANGE_MIN_NS)
		interval = EXCHANGE_MIN_NS;
	if (interval > EXCHANGE_MAX_NS)
		interval = EXCHANGE_MAX_NS;
	if (pause < interval << c->sync.doubts)
		return;
	begin_series(c, pause > 10 * EXCHANGE_MAX_NS ? SERIES_AFTER_PAUSE : 1);
	ask(c);
}

uint64_t gb_clock_sync_time(struct gb_controller *c, struct gb_stream *s, uint64_t device_ns,
			    uint64_t now_ns, uint64_t *largest_ns)
{
	uint64_t host_ns, bound_ns;

	if (!gb_clock_map(&c->sync.clock, device_ns, &host_ns, &bound_ns) || bound_ns > BOUND_MAX) {
		host_ns = now_ns;
		bound_ns = UINT64_MAX;
	}
	/* No edge is later than its message, nor earlier than the edge before. */
	if (host_ns > now_ns)
		host_ns = now_ns;
	if (host_ns < s->time_ns) {
		host_ns = s->time_ns;
		if (bound_ns < s->bound_ns)
			bound_ns = s->bound_ns;
	}
	s->time_ns = host_ns;
	s->bound_ns = bound_ns;
	if (bound_ns == UINT64_MAX)
		c->sync.by_arrival++;
	else if (bound_ns > *largest_ns)
		*largest_ns = bound_ns;
	return host_ns;
}

void gb_controller_clock(struct gb_controller *c, struct gb_clock_state *state)
{
	struct gb_pump *pump = c->pump;
	uint64_t host_ns, now_ns;

	gb_lock(pump);
	now_ns = gb_now_ns();
	*state = (struct gb_clock_state){
		.samples = c->sync.clock.samples,
		.by_arrival = c->sync.by_arrival,
		.drift_ppb = (int32_t)(-c->sync.clock.rate * 1e9),
		.device_ns = c->sync.clock.base.device_ns,
		.host_ns = c->sync.clock.base.host_ns,
		.error_ns = c->sync.clock.base.error_ns,
	};
	for (uint32_t gpio = 0; gpio < c->interrupt_count; gpio++)
		if (c->interrupts[gpio] && c->interrupts[gpio]->bound_ns > state->edges_bound_ns)
			state->edges_bound_ns = c->interrupts[gpio]->bound_ns;
	/* The values for an edge that comes now. */
	state->known = gb_clock_map(&c->sync.clock, c->sync.clock.base.device_ns + now_ns -
						       c->sync.clock.base.host_ns,
				    &host_ns, &state->bound_ns);
	gb_unlock(pump);
}
