/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_serial.c - the device side of docs/protocol.md section 12.
 *
 * Frames are encoded while they are sent, straight from the buffer that keeps
 * messages until they are acknowledged, so that buffer is the only large one.
 */
#include <string.h>

#include "rpmsg_gpio_serial.h"

/* struct rpmsg_gpio_serial.owed, in the order in which they are sent */
#define OWE_RESET   0x01u
#define OWE_WELCOME 0x02u
#define OWE_NAK     0x04u
#define OWE_ACK     0x08u /* settled by any frame that carries the number */
#define OWE_POLLED  0x10u /* by an ACK alone */

#define RETRIES_MAX    8u /* then the driver is taken to be gone */
#define BACKOFF_MAX    5u /* doublings of the time between them */
#define RETRY_MS_MAX   10000u
#define RETRY_US_MAX   0x7fffffffu /* the furthest that reached() can tell */
#define BYTE_US_MAX    40000u /* a rate below 300 bits/s is not believed */
#define RECORD_HEAD    4u     /* of a message in tx: length, endpoint, port */
#define FRAME_OVERHEAD 12u    /* of a DATA frame on the wire, to estimate */
#define COBS_RUN_MAX   254u
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

#define SEQUENCE(n) ((uint8_t)((n) & RPMSG_GPIO_SERIAL_SEQUENCE_MASK))

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

static bool reached(uint32_t now, uint32_t time)
{
	return (now - time) < 0x80000000u;
}

static void owe(struct rpmsg_gpio_serial *serial, unsigned int what)
{
	serial->owed = (uint8_t)(serial->owed | what);
}

static void settle(struct rpmsg_gpio_serial *serial, unsigned int what)
{
	serial->owed = (uint8_t)(serial->owed & ~what);
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
	uint32_t end = (uint32_t)serial->tx_first + serial->tx_used;
	size_t i;

	for (i = 0; i < length; i++)
		serial->tx[tx_offset(end + (uint32_t)i)] = bytes[i];
	serial->tx_used = (uint16_t)(serial->tx_used + length);
}

static bool has_room(const struct rpmsg_gpio_serial *serial, size_t length)
{
	return serial->tx_count < RPMSG_GPIO_SERIAL_WINDOW_MAX &&
	       RECORD_HEAD + length <= (size_t)RPMSG_GPIO_SERIAL_TX_SIZE - serial->tx_used;
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
	serial->tx_count++;
	return true;
}

static void forget_messages(struct rpmsg_gpio_serial *serial)
{
	serial->tx_first = serial->tx_next = serial->tx_used = 0;
	serial->tx_count = serial->tx_sent = serial->una = 0;
	serial->retries = 0;
	serial->retry_armed = false;
}

/* ---- acknowledgement and retransmission ----------------------------------- */

/* Both directions may be filled by what is on its way already. */
static void arm_retry(struct rpmsg_gpio_serial *serial)
{
	uint32_t bytes = serial->tx_used + FRAME_OVERHEAD * serial->tx_count;
	uint32_t wait = serial->retry_us + 2 * bytes * serial->byte_us;
	unsigned int doublings = serial->retries < BACKOFF_MAX ? serial->retries : BACKOFF_MAX;

	wait = wait < RETRY_US_MAX >> doublings ? wait << doublings : RETRY_US_MAX;
	serial->retry_at = serial->now + wait;
	serial->retry_armed = true;
}

/* Go back to the oldest message. The delimiter in front of the next frame ends
 * what a damaged one left in the driver's receiver. */
static void send_again(struct rpmsg_gpio_serial *serial)
{
	serial->tx_next = serial->tx_first;
	serial->tx_sent = 0;
	serial->retry_armed = false;
	serial->out_lead = true;
}

static void drop_oldest(struct rpmsg_gpio_serial *serial)
{
	uint16_t after = record_after(serial, serial->tx_first);

	serial->tx_used = (uint16_t)(serial->tx_used - RECORD_HEAD -
				     record_length(serial, serial->tx_first));
	serial->tx_first = after;
	serial->tx_count--;
	serial->una = SEQUENCE(serial->una + 1u);
	if (serial->tx_sent)
		serial->tx_sent--;
	else
		serial->tx_next = after;
}

/* Everything before `ack` has arrived. False: that is not true of anything. */
static bool acknowledge(struct rpmsg_gpio_serial *serial, uint8_t ack)
{
	uint8_t count = SEQUENCE((unsigned int)ack - serial->una);

	if (count > serial->tx_count)
		return false;
	if (!count)
		return true;
	while (count--)
		drop_oldest(serial);
	serial->retries = 0;
	if (serial->tx_sent)
		arm_retry(serial);
	else
		serial->retry_armed = false;
	return true;
}

static void ask_again(struct rpmsg_gpio_serial *serial)
{
	if (serial->nak_held)
		return;
	owe(serial, OWE_NAK);
	serial->nak_held = true;
	serial->nak_at = serial->now + serial->retry_us / 2;
}

/* ---- session --------------------------------------------------------------- */

/* What the user of the link sends from within session() is lost, as is all
 * that was said in the session before. */
static void set_session(struct rpmsg_gpio_serial *serial, bool open)
{
	serial->up = false;
	forget_messages(serial);
	serial->expected = serial->unacked = serial->owed = 0;
	serial->nak_held = serial->refused = false;
	serial->announced = 0;
	if (serial->config->ops->session)
		serial->config->ops->session(serial->config->context, open);
	serial->up = open;
}

static uint32_t clamp(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void take_parameters(struct rpmsg_gpio_serial *serial,
			    const struct rpmsg_gpio_serial_hello *hello)
{
	uint32_t rate = rpmsg_gpio_load32(hello->bit_rate);
	uint32_t retry_ms = clamp(rpmsg_gpio_load16(hello->retry_ms), 1, RETRY_MS_MAX);
	uint32_t ack_ms = clamp(rpmsg_gpio_load16(hello->ack_ms), 0, retry_ms / 2);

	serial->session = rpmsg_gpio_load32(hello->session);
	serial->peer_mru = rpmsg_gpio_load16(hello->mru);
	serial->peer_window = (uint8_t)clamp(hello->window, 1, RPMSG_GPIO_SERIAL_WINDOW_MAX);
	serial->byte_us = rate ? clamp(10000000u / rate + 1, 1, BYTE_US_MAX) : 0;
	serial->retry_us = 1000 * retry_ms;
	serial->ack_us = 1000 * ack_ms;
}

static void hello_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			   uint16_t length)
{
	struct rpmsg_gpio_serial_hello hello;

	if (length < sizeof(hello))
		return;
	memcpy(&hello, frame, sizeof(hello));
	if (hello.version == RPMSG_GPIO_SERIAL_VERSION) {
		/* The same again: our WELCOME did not arrive, or came late. */
		if (serial->up && serial->session == rpmsg_gpio_load32(hello.session)) {
			send_again(serial);
		} else {
			set_session(serial, true);
			take_parameters(serial, &hello);
		}
	} else {
		/* Of another driver: what this one has not got, nobody waits for. */
		if (serial->up)
			set_session(serial, false);
		serial->session = rpmsg_gpio_load32(hello.session);
	}
	owe(serial, OWE_WELCOME);
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

static void taken(struct rpmsg_gpio_serial *serial)
{
	serial->expected = SEQUENCE(serial->expected + 1u);
	serial->nak_held = serial->refused = false;
	settle(serial, OWE_NAK);
	if (!serial->unacked++)
		serial->ack_at = serial->now + serial->ack_us;
	if (2 * serial->unacked >= RPMSG_GPIO_SERIAL_RX_WINDOW)
		owe(serial, OWE_ACK);
}

static void data_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			  uint16_t length)
{
	struct rpmsg_gpio_serial_data head;
	uint8_t ahead;

	if (length < sizeof(head))
		return;
	memcpy(&head, frame, sizeof(head));
	(void)acknowledge(serial, SEQUENCE(head.ack));
	ahead = SEQUENCE((unsigned int)head.sequence - serial->expected);
	if (ahead >= RPMSG_GPIO_SERIAL_WINDOW_MAX)
		owe(serial, OWE_ACK); /* had it already: the driver missed that */
	else if (ahead)
		ask_again(serial);
	else if (deliver(serial, &head, frame + sizeof(head), (uint16_t)(length - sizeof(head))))
		taken(serial);
	else
		serial->refused = true;
}

static void ack_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			 uint16_t length)
{
	if (length < sizeof(struct rpmsg_gpio_serial_ack) ||
	    !acknowledge(serial, SEQUENCE(frame[1])))
		return;
	if (frame[0] == RPMSG_GPIO_SERIAL_NAK && serial->tx_sent)
		send_again(serial);
	if (frame[0] == RPMSG_GPIO_SERIAL_POLL)
		owe(serial, OWE_POLLED);
}

static void frame_received(struct rpmsg_gpio_serial *serial, const uint8_t *frame,
			   uint16_t length)
{
	uint8_t kind = frame[0];
	bool data = kind & RPMSG_GPIO_SERIAL_DATA;

	if (kind == RPMSG_GPIO_SERIAL_HELLO) {
		hello_received(serial, frame, length);
	} else if (kind == RPMSG_GPIO_SERIAL_RESET) {
		if (serial->up)
			set_session(serial, false);
	} else if (data || (kind >= RPMSG_GPIO_SERIAL_ACK && kind <= RPMSG_GPIO_SERIAL_POLL)) {
		if (!serial->up)
			owe(serial, OWE_RESET);
		else if (data)
			data_received(serial, frame, length);
		else
			ack_received(serial, frame, length);
	}
}

static bool crc_fits(const uint8_t *frame, uint16_t length)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	uint16_t i;

	if (length <= RPMSG_GPIO_SERIAL_CRC_SIZE)
		return false;
	for (i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame[i]);
	return crc == RPMSG_GPIO_SERIAL_CRC_RESIDUE;
}

static void rx_end(struct rpmsg_gpio_serial *serial)
{
	/* Two delimiters in a row are an idle line. */
	bool empty = !serial->rx_length && !serial->rx_code && !serial->rx_zero && !serial->rx_bad;
	bool good = !serial->rx_bad && !serial->rx_code && crc_fits(serial->rx, serial->rx_length);
	uint16_t length = serial->rx_length;

	serial->rx_length = 0;
	serial->rx_code = 0;
	serial->rx_zero = serial->rx_bad = false;
	if (good)
		frame_received(serial, serial->rx,
			       (uint16_t)(length - RPMSG_GPIO_SERIAL_CRC_SIZE));
	else if (!empty && serial->up)
		ask_again(serial);
}

static void rx_append(struct rpmsg_gpio_serial *serial, uint8_t byte)
{
	if (serial->rx_length < sizeof(serial->rx))
		serial->rx[serial->rx_length++] = byte;
	else
		serial->rx_bad = true;
}

static void rx_byte(struct rpmsg_gpio_serial *serial, uint8_t byte)
{
	if (!byte) {
		rx_end(serial);
	} else if (serial->rx_code) {
		serial->rx_code--;
		rx_append(serial, byte);
	} else {
		if (serial->rx_zero)
			rx_append(serial, 0);
		serial->rx_code = (uint8_t)(byte - 1);
		serial->rx_zero = byte != COBS_RUN_MAX + 1;
	}
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

/* At most a ring full: bytes that come meanwhile wait for the next run. */
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

static uint8_t out_byte(const struct rpmsg_gpio_serial *serial, uint16_t at)
{
	uint16_t crc_at = (uint16_t)(serial->out_length - RPMSG_GPIO_SERIAL_CRC_SIZE);

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
	serial->out_length = (uint16_t)(body + RPMSG_GPIO_SERIAL_CRC_SIZE);
	for (i = 0; i < body; i++)
		crc = rpmsg_gpio_serial_crc(crc, out_byte(serial, i));
	le = rpmsg_gpio_store32(~crc);
	memcpy(serial->out_crc, &le, sizeof(le));
	serial->out_at = 0;
	serial->out_run = 0;
	serial->out_skip = false;
	serial->out_more = true;
	serial->out_busy = true;
}

static void start_ack(struct rpmsg_gpio_serial *serial, uint8_t kind)
{
	struct rpmsg_gpio_serial_ack ack;

	ack.kind = kind;
	ack.ack = serial->expected;
	start_frame(serial, &ack, sizeof(ack), 0);
	settle(serial, kind == RPMSG_GPIO_SERIAL_ACK ? OWE_ACK | OWE_POLLED : OWE_ACK | OWE_NAK);
	serial->unacked = 0;
}

static void start_welcome(struct rpmsg_gpio_serial *serial)
{
	struct rpmsg_gpio_serial_welcome welcome;

	welcome.kind = RPMSG_GPIO_SERIAL_WELCOME;
	welcome.version = RPMSG_GPIO_SERIAL_VERSION;
	welcome.session = rpmsg_gpio_store32(serial->session);
	welcome.mru = rpmsg_gpio_store16(RPMSG_GPIO_SERIAL_RX_MAX);
	welcome.window = RPMSG_GPIO_SERIAL_RX_WINDOW;
	welcome.reserved = 0;
	welcome.epoch = rpmsg_gpio_store32(serial->config->epoch);
	start_frame(serial, &welcome, sizeof(welcome), 0);
	settle(serial, OWE_WELCOME);
}

static void start_reset(struct rpmsg_gpio_serial *serial)
{
	struct rpmsg_gpio_serial_reset reset;

	reset.kind = RPMSG_GPIO_SERIAL_RESET;
	reset.reserved = 0;
	reset.id = rpmsg_gpio_store32(serial->config->epoch);
	start_frame(serial, &reset, sizeof(reset), 0);
	settle(serial, OWE_RESET);
}

static void start_data(struct rpmsg_gpio_serial *serial)
{
	uint16_t at = serial->tx_next;
	struct rpmsg_gpio_serial_data head;

	head.sequence = (uint8_t)(RPMSG_GPIO_SERIAL_DATA |
				  SEQUENCE((unsigned int)serial->una + serial->tx_sent));
	head.ack = serial->expected;
	head.endpoint = tx_byte(serial, (uint32_t)at + 2);
	head.port = tx_byte(serial, (uint32_t)at + 3);
	serial->out_payload = tx_offset((uint32_t)at + RECORD_HEAD);
	start_frame(serial, &head, sizeof(head), record_length(serial, at));
	serial->tx_next = record_after(serial, at);
	serial->tx_sent++;
	settle(serial, OWE_ACK);
	serial->unacked = 0;
	arm_retry(serial);
}

static bool start_next(struct rpmsg_gpio_serial *serial)
{
	if (serial->owed & OWE_RESET)
		start_reset(serial);
	else if (serial->owed & OWE_WELCOME)
		start_welcome(serial);
	else if (serial->owed & OWE_NAK)
		start_ack(serial, RPMSG_GPIO_SERIAL_NAK);
	else if (serial->tx_sent < serial->tx_count && serial->tx_sent < serial->peer_window)
		start_data(serial);
	else if (serial->owed & (OWE_ACK | OWE_POLLED))
		start_ack(serial, RPMSG_GPIO_SERIAL_ACK);
	else
		return false;
	return true;
}

/* The code of the next COBS block. */
static uint8_t start_block(struct rpmsg_gpio_serial *serial)
{
	uint16_t at = serial->out_at = (uint16_t)(serial->out_at + serial->out_skip);
	uint8_t run = 0;

	while (run < COBS_RUN_MAX && at < serial->out_length && out_byte(serial, at)) {
		run++;
		at++;
	}
	serial->out_run = run;
	serial->out_skip = run < COBS_RUN_MAX && at < serial->out_length;
	serial->out_more = at < serial->out_length;
	return (uint8_t)(run + 1);
}

static uint8_t encode(struct rpmsg_gpio_serial *serial)
{
	if (serial->out_run) {
		serial->out_run--;
		return out_byte(serial, serial->out_at++);
	}
	if (serial->out_more)
		return start_block(serial);
	serial->out_busy = false;
	return 0;
}

static void fill_chunk(struct rpmsg_gpio_serial *serial)
{
	serial->chunk_at = serial->chunk_end = 0;
	while (serial->chunk_end < sizeof(serial->chunk)) {
		if (serial->out_busy) {
			serial->chunk[serial->chunk_end++] = encode(serial);
		} else if (!start_next(serial)) {
			return;
		} else if (serial->out_lead) {
			serial->chunk[serial->chunk_end++] = 0;
			serial->out_lead = false;
		}
	}
}

/* Ends when the UART is full or all is said; nothing is said twice in a run. */
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

	while (serial->up && serial->announced < config->channel_count) {
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
	if (serial->unacked && reached(serial->now, serial->ack_at))
		owe(serial, OWE_ACK);
	if (!serial->retry_armed || !reached(serial->now, serial->retry_at))
		return;
	if (serial->retries++ < RETRIES_MAX)
		send_again(serial);
	else
		set_session(serial, false);
}

/* The user could not take a message and has room for its reply now. A NAK that was
 * sent before is no reason to forget this one. */
static void check_refused(struct rpmsg_gpio_serial *serial)
{
	bool room = !serial->tx_count || has_room(serial, RPMSG_GPIO_SERIAL_RX_MAX);

	if (serial->nak_held && reached(serial->now, serial->nak_at))
		serial->nak_held = false;
	if (!serial->refused || serial->nak_held || !room)
		return;
	serial->refused = false;
	ask_again(serial);
}

static uint32_t time_left(uint32_t now, uint32_t time, uint32_t least)
{
	uint32_t left = reached(now, time) ? 0 : time - now;

	return left < least ? left : least;
}

uint32_t rpmsg_gpio_serial_run(struct rpmsg_gpio_serial *serial, uint32_t now_us)
{
	uint32_t wait = UINT32_MAX;

	serial->now = now_us;
	check_refused(serial);
	receive(serial);
	check_time(serial);
	announce(serial);
	transmit(serial);
	if (serial->ring_head != serial->ring_tail)
		return 0;
	/* A full UART: its next interrupt is the time. */
	if (serial->chunk_at < serial->chunk_end)
		return UINT32_MAX;
	if (serial->unacked)
		wait = time_left(now_us, serial->ack_at, wait);
	if (serial->refused && serial->nak_held)
		wait = time_left(now_us, serial->nak_at, wait);
	if (serial->retry_armed)
		wait = time_left(now_us, serial->retry_at, wait);
	return wait;
}

bool rpmsg_gpio_serial_send(struct rpmsg_gpio_serial *serial, uint8_t endpoint, uint8_t port,
			    const void *message, size_t length)
{
	if (!serial->up || length > serial->peer_mru ||
	    RECORD_HEAD + length > RPMSG_GPIO_SERIAL_TX_SIZE)
		return true;
	return enqueue(serial, endpoint, port, message, length);
}

bool rpmsg_gpio_serial_up(const struct rpmsg_gpio_serial *serial)
{
	return serial->up;
}

void rpmsg_gpio_serial_close(struct rpmsg_gpio_serial *serial)
{
	if (serial->up)
		set_session(serial, false);
	owe(serial, OWE_RESET);
}

/* A driver that still believes in a session of the boot before must know. */
void rpmsg_gpio_serial_init(struct rpmsg_gpio_serial *serial,
			    const struct rpmsg_gpio_serial_config *config)
{
	memset(serial, 0, sizeof(*serial));
	serial->config = config;
	serial->out_lead = true;
	owe(serial, OWE_RESET);
}
