/* SPDX-License-Identifier: BSD-3-Clause */
/* export.c - the virtio-gpio device: requests, interrupts, and lines that return. */
#define _GNU_SOURCE
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#define REQUESTQ 0
#define EVENTQ   1

#define VIRTIO_GPIO_F_IRQ 0 /* feature bit */

/* Of an event, virtio 1.3, 5.18.6.8 */
#define VIRTIO_GPIO_EVENT_INVALID 0
#define VIRTIO_GPIO_EVENT_VALID   1

#define FEATURES (VHOST_USER_BIT(VIRTIO_F_VERSION_1) | \
		  VHOST_USER_BIT(VIRTIO_F_INDIRECT_DESC) | \
		  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
		  VHOST_USER_BIT(VIRTIO_GPIO_F_IRQ))

#define PROTOCOL_FEATURES (VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))

/* Requests of one guest that are under way; the rest waits in its ring, so that
 * it does not fill the queue of a controller that others use too. */
#define UNDERWAY_MAX 64u
/* Chains taken from a ring in one turn of the loop, which others use, too. */
#define TURN_MAX 256u
/* When no guest can be taken in for want of descriptors or memory. */
#define ACCEPT_PAUSE_NS UINT64_C(1000000000)
/* Unanswered messages in a row that make a fault of a line. */
#define ATTEMPTS 2u

struct config {
	rpmsg_gpio_le16 ngpio;
	uint8_t padding[2];
	rpmsg_gpio_le32 gpio_names_size;
};

_Static_assert(sizeof(struct config) == 8, "virtio 1.3, 5.18.4");
_Static_assert(sizeof(struct gb_export_line) == 4, "as in the state file");

/* A request of the guest, from its chain to the answer in it. */
struct request {
	bool used;
	bool dead;     /* its chain is gone */
	bool answered; /* but an earlier one of its line is not */
	uint8_t irq_type_before;
	uint8_t answer[2]; /* status, value */
	uint32_t ticket;   /* its place among those of its line */
	uint16_t head;
	uint16_t line;
	uint8_t *status, *value; /* where the answer goes */
};

struct line {
	struct gb_controller *controller; /* NULL: not there now */
	uint16_t gpio;
	bool enabled; /* the firmware may have an irq type */
	bool armed;   /* one interrupt is awaited, or asked for */
	bool latched; /* an edge came while there was no buffer */
	uint32_t attempts; /* to arm it, without an answer */
	uint32_t life;     /* of the attachment: calls of an earlier one do not count */
	uint32_t tickets;  /* given to requests of this guest */
	uint32_t answers;  /* given in their order */
	bool changed;      /* its direction, see gb_export_changed() */
	bool buffered;
	uint16_t buffer;   /* head of the event's chain */
	uint8_t *buffer_status;
};

struct gb_export {
	struct guest guest; /* first: see of_guest() */
	struct gb_pump *pump;
	struct gb_export *next;
	uint64_t id, timeout_ns;
	struct gb_source *listen_source;
	struct gb_timer listen_timer; /* listens again after a pause */
	int listen_fd;
	bool closed;
	bool reported; /* a report waits for gb_export_status() */
	bool starved;  /* all requests are under way */
	bool stale;    /* states are from a file, and no guest has gone on with them */
	uint32_t references; /* calls that will come back, and the owner */
	struct gb_export_status status;

	struct config config;
	char *names;
	uint32_t names_size;
	uint32_t count;
	struct line *lines;
	struct gb_export_line *states; /* shared with the state file */
	bool states_mapped;
	struct request requests[UNDERWAY_MAX];
};

static struct gb_export *of_guest(void *guest)
{
	return guest;
}

static void unreference(struct gb_export *e)
{
	if (--e->references)
		return;
	if (e->states_mapped)
		munmap(e->states, e->count * sizeof(*e->states));
	else
		free(e->states);
	free(e->lines);
	free(e->names);
	free(e);
}

/* At most one waits, however often a guest comes and goes. */
static void report(struct gb_export *e)
{
	if (e->reported || e->closed)
		return;
	e->reported = gb_report_add(e->pump, GB_REPORT_EXPORT, e->id) != NULL;
}

static uint32_t line_of(const struct gb_export *e, const struct line *line)
{
	return (uint32_t)(line - e->lines);
}

static struct gb_export_line *state_of(struct gb_export *e, const struct line *line)
{
	return &e->states[line - e->lines];
}

static bool has_irq(const struct gb_export *e)
{
	return e->guest.session.features & VHOST_USER_BIT(VIRTIO_GPIO_F_IRQ);
}

static bool busy(void *guest)
{
	const struct gb_export *e = of_guest(guest);

	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (e->requests[i].used && !e->requests[i].dead)
			return true;
	return false;
}

static bool is_edge(uint8_t irq_type)
{
	return irq_type >= VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING &&
	       irq_type <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
}

/* ---- calls to the controller -------------------------------------------------- */

static void request_done(struct gb_call *call, const struct gb_outcome *outcome);

/* The argument of a call of our own says for which line, in which life of it. */
static uint64_t argument_of(const struct gb_export *e, const struct line *line)
{
	return (uint64_t)line->life << 32 | line_of(e, line);
}

/* The line of a call that came back, NULL when it was detached in between. */
static struct line *line_of_call(struct gb_export *e, const struct gb_call *call)
{
	struct line *line = &e->lines[call->argument & UINT32_MAX];

	return line->controller && line->life == call->argument >> 32 ? line : NULL;
}

static int submit(struct gb_export *e, const struct line *line, uint16_t type, uint32_t value,
		  gb_call_fn done, uint64_t argument)
{
	struct gb_call *call;
	int error;

	if (!line->controller)
		return -ENODEV;
	call = gb_call_new(e->pump);
	if (!call)
		return -ENOMEM;
	call->type = type;
	call->gpio = line->gpio;
	call->value = value;
	call->owner = e;
	call->argument = argument;
	call->done = done;
	/* A line that is not let go stays driven, one that is not armed is silent. */
	call->owed = done != request_done;
	e->references++;
	error = gb_call_submit(line->controller, call, gb_now_ns(), e->timeout_ns);
	if (error) {
		gb_call_discard(e->pump, call);
		e->references--;
	}
	return error;
}

static void note_fault(struct gb_export *e)
{
	e->status.faults++;
	report(e);
}

/* ---- letting a line go, setting it up again ------------------------------------- */

static void set_up_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_export *e = call->owner;

	if (outcome->error && outcome->error != ENODEV && !e->closed)
		note_fault(e);
	unreference(e);
}

static void set_up(struct gb_export *e, struct line *line, uint16_t type, uint32_t value)
{
	int error = submit(e, line, type, value, set_up_done, argument_of(e, line));

	if (error && error != -ENODEV)
		note_fault(e);
}

/*
 * DIRECTION_NONE makes the firmware forget the line. Its interrupt is disabled
 * before, as the driver would; requests behind these find the line free.
 */
static void let_go(struct gb_export *e, struct line *line)
{
	struct gb_export_line *state = state_of(e, line);

	if (!line->controller || !(state->flags & GB_EXPORT_LINE_TOUCHED))
		return; /* when it returns, see restore() */
	state->flags &= (uint8_t)~GB_EXPORT_LINE_TOUCHED;
	if (line->enabled)
		set_up(e, line, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_NONE);
	line->enabled = false;
	set_up(e, line, VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_NONE);
}

static void forget_irq(struct line *line)
{
	line->armed = line->latched = false;
	line->attempts = 0;
}

static void set_direction(struct gb_export *e, struct line *line, uint8_t direction)
{
	struct gb_export_line *state = state_of(e, line);

	if (state->direction == direction)
		return;
	state->direction = direction;
	line->changed = true;
	report(e);
}

static void forget_state(struct gb_export *e, struct line *line)
{
	struct gb_export_line *state = state_of(e, line);

	set_direction(e, line, VIRTIO_GPIO_DIRECTION_NONE);
	*state = (struct gb_export_line){.flags = state->flags & GB_EXPORT_LINE_TOUCHED};
}

/* ---- interrupts -------------------------------------------------------------------- */

static void give_back(struct gb_export *e, struct line *line, uint8_t status)
{
	if (!line->buffered)
		return;
	line->buffered = false;
	if (!guest_runs(&e->guest, EVENTQ))
		return;
	*line->buffer_status = status;
	guest_push(&e->guest, EVENTQ, line->buffer, 1);
}

static void deliver(struct gb_export *e, struct line *line)
{
	line->latched = false;
	e->status.events++;
	give_back(e, line, VIRTIO_GPIO_EVENT_VALID);
}

static void arm(struct gb_export *e, struct line *line);

/* Lost on the way, perhaps: the same type again does no harm. */
static void arm_failed(struct gb_export *e, struct line *line, int error)
{
	line->armed = false;
	if (error == ENODEV)
		return; /* attach arms it */
	if (error != ETIMEDOUT || ++line->attempts == ATTEMPTS)
		note_fault(e);
	if (error == ETIMEDOUT)
		arm(e, line); /* silence may end */
}

static void arm_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_export *e = call->owner;
	struct line *line = line_of_call(e, call);

	if (line && !e->closed && !outcome->error)
		line->attempts = 0;
	else if (line && !e->closed && line->armed && state_of(e, line)->irq_type)
		arm_failed(e, line, outcome->error);
	unreference(e);
}

/* Ask for the next interrupt. What the firmware latched meanwhile fires at once,
 * and a level that lasts. */
static void arm(struct gb_export *e, struct line *line)
{
	uint8_t type = state_of(e, line)->irq_type;
	int error;

	if (!type || line->armed || !line->controller)
		return;
	line->armed = line->enabled = true;
	error = submit(e, line, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, type, arm_done, argument_of(e, line));
	if (error)
		arm_failed(e, line, -error);
}

/* The line is back, perhaps with firmware that has just started. */
static void restore(struct gb_export *e, struct line *line)
{
	struct gb_export_line *state = state_of(e, line);

	if (e->stale)
		return; /* whose state is that? */
	if (state->direction == VIRTIO_GPIO_DIRECTION_NONE)
		let_go(e, line); /* first: it would discard the value */
	if (state->flags & GB_EXPORT_LINE_VALUE) {
		state->flags |= GB_EXPORT_LINE_TOUCHED;
		set_up(e, line, VIRTIO_GPIO_MSG_SET_VALUE, state->value);
	}
	if (state->direction != VIRTIO_GPIO_DIRECTION_NONE)
		set_up(e, line, VIRTIO_GPIO_MSG_SET_DIRECTION, state->direction);
	if (!line->latched)
		arm(e, line);
}

static void buffer_arrived(struct gb_export *e, struct line *line)
{
	if (!state_of(e, line)->irq_type)
		return; /* refused, or not enabled: kept until NONE */
	line->attempts = 0;
	if (line->latched)
		deliver(e, line);
	else
		arm(e, line);
}

static bool fired(void *owner, uint32_t index, uint64_t now_ns)
{
	struct gb_export *e = owner;
	struct line *line = &e->lines[index];
	uint8_t type = state_of(e, line)->irq_type;

	(void)now_ns;
	if (!type || !line->armed)
		return false;
	line->armed = false;
	line->attempts = 0;
	guest_enter(&e->guest);
	if (line->buffered)
		deliver(e, line);
	else
		line->latched = is_edge(type); /* a level is looked at again */
	guest_leave(&e->guest);
	return true;
}

/* ---- requests: the answer ------------------------------------------------------------- */

static void push_answer(struct gb_export *e, struct request *request)
{
	request->used = false;
	e->status.requests++;
	*request->status = request->answer[0];
	*request->value = request->answer[1];
	guest_push(&e->guest, REQUESTQ, request->head, 2);
}

/* The request of a line whose turn it is, if its answer is known. */
static struct request *next_answered(struct gb_export *e, uint16_t line)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++) {
		struct request *request = &e->requests[i];

		if (request->used && !request->dead && request->answered &&
		    request->line == line && request->ticket == e->lines[line].answers)
			return request;
	}
	return NULL;
}

/* Requests of a line are answered in their order (5.18.6.8); what is refused here
 * does not overtake what the firmware was asked before. */
static void answer(struct gb_export *e, struct request *request, uint8_t status, uint8_t value)
{
	uint16_t line = request->line;

	if (request->dead) {
		request->used = false;
		return;
	}
	request->answered = true;
	request->answer[0] = status;
	request->answer[1] = value;
	while ((request = next_answered(e, line))) {
		e->lines[line].answers++;
		push_answer(e, request);
	}
}

/* What the guest has asked for has happened: remember it. */
static void remember(struct gb_export *e, struct line *line, const struct gb_call *call)
{
	struct gb_export_line *state = state_of(e, line);

	if (call->type == VIRTIO_GPIO_MSG_SET_VALUE) {
		state->value = (uint8_t)call->value;
		state->flags |= GB_EXPORT_LINE_VALUE;
	} else if (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION) {
		set_direction(e, line, (uint8_t)call->value);
	}
}

static bool lets_go(uint16_t type, uint32_t value)
{
	return (type == VIRTIO_GPIO_MSG_SET_DIRECTION && value == VIRTIO_GPIO_DIRECTION_NONE) ||
	       (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && value == VIRTIO_GPIO_IRQ_TYPE_NONE);
}

/* Whatever came of it, the driver goes on as if it was done. The buffer returns
 * before the answer, or the driver meets it in its next life. */
static void line_let_go(struct gb_export *e, struct line *line, uint16_t type, int error)
{
	struct gb_export_line *state = state_of(e, line);

	line->enabled &= error != 0;
	if (type == VIRTIO_GPIO_MSG_SET_DIRECTION) {
		if (!error)
			state->flags &= (uint8_t)~GB_EXPORT_LINE_TOUCHED;
		forget_state(e, line);
		forget_irq(line);
	}
	if (!state->irq_type)
		give_back(e, line, VIRTIO_GPIO_EVENT_INVALID);
}

/* A driver that is refused a type ignores that: its buffer stays here. One that
 * got no answer believes in the type: it is asked for again with the buffer. */
static void irq_type_failed(struct gb_export *e, struct line *line,
			    const struct request *request, int error)
{
	struct gb_export_line *state = state_of(e, line);

	forget_irq(line);
	if (error == EIO)
		state->irq_type = request->irq_type_before;
	if (state->irq_type && line->buffered)
		arm(e, line);
}

static void settle(struct gb_export *e, const struct request *request,
		   const struct gb_call *call, int error)
{
	struct line *line = &e->lines[request->line];

	if (lets_go(call->type, call->value))
		line_let_go(e, line, call->type, error);
	else if (!error)
		remember(e, line, call);
	else if (call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		irq_type_failed(e, line, request, error);
}

static void request_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_export *e = call->owner;
	struct request *request = &e->requests[call->argument];
	/* A line that is not there is free, and so let go. */
	bool done = !outcome->error ||
		    (outcome->error == ENODEV && lets_go(call->type, call->value));

	guest_enter(&e->guest);
	if (!request->dead)
		settle(e, request, call, outcome->error);
	answer(e, request, done ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR,
	       outcome->error ? 0 : outcome->value);
	if (e->starved && !e->closed)
		guest_look_again(&e->guest);
	if (!busy(&e->guest))
		guest_resume(&e->guest);
	guest_leave(&e->guest);
	unreference(e);
}

/* ---- requests: from the ring to the controller ----------------------------------------- */

static bool sensible(uint16_t type, uint32_t value)
{
	switch (type) {
	case VIRTIO_GPIO_MSG_GET_DIRECTION:
	case VIRTIO_GPIO_MSG_GET_VALUE:
		return true;
	case VIRTIO_GPIO_MSG_SET_DIRECTION:
		return value <= VIRTIO_GPIO_DIRECTION_IN;
	case VIRTIO_GPIO_MSG_SET_VALUE:
		return value <= 1;
	case VIRTIO_GPIO_MSG_SET_IRQ_TYPE:
		return value <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH ||
		       value == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
		       value == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
	default:
		return false;
	}
}

static bool changes(uint16_t type)
{
	return type == VIRTIO_GPIO_MSG_SET_DIRECTION || type == VIRTIO_GPIO_MSG_SET_VALUE ||
	       type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
}

/* As of the moment the firmware is asked: its interrupt may be here before its
 * answer. */
static void set_irq_type(struct gb_export *e, struct line *line, uint8_t type)
{
	forget_irq(line);
	state_of(e, line)->irq_type = type;
	line->armed = type != VIRTIO_GPIO_IRQ_TYPE_NONE;
	line->enabled |= line->armed;
}

static void relay(struct gb_export *e, struct request *request, uint16_t type, uint32_t value)
{
	struct line *line = &e->lines[request->line];
	struct gb_export_line *state = state_of(e, line);
	struct gb_call failed = {.type = type, .value = value};
	int error;

	request->irq_type_before = state->irq_type;
	if (changes(type))
		state->flags |= GB_EXPORT_LINE_TOUCHED;
	if (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		set_irq_type(e, line, (uint8_t)value);
	error = submit(e, line, type, value, request_done, (uint64_t)(request - e->requests));
	if (!error)
		return;
	settle(e, request, &failed, -error);
	answer(e, request,
	       error == -ENODEV && lets_go(type, value) ? VIRTIO_GPIO_STATUS_OK
							: VIRTIO_GPIO_STATUS_ERR, 0);
}

static uint8_t *writable_byte(const struct split_chain *chain, size_t offset)
{
	const struct iovec *part = chain->iov + chain->readable;

	while (offset >= part->iov_len)
		offset -= part++->iov_len;
	return (uint8_t *)part->iov_base + offset;
}

static void answer_names(struct gb_export *e, const struct split_chain *chain)
{
	uint8_t status[2] = {VIRTIO_GPIO_STATUS_OK, 0};
	uint32_t size = e->names_size;

	if (!size || chain->writable_bytes <= size) {
		status[0] = VIRTIO_GPIO_STATUS_ERR;
		size = 1; /* of 0: as long as any other answer */
	} else {
		split_chain_write(chain, 1, e->names, size);
	}
	split_chain_write(chain, 0, status, status[0] ? 2 : 1);
	e->status.requests++;
	guest_push(&e->guest, REQUESTQ, chain->head, size + 1);
}

static void start_request(struct gb_export *e, struct request *request,
			  const struct split_chain *chain)
{
	struct virtio_gpio_request message;
	uint16_t type, gpio;
	uint32_t value;

	split_chain_read(chain, 0, &message, sizeof(message));
	type = rpmsg_gpio_load16(message.type);
	gpio = rpmsg_gpio_load16(message.gpio);
	value = rpmsg_gpio_load32(message.value);
	if (type == VIRTIO_GPIO_MSG_GET_LINE_NAMES) {
		answer_names(e, chain);
		return;
	}
	*request = (struct request){
		.used = true,
		.head = chain->head,
		.line = gpio,
		.status = writable_byte(chain, 0),
		.value = writable_byte(chain, 1),
	};
	if (gpio >= e->count) {
		request->answer[0] = VIRTIO_GPIO_STATUS_ERR;
		push_answer(e, request);
		return;
	}
	request->ticket = e->lines[gpio].tickets++;
	if (!sensible(type, value) || (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE && !has_irq(e)))
		answer(e, request, VIRTIO_GPIO_STATUS_ERR, 0);
	else
		relay(e, request, type, value);
}

static struct request *free_request(struct gb_export *e)
{
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (!e->requests[i].used)
			return &e->requests[i];
	return NULL;
}

/* 1, or 0: nothing there, nothing free, or the guest was cut off. */
static int take_request(struct gb_export *e)
{
	struct request *request = free_request(e);
	struct iovec iov[GUEST_PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = GUEST_PARTS_MAX};

	e->starved = !request;
	if (!request || !guest_pop(&e->guest, REQUESTQ, &chain))
		return 0;
	if (chain.readable_bytes != sizeof(struct virtio_gpio_request) || chain.writable_bytes < 2) {
		guest_fail(&e->guest,
			     "virtqueue 0: a request of %zu bytes with room for %zu; it takes 8 and 2",
			     chain.readable_bytes, chain.writable_bytes);
		return 0;
	}
	start_request(e, request, &chain);
	return 1;
}

static int take_buffer(struct gb_export *e)
{
	struct iovec iov[GUEST_PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = GUEST_PARTS_MAX};
	rpmsg_gpio_le16 gpio;
	struct line *line;

	if (!guest_pop(&e->guest, EVENTQ, &chain))
		return 0;
	if (chain.readable_bytes != sizeof(gpio) || chain.writable_bytes < 1) {
		guest_fail(&e->guest,
			     "virtqueue 1: a buffer of %zu bytes with room for %zu; it takes 2 and 1",
			     chain.readable_bytes, chain.writable_bytes);
		return 0;
	}
	split_chain_read(&chain, 0, &gpio, sizeof(gpio));
	if (rpmsg_gpio_load16(gpio) >= e->count) {
		guest_fail(&e->guest, "virtqueue 1: a buffer for line %u; there are %u lines",
			     rpmsg_gpio_load16(gpio), e->count);
		return 0;
	}
	line = &e->lines[rpmsg_gpio_load16(gpio)];
	if (line->buffered) {
		guest_fail(&e->guest, "virtqueue 1: a second buffer for line %u",
			     line_of(e, line));
		return 0;
	}
	line->buffered = true;
	line->buffer = chain.head;
	line->buffer_status = writable_byte(&chain, 0);
	buffer_arrived(e, line);
	return 1;
}

/* Who has more chains than a turn takes waits for the next one, so that nobody keeps
 * the loop to himself. */
static void consume(struct gb_export *e, int index, int (*take)(struct gb_export *e))
{
	struct split_device *device = &e->guest.session.rings[index].device;
	unsigned int count = 0;

	if (!guest_runs(&e->guest, index))
		return;
	split_device_disable_kicks(device);
	do {
		while (count < TURN_MAX && take(e))
			count++;
		if (!guest_runs(&e->guest, index) || (index == REQUESTQ && e->starved))
			return; /* an answer looks again */
		if (count == TURN_MAX) {
			guest_look_again(&e->guest);
			return;
		}
	} while (split_device_enable_kicks(device));
}

static void consume_requests(struct gb_export *e)
{
	consume(e, REQUESTQ, take_request);
}

/* ---- the session ------------------------------------------------------------------------ */

/* A guest that outlived the service before this one. */
static void go_on(struct gb_export *e)
{
	e->stale = false;
	for (uint32_t i = 0; i < e->count; i++)
		restore(e, &e->lines[i]);
}

static void on_look(struct guest *guest)
{
	struct gb_export *e = of_guest(guest);

	if (!guest_runs(guest, REQUESTQ))
		return;
	if (e->stale)
		go_on(e);
	if (e->status.no_irq == has_irq(e)) {
		e->status.no_irq = !has_irq(e);
		report(e);
	}
	/* Buffers first: a request may want to give one back. */
	if (has_irq(e))
		consume(e, EVENTQ, take_buffer);
	consume_requests(e);
}

static void on_stopping(void *guest, int index)
{
	struct gb_export *e = of_guest(guest);

	/* A driver that lives on queues them again; one that died does not mind. */
	for (uint32_t i = 0; index == EVENTQ && i < e->count; i++)
		give_back(e, &e->lines[i], VIRTIO_GPIO_EVENT_INVALID);
}

static void on_reset(void *guest)
{
	struct gb_export *e = of_guest(guest);

	e->stale = false;
	for (uint32_t i = 0; i < e->count; i++) {
		let_go(e, &e->lines[i]);
		forget_state(e, &e->lines[i]);
		forget_irq(&e->lines[i]);
	}
}

static void on_connection(void *owner, int index, uint32_t events);

static void listen_later(struct gb_export *e)
{
	gb_timer_arm(e->pump, &e->listen_timer, gb_now_ns() + ACCEPT_PAUSE_NS);
}

static void listen_again(struct gb_export *e)
{
	if (e->closed || e->listen_source)
		return;
	e->listen_source = gb_source_add(e->pump, e->listen_fd, EPOLLIN, on_connection, e, 0);
	if (!e->listen_source)
		listen_later(e);
}

static void pause_over(struct gb_timer *timer)
{
	listen_again((struct gb_export *)(void *)((char *)timer -
						  offsetof(struct gb_export, listen_timer)));
}

static void stop_listening(struct gb_export *e)
{
	gb_timer_cancel(e->pump, &e->listen_timer);
	gb_source_remove(e->pump, e->listen_source);
	e->listen_source = NULL;
}

/* The guest waits on: it would wake us without end. */
static bool out_of_something(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static void on_gone(struct guest *guest)
{
	struct gb_export *e = of_guest(guest);

	for (unsigned int i = 0; i < UNDERWAY_MAX; i++) {
		e->requests[i].used &= !e->requests[i].answered; /* no call will return */
		e->requests[i].dead = true;
	}
	for (uint32_t i = 0; i < e->count; i++) {
		e->lines[i].buffered = false;
		e->lines[i].tickets = e->lines[i].answers = 0;
	}
	e->status.connected = false;
	memcpy(e->status.why, guest->why, sizeof(e->status.why));
	report(e);
	if (e->closed)
		return;
	on_reset(guest);
	listen_again(e);
}

static bool get_config(void *guest, uint32_t offset, uint32_t size, uint8_t *to)
{
	const struct gb_export *e = of_guest(guest);

	if (size > sizeof(e->config) || offset > sizeof(e->config) - size)
		return false;
	memcpy(to, (const uint8_t *)&e->config + offset, size);
	return true;
}

static const struct guest_ops guest_ops = {
	.session = {
		.features = FEATURES,
		.protocol_features = PROTOCOL_FEATURES,
		.get_config = get_config,
		.watch_kick = guest_watch_kick,
		.unwatch_kick = guest_unwatch_kick,
		.stopping = on_stopping,
		.busy = busy,
		.reset = on_reset,
		.applied = guest_applied,
		.refused = guest_refused,
	},
	.look = on_look,
	.gone = on_gone,
};

/* One guest at a time: the next one waits in the backlog. */
static void on_connection(void *owner, int index, uint32_t events)
{
	struct gb_export *e = owner;
	int fd = accept4(e->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)index;
	(void)events;
	if (fd < 0 && out_of_something(errno)) {
		stop_listening(e);
		listen_later(e);
	}
	if (fd < 0 || guest_open(&e->guest, fd) < 0)
		return;
	stop_listening(e);
	e->status.connected = true;
	e->status.guests++;
	e->status.no_irq = false;
	e->status.why[0] = '\0';
	report(e);
}

/* ---- lines come and go -------------------------------------------------------------------- */

static void detach(struct gb_export *e, struct line *line)
{
	if (!line->controller)
		return;
	gb_controller_disown(line->controller, line->gpio, e);
	line->controller = NULL;
	line->enabled = line->armed = false;
	line->attempts = 0;
}

static void orphan(void *owner, uint32_t index)
{
	struct gb_export *e = owner;

	detach(e, &e->lines[index]);
}

static const struct gb_line_owner_ops owner_ops = {
	.fired = fired,
	.orphan = orphan,
};

int gb_export_attach(struct gb_export *e, uint32_t index, struct gb_controller *controller,
		     uint16_t gpio)
{
	struct gb_line_owner owner = {&owner_ops, e, index};
	struct line *line;
	int error;

	if (index >= e->count)
		return -EINVAL;
	line = &e->lines[index];
	gb_lock(e->pump);
	guest_enter(&e->guest);
	detach(e, line);
	error = gb_controller_own(controller, gpio, &owner);
	if (!error) {
		line->controller = controller;
		line->gpio = gpio;
		line->life++;
		restore(e, line);
	}
	guest_leave(&e->guest);
	gb_unlock(e->pump);
	return error;
}

void gb_export_detach(struct gb_export *e, uint32_t index)
{
	if (index >= e->count)
		return;
	gb_lock(e->pump);
	detach(e, &e->lines[index]);
	gb_unlock(e->pump);
}

void gb_export_status(struct gb_export *e, struct gb_export_status *status)
{
	gb_lock(e->pump);
	*status = e->status;
	e->reported = false;
	gb_unlock(e->pump);
}

int64_t gb_export_changed(struct gb_export *e, uint32_t index)
{
	int64_t found = -1;

	gb_lock(e->pump);
	while (index < e->count && !e->lines[index].changed)
		index++;
	if (index < e->count) {
		e->lines[index].changed = false;
		found = index;
	}
	gb_unlock(e->pump);
	return found;
}

int gb_export_line(struct gb_export *e, uint32_t index, struct gb_export_line *state)
{
	if (index >= e->count)
		return -EINVAL;
	gb_lock(e->pump);
	*state = e->states[index];
	gb_unlock(e->pump);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* The file is ours, but who knows what wrote it last. */
static void check_states(struct gb_export *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		struct gb_export_line *state = &e->states[i];

		if (!sensible(VIRTIO_GPIO_MSG_SET_DIRECTION, state->direction) ||
		    !sensible(VIRTIO_GPIO_MSG_SET_VALUE, state->value) ||
		    !sensible(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, state->irq_type))
			*state = (struct gb_export_line){.flags = GB_EXPORT_LINE_TOUCHED};
	}
}

static int open_states(struct gb_export *e, int fd)
{
	size_t size = e->count * sizeof(*e->states);
	struct stat st;

	if (fd < 0) {
		e->states = calloc(e->count, sizeof(*e->states));
		return e->states ? 0 : -ENOMEM;
	}
	/* Of other lines than these: of no use. */
	if (fstat(fd, &st) < 0 || ((size_t)st.st_size != size && ftruncate(fd, 0) < 0) ||
	    ftruncate(fd, (off_t)size) < 0)
		return -errno;
	e->states = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (e->states == MAP_FAILED) {
		e->states = NULL;
		return -errno;
	}
	e->states_mapped = e->stale = true;
	check_states(e);
	return 0;
}

static int prepare(struct gb_export *e, const struct gb_export_config *config)
{
	e->lines = calloc(config->lines, sizeof(*e->lines));
	e->names = malloc(config->names_size + 1);
	if (!e->lines || !e->names)
		return -ENOMEM;
	memcpy(e->names, config->names, config->names_size);
	e->names_size = config->names_size;
	e->config.ngpio = rpmsg_gpio_store16((uint16_t)config->lines);
	e->config.gpio_names_size = rpmsg_gpio_store32(config->names_size);
	return open_states(e, config->state_fd);
}

static struct gb_export *export_new(struct gb_pump *pump, uint64_t id,
				    const struct gb_export_config *config)
{
	struct gb_export *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		return NULL;
	e->references = 1;
	e->pump = pump;
	e->id = id;
	e->count = config->lines;
	e->timeout_ns = (uint64_t)config->timeout_ms * 1000000;
	e->listen_fd = config->listen_fd;
	e->listen_timer.expired = pause_over;
	error = prepare(e, config);
	if (!error)
		return e;
	unreference(e);
	errno = -error;
	return NULL;
}

struct gb_export *gb_export_open(struct gb_pump *pump, uint64_t id,
				 const struct gb_export_config *config)
{
	struct gb_export *e = NULL;

	errno = EINVAL;
	if (config->lines >= 1 && config->lines <= GB_EXPORT_LINES_MAX)
		e = export_new(pump, id, config);
	if (!e) {
		close(config->listen_fd);
		return NULL;
	}
	gb_lock(pump);
	guest_init(&e->guest, pump, &guest_ops);
	e->next = pump->exports;
	pump->exports = e;
	listen_again(e);
	gb_unlock(pump);
	return e;
}

/* A guest whose request is not answered hangs for ever, and one that goes on with
 * the next service presents every buffer again that was not returned. */
static void answer_all(struct gb_export *e)
{
	for (uint32_t i = 0; i < e->count; i++)
		give_back(e, &e->lines[i], VIRTIO_GPIO_EVENT_INVALID);
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		if (e->requests[i].used && !e->requests[i].dead && !e->requests[i].answered)
			answer(e, &e->requests[i], VIRTIO_GPIO_STATUS_ERR, 0);
	for (unsigned int i = 0; i < UNDERWAY_MAX; i++)
		e->requests[i].dead = true; /* calls that return find nothing to do */
}

void gb_export_free(struct gb_export *e)
{
	struct gb_export **place = &e->pump->exports;

	while (*place != e)
		place = &(*place)->next;
	*place = e->next;
	e->closed = true;
	stop_listening(e);
	close(e->listen_fd);
	guest_enter(&e->guest);
	answer_all(e);
	guest_drop(&e->guest);
	guest_leave(&e->guest);
	for (uint32_t i = 0; i < e->count; i++)
		detach(e, &e->lines[i]);
	unreference(e);
}

void gb_export_close(struct gb_export *e)
{
	struct gb_pump *pump = e->pump;

	gb_lock(pump);
	gb_export_free(e);
	gb_unlock(pump);
}
