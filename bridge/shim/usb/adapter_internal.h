/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter_internal.h - what the parts of an adapter share. Used with the pump's lock held.
 *
 *   usbip.c     one session with the kernel
 *   messages.c  messages to the kernel's drivers
 *   pacing.c    from edges to events, one after the other
 *   lines.c     what the kernel has set up: lines that come and go
 *   dln2.c      what the kernel asks
 *   adapter.c   its life, and what Python asks
 */
#ifndef ADAPTER_INTERNAL_H
#define ADAPTER_INTERNAL_H

#include "adapter.h"
#include "pump/exported.h"
#include "rpmsg_gpio.h"
#include "usbip.h"

/* Levels that wait for the kernel, of each line. */
#define ADAPTER_LEVELS 1024u
/* Requests of the kernel that the firmware was asked: they may outlive the kernel's patience. */
#define ADAPTER_QUESTIONS_MAX 128u

/* DLN2_GPIO_EVENT_*: what the kernel wants to be told of. */
enum adapter_event {
	ADAPTER_NONE = 0,
	ADAPTER_CHANGE = 1,
	ADAPTER_HIGH = 2,
	ADAPTER_LOW = 3,
};

/* The levels after edges, the oldest first. */
struct adapter_levels {
	uint64_t bits[ADAPTER_LEVELS / 64];
	uint32_t first, count;
};

struct adapter_line {
	struct gb_exported_line base;
	uint8_t direction;  /* VIRTIO_GPIO_DIRECTION_*; NONE: not set */
	uint8_t value;      /* last one set, if has_value */
	bool has_value;
	bool touched;       /* the firmware has state of the kernel's */
	bool kept;          /* it stays as it is when it is let go */
	/* pacing.c */
	enum adapter_event event;
	bool debounced;     /* by the kernel: it looks at the level when it likes */
	bool told;          /* of an edge, and not asked yet which one it was */
	bool level;         /* after that edge */
	bool masked;        /* armed again when there is room for edges */
	uint8_t unasked;    /* edges in a row for which it did not ask */
	uint64_t until_ns;  /* when the wait for that question is over */
	struct adapter_levels levels;
};

/* A request of the kernel, from the message to the answer. */
struct adapter_question {
	bool used;
	uint64_t message; /* of the session */
	uint8_t header[8]; /* of the message, as it came */
	uint8_t before;    /* the event that was wanted before */
	uint8_t wanted;    /* the event that is wanted from here on */
};

struct gb_adapter {
	struct usbip usb; /* first: see of_usb() */
	struct gb_exported base;
	bool debounces; /* the next line that wants events is debounced by the kernel */
	struct usbip_identity identity;
	char texts[2][64];
	struct gb_adapter_status status;
	struct gb_event_places places;
	struct gb_timer window; /* of lines that were told of an edge */
	struct adapter_question questions[ADAPTER_QUESTIONS_MAX];
	struct adapter_line lines[];
};

static inline struct gb_adapter *of_usb(struct usbip *usb)
{
	return (struct gb_adapter *)(void *)usb;
}

static inline struct gb_adapter *adapter_of(const struct adapter_line *line)
{
	return (struct gb_adapter *)(void *)((char *)line->base.exported -
					     offsetof(struct gb_adapter, base));
}

/* Of a line of an adapter: its base comes first. */
static inline struct adapter_line *of_base(struct gb_exported_line *base)
{
	return (struct adapter_line *)(void *)base;
}

static inline struct adapter_line *of_interrupt(struct gb_interrupt *interrupt)
{
	return (struct adapter_line *)(void *)interrupt;
}

/* A line could not be set up again, armed or let go. */
static inline void adapter_note_fault(struct gb_adapter *adapter)
{
	adapter->status.faults++;
	gb_exported_report(&adapter->base);
}

/* ---- messages.c ---------------------------------------------------------------------- */

#define DLN2_HEADER_SIZE 8u

static inline uint32_t dln2_get16(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8;
}

/* The answer to a message with this header, with up to four bytes. */
void dln2_answer(struct gb_adapter *adapter, uint64_t message, const uint8_t *header,
		 const uint8_t *body, size_t length);
void dln2_answer_value(const struct adapter_line *line, uint64_t message, const uint8_t *header,
		       uint8_t value);
/* Tell the kernel of an edge. */
void dln2_send_event(const struct adapter_line *line, bool high);

/* ---- pacing.c -------------------------------------------------------------------------- */

void pacing_init(struct gb_adapter *adapter);
/* The kernel wants to be told of other events; the firmware is asked by somebody else. */
void pacing_want(struct adapter_line *line, enum adapter_event event);
/* The firmware has agreed: of a level that lasts there is no edge. */
void pacing_begun(struct adapter_line *line);
/* Ask for edges again: the line is back. */
void pacing_arm(struct adapter_line *line);
/* The line is not there any more. */
void pacing_detach(struct adapter_line *line);
/* The kernel asks for a level. True: it is that after the edge that it was told of. */
bool pacing_asked(struct adapter_line *line, bool *high);
/* Events may go out. */
void pacing_ready(struct usbip *usb);

/* ---- lines.c ------------------------------------------------------------------------- */

void adapter_set_direction(struct adapter_line *line, uint8_t direction);
/* The kernel has no use for the line any more. */
void adapter_let_go(struct adapter_line *line);

/* ---- dln2.c -------------------------------------------------------------------------- */

/* A message of the kernel. */
void dln2_received(struct usbip *usb, uint64_t message, const uint8_t *bytes, size_t length);

#endif
