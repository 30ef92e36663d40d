/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The C part of the rpmsg link at its edges. tests/kernel has it on the kernel's
 * devices; here socket pairs stand for them, which can do on command what those
 * do rarely, and the sanitizers watch.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "pump/direct.h"
#include "pump/rpmsg_link.h"
#include "rpmsg_gpio.h"
#include "slow_close.h"

#define LINK 7
#define CONTROLLER 8
#define SOURCE 1024
#define ADDRESS 0x400
#define TIMEOUT_MS 200  /* of what is to end at its deadline */
#define LONG_MS 20000   /* only a fault lasts so long */

static struct gb_pump *pump;
static struct gb_link *gb_link;
static int finder;   /* the finder's end */
static int firmware; /* far end of the endpoint */

static struct gb_report next_report(void)
{
	struct pollfd poll_fd = {.fd = gb_pump_report_fd(pump), .events = POLLIN};
	struct gb_report report = {0};

	while (!gb_pump_next_report(pump, &report)) {
		if (poll(&poll_fd, 1, LONG_MS) <= 0) {
			CHECK(!"a report in time");
			report.kind = UINT32_MAX;
			return report;
		}
	}
	return report;
}

static void send_packet(uint32_t code, uint32_t address, const char *text, int fd)
{
	struct gb_rpmsg_packet packet = {.code = code, .address = address};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {.iov_base = &packet, .iov_len = sizeof(packet)};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};

	memcpy(packet.text, text, strlen(text) + 1);
	if (fd >= 0) {
		struct cmsghdr *cmsg = &control.align;

		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	CHECK_EQ(sendmsg(finder, &header, MSG_NOSIGNAL), sizeof(packet));
}

/* Attach an endpoint; the far end. */
static int attach(uint32_t address, const char *name)
{
	int fds[2], least = 1;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	/* Room for a few messages only. */
	CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
	send_packet(GB_RPMSG_ATTACH, address, name, fds[0]);
	close(fds[0]);
	return fds[1];
}

static void check_announced(uint32_t address, bool created)
{
	struct gb_report report = next_report();

	CHECK_EQ(report.kind, GB_REPORT_ANNOUNCED);
	CHECK_EQ(report.id, LINK);
	CHECK_EQ(report.number, address);
	CHECK_EQ(report.value, created);
}

static void set_up(void)
{
	int fds[2];

	pump = gb_pump_new();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	finder = fds[0];
	fcntl(finder, F_SETFL, 0);
	gb_link = gb_rpmsg_open(fds[1]);
	CHECK(gb_link);
	CHECK_EQ(gb_pump_add_link(pump, gb_link, LINK), 0);
	firmware = attach(ADDRESS, "rpmsg-io-0");
	check_announced(ADDRESS, true);
}

static void tear_down(void)
{
	struct gb_rpmsg_packet packet;

	gb_pump_free(pump);
	/* The finder hears that the link is closed. */
	while (recv(finder, &packet, sizeof(packet), 0) > 0)
		continue;
	close(finder);
	close(firmware);
}

static struct gb_controller *open_controller(void)
{
	struct gb_controller *controller = gb_controller_open(gb_link, CONTROLLER, SOURCE, ADDRESS);

	CHECK(controller);
	return controller;
}

static void ask_for(struct gb_controller *controller, uint64_t cookie, uint32_t timeout_ms)
{
	CHECK_EQ(gb_controller_call(controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0,
				    GB_CALL_BASELINE, timeout_ms, cookie), 0);
}

static void ask(struct gb_controller *controller, uint64_t cookie)
{
	ask_for(controller, cookie, LONG_MS);
}

static void expect_request(void)
{
	struct pollfd poll_fd = {.fd = firmware, .events = POLLIN};
	uint8_t message[64];

	CHECK(poll(&poll_fd, 1, LONG_MS) > 0);
	CHECK_EQ(recv(firmware, message, sizeof(message), MSG_DONTWAIT),
		 sizeof(struct virtio_gpio_request));
}

static void answer(uint8_t value)
{
	uint8_t reply[] = {RPMSG_GPIO_QUEUE_REQUEST, VIRTIO_GPIO_STATUS_OK, value};

	CHECK_EQ(send(firmware, reply, sizeof(reply), MSG_NOSIGNAL), sizeof(reply));
}

static void request_and_reply(void)
{
	struct gb_report report;

	set_up();
	ask(open_controller(), 42);
	expect_request();
	CHECK_EQ(send(firmware, "", 0, 0), 0); /* an empty message is no end of file */
	answer(1);
	report = next_report();
	CHECK_EQ(report.kind, GB_REPORT_REPLY);
	CHECK_EQ(report.id, 42);
	CHECK_EQ(report.error, 0);
	CHECK_EQ(report.value, 1);
	tear_down();
}

/* What another session asked for must not answer this one, behind how many edges ever. */
static void check_stale(unsigned int edges)
{
	const uint8_t edge[] = {RPMSG_GPIO_QUEUE_EVENT, 0, 0};
	struct gb_report report;

	set_up();
	while (edges--)
		CHECK_EQ(send(firmware, edge, sizeof(edge), MSG_NOSIGNAL | MSG_DONTWAIT),
			 sizeof(edge));
	answer(1);
	ask(open_controller(), 1);
	expect_request();
	answer(0);
	report = next_report();
	CHECK_EQ(report.error, 0);
	CHECK_EQ(report.value, 0);
	tear_down();
}

static void stale_messages_are_dropped(void)
{
	check_stale(0);
	check_stale(200);
}

/* A process that has none left still has its lines. */
static void no_descriptors_are_needed(void)
{
	struct rlimit before, none;

	set_up();
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	ask(open_controller(), 1);
	expect_request();
	answer(1);
	CHECK_EQ(next_report().value, 1);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	tear_down();
}

#define ROUNDS 2000

/* Reads that sleep and writes that must not have one descriptor. */
static void reads_between_writes(void)
{
	const uint8_t other[] = {0xff};
	struct gb_controller *controller;
	unsigned int i;

	set_up();
	controller = open_controller();
	for (i = 0; i < ROUNDS; i++) {
		struct gb_report report;

		CHECK_EQ(send(firmware, other, sizeof(other), MSG_NOSIGNAL), sizeof(other));
		ask(controller, i);
		expect_request();
		answer(i & 1);
		report = next_report();
		CHECK_EQ(report.id, i);
		CHECK_EQ(report.error, 0);
		CHECK_EQ(report.value, i & 1);
	}
	tear_down();
}

static void *answer_again_and_again(void *argument)
{
	uint8_t message[64];

	(void)argument;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (recv(firmware, message, sizeof(message), 0) <= 0)
			break;
		answer(i & 1);
	}
	return NULL;
}

/* The reader answers a thread that waits in this process. */
static void operate_again_and_again(struct gb_direct *direct)
{
	struct gb_operation operation = {.code = GB_OPERATION_GET, .mask = 1};
	struct gb_operation_reply reply;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, answer_again_and_again, NULL), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(gb_direct_operate(direct, LONG_MS, &operation, &reply), 0);
		CHECK_EQ(reply.bits, i & 1);
	}
	pthread_join(thread, NULL);
	gb_direct_close(direct);
}

static void a_client_in_this_process(void)
{
	struct gb_line_plan plan = {0};
	struct gb_request_fds fds;
	struct gb_direct *direct;

	set_up();
	plan.controller = open_controller();
	CHECK(gb_request_open(pump, 9, &plan, 1, 16, LONG_MS, &fds));
	direct = gb_direct_open(pump, fds.operation);
	CHECK(direct != NULL);
	if (direct)
		operate_again_and_again(direct);
	close(fds.operation);
	close(fds.event);
	close(fds.ring);
	tear_down();
}

static void *send_edges(void *argument)
{
	const uint8_t edge[] = {RPMSG_GPIO_QUEUE_EVENT, 0, 0};

	(void)argument;
	while (send(firmware, edge, sizeof(edge), MSG_NOSIGNAL) > 0)
		continue;
	return NULL;
}

/* A reader may be about to deliver when its endpoint, its link and the pump end. */
static void ends_amid_messages(void)
{
	for (int i = 0; i < 30; i++) {
		pthread_t thread;

		set_up();
		ask(open_controller(), 1);
		expect_request();
		CHECK_EQ(pthread_create(&thread, NULL, send_edges, NULL), 0);
		while (gb_link_strays(gb_link) == 0)
			sched_yield();
		if (i % 3 == 0)
			send_packet(GB_RPMSG_DETACH, ADDRESS, "", -1);
		else if (i % 3 == 1)
			send_packet(GB_RPMSG_DOWN, 0, "m4_0 went away", -1);
		gb_pump_free(pump);
		close(finder);
		pthread_join(thread, NULL);
		close(firmware);
	}
}

/* Another session on the same endpoint: the reader starts anew. */
static void sessions_follow_each_other(void)
{
	struct gb_controller *controller;
	unsigned int i;

	set_up();
	for (i = 0; i < 20; i++) {
		controller = gb_controller_open(gb_link, CONTROLLER, SOURCE + i, ADDRESS);
		answer(1); /* stale for the reader of the session before */
		ask(controller, i);
		expect_request();
		answer(0);
		CHECK_EQ(next_report().value, 0);
		gb_controller_close(controller);
	}
	tear_down();
}

static void broken_endpoint_leaves_alone(void)
{
	struct gb_controller *controller;
	struct gb_rpmsg_packet packet;
	struct pollfd asked = {.events = POLLIN};

	set_up();
	asked.fd = attach(ADDRESS + 1, "rpmsg-io-1");
	check_announced(ADDRESS + 1, true);
	controller = gb_controller_open(gb_link, CONTROLLER + 1, SOURCE + 1, ADDRESS + 1);
	ask_for(controller, 2, TIMEOUT_MS);
	CHECK_EQ(next_report().error, ETIMEDOUT);
	CHECK_EQ(poll(&asked, 1, LONG_MS), 1);
	close(asked.fd); /* with a message unread: the next read fails */
	check_announced(ADDRESS + 1, false);
	CHECK_EQ(recv(finder, &packet, sizeof(packet), 0), sizeof(packet));
	CHECK_EQ(packet.code, GB_RPMSG_GONE);
	CHECK_EQ(packet.address, ADDRESS + 1);
	CHECK_EQ(packet.error, ECONNRESET);
	ask(open_controller(), 1);
	expect_request();
	answer(1);
	CHECK_EQ(next_report().value, 1);
	tear_down();
}

static void attached_again_replaces(void)
{
	struct pollfd poll_fd = {.events = POLLIN};

	set_up();
	poll_fd.fd = firmware;
	firmware = attach(ADDRESS, "rpmsg-io-0");
	check_announced(ADDRESS, false);
	check_announced(ADDRESS, true);
	CHECK_EQ(poll(&poll_fd, 1, LONG_MS), 1);
	CHECK(poll_fd.revents & POLLHUP);
	close(poll_fd.fd);
	ask(open_controller(), 1);
	expect_request();
	answer(1);
	CHECK_EQ(next_report().value, 1);
	tear_down();
}

static void detached(void)
{
	set_up();
	send_packet(GB_RPMSG_DETACH, ADDRESS + 1, "", -1); /* unknown: no harm */
	send_packet(GB_RPMSG_DETACH, ADDRESS, "", -1);
	check_announced(ADDRESS, false);
	/* A controller that does not know yet: its call ends at the deadline. */
	ask_for(open_controller(), 1, TIMEOUT_MS);
	CHECK_EQ(next_report().error, ETIMEDOUT);
	tear_down();
}

#define CALLS 50

/* Nobody reads: the queue of the socket fills, and calls end at the deadline. */
static void full_and_free_again(void)
{
	struct gb_controller *controller;
	unsigned int sent = 0;
	uint64_t cookie;
	char trash[64];

	set_up();
	controller = open_controller();
	gb_controller_accept(controller, RPMSG_GPIO_F_TAG, 0); /* many in flight */
	for (cookie = 0; cookie < CALLS; cookie++)
		ask_for(controller, cookie, TIMEOUT_MS);
	for (cookie = 0; cookie < CALLS; cookie++)
		CHECK_EQ(next_report().error, ETIMEDOUT);
	while (recv(firmware, trash, sizeof(trash), MSG_DONTWAIT) > 0)
		sent++;
	CHECK(sent > 0 && sent < CALLS);
	/* The link hears that there is room, and is as before. */
	ask_for(controller, CALLS, TIMEOUT_MS);
	expect_request();
	CHECK_EQ(next_report().id, CALLS);
	tear_down();
}

static void check_down(int error, const char *why)
{
	struct gb_report report = next_report();

	CHECK_EQ(report.kind, GB_REPORT_LINK_DOWN);
	CHECK_EQ(report.error, error);
	CHECK_EQ(report.length, strlen(why));
	CHECK_BYTES(report.body, why, strlen(why));
	tear_down();
}

static void processor_gone(void)
{
	set_up();
	send_packet(GB_RPMSG_DOWN, 0, "m4_0 went away", -1);
	check_down(ENODEV, "m4_0 went away");
}

static void finder_gone(void)
{
	set_up();
	shutdown(finder, SHUT_RDWR);
	check_down(ENODEV, "the finder of rpmsg endpoints has ended");
}

static void senseless_packets(void)
{
	int fd = dup(0);

	set_up();
	send_packet(GB_RPMSG_GONE, 0, "", fd); /* not its to say; the descriptor is closed */
	close(fd);
	check_down(EPROTO, "the finder of rpmsg endpoints sent a packet without sense");
	set_up();
	send_packet(GB_RPMSG_ATTACH, 5, "rpmsg-io-0", -1);
	check_down(EPROTO, "the finder of rpmsg endpoints sent a packet without sense");
}

/* What hangs is killed then: no test takes so long. */
#define HANG_S 20u

/* An endpoint that does not come to its end leaves the others alone, and the pump. */
static void slow_to_close(void)
{
	struct slow_close slow;

	set_up();
	slow = make_slow_close();
	send_packet(GB_RPMSG_ATTACH, 5, "rpmsg-io-1", slow.fd);
	close(slow.fd);
	check_announced(5, true);
	alarm(HANG_S);
	send_packet(GB_RPMSG_DETACH, 5, "", -1);
	check_announced(5, false);
	ask(open_controller(), 42);
	expect_request();
	answer(1);
	CHECK_EQ(next_report().error, 0);
	let_close(&slow);
	tear_down();
	alarm(0);
}

static void *close_link(void *link)
{
	gb_link_close(link);
	return NULL;
}

/* Nor does a link keep the pump: whoever closes it waits. */
static void link_slow_to_close(void)
{
	struct gb_rpmsg_packet packet;
	struct slow_close slow;
	pthread_t closer;

	set_up();
	slow = make_slow_close();
	send_packet(GB_RPMSG_ATTACH, 5, "rpmsg-io-1", slow.fd);
	close(slow.fd);
	check_announced(5, true);
	alarm(HANG_S);
	pthread_create(&closer, NULL, close_link, gb_link);
	while (recv(finder, &packet, sizeof(packet), 0) > 0)
		continue; /* until the link is being closed */
	CHECK_EQ(gb_pump_next_report(pump, &(struct gb_report){0}), 0);
	let_close(&slow);
	pthread_join(closer, NULL);
	gb_pump_free(pump);
	alarm(0);
	close(finder);
	close(firmware);
}

int main(void)
{
	RUN(request_and_reply);
	RUN(stale_messages_are_dropped);
	RUN(no_descriptors_are_needed);
	RUN(reads_between_writes);
	RUN(a_client_in_this_process);
	RUN(ends_amid_messages);
	RUN(sessions_follow_each_other);
	RUN(broken_endpoint_leaves_alone);
	RUN(attached_again_replaces);
	RUN(detached);
	RUN(full_and_free_again);
	RUN(processor_gone);
	RUN(finder_gone);
	RUN(senseless_packets);
	RUN(slow_to_close);
	RUN(link_slow_to_close);
	return check_report();
}
