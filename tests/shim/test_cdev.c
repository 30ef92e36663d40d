/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors of the GPIO character device without a kernel: records, channels, the end. */
#define _GNU_SOURCE
#include <linux/gpio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "cdev/cdev.h"
#include "cdev/descriptor.h"
#include "core_link.h"
#include "fds.h"
#include "slow_close.h"
#include "virtio/peer_fd.h"

#define CAPACITY 16u
#define OFFERED_MAX 3u

/* A channel of the program's; its other end goes along the stream, `count` times. */
static int offer_many(int stream, uint32_t magic, unsigned int count)
{
	struct gb_channel_offer sent = {.magic = magic, .version = 1};
	union {
		char bytes[CMSG_SPACE(OFFERED_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {&sent, GB_CHANNEL_OFFER_SIZE};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	const struct timeval late = {.tv_sec = LONG_MS / 1000};
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &late, sizeof(late));
	control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
					 .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	for (unsigned int i = 0; i < count; i++)
		memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &ends[1], sizeof(int));
	CHECK_EQ(sendmsg(stream, &message, MSG_NOSIGNAL), GB_CHANNEL_OFFER_SIZE);
	close(ends[1]);
	return ends[0];
}

static int offer(int stream, uint32_t magic)
{
	return offer_many(stream, magic, 1);
}

/* The errno, -1 when the other end hung up. */
static int ask(int to, uint32_t command, void *argument, size_t size)
{
	struct {
		struct gb_ioctl head;
		uint8_t bytes[GB_IOCTL_SIZE_MAX];
	} question = {.head = {command, 5}};
	struct {
		struct gb_ioctl_reply head;
		uint8_t bytes[GB_IOCTL_SIZE_MAX];
	} answer;
	ssize_t got;

	memcpy(question.bytes, argument, size);
	if (send(to, &question, sizeof(question.head) + size, MSG_NOSIGNAL) < 0)
		return -1;
	got = recv(to, &answer, sizeof(answer), 0);
	if (got < (ssize_t)sizeof(answer.head))
		return -1;
	CHECK_EQ(answer.head.sequence, 5);
	if ((size_t)got > sizeof(answer.head))
		memcpy(argument, answer.bytes, (size_t)got - sizeof(answer.head));
	return answer.head.error;
}

static struct gb_request *open_cdev(struct session *s, uint32_t flags, uint8_t irq, int *fd)
{
	struct gb_line_plan plan = {.controller = s->controller, .gpio = 4, .offset = 104,
				    .flags = flags, .irq_type = irq};
	struct gb_request *request = gb_cdev_open_line(s->pump, 9, &plan, 1, CAPACITY, LONG_MS,
						       GB_LINE_V2, fd);

	CHECK(request != NULL);
	return request;
}

static void values_on_a_channel(void)
{
	struct gpio_v2_line_values values = {.mask = 1, .bits = 1};
	struct gb_request *request;
	struct session s;
	int fd, to;

	open_session(&s, RPMSG_GPIO_F_TAG);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 4,
			       VIRTIO_GPIO_DIRECTION_OUT).error, 0);
	request = open_cdev(&s, GB_LINE_OUTPUT, 0, &fd);
	to = offer(fd, GB_CHANNEL_MAGIC);
	CHECK_EQ(ask(to, GPIO_V2_LINE_SET_VALUES_IOCTL, &values, sizeof(values)), 0);
	CHECK_EQ(s.core->pins[4], 1);
	values.bits = 0;
	CHECK_EQ(ask(to, GPIO_V2_LINE_GET_VALUES_IOCTL, &values, sizeof(values)), 0);
	CHECK_EQ(values.bits, 1);
	CHECK_EQ(values.mask, 1);
	values.mask = 2;
	CHECK_EQ(ask(to, GPIO_V2_LINE_GET_VALUES_IOCTL, &values, sizeof(values)), EINVAL);
	CHECK_EQ(ask(to, GPIO_V2_LINE_GET_VALUES_IOCTL, &values, 8), EINVAL);
	CHECK_EQ(ask(to, GPIO_V2_GET_LINEINFO_IOCTL, &values, sizeof(values)), EINVAL);
	CHECK_EQ(ask(to, GB_IOCTL_CLOSED, &values, 0), 0);
	close(fd);
	CHECK_EQ(next_report(&s).kind, GB_REPORT_HANGUP);
	CHECK(!gb_request_alive(request));
	gb_request_close(request);
	CHECK_EQ(ask(to, GB_IOCTL_CLOSED, &values, 0), -1);
	close(to);
	close_session(&s);
}

/* An edge of line 4, as a firmware without extensions tells it. */
static void edge(struct session *s)
{
	gb_lock(s->pump);
	rpmsg_gpio_device_irq(&s->core->device, 4);
	CHECK(rpmsg_gpio_device_run(&s->core->device));
	gb_unlock(s->pump);
}

static uint32_t arm(struct session *s)
{
	return (uint32_t)call_and_wait(s, VIRTIO_GPIO_MSG_SET_DIRECTION, 4,
				       VIRTIO_GPIO_DIRECTION_IN).error +
	       (uint32_t)call_and_wait(s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 4,
				       VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING).error;
}

static void events_are_whole_records_that_poll_shows(void)
{
	struct gpio_v2_line_event events[4];
	struct gb_request *request;
	struct session s;
	int fd;
	struct pollfd end;

	open_session(&s, RPMSG_GPIO_F_TAG);
	request = open_cdev(&s, GB_LINE_EDGE_RISING, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING, &fd);
	CHECK_EQ(arm(&s), 0);
	end = (struct pollfd){.fd = fd, .events = POLLIN};
	CHECK_EQ(poll(&end, 1, 0), 0);
	edge(&s);
	CHECK_EQ(poll(&end, 1, LONG_MS), 1);
	CHECK_EQ(read(fd, events, sizeof(events)), sizeof(events[0]));
	CHECK_EQ(events[0].offset, 104);
	CHECK_EQ(events[0].id, GPIO_V2_LINE_EVENT_RISING_EDGE);
	CHECK_EQ(events[0].seqno, 1);
	CHECK_EQ(poll(&end, 1, 0), 0);
	gb_request_close(request);
	CHECK_EQ(poll(&end, 1, LONG_MS), 1);
	CHECK(end.revents & POLLERR && end.revents & POLLHUP);
	CHECK_EQ(read(fd, events, sizeof(events)), -1);
	CHECK_EQ(errno, ECONNRESET);
	close(fd);
	close_session(&s);
}

/* The descriptor alone, with records that count. */

static void ignore_ioctl(void *owner, uint32_t command, const uint8_t *argument, size_t size)
{
	(void)owner;
	(void)command;
	(void)argument;
	(void)size;
}

static void ignore_closed(void *owner)
{
	(void)owner;
}

static const struct gb_descriptor_ops ignorant = {ignore_ioctl, ignore_closed};

static void push(struct gb_descriptor *descriptor, uint32_t from, uint32_t count)
{
	gb_lock(descriptor->pump);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t record[12] = {from + i};

		gb_descriptor_push(descriptor, record);
	}
	gb_unlock(descriptor->pump);
}

/* Read all there is; the records' numbers. */
static uint32_t read_all(struct gb_descriptor *descriptor, int fd, uint32_t *numbers)
{
	uint32_t found = 0, record[12], waiting = 1;

	while (waiting) {
		struct pollfd end = {.fd = fd, .events = POLLIN};

		CHECK_EQ(poll(&end, 1, LONG_MS), 1);
		while (recv(fd, record, sizeof(record), MSG_DONTWAIT) == sizeof(record))
			numbers[found++] = record[0];
		gb_lock(descriptor->pump);
		waiting = gb_descriptor_waiting(descriptor);
		gb_unlock(descriptor->pump);
	}
	return found;
}

static void a_full_descriptor_drops(bool keep_oldest, uint32_t first_kept, uint32_t last_kept)
{
	struct gb_descriptor descriptor;
	struct gb_pump *pump = gb_pump_new();
	uint32_t numbers[100];
	int fd = gb_descriptor_init(&descriptor, pump, 48, CAPACITY, keep_oldest);

	gb_lock(pump);
	CHECK_EQ(gb_descriptor_watch(&descriptor, &ignorant, NULL), 0);
	gb_unlock(pump);
	push(&descriptor, 0, CAPACITY); /* into the socket */
	push(&descriptor, CAPACITY, CAPACITY + 5);
	CHECK_EQ(read_all(&descriptor, fd, numbers), 2 * CAPACITY);
	CHECK_EQ(numbers[CAPACITY - 1], CAPACITY - 1);
	CHECK_EQ(numbers[CAPACITY], first_kept);
	CHECK_EQ(numbers[2 * CAPACITY - 1], last_kept);
	/* Behind it all is as before, one by one and many at once. */
	for (uint32_t i = 0; i < 3 * CAPACITY && !check_bad; i++) {
		push(&descriptor, i, i % 7 + 1);
		CHECK_EQ(read_all(&descriptor, fd, numbers), i % 7 + 1);
		CHECK_EQ(numbers[i % 7], i + i % 7);
	}
	gb_lock(pump);
	gb_descriptor_close(&descriptor);
	gb_unlock(pump);
	close(fd);
	gb_pump_free(pump);
}

static void of_too_many_events_the_oldest_in_the_ring_goes(void)
{
	a_full_descriptor_drops(false, CAPACITY + 5, 2 * CAPACITY + 4);
}

static void of_too_many_changes_the_newest_goes(void)
{
	a_full_descriptor_drops(true, CAPACITY, 2 * CAPACITY - 1);
}

static void a_chip_hands_its_ioctls_on(void)
{
	struct gb_cdev_chip *chip;
	struct gpiochip_info info = {.lines = 0};
	struct gb_report report;
	struct session s;
	char record[288] = "changed", got[288];
	int fd, to;

	open_session(&s, 0);
	chip = gb_cdev_open_chip(s.pump, 7, &fd);
	CHECK(chip != NULL);
	to = offer(fd, GB_CHANNEL_MAGIC);
	CHECK_EQ(ask(to, GB_IOCTL_CLOSED, &info, 0), 0);
	CHECK_EQ(send(to, &(struct gb_ioctl){GPIO_GET_CHIPINFO_IOCTL, 5}, 8, 0), 8);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_OPERATION);
	CHECK_EQ(report.id, 7);
	CHECK_EQ(report.number, GPIO_GET_CHIPINFO_IOCTL);
	gb_cdev_answer_chip(chip, EINVAL, NULL, -1);
	CHECK_EQ(recv(to, got, sizeof(got), 0), sizeof(struct gb_ioctl_reply));
	gb_cdev_push_chip(chip, record, sizeof(record));
	CHECK_EQ(read(fd, got, sizeof(got)), sizeof(record));
	CHECK_BYTES(got, record, sizeof(record));
	close(offer(fd, 0));
	CHECK_EQ(next_report(&s).kind, GB_REPORT_HANGUP);
	gb_cdev_close_chip(chip);
	close(fd);
	close(to);
	close_session(&s);
}

/* The program's thread offers one and lets go of the others before the pump looks. */
static void a_channel_takes_the_place_of_those_that_hang_up_just_then(void)
{
	struct gpio_v2_line_values values = {.mask = 1};
	struct gb_request *request;
	struct session s;
	int fd, old[GB_CHANNELS_MAX], to;

	open_session(&s, RPMSG_GPIO_F_TAG);
	request = open_cdev(&s, 0, 0, &fd);
	for (unsigned int i = 0; i < GB_CHANNELS_MAX; i++) {
		old[i] = offer(fd, GB_CHANNEL_MAGIC);
		CHECK_EQ(ask(old[i], GPIO_V2_LINE_GET_VALUES_IOCTL, &values, sizeof(values)), 0);
	}
	gb_lock(s.pump);
	to = offer(fd, GB_CHANNEL_MAGIC);
	for (unsigned int i = 0; i < GB_CHANNELS_MAX; i++)
		close(old[i]);
	gb_unlock(s.pump);
	CHECK_EQ(ask(to, GPIO_V2_LINE_GET_VALUES_IOCTL, &values, sizeof(values)), 0);
	close(fd);
	close(to);
	gb_request_close(request);
	close_session(&s);
}

/* While as many closes hang as may, no descriptor is taken; afterwards each is. */
static void an_offer_waits_for_others_that_do_not_close(void)
{
	static struct slow_close slow[PEER_FD_CLOSES_MAX];
	struct gpio_v2_line_values values = {.mask = 1};
	struct gb_request *request;
	struct session s;
	int fd, to;

	open_session(&s, RPMSG_GPIO_F_TAG);
	request = open_cdev(&s, 0, 0, &fd);
	for (unsigned int i = 0; i < PEER_FD_CLOSES_MAX; i++) {
		slow[i] = make_slow_close();
		peer_fd_close(slow[i].fd);
	}
	to = offer(fd, GB_CHANNEL_MAGIC);
	/* The pump has seen the offer once it has seen the reply. */
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_DIRECTION, 5, 0).error, 0);
	for (unsigned int i = 0; i < PEER_FD_CLOSES_MAX; i++)
		let_close(&slow[i]);
	CHECK_EQ(ask(to, GPIO_V2_LINE_GET_VALUES_IOCTL, &values, sizeof(values)), 0);
	close(fd);
	close(to);
	gb_request_close(request);
	close_session(&s);
	while (!peer_fd_welcome())
		usleep(1000); /* the test's own deadline ends it */
}

static void of_many_descriptors_at_once_one_is_taken(void)
{
	struct gb_cdev_chip *chip;
	struct gpiochip_info info = {.lines = 0};
	struct session s;
	int before, fd, to[OFFERED_MAX];

	open_session(&s, 0);
	chip = gb_cdev_open_chip(s.pump, 7, &fd);
	CHECK(chip != NULL);
	before = open_fds();
	for (unsigned int i = 0; i < OFFERED_MAX; i++) {
		to[i] = offer_many(fd, GB_CHANNEL_MAGIC, i + 1);
		CHECK_EQ(ask(to[i], GB_IOCTL_CLOSED, &info, 0), 0);
		CHECK_EQ(open_fds(), before + 2 * ((int)i + 1));
	}
	for (unsigned int i = 0; i < OFFERED_MAX; i++)
		close(to[i]);
	gb_cdev_close_chip(chip);
	close(fd);
	close_session(&s);
}

/* What a program sends along is closed, whatever it is, and so is all that it had. */
static void nothing_is_left_open(void)
{
	int before = open_fds();

	values_on_a_channel();
	a_chip_hands_its_ioctls_on();
	CHECK_EQ(open_fds(), before);
}

int main(void)
{
	RUN(values_on_a_channel);
	RUN(events_are_whole_records_that_poll_shows);
	RUN(of_too_many_events_the_oldest_in_the_ring_goes);
	RUN(of_too_many_changes_the_newest_goes);
	RUN(a_chip_hands_its_ioctls_on);
	RUN(a_channel_takes_the_place_of_those_that_hang_up_just_then);
	RUN(an_offer_waits_for_others_that_do_not_close);
	RUN(of_many_descriptors_at_once_one_is_taken);
	RUN(nothing_is_left_open);
	return check_report();
}
