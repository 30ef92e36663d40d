/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The serial framing: the core against the bytes of docs/protocol.md section 12,
 * against hostile bytes, and, over a socket, against the shim's own side.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "pump/controller.h"
#include "pump/serial_link.h"
#include "rpmsg_gpio_serial.h"

#define EPOCH 0xa1b2c3d4u
#define US_PER_MS 1000u

/* A core, with its UART and its endpoint in this test's hands. */
struct bench {
	struct rpmsg_gpio_serial serial;
	struct rpmsg_gpio_serial_config config;
	uint8_t out[16384];
	size_t out_length, out_limit;
	uint8_t message[RPMSG_GPIO_SERIAL_RX_MAX];
	size_t message_length;
	uint8_t endpoint, port;
	unsigned int messages, sessions, ends;
	bool refuse;
	uint32_t now;
};

static size_t bench_write(void *context, const uint8_t *bytes, size_t length)
{
	struct bench *bench = context;
	size_t room = bench->out_limit - bench->out_length;

	length = length < room ? length : room;
	memcpy(bench->out + bench->out_length, bytes, length);
	bench->out_length += length;
	return length;
}

static bool bench_received(void *context, uint8_t endpoint, uint8_t port, const void *message,
			   size_t length)
{
	struct bench *bench = context;

	if (bench->refuse)
		return false;
	bench->endpoint = endpoint;
	bench->port = port;
	bench->message_length = length;
	memcpy(bench->message, message, length);
	bench->messages++;
	return true;
}

static void bench_session(void *context, bool open)
{
	struct bench *bench = context;

	if (open)
		bench->sessions++;
	else
		bench->ends++;
	/* What is sent from here is lost, whatever the state was. */
	CHECK(rpmsg_gpio_serial_send(&bench->serial, 0, 9, "old", 3));
}

static const struct rpmsg_gpio_serial_ops ops = {bench_write, bench_received, bench_session};
static const struct rpmsg_gpio_serial_channel channels[] = {{"rpmsg-io-0", 0}};

static void bench_init(struct bench *bench, uint8_t channel_count)
{
	memset(bench, 0, sizeof(*bench));
	bench->out_limit = sizeof(bench->out);
	bench->now = 0xfffff000u; /* the clock wraps soon */
	bench->config = (struct rpmsg_gpio_serial_config){
		.ops = &ops,
		.context = bench,
		.channels = channels,
		.channel_count = channel_count,
		.epoch = EPOCH,
	};
	rpmsg_gpio_serial_init(&bench->serial, &bench->config);
}

static uint32_t run(struct bench *bench)
{
	return rpmsg_gpio_serial_run(&bench->serial, bench->now);
}

static void feed(struct bench *bench, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		rpmsg_gpio_serial_rx(&bench->serial, bytes[i]);
		if (i % 64 == 63)
			run(bench);
	}
	run(bench);
}

static size_t from_hex(const char *hex, uint8_t *bytes)
{
	size_t count = 0;
	unsigned int byte;
	int used;

	while (sscanf(hex, "%2x%n", &byte, &used) == 1) {
		bytes[count++] = (uint8_t)byte;
		hex += used;
	}
	return count;
}

static void feed_hex(struct bench *bench, const char *hex)
{
	uint8_t bytes[256];
	size_t count = from_hex(hex, bytes);

	feed(bench, bytes, count);
}

/* A frame that is no longer than one COBS block. */
static void feed_frame(struct bench *bench, const void *frame, size_t length)
{
	uint8_t bytes[64], wire[80];
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;
	rpmsg_gpio_le32 le;
	size_t code = 0;

	memcpy(bytes, frame, length);
	for (size_t i = 0; i < length; i++)
		crc = rpmsg_gpio_serial_crc(crc, bytes[i]);
	le = rpmsg_gpio_store32(~crc);
	memcpy(bytes + length, &le, sizeof(le));
	length += sizeof(le);
	for (size_t i = 0; i < length; i++) {
		wire[i + 1] = bytes[i];
		if (bytes[i])
			continue;
		wire[code] = (uint8_t)(i + 1 - code);
		code = i + 1;
	}
	wire[code] = (uint8_t)(length + 1 - code);
	wire[length + 1] = 0;
	feed(bench, wire, length + 2);
}

/* What was sent since the last look is exactly this. */
static void expect_hex(struct bench *bench, const char *hex)
{
	uint8_t bytes[256];
	size_t count = from_hex(hex, bytes);

	CHECK_EQ(bench->out_length, count);
	CHECK(bench->out_length == count && !memcmp(bench->out, bytes, count));
	bench->out_length = 0;
}

/* ---- the examples of the document --------------------------------------------- */

#define RESET_EPOCH "02 06 09 d4 c3 b2 a1 f0 24 97 3f 00"
#define HELLO \
	"0a 01 01 78 56 34 12 f0 01 20 01 03 c2 01 02 05 02 32 05 f5 b5 d9 6a 00"
/* 300 bits/s, a window of 64, 10 s before a repetition */
#define SLOW_HELLO \
	"0a 01 01 78 56 34 12 f0 01 40 03 2c 01 01 02 05 07 10 27 96 17 22 53 00"
#define WELCOME "08 02 01 78 56 34 12 40 02 08 09 d4 c3 b2 a1 b6 c3 21 2f 00"
#define ANNOUNCE "02 80 02 ff 01 01 0f 72 70 6d 73 67 2d 69 6f 2d 30 03 fd 8d 44 00"
#define ACK_1 "07 03 01 48 5c ed 37 00"
#define REQUEST_0 "03 80 01 03 07 04 01 01 01 01 01 01 05 73 ce 22 93 00"
#define REPLY_1 "03 81 01 02 07 01 06 01 81 18 08 22 00"
#define REQUEST_1 "03 81 02 03 07 04 01 01 01 01 01 01 05 f1 74 2d 1e 00"
#define NAK_0 "02 04 05 0e 16 eb bf 00"
#define NAK_1 "07 04 01 0d 95 80 4d 00"
#define POLL_3 "07 05 03 8d 7d 19 bf 00"
#define LIST_2 "04 82 02 ff 06 02 ef 04 ab 94 00"
#define RESET_SESSION "02 06 09 78 56 34 12 0a bd 27 c4 00"

static const uint8_t get_value[] = {4, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t ok_high[] = {0, 0, 1};

/* Up to the acknowledged announcement. */
static void begin(struct bench *bench)
{
	bench_init(bench, 1);
	run(bench);
	/* Behind a delimiter, which ends what a boot loader may have printed. */
	expect_hex(bench, "00" RESET_EPOCH);
	feed_hex(bench, HELLO);
	expect_hex(bench, WELCOME ANNOUNCE);
	CHECK_EQ(bench->sessions, 1);
	feed_hex(bench, ACK_1);
	expect_hex(bench, "");
	CHECK_EQ(run(bench), UINT32_MAX);
}

static void the_examples_of_the_document(void)
{
	struct bench bench;

	begin(&bench);
	feed_hex(&bench, REQUEST_0);
	CHECK_EQ(bench.messages, 1);
	CHECK_EQ(bench.endpoint, 0);
	CHECK_EQ(bench.port, 7);
	CHECK_EQ(bench.message_length, sizeof(get_value));
	CHECK_BYTES(bench.message, get_value, sizeof(get_value));
	CHECK(rpmsg_gpio_serial_send(&bench.serial, 0, 7, ok_high, sizeof(ok_high)));
	run(&bench);
	expect_hex(&bench, REPLY_1); /* and no ACK of its own */
	feed_hex(&bench, "03 81 02 03 06 04 01 01 01 01 01 01 05 f1 74 2d 1e 00");
	expect_hex(&bench, NAK_1);
	feed_hex(&bench, REQUEST_1);
	CHECK_EQ(bench.messages, 2);
	feed_hex(&bench, LIST_2);
	CHECK_EQ(bench.messages, 2);
	CHECK(bench.out_length > 0); /* the announcement again */
	bench.out_length = 0;
	feed_hex(&bench, RESET_SESSION);
	expect_hex(&bench, "");
	CHECK_EQ(bench.ends, 1);
	CHECK(!rpmsg_gpio_serial_up(&bench.serial));
	feed_hex(&bench, POLL_3);
	expect_hex(&bench, RESET_EPOCH);
}

static void crc_is_castagnolis(void)
{
	uint32_t crc = RPMSG_GPIO_SERIAL_CRC_FIRST;

	for (const char *at = "123456789"; *at; at++)
		crc = rpmsg_gpio_serial_crc(crc, (uint8_t)*at);
	CHECK_EQ(~crc, 0xe3069283u);
}

/* ---- acknowledgement and repetition ---------------------------------------------- */

static void an_ack_waits_for_a_reply(void)
{
	struct bench bench;
	uint32_t wait;

	begin(&bench);
	feed_hex(&bench, REQUEST_0);
	expect_hex(&bench, "");
	wait = run(&bench);
	CHECK_EQ(wait, 5 * US_PER_MS);
	bench.now += wait;
	CHECK_EQ(run(&bench), UINT32_MAX);
	expect_hex(&bench, ACK_1);
}

static void half_a_window_is_acknowledged_at_once(void)
{
	uint8_t frame[12] = {0, 1, 0, 7, 4};
	struct bench bench;

	begin(&bench);
	for (uint8_t n = 0; n < RPMSG_GPIO_SERIAL_RX_WINDOW / 2; n++) {
		CHECK_EQ(bench.out_length, 0);
		frame[0] = (uint8_t)(RPMSG_GPIO_SERIAL_DATA | n);
		feed_frame(&bench, frame, sizeof(frame));
	}
	CHECK(bench.out_length > 2);
	CHECK_EQ(bench.out[1], RPMSG_GPIO_SERIAL_ACK);
	CHECK_EQ(bench.out[2], RPMSG_GPIO_SERIAL_RX_WINDOW / 2);
}

static unsigned int frames_sent(struct bench *bench)
{
	unsigned int count = 0;

	for (size_t i = 0; i < bench->out_length; i++)
		count += !bench->out[i];
	bench->out_length = 0;
	return count;
}

static void the_drivers_window_and_mru_are_kept(void)
{
	static const uint8_t ack_2[] = {RPMSG_GPIO_SERIAL_ACK, 2};
	static const uint8_t message[17];
	struct rpmsg_gpio_serial_hello hello = {
		.kind = RPMSG_GPIO_SERIAL_HELLO,
		.version = RPMSG_GPIO_SERIAL_VERSION,
		.mru = rpmsg_gpio_store16(16),
		.window = 2,
		.retry_ms = rpmsg_gpio_store16(50),
	};
	struct bench bench;

	bench_init(&bench, 0);
	feed_frame(&bench, &hello, sizeof(hello));
	bench.out_length = 0;
	/* What the driver cannot take is lost. */
	CHECK(rpmsg_gpio_serial_send(&bench.serial, 0, 7, message, 17));
	run(&bench);
	CHECK_EQ(frames_sent(&bench), 0);
	for (int n = 0; n < 5; n++)
		CHECK(rpmsg_gpio_serial_send(&bench.serial, 0, 7, message, 16));
	run(&bench);
	CHECK_EQ(frames_sent(&bench), 2);
	feed_frame(&bench, ack_2, sizeof(ack_2));
	CHECK_EQ(frames_sent(&bench), 2);
}

static void the_same_frame_again_is_acknowledged_and_dropped(void)
{
	struct bench bench;

	begin(&bench);
	feed_hex(&bench, REQUEST_0);
	feed_hex(&bench, REQUEST_0);
	CHECK_EQ(bench.messages, 1);
	expect_hex(&bench, ACK_1);
}

static void a_gap_is_asked_for_once(void)
{
	struct bench bench;

	begin(&bench);
	feed_hex(&bench, REQUEST_1);
	feed_hex(&bench, REQUEST_1);
	feed_hex(&bench, "01 02 03 00");
	CHECK_EQ(bench.messages, 0);
	expect_hex(&bench, NAK_0);
}

static void unacknowledged_frames_are_sent_again_and_given_up(void)
{
	struct bench bench;
	unsigned int repetitions = 0;
	uint32_t wait, before = 0;

	bench_init(&bench, 1);
	feed_hex(&bench, HELLO);
	bench.out_length = 0;
	while ((wait = run(&bench)) != UINT32_MAX) {
		CHECK(wait >= before);
		before = wait;
		bench.now += wait;
		run(&bench);
		if (rpmsg_gpio_serial_up(&bench.serial)) {
			expect_hex(&bench, "00" ANNOUNCE);
			repetitions++;
		}
	}
	CHECK_EQ(repetitions, 8);
	CHECK_EQ(bench.ends, 1);
	expect_hex(&bench, "");
}

/* The longest time that there is, doubled: it must not go beyond what a clock of
 * 32 bits can tell, or the repetitions would follow at once and end the session. */
static void the_slowest_line_keeps_its_times(void)
{
	struct bench bench;
	uint32_t wait, before = 0;
	unsigned int repetitions = 0;

	bench_init(&bench, 0);
	feed_hex(&bench, SLOW_HELLO);
	while (rpmsg_gpio_serial_send(&bench.serial, 0, 7, ok_high, sizeof(ok_high)))
		;
	while ((wait = run(&bench)) != UINT32_MAX) {
		CHECK(wait >= before);
		before = wait;
		bench.now += wait;
		bench.out_length = 0;
		repetitions++;
	}
	CHECK_EQ(repetitions, 9);
	CHECK_EQ(bench.ends, 1);
}

static void a_nak_brings_everything_again(void)
{
	struct bench bench;

	bench_init(&bench, 1);
	feed_hex(&bench, HELLO);
	bench.out_length = 0;
	feed_hex(&bench, NAK_0);
	expect_hex(&bench, "00" ANNOUNCE);
}

/* On a slow line a NAK or a HELLO comes while a frame is under way. That is good still;
 * cut in two it would be damaged, asked for, cut again, and so for ever. */
static void a_frame_that_is_under_way_is_not_cut(void)
{
	struct bench bench;

	bench_init(&bench, 1);
	run(&bench);
	bench.out_length = 0;
	bench.out_limit = 1;
	feed_hex(&bench, HELLO);
	bench.out_limit = 24; /* the WELCOME, and four bytes of the next frame */
	run(&bench);
	feed_hex(&bench, NAK_0);
	bench.out_limit = sizeof(bench.out);
	run(&bench);
	expect_hex(&bench, WELCOME ANNOUNCE "00" ANNOUNCE);
}

static void the_same_hello_again_forgets_nothing(void)
{
	struct bench bench;

	bench_init(&bench, 1);
	feed_hex(&bench, HELLO);
	bench.out_length = 0;
	feed_hex(&bench, HELLO);
	expect_hex(&bench, "00" WELCOME ANNOUNCE);
	CHECK_EQ(bench.sessions, 1);
}

/* It is of another driver than that of the session, which ends. */
static void a_hello_of_another_version_begins_no_session(void)
{
	struct rpmsg_gpio_serial_hello hello = {
		.kind = RPMSG_GPIO_SERIAL_HELLO,
		.version = RPMSG_GPIO_SERIAL_VERSION + 1,
		.session = rpmsg_gpio_store32(0x9abcdef0),
		.mru = rpmsg_gpio_store16(RPMSG_GPIO_MESSAGE_MAX),
		.window = 1,
		.retry_ms = rpmsg_gpio_store16(50),
	};
	struct bench bench;

	begin(&bench);
	feed_frame(&bench, &hello, sizeof(hello));
	CHECK_EQ(bench.sessions, 1);
	CHECK_EQ(bench.ends, 1);
	CHECK(!rpmsg_gpio_serial_up(&bench.serial));
	CHECK_EQ(bench.out[1], RPMSG_GPIO_SERIAL_WELCOME);
	CHECK_EQ(bench.out[2], RPMSG_GPIO_SERIAL_VERSION);
	CHECK_BYTES(bench.out + 3, "\xf0\xde\xbc\x9a", 4);
	/* The same driver tries what the WELCOME told: a session that is new. */
	hello.version = RPMSG_GPIO_SERIAL_VERSION;
	feed_frame(&bench, &hello, sizeof(hello));
	CHECK_EQ(bench.sessions, 2);
}

static void a_refused_message_is_asked_for_when_there_is_room(void)
{
	struct bench bench;

	begin(&bench);
	bench.refuse = true;
	feed_hex(&bench, REQUEST_0);
	expect_hex(&bench, "");
	bench.refuse = false;
	run(&bench);
	CHECK(bench.out_length > 0);
	CHECK_EQ(bench.out[1], RPMSG_GPIO_SERIAL_NAK);
	feed_hex(&bench, REQUEST_0);
	CHECK_EQ(bench.messages, 1);
}

/* The frame behind it already brought a NAK: the one that is due waits its time. */
static void a_refused_message_is_asked_for_after_another_nak(void)
{
	struct bench bench;
	uint32_t wait;

	begin(&bench);
	bench.refuse = true;
	feed_hex(&bench, REQUEST_0 REQUEST_1);
	expect_hex(&bench, NAK_0);
	bench.refuse = false;
	wait = run(&bench);
	expect_hex(&bench, "");
	CHECK_EQ(wait, 25 * US_PER_MS);
	bench.now += wait;
	CHECK_EQ(run(&bench), UINT32_MAX);
	expect_hex(&bench, NAK_0);
	/* It is not asked for when it came by itself. */
	bench.refuse = true;
	feed_hex(&bench, REQUEST_0);
	bench.refuse = false;
	bench.out_length = 0;
	feed_hex(&bench, REQUEST_0);
	CHECK_EQ(bench.messages, 1);
	bench.now += 4 * US_PER_MS;
	run(&bench);
	expect_hex(&bench, "");
}

static void a_full_uart_and_a_full_buffer_lose_nothing(void)
{
	struct bench bench;
	uint8_t message[RPMSG_GPIO_MESSAGE_MAX];
	unsigned int queued = 0;

	begin(&bench);
	memset(message, 0, sizeof(message));
	message[400] = 0x55;
	bench.out_limit = 0;
	while (rpmsg_gpio_serial_send(&bench.serial, 0, 7, message, sizeof(message)))
		queued++;
	CHECK_EQ(queued, 1);
	CHECK_EQ(run(&bench), UINT32_MAX); /* until the UART says so */
	for (unsigned int i = 0; i < 600; i++) {
		bench.out_limit++;
		run(&bench);
	}
	CHECK_EQ(bench.out_length,
		 RPMSG_GPIO_SERIAL_WIRE_SIZE(
			 RPMSG_GPIO_SERIAL_FRAME_MAX(RPMSG_GPIO_MESSAGE_MAX)) -
			 1);
	CHECK_EQ(bench.out[bench.out_length - 1], 0);
}

static void random_bytes_do_no_harm(void)
{
	struct bench bench;
	unsigned int seed = 1;

	begin(&bench);
	for (unsigned int i = 0; i < 200000; i++) {
		uint8_t byte = (uint8_t)(rand_r(&seed) >> 8);

		rpmsg_gpio_serial_rx(&bench.serial, byte & 0xf0 ? byte : 0);
		bench.now += 100;
		run(&bench);
		bench.out_length = 0;
	}
	CHECK_EQ(bench.messages, 0);
	CHECK(rpmsg_gpio_serial_up(&bench.serial));
	feed_hex(&bench, "00" REQUEST_0);
	CHECK_EQ(bench.messages, 1);
}

/* ---- both sides over a noisy socket ------------------------------------------------- */

#define NOISE_PER_MILLION 1000u
#define ECHOES 3000u
#define DEADLINE_MS 60000

/* The far side: a core in a thread that sends every message back. */
struct echo {
	struct rpmsg_gpio_serial serial;
	struct rpmsg_gpio_serial_config config;
	int fd;
	unsigned int seed;
	atomic_bool stop;
	bool noisy;
};

static bool chance(struct echo *echo)
{
	return echo->noisy && (unsigned int)rand_r(&echo->seed) % 1000000u < NOISE_PER_MILLION;
}

/* Flips, loses, adds; `to` has room for twice the length. */
static size_t add_noise(struct echo *echo, const uint8_t *bytes, size_t length, uint8_t *to)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++) {
		uint8_t byte = bytes[i];

		if (chance(echo))
			to[count++] = (uint8_t)rand_r(&echo->seed);
		if (chance(echo))
			byte ^= (uint8_t)(1u << (unsigned int)rand_r(&echo->seed) % 8);
		if (!chance(echo))
			to[count++] = byte;
	}
	return count;
}

static size_t echo_write(void *context, const uint8_t *bytes, size_t length)
{
	struct echo *echo = context;
	uint8_t noisy[64];
	size_t count = add_noise(echo, bytes, length, noisy);

	if (count && write(echo->fd, noisy, count) != (ssize_t)count && errno == EAGAIN)
		return 0;
	return length;
}

static bool echo_received(void *context, uint8_t endpoint, uint8_t port, const void *message,
			  size_t length)
{
	struct echo *echo = context;

	return rpmsg_gpio_serial_send(&echo->serial, endpoint, port, message, length);
}

static const struct rpmsg_gpio_serial_ops echo_ops = {echo_write, echo_received, NULL};

static void *echo_main(void *argument)
{
	struct echo *echo = argument;
	uint8_t bytes[64], noisy[128];

	while (!echo->stop) {
		uint32_t wait = rpmsg_gpio_serial_run(&echo->serial, (uint32_t)(gb_now_ns() / 1000));
		struct pollfd poller = {.fd = echo->fd, .events = POLLIN};
		int ms = wait > 100000 ? 100 : (int)(wait + 999) / 1000;
		ssize_t count;

		if (poll(&poller, 1, ms) <= 0)
			continue;
		count = read(echo->fd, bytes, sizeof(bytes));
		if (count <= 0)
			break;
		count = (ssize_t)add_noise(echo, bytes, (size_t)count, noisy);
		for (ssize_t i = 0; i < count; i++)
			rpmsg_gpio_serial_rx(&echo->serial, noisy[i]);
	}
	return NULL;
}

struct session {
	struct echo echo;
	pthread_t thread;
	struct gb_pump *pump;
	struct gb_link *link;
};

static const struct gb_serial_options options = {
	.bit_rate = 4000000, .ack_ms = 2, .retry_ms = 10, .dead_ms = 5000};

static void start_session(struct session *session)
{
	int fds[2];
	char why[256] = "";

	memset(session, 0, sizeof(*session));
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	session->echo.fd = fds[0];
	session->echo.seed = 7;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	session->echo.config = (struct rpmsg_gpio_serial_config){
		.ops = &echo_ops, .context = &session->echo, .channels = channels,
		.channel_count = 1, .epoch = EPOCH};
	rpmsg_gpio_serial_init(&session->echo.serial, &session->echo.config);
	pthread_create(&session->thread, NULL, echo_main, &session->echo);
	session->link = gb_serial_attach(fds[1], "socket", &options, 5000, why, sizeof(why));
	if (!session->link)
		printf("%s\n", why);
	CHECK(session->link != NULL);
}

static void open_session(struct session *session)
{
	start_session(session);
	session->pump = gb_pump_new();
	CHECK_EQ(gb_pump_add_link(session->pump, session->link, 1), 0);
}

static void close_session(struct session *session)
{
	gb_link_close(session->link);
	gb_pump_free(session->pump);
	session->echo.stop = true;
	shutdown(session->echo.fd, SHUT_RDWR);
	pthread_join(session->thread, NULL);
	close(session->echo.fd);
}

/* The next report; false after the deadline. */
static bool next_report(struct session *session, struct gb_report *report)
{
	uint64_t deadline = gb_now_ns() + UINT64_C(1000000) * DEADLINE_MS;

	while (!gb_pump_next_report(session->pump, report)) {
		struct pollfd poller = {.fd = gb_pump_report_fd(session->pump), .events = POLLIN};

		if (gb_now_ns() > deadline || poll(&poller, 1, DEADLINE_MS) <= 0)
			return false;
	}
	return true;
}

/*
 * A request of type 0 comes back as a reply: its first byte is the request
 * queue, and gpio lies where an extended reply has status and value. Its tag,
 * which nobody has accepted, stays 0.
 */
static void messages_survive_noise(void)
{
	struct session session;
	struct gb_report report;
	struct gb_controller *controller;
	struct gb_serial_counters counters;
	unsigned int wrong = 0, answered = 0;

	open_session(&session);
	CHECK(next_report(&session, &report));
	CHECK_EQ(report.kind, GB_REPORT_ANNOUNCED);
	CHECK_EQ(report.number, 0);
	CHECK_EQ(strcmp((const char *)report.body, "rpmsg-io-0"), 0);
	session.echo.noisy = true;
	controller = gb_controller_open(session.link, 2, 1024, 0);
	CHECK(controller != NULL);
	for (unsigned int i = 0; i < ECHOES; i++) {
		/* gpio becomes the status (0) and, above it, the value */
		uint16_t value = (uint16_t)(i & 0xff);

		if (gb_controller_call(controller, 0, (uint16_t)(value << 8), i << 16,
				       GB_CALL_BASELINE, DEADLINE_MS, i))
			break;
		if (!next_report(&session, &report))
			break;
		answered++;
		wrong += report.id != i || report.error || report.value != value;
	}
	gb_serial_count(session.link, &counters);
	CHECK_EQ(answered, ECHOES);
	CHECK_EQ(wrong, 0);
	CHECK(counters.repeated > 0);
	CHECK(counters.damaged > 0);
	close_session(&session);
}

/* Addresses that end in the same byte, as after 256 announcements of a channel. */
static void controllers_of_one_port_are_told_apart(void)
{
	struct session session;
	struct gb_report report;
	struct gb_controller *first, *second;

	open_session(&session);
	CHECK(next_report(&session, &report));
	first = gb_controller_open(session.link, 2, 1024, 0);
	second = gb_controller_open(session.link, 3, 1024 + 256, 1);
	CHECK(first && second);
	for (unsigned int i = 0; i < 100; i++) {
		CHECK_EQ(gb_controller_call(first, 0, 0, 0, GB_CALL_BASELINE, DEADLINE_MS, 1), 0);
		CHECK_EQ(gb_controller_call(second, 0, 0, 0, GB_CALL_BASELINE, DEADLINE_MS, 2), 0);
		for (unsigned int n = 0; n < 2; n++) {
			CHECK(next_report(&session, &report));
			CHECK_EQ(report.error, 0);
		}
	}
	CHECK_EQ(gb_link_strays(session.link), 0);
	close_session(&session);
}

static void a_reset_ends_the_link_with_a_sentence(void)
{
	struct session session;
	struct gb_report report;
	static const uint8_t started_again[] = {0x00, 0x02, 0x06, 0x09, 0x78, 0x56, 0x34, 0x12,
						0x0a, 0xbd, 0x27, 0xc4, 0x00};

	open_session(&session);
	CHECK(next_report(&session, &report));
	CHECK_EQ(write(session.echo.fd, started_again, sizeof(started_again)),
		 (long long)sizeof(started_again));
	CHECK(next_report(&session, &report));
	CHECK_EQ(report.kind, GB_REPORT_LINK_DOWN);
	CHECK_EQ(report.error, ECONNRESET);
	CHECK(strstr((const char *)report.body, "started again") != NULL);
	close_session(&session);
}

static void nobody_there_is_an_error_in_time(void)
{
	int fds[2];
	char why[256] = "";

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK(!gb_serial_attach(fds[1], "/dev/null0", &options, 150, why, sizeof(why)));
	CHECK_EQ(errno, ETIMEDOUT);
	CHECK(strstr(why, "no firmware answers") != NULL);
	close(fds[0]);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[0]);
	CHECK(!gb_serial_attach(fds[1], "/dev/null0", &options, 5000, why, sizeof(why)));
	CHECK_EQ(errno, ENODEV);
}

/* Let writes to this descriptor fail as those to an rpmsg tty without buffers do. */
static bool refuse_writes(int fd)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)fd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int attach_without_buffers(int fd)
{
	char why[256] = "";
	struct timespec used;

	if (!refuse_writes(fd))
		return 0;
	if (gb_serial_attach(fd, "/dev/ttyRPMSG0", &options, 1000, why, sizeof(why)) ||
	    errno != ETIMEDOUT)
		return 2;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec || used.tv_nsec > 100000000 ? 3 : 0;
}

/* The pump's thread has the filter, the firmware's began before it. */
static int acknowledge_without_buffers(void)
{
	struct session session;
	struct gb_report report;
	struct rusage before, after;

	start_session(&session);
	if (!session.link || !refuse_writes(session.link->fds[0]))
		return 0;
	session.pump = gb_pump_new();
	if (gb_pump_add_link(session.pump, session.link, 1) || !next_report(&session, &report))
		return 2;
	getrusage(RUSAGE_SELF, &before);
	poll(NULL, 0, 1000);
	getrusage(RUSAGE_SELF, &after);
	return after.ru_nvcsw - before.ru_nvcsw > 150 ? 3 : 0;
}

/* An ACK that finds no buffer has no deadline of its own. */
static void an_acknowledgement_without_buffers_is_no_busy_wait(void)
{
	int status = -1;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (!child)
		_exit(acknowledge_without_buffers());
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Such a tty says that it can be written, and takes nothing. */
static void a_tty_without_buffers_is_not_asked_without_pause(void)
{
	int fds[2], status = -1;
	pid_t child;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fflush(NULL);
	child = fork();
	if (!child)
		_exit(attach_without_buffers(fds[1]));
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK_EQ(WEXITSTATUS(status), 0);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as Python does */
	RUN(crc_is_castagnolis);
	RUN(the_examples_of_the_document);
	RUN(an_ack_waits_for_a_reply);
	RUN(half_a_window_is_acknowledged_at_once);
	RUN(the_drivers_window_and_mru_are_kept);
	RUN(the_same_frame_again_is_acknowledged_and_dropped);
	RUN(a_gap_is_asked_for_once);
	RUN(unacknowledged_frames_are_sent_again_and_given_up);
	RUN(the_slowest_line_keeps_its_times);
	RUN(a_nak_brings_everything_again);
	RUN(a_frame_that_is_under_way_is_not_cut);
	RUN(the_same_hello_again_forgets_nothing);
	RUN(a_hello_of_another_version_begins_no_session);
	RUN(a_refused_message_is_asked_for_when_there_is_room);
	RUN(a_refused_message_is_asked_for_after_another_nak);
	RUN(a_full_uart_and_a_full_buffer_lose_nothing);
	RUN(random_bytes_do_no_harm);
	RUN(messages_survive_noise);
	RUN(controllers_of_one_port_are_told_apart);
	RUN(a_reset_ends_the_link_with_a_sentence);
	RUN(nobody_there_is_an_error_in_time);
	RUN(a_tty_without_buffers_is_not_asked_without_pause);
	RUN(an_acknowledgement_without_buffers_is_no_busy_wait);
	return check_report();
}
