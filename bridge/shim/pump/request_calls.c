/* SPDX-License-Identifier: BSD-3-Clause */
/* A request's calls to the firmware, and its answers to the client. */
#include "request_internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- calls ---------------------------------------------------------------- */

void gb_request_unreference(struct gb_request *request)
{
	if (--request->references == 0)
		free(request);
}

void gb_request_drove(struct gb_request *request, uint64_t mask, uint64_t levels)
{
	request->driven_mask |= mask;
	request->driven = (request->driven & ~mask) | (levels & mask);
}

int gb_request_submit(struct gb_request *request, uint32_t index, uint16_t type, uint32_t value,
		      gb_call_fn done, uint64_t now_ns)
{
	const struct gb_line_plan *plan = &request->lines[index].plan;
	const struct gb_call wanted = {
		.type = type, .gpio = plan->gpio, .value = value,
		.done = done, .owner = request, .argument = index,
	};
	int error;

	request->references++;
	error = gb_call_start(plan->controller, &wanted, now_ns, request->timeout_ns);
	if (error)
		request->references--;
	return error;
}

uint32_t gb_submit_reason(int error)
{
	return error == -ENODEV ? GB_REASON_LINK : GB_REASON_QUEUE;
}

/* ---- answers -------------------------------------------------------------- */

void gb_operation_answer(struct gb_request *request, const struct gb_operation_reply *reply,
			 const void *body, size_t length)
{
	request->operation.busy = false;
	request->client->answer(request->client_owner, reply, body, length);
}

void gb_operation_finish(struct gb_request *request)
{
	struct gb_operation_state *op = &request->operation;
	struct gb_operation_reply reply = {
		.sequence = op->sequence,
		.error = op->error,
		.reason = op->reason,
		.line = op->line,
		.bits = op->bits,
	};

	request->operations++;
	request->failed += op->error != 0;
	if (op->started_ns)
		gb_latency_add(&request->latency,
			       (op->replied_ns ? op->replied_ns : gb_now_ns()) - op->started_ns);
	gb_operation_answer(request, &reply, NULL, 0);
}

void gb_operation_error(struct gb_operation_state *op, int error, uint32_t reason, uint32_t line)
{
	if (op->error)
		return;
	op->error = error;
	op->reason = reason;
	op->line = line;
}

void gb_request_hang_up(struct gb_request *request)
{
	if (request->hung_up)
		return;
	request->hung_up = true;
	request->client->hang_up(request->client_owner);
	gb_report_add(request->pump, GB_REPORT_HANGUP, request->id);
}
