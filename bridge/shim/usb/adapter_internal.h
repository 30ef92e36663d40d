/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter_internal.h - what the parts of an adapter share. Used with the pump's lock held.
 *
 *   adapter.c   its life, and what Python asks
 *   dln2.c      what the kernel asks: messages, and the answers to them
 *   lines.c     what the kernel has set up: lines that come and go
 *   pacing.c    from edges to events, one after the other
 *   usbip.c     one session with the kernel
 */
#ifndef ADAPTER_INTERNAL_H
#define ADAPTER_INTERNAL_H

#include "adapter.h"
#include "pump/interrupt.h"
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
	struct gb_interrupt interrupt; /* its controller is NULL: not there now */
	struct gb_adapter *adapter;
	uint32_t life;      /* of the attachment: calls of an earlier one do not count */
	uint8_t direction;  /* VIRTIO_GPIO_DIRECTION_*; NONE: not set */
	uint8_t value;      /* last one set, if has_value */
	bool has_value;
	bool touched;       /* the firmware has state of the kernel's */
	bool changed;       /* its direction, see gb_adapter_changed() */
	bool kept;          /* it stays as it is when it is let go */
	/* pacing.c */
	enum adapter_event event;
	bool debounced;     /* by the kernel: it looks at the level when it likes */
	bool told;          /* of an edge, and not asked yet which one it was */
	bool level;         /* after that edge */
	bool masked;        /* armed again when there is room for edges */
	uint8_t unasked;    /* edges in a row for which it did not ask */
	uint64_t until_ns;  /* it is waited so long for that */
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
	struct gb_pump *pump;
	struct gb_part part;
	uint64_t id, timeout_ns;
	bool closed;
	bool reported; /* a report waits for gb_adapter_status() */
	bool debounces; /* the next line that wants events is debounced by the kernel */
	uint32_t references; /* calls that will come back, and the owner */
	struct usbip_identity identity;
	char texts[2][64];
	struct gb_adapter_status status;
	struct gb_event_places places;
	struct gb_timer window; /* of lines that were told of an edge */
	uint32_t count;
	struct adapter_question questions[ADAPTER_QUESTIONS_MAX];
	struct adapter_line lines[];
};

static inline struct gb_adapter *of_usb(struct usbip *usb)
{
	return (struct gb_adapter *)(void *)usb;
}

static inline uint32_t line_of(const struct adapter_line *line)
{
	return (uint32_t)(line - line->adapter->lines);
}

static inline struct adapter_line *of_interrupt(struct gb_interrupt *interrupt)
{
	return (struct adapter_line *)(void *)((char *)interrupt -
					       offsetof(struct adapter_line, interrupt));
}

/* ---- adapter.c --------------------------------------------------------------------- */

/* Wake Python; at most one report waits. */
void adapter_report(struct gb_adapter *adapter);
/* A call came back, or was not submitted. */
void adapter_unreference(struct gb_adapter *adapter);

/* ---- dln2.c -------------------------------------------------------------------------- */

/* A message of the kernel. */
void dln2_received(struct usbip *usb, uint64_t message, const uint8_t *bytes, size_t length);
/* Tell the kernel of an edge. */
void dln2_send_event(struct gb_adapter *adapter, uint32_t index, bool high);

/* ---- lines.c ------------------------------------------------------------------------- */

/* Ask the line's controller, `done` with `argument`. `owed`: however long its queue is. 0;
 * -ENODEV: the line is not there; other errors of gb_call_submit(). */
int adapter_submit(struct adapter_line *line, uint16_t type, uint32_t value, bool owed,
		   gb_call_fn done, uint64_t argument);
/* The line of a call with the argument adapter_argument(); NULL: it was detached in between. */
struct adapter_line *adapter_line_of_call(const struct gb_call *call);
uint64_t adapter_argument(const struct adapter_line *line);
void adapter_set_direction(struct adapter_line *line, uint8_t direction);
/* The kernel has no use for the line any more. */
void adapter_let_go(struct adapter_line *line);
void adapter_detach(struct adapter_line *line);

/* ---- pacing.c -------------------------------------------------------------------------- */

extern const struct gb_interrupt_ops pacing_ops;

void pacing_init(struct gb_adapter *adapter);
/* The kernel wants to be told of other events; the firmware is asked by somebody else. */
void pacing_want(struct adapter_line *line, enum adapter_event event);
/* The firmware has agreed: of a level that lasts there is no edge. */
void pacing_begun(struct adapter_line *line);
/* Ask for edges again: the line is back. */
void pacing_arm(struct adapter_line *line);
/* The line is not there any more. */
void pacing_forget(struct adapter_line *line);
/* The kernel asks for a level. True: it is that after the edge that it was told of. */
bool pacing_asked(struct adapter_line *line, bool *high);
/* Events may go out. */
void pacing_ready(struct usbip *usb);

#endif
