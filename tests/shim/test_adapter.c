/* SPDX-License-Identifier: BSD-3-Clause */
/* An adapter of lines: the kernel's side of USB/IP is played here, the firmware is the core. */
#define _GNU_SOURCE
#include <endian.h>

#include "core_link.h"
#include "fds.h"
#include "usb/adapter.h"
#include "usb/liveness.h"

#define PINS 8u
#define IN   1u
#define OUT  0u

#define GET_VALUE     0x0bu
#define SET_VALUE     0x0cu
#define ENABLE        0x10u
#define DISABLE       0x11u
#define SET_DIRECTION 0x13u
#define GET_DIRECTION 0x14u
#define SET_EVENT     0x1eu

#define CHANGE 1u
#define HIGH   2u

struct bed {
	struct session session;
	struct gb_adapter *adapter;
	int kernel, helper;
	uint32_t seqnum;
};

struct answer {
	uint32_t command, seqnum;
	int32_t status;
	uint32_t length;
	uint8_t bytes[600];
};

/* ---- the kernel -------------------------------------------------------------------- */

static void send_packet(struct bed *bed, const uint32_t *words, const uint8_t *setup,
			const void *bytes, size_t length)
{
	uint8_t packet[48 + 1024] = {0};

	for (unsigned int i = 0; i < 10; i++) {
		uint32_t word = htobe32(words[i]);

		memcpy(packet + 4 * i, &word, 4);
	}
	if (setup)
		memcpy(packet + 40, setup, 8);
	if (length)
		memcpy(packet + 48, bytes, length);
	CHECK_EQ(send(bed->kernel, packet, 48 + length, MSG_NOSIGNAL), 48 + length);
}

static uint32_t submit(struct bed *bed, uint32_t in, uint32_t end, uint32_t room,
		       const uint8_t *setup, const void *bytes, size_t length)
{
	const uint32_t words[10] = {1, ++bed->seqnum, 1, in, end, 0, in ? room : (uint32_t)length};

	send_packet(bed, words, setup, bytes, length);
	return bed->seqnum;
}

static uint32_t unlink_urb(struct bed *bed, uint32_t victim)
{
	const uint32_t words[10] = {2, ++bed->seqnum, 1, 0, 0, victim};

	send_packet(bed, words, NULL, NULL, 0);
	return bed->seqnum;
}

/* The kernel has so many requests for messages out. */
static void want(struct bed *bed, unsigned int count)
{
	while (count--)
		submit(bed, IN, 1, 512, NULL, NULL, 0);
}

/* Only what ends well and comes from the device has bytes. */
static struct answer receive_of(struct bed *bed, bool has_bytes)
{
	struct answer answer = {0};
	uint32_t words[12];

	CHECK_EQ(recv(bed->kernel, words, sizeof(words), MSG_WAITALL), sizeof(words));
	answer.command = be32toh(words[0]);
	answer.seqnum = be32toh(words[1]);
	answer.status = (int32_t)be32toh(words[5]);
	answer.length = be32toh(words[6]);
	if (has_bytes && answer.length)
		CHECK_EQ(recv(bed->kernel, answer.bytes, answer.length, MSG_WAITALL),
			 answer.length);
	return answer;
}

static uint32_t ask(struct bed *bed, uint32_t command, uint32_t pin, int value)
{
	uint8_t message[11] = {value < 0 ? 10 : 11, 0, (uint8_t)command, 1, 7, 0, 2, 0,
			       (uint8_t)pin};

	if (value >= 0)
		message[10] = (uint8_t)value;
	return submit(bed, OUT, 1, 0, NULL, message, message[0]);
}

/* Ask, and take the answer: 0 or an errno; *value is what was got. */
static int asked(struct bed *bed, uint32_t command, uint32_t pin, int value, int *got)
{
	uint32_t seqnum;
	struct answer ended, answer;

	want(bed, 1);
	seqnum = ask(bed, command, pin, value);
	ended = receive_of(bed, false);
	CHECK_EQ(ended.seqnum, seqnum);
	if (ended.status)
		return -ended.status;
	CHECK_EQ(ended.length, value < 0 ? 10 : 11);
	answer = receive_of(bed, true);
	CHECK_EQ(answer.bytes[0], answer.length);
	CHECK_EQ(answer.bytes[2], command);
	CHECK_EQ(answer.bytes[4], 7);
	CHECK_EQ(answer.bytes[8], 0);
	if (got)
		*got = answer.bytes[12];
	return 0;
}

static int get(struct bed *bed, uint32_t pin)
{
	int value = -1;

	CHECK_EQ(asked(bed, GET_VALUE, pin, -1, &value), 0);
	return value;
}

static void take_event(struct bed *bed, uint32_t pin, int high)
{
	struct answer event = receive_of(bed, true);

	CHECK_EQ(event.length, 14);
	CHECK_EQ(event.bytes[2], 0x0f);
	CHECK_EQ(event.bytes[6], 0);
	CHECK_EQ(event.bytes[11], pin);
	CHECK_EQ(event.bytes[13], high);
}

static void expect_silence(struct bed *bed)
{
	struct pollfd poller = {.fd = bed->kernel, .events = POLLIN};

	CHECK_EQ(poll(&poller, 1, 10), 0);
}

static void expect_end(struct bed *bed)
{
	char byte;

	CHECK(recv(bed->kernel, &byte, 1, 0) <= 0);
}

/* ---- the bed ------------------------------------------------------------------------- */

static void plug(struct bed *bed)
{
	const struct timeval late = {.tv_sec = LONG_MS / 1000};
	int usb[2], helper[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, usb), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, helper), 0);
	CHECK_EQ(gb_adapter_plug(bed->adapter, usb[0], helper[0]), 0);
	bed->kernel = usb[1];
	bed->helper = helper[1];
	setsockopt(bed->kernel, SOL_SOCKET, SO_RCVTIMEO, &late, sizeof(late));
	setsockopt(bed->helper, SOL_SOCKET, SO_RCVTIMEO, &late, sizeof(late));
}

static void open_bed_with(struct bed *bed, uint32_t features, uint32_t kept)
{
	const struct gb_adapter_config config = {
		.lines = PINS, .kept = kept, .product = "lines", .serial = "m4-0",
		.timeout_ms = LONG_MS,
	};

	*bed = (struct bed){0};
	open_session(&bed->session, features);
	bed->adapter = gb_adapter_open(bed->session.pump, 3, &config);
	CHECK(bed->adapter != NULL);
	for (uint16_t i = 0; i < PINS; i++)
		CHECK_EQ(gb_adapter_attach(bed->adapter, i, bed->session.controller, i), 0);
	plug(bed);
}

static void open_bed(struct bed *bed)
{
	open_bed_with(bed, RPMSG_GPIO_FEATURES, 0);
}

static void close_bed(struct bed *bed)
{
	gb_adapter_close(bed->adapter);
	close_session(&bed->session);
	close(bed->kernel);
	close(bed->helper);
}

static void edge(struct bed *bed, uint16_t pin, int high)
{
	struct session *s = &bed->session;

	gb_lock(s->pump);
	s->core->pins[pin] = (uint8_t)high;
	rpmsg_gpio_device_edge(&s->core->device, pin, (uint8_t)high, port_time(s->core));
	CHECK(rpmsg_gpio_device_run(&s->core->device));
	gb_unlock(s->pump);
}

static uint8_t pin_of(struct bed *bed, uint16_t pin)
{
	uint8_t value;

	gb_lock(bed->session.pump);
	value = bed->session.core->pins[pin];
	gb_unlock(bed->session.pump);
	return value;
}

static struct gb_adapter_status status_of(struct bed *bed)
{
	struct gb_adapter_status status;

	gb_adapter_status(bed->adapter, &status);
	return status;
}

/* ---- USB ------------------------------------------------------------------------------- */

static struct answer get_descriptor(struct bed *bed, uint8_t kind, uint8_t index, uint8_t room)
{
	const uint8_t setup[8] = {0x80, 6, index, kind, 0, 0, room, 0};

	submit(bed, IN, 0, room, setup, NULL, 0);
	return receive_of(bed, true);
}

static void a_kernel_finds_a_dln2(void)
{
	static const uint8_t set_configuration[8] = {0, 9, 1};
	static const uint8_t unknown[8] = {0x80, 0x33};
	struct answer answer;
	struct bed bed;

	open_bed(&bed);
	answer = get_descriptor(&bed, 1, 0, 18);
	CHECK_EQ(answer.length, 18);
	CHECK_BYTES(answer.bytes + 8, "\x57\xa2\x13\x20", 4);
	CHECK_EQ(get_descriptor(&bed, 2, 0, 9).length, 9);
	answer = get_descriptor(&bed, 2, 0, 255);
	CHECK_EQ(answer.length, answer.bytes[2]);
	answer = get_descriptor(&bed, 3, 3, 255);
	CHECK_BYTES(answer.bytes, "\x0a\x03m\0004\0-\0000\0", 10);
	CHECK_EQ(get_descriptor(&bed, 3, 9, 255).status, -EPIPE);
	submit(&bed, OUT, 0, 0, set_configuration, NULL, 0);
	CHECK_EQ(receive_of(&bed, false).status, 0);
	submit(&bed, IN, 0, 8, unknown, NULL, 0);
	CHECK_EQ(receive_of(&bed, false).status, -EPIPE);
	close_bed(&bed);
}

static void what_is_no_usbip_ends_the_session(void)
{
	const uint32_t strange[10] = {9};
	const uint32_t long_message[10] = {1, 1, 1, OUT, 1, 0, 513};
	struct bed bed;

	open_bed(&bed);
	send_packet(&bed, strange, NULL, NULL, 0);
	expect_end(&bed);
	CHECK_EQ(next_report(&bed.session).kind, GB_REPORT_EXPORT);
	CHECK(strstr(status_of(&bed).why, "type 9") != NULL);
	CHECK(!status_of(&bed).plugged);
	close(bed.kernel);
	close(bed.helper);
	plug(&bed);
	send_packet(&bed, long_message, NULL, NULL, 0);
	expect_end(&bed);
	CHECK_EQ(next_report(&bed.session).kind, GB_REPORT_EXPORT);
	CHECK(strstr(status_of(&bed).why, "513 bytes") != NULL);
	close_bed(&bed);
}

/* ---- lines ------------------------------------------------------------------------------- */

static void lines_are_got_and_set(void)
{
	struct bed bed;
	int value;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, ENABLE, 3, -1, NULL), 0);
	CHECK_EQ(asked(&bed, GET_DIRECTION, 3, -1, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(asked(&bed, SET_VALUE, 3, 1, NULL), 0);
	CHECK_EQ(asked(&bed, SET_DIRECTION, 3, 1, NULL), 0);
	CHECK_EQ(pin_of(&bed, 3), 1);
	CHECK_EQ(get(&bed, 3), 1);
	CHECK_EQ(asked(&bed, GET_DIRECTION, 3, -1, &value), 0);
	CHECK_EQ(value, 1);
	CHECK_EQ(gb_adapter_changed(bed.adapter, 0), 3);
	CHECK_EQ(gb_adapter_changed(bed.adapter, 0), -1);
	CHECK_EQ(gb_adapter_direction(bed.adapter, 3), VIRTIO_GPIO_DIRECTION_OUT);
	CHECK_EQ(asked(&bed, SET_VALUE, 3, 0, NULL), 0);
	CHECK_EQ(pin_of(&bed, 3), 0);
	close_bed(&bed);
}

static void errors_are_those_of_the_line(void)
{
	struct bed bed;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, GET_VALUE, PINS, -1, NULL), EINVAL);
	CHECK_EQ(asked(&bed, 0x04, 0, 5, NULL), 524);
	CHECK_EQ(asked(&bed, 0x55, 0, -1, NULL), EOPNOTSUPP);
	CHECK_EQ(asked(&bed, SET_EVENT, 1, 9, NULL), EINVAL);
	CHECK_EQ(asked(&bed, SET_DIRECTION, 1, -1, NULL), EPROTO);
	gb_adapter_detach(bed.adapter, 5);
	CHECK_EQ(asked(&bed, ENABLE, 5, -1, NULL), ENODEV);
	CHECK_EQ(asked(&bed, GET_VALUE, 5, -1, NULL), ENODEV);
	gb_controller_close(bed.session.controller);
	CHECK_EQ(asked(&bed, GET_VALUE, 1, -1, NULL), ENODEV);
	close_bed(&bed);
}

static void a_message_is_answered_before_the_kernel_gives_up(void)
{
	struct bed bed;

	open_bed(&bed);
	bed.session.core->hold = true;
	CHECK_EQ(asked(&bed, GET_VALUE, 1, -1, NULL), ETIMEDOUT);
	CHECK_EQ(status_of(&bed).late, 1);
	bed.session.core->hold = false;
	notify(bed.session.core);
	CHECK_EQ(get(&bed, 1), 0); /* and no answer to the one before */
	close_bed(&bed);
}

static void what_is_unlinked_gets_no_answer(void)
{
	struct answer answer;
	uint32_t seqnum;
	struct bed bed;

	open_bed(&bed);
	bed.session.core->hold = true;
	seqnum = unlink_urb(&bed, ask(&bed, GET_VALUE, 1, -1));
	answer = receive_of(&bed, false);
	CHECK_EQ(answer.command, 4);
	CHECK_EQ(answer.seqnum, seqnum);
	CHECK_EQ(answer.status, -ECONNRESET);
	seqnum = submit(&bed, IN, 1, 512, NULL, NULL, 0);
	unlink_urb(&bed, seqnum);
	CHECK_EQ(receive_of(&bed, false).status, -ECONNRESET);
	unlink_urb(&bed, seqnum);
	CHECK_EQ(receive_of(&bed, false).status, 0);
	bed.session.core->hold = false;
	notify(bed.session.core);
	CHECK_EQ(get(&bed, 1), 0);
	close_bed(&bed);
}

static void a_line_that_is_let_go_is_freed(void)
{
	struct bed bed;

	open_bed_with(&bed, RPMSG_GPIO_FEATURES, 1u << 2);
	for (uint32_t pin = 1; pin <= 2; pin++) {
		CHECK_EQ(asked(&bed, SET_VALUE, pin, 1, NULL), 0);
		CHECK_EQ(asked(&bed, SET_DIRECTION, pin, 1, NULL), 0);
	}
	bed.session.core->counted_type = VIRTIO_GPIO_MSG_SET_DIRECTION;
	CHECK_EQ(asked(&bed, DISABLE, 1, -1, NULL), 0);
	CHECK_EQ(asked(&bed, DISABLE, 2, -1, NULL), 0); /* it is kept as it is */
	get(&bed, 1);
	CHECK_EQ(bed.session.core->counted, 1);
	CHECK_EQ(gb_adapter_direction(bed.adapter, 1), VIRTIO_GPIO_DIRECTION_NONE);
	close_bed(&bed);
}

static void lines_are_free_when_the_kernel_is_gone(void)
{
	struct gb_report report;
	struct bed bed;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, SET_DIRECTION, 1, 1, NULL), 0);
	CHECK_EQ(next_report(&bed.session).kind, GB_REPORT_EXPORT);
	status_of(&bed);
	bed.session.core->counted_type = VIRTIO_GPIO_MSG_SET_DIRECTION;
	close(bed.kernel);
	report = next_report(&bed.session);
	CHECK_EQ(report.kind, GB_REPORT_EXPORT);
	CHECK_EQ(status_of(&bed).why[0], '\0');
	call_and_wait(&bed.session, VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	CHECK_EQ(bed.session.core->counted, 1);
	plug(&bed);
	CHECK_EQ(get(&bed, 1), 0);
	CHECK_EQ(status_of(&bed).sessions, 2);
	close_bed(&bed);
}

static void a_line_that_comes_back_is_as_it_was(void)
{
	struct bed bed;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, SET_VALUE, 1, 1, NULL), 0);
	CHECK_EQ(asked(&bed, SET_DIRECTION, 1, 1, NULL), 0);
	CHECK_EQ(asked(&bed, SET_EVENT, 2, CHANGE, NULL), 0);
	CHECK_EQ(next_report(&bed.session).kind, GB_REPORT_EXPORT); /* a direction changed */
	gb_adapter_detach(bed.adapter, 1);
	gb_adapter_detach(bed.adapter, 2);
	call_and_wait(&bed.session, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 2, 0);
	bed.session.core->pins[1] = 0;
	CHECK_EQ(gb_adapter_attach(bed.adapter, 1, bed.session.controller, 1), 0);
	CHECK_EQ(gb_adapter_attach(bed.adapter, 2, bed.session.controller, 2), 0);
	CHECK_EQ(get(&bed, 1), 1);
	want(&bed, 1);
	edge(&bed, 2, 1);
	take_event(&bed, 2, 1);
	close_bed(&bed);
}

/* ---- edges ------------------------------------------------------------------------------- */

/* Each event waits until the kernel has asked for the level after the one before. */
static void edges_come_one_by_one(uint32_t features)
{
	struct bed bed;

	open_bed_with(&bed, features, 0);
	CHECK_EQ(asked(&bed, SET_DIRECTION, 4, 0, NULL), 0);
	CHECK_EQ(asked(&bed, SET_EVENT, 4, CHANGE, NULL), 0);
	want(&bed, 1);
	edge(&bed, 4, 1);
	take_event(&bed, 4, 1);
	if (features & RPMSG_GPIO_F_CREDITS)
		for (int i = 0; i < 10; i++)
			edge(&bed, 4, i & 1);
	want(&bed, 1);
	ask(&bed, GET_VALUE, 4, -1);
	CHECK_EQ(receive_of(&bed, false).status, 0);
	CHECK_EQ(receive_of(&bed, true).bytes[12], 1); /* of the edge, not of now */
	for (int i = 0; features & RPMSG_GPIO_F_CREDITS && i < 10; i++) {
		want(&bed, 1);
		take_event(&bed, 4, i & 1);
		want(&bed, 1);
		ask(&bed, GET_VALUE, 4, -1);
		CHECK_EQ(receive_of(&bed, false).status, 0);
		CHECK_EQ(receive_of(&bed, true).bytes[12], i & 1);
	}
	CHECK_EQ(status_of(&bed).lost, 0);
	close_bed(&bed);
}

static void both_edges_are_paced_by_the_kernel(void)
{
	edges_come_one_by_one(RPMSG_GPIO_FEATURES);
	edges_come_one_by_one(0);
}

static void a_kernel_that_does_not_ask_gets_events_all_the_same(void)
{
	struct bed bed;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, SET_EVENT, 4, CHANGE, NULL), 0);
	want(&bed, 20);
	for (int i = 0; i < 20; i++)
		edge(&bed, 4, !(i & 1));
	for (int i = 0; i < 20; i++)
		take_event(&bed, 4, !(i & 1));
	close_bed(&bed);
}

static void a_debounced_line_is_not_paced(void)
{
	struct bed bed;

	open_bed(&bed);
	CHECK_EQ(asked(&bed, 0x04, 0, 5, NULL), 524);
	CHECK_EQ(asked(&bed, SET_EVENT, 4, CHANGE, NULL), 0);
	want(&bed, 2);
	edge(&bed, 4, 1);
	edge(&bed, 4, 0);
	take_event(&bed, 4, 1);
	take_event(&bed, 4, 0);
	CHECK_EQ(get(&bed, 4), 0); /* that of now */
	close_bed(&bed);
}

static void a_level_is_told_when_it_comes_and_when_it_is_there(void)
{
	struct bed bed;

	open_bed(&bed);
	bed.session.core->pins[4] = 1;
	CHECK_EQ(asked(&bed, SET_EVENT, 4, HIGH, NULL), 0);
	want(&bed, 3);
	take_event(&bed, 4, 1);
	edge(&bed, 4, 0);
	edge(&bed, 4, 1);
	take_event(&bed, 4, 1);
	CHECK_EQ(asked(&bed, SET_EVENT, 4, 0, NULL), 0);
	edge(&bed, 4, 0);
	edge(&bed, 4, 1);
	expect_silence(&bed);
	close_bed(&bed);
}

/* ---- who watches ------------------------------------------------------------------------- */

static char heard(struct bed *bed)
{
	char byte = 0;

	CHECK_EQ(recv(bed->helper, &byte, 1, 0), 1);
	return byte;
}

static void the_helper_hears_of_us_while_something_goes_on(void)
{
	struct bed bed;
	char last;

	open_bed(&bed);
	get(&bed, 1);
	CHECK_EQ(heard(&bed), LIVENESS_HERE);
	do
		last = heard(&bed);
	while (last == LIVENESS_HERE);
	CHECK_EQ(last, LIVENESS_REST);
	close(bed.helper);
	expect_end(&bed);
	close(bed.kernel);
	CHECK(strstr(status_of(&bed).why, "helper") != NULL);
	plug(&bed);
	CHECK_EQ(get(&bed, 1), 0);
	close_bed(&bed);
}

static void descriptors_are_given_back(void)
{
	struct bed bed;
	int before = open_fds();

	open_bed(&bed);
	get(&bed, 1);
	close_bed(&bed);
	CHECK_EQ(open_fds(), before);
}

int main(void)
{
	RUN(a_kernel_finds_a_dln2);
	RUN(what_is_no_usbip_ends_the_session);
	RUN(lines_are_got_and_set);
	RUN(errors_are_those_of_the_line);
	RUN(a_message_is_answered_before_the_kernel_gives_up);
	RUN(what_is_unlinked_gets_no_answer);
	RUN(a_line_that_is_let_go_is_freed);
	RUN(lines_are_free_when_the_kernel_is_gone);
	RUN(a_line_that_comes_back_is_as_it_was);
	RUN(both_edges_are_paced_by_the_kernel);
	RUN(a_kernel_that_does_not_ask_gets_events_all_the_same);
	RUN(a_debounced_line_is_not_paced);
	RUN(a_level_is_told_when_it_comes_and_when_it_is_there);
	RUN(the_helper_hears_of_us_while_something_goes_on);
	RUN(descriptors_are_given_back);
	return check_report();
}
