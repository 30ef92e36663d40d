/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_serial_session.h - what both sides of docs/protocol.md section 12 do: frames,
 * COBS and CRC, sequence numbers, acknowledgements, repetition.
 *
 * The roles differ in what they owe to each other (the driver says HELLO and POLL, the
 * device WELCOME), and in where their messages wait; rpmsg_gpio_serial.c is the device's.
 * All is inline: what a role does not use takes no flash.
 */
#ifndef RPMSG_GPIO_SERIAL_SESSION_H
#define RPMSG_GPIO_SERIAL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg_gpio.h"

/* ---- the wire ------------------------------------------------------------ */

#define RPMSG_GPIO_SERIAL_VERSION 1

/* Byte 0 of a frame. DATA has bit 7 set and its sequence number below it. */
#define RPMSG_GPIO_SERIAL_DATA    0x80
#define RPMSG_GPIO_SERIAL_HELLO   0x01
#define RPMSG_GPIO_SERIAL_WELCOME 0x02
#define RPMSG_GPIO_SERIAL_ACK     0x03
#define RPMSG_GPIO_SERIAL_NAK     0x04
#define RPMSG_GPIO_SERIAL_POLL    0x05
#define RPMSG_GPIO_SERIAL_RESET   0x06

/* Sequence numbers count modulo 128; at most half of them are in flight. */
#define RPMSG_GPIO_SERIAL_SEQUENCE_MASK 0x7fu
#define RPMSG_GPIO_SERIAL_WINDOW_MAX    64

/* The endpoint of the announcements. */
#define RPMSG_GPIO_SERIAL_NS_ENDPOINT 0xff
#define RPMSG_GPIO_SERIAL_NS_CREATED  0
#define RPMSG_GPIO_SERIAL_NS_GONE     1
#define RPMSG_GPIO_SERIAL_NS_LIST     2
#define RPMSG_GPIO_SERIAL_NAME_MAX    31

#define RPMSG_GPIO_SERIAL_CRC_SIZE 4

struct rpmsg_gpio_serial_data {
	uint8_t sequence; /* 0x80 | sequence number */
	uint8_t ack;      /* the sequence number that is expected next */
	uint8_t endpoint; /* device's side */
	uint8_t port;     /* driver's side */
};

struct rpmsg_gpio_serial_ack { /* ACK, NAK, POLL */
	uint8_t kind;
	uint8_t ack;
};

struct rpmsg_gpio_serial_hello {
	uint8_t kind;
	uint8_t version;
	rpmsg_gpio_le32 session;  /* chosen by the driver */
	rpmsg_gpio_le16 mru;      /* largest message the driver takes */
	uint8_t window;           /* messages in flight that it takes */
	uint8_t reserved;
	rpmsg_gpio_le32 bit_rate; /* of the UART; 0: none */
	rpmsg_gpio_le16 ack_ms;   /* longest wait before an ACK of its own */
	rpmsg_gpio_le16 retry_ms; /* before a frame is sent again */
};

struct rpmsg_gpio_serial_welcome {
	uint8_t kind;
	uint8_t version;
	rpmsg_gpio_le32 session; /* of the HELLO that it answers */
	rpmsg_gpio_le16 mru;
	uint8_t window;
	uint8_t reserved;
	rpmsg_gpio_le32 epoch;   /* boot id of the device, or 0 */
};

struct rpmsg_gpio_serial_reset {
	uint8_t kind;
	uint8_t reserved;
	rpmsg_gpio_le32 id; /* device: its epoch; driver: its session */
};

/* On the wire: delimiter, a COBS code for each 254 bytes and the first. */
#define RPMSG_GPIO_SERIAL_FRAME_MAX(payload) \
	((payload) + sizeof(struct rpmsg_gpio_serial_data) + RPMSG_GPIO_SERIAL_CRC_SIZE)
#define RPMSG_GPIO_SERIAL_WIRE_SIZE(frame) ((frame) + (frame) / 254 + 2)

/* CRC-32C (Castagnoli; RFC 3720 B.4), a nibble at a time: 64 bytes of table. */
#define RPMSG_GPIO_SERIAL_CRC_FIRST 0xffffffffu

static inline uint32_t rpmsg_gpio_serial_crc(uint32_t crc, uint8_t byte)
{
	static const uint32_t table[16] = {
		0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
		0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
		0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
		0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
	};

	crc ^= byte;
	crc = crc >> 4 ^ table[crc & 0xf];
	return crc >> 4 ^ table[crc & 0xf];
}

/* A receiver's CRC over a whole frame and its CRC field ends at this. */
#define RPMSG_GPIO_SERIAL_CRC_RESIDUE 0xb798b438u

/* Whether a frame of `length` bytes ends with the CRC of those before it. */
static inline bool rpmsg_gpio_serial_crc_fits(const uint8_t *frame, uint16_t length)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	uint16_t i;

	if (length <= RPMSG_GPIO_SERIAL_CRC_SIZE)
		return false;
	for (i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame[i]);
	return crc == RPMSG_GPIO_SERIAL_CRC_RESIDUE;
}

/* ---- COBS ---------------------------------------------------------------- */

#define RPMSG_GPIO_SERIAL_RUN_MAX 254u /* bytes of a block without its code */

/* A frame being received. All bytes zero: none yet. */
struct rpmsg_gpio_serial_decoder {
	uint16_t length;
	uint8_t left; /* bytes of the block */
	bool zero;    /* follows the block */
	bool bad;     /* skip until the next delimiter */
};

#define RPMSG_GPIO_SERIAL_DAMAGED (-1)

static inline void rpmsg_gpio_serial_decode_append(struct rpmsg_gpio_serial_decoder *decoder,
						   uint8_t *frame, uint16_t size, uint8_t byte)
{
	if (decoder->length < size)
		frame[decoder->length++] = byte;
	else
		decoder->bad = true;
}

static inline int rpmsg_gpio_serial_decode_end(struct rpmsg_gpio_serial_decoder *decoder,
					       const uint8_t *frame)
{
	uint16_t length = decoder->length;
	/* Two delimiters in a row are an idle line. */
	bool empty = !length && !decoder->left && !decoder->zero && !decoder->bad;
	bool good = !decoder->bad && !decoder->left && rpmsg_gpio_serial_crc_fits(frame, length);

	decoder->length = 0;
	decoder->left = 0;
	decoder->zero = decoder->bad = false;
	if (good)
		return length - RPMSG_GPIO_SERIAL_CRC_SIZE;
	return empty ? 0 : RPMSG_GPIO_SERIAL_DAMAGED;
}

/*
 * Take a byte in; `frame` has room for `size` and keeps what came until the byte after
 * its end. Returns the length of the frame that ended here, without its CRC; 0 when none
 * did; RPMSG_GPIO_SERIAL_DAMAGED when it is not what was sent.
 */
static inline int rpmsg_gpio_serial_decode(struct rpmsg_gpio_serial_decoder *decoder,
					   uint8_t *frame, uint16_t size, uint8_t byte)
{
	if (!byte)
		return rpmsg_gpio_serial_decode_end(decoder, frame);
	if (decoder->left) {
		decoder->left--;
		rpmsg_gpio_serial_decode_append(decoder, frame, size, byte);
		return 0;
	}
	if (decoder->zero)
		rpmsg_gpio_serial_decode_append(decoder, frame, size, 0);
	decoder->left = (uint8_t)(byte - 1);
	decoder->zero = byte != RPMSG_GPIO_SERIAL_RUN_MAX + 1;
	return 0;
}

/* A frame being sent, encoded on the way. All bytes zero: none. */
struct rpmsg_gpio_serial_encoder {
	uint16_t length; /* of the frame, with its CRC */
	uint16_t at;     /* the next of its bytes */
	uint8_t run;     /* bytes left of the block */
	bool skip;       /* the block ended at a zero */
	bool more;       /* another block follows */
	bool busy;
};

/* Byte `at` of a frame. */
typedef uint8_t (*rpmsg_gpio_serial_byte_fn)(const void *frame, uint16_t at);

static inline void rpmsg_gpio_serial_encode_start(struct rpmsg_gpio_serial_encoder *encoder,
						  uint16_t length)
{
	encoder->length = length;
	encoder->at = 0;
	encoder->run = 0;
	encoder->skip = false;
	encoder->more = true;
	encoder->busy = true;
}

/* The code of the next block. */
static inline uint8_t rpmsg_gpio_serial_encode_block(struct rpmsg_gpio_serial_encoder *encoder,
						     rpmsg_gpio_serial_byte_fn byte,
						     const void *frame)
{
	uint16_t at = encoder->at = (uint16_t)(encoder->at + encoder->skip);
	uint8_t run = 0;

	while (run < RPMSG_GPIO_SERIAL_RUN_MAX && at < encoder->length && byte(frame, at)) {
		run++;
		at++;
	}
	encoder->run = run;
	encoder->skip = run < RPMSG_GPIO_SERIAL_RUN_MAX && at < encoder->length;
	encoder->more = at < encoder->length;
	return (uint8_t)(run + 1);
}

/* The next byte for the wire; busy until the delimiter, which is the last. */
static inline uint8_t rpmsg_gpio_serial_encode(struct rpmsg_gpio_serial_encoder *encoder,
					       rpmsg_gpio_serial_byte_fn byte, const void *frame)
{
	if (encoder->run) {
		encoder->run--;
		return byte(frame, encoder->at++);
	}
	if (encoder->more)
		return rpmsg_gpio_serial_encode_block(encoder, byte, frame);
	encoder->busy = false;
	return 0;
}

/* ---- the session --------------------------------------------------------- */

/* What is to be sent, in its order. Any frame that carries the number settles an ACK;
 * one that was asked for by POLL is settled by an ACK alone. */
#define RPMSG_GPIO_SERIAL_OWE_RESET   0x01u
#define RPMSG_GPIO_SERIAL_OWE_WELCOME 0x02u
#define RPMSG_GPIO_SERIAL_OWE_NAK     0x04u
#define RPMSG_GPIO_SERIAL_OWE_POLL    0x08u
#define RPMSG_GPIO_SERIAL_OWE_DATA    0x10u /* never owed: says that a message waits */
#define RPMSG_GPIO_SERIAL_OWE_ACK     0x20u
#define RPMSG_GPIO_SERIAL_OWE_POLLED  0x40u

#define RPMSG_GPIO_SERIAL_BACKOFF_MAX  5u          /* doublings of the time between repetitions */
#define RPMSG_GPIO_SERIAL_RETRY_US_MAX 0x7fffffffu /* the furthest that _reached() can tell */

#define RPMSG_GPIO_SERIAL_SEQUENCE(n) ((uint8_t)((n) & RPMSG_GPIO_SERIAL_SEQUENCE_MASK))

/* Of a DATA frame on the wire, to estimate, beside the bytes that its message keeps. */
#define RPMSG_GPIO_SERIAL_FRAME_OVERHEAD 12u

#define RPMSG_GPIO_SERIAL_BYTE_US_MAX 40000u /* a rate below 300 bits/s is not believed */

/* Of a byte at `bit_rate`, rounded up; 0: without a rate. */
static inline uint32_t rpmsg_gpio_serial_byte_us(uint32_t bit_rate)
{
	uint32_t us = bit_rate ? 10000000u / bit_rate + 1 : 0;

	return us < RPMSG_GPIO_SERIAL_BYTE_US_MAX ? us : RPMSG_GPIO_SERIAL_BYTE_US_MAX;
}

/* Times in us, of any clock that counts modulo 2^32. */
struct rpmsg_gpio_serial_session {
	uint32_t now;
	uint32_t byte_us;  /* on the wire, rounded up; 0: not paced */
	uint32_t ack_us, retry_us;
	uint32_t ack_at;   /* with unacked */
	uint32_t nak_at;   /* with nak_held */
	uint32_t retry_at; /* with retry_armed */
	uint16_t peer_mru;
	uint8_t peer_window;
	bool up;
	uint8_t owed;      /* RPMSG_GPIO_SERIAL_OWE_ */
	/* receiving */
	uint8_t expected;  /* sequence number */
	uint8_t unacked;   /* messages that came since the latest ack */
	bool nak_held;     /* no other NAK before nak_at */
	/* sending: the messages that are not acknowledged yet */
	uint16_t bytes;    /* that they keep */
	uint8_t una;       /* sequence number of the oldest */
	uint8_t count;
	uint8_t sent;      /* of them, in this round */
	uint8_t retries;
	bool retry_armed;
	bool lead;         /* a delimiter before the next frame */
};

/* Forget the oldest message; returns the bytes that it kept. */
typedef uint16_t (*rpmsg_gpio_serial_drop_fn)(struct rpmsg_gpio_serial_session *session);

static inline bool rpmsg_gpio_serial_reached(uint32_t now, uint32_t time)
{
	return (now - time) < 0x80000000u;
}

static inline void rpmsg_gpio_serial_owe(struct rpmsg_gpio_serial_session *session,
					 unsigned int what)
{
	session->owed = (uint8_t)(session->owed | what);
}

static inline void rpmsg_gpio_serial_settle(struct rpmsg_gpio_serial_session *session,
					    unsigned int what)
{
	session->owed = (uint8_t)(session->owed & ~what);
}

/* It is `now`. */
static inline void rpmsg_gpio_serial_at(struct rpmsg_gpio_serial_session *session, uint32_t now)
{
	session->now = now;
	if (session->nak_held && rpmsg_gpio_serial_reached(now, session->nak_at))
		session->nak_held = false;
}

/* Nothing was said yet, in either direction. */
static inline void rpmsg_gpio_serial_forget(struct rpmsg_gpio_serial_session *session)
{
	session->bytes = 0;
	session->una = session->count = session->sent = session->retries = 0;
	session->expected = session->unacked = session->owed = 0;
	session->retry_armed = session->nak_held = false;
}

/* Both directions may be filled by what is on its way already. */
static inline void rpmsg_gpio_serial_arm_retry(struct rpmsg_gpio_serial_session *session)
{
	uint32_t bytes = session->bytes + RPMSG_GPIO_SERIAL_FRAME_OVERHEAD * session->count;
	uint32_t wait = session->retry_us + 2 * bytes * session->byte_us;
	unsigned int doublings = session->retries < RPMSG_GPIO_SERIAL_BACKOFF_MAX
					 ? session->retries : RPMSG_GPIO_SERIAL_BACKOFF_MAX;

	wait = wait < RPMSG_GPIO_SERIAL_RETRY_US_MAX >> doublings
		       ? wait << doublings : RPMSG_GPIO_SERIAL_RETRY_US_MAX;
	session->retry_at = session->now + wait;
	session->retry_armed = true;
}

/* Go back to the oldest message. The delimiter in front of the next frame ends what a
 * damaged one left in the peer's receiver. */
static inline void rpmsg_gpio_serial_send_again(struct rpmsg_gpio_serial_session *session)
{
	session->sent = 0;
	session->retry_armed = false;
	session->lead = true;
}

/* Something that the peer sent did not arrive. */
static inline void rpmsg_gpio_serial_ask_again(struct rpmsg_gpio_serial_session *session)
{
	if (session->nak_held)
		return;
	rpmsg_gpio_serial_owe(session, RPMSG_GPIO_SERIAL_OWE_NAK);
	session->nak_held = true;
	session->nak_at = session->now + session->retry_us / 2;
}

/* Everything before `ack` has arrived. False: that is not true of anything. */
static inline bool rpmsg_gpio_serial_acknowledge(struct rpmsg_gpio_serial_session *session,
						 uint8_t ack, rpmsg_gpio_serial_drop_fn drop)
{
	uint8_t count = RPMSG_GPIO_SERIAL_SEQUENCE((unsigned int)ack - session->una);

	if (count > session->count)
		return false;
	if (!count)
		return true;
	while (count--) {
		session->bytes = (uint16_t)(session->bytes - drop(session));
		session->una = RPMSG_GPIO_SERIAL_SEQUENCE(session->una + 1u);
		session->count--;
		if (session->sent)
			session->sent--;
	}
	session->retries = 0;
	if (session->sent)
		rpmsg_gpio_serial_arm_retry(session);
	else
		session->retry_armed = false;
	return true;
}

enum rpmsg_gpio_serial_place {
	RPMSG_GPIO_SERIAL_NEXT,
	RPMSG_GPIO_SERIAL_REPEATED, /* came before */
	RPMSG_GPIO_SERIAL_AHEAD,    /* one before it did not come */
};

/* A message came. It is taken only in its place, and then told so. */
static inline enum rpmsg_gpio_serial_place
rpmsg_gpio_serial_place(struct rpmsg_gpio_serial_session *session, uint8_t sequence)
{
	uint8_t ahead = RPMSG_GPIO_SERIAL_SEQUENCE((unsigned int)sequence - session->expected);

	if (ahead >= RPMSG_GPIO_SERIAL_WINDOW_MAX) {
		/* The peer missed that it arrived. */
		rpmsg_gpio_serial_owe(session, RPMSG_GPIO_SERIAL_OWE_ACK);
		return RPMSG_GPIO_SERIAL_REPEATED;
	}
	if (ahead) {
		rpmsg_gpio_serial_ask_again(session);
		return RPMSG_GPIO_SERIAL_AHEAD;
	}
	return RPMSG_GPIO_SERIAL_NEXT;
}

/* `window`: the messages that the peer may send before an ACK. */
static inline void rpmsg_gpio_serial_taken(struct rpmsg_gpio_serial_session *session,
					   unsigned int window)
{
	session->expected = RPMSG_GPIO_SERIAL_SEQUENCE(session->expected + 1u);
	session->nak_held = false;
	rpmsg_gpio_serial_settle(session, RPMSG_GPIO_SERIAL_OWE_NAK);
	if (!session->unacked++)
		session->ack_at = session->now + session->ack_us;
	if (2u * session->unacked >= window)
		rpmsg_gpio_serial_owe(session, RPMSG_GPIO_SERIAL_OWE_ACK);
}

/* ACK, NAK or POLL came. */
static inline void rpmsg_gpio_serial_ack_received(struct rpmsg_gpio_serial_session *session,
						  const uint8_t *frame,
						  rpmsg_gpio_serial_drop_fn drop)
{
	if (!rpmsg_gpio_serial_acknowledge(session, RPMSG_GPIO_SERIAL_SEQUENCE(frame[1]), drop))
		return;
	if (frame[0] == RPMSG_GPIO_SERIAL_NAK && session->sent)
		rpmsg_gpio_serial_send_again(session);
	if (frame[0] == RPMSG_GPIO_SERIAL_POLL)
		rpmsg_gpio_serial_owe(session, RPMSG_GPIO_SERIAL_OWE_POLLED);
}

/* What is due now is owed; true when no answer came and messages are to be sent again. */
static inline bool rpmsg_gpio_serial_check_time(struct rpmsg_gpio_serial_session *session)
{
	if (session->unacked && rpmsg_gpio_serial_reached(session->now, session->ack_at))
		rpmsg_gpio_serial_owe(session, RPMSG_GPIO_SERIAL_OWE_ACK);
	return session->retry_armed && rpmsg_gpio_serial_reached(session->now, session->retry_at);
}

static inline uint32_t rpmsg_gpio_serial_left(uint32_t now, uint32_t time, uint32_t least)
{
	uint32_t left = rpmsg_gpio_serial_reached(now, time) ? 0 : time - now;

	return left < least ? left : least;
}

/* The time after which something is due, UINT32_MAX for never. `refused`: a message is
 * asked for again as soon as it may be. */
static inline uint32_t rpmsg_gpio_serial_wait(const struct rpmsg_gpio_serial_session *session,
					      bool refused)
{
	uint32_t wait = UINT32_MAX;

	if (session->unacked && !(session->owed & RPMSG_GPIO_SERIAL_OWE_ACK))
		wait = rpmsg_gpio_serial_left(session->now, session->ack_at, wait);
	if (refused && session->nak_held)
		wait = rpmsg_gpio_serial_left(session->now, session->nak_at, wait);
	if (session->retry_armed)
		wait = rpmsg_gpio_serial_left(session->now, session->retry_at, wait);
	return wait;
}

/* The first of RPMSG_GPIO_SERIAL_OWE_ that is to be sent now; 0: nothing is. */
static inline unsigned int
rpmsg_gpio_serial_next(const struct rpmsg_gpio_serial_session *session)
{
	unsigned int due = session->owed;

	if (session->sent < session->count && session->sent < session->peer_window)
		due |= RPMSG_GPIO_SERIAL_OWE_DATA;
	return due & (0u - due);
}

/* ACK, NAK or POLL is being sent, which settles `owed`. */
static inline struct rpmsg_gpio_serial_ack
rpmsg_gpio_serial_ack(struct rpmsg_gpio_serial_session *session, uint8_t kind, unsigned int owed)
{
	struct rpmsg_gpio_serial_ack ack;

	ack.kind = kind;
	ack.ack = session->expected;
	rpmsg_gpio_serial_settle(session, RPMSG_GPIO_SERIAL_OWE_ACK | owed);
	session->unacked = 0;
	return ack;
}

/* The next message is being sent. */
static inline void rpmsg_gpio_serial_data_head(struct rpmsg_gpio_serial_session *session,
					       struct rpmsg_gpio_serial_data *head)
{
	head->sequence = (uint8_t)(RPMSG_GPIO_SERIAL_DATA |
				   RPMSG_GPIO_SERIAL_SEQUENCE((unsigned int)session->una +
							      session->sent));
	head->ack = session->expected;
	session->sent++;
	session->unacked = 0;
	rpmsg_gpio_serial_settle(session, RPMSG_GPIO_SERIAL_OWE_ACK);
	rpmsg_gpio_serial_arm_retry(session);
}

#endif
