/* SPDX-License-Identifier: BSD-3-Clause */
/* Line requests: operations of one client, and its edges. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "debounce.h"
#include "event_ring.h"
#include "operation.h"

/* Re-arms of one line that may be under way: one, and one for an edge that
 * overtook the reply to it. More events than that are not the firmware's. */
#define REARMS_MAX 2

/* Drives that are emulated: it is the direction that sets the level. */
#define EMULATED_DRIVES (GB_LINE_OPEN_DRAIN | GB_LINE_OPEN_SOURCE)

struct line {
	struct gb_line_plan plan;
	uint32_t line_seqno;
	uint8_t rearms;
	bool faulted;
	uint64_t fired_ns; /* of the edge whose level is being read */
	struct gb_request *request;
	struct gb_debounce debounce;
};

/* The operation in hand; the next one stays in the socket until it is done. */
struct operation_state {
	bool busy;
	bool paused; /* not watching the descriptor: the next one is waiting */
	uint32_t sequence;
	uint32_t waiting; /* calls without an outcome */
	uint64_t bits;
	uint64_t levels; /* to set, not inverted for active-low */
	int error;
	uint32_t reason;
	uint32_t line;
};

struct gb_request {
	struct gb_pump *pump;
	struct gb_request *next;
	uint64_t id;
	uint64_t timeout_ns;
	uint32_t count;
	uint32_t references; /* calls that will come back, and the owner */
	bool closed;
	bool hung_up;
	uint32_t seqno;
	uint64_t driven_mask, driven; /* the levels last driven, and of which lines */
	int operation_fd, event_fd;
	struct gb_source *operation_source, *event_source;
	struct gb_event_ring *ring;
	struct operation_state operation;
	struct line lines[];
};

static void unreference(struct gb_request *request)
{
	if (--request->references == 0)
		free(request);
}

/* ---- operations --------------------------------------------------------- */

static void hang_up(struct gb_request *request);

static void send_reply(struct gb_request *request, const struct gb_operation_reply *reply,
		       const void *body, size_t length)
{
	struct iovec parts[2] = {{(void *)reply, sizeof(*reply)}, {(void *)body, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = length ? 2 : 1};

	/* A client has one operation at a time: a full socket means that it
	 * does not read its replies. */
	if (sendmsg(request->operation_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		hang_up(request);
}

static void note_driven(struct gb_request *request, uint64_t mask, uint64_t levels)
{
	request->driven_mask |= mask;
	request->driven = (request->driven & ~mask) | (levels & mask);
}

static void finish_operation(struct gb_request *request)
{
	struct operation_state *op = &request->operation;
	struct gb_operation_reply reply = {
		.sequence = op->sequence,
		.error = op->error,
		.reason = op->reason,
		.line = op->line,
		.bits = op->bits,
	};

	op->busy = false;
	if (op->paused) {
		op->paused = false;
		gb_source_modify(request->pump, request->operation_source, EPOLLIN);
	}
	send_reply(request, &reply, NULL, 0);
}

static void note_error(struct operation_state *op, int error, uint32_t reason, uint32_t line)
{
	if (op->error)
		return;
	op->error = error;
	op->reason = reason;
	op->line = line;
}

static void line_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	struct operation_state *op = &request->operation;
	uint32_t index = (uint32_t)call->argument;
	uint32_t flags = request->lines[index].plan.flags;

	op->waiting--;
	if (!request->closed) {
		if (outcome->error)
			note_error(op, outcome->error, outcome->reason, index);
		else if (call->type == VIRTIO_GPIO_MSG_GET_VALUE)
			op->bits |= (uint64_t)(outcome->value != !!(flags & GB_LINE_ACTIVE_LOW))
				    << index;
		else if (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION || !(flags & EMULATED_DRIVES))
			note_driven(request, UINT64_C(1) << index, op->levels);
		if (op->waiting == 0)
			finish_operation(request);
	}
	unreference(request);
}

static int submit(struct gb_request *request, uint32_t index, uint16_t type, uint32_t value,
		  gb_call_fn done, uint64_t now_ns)
{
	struct line *line = &request->lines[index];
	struct gb_call *call;
	int error;

	if (!line->plan.controller)
		return -ENODEV;
	call = gb_call_new(request->pump);
	if (!call)
		return -ENOMEM;
	call->type = type;
	call->gpio = line->plan.gpio;
	call->value = value;
	call->argument = index;
	call->owner = request;
	call->done = done;
	request->references++;
	error = gb_call_submit(line->plan.controller, call, now_ns, request->timeout_ns);
	if (error) {
		gb_call_discard(request->pump, call);
		request->references--;
	}
	return error;
}

/* ---- many lines in one message ------------------------------------------- */

/* Bit of a line in the window of 64 that starts at gpio `first`. */
static bool in_window(const struct line *line, const struct gb_controller *controller,
		      uint16_t first)
{
	return line->plan.controller == controller && line->plan.gpio >= first &&
	       line->plan.gpio - first < RPMSG_GPIO_BULK_LINES;
}

/* What came back has the right length and, where there is a check, is whole. */
static bool is_whole(const struct gb_outcome *outcome, size_t length)
{
	return outcome->length == length &&
	       (!length || !outcome->value ||
		outcome->value == rpmsg_gpio_check8(outcome->body, length));
}

static void take_bits(struct gb_request *request, const struct gb_call *call,
		      const struct gb_outcome *outcome)
{
	struct rpmsg_gpio_bits_body body;
	uint64_t bits;

	memcpy(&body, outcome->body, sizeof(body));
	bits = rpmsg_gpio_load64(body.bits);
	for (uint32_t i = 0; i < request->count; i++) {
		const struct gb_line_plan *plan = &request->lines[i].plan;
		bool high;

		if (!(call->argument >> i & 1))
			continue;
		high = bits >> (plan->gpio - call->gpio) & 1;
		request->operation.bits |=
			(uint64_t)(high != !!(plan->flags & GB_LINE_ACTIVE_LOW)) << i;
	}
}

/* The argument of these calls is the mask of the request's lines. */
static void bulk_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	struct operation_state *op = &request->operation;
	bool get = call->type == RPMSG_GPIO_MSG_GET_VALUES;
	uint32_t first = (uint32_t)__builtin_ctzll(call->argument);

	op->waiting--;
	if (!request->closed) {
		if (outcome->error)
			note_error(op, outcome->error, outcome->reason, first);
		else if (!is_whole(outcome, get ? sizeof(struct rpmsg_gpio_bits_body) : 0))
			note_error(op, EPROTO, GB_REASON_REPLY, first);
		else if (get)
			take_bits(request, call, outcome);
		else
			note_driven(request, call->argument, op->levels);
		if (op->waiting == 0)
			finish_operation(request);
	}
	unreference(request);
}

static int submit_bulk(struct gb_request *request, struct gb_controller *controller,
		       uint16_t first, uint64_t lines, bool get, uint64_t now_ns)
{
	struct gb_call *call = gb_call_new(request->pump);
	uint64_t mask = 0, bits = 0;
	struct rpmsg_gpio_values_body body;
	int error;

	if (!call)
		return -ENOMEM;
	for (uint32_t i = 0; i < request->count; i++) {
		if (!(lines >> i & 1))
			continue;
		mask |= UINT64_C(1) << (request->lines[i].plan.gpio - first);
		bits |= (request->operation.levels >> i & 1)
			<< (request->lines[i].plan.gpio - first);
	}
	body.mask = rpmsg_gpio_store64(mask);
	body.bits = rpmsg_gpio_store64(bits);
	call->type = get ? RPMSG_GPIO_MSG_GET_VALUES : RPMSG_GPIO_MSG_SET_VALUES;
	call->form = GB_CALL_EXTENDED;
	call->body_length = get ? sizeof(struct rpmsg_gpio_mask_body) : sizeof(body);
	memcpy(call->body, &body, call->body_length);
	call->value = rpmsg_gpio_check32(&body, call->body_length);
	call->gpio = first;
	call->argument = lines;
	call->owner = request;
	call->done = bulk_done;
	request->references++;
	error = gb_call_submit(controller, call, now_ns, request->timeout_ns);
	if (error) {
		gb_call_discard(request->pump, call);
		request->references--;
	}
	return error;
}

/* The lines of `mask` that go with line i in one message; the first gpio. */
static uint64_t gather(const struct gb_request *request, uint32_t i, uint64_t mask,
		       uint16_t *first)
{
	const struct gb_controller *controller = request->lines[i].plan.controller;
	uint64_t lines = 0;

	*first = request->lines[i].plan.gpio;
	if (!controller || !(controller->features & RPMSG_GPIO_F_BULK))
		return 0;
	for (uint32_t n = 0; n < request->count; n++)
		if (mask >> n & 1 && request->lines[n].plan.controller == controller &&
		    request->lines[n].plan.gpio < *first)
			*first = request->lines[n].plan.gpio;
	for (uint32_t n = 0; n < request->count; n++)
		if (mask >> n & 1 && in_window(&request->lines[n], controller, *first))
			lines |= UINT64_C(1) << n;
	return lines;
}

static uint32_t submit_reason(int error)
{
	return error == -ENODEV ? GB_REASON_LINK : GB_REASON_QUEUE;
}

/* Line i alone. */
static int start_value(struct gb_request *request, uint32_t i, bool get, uint64_t now_ns)
{
	return submit(request, i, get ? VIRTIO_GPIO_MSG_GET_VALUE : VIRTIO_GPIO_MSG_SET_VALUE,
		      get ? 0 : (uint32_t)(request->operation.levels >> i & 1), line_done, now_ns);
}

/* Line i, and with BULK all that fit into its message; what was taken. */
static uint64_t start_some(struct gb_request *request, uint32_t i, uint64_t mask, bool get,
			   uint64_t now_ns)
{
	struct operation_state *op = &request->operation;
	uint16_t first;
	uint64_t lines = gather(request, i, mask, &first);
	int error;

	op->waiting++;
	if (lines & (lines - 1)) {
		error = submit_bulk(request, request->lines[i].plan.controller, first, lines, get,
				    now_ns);
	} else {
		lines = UINT64_C(1) << i;
		error = start_value(request, i, get, now_ns);
	}
	if (error) {
		op->waiting--;
		note_error(op, -error, submit_reason(error), i);
	}
	return lines;
}

static uint64_t physical(const struct gb_request *request, uint64_t bits)
{
	for (uint32_t i = 0; i < request->count; i++)
		if (request->lines[i].plan.flags & GB_LINE_ACTIVE_LOW)
			bits ^= UINT64_C(1) << i;
	return bits;
}

/* ---- lines whose values are no plain message ------------------------------ */

/* An emulated drive that is set, or a debounced level that is read. */
static bool is_apart(const struct line *line, bool get)
{
	if (get)
		return line->debounce.period_ns && line->debounce.known && line->plan.controller;
	return line->plan.flags & EMULATED_DRIVES;
}

static void submit_for_operation(struct gb_request *request, uint32_t index, uint16_t type,
				 uint32_t value, uint64_t now_ns)
{
	struct operation_state *op = &request->operation;
	int error = submit(request, index, type, value, line_done, now_ns);

	if (error)
		note_error(op, -error, submit_reason(error), index);
	else
		op->waiting++;
}

/* As gpiolib emulates it: the level that is not driven is that of an input. */
static void set_drive(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	uint32_t flags = request->lines[index].plan.flags;
	bool level = request->operation.levels >> index & 1;

	if (flags & (level ? GB_LINE_OPEN_DRAIN : GB_LINE_OPEN_SOURCE)) {
		submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_DIRECTION,
				     VIRTIO_GPIO_DIRECTION_IN, now_ns);
		return;
	}
	submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_VALUE, level, now_ns);
	submit_for_operation(request, index, VIRTIO_GPIO_MSG_SET_DIRECTION,
			     VIRTIO_GPIO_DIRECTION_OUT, now_ns);
}

static void start_apart(struct gb_request *request, uint32_t index, bool get, uint64_t now_ns)
{
	const struct line *line = &request->lines[index];
	bool low = line->plan.flags & GB_LINE_ACTIVE_LOW;

	if (get)
		request->operation.bits |= (uint64_t)(line->debounce.high != low) << index;
	else
		set_drive(request, index, now_ns);
}

static void start_values(struct gb_request *request, const struct gb_operation *operation,
			 uint64_t mask)
{
	struct operation_state *op = &request->operation;
	bool get = operation->code == GB_OPERATION_GET;
	uint64_t now = gb_now_ns();

	op->levels = physical(request, operation->bits);
	/* One more, so that it cannot finish before all calls are submitted. */
	op->waiting = 1;
	for (uint32_t i = 0; i < request->count; i++) {
		if (mask >> i & 1 && is_apart(&request->lines[i], get)) {
			mask &= ~(UINT64_C(1) << i);
			start_apart(request, i, get, now);
		}
	}
	while (mask)
		mask &= ~start_some(request, (uint32_t)__builtin_ctzll(mask), mask, get, now);
	if (--op->waiting == 0)
		finish_operation(request);
}

static bool refuse_values(struct gb_request *request, const struct gb_operation *operation,
			  uint64_t mask)
{
	struct operation_state *op = &request->operation;

	if (!mask)
		note_error(op, EINVAL, GB_REASON_EMPTY, 0);
	if (operation->code == GB_OPERATION_SET)
		for (uint32_t i = 0; i < request->count; i++)
			if (mask >> i & 1 && !(request->lines[i].plan.flags & GB_LINE_OUTPUT))
				note_error(op, EPERM, GB_REASON_NOT_OUTPUT, i);
	return op->error != 0;
}

static void report_operation(struct gb_request *request, const struct gb_operation *operation,
			     const uint8_t *body, size_t length)
{
	struct gb_report *report =
		gb_report_add(request->pump, GB_REPORT_OPERATION, request->id);

	if (!report) {
		note_error(&request->operation, ENOMEM, GB_REASON_QUEUE, 0);
		finish_operation(request);
		return;
	}
	report->number = operation->code;
	report->sequence = operation->sequence;
	report->length = (uint16_t)length;
	memcpy(report->body, body, length);
}

static void start_operation(struct gb_request *request, const struct gb_operation *operation,
			    const uint8_t *body, size_t length)
{
	struct operation_state *op = &request->operation;
	uint64_t all = UINT64_MAX >> (64 - request->count);
	bool paused = op->paused;

	memset(op, 0, sizeof(*op));
	op->busy = true;
	op->paused = paused;
	op->sequence = operation->sequence;
	if (operation->code == GB_OPERATION_GET || operation->code == GB_OPERATION_SET) {
		if (refuse_values(request, operation, operation->mask & all))
			finish_operation(request);
		else
			start_values(request, operation, operation->mask & all);
	} else if (operation->code >= GB_OPERATION_RELEASE) {
		report_operation(request, operation, body, length);
	} else {
		note_error(op, EINVAL, GB_REASON_OPERATION, 0);
		finish_operation(request);
	}
}

static void read_operation(struct gb_request *request)
{
	struct {
		struct gb_operation operation;
		uint8_t body[GB_OPERATION_BODY_MAX];
	} packet;
	ssize_t got = recv(request->operation_fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		hang_up(request);
		return;
	}
	if (got < 0)
		return;
	if ((size_t)got < sizeof(packet.operation) || (size_t)got > sizeof(packet)) {
		struct gb_operation_reply reply = {.error = EINVAL, .reason = GB_REASON_OPERATION};

		send_reply(request, &reply, NULL, 0);
		return;
	}
	start_operation(request, &packet.operation, packet.body,
			(size_t)got - sizeof(packet.operation));
}

static void on_operation(void *owner, int index, uint32_t events)
{
	struct gb_request *request = owner;

	(void)index;
	if (events & (EPOLLHUP | EPOLLERR)) {
		hang_up(request);
	} else if (request->operation.busy) {
		request->operation.paused = true;
		gb_source_modify(request->pump, request->operation_source, 0);
	} else {
		read_operation(request);
	}
}

/* Nothing is read from this socket; it only tells that the client is gone. */
static void on_event_end(void *owner, int index, uint32_t events)
{
	(void)index;
	(void)events;
	hang_up(owner);
}

/* ---- edges -------------------------------------------------------------- */

static void ring_bell(struct gb_request *request)
{
	/* A full socket is a bell that rings. */
	if (send(request->event_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static uint64_t stamp(const struct line *line, uint64_t monotonic_ns)
{
	struct timespec real;

	if (!(line->plan.flags & GB_LINE_REALTIME))
		return monotonic_ns;
	clock_gettime(CLOCK_REALTIME, &real);
	/* As of the moment the edge arrived, not of now. */
	return (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec -
	       (gb_now_ns() - monotonic_ns);
}

/* `high`: the physical level after the edge. */
static void push_edge(struct gb_request *request, struct line *line, bool high,
		      uint64_t timestamp_ns)
{
	bool rising = high != !!(line->plan.flags & GB_LINE_ACTIVE_LOW);
	struct gb_line_event event = {
		.timestamp_ns = timestamp_ns,
		.id = rising ? 1 : 2,
		.offset = line->plan.offset,
	};

	if (!(line->plan.flags & (rising ? GB_LINE_EDGE_RISING : GB_LINE_EDGE_FALLING)))
		return;
	event.seqno = ++request->seqno;
	event.line_seqno = ++line->line_seqno;
	if (gb_event_ring_push(request->ring, &event))
		ring_bell(request);
}

static void report_line_fault(struct gb_request *request, uint32_t index, int error,
			      uint32_t reason)
{
	struct gb_report *report;

	if (request->lines[index].faulted)
		return;
	request->lines[index].faulted = true;
	report = gb_report_add(request->pump, GB_REPORT_LINE_FAULT, request->id);
	if (!report)
		return;
	report->number = index;
	report->error = error;
	report->reason = reason;
}

static void rearm(struct gb_request *request, uint32_t index, uint64_t now_ns);

static void rearm_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct line *line = &request->lines[index];

	line->rearms--;
	if (request->closed) {
		/* nobody listens any more */
	} else if (!outcome->error) {
		line->faulted = false;
	} else {
		report_line_fault(request, index, outcome->error, outcome->reason);
		/* Lost on the way, perhaps: the same type again does no harm. */
		if (outcome->error == ETIMEDOUT && !line->rearms)
			rearm(request, index, gb_now_ns());
	}
	unreference(request);
}

static void rearm(struct gb_request *request, uint32_t index, uint64_t now_ns)
{
	struct line *line = &request->lines[index];
	int error;

	if (!line->plan.irq_type)
		return; /* reconfigured meanwhile */
	line->rearms++;
	error = submit(request, index, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, line->plan.irq_type,
		       rearm_done, now_ns);
	if (error) {
		line->rearms--;
		if (error != -ENODEV)
			report_line_fault(request, index, -error, submit_reason(error));
	}
}

static void level_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct line *line = &request->lines[index];

	if (!request->closed && !outcome->error) {
		push_edge(request, line, outcome->value, stamp(line, line->fired_ns));
	} else if (!request->closed) {
		/* An edge of unknown kind: a gap in the numbers shows it. */
		request->seqno++;
		line->line_seqno++;
		report_line_fault(request, index, outcome->error, outcome->reason);
	}
	unreference(request);
}

static void settled_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_request *request = call->owner;
	uint32_t index = (uint32_t)call->argument;
	struct line *line = &request->lines[index];

	if (request->closed || !line->debounce.period_ns) {
		/* nobody listens any more */
	} else if (outcome->error) {
		report_line_fault(request, index, outcome->error, outcome->reason);
	} else if (gb_debounce_level(&line->debounce, outcome->value)) {
		push_edge(request, line, outcome->value, stamp(line, line->debounce.ended_ns));
	}
	unreference(request);
}

static void read_settled(struct gb_debounce *debounce)
{
	struct line *line =
		(struct line *)(void *)((char *)debounce - offsetof(struct line, debounce));
	struct gb_request *request = line->request;
	uint32_t index = (uint32_t)(line - request->lines);
	int error = submit(request, index, VIRTIO_GPIO_MSG_GET_VALUE, 0, settled_done,
			   debounce->ended_ns);

	if (error)
		report_line_fault(request, index, -error, submit_reason(error));
}

static bool request_fired(void *owner, uint32_t index, uint64_t now_ns)
{
	struct gb_request *request = owner;
	struct line *line = &request->lines[index];
	uint8_t type = line->plan.irq_type;

	if (!type || line->rearms >= REARMS_MAX)
		return false;
	line->fired_ns = now_ns;
	if (line->debounce.period_ns) {
		gb_debounce_edge(&line->debounce, now_ns);
	} else if (type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH) {
		/* The level after the edge tells which one it was, as in the
		 * kernel; read before the re-arm, so that no later edge hides. */
		int error = submit(request, index, VIRTIO_GPIO_MSG_GET_VALUE, 0, level_done, now_ns);

		if (error)
			report_line_fault(request, index, -error, submit_reason(error));
	} else {
		push_edge(request, line, type == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING,
			  stamp(line, now_ns));
	}
	rearm(request, index, now_ns);
	return true;
}

/* ---- edges that come as records -------------------------------------------- */

/* Of the edges lost, those that would have been reported. */
static uint32_t reported(const struct line *line, uint32_t lost)
{
	uint32_t both = GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING;

	/* Every other one, when the line has both and its client wants one. */
	if (line->plan.irq_type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH &&
	    (line->plan.flags & both) != both)
		return lost / 2;
	return lost;
}

static void request_edge(void *owner, uint32_t index, const struct gb_edge *edge)
{
	struct gb_request *request = owner;
	struct line *line = &request->lines[index];
	uint32_t lost = reported(line, edge->lost);

	if (!line->plan.irq_type)
		return;
	if (line->debounce.period_ns) {
		gb_debounce_edge(&line->debounce, gb_now_ns());
	} else {
		/* A gap in the numbers: the client sees what did not come. */
		request->seqno += lost;
		line->line_seqno += lost;
		push_edge(request, line, edge->high,
			  line->plan.flags & GB_LINE_SOURCE_CLOCK ? edge->device_ns :
								    stamp(line, edge->time_ns));
	}
	if (!edge->rearm)
		line->faulted = false;
	else if (line->rearms < REARMS_MAX)
		rearm(request, index, gb_now_ns());
}

/*
 * The ring is shared by the lines that have edges. Credits are given for what
 * it can hold beside what waits in it and what may come already: so a client
 * that reads, however late, loses nothing of what the firmware could keep back.
 */
static void request_room(void *owner, uint32_t index, struct gb_room *room)
{
	const struct gb_request *request = owner;
	uint32_t capacity = gb_event_ring_capacity(request->ring);
	uint32_t taken = gb_event_ring_waiting(request->ring);
	uint32_t lines = 0;

	(void)index;
	for (uint32_t i = 0; i < request->count; i++) {
		const struct gb_line_plan *plan = &request->lines[i].plan;

		if (!plan->irq_type || !plan->controller)
			continue;
		lines++;
		taken += gb_stream_credits(plan->controller, plan->gpio);
	}
	room->window = lines && capacity > lines ? capacity / lines : 1;
	room->free = taken < capacity ? capacity - taken : 0;
}

static void request_fault(void *owner, uint32_t index, int error, uint32_t reason)
{
	report_line_fault(owner, index, error, reason);
}

/* ---- life --------------------------------------------------------------- */

static void disown_lines(struct gb_request *request)
{
	for (uint32_t i = 0; i < request->count; i++) {
		struct gb_line_plan *plan = &request->lines[i].plan;

		gb_debounce_stop(&request->lines[i].debounce);
		if (plan->controller)
			gb_controller_disown(plan->controller, plan->gpio, request);
	}
}

static void close_ends(struct gb_request *request)
{
	gb_source_remove(request->pump, request->operation_source);
	gb_source_remove(request->pump, request->event_source);
	request->operation_source = NULL;
	request->event_source = NULL;
	if (request->operation_fd >= 0)
		close(request->operation_fd);
	if (request->event_fd >= 0)
		close(request->event_fd);
	request->operation_fd = -1;
	request->event_fd = -1;
}

/* The client let go. Python releases the lines and closes the request. */
static void hang_up(struct gb_request *request)
{
	if (request->hung_up)
		return;
	request->hung_up = true;
	close_ends(request);
	gb_report_add(request->pump, GB_REPORT_HANGUP, request->id);
}

static void request_orphan(void *owner, uint32_t index)
{
	struct gb_request *request = owner;

	request->lines[index].plan.controller = NULL;
	gb_debounce_stop(&request->lines[index].debounce);
}

void gb_request_free(struct gb_request *request)
{
	struct gb_request **place = &request->pump->requests;

	while (*place != request)
		place = &(*place)->next;
	*place = request->next;
	request->closed = true;
	disown_lines(request);
	gb_event_ring_retire(request->ring);
	close_ends(request);
	gb_event_ring_free(request->ring);
	request->ring = NULL;
	unreference(request);
}

void gb_request_close(struct gb_request *request)
{
	struct gb_pump *pump = request->pump;

	gb_lock(pump);
	gb_request_free(request);
	gb_unlock(pump);
}

static const struct gb_line_owner_ops owner_ops = {
	.fired = request_fired,
	.edge = request_edge,
	.room = request_room,
	.fault = request_fault,
	.orphan = request_orphan,
};

static int own_lines(struct gb_request *request)
{
	for (uint32_t i = 0; i < request->count; i++) {
		struct gb_line_plan *plan = &request->lines[i].plan;
		struct gb_line_owner owner = {&owner_ops, request, i};
		int error = gb_controller_own(plan->controller, plan->gpio, &owner);

		if (error) {
			disown_lines(request);
			return error;
		}
	}
	return 0;
}

static int socket_pair(int type, int *ours, int *theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*ours = ends[0];
	*theirs = ends[1];
	return 0;
}

static int open_ends(struct gb_request *request, uint32_t capacity, struct gb_request_fds *fds)
{
	if (socket_pair(SOCK_SEQPACKET, &request->operation_fd, &fds->operation) < 0 ||
	    socket_pair(SOCK_STREAM, &request->event_fd, &fds->event) < 0)
		return -errno;
	/* A byte that we never read: when we close our end, the kernel reports
	 * ERR beside HUP to the client, as for a removed gpiochip. */
	if (send(fds->event, "", 1, MSG_NOSIGNAL) < 0)
		return -errno;
	request->ring = gb_event_ring_create(capacity, &fds->ring);
	return request->ring ? 0 : -errno;
}

static int watch_ends(struct gb_request *request)
{
	request->operation_source = gb_source_add(request->pump, request->operation_fd, EPOLLIN,
						  on_operation, request, 0);
	request->event_source = gb_source_add(request->pump, request->event_fd, EPOLLRDHUP,
					      on_event_end, request, 0);
	return request->operation_source && request->event_source ? 0 : -errno;
}

static void close_client_ends(const struct gb_request_fds *fds)
{
	if (fds->operation >= 0)
		close(fds->operation);
	if (fds->event >= 0)
		close(fds->event);
	if (fds->ring >= 0)
		close(fds->ring);
}

static struct gb_request *request_new(struct gb_pump *pump, uint64_t id,
				      const struct gb_line_plan *lines, size_t count,
				      uint32_t timeout_ms)
{
	struct gb_request *request =
		calloc(1, sizeof(*request) + count * sizeof(request->lines[0]));

	if (!request)
		return NULL;
	request->pump = pump;
	request->id = id;
	request->count = (uint32_t)count;
	request->timeout_ns = (uint64_t)timeout_ms * 1000000;
	request->references = 1;
	request->operation_fd = request->event_fd = -1;
	for (size_t i = 0; i < count; i++) {
		struct line *line = &request->lines[i];

		line->plan = lines[i];
		line->request = request;
		gb_debounce_init(&line->debounce, pump, read_settled);
		gb_debounce_set_period(&line->debounce, lines[i].debounce_us);
	}
	return request;
}

struct gb_request *gb_request_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_line_plan *lines, size_t count,
				   uint32_t event_capacity, uint32_t timeout_ms,
				   struct gb_request_fds *fds)
{
	struct gb_request *request;
	int error;

	*fds = (struct gb_request_fds){-1, -1, -1};
	if (count < 1 || count > GB_LINES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	request = request_new(pump, id, lines, count, timeout_ms);
	if (!request)
		return NULL;
	error = open_ends(request, event_capacity, fds);
	gb_lock(pump);
	if (!error)
		error = own_lines(request);
	if (!error) {
		error = watch_ends(request);
		if (error)
			disown_lines(request);
	}
	if (!error) {
		request->next = pump->requests;
		pump->requests = request;
	} else {
		close_ends(request);
		close_client_ends(fds);
		gb_event_ring_free(request->ring);
		free(request);
		request = NULL;
	}
	gb_unlock(pump);
	errno = -error;
	return request;
}

int gb_request_replan(struct gb_request *request, const struct gb_line_plan *lines, size_t count)
{
	struct gb_pump *pump = request->pump;

	if (count != request->count)
		return -EINVAL;
	gb_lock(pump);
	for (size_t i = 0; i < count; i++) {
		struct gb_line_plan *plan = &request->lines[i].plan;

		plan->flags = lines[i].flags;
		plan->irq_type = lines[i].irq_type;
		gb_debounce_set_period(&request->lines[i].debounce, lines[i].debounce_us);
	}
	gb_unlock(pump);
	return 0;
}

void gb_request_settle(struct gb_request *request, uint32_t index, bool high)
{
	gb_lock(request->pump);
	if (index < request->count && !request->lines[index].debounce.known)
		gb_debounce_level(&request->lines[index].debounce, high);
	gb_unlock(request->pump);
}

void gb_request_note_driven(struct gb_request *request, uint32_t index, bool high)
{
	gb_lock(request->pump);
	if (index < request->count)
		note_driven(request, UINT64_C(1) << index, (uint64_t)high << index);
	gb_unlock(request->pump);
}

uint64_t gb_request_driven(struct gb_request *request, uint64_t *levels)
{
	uint64_t mask;

	gb_lock(request->pump);
	mask = request->driven_mask;
	*levels = request->driven;
	gb_unlock(request->pump);
	return mask;
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
		request->operation.busy = false;
		if (request->operation.paused) {
			request->operation.paused = false;
			gb_source_modify(pump, request->operation_source, EPOLLIN);
		}
		send_reply(request, &reply, body, length);
	}
	gb_unlock(pump);
	return result;
}

bool gb_request_alive(const struct gb_request *request)
{
	struct gb_pump *pump = request->pump;
	struct pollfd ends[2] = {{.events = POLLRDHUP}, {.events = POLLRDHUP}};
	bool alive;

	gb_lock(pump);
	ends[0].fd = request->operation_fd;
	ends[1].fd = request->event_fd;
	alive = !request->hung_up && poll(ends, 2, 0) == 0;
	gb_unlock(pump);
	return alive;
}
