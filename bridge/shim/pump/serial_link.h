/* SPDX-License-Identifier: BSD-3-Clause */
/* serial_link.h - a link over a byte stream (docs/protocol.md section 12). */
#ifndef GB_SERIAL_LINK_H
#define GB_SERIAL_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "link.h"

struct gb_serial_options {
	uint32_t bit_rate;     /* what the bytes are paced at, 0: not at all */
	uint16_t ack_ms;       /* longest wait before an ACK of its own */
	uint16_t retry_ms;     /* before a frame is sent again, on an idle wire */
	uint32_t keepalive_ms; /* poll a peer that is silent so long, 0: never */
	uint32_t dead_ms;      /* unanswered for so long: the link is down */
};

/*
 * Begin a session on `fd`, a tty or another byte stream that is open, within
 * `timeout_ms`; `name` is for sentences. The descriptor is the link's from
 * here on, or closed on failure: NULL, errno and a sentence in why[]:
 * ETIMEDOUT nobody answers, EPROTONOSUPPORT another version, EPROTO messages
 * too short for a request, ENODEV the other end is gone. Blocks; to be called
 * without the pump's lock, and with SIGPIPE ignored where the stream may be a
 * socket.
 */
struct gb_link *gb_serial_attach(int fd, const char *name,
				 const struct gb_serial_options *options, int timeout_ms,
				 char *why, size_t why_size);

/* Frames since the session began. */
struct gb_serial_counters {
	uint64_t sent;     /* all kinds, repeated ones included */
	uint64_t repeated; /* messages sent again */
	uint64_t received; /* with a good CRC */
	uint64_t damaged;
	uint64_t repeats;  /* messages that came again */
	uint64_t bytes_sent, bytes_received;
};

void gb_serial_count(const struct gb_link *base, struct gb_serial_counters *counters);

#endif
