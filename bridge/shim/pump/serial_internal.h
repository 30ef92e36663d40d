/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_internal.h - what the parts of the serial link share.
 *
 *   serial_frames.c     COBS and CRC
 *   serial_handshake.c  from an open port to a session
 *   serial_link.c       the session: window, repetition, deadlines, the pump's side
 */
#ifndef GB_SERIAL_INTERNAL_H
#define GB_SERIAL_INTERNAL_H

#include "rpmsg_gpio.h"
#include "serial_frames.h"
#include "serial_link.h"

#define NS_PER_MS UINT64_C(1000000)
#define SLOTS RPMSG_GPIO_SERIAL_WINDOW_MAX
#define OUT_SIZE 2048 /* several frames in one write */
#define ENDPOINT_MAX 0xfeu
#define MRU_LEAST 16u

struct message {
	uint16_t length;
	uint8_t endpoint, port;
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
};

struct serial_link {
	struct gb_link base;
	struct gb_serial_options options;
	struct gb_serial_counters counters;
	struct gb_timer timer;
	uint64_t byte_ns;
	uint32_t session, epoch;
	uint16_t peer_mru;
	uint8_t peer_window;
	bool up;
	bool welcome_refused; /* for its peer_version or peer_mru */
	uint8_t peer_version;
	bool reset_seen;
	bool left; /* said RESET, and all of it was written */
	/* Of each endpoint's last message, where its answers go: a port is the last byte
	 * of that address, which is not enough to tell all addresses. */
	uint32_t sources[ENDPOINT_MAX + 1];

	/* receiving */
	struct gb_serial_decoder decoder;
	uint8_t expected;
	unsigned int unacked;
	bool ack_due, nak_due, poll_due;
	bool polled;           /* an ACK is due, whatever else carries its number */
	uint64_t ack_at;       /* with unacked */
	uint64_t nak_again_at; /* 0: at once */
	uint64_t poll_at;      /* with keepalive_ms: after so much silence */
	uint64_t polled_at;    /* the first POLL since something came, or 0 */

	/* sending */
	struct message slots[SLOTS]; /* by sequence number */
	uint8_t una;
	unsigned int count, sent; /* from una on: kept; sent in this round */
	unsigned int retries;
	uint64_t retry_at;        /* 0: nothing is on its way */
	uint64_t progress_at;     /* of the acknowledgements */
	bool lead;                /* a delimiter before the next frame */
	bool full;                /* send said -EAGAIN */
	uint8_t out[OUT_SIZE];
	size_t out_at, out_end;
	bool watching_room;
	uint64_t room_at;         /* try to write again, 0: not waiting */
	unsigned int room_tries;  /* in vain, in a row */
};

/* A link before its handshake, for a descriptor that stays the caller's until then. */
struct serial_link *gb_serial_new(int fd, const struct gb_serial_options *options);
void gb_serial_put_hello(struct serial_link *link);
/* Write what `out` holds. 1: all of it; 0: no room; or the death of the link. */
int gb_serial_write_out(struct serial_link *link);
/* A byte came. 0, or the death of the link. */
int gb_serial_take(struct serial_link *link, uint8_t byte);

#endif
