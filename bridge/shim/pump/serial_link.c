/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_link.c - the driver side of docs/protocol.md section 12.
 *
 * Messages wait in slots until they are acknowledged, in order; after a loss they are sent
 * again from the oldest on. The peer's bytes are hostile until their CRC and lengths were
 * checked, and even then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "serial_internal.h"

#define ACK_WIRE (RPMSG_GPIO_SERIAL_WIRE_SIZE(sizeof(struct rpmsg_gpio_serial_ack) + \
					      RPMSG_GPIO_SERIAL_CRC_SIZE))
#define READ_SIZE 4096
#define READS_A_TURN 16
/*
 * Edge-triggered: a level-triggered descriptor is polled once more after each event,
 * and a poll of an rpmsg tty whose channel is just being removed reaches into memory
 * that the kernel has freed (rpmsg_tty_remove() of Linux 7.3 does not wait for its
 * hangup). Without that poll nothing looks at the tty between its last byte and its
 * hangup.
 */
#define EVENTS ((uint32_t)EPOLLIN | (uint32_t)EPOLLET)
/* We take whatever comes: this only bounds how much must be sent again after a loss. */
#define RX_WINDOW 32
/* A tty without room that does not say when it has some (rpmsg_tty: ENOMEM). */
#define NO_ROOM_MS 2u
#define NO_ROOM_DOUBLINGS 5u

static struct serial_link *to_link(struct gb_link *base)
{
	return (struct serial_link *)base;
}

static int __attribute__((format(printf, 3, 4)))
dead(struct serial_link *link, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(link->base.why, sizeof(link->base.why), format, args);
	va_end(args);
	return error;
}

/* The session counts microseconds modulo 2^32, the pump nanoseconds. */
static void look_at_clock(struct serial_link *link, uint64_t now)
{
	link->now = now;
	rpmsg_gpio_serial_at(&link->session, (uint32_t)(now / NS_PER_US));
}

/* ---- frames out ------------------------------------------------------------ */

static bool has_space(const struct serial_link *link)
{
	return OUT_SIZE - link->out_end >= GB_SERIAL_WIRE_MAX + 1;
}

static uint8_t frame_byte(const void *frame, uint16_t at)
{
	return ((const uint8_t *)frame)[at];
}

size_t gb_serial_encode(uint8_t *to, const void *head, size_t head_length, const void *payload,
			size_t payload_length)
{
	struct rpmsg_gpio_serial_encoder encoder;
	uint8_t frame[GB_SERIAL_FRAME_MAX];
	size_t length = head_length + payload_length, end = 0;
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	rpmsg_gpio_le32 le;

	memcpy(frame, head, head_length);
	if (payload_length)
		memcpy(frame + head_length, payload, payload_length);
	for (size_t i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, frame[i]);
	le = rpmsg_gpio_store32(~crc);
	memcpy(frame + length, &le, sizeof(le));
	rpmsg_gpio_serial_encode_start(&encoder, (uint16_t)(length + sizeof(le)));
	while (encoder.busy)
		to[end++] = rpmsg_gpio_serial_encode(&encoder, frame_byte, frame);
	return end;
}

static void put_frame(struct serial_link *link, const void *head, size_t head_length,
		      const void *payload, size_t payload_length)
{
	if (link->session.lead)
		link->out[link->out_end++] = 0;
	link->session.lead = false;
	link->out_end += gb_serial_encode(link->out + link->out_end, head, head_length, payload,
					  payload_length);
	link->counters.sent++;
}

static void put_ack(struct serial_link *link, uint8_t kind, unsigned int owed)
{
	struct rpmsg_gpio_serial_ack ack = rpmsg_gpio_serial_ack(&link->session, kind, owed);

	put_frame(link, &ack, sizeof(ack), NULL, 0);
}

static void put_reset(struct serial_link *link)
{
	struct rpmsg_gpio_serial_reset reset = {
		.kind = RPMSG_GPIO_SERIAL_RESET,
		.id = rpmsg_gpio_store32(link->session_id),
	};

	put_frame(link, &reset, sizeof(reset), NULL, 0);
}

void gb_serial_put_hello(struct serial_link *link)
{
	struct rpmsg_gpio_serial_hello hello = {
		.kind = RPMSG_GPIO_SERIAL_HELLO,
		.version = RPMSG_GPIO_SERIAL_VERSION,
		.session = rpmsg_gpio_store32(link->session_id),
		.mru = rpmsg_gpio_store16(RPMSG_GPIO_MESSAGE_MAX),
		.window = RX_WINDOW,
		.bit_rate = rpmsg_gpio_store32(link->options.bit_rate),
		.ack_ms = rpmsg_gpio_store16(link->options.ack_ms),
		.retry_ms = rpmsg_gpio_store16(link->options.retry_ms),
	};

	link->session.lead = true;
	put_frame(link, &hello, sizeof(hello), NULL, 0);
}

static struct message *slot(struct serial_link *link, unsigned int place)
{
	return &link->slots[(link->session.una + place) % SLOTS];
}

static uint16_t drop_oldest(struct rpmsg_gpio_serial_session *session)
{
	struct serial_link *link = (struct serial_link *)(void *)
		((char *)session - offsetof(struct serial_link, session));

	link->progress_at = link->now;
	return slot(link, 0)->length;
}

static void put_data(struct serial_link *link)
{
	struct message *message = slot(link, link->session.sent);
	struct rpmsg_gpio_serial_data head = {
		.endpoint = message->endpoint,
		.port = message->port,
	};

	look_at_clock(link, gb_now_ns());
	rpmsg_gpio_serial_data_head(&link->session, &head);
	put_frame(link, &head, sizeof(head), message->bytes, message->length);
	if (message->repeated) {
		link->counters.repeated++;
		gb_trace_add(link->base.trace, gb_now_ns(), GB_TRACE_SENT_AGAIN,
			     link->sources[message->endpoint], message->endpoint, 0,
			     message->bytes, message->length);
	}
	message->repeated = true;
}

static bool put_next(struct serial_link *link)
{
	switch (rpmsg_gpio_serial_next(&link->session)) {
	case 0:
		return false;
	case RPMSG_GPIO_SERIAL_OWE_NAK:
		put_ack(link, RPMSG_GPIO_SERIAL_NAK, RPMSG_GPIO_SERIAL_OWE_NAK);
		break;
	case RPMSG_GPIO_SERIAL_OWE_POLL:
		put_ack(link, RPMSG_GPIO_SERIAL_POLL, RPMSG_GPIO_SERIAL_OWE_POLL);
		break;
	case RPMSG_GPIO_SERIAL_OWE_DATA:
		put_data(link);
		break;
	default:
		put_ack(link, RPMSG_GPIO_SERIAL_ACK, RPMSG_GPIO_SERIAL_OWE_POLLED);
		break;
	}
	return true;
}

static void watch_room(struct serial_link *link, bool watch)
{
	if (link->watching_room != watch &&
	    gb_link_watch(&link->base, 0, EVENTS | (watch ? EPOLLOUT : 0u)))
		link->watching_room = watch;
}

/* It is tried ever more rarely: the frame that waits may be an ACK alone, for which there is no
 * deadline. */
static void wait_for_room(struct serial_link *link)
{
	link->room_at = gb_now_ns() + (NO_ROOM_MS * NS_PER_MS << link->room_tries);
	if (link->room_tries < NO_ROOM_DOUBLINGS)
		link->room_tries++;
}

int gb_serial_write_out(struct serial_link *link)
{
	while (link->out_at < link->out_end) {
		ssize_t count = write(link->base.fds[0], link->out + link->out_at,
				      link->out_end - link->out_at);

		if (count > 0) {
			link->out_at += (size_t)count;
			link->room_tries = 0;
			link->counters.bytes_sent += (uint64_t)count;
		} else if (count == 0 || errno == EAGAIN) {
			watch_room(link, true);
			return 0;
		} else if (errno == ENOMEM) {
			wait_for_room(link);
			return 0;
		} else if (errno != EINTR) {
			return dead(link, -ENODEV, "the serial port cannot be written: %s",
				    strerror(errno));
		}
	}
	link->out_at = link->out_end = 0;
	watch_room(link, false);
	return 1;
}

static int transmit(struct serial_link *link)
{
	int ret;

	link->room_at = 0;
	do {
		ret = gb_serial_write_out(link);
		if (ret <= 0)
			return ret;
		while (has_space(link) && put_next(link))
			;
	} while (link->out_end);
	return 0;
}

/* ---- deadlines ---------------------------------------------------------------- */

static void sooner(uint64_t *due, uint64_t at)
{
	if (at < *due)
		*due = at;
}

static uint64_t session_due(const struct serial_link *link)
{
	uint32_t wait = rpmsg_gpio_serial_wait(&link->session, false);

	return wait == UINT32_MAX ? UINT64_MAX : (link->now / NS_PER_US + wait) * NS_PER_US;
}

static void arm_timer(struct serial_link *link)
{
	const struct gb_serial_options *options = &link->options;
	uint64_t due = UINT64_MAX;

	sooner(&due, session_due(link));
	if (link->session.count)
		sooner(&due, link->progress_at + options->dead_ms * NS_PER_MS);
	if (link->room_at)
		sooner(&due, link->room_at);
	if (options->keepalive_ms)
		sooner(&due, link->poll_at);
	if (link->polled_at)
		sooner(&due, link->polled_at + options->dead_ms * NS_PER_MS);
	if (due == UINT64_MAX)
		gb_link_disarm(&link->base, &link->timer);
	else if (!link->timer.armed || link->timer.due_ns != due)
		gb_link_arm(&link->base, &link->timer, due);
}

static int silent(struct serial_link *link)
{
	return dead(link, -ETIMEDOUT,
		    "the coprocessor has not answered on the serial line for %u ms",
		    (unsigned int)link->options.dead_ms);
}

/* A frame came: the line is not silent. */
static void heard(struct serial_link *link, uint64_t now)
{
	link->poll_at = now + link->options.keepalive_ms * NS_PER_MS;
	link->polled_at = 0;
}

/* After a silence a POLL is sent, and then again: it may be lost, and so may its answer. */
static int check_silence(struct serial_link *link, uint64_t now)
{
	const struct gb_serial_options *options = &link->options;

	if (link->polled_at && now >= link->polled_at + options->dead_ms * NS_PER_MS)
		return silent(link);
	if (!options->keepalive_ms || now < link->poll_at)
		return 0;
	if (!link->polled_at)
		link->polled_at = now;
	link->poll_at = now + options->retry_ms * NS_PER_MS +
			2 * ACK_WIRE * link->session.byte_us * NS_PER_US;
	rpmsg_gpio_serial_owe(&link->session, RPMSG_GPIO_SERIAL_OWE_POLL);
	return 0;
}

/* Silence counts up to the pump's last look at the line: what came since is no silence. */
static int check_time(struct serial_link *link)
{
	const struct gb_serial_options *options = &link->options;
	uint64_t now = link->base.pump->looked_ns;

	look_at_clock(link, now);
	if (link->session.count && now >= link->progress_at + options->dead_ms * NS_PER_MS)
		return silent(link);
	if (rpmsg_gpio_serial_check_time(&link->session)) {
		if (link->session.retries < RPMSG_GPIO_SERIAL_BACKOFF_MAX)
			link->session.retries++;
		rpmsg_gpio_serial_send_again(&link->session);
	}
	return check_silence(link, now);
}

/* Say what is due, and set the timer for the next thing. */
static int proceed(struct serial_link *link)
{
	int ret = check_time(link);

	if (ret == 0)
		ret = transmit(link);
	if (ret == 0)
		arm_timer(link);
	return ret;
}

static void timer_expired(struct gb_timer *timer)
{
	struct serial_link *link = (struct serial_link *)(void *)
		((char *)timer - offsetof(struct serial_link, timer));
	int ret;

	if (link->base.dead)
		return;
	ret = proceed(link);
	if (ret < 0)
		gb_link_die(&link->base, -ret);
}

/* ---- frames in ------------------------------------------------------------------ */

static void announcement(struct serial_link *link, const uint8_t *payload, size_t length)
{
	char name[RPMSG_GPIO_SERIAL_NAME_MAX + 1] = "";
	bool created;

	if (length < 3 || length - 2 >= sizeof(name) || payload[0] > RPMSG_GPIO_SERIAL_NS_GONE)
		return;
	created = payload[0] == RPMSG_GPIO_SERIAL_NS_CREATED;
	memcpy(name, payload + 2, length - 2);
	gb_link_announced(&link->base, name, payload[1], created);
}

/* The port is not that of the last message: its driver is gone. */
static uint32_t address_of(const struct serial_link *link,
			   const struct rpmsg_gpio_serial_data *head)
{
	uint32_t source;

	if (head->endpoint == RPMSG_GPIO_SERIAL_NS_ENDPOINT) /* nobody's, and not among the sources */
		return head->port;
	source = link->sources[head->endpoint];
	return (uint8_t)source == head->port ? source : head->port;
}

static void data_received(struct serial_link *link, const uint8_t *frame, size_t length)
{
	struct rpmsg_gpio_serial_data head;
	const uint8_t *payload = frame + sizeof(head);
	size_t payload_length = length - sizeof(head);

	memcpy(&head, frame, sizeof(head));
	rpmsg_gpio_serial_acknowledge(&link->session, head.ack, drop_oldest);
	switch (rpmsg_gpio_serial_place(&link->session, head.sequence)) {
	case RPMSG_GPIO_SERIAL_REPEATED:
		link->counters.repeats++;
		gb_trace_add(link->base.trace, gb_now_ns(), GB_TRACE_REPEATED, address_of(link, &head),
			     head.endpoint, 0, payload, payload_length);
		return;
	case RPMSG_GPIO_SERIAL_AHEAD:
		return;
	case RPMSG_GPIO_SERIAL_NEXT:
		break;
	}
	rpmsg_gpio_serial_taken(&link->session, RX_WINDOW);
	if (head.endpoint == RPMSG_GPIO_SERIAL_NS_ENDPOINT)
		announcement(link, payload, payload_length);
	else
		gb_link_received(&link->base, head.endpoint, address_of(link, &head), payload,
				 (uint16_t)payload_length);
}

static int started_again(struct serial_link *link, uint32_t epoch)
{
	return dead(link, -ECONNRESET, "the coprocessor started again (boot id 0x%x, before 0x%x)",
		    (unsigned int)epoch, (unsigned int)link->epoch);
}

static int reset_received(struct serial_link *link, const uint8_t *frame)
{
	struct rpmsg_gpio_serial_reset reset;
	uint32_t epoch;

	memcpy(&reset, frame, sizeof(reset));
	epoch = rpmsg_gpio_load32(reset.id);
	if (epoch != link->epoch)
		return started_again(link, epoch);
	return dead(link, -ECONNRESET, "the coprocessor ended the session on the serial line");
}

/* This answers a HELLO that was repeated. Firmware that started before that HELLO came takes it
 * for a new session, and both sides would disagree about sequence numbers. */
static int welcome_again(struct serial_link *link, const uint8_t *frame)
{
	struct rpmsg_gpio_serial_welcome welcome;
	uint32_t epoch;

	memcpy(&welcome, frame, sizeof(welcome));
	epoch = rpmsg_gpio_load32(welcome.epoch);
	if (rpmsg_gpio_load32(welcome.session) == link->session_id && epoch != link->epoch)
		return started_again(link, epoch);
	return 0;
}

static void welcome_received(struct serial_link *link, const uint8_t *frame, uint64_t now)
{
	struct rpmsg_gpio_serial_welcome welcome;

	memcpy(&welcome, frame, sizeof(welcome));
	if (rpmsg_gpio_load32(welcome.session) != link->session_id)
		return; /* for a driver before us */
	link->peer_version = welcome.version;
	link->session.peer_mru = rpmsg_gpio_load16(welcome.mru);
	link->welcome_refused = welcome.version != RPMSG_GPIO_SERIAL_VERSION ||
				link->session.peer_mru < MRU_LEAST;
	if (link->welcome_refused)
		return;
	link->epoch = rpmsg_gpio_load32(welcome.epoch);
	link->session.peer_window = welcome.window > SLOTS ? SLOTS : welcome.window;
	if (!link->session.peer_window)
		link->session.peer_window = 1;
	heard(link, now);
	link->session.up = true;
}

/* `length` is without the CRC. */
static int frame_received(struct serial_link *link, const uint8_t *frame, size_t length)
{
	uint8_t kind = frame[0] & RPMSG_GPIO_SERIAL_DATA ? RPMSG_GPIO_SERIAL_DATA : frame[0];
	uint64_t now = gb_now_ns();
	static const uint8_t least[] = {
		[RPMSG_GPIO_SERIAL_WELCOME] = sizeof(struct rpmsg_gpio_serial_welcome),
		[RPMSG_GPIO_SERIAL_ACK] = sizeof(struct rpmsg_gpio_serial_ack),
		[RPMSG_GPIO_SERIAL_NAK] = sizeof(struct rpmsg_gpio_serial_ack),
		[RPMSG_GPIO_SERIAL_POLL] = sizeof(struct rpmsg_gpio_serial_ack),
		[RPMSG_GPIO_SERIAL_RESET] = sizeof(struct rpmsg_gpio_serial_reset),
		[RPMSG_GPIO_SERIAL_DATA] = sizeof(struct rpmsg_gpio_serial_data),
	};

	link->counters.received++;
	if (kind >= sizeof(least) || !least[kind] || length < least[kind])
		return 0;
	if (!link->session.up) {
		/* Other frames belong to a session of a driver before us. */
		if (kind == RPMSG_GPIO_SERIAL_WELCOME)
			welcome_received(link, frame, now);
		link->reset_seen |= kind == RPMSG_GPIO_SERIAL_RESET;
		return 0;
	}
	look_at_clock(link, now);
	heard(link, now);
	if (kind == RPMSG_GPIO_SERIAL_RESET)
		return reset_received(link, frame);
	if (kind == RPMSG_GPIO_SERIAL_WELCOME)
		return welcome_again(link, frame);
	if (kind == RPMSG_GPIO_SERIAL_DATA)
		data_received(link, frame, length);
	else
		rpmsg_gpio_serial_ack_received(&link->session, frame, drop_oldest);
	return 0;
}

int gb_serial_take(struct serial_link *link, uint8_t byte)
{
	int length = rpmsg_gpio_serial_decode(&link->decoder, link->frame, sizeof(link->frame),
					      byte);

	if (length > 0)
		return frame_received(link, link->frame, (size_t)length);
	if (length == RPMSG_GPIO_SERIAL_DAMAGED) {
		link->counters.damaged++;
		gb_trace_add(link->base.trace, gb_now_ns(), GB_TRACE_DAMAGED, 0, 0, 0, NULL, 0);
		look_at_clock(link, gb_now_ns());
		if (link->session.up)
			rpmsg_gpio_serial_ask_again(&link->session);
	}
	return 0;
}

/* ---- the pump's side --------------------------------------------------------------- */

static int gone(struct serial_link *link)
{
	return dead(link, -ENODEV,
		    "the serial port is gone: unplugged, or closed at its other end");
}

/* Returns 1: more may be there; 0: there is no more; or the death of the link. */
static int receive_some(struct serial_link *link)
{
	uint8_t bytes[READ_SIZE];
	ssize_t count = read(link->base.fds[0], bytes, sizeof(bytes));
	int ret = 0;

	if (count < 0 && errno == EINTR)
		return 1;
	if (count < 0 && errno == EAGAIN)
		return 0;
	if (count <= 0)
		return gone(link);
	link->counters.bytes_received += (uint64_t)count;
	for (ssize_t i = 0; i < count && ret == 0; i++)
		ret = gb_serial_take(link, bytes[i]);
	return ret < 0 ? ret : 1;
}

/* Reads all that is there, but a peer that never stops must not keep the pump. */
static int receive(struct serial_link *link)
{
	int ret = 1;

	for (int i = 0; i < READS_A_TURN && ret > 0; i++)
		ret = receive_some(link);
	if (ret > 0) /* looks at the descriptor again */
		gb_link_watch(&link->base, 0, EVENTS | (link->watching_room ? EPOLLOUT : 0u));
	return ret < 0 ? ret : 0;
}

static int serial_link_ready(struct gb_link *base, int index, uint32_t events)
{
	struct serial_link *link = to_link(base);
	int ret = 0;

	(void)index;
	if (events & EPOLLIN)
		ret = receive(link);
	else if (events & (EPOLLHUP | EPOLLERR))
		ret = gone(link);
	if (ret == 0 && link->full && link->session.count < link->session.peer_window) {
		link->full = false;
		gb_link_writable(base);
	}
	return ret < 0 ? ret : proceed(link);
}

static int serial_link_send(struct gb_link *base, uint32_t source, uint32_t destination,
			    const void *payload, uint16_t length)
{
	struct serial_link *link = to_link(base);
	struct message *message;

	if (length > link->session.peer_mru || length > RPMSG_GPIO_MESSAGE_MAX)
		return -EMSGSIZE;
	if (destination > ENDPOINT_MAX)
		return 0; /* as on rpmsg, a message to nobody is lost */
	if (link->session.count >= link->session.peer_window) {
		link->full = true;
		return -EAGAIN;
	}
	if (!link->session.count)
		link->progress_at = gb_now_ns();
	message = slot(link, link->session.count);
	message->repeated = false;
	message->length = length;
	message->endpoint = (uint8_t)destination;
	message->port = (uint8_t)source;
	if (length)
		memcpy(message->bytes, payload, length);
	link->sources[message->endpoint] = source;
	link->session.bytes = (uint16_t)(link->session.bytes + length);
	link->session.count++;
	return 0;
}

/* A flush cannot fail: that the port is gone shows up in epoll, or at a deadline. */
static void serial_link_flush(struct gb_link *base)
{
	struct serial_link *link = to_link(base);

	if (link->out_at == link->out_end || link->room_at == 0)
		(void)transmit(link);
	arm_timer(link);
}

static void serial_link_leave(struct gb_link *base)
{
	struct serial_link *link = to_link(base);

	if (link->session.retries || link->polled_at)
		return; /* the firmware does not answer: perhaps the port does not drain */
	if (!has_space(link))
		link->out_at = link->out_end = 0;
	link->session.lead = true;
	put_reset(link);
	link->left = gb_serial_write_out(link) == 1;
}

static void serial_link_destroy(struct gb_link *base)
{
	struct serial_link *link = to_link(base);

	/* A port that does not drain would keep close() waiting for many seconds. */
	if (!link->left)
		tcflush(link->base.fds[0], TCOFLUSH);
	close(base->fds[0]);
	free(link);
}

static void serial_link_stop(struct gb_link *base)
{
	gb_link_disarm(base, &to_link(base)->timer);
}

static const struct gb_link_ops serial_link_ops = {
	.name = "serial",
	.start = serial_link_flush,
	.send = serial_link_send,
	.flush = serial_link_flush,
	.ready = serial_link_ready,
	.leave = serial_link_leave,
	.stop = serial_link_stop,
	.destroy = serial_link_destroy,
};

struct serial_link *gb_serial_new(int fd, const struct gb_serial_options *options)
{
	struct serial_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->base.ops = &serial_link_ops;
	link->base.fds[0] = fd;
	link->base.events[0] = EVENTS;
	link->base.fd_count = 1;
	link->options = *options;
	link->timer.expired = timer_expired;
	link->session.byte_us = rpmsg_gpio_serial_byte_us(options->bit_rate);
	link->session.ack_us = 1000u * options->ack_ms;
	link->session.retry_us = 1000u * options->retry_ms;
	if (getrandom(&link->session_id, sizeof(link->session_id), GRND_NONBLOCK) < 0)
		link->session_id = (uint32_t)gb_now_ns();
	return link;
}

void gb_serial_count(const struct gb_link *base, struct gb_serial_counters *counters)
{
	*counters = ((const struct serial_link *)base)->counters;
}
