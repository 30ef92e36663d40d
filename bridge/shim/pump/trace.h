/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - what goes over links: the last messages of each, always; and all of them, for
 * whoever reads along (a tap).
 *
 * A record takes slots of 64 bytes, mostly one: the head of struct gb_trace_record, and data
 * that goes on into the next slots. The last GB_TRACE_LAST slots of a link lie in plain memory;
 * a tap is a ring that the client maps (event_ring.h), which loses what its reader has no
 * place for. What a message costs with no tap is one slot of stores and a branch.
 */
#ifndef GB_TRACE_H
#define GB_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "pump.h"

/* Slots that are kept of each link: 16 KiB. */
#define GB_TRACE_LAST 256u
#define GB_TRACE_SLOTS_MAX 9u
/* Bytes of data that are kept of one record, more than any message of rpmsg has. */
#define GB_TRACE_DATA_MAX (GB_TRACE_SLOTS_MAX * 64u - 28u)
/* Instead of a link's number: those of all links. */
#define GB_TRACE_ALL 0xffffu

enum gb_trace_kind {
	GB_TRACE_SENT,       /* a message to the firmware */
	GB_TRACE_RECEIVED,   /* a message of the firmware */
	GB_TRACE_SENT_AGAIN, /* a frame of a serial line, with its message */
	GB_TRACE_REPEATED,   /* a frame of a serial line came that had come before: its message */
	GB_TRACE_DAMAGED,    /* a frame of a serial line came damaged */
	GB_TRACE_TIMEOUT,    /* no reply until the deadline: the request's first 12 bytes */
	GB_TRACE_CHANNEL,    /* a channel was announced: its name */
	GB_TRACE_CHANNEL_GONE,
	GB_TRACE_UP,         /* the link is up */
	GB_TRACE_DOWN,       /* the link is dead: why */
};

struct gb_trace_record {
	uint64_t time_ns;  /* CLOCK_MONOTONIC */
	uint32_t number;   /* of the link's records, from 0: a gap is a loss */
	uint32_t source;   /* our address, 0 where none is known */
	uint32_t address;  /* the firmware's */
	uint16_t link;     /* number of the link */
	uint16_t kind;
	uint16_t features; /* RPMSG_GPIO_F_* that were accepted on the endpoint */
	uint16_t length;   /* of the message; GB_TRACE_DATA_MAX bytes are kept */
	uint8_t data[36];  /* the rest is in the next slots */
};

struct gb_trace;
struct gb_tap;

/* ---- what Python calls ---------------------------------------------------- */

/* The trace of the link number `link`, which outlives what comes up and goes down under that
 * number; the pump frees it at its end. NULL with errno. */
struct gb_trace *gb_trace_open(struct gb_pump *pump, uint16_t link);
/* The last records in order: the number of slots, at most GB_TRACE_LAST. */
size_t gb_trace_last(struct gb_trace *trace, void *slots);

struct gb_tap_fds {
	int bell; /* readable while records wait, HUP when the tap is closed */
	int ring;
};

/* Read along, from now on, on the link number `link` or on all; the descriptors are the
 * client's. NULL with errno. */
struct gb_tap *gb_tap_open(struct gb_pump *pump, uint16_t link, struct gb_tap_fds *fds);
void gb_tap_close(struct gb_tap *tap);

/* ---- what links call, with the lock held ----------------------------------- */

/* A record of `time_ns`; nothing without a trace. */
void gb_trace_add(struct gb_trace *trace, uint64_t time_ns, enum gb_trace_kind kind,
		  uint32_t source, uint32_t address, uint32_t features, const void *data,
		  size_t length);

#endif
