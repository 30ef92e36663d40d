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

#include "rpmsg_gpio_config.h"
#include "rpmsg_gpio_serial_session.h"

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
	bool refused;        /* a message could not be taken */
	struct rpmsg_gpio_serial_session session;
	uint32_t session_id;

	/* frame being received */
	struct rpmsg_gpio_serial_decoder decoder;
	uint8_t rx[RPMSG_GPIO_SERIAL_FRAME_MAX(RPMSG_GPIO_SERIAL_RX_MAX)];

	/* messages not acknowledged yet: le16 length, endpoint, port, bytes */
	uint16_t tx_first;   /* offset in tx of the oldest */
	uint8_t tx[RPMSG_GPIO_SERIAL_TX_SIZE];

	/* frame being sent */
	struct rpmsg_gpio_serial_encoder encoder;
	uint16_t out_payload; /* offset in tx */
	uint8_t out_head_length;
	uint8_t out_head[sizeof(struct rpmsg_gpio_serial_welcome)];
	uint8_t out_crc[RPMSG_GPIO_SERIAL_CRC_SIZE];
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
