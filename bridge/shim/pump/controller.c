/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio-gpio device: its life, and calls of Python to it (docs/protocol.md). */
#include "controller_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- life --------------------------------------------------------------- */

static void end(struct gb_controller *c)
{
	c->calls.lost = true; /* no new calls from the callbacks */
	gb_controller_abandon(c);
	gb_link_detach(&c->endpoint);
	gb_interrupts_free(c);
	gb_stream_free(c);
	gb_calls_free(&c->calls);
	free(c);
}

static struct gb_controller *of_endpoint(struct gb_link_endpoint *endpoint)
{
	return (struct gb_controller *)(void *)((char *)endpoint -
						offsetof(struct gb_controller, endpoint));
}

static void controller_received(struct gb_link_endpoint *endpoint, const uint8_t *message,
				uint16_t length)
{
	gb_controller_received(of_endpoint(endpoint), message, length);
}

static void controller_writable(struct gb_link_endpoint *endpoint)
{
	if (!endpoint->link->blocked)
		gb_calls_advance(&of_endpoint(endpoint)->calls);
}

static void controller_abandon(struct gb_link_endpoint *endpoint)
{
	gb_controller_abandon(of_endpoint(endpoint));
}

static void controller_free(struct gb_link_endpoint *endpoint)
{
	end(of_endpoint(endpoint));
}

static const struct gb_link_endpoint_ops endpoint_ops = {
	.received = controller_received,
	.writable = controller_writable,
	.abandon = controller_abandon,
	.free = controller_free,
};

struct gb_controller *gb_controller_open(struct gb_link *link, uint64_t id,
					 uint32_t source, uint32_t address)
{
	struct gb_controller *c = calloc(1, sizeof(*c));
	int error;

	if (!c)
		return NULL;
	c->id = id;
	c->pump = link->pump;
	c->endpoint.ops = &endpoint_ops;
	c->endpoint.source = source;
	c->endpoint.address = address;
	gb_calls_init(&c->calls, c->pump, &c->endpoint);
	gb_stream_init(c);
	gb_lock(link->pump);
	error = gb_link_attach(link, &c->endpoint);
	gb_unlock(link->pump);
	if (!error)
		return c;
	free(c);
	errno = error;
	return NULL;
}

void gb_controller_close(struct gb_controller *c)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	end(c);
	gb_unlock(pump);
}

void gb_controller_accept(struct gb_controller *c, uint32_t features, uint32_t epoch)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	c->features = features;
	c->endpoint.features = features;
	c->epoch = (uint16_t)epoch;
	c->calls.tagged = features & RPMSG_GPIO_F_TAG;
	if (c->calls.tagged && c->calls.resync.step != GB_IN_STEP)
		gb_calls_find_step(&c->calls);
	gb_stream_accepted(c);
	gb_unlock(pump);
}

void gb_controller_count(struct gb_controller *c, struct gb_controller_counters *counters)
{
	gb_lock(c->pump);
	counters->answered = c->calls.counters.answered;
	counters->refused = c->calls.counters.refused;
	counters->timeouts = c->calls.counters.timeouts;
	counters->p50_ns = gb_latency_of(&c->calls.counters.latency, 500);
	counters->p99_ns = gb_latency_of(&c->calls.counters.latency, 990);
	gb_unlock(c->pump);
}

size_t gb_controller_count_lines(struct gb_controller *c, struct gb_line_counters *counters,
				 size_t count)
{
	gb_lock(c->pump);
	if (count > c->interrupt_count)
		count = c->interrupt_count;
	if (count)
		memcpy(counters, c->edges, count * sizeof(*counters));
	gb_unlock(c->pump);
	return count;
}

uint32_t gb_controller_features(const struct gb_controller *c)
{
	return c->features;
}

void gb_controller_mute(struct gb_controller *c, bool mute)
{
	struct gb_pump *pump = c->pump;

	gb_lock(pump);
	c->calls.mute = mute;
	/* Probes of an unknown type would never be answered. */
	if (mute && c->calls.resync.step == GB_PROBING)
		gb_calls_lose_step(&c->calls);
	gb_unlock(pump);
}

/* ---- calls of the control plane ------------------------------------------- */

static void report_reply(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_pump *pump = call->controller->pump;
	struct gb_report *report = gb_report_add(pump, GB_REPORT_REPLY, call->argument);

	if (!report)
		return;
	report->error = outcome->error;
	report->reason = outcome->reason;
	report->status = outcome->status;
	report->value = outcome->value;
	report->number = outcome->form;
	report->length = outcome->length;
	if (outcome->length)
		memcpy(report->body, outcome->body, outcome->length);
}

static int submit_reported(struct gb_controller *c, const struct gb_call *wanted,
			   uint32_t timeout_ms)
{
	struct gb_pump *pump = c->pump;
	int error;

	gb_lock(pump);
	error = gb_call_start(c, wanted, gb_now_ns(), (uint64_t)timeout_ms * 1000000);
	gb_unlock(pump);
	return error;
}

int gb_controller_call(struct gb_controller *c, uint16_t type, uint16_t gpio,
		       uint32_t value, int form, uint32_t timeout_ms, uint64_t cookie)
{
	struct gb_call call = {
		.type = type, .gpio = gpio, .value = value,
		.form = (uint8_t)form, .done = report_reply, .argument = cookie,
	};

	return submit_reported(c, &call, timeout_ms);
}

int gb_controller_call_body(struct gb_controller *c, uint16_t type, uint16_t gpio, uint32_t value,
			    const void *body, size_t length, uint32_t timeout_ms, uint64_t cookie)
{
	struct gb_call call = {
		.type = type, .gpio = gpio, .value = value,
		.form = GB_CALL_EXTENDED, .done = report_reply, .argument = cookie,
	};

	if (length > sizeof(call.body))
		return -EMSGSIZE;
	if (length)
		memcpy(call.body, body, length);
	call.body_length = (uint8_t)length;
	return submit_reported(c, &call, timeout_ms);
}
