/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_serial.h - rpmsg messages over a byte stream: UART, rpmsg-tty.
 *
 * The device side of docs/protocol.md section 12: frames closed by COBS with a
 * CRC-32C, acknowledged and sent again when lost. Portable C99, freestanding,
 * no allocation, bounded work per call.
 *
 * Threads: everything but rpmsg_gpio_serial_rx() belongs to one context (a
 * main loop or one task), the one of the rpmsg_gpio_device behind it.
 * rpmsg_gpio_serial_rx() may be called from the UART's interrupt; it only
 * stores the byte.
 *
 * A main loop:
 *
 *	uint32_t wait = rpmsg_gpio_serial_run(&serial, now_us());
 *	if (device.pending || device.reply_length)
 *		rpmsg_gpio_device_run(&device);
 *
 * and again when a byte came in, when the UART can take more bytes, when the
 * device has something to say, and `wait` microseconds later.
 */
#ifndef RPMSG_GPIO_SERIAL_H
#define RPMSG_GPIO_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpmsg_gpio.h"
#include "rpmsg_gpio_config.h"

/* ---- the wire (both sides) ---------------------------------------------- */

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

/* ---- the device side ------------------------------------------------------ */

/* The seams: the UART, and whoever is behind the endpoints. */
struct rpmsg_gpio_serial_ops {
	/* Give bytes to the UART; returns how many it took, 0 when its buffer
	 * is full. Call rpmsg_gpio_serial_run() when there is room again. */
	size_t (*write)(void *context, const uint8_t *bytes, size_t length);
	/* A message for an endpoint; `port` is the driver's address, where
	 * replies and events of the endpoint go. Returns false when it cannot
	 * be taken now: the driver is asked for it again. Messages for an
	 * endpoint that does not exist are taken and dropped. */
	bool (*received)(void *context, uint8_t endpoint, uint8_t port,
			 const void *message, size_t length);
	/*
	 * A driver began a session, or (open false) the session ended. What
	 * was not sent is gone. Forget the drivers' ports, and drop what
	 * a device still wants to send to them: let its channel's send return
	 * true without sending, and call rpmsg_gpio_device_run(). May be NULL.
	 */
	void (*session)(void *context, bool open);
};

/* A channel to announce at the start of a session. */
struct rpmsg_gpio_serial_channel {
	const char *name; /* at most RPMSG_GPIO_SERIAL_NAME_MAX */
	uint8_t endpoint; /* not RPMSG_GPIO_SERIAL_NS_ENDPOINT */
};

/* Constant for the life of the link; the core keeps the pointer. */
struct rpmsg_gpio_serial_config {
	const struct rpmsg_gpio_serial_ops *ops;
	void *context;
	const struct rpmsg_gpio_serial_channel *channels;
	uint8_t channel_count;
	uint32_t epoch; /* differs at every boot, as in rpmsg_gpio_device_config */
};

struct rpmsg_gpio_serial {
	const struct rpmsg_gpio_serial_config *config;

	/* written by rpmsg_gpio_serial_rx() */
	volatile uint16_t ring_head;
	volatile uint16_t ring_tail;
	volatile uint8_t ring[RPMSG_GPIO_SERIAL_RX_RING];

	/* Channels announced in this session; 0 announces them (again),
	 * config->channel_count keeps them quiet. */
	uint8_t announced;

	/* --- private from here on --- */
	bool up;
	uint32_t session;
	uint32_t now;        /* us, of the latest run */
	uint32_t byte_us;    /* on the wire, rounded up; 0: not paced */
	uint32_t ack_us, retry_us;
	uint16_t peer_mru;
	uint8_t peer_window;

	/* frame being received */
	uint16_t rx_length;
	uint8_t rx_code;     /* bytes left of the COBS block */
	bool rx_zero;        /* a zero follows the block */
	bool rx_bad;         /* skip until the next delimiter */
	uint8_t rx[RPMSG_GPIO_SERIAL_FRAME_MAX(RPMSG_GPIO_SERIAL_RX_MAX)];
	uint8_t expected;    /* sequence number */
	uint8_t owed;        /* control frames to send */
	uint8_t unacked;     /* messages that came since the latest ack */
	bool nak_held;       /* no other NAK before nak_at */
	bool refused;        /* a message could not be taken */
	uint32_t ack_at, nak_at;

	/* messages not acknowledged yet: le16 length, endpoint, port, bytes */
	uint16_t tx_first;   /* offset in tx of the oldest */
	uint16_t tx_next;    /* of the one to be sent next */
	uint16_t tx_used;    /* bytes */
	uint8_t una;         /* sequence number of the oldest */
	uint8_t tx_count;    /* messages */
	uint8_t tx_sent;     /* those between tx_first and tx_next */
	uint8_t retries;
	bool retry_armed;
	uint32_t retry_at;
	uint8_t tx[RPMSG_GPIO_SERIAL_TX_SIZE];

	/* frame being sent */
	bool out_busy;
	bool out_lead;        /* a delimiter before the next frame */
	bool out_skip;        /* the COBS block ended at a zero */
	bool out_more;        /* another block follows */
	uint8_t out_run;      /* bytes left of the block */
	uint8_t out_head_length;
	uint8_t out_head[sizeof(struct rpmsg_gpio_serial_welcome)];
	uint8_t out_crc[RPMSG_GPIO_SERIAL_CRC_SIZE];
	uint16_t out_payload; /* offset in tx */
	uint16_t out_length;  /* bytes of the frame, CRC included */
	uint16_t out_at;      /* the next of them */
	uint8_t chunk[16];    /* encoded, for the UART */
	uint8_t chunk_at, chunk_end;
};

void rpmsg_gpio_serial_init(struct rpmsg_gpio_serial *serial,
			    const struct rpmsg_gpio_serial_config *config);

/* A byte came in (ISR safe). Lost when the ring is full, and sent again. */
void rpmsg_gpio_serial_rx(struct rpmsg_gpio_serial *serial, uint8_t byte);

/*
 * Handle what came in and send what is due. `now_us` is any clock that counts
 * microseconds modulo 2^32. Returns the microseconds after which it wants to
 * be called again if nothing else happens, UINT32_MAX for never.
 */
uint32_t rpmsg_gpio_serial_run(struct rpmsg_gpio_serial *serial, uint32_t now_us);

/*
 * Queue a message of `endpoint` to the driver's `port`. False when there is no
 * room: try again after rpmsg_gpio_serial_run(). Without a session, or when
 * the driver cannot take it, the message is lost, as to a dead wire: true.
 * Call rpmsg_gpio_serial_run() afterwards to get it sent.
 */
bool rpmsg_gpio_serial_send(struct rpmsg_gpio_serial *serial, uint8_t endpoint,
			    uint8_t port, const void *message, size_t length);

/* Whether a driver has a session. */
bool rpmsg_gpio_serial_up(const struct rpmsg_gpio_serial *serial);

/* End the session; the driver is told. */
void rpmsg_gpio_serial_close(struct rpmsg_gpio_serial *serial);

#endif
