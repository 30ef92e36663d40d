/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_serial.c - the device side of docs/protocol.md section 12.
 *
 * Frames are encoded while they are sent, straight from the buffer that keeps
 * messages until they are acknowledged, so that buffer is the only large one.
 */
#include <string.h>

#include "rpmsg_gpio_serial.h"

#define RETRIES_MAX    8u /* after that many the driver is taken to be gone */
#define RETRY_MS_MAX   10000u
#define RECORD_HEAD    4u     /* of a message in tx: length, endpoint, port */
/* The longest request; and the least mru of docs/protocol.md 12.2. */
#if RPMSG_GPIO_FEATURES & RPMSG_GPIO_F_BULK
#define REQUEST_MAX \
	(sizeof(struct rpmsg_gpio_ext_request) + sizeof(struct rpmsg_gpio_values_body))
#elif RPMSG_GPIO_FEATURES & RPMSG_GPIO_F_LINE_CONFIG
#define REQUEST_MAX \
	(sizeof(struct rpmsg_gpio_ext_request) + sizeof(struct rpmsg_gpio_line_config_body))
#else
#define REQUEST_MAX 16
#endif

typedef char ring_is_a_power_of_two[
	(RPMSG_GPIO_SERIAL_RX_RING & (RPMSG_GPIO_SERIAL_RX_RING - 1)) == 0 &&
	RPMSG_GPIO_SERIAL_RX_RING > 0 && RPMSG_GPIO_SERIAL_RX_RING <= 0x8000 ? 1 : -1];
typedef char rx_takes_every_request[
	RPMSG_GPIO_SERIAL_RX_MAX >= REQUEST_MAX &&
	RPMSG_GPIO_SERIAL_RX_MAX <= RPMSG_GPIO_MESSAGE_MAX ? 1 : -1];
typedef char tx_offsets_fit[RPMSG_GPIO_SERIAL_TX_SIZE <= 0x7fff ? 1 : -1];
typedef char tx_takes_the_longest[
	RPMSG_GPIO_SERIAL_TX_SIZE >= RPMSG_GPIO_REPLY_MAX + RECORD_HEAD ? 1 : -1];
typedef char window_fits[RPMSG_GPIO_SERIAL_RX_WINDOW >= 1 &&
			 RPMSG_GPIO_SERIAL_RX_WINDOW <= RPMSG_GPIO_SERIAL_WINDOW_MAX ? 1 : -1];

static struct rpmsg_gpio_serial *of_session(struct rpmsg_gpio_serial_session *session)
{
	return (struct rpmsg_gpio_serial *)(void *)((uint8_t *)session -
						    offsetof(struct rpmsg_gpio_serial, session));
}

/* ---- messages that wait for their acknowledgement ------------------------- */

static uint16_t tx_offset(uint32_t offset)
{
	return (uint16_t)(offset < RPMSG_GPIO_SERIAL_TX_SIZE
				  ? offset : offset - RPMSG_GPIO_SERIAL_TX_SIZE);
}

static uint8_t tx_byte(const struct rpmsg_gpio_serial *serial, uint32_t offset)
{
	return serial->tx[tx_offset(offset)];
}

static uint16_t record_length(const struct rpmsg_gpio_serial *serial, uint16_t offset)
{
	return (uint16_t)(tx_byte(serial, offset) |
			  (unsigned int)tx_byte(serial, (uint32_t)offset + 1) << 8);
}

static uint16_t record_after(const struct rpmsg_gpio_serial *serial, uint16_t offset)
{
	return tx_offset((uint32_t)offset + RECORD_HEAD + record_length(serial, offset));
}

static void tx_append(struct rpmsg_gpio_serial *serial, const uint8_t *bytes, size_t length)
{
	uint32_t end = (uint32_t)serial->tx_first + serial->session.bytes;
	size_t i;

	for (i = 0; i < length; i++)
		serial->tx[tx_offset(end + (uint32_t)i)] = bytes[i];
	serial->session.bytes = (uint16_t)(serial->session.bytes + length);
}

static bool has_room(const struct rpmsg_gpio_serial *serial, size_t length)
{
	return serial->session.count < RPMSG_GPIO_SERIAL_WINDOW_MAX &&
	       RECORD_HEAD + length <= (size_t)RPMSG_GPIO_SERIAL_TX_SIZE - serial->session.bytes;
}

static bool enqueue(struct rpmsg_gpio_serial *serial, uint8_t endpoint, uint8_t port,
		    const void *message, size_t length)
{
	uint8_t head[RECORD_HEAD];

	if (!has_room(serial, length))
		return false;
	head[0] = (uint8_t)length;
	head[1] = (uint8_t)(length >> 8);
	head[2] = endpoint;
	head[3] = port;
	tx_append(serial, head, sizeof(head));
	tx_append(serial, message, length);
	serial->session.count++;
	return true;
}

static uint16_t drop_oldest(struct rpmsg_gpio_serial_session *session)
{
	struct rpmsg_gpio_serial *serial = of_session(session);
	uint16_t length = record_length(serial, serial->tx_first);

	serial->tx_first = record_after(serial, serial->tx_first);
	return (uint16_t)(RECORD_HEAD + length);
}

/* ---- session --------------------------------------------------------------- */

/* Messages that the user of the link sends from within session() are lost, as are all of the
 * session before. */
static void set_session(struct rpmsg_gpio_serial *serial, bool open)
{
	serial->session.up = false;
	rpmsg_gpio_serial_forget(&serial->session);
	serial->refused = false;
	serial->announced = 0;
	if (serial->config->ops->session)
		serial->config->ops->session(serial->config->context, open);
	serial->session.up = open;
}

static uint32_t clamp(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void take_parameters(struct rpmsg_gpio_serial *serial,
			    const struct rpmsg_gpio_serial_hello *hello)
{
	uint32_t retry_ms = clamp(rpmsg_gpio_load16(hello->retry_ms), 1, RETRY_MS_MAX);
	uint32_t ack_ms = clamp(rpmsg_gpio_load16(hello->ack_ms), 0, retry_ms / 2);

	serial->session_id = rpmsg_gpio_load32(hello->session);
	serial->session.peer_mru = rpmsg_gpio_load16(hello->mru);
	serial->session.peer_window = (uint8_t)clamp(hello->window, 1, RPMSG_GPIO_SERIAL_WINDOW_MAX);
	serial->session.byte_us = rpmsg_gpio_serial_byte_us(rpmsg_gpio_load32(hello->bit_rate));
	serial->session.retry_us = 1000 * retry_ms;
	serial->session.ack_us = 1000 * ack_ms;
}

static void hello_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			   uint16_t length)
{
	struct rpmsg_gpio_serial_hello hello;

	if (length < sizeof(hello))
		return;
	memcpy(&hello, frame, sizeof(hello));
	if (hello.version == RPMSG_GPIO_SERIAL_VERSION) {
		/* The same HELLO again: our WELCOME did not arrive, or came late. */
		if (serial->session.up && serial->session_id == rpmsg_gpio_load32(hello.session)) {
			rpmsg_gpio_serial_send_again(&serial->session);
		} else {
			set_session(serial, true);
			take_parameters(serial, &hello);
		}
	} else {
		/* A HELLO of another driver: nobody waits any more for what this one has not
		 * got. */
		if (serial->session.up)
			set_session(serial, false);
		serial->session_id = rpmsg_gpio_load32(hello.session);
	}
	rpmsg_gpio_serial_owe(&serial->session, RPMSG_GPIO_SERIAL_OWE_WELCOME);
}

/* ---- receiving -------------------------------------------------------------- */

static bool deliver(struct rpmsg_gpio_serial *serial, const struct rpmsg_gpio_serial_data *head,
		    const uint8_t *message, uint16_t length)
{
	const struct rpmsg_gpio_serial_config *config = serial->config;

	if (head->endpoint != RPMSG_GPIO_SERIAL_NS_ENDPOINT)
		return config->ops->received(config->context, head->endpoint, head->port, message,
					     length);
	if (length && message[0] == RPMSG_GPIO_SERIAL_NS_LIST)
		serial->announced = 0;
	return true;
}

static void data_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			  uint16_t length)
{
	struct rpmsg_gpio_serial_session *session = &serial->session;
	struct rpmsg_gpio_serial_data head;

	if (length < sizeof(head))
		return;
	memcpy(&head, frame, sizeof(head));
	(void)rpmsg_gpio_serial_acknowledge(session, head.ack, drop_oldest);
	if (rpmsg_gpio_serial_place(session, head.sequence) != RPMSG_GPIO_SERIAL_NEXT)
		return;
	serial->refused = !deliver(serial, &head, frame + sizeof(head),
				   (uint16_t)(length - sizeof(head)));
	if (!serial->refused)
		rpmsg_gpio_serial_taken(session, RPMSG_GPIO_SERIAL_RX_WINDOW);
}

static void frame_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			   uint16_t length)
{
	uint8_t kind = frame[0];
	bool data = kind & RPMSG_GPIO_SERIAL_DATA;

	if (kind == RPMSG_GPIO_SERIAL_HELLO) {
		hello_received(serial, frame, length);
	} else if (kind == RPMSG_GPIO_SERIAL_RESET) {
		if (serial->session.up)
			set_session(serial, false);
	} else if (data || (kind >= RPMSG_GPIO_SERIAL_ACK && kind <= RPMSG_GPIO_SERIAL_POLL)) {
		if (!serial->session.up)
			rpmsg_gpio_serial_owe(&serial->session, RPMSG_GPIO_SERIAL_OWE_RESET);
		else if (data)
			data_received(serial, frame, length);
		else if (length >= sizeof(struct rpmsg_gpio_serial_ack))
			rpmsg_gpio_serial_ack_received(&serial->session, frame, drop_oldest);
	}
}

static void rx_byte(struct rpmsg_gpio_serial *serial, uint8_t byte)
{
	int length = rpmsg_gpio_serial_decode(&serial->decoder, serial->rx, sizeof(serial->rx),
					      byte);

	if (length > 0)
		frame_received(serial, serial->rx, (uint16_t)length);
	else if (length == RPMSG_GPIO_SERIAL_DAMAGED && serial->session.up)
		rpmsg_gpio_serial_ask_again(&serial->session);
}

void rpmsg_gpio_serial_rx(struct rpmsg_gpio_serial *serial, uint8_t byte)
{
	uint16_t head = serial->ring_head;

	if ((uint16_t)(head - serial->ring_tail) >= RPMSG_GPIO_SERIAL_RX_RING)
		return;
	serial->ring[head & (RPMSG_GPIO_SERIAL_RX_RING - 1)] = byte;
	RPMSG_GPIO_BARRIER();
	serial->ring_head = (uint16_t)(head + 1);
}

/* Takes at most a ring full: bytes that come meanwhile wait for the next run. */
static void receive(struct rpmsg_gpio_serial *serial)
{
	uint16_t head = serial->ring_head;

	RPMSG_GPIO_BARRIER();
	while (serial->ring_tail != head) {
		uint8_t byte = serial->ring[serial->ring_tail & (RPMSG_GPIO_SERIAL_RX_RING - 1)];

		RPMSG_GPIO_BARRIER(); /* from here on the place may be taken */
		serial->ring_tail = (uint16_t)(serial->ring_tail + 1);
		rx_byte(serial, byte);
	}
}

/* ---- sending ---------------------------------------------------------------- */

static uint8_t out_byte(const void *frame, uint16_t at)
{
	const struct rpmsg_gpio_serial *serial = frame;
	uint16_t crc_at = (uint16_t)(serial->encoder.length - RPMSG_GPIO_SERIAL_CRC_SIZE);

	if (at < serial->out_head_length)
		return serial->out_head[at];
	if (at < crc_at)
		return tx_byte(serial, (uint32_t)serial->out_payload + at -
					       serial->out_head_length);
	return serial->out_crc[at - crc_at];
}

static void start_frame(struct rpmsg_gpio_serial *serial, const void *head, size_t head_length,
			uint16_t payload_length)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	uint16_t body = (uint16_t)(head_length + payload_length);
	rpmsg_gpio_le32 le;
	uint16_t i;

	memcpy(serial->out_head, head, head_length);
	serial->out_head_length = (uint8_t)head_length;
	rpmsg_gpio_serial_encode_start(&serial->encoder,
				       (uint16_t)(body + RPMSG_GPIO_SERIAL_CRC_SIZE));
	for (i = 0; i < body; i++)
		crc = rpmsg_gpio_serial_crc(crc, out_byte(serial, i));
	le = rpmsg_gpio_store32(~crc);
	memcpy(serial->out_crc, &le, sizeof(le));
}

static void start_ack(struct rpmsg_gpio_serial *serial, uint8_t kind, unsigned int owed)
{
	struct rpmsg_gpio_serial_ack ack =
		rpmsg_gpio_serial_ack(&serial->session, kind, owed);

	start_frame(serial, &ack, sizeof(ack), 0);
}

static void start_welcome(struct rpmsg_gpio_serial *serial)
{
	struct rpmsg_gpio_serial_welcome welcome;

	welcome.kind = RPMSG_GPIO_SERIAL_WELCOME;
	welcome.version = RPMSG_GPIO_SERIAL_VERSION;
	welcome.session = rpmsg_gpio_store32(serial->session_id);
	welcome.mru = rpmsg_gpio_store16(RPMSG_GPIO_SERIAL_RX_MAX);
	welcome.window = RPMSG_GPIO_SERIAL_RX_WINDOW;
	welcome.reserved = 0;
	welcome.epoch = rpmsg_gpio_store32(serial->config->epoch);
	start_frame(serial, &welcome, sizeof(welcome), 0);
	rpmsg_gpio_serial_settle(&serial->session, RPMSG_GPIO_SERIAL_OWE_WELCOME);
}

static void start_reset(struct rpmsg_gpio_serial *serial)
{
	struct rpmsg_gpio_serial_reset reset;

	reset.kind = RPMSG_GPIO_SERIAL_RESET;
	reset.reserved = 0;
	reset.id = rpmsg_gpio_store32(serial->config->epoch);
	start_frame(serial, &reset, sizeof(reset), 0);
	rpmsg_gpio_serial_settle(&serial->session, RPMSG_GPIO_SERIAL_OWE_RESET);
}

static void start_data(struct rpmsg_gpio_serial *serial)
{
	uint16_t at = serial->tx_first;
	struct rpmsg_gpio_serial_data head;
	uint8_t i;

	for (i = 0; i < serial->session.sent; i++)
		at = record_after(serial, at);
	rpmsg_gpio_serial_data_head(&serial->session, &head);
	head.endpoint = tx_byte(serial, (uint32_t)at + 2);
	head.port = tx_byte(serial, (uint32_t)at + 3);
	serial->out_payload = tx_offset((uint32_t)at + RECORD_HEAD);
	start_frame(serial, &head, sizeof(head), record_length(serial, at));
}

static bool start_next(struct rpmsg_gpio_serial *serial)
{
	switch (rpmsg_gpio_serial_next(&serial->session)) {
	case 0:
		return false;
	case RPMSG_GPIO_SERIAL_OWE_RESET:
		start_reset(serial);
		break;
	case RPMSG_GPIO_SERIAL_OWE_WELCOME:
		start_welcome(serial);
		break;
	case RPMSG_GPIO_SERIAL_OWE_NAK:
		start_ack(serial, RPMSG_GPIO_SERIAL_NAK, RPMSG_GPIO_SERIAL_OWE_NAK);
		break;
	case RPMSG_GPIO_SERIAL_OWE_DATA:
		start_data(serial);
		break;
	default:
		start_ack(serial, RPMSG_GPIO_SERIAL_ACK, RPMSG_GPIO_SERIAL_OWE_POLLED);
		break;
	}
	return true;
}

static void fill_chunk(struct rpmsg_gpio_serial *serial)
{
	serial->chunk_at = serial->chunk_end = 0;
	while (serial->chunk_end < sizeof(serial->chunk)) {
		if (serial->encoder.busy) {
			serial->chunk[serial->chunk_end++] =
				rpmsg_gpio_serial_encode(&serial->encoder, out_byte, serial);
		} else if (!start_next(serial)) {
			return;
		} else if (serial->session.lead) {
			serial->chunk[serial->chunk_end++] = 0;
			serial->session.lead = false;
		}
	}
}

/* Ends when the UART is full or everything is said; nothing is said twice in a run. */
static void transmit(struct rpmsg_gpio_serial *serial)
{
	const struct rpmsg_gpio_serial_config *config = serial->config;

	for (;;) {
		uint8_t left = (uint8_t)(serial->chunk_end - serial->chunk_at);
		size_t took;

		if (!left) {
			fill_chunk(serial);
			left = serial->chunk_end;
		}
		if (!left)
			return;
		took = config->ops->write(config->context, serial->chunk + serial->chunk_at, left);
		serial->chunk_at = (uint8_t)(serial->chunk_at + took);
		if (took < left)
			return;
	}
}

/* ---- time and the user of the link ------------------------------------------- */

static void announce(struct rpmsg_gpio_serial *serial)
{
	const struct rpmsg_gpio_serial_config *config = serial->config;
	uint8_t message[2 + RPMSG_GPIO_SERIAL_NAME_MAX];

	while (serial->session.up && serial->announced < config->channel_count) {
		const struct rpmsg_gpio_serial_channel *channel =
			&config->channels[serial->announced];
		size_t length = 0;

		message[0] = RPMSG_GPIO_SERIAL_NS_CREATED;
		message[1] = channel->endpoint;
		while (length < RPMSG_GPIO_SERIAL_NAME_MAX && channel->name[length]) {
			message[2 + length] = (uint8_t)channel->name[length];
			length++;
		}
		if (!enqueue(serial, RPMSG_GPIO_SERIAL_NS_ENDPOINT, 0, message, 2 + length))
			return;
		serial->announced++;
	}
}

static void check_time(struct rpmsg_gpio_serial *serial)
{
	if (!rpmsg_gpio_serial_check_time(&serial->session))
		return;
	if (serial->session.retries++ < RETRIES_MAX)
		rpmsg_gpio_serial_send_again(&serial->session);
	else
		set_session(serial, false);
}

/* The user could not take a message before, and has room for its reply now. That a NAK was sent
 * before is no reason to leave out this one. */
static void check_refused(struct rpmsg_gpio_serial *serial)
{
	bool room = !serial->session.count || has_room(serial, RPMSG_GPIO_SERIAL_RX_MAX);

	if (!serial->refused || serial->session.nak_held || !room)
		return;
	serial->refused = false;
	rpmsg_gpio_serial_ask_again(&serial->session);
}

uint32_t rpmsg_gpio_serial_run(struct rpmsg_gpio_serial *serial, uint32_t now_us)
{
	struct rpmsg_gpio_serial_session *session = &serial->session;

	rpmsg_gpio_serial_at(session, now_us);
	check_refused(serial);
	receive(serial);
	check_time(serial);
	announce(serial);
	transmit(serial);
	if (serial->ring_head != serial->ring_tail)
		return 0;
	/* When the UART is full, its next interrupt says when to go on. */
	if (serial->chunk_at < serial->chunk_end)
		return UINT32_MAX;
	return rpmsg_gpio_serial_wait(session, serial->refused);
}

bool rpmsg_gpio_serial_send(struct rpmsg_gpio_serial *serial, uint8_t endpoint, uint8_t port,
			    const void *message, size_t length)
{
	if (!serial->session.up || length > serial->session.peer_mru ||
	    RECORD_HEAD + length > RPMSG_GPIO_SERIAL_TX_SIZE)
		return true;
	return enqueue(serial, endpoint, port, message, length);
}

bool rpmsg_gpio_serial_up(const struct rpmsg_gpio_serial *serial)
{
	return serial->session.up;
}

void rpmsg_gpio_serial_close(struct rpmsg_gpio_serial *serial)
{
	if (serial->session.up)
		set_session(serial, false);
	rpmsg_gpio_serial_owe(&serial->session, RPMSG_GPIO_SERIAL_OWE_RESET);
}

/* A driver that still believes in a session with the boot before must be told. */
void rpmsg_gpio_serial_init(struct rpmsg_gpio_serial *serial,
			    const struct rpmsg_gpio_serial_config *config)
{
	memset(serial, 0, sizeof(*serial));
	serial->config = config;
	serial->session.lead = true;
	rpmsg_gpio_serial_owe(&serial->session, RPMSG_GPIO_SERIAL_OWE_RESET);
}
