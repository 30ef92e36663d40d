/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations of one client: read, started, answered. */
#define _GNU_SOURCE
#include "request_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void answer_caller(struct gb_request *request, const struct gb_operation_reply *reply)
{
	struct gb_caller *caller = request->caller;

	request->caller = NULL;
	*caller->reply = *reply;
	gb_wait_end(request->pump, &caller->waiter);
}

void gb_operation_abandon(struct gb_request *request)
{
	const struct gb_operation_reply gone = {
		.sequence = request->operation.sequence,
		.error = ENODEV,
		.reason = GB_REASON_RELEASED,
	};

	if (request->caller)
		answer_caller(request, &gone);
}

void gb_operation_reply_to_ring(void *client, const struct gb_operation_reply *reply,
				const void *body, size_t length)
{
	struct gb_request *request = client;
	struct gb_operation_state *op = &request->operation;
	struct iovec parts[2] = {{(void *)reply, sizeof(*reply)}, {(void *)body, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = length ? 2 : 1};

	if (op->paused && !request->hung_up)
		gb_source_modify(request->pump, request->operation_source, EPOLLIN);
	op->paused = false;
	if (request->caller) {
		answer_caller(request, reply);
		return;
	}
	/* A client has one operation at a time: a full socket means that it
	 * does not read its replies. */
	if (sendmsg(request->operation_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		gb_request_hang_up(request);
}

static void report_operation(struct gb_request *request, const struct gb_operation *operation,
			     const uint8_t *body, size_t length)
{
	struct gb_report *report =
		gb_report_add(request->pump, GB_REPORT_OPERATION, request->id);

	if (!report) {
		gb_operation_error(&request->operation, ENOMEM, GB_REASON_QUEUE, 0);
		gb_operation_finish(request);
		return;
	}
	report->number = operation->code;
	report->sequence = operation->sequence;
	report->length = (uint16_t)length;
	memcpy(report->body, body, length);
}

void gb_operation_start(struct gb_request *request, const struct gb_operation *operation,
			const uint8_t *body, size_t length)
{
	struct gb_operation_state *op = &request->operation;
	uint64_t all = UINT64_MAX >> (64 - request->count);
	bool paused = op->paused;

	memset(op, 0, sizeof(*op));
	op->busy = true;
	op->paused = paused;
	op->sequence = operation->sequence;
	if (operation->code == GB_OPERATION_GET || operation->code == GB_OPERATION_SET) {
		if (gb_values_refuse(request, operation, operation->mask & all))
			gb_operation_finish(request);
		else
			gb_values_start(request, operation, operation->mask & all);
	} else if (operation->code >= GB_OPERATION_RELEASE) {
		report_operation(request, operation, body, length);
	} else {
		gb_operation_error(op, EINVAL, GB_REASON_OPERATION, 0);
		gb_operation_finish(request);
	}
}

static void read_operation(struct gb_request *request)
{
	struct {
		struct gb_operation operation;
		uint8_t body[GB_OPERATION_BODY_MAX];
	} packet;
	ssize_t got = recv(request->operation_fd, &packet, sizeof(packet),
			   MSG_DONTWAIT | MSG_TRUNC);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		gb_request_hang_up(request);
		return;
	}
	if (got < 0)
		return;
	if ((size_t)got < sizeof(packet.operation) || (size_t)got > sizeof(packet)) {
		struct gb_operation_reply reply = {.error = EINVAL, .reason = GB_REASON_OPERATION};

		if ((size_t)got > sizeof(packet))
			reply.sequence = packet.operation.sequence;
		gb_operation_reply_to_ring(request, &reply, NULL, 0);
		return;
	}
	gb_operation_start(request, &packet.operation, packet.body,
			   (size_t)got - sizeof(packet.operation));
}

void gb_operation_ready(void *owner, int index, uint32_t events)
{
	struct gb_request *request = owner;

	(void)index;
	if (events & (EPOLLHUP | EPOLLERR)) {
		gb_request_hang_up(request);
	} else if (request->operation.busy) {
		request->operation.paused = true;
		gb_source_modify(request->pump, request->operation_source, 0);
	} else {
		read_operation(request);
	}
}

int gb_request_answer(struct gb_request *request, uint32_t sequence, int32_t error,
		      uint32_t reason, const void *body, size_t length)
{
	struct gb_operation_reply reply = {.sequence = sequence, .error = error, .reason = reason};
	struct gb_pump *pump = request->pump;
	int result = 0;

	gb_lock(pump);
	if (request->hung_up || !request->operation.busy ||
	    request->operation.sequence != sequence) {
		result = -ESTALE;
	} else {
		gb_operation_answer(request, &reply, body, length);
	}
	gb_unlock(pump);
	return result;
}
