/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_internal.h - what the parts of the serial link share.
 *
 *   serial_handshake.c  from an open port to a session
 *   serial_link.c       the driver's role in the session, and the pump's side
 *
 * The session itself is that of both sides: firmware_stub/core/rpmsg_gpio_serial_session.h.
 */
#ifndef GB_SERIAL_INTERNAL_H
#define GB_SERIAL_INTERNAL_H

#include "rpmsg_gpio_serial_session.h"
#include "serial_link.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define SLOTS RPMSG_GPIO_SERIAL_WINDOW_MAX
#define OUT_SIZE 2048 /* several frames in one write */
#define ENDPOINT_MAX 0xfeu
#define MRU_LEAST 16u
#define GB_SERIAL_FRAME_MAX RPMSG_GPIO_SERIAL_FRAME_MAX(RPMSG_GPIO_MESSAGE_MAX)
#define GB_SERIAL_WIRE_MAX RPMSG_GPIO_SERIAL_WIRE_SIZE(GB_SERIAL_FRAME_MAX)

struct message {
	uint16_t length;
	uint8_t endpoint, port;
	bool repeated; /* was sent before */
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];
};

struct serial_link {
	struct gb_link base;
	struct gb_serial_options options;
	struct gb_serial_counters counters;
	struct gb_timer timer;
	uint64_t now; /* the latest look at the clock; session.now is the same in us */
	struct rpmsg_gpio_serial_session session;
	uint32_t session_id, epoch;
	bool welcome_refused; /* for its peer_version or peer_mru */
	uint8_t peer_version;
	bool reset_seen;
	bool left; /* said RESET, and all of it was written */
	/* Of each endpoint's last message, where its answers go: a port is the last byte
	 * of that address, which is not enough to tell all addresses. */
	uint32_t sources[ENDPOINT_MAX + 1];

	/* receiving */
	struct rpmsg_gpio_serial_decoder decoder;
	uint8_t frame[GB_SERIAL_FRAME_MAX];
	uint64_t poll_at;      /* with keepalive_ms: after so much silence */
	uint64_t polled_at;    /* the first POLL since something came, or 0 */

	/* sending */
	struct message slots[SLOTS]; /* by sequence number */
	uint64_t progress_at;     /* of the acknowledgements */
	bool full;                /* send said -EAGAIN */
	uint8_t out[OUT_SIZE];
	size_t out_at, out_end;
	bool watching_room;
	uint64_t room_at;         /* try to write again, 0: not waiting */
	unsigned int room_tries;  /* in vain, in a row */
};

/* Make a link before its handshake, for a descriptor that stays the caller's until then. */
struct serial_link *gb_serial_new(int fd, const struct gb_serial_options *options);
/* Encode a frame with its CRC and delimiter; `to` has room for GB_SERIAL_WIRE_MAX bytes. Returns
 * how many it takes. */
size_t gb_serial_encode(uint8_t *to, const void *head, size_t head_length, const void *payload,
			size_t payload_length);
void gb_serial_put_hello(struct serial_link *link);
/* Write what `out` holds. 1: all of it; 0: no room; or the death of the link. */
int gb_serial_write_out(struct serial_link *link);
/* A byte came. 0, or the death of the link. */
int gb_serial_take(struct serial_link *link, uint8_t byte);

#endif
