/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pump against the real firmware core, over a link of this test: it hands
 * each message to the core in the same process and can lose, hold back or
 * forge what comes back.
 */
#define _GNU_SOURCE
#include "core_link.h"
#include "slow_close.h"

/* ---- calls ---------------------------------------------------------------- */

static void every_form_of_session_answers(void)
{
	uint32_t forms[] = {0, RPMSG_GPIO_F_TAG, RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH};

	for (size_t i = 0; i < 3; i++) {
		struct session s;

		open_session(&s, forms[i]);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_VALUE, 3, 1).error, 0);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 3,
				       VIRTIO_GPIO_DIRECTION_OUT).error, 0);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 3, 0).value, 1);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, LINES, 0).error, EIO);
		close_session(&s);
	}
}

static void a_lost_reply_ends_at_the_deadline(void)
{
	struct session s;
	int64_t start = now_ms();

	open_session(&s, RPMSG_GPIO_F_TAG);
	s.core->drop_replies = 1;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	CHECK(now_ms() - start >= TIMEOUT_MS);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_session(&s);
}

static void after_a_lost_reply_an_untagged_session_gets_into_step(void)
{
	struct session s;

	open_session(&s, 0);
	for (int i = 0; i < 5; i++) {
		s.core->drop_replies = 1;
		call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
		s.core->pins[5] = (uint8_t)(i & 1);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 5, 0).value, i & 1);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 99, 0).error, EIO);
	}
	close_session(&s);
}

/* The stalled firmware answers everything late; no answer may be mistaken. */
static void late_replies_never_answer_the_next_request(void)
{
	uint32_t forms[] = {0, RPMSG_GPIO_F_TAG};

	for (size_t form = 0; form < 2; form++) {
		struct session s;

		open_session(&s, forms[form]);
		for (int i = 0; i < 4; i++) {
			s.core->pins[1] = 1;
			s.core->pins[2] = 0;
			s.core->hold = true;
			for (int late = 0; late <= i; late++)
				call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, late & 1 ? 99 : 1, 0);
			call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 2, 0);
			s.core->hold = false;
			notify(s.core);
			struct gb_report report = next_report(&s);
			CHECK_EQ(report.error, 0);
			CHECK_EQ(report.value, 0);
			CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 1, 0).value, 1);
		}
		close_session(&s);
	}
}

/* However many requests come between: a tag is 16 bits, and comes round. */
static void a_very_late_reply_answers_nothing(void)
{
	struct message late;
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	s.core->pins[1] = 1;
	s.core->hold = true;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	late = s.core->queue[--s.core->queued];
	for (int i = 0; i < 3000 && !check_bad; i++) {
		struct gb_report report;

		s.core->hold = true;
		CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 2, 0,
					    GB_CALL_AUTO, LONG_MS, ++s.cookie), 0);
		gb_lock(s.pump);
		gb_link_received(&s.core->link, ADDRESS, SOURCE, late.bytes, late.length);
		gb_unlock(s.pump);
		s.core->hold = false;
		notify(s.core);
		report = next_report(&s);
		CHECK_EQ(report.id, s.cookie);
		CHECK_EQ(report.error, 0);
		CHECK_EQ(report.value, 0);
	}
	close_session(&s);
}

/* A probe that left when buffers came free, long after the last call, and was lost. */
static void a_lost_probe_is_sent_again(void)
{
	struct session s;

	open_session(&s, 0);
	s.core->drop_replies = 1;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	s.core->drop_replies = UINT32_MAX;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	poll(NULL, 0, 3 * TIMEOUT_MS); /* nobody asks: it waits for demand */
	gb_lock(s.pump);
	gb_link_writable(&s.core->link);
	gb_unlock(s.pump);
	s.core->drop_replies = 0;
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				    LONG_MS, ++s.cookie), 0);
	CHECK_EQ(next_report(&s).error, 0);
	close_session(&s);
}

/* A firmware on a serial line may take as little as 16 bytes. */
static void a_message_that_does_not_fit_blocks_no_other(void)
{
	static const uint32_t forms[] = {RPMSG_GPIO_F_BULK, RPMSG_GPIO_F_BULK | RPMSG_GPIO_F_TAG};
	struct rpmsg_gpio_mask_body mask = {rpmsg_gpio_store64(4)};

	for (size_t form = 0; form < 2; form++) {
		struct session s;

		open_session(&s, forms[form]);
		s.core->largest = 16;
		s.core->hold = true; /* the first one is in flight: the others wait */
		call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
		CHECK_EQ(gb_controller_call_body(s.controller, RPMSG_GPIO_MSG_GET_VALUES, 0, 0,
						 &mask, sizeof(mask), LONG_MS, 77), 0);
		call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
		s.core->hold = false;
		notify(s.core);
		for (int n = 0; n < 3; n++) {
			struct gb_report report = next_report(&s);

			CHECK_EQ(report.kind, GB_REPORT_REPLY);
			CHECK_EQ(report.error, report.id == 77 ? EMSGSIZE : 0);
		}
		close_session(&s);
	}
}

/* The first question of a negotiation, without a tag, after a request that had one. */
static void a_late_reply_with_a_tag_answers_no_negotiation(void)
{
	struct session s;
	struct gb_report report;

	open_session(&s, RPMSG_GPIO_F_TAG);
	s.core->hold = true;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	gb_controller_accept(s.controller, 0, 0);
	CHECK_EQ(gb_controller_call(s.controller, RPMSG_GPIO_MSG_GET_FEATURES, 0, 0,
				    GB_CALL_BASELINE, LONG_MS, ++s.cookie), 0);
	s.core->hold = false;
	notify(s.core);
	report = next_report(&s);
	CHECK_EQ(report.error, 0);
	CHECK_EQ(report.length, 8); /* features and epoch */
	CHECK_EQ(gb_link_strays(&s.core->link), 1);
	close_session(&s);
}

static void mute_firmware_gets_a_quiet_period_instead_of_probes(void)
{
	struct session s;

	open_session(&s, 0);
	gb_controller_mute(s.controller, true);
	s.core->mute_unknown = true;
	s.core->drop_replies = 1;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				    LONG_MS, ++s.cookie), 0);
	CHECK_EQ(next_report(&s).error, 0);
	close_session(&s);
}

static void many_calls_keep_their_order_and_the_queue_its_bound(void)
{
	struct session s;
	int accepted = 0, refused = 0;

	open_session(&s, 0);
	s.core->hold = true;
	for (int i = 0; i < 2000; i++) {
		int error = gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0,
					       GB_CALL_AUTO, LONG_MS, (uint64_t)i);

		accepted += error == 0;
		refused += error == -EBUSY;
	}
	CHECK_EQ(accepted, 1025); /* one in flight, the rest waiting */
	CHECK_EQ(refused, 2000 - 1025);
	s.core->hold = false;
	notify(s.core);
	for (int i = 0; i < accepted; i++) {
		struct gb_report report = next_report(&s);

		CHECK_EQ(report.id, i);
		CHECK_EQ(report.error, 0);
	}
	close_session(&s);
}

static void ignore_outcome(struct gb_call *owed, const struct gb_outcome *outcome)
{
	(void)owed;
	(void)outcome;
}

/* However many lines a guest has left behind. */
static void owed_calls_take_nobodys_place(void)
{
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	s.core->full = true;
	gb_lock(s.pump);
	for (unsigned int i = 0; i < 2 * GB_QUEUE_MAX; i++) {
		struct gb_call *owed = gb_call_new(s.controller);

		owed->type = VIRTIO_GPIO_MSG_GET_VALUE;
		owed->owed = true;
		owed->done = ignore_outcome;
		CHECK_EQ(gb_call_submit(s.controller, owed, gb_now_ns(),
					20000 * UINT64_C(1000000)), 0);
	}
	gb_unlock(s.pump);
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				    20000, ++s.cookie), 0);
	open_gate(&s);
	CHECK_EQ(next_report(&s).error, 0);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_session(&s);
}

static void without_transmit_buffers_calls_wait_and_then_go(void)
{
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	s.core->full = true;
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	gb_lock(s.pump);
	s.core->full = false;
	gb_link_writable(&s.core->link);
	gb_unlock(s.pump);
	CHECK_EQ(next_report(&s).error, 0);
	close_session(&s);
}

static void a_restarted_firmware_is_noticed(void)
{
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH);
	rpmsg_gpio_device_init(&s.core->device, &s.core->config);
	call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	CHECK_EQ(next_report(&s).kind, GB_REPORT_RESTARTED);
	CHECK_EQ(next_report(&s).error, ENODEV);
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				    TIMEOUT_MS, 1), -ENODEV);
	close_session(&s);
}

/* One reply with another epoch may be damaged; the firmware is asked again. */
/* Without tags: a request of 12 bytes answered in the baseline form tells. */
static void a_restarted_firmware_is_noticed_without_tags(void)
{
	struct rpmsg_gpio_mask_body mask = {rpmsg_gpio_store64(4)};
	struct gb_report report;
	struct session s;

	open_session(&s, RPMSG_GPIO_F_EPOCH | RPMSG_GPIO_F_BULK);
	rpmsg_gpio_device_init(&s.core->device, &s.core->config);
	CHECK_EQ(gb_controller_call_body(s.controller, RPMSG_GPIO_MSG_GET_VALUES, 0, 0, &mask,
					 sizeof(mask), LONG_MS, 77), 0);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_REPLY);
	CHECK_EQ(report.error, EIO);
	CHECK_EQ(next_report(&s).kind, GB_REPORT_RESTARTED);
	close_session(&s);
}

/* One such answer may have been damaged on its way. */
static void a_damaged_request_is_no_restart(void)
{
	struct rpmsg_gpio_mask_body mask = {rpmsg_gpio_store64(4)};
	struct session s;

	open_session(&s, RPMSG_GPIO_F_EPOCH | RPMSG_GPIO_F_BULK);
	s.core->counted_type = RPMSG_GPIO_MSG_GET_VALUES;
	s.core->damage_requests = 1;
	CHECK_EQ(gb_controller_call_body(s.controller, RPMSG_GPIO_MSG_GET_VALUES, 0, 0, &mask,
					 sizeof(mask), LONG_MS, 77), 0);
	CHECK_EQ(next_report(&s).error, EIO);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	CHECK_EQ(s.core->requests, 3); /* the epoch was asked for */
	close_session(&s);
}

static void another_epoch_is_asked_for(void)
{
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH);
	gb_lock(s.pump);
	s.core->config.epoch ^= 0xff;
	gb_unlock(s.pump);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, EPROTO);
	CHECK_EQ(next_report(&s).kind, GB_REPORT_RESTARTED);
	close_session(&s);
}

/* What the firmware answers when asked tells that it did not restart, even if the
 * answer's head is damaged in the same way. */
static void a_damaged_epoch_is_no_restart(void)
{
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH);
	for (unsigned int replies = 1; replies <= 2; replies++) {
		gb_lock(s.pump);
		s.core->damage_epochs = replies;
		gb_unlock(s.pump);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, EPROTO);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	}
	close_session(&s);
}

static void forged_messages_are_strays(void)
{
	struct session s;
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX] = {0};

	open_session(&s, RPMSG_GPIO_F_TAG);
	srand(1);
	for (int i = 0; i < 20000; i++) {
		uint16_t length = (uint16_t)(rand() % 40);

		for (uint16_t at = 0; at < length; at++)
			bytes[at] = (uint8_t)(rand() >> 7);
		bytes[0] &= 3;
		gb_lock(s.pump);
		gb_link_received(&s.core->link, ADDRESS, SOURCE, bytes, length);
		gb_unlock(s.pump);
	}
	CHECK_EQ(gb_link_strays(&s.core->link), 20000);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_session(&s);
}

static void closing_the_link_ends_every_call(void)
{
	struct session s;

	open_session(&s, 0);
	s.core->hold = true;
	for (int i = 0; i < 10; i++)
		call(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	gb_link_close(&s.core->link);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(next_report(&s).error, ENODEV);
	close_session(&s);
}

/* ---- line requests --------------------------------------------------------- */

static void values_go_through_an_operation_descriptor(void)
{
	struct gb_request_fds fds;
	struct gb_request *request;
	struct session s;
	uint64_t bits = 1;

	open_session(&s, RPMSG_GPIO_F_TAG);
	request = open_line(&s, 4, GB_LINE_OUTPUT | GB_LINE_ACTIVE_LOW, 0, &fds);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 4, VIRTIO_GPIO_DIRECTION_OUT);
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 1, &bits), 0);
	CHECK_EQ(s.core->pins[4], 0); /* active-low */
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), 0);
	CHECK_EQ(bits, 1);
	bits = 0;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 1, &bits), 0);
	CHECK_EQ(s.core->pins[4], 1);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 2, &bits), EINVAL); /* no such line */
	CHECK_EQ(operate(&fds, 3, 1, &bits), EINVAL);
	gb_request_close(request);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), ENODEV);
	close_fds(&fds);
	close_session(&s);
}

/* What is replayed after a restart: levels that the firmware said it has. */
static void what_lines_were_driven_to_is_known(void)
{
	struct gb_line_plan plans[3] = {{0}};
	struct gb_request_fds fds;
	struct gb_request *request;
	struct session s;
	uint64_t levels = 0, bits;

	open_session(&s, RPMSG_GPIO_F_TAG);
	for (uint16_t i = 0; i < 3; i++)
		plans[i] = (struct gb_line_plan){
			.controller = s.controller, .gpio = (uint16_t)(10 + i), .offset = i,
			.flags = GB_LINE_OUTPUT | (i == 1 ? GB_LINE_ACTIVE_LOW : 0),
		};
	request = gb_request_open(s.pump, 9, plans, 3, 16, TIMEOUT_MS, &fds);
	CHECK(request != NULL);
	CHECK_EQ(gb_request_driven(request, &levels), 0);
	/* The owner's own calls, in levels. */
	gb_request_note_driven(request, 0, true);
	gb_request_note_driven(request, 1, false);
	gb_request_note_driven(request, 3, true); /* no such line */
	CHECK_EQ(gb_request_driven(request, &levels), 3);
	CHECK_EQ(levels & 3, 1);
	/* A client's operation, in values: the second line is active-low. */
	for (uint16_t gpio = 10; gpio < 13; gpio++)
		call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, gpio, VIRTIO_GPIO_DIRECTION_OUT);
	bits = 4;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 6, &bits), 0);
	CHECK_EQ(gb_request_driven(request, &levels), 7);
	CHECK_EQ(levels & 7, 7);
	bits = 0;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 1, &bits), 0);
	CHECK_EQ(gb_request_driven(request, &levels), 7);
	CHECK_EQ(levels & 7, 6);
	/* Reading drives nothing, and neither does what the firmware did not confirm. */
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 7, &bits), 0);
	gb_lock(s.pump);
	s.core->drop_replies = 1;
	gb_unlock(s.pump);
	bits = 1;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 1, &bits), ETIMEDOUT);
	CHECK_EQ(gb_request_driven(request, &levels), 7);
	CHECK_EQ(levels & 7, 6);
	/* What it did confirm counts, though the operation failed for another line. */
	gb_lock(s.pump);
	s.core->drop_replies = 1;
	gb_unlock(s.pump);
	bits = 2;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 3, &bits), ETIMEDOUT);
	CHECK_EQ(s.core->pins[11], 0);
	CHECK_EQ(gb_request_driven(request, &levels), 7);
	CHECK_EQ(levels & 7, 4);
	/* Of several lines those count that it did confirm. */
	gb_lock(s.pump);
	s.core->counted_type = VIRTIO_GPIO_MSG_SET_VALUE;
	s.core->drop_requests = 1;
	gb_unlock(s.pump);
	bits = 1;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 7, &bits), ETIMEDOUT);
	CHECK_EQ(gb_request_driven(request, &levels), 7);
	CHECK_EQ(levels & 7, 2);
	close_fds(&fds);
	close_session(&s);
}

static void a_value_to_an_input_is_refused(void)
{
	struct gb_request_fds fds;
	struct session s;
	uint64_t bits = 1;

	open_session(&s, 0);
	open_line(&s, 4, 0, 0, &fds);
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 1, &bits), EPERM);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), 0);
	close_fds(&fds);
	close_session(&s);
}

/* Whatever happens while its two messages are sent. */
static void an_emulated_drive_is_answered_once(void)
{
	struct gb_operation set = {.code = GB_OPERATION_SET, .sequence = 5, .mask = 1};
	struct gb_operation_reply reply;
	struct gb_request_fds fds;
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_line(&s, 4, GB_LINE_OUTPUT | GB_LINE_OPEN_DRAIN, 0, &fds);
	s.core->broken = true;
	CHECK_EQ(send(fds.operation, &set, sizeof(set), 0), sizeof(set));
	CHECK_EQ(recv(fds.operation, &reply, sizeof(reply), 0), sizeof(reply));
	CHECK_EQ(reply.sequence, 5);
	CHECK_EQ(reply.error, ENODEV);
	gb_lock(s.pump); /* what the pump had in hand is done */
	gb_unlock(s.pump);
	CHECK_EQ(recv(fds.operation, &reply, sizeof(reply), MSG_DONTWAIT), -1);
	close_fds(&fds);
	close_session(&s);
}

static void malformed_operations_get_an_answer(void)
{
	char packet[2048] = {0};
	struct gb_operation_reply reply;
	struct gb_request_fds fds;
	struct session s;
	size_t sizes[] = {1, sizeof(struct gb_operation) - 1, sizeof(packet)};

	open_session(&s, 0);
	open_line(&s, 0, 0, 0, &fds);
	for (size_t i = 0; i < 3; i++) {
		struct gb_operation operation = {.sequence = 7};
		bool whole = sizes[i] >= sizeof(operation);

		memcpy(packet, &operation, sizeof(operation));
		CHECK_EQ(send(fds.operation, packet, sizes[i], 0), sizes[i]);
		CHECK_EQ(recv(fds.operation, &reply, sizeof(reply), 0), sizeof(reply));
		CHECK_EQ(reply.error, EINVAL);
		CHECK_EQ(reply.sequence, whole ? 7 : 0); /* or its sender takes it for a late one */
	}
	close_fds(&fds);
	close_session(&s);
}

/* The error of sending the descriptor over the socket, 0: none. */
static int pass(int socket, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {"x", 1};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1,
				.msg_control = &control, .msg_controllen = sizeof(control)};

	control.align = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
					 .cmsg_len = CMSG_LEN(sizeof(fd))};
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	return sendmsg(socket, &header, MSG_NOSIGNAL) < 0 ? errno : 0;
}

static bool kernel_can_refuse_descriptors(void)
{
	int no = 0, fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool can = setsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &no, sizeof(no)) == 0;

	close(fd);
	return can;
}

/* To close it would keep the pump waiting for a minute. */
static void a_client_passes_no_descriptors(void)
{
	struct gb_request_fds fds;
	struct slow_close slow;
	struct session s;
	uint64_t bits = 0;

	if (!kernel_can_refuse_descriptors())
		return;
	open_session(&s, RPMSG_GPIO_F_TAG);
	open_line(&s, 3, 0, 0, &fds);
	slow = make_slow_close();
	CHECK_EQ(pass(fds.operation, slow.fd), EPERM);
	CHECK_EQ(pass(fds.event, slow.fd), EPERM);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), 0);
	let_close(&slow);
	close(slow.fd);
	close_fds(&fds);
	close_session(&s);
}

static void a_client_that_lets_go_is_reported_once(void)
{
	struct gb_request_fds fds;
	struct gb_request *request;
	struct session s;
	struct gb_report report;

	open_session(&s, 0);
	request = open_line(&s, 0, 0, 0, &fds);
	CHECK(gb_request_alive(request));
	close_fds(&fds);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_HANGUP);
	CHECK_EQ(report.id, 9);
	CHECK(!gb_request_alive(request));
	gb_request_close(request);
	close_session(&s);
}

/* With one operation in hand and one waiting; it is answered before or after Python
 * closes the request. */
static void a_client_may_die_at_any_time(void)
{
	struct gb_operation get = {.code = GB_OPERATION_GET, .mask = 1};

	for (int answered = 0; answered < 2; answered++) {
		struct gb_request_fds fds;
		struct gb_request *request;
		struct session s;

		open_session(&s, 0);
		s.core->hold = true;
		request = open_line(&s, 0, 0, 0, &fds);
		CHECK_EQ(send(fds.operation, &get, sizeof(get), 0), sizeof(get));
		while (!s.core->requests)
			poll(NULL, 0, 1);
		CHECK_EQ(send(fds.operation, &get, sizeof(get), 0), sizeof(get));
		poll(NULL, 0, 20); /* time to see that one, too */
		close_fds(&fds);
		CHECK_EQ(next_report(&s).kind, GB_REPORT_HANGUP);
		if (!answered)
			gb_request_close(request);
		s.core->hold = false;
		notify(s.core);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
		if (answered)
			gb_request_close(request);
		close_session(&s);
	}
}

static void other_operations_go_to_python_and_back(void)
{
	struct gb_operation release = {.code = GB_OPERATION_RELEASE, .sequence = 77};
	struct gb_operation_reply reply;
	struct gb_request_fds fds;
	struct gb_request *request;
	struct gb_report report;
	struct session s;

	open_session(&s, 0);
	request = open_line(&s, 0, 0, 0, &fds);
	CHECK_EQ(send(fds.operation, &release, sizeof(release), 0), sizeof(release));
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_OPERATION);
	CHECK_EQ(report.number, GB_OPERATION_RELEASE);
	CHECK_EQ(gb_request_answer(request, 76, 0, 0, NULL, 0), -ESTALE);
	CHECK_EQ(gb_request_answer(request, report.sequence, EBUSY, 0, NULL, 0), 0);
	CHECK_EQ(recv(fds.operation, &reply, sizeof(reply), 0), sizeof(reply));
	CHECK_EQ(reply.error, EBUSY);
	CHECK_EQ(reply.sequence, 77);
	close_fds(&fds);
	close_session(&s);
}

static void a_closed_request_shows_hup_and_err(void)
{
	struct gb_request_fds fds;
	struct session s;
	struct pollfd poller;

	open_session(&s, 0);
	gb_request_close(open_line(&s, 0, 0, 0, &fds));
	poller = (struct pollfd){.fd = fds.event, .events = 0};
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLHUP | POLLERR);
	close_fds(&fds);
	close_session(&s);
}

static void fire(struct session *s, uint16_t gpio)
{
	gb_lock(s->pump);
	rpmsg_gpio_device_irq(&s->core->device, gpio);
	CHECK(rpmsg_gpio_device_run(&s->core->device));
	gb_unlock(s->pump);
}

static void edges_come_as_records_and_are_rearmed(void)
{
	uint32_t forms[] = {0, RPMSG_GPIO_F_TAG};

	for (size_t form = 0; form < 2; form++) {
		struct gb_line_event event;
		struct gb_event_ring *ring;
		struct gb_request_fds fds;
		struct session s;

		open_session(&s, forms[form]);
		open_line(&s, 6, GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING,
			  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH, &fds);
		ring = gb_event_ring_map(fds.ring);
		call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 6, VIRTIO_GPIO_DIRECTION_IN);
		call_and_wait(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 6, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
		for (uint32_t i = 1; i <= 50; i++) {
			s.core->pins[6] = i & 1;
			fire(&s, 6);
			CHECK_EQ(gb_event_ring_read(ring, fds.event, &event, 1), 1);
			CHECK_EQ(event.id, i & 1 ? 1 : 2);
			CHECK_EQ(event.offset, 106);
			CHECK_EQ(event.seqno, i);
			CHECK_EQ(event.line_seqno, i);
			/* A call behind the re-arm: it has been answered then. */
			CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
		}
		gb_event_ring_free(ring);
		close_fds(&fds);
		close_session(&s);
	}
}

static void a_lost_rearm_is_repeated_and_reported(void)
{
	struct gb_line_event event;
	struct gb_event_ring *ring;
	struct gb_request_fds fds;
	struct gb_report report;
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_line(&s, 6, GB_LINE_EDGE_RISING, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING, &fds);
	ring = gb_event_ring_map(fds.ring);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 6, VIRTIO_GPIO_DIRECTION_IN);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 6, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	s.core->hold = true;
	fire(&s, 6);
	s.core->hold = false;
	notify(s.core);
	CHECK_EQ(gb_event_ring_read(ring, fds.event, &event, 1), 1);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	fire(&s, 6);
	CHECK_EQ(gb_event_ring_read(ring, fds.event, &event, 1), 1);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	/* This event passes, the answer to its re-arm does not. */
	s.core->hold = true;
	fire(&s, 6);
	s.core->drop_replies = 1;
	s.core->hold = false;
	notify(s.core);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_LINE_FAULT);
	CHECK_EQ(report.error, ETIMEDOUT);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	fire(&s, 6);
	CHECK_EQ(gb_event_ring_read(ring, fds.event, &event, 1), 1);
	CHECK_EQ(gb_event_ring_read(ring, fds.event, &event, 1), 1);
	CHECK_EQ(event.seqno, 4);
	gb_event_ring_free(ring);
	close_fds(&fds);
	close_session(&s);
}

/* The level at the end of a period is asked for until the firmware tells it: the line
 * may stay as it is for ever, and its value is what was read last. */
static void a_debounced_level_is_read_in_the_end(void)
{
	struct gb_line_plan plan = {
		.gpio = 6, .flags = GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING,
		.irq_type = VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH, .debounce_us = 2000,
	};
	struct gb_line_event event = {0};
	struct gb_request *request;
	struct gb_event_ring *ring;
	struct gb_request_fds fds;
	struct gb_report report;
	struct pollfd poller;
	struct session s;
	uint64_t bits = 0;

	open_session(&s, RPMSG_GPIO_F_TAG);
	plan.controller = s.controller;
	request = gb_request_open(s.pump, 9, &plan, 1, 16, TIMEOUT_MS, &fds);
	CHECK(request != NULL);
	ring = gb_event_ring_map(fds.ring);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, 6, VIRTIO_GPIO_DIRECTION_IN);
	call_and_wait(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 6, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	gb_request_settle(request, 0, false);
	gb_lock(s.pump);
	s.core->counted_type = VIRTIO_GPIO_MSG_GET_VALUE;
	s.core->drop_requests = 2;
	s.core->pins[6] = 1;
	gb_unlock(s.pump);
	fire(&s, 6);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_LINE_FAULT);
	CHECK_EQ(report.error, ETIMEDOUT);
	poller = (struct pollfd){.fd = fds.event, .events = POLLIN};
	CHECK_EQ(poll(&poller, 1, LONG_MS), 1);
	CHECK_EQ(gb_event_ring_take(ring, fds.event, &event, 1), 1);
	CHECK_EQ(event.id, 1);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), 0);
	CHECK_EQ(bits, 1);
	gb_event_ring_free(ring);
	close_fds(&fds);
	close_session(&s);
}

static void a_line_has_one_owner(void)
{
	struct gb_request_fds fds, more;
	struct gb_line_plan plan = {.gpio = 3};
	struct session s;

	open_session(&s, 0);
	open_line(&s, 3, 0, 0, &fds);
	plan.controller = s.controller;
	CHECK(!gb_request_open(s.pump, 10, &plan, 1, 16, TIMEOUT_MS, &more));
	CHECK_EQ(errno, EBUSY);
	close_fds(&fds);
	close_session(&s);
}

/* ---- the loop ------------------------------------------------------------- */

static struct {
	struct gb_pump *pump;
	struct gb_timer timer;
	uint64_t give_up_ns;
	int fd;
	bool seen;
} restless;

static void arm_again(struct gb_timer *timer)
{
	eventfd_write(restless.fd, 1);
	if (!restless.seen && gb_now_ns() < restless.give_up_ns)
		gb_timer_arm(restless.pump, timer, 0);
}

static void see(void *owner, int index, uint32_t events)
{
	(void)owner;
	(void)index;
	(void)events;
	restless.seen = true;
}

static void a_timer_that_is_always_due_leaves_others_their_turn(void)
{
	struct gb_source *source;

	restless.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	restless.pump = gb_pump_new();
	restless.timer.expired = arm_again;
	restless.give_up_ns = gb_now_ns() + UINT64_C(30000000000);
	gb_lock(restless.pump);
	source = gb_source_add(restless.pump, restless.fd, EPOLLIN | EPOLLET, see, NULL, 0);
	CHECK(source != NULL);
	gb_timer_arm(restless.pump, &restless.timer, 0);
	gb_unlock(restless.pump);
	while (gb_now_ns() < restless.give_up_ns) {
		bool seen;

		gb_lock(restless.pump);
		seen = restless.seen;
		gb_unlock(restless.pump);
		if (seen)
			break;
	}
	gb_lock(restless.pump);
	CHECK(restless.seen);
	gb_timer_cancel(restless.pump, &restless.timer);
	gb_source_remove(restless.pump, source);
	gb_unlock(restless.pump);
	gb_pump_free(restless.pump);
	close(restless.fd);
}

static struct {
	struct session session;
	struct gb_call *call;
	int error; /* -1: not ended yet */
} late;

static void ended(struct gb_call *call, const struct gb_outcome *outcome)
{
	(void)call;
	late.error = outcome->error;
}

/* The answer is there before the deadline, and then the pump's thread gets no time. */
static void ask_and_be_late(void *owner, int index, uint32_t events)
{
	(void)owner;
	(void)index;
	(void)events;
	CHECK_EQ(gb_call_submit(late.session.controller, late.call, gb_now_ns(), 1000000), 0);
	poll(NULL, 0, 20);
}

static void an_answer_in_time_is_taken_by_a_pump_that_is_late(void)
{
	const int64_t deadline = now_ms() + LONG_MS;
	struct gb_source *source;
	int error, fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	open_session(&late.session, RPMSG_GPIO_F_TAG);
	gb_lock(late.session.pump);
	late.error = -1;
	late.call = gb_call_new(late.session.controller);
	late.call->type = VIRTIO_GPIO_MSG_GET_VALUE;
	late.call->done = ended;
	source = gb_source_add(late.session.pump, fd, EPOLLIN | EPOLLET, ask_and_be_late, NULL, 0);
	CHECK(source != NULL);
	gb_unlock(late.session.pump);
	do {
		gb_lock(late.session.pump);
		error = late.error;
		gb_unlock(late.session.pump);
	} while (error < 0 && now_ms() < deadline && poll(NULL, 0, 1) == 0);
	CHECK_EQ(error, 0);
	gb_lock(late.session.pump);
	gb_source_remove(late.session.pump, source);
	gb_unlock(late.session.pump);
	close_session(&late.session);
	close(fd);
}

static void announcements_without_end_end_the_link(void)
{
	const unsigned int many = 100000;
	struct gb_report report;
	unsigned int count = 0;
	struct session s;

	open_session(&s, 0);
	gb_lock(s.pump);
	for (unsigned int i = 0; i < many; i++)
		gb_link_announced(&s.core->link, "rpmsg-io-0", i, i % 2);
	gb_unlock(s.pump);
	while ((report = next_report(&s)).kind == GB_REPORT_ANNOUNCED)
		count++;
	CHECK_EQ(report.kind, GB_REPORT_LINK_DOWN);
	CHECK_EQ(report.error, EPROTO);
	CHECK(count < many / 10);
	close_session(&s);

	/* One after the other there may be any number. */
	open_session(&s, 0);
	for (unsigned int i = 0; i < many / 10; i++) {
		gb_lock(s.pump);
		gb_link_announced(&s.core->link, "rpmsg-io-0", i, i % 2);
		gb_unlock(s.pump);
		CHECK_EQ(next_report(&s).kind, GB_REPORT_ANNOUNCED);
	}
	close_session(&s);
}

int main(void)
{
	RUN(a_timer_that_is_always_due_leaves_others_their_turn);
	RUN(an_answer_in_time_is_taken_by_a_pump_that_is_late);
	RUN(every_form_of_session_answers);
	RUN(a_lost_reply_ends_at_the_deadline);
	RUN(after_a_lost_reply_an_untagged_session_gets_into_step);
	RUN(late_replies_never_answer_the_next_request);
	RUN(a_very_late_reply_answers_nothing);
	RUN(a_lost_probe_is_sent_again);
	RUN(a_message_that_does_not_fit_blocks_no_other);
	RUN(a_late_reply_with_a_tag_answers_no_negotiation);
	RUN(mute_firmware_gets_a_quiet_period_instead_of_probes);
	RUN(many_calls_keep_their_order_and_the_queue_its_bound);
	RUN(owed_calls_take_nobodys_place);
	RUN(without_transmit_buffers_calls_wait_and_then_go);
	RUN(a_restarted_firmware_is_noticed);
	RUN(a_restarted_firmware_is_noticed_without_tags);
	RUN(a_damaged_request_is_no_restart);
	RUN(another_epoch_is_asked_for);
	RUN(a_damaged_epoch_is_no_restart);
	RUN(forged_messages_are_strays);
	RUN(closing_the_link_ends_every_call);
	RUN(values_go_through_an_operation_descriptor);
	RUN(what_lines_were_driven_to_is_known);
	RUN(a_value_to_an_input_is_refused);
	RUN(an_emulated_drive_is_answered_once);
	RUN(malformed_operations_get_an_answer);
	RUN(a_client_passes_no_descriptors);
	RUN(a_client_that_lets_go_is_reported_once);
	RUN(a_client_may_die_at_any_time);
	RUN(other_operations_go_to_python_and_back);
	RUN(a_closed_request_shows_hup_and_err);
	RUN(edges_come_as_records_and_are_rearmed);
	RUN(a_lost_rearm_is_repeated_and_reported);
	RUN(a_debounced_level_is_read_in_the_end);
	RUN(a_line_has_one_owner);
	RUN(announcements_without_end_end_the_link);
	return check_report();
}
