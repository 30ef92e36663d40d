/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export_internal.h - what the parts of an export share. Everything here is used with the
 * pump's lock held.
 *
 *   state_file.c  what the guest has set up, in a file
 *   kept.c      the guest outside of this process, which may end at any time
 *   guest.c     one vhost-user session on the pump's loop
 *   lines.c     what the guest has set up: interrupts, and lines that come and go
 *   requests.c  requestq: what the driver asks, and the answers in their order
 *   export.c    the device: its guest, its queues, its life
 */
#ifndef EXPORT_INTERNAL_H
#define EXPORT_INTERNAL_H

#include "export.h"
#include "guest.h"
#include "kept.h"
#include "pump/exported.h"
#include "rpmsg_gpio.h"
#include "state_file.h"

#define REQUESTQ 0
#define EVENTQ   1

/* Requests of one guest that are under way; the rest waits in its ring, so that
 * it does not fill the queue of a controller that others use too. */
#define UNDERWAY_MAX 64u

_Static_assert(sizeof(struct gb_export_line) == 4, "as in the state file");

/* A request of the guest, from its chain to the answer in it. */
struct request {
	bool used;
	bool stale;    /* its guest is gone: the answer is for nobody */
	bool answered; /* but an earlier one of its line is not */
	uint8_t irq_type_before;
	uint8_t answer[2]; /* status, value */
	uint32_t ticket;   /* its place among those of its line */
	uint16_t head;
	uint16_t line;
	uint8_t *status, *value; /* where the answer goes */
};

struct line {
	struct gb_exported_line base;
	bool enabled; /* the firmware may have an irq type */
	bool armed;   /* one interrupt is awaited, or asked for */
	bool letting_go; /* our DIRECTION_NONE is under way, and nobody has used the line since */
	uint32_t attempts; /* to arm it or to let it go, without an answer */
	uint32_t tickets;  /* given to requests of this guest */
	uint32_t answers;  /* given in their order */
	bool buffered;
	uint16_t buffer;   /* head of the event's chain */
	uint8_t *buffer_status;
};

struct gb_export {
	struct guest guest; /* first: see of_guest() */
	struct gb_exported base;
	struct gb_source *listen_source;
	struct gb_timer listen_timer; /* listens again after a pause */
	int listen_fd;
	bool handed_over; /* the guest is the next process's */
	bool paused;   /* it takes no more requests */
	bool starved;  /* all requests are under way */
	bool stale;    /* states are from a file, and no guest has gone on with them */
	struct gb_export_status status;

	struct virtio_gpio_config config;
	char *names;
	uint32_t names_size;
	struct line *lines;
	struct gb_export_line *states;
	struct state_file file; /* a copy of them */
	struct kept kept;       /* and one, with the guest's session */
	struct gb_timer keep_timer;
	struct request requests[UNDERWAY_MAX];
};

static inline struct gb_export *of_guest(void *guest)
{
	return guest;
}

/* Of a line of an export: its base comes first. */
static inline struct line *of_base(struct gb_exported_line *base)
{
	return (struct line *)(void *)base;
}

static inline struct gb_export *export_of(const struct line *line)
{
	return (struct gb_export *)(void *)((char *)line->base.exported -
					    offsetof(struct gb_export, base));
}

static inline struct gb_export_line *state_of(struct gb_export *e, const struct line *line)
{
	return &e->states[line->base.index];
}

static inline bool has_irq(const struct gb_export *e)
{
	return e->guest.session.features & VHOST_USER_BIT(VIRTIO_GPIO_F_IRQ);
}

/* The firmware forgets the line. */
static inline bool frees(uint16_t type, uint32_t value)
{
	return type == VIRTIO_GPIO_MSG_SET_DIRECTION && value == VIRTIO_GPIO_DIRECTION_NONE;
}

/* The driver takes such a request for done, whatever comes of it. */
static inline bool lets_go(uint16_t type, uint32_t value)
{
	return frees(type, value) || (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE &&
				      value == VIRTIO_GPIO_IRQ_TYPE_NONE);
}

static inline uint8_t *writable_byte(const struct split_chain *chain, size_t offset)
{
	const struct iovec *part = chain->iov + chain->readable;

	while (offset >= part->iov_len)
		offset -= part++->iov_len;
	return (uint8_t *)part->iov_base + offset;
}

/* ---- lines.c -------------------------------------------------------------------- */

/* The state of a line has changed: what outlives the process must be the same. */
void export_save(struct gb_export *e, const struct line *line);
/* The guest's request is about to be submitted. */
void export_line_ask(struct gb_export *e, struct line *line, uint16_t type, uint32_t value);
/* The outcome of the guest's request: 0 or an errno. `irq_type_before` is the type before
 * export_line_ask(). */
void export_line_settle(struct gb_export *e, struct line *line, const struct gb_call *call,
			uint8_t irq_type_before, int error);
/* The guest is gone, or its driver begins anew. */
void export_line_reset(struct gb_export *e, struct line *line);
/* The line is back, perhaps with firmware that has just started. */
void export_line_restore(struct gb_export *e, struct line *line);
/* The buffer for the line's next event is there. */
void export_line_buffered(struct gb_export *e, struct line *line);
/* Return it, if there is one. */
void export_line_give_back(struct gb_export *e, struct line *line, uint8_t status);
/* Before they are attached for the first time. */
void export_init_lines(struct gb_export *e);
void export_line_detach(struct line *line);

/* ---- requests.c ------------------------------------------------------------------ */

/* Whether a type of request knows the value. */
bool export_sensible(uint16_t type, uint32_t value);
/* Whether the guest has requests under way. `guest` is of the export. */
bool export_busy(void *guest);
/* Take one request from the ring. Returns 1, or 0 when there is none, no place is free, or the
 * guest was disconnected. */
int export_take_request(struct gb_export *e);
/* Answer all that are under way with ERR: the export ends. */
void export_refuse_requests(struct gb_export *e);
/* The guest is gone: there is nobody to answer. */
void export_forget_requests(struct gb_export *e);

#endif
