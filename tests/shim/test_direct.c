/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients in the pump's process: their threads run the pump's loop while they wait. */
#define _GNU_SOURCE
#include "core_link.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "pump/direct.h"

#define THREADS 4
#define ROUNDS 2000

/* ---- a client --------------------------------------------------------------- */

struct client {
	struct session *session;
	struct gb_request *request;
	struct gb_request_fds fds;
	struct gb_direct *direct;
	/* Of an operation in a thread of its own. */
	pthread_t thread;
	struct gb_operation operation;
	struct gb_operation_reply reply;
};

static void open_client(struct client *c, struct session *s, uint16_t gpio, uint32_t timeout_ms)
{
	struct gb_line_plan plan = {
		.controller = s->controller, .gpio = gpio, .offset = gpio,
		.flags = GB_LINE_OUTPUT,
	};

	memset(c, 0, sizeof(*c));
	c->session = s;
	CHECK_EQ(call_and_wait(s, VIRTIO_GPIO_MSG_SET_DIRECTION, gpio,
			       VIRTIO_GPIO_DIRECTION_OUT).error, 0);
	c->request = gb_request_open(s->pump, 9, &plan, 1, 16, timeout_ms, &c->fds);
	CHECK(c->request != NULL);
	CHECK_EQ(gb_client_prepare(c->fds.operation, LONG_MS), 0);
	c->direct = gb_direct_open(s->pump, c->fds.operation);
	CHECK(c->direct != NULL);
}

static void close_client(struct client *c)
{
	gb_direct_close(c->direct);
	close_fds(&c->fds);
}

static int do_operation(struct client *c, uint32_t code, uint64_t bits)
{
	int error;

	c->operation.code = code;
	c->operation.sequence++;
	c->operation.mask = 1;
	c->operation.bits = bits;
	error = gb_direct_operate(c->direct, LONG_MS, &c->operation, &c->reply);
	CHECK_EQ(c->reply.error, error);
	CHECK_EQ(c->reply.sequence, error == ENODEV ? c->reply.sequence : c->operation.sequence);
	return error;
}

static void *get_in_thread(void *argument)
{
	struct client *c = argument;

	do_operation(c, GB_OPERATION_GET, 0);
	return NULL;
}

static bool holds(struct session *s, bool (*what)(struct session *s))
{
	bool found;

	gb_lock(s->pump);
	found = what(s);
	gb_unlock(s->pump);
	return found;
}

static void wait_until(struct session *s, bool (*what)(struct session *s))
{
	int64_t start = now_ms();

	while (!holds(s, what) && now_ms() - start < LONG_MS)
		sched_yield();
	CHECK(holds(s, what));
}

static bool is_led(struct session *s)
{
	return s->pump->leader && s->pump->sleeping;
}

static bool is_at_rest(struct session *s)
{
	return s->pump->resting && !s->pump->leader;
}

/* The reply is held back, so that the thread waits, and runs the loop. */
static void begin_to_lead(struct client *c)
{
	struct session *s = c->session;

	wait_until(s, is_at_rest);
	gb_lock(s->pump);
	s->core->hold = true;
	gb_unlock(s->pump);
	CHECK_EQ(pthread_create(&c->thread, NULL, get_in_thread, c), 0);
	wait_until(s, is_led);
}

static void let_replies_go(struct session *s)
{
	gb_lock(s->pump);
	s->core->hold = false;
	notify(s->core);
	gb_unlock(s->pump);
}

static void finish(struct client *c)
{
	let_replies_go(c->session);
	pthread_join(c->thread, NULL);
}

/* ---- one after the other ---------------------------------------------------- */

static void sets_and_gets(void)
{
	uint32_t forms[] = {0, RPMSG_GPIO_F_TAG};

	for (size_t i = 0; i < 2; i++) {
		struct session s;
		struct client c;

		open_session(&s, forms[i]);
		open_client(&c, &s, 3, LONG_MS);
		for (int n = 0; n < 20; n++) {
			CHECK_EQ(do_operation(&c, GB_OPERATION_SET, n & 1), 0);
			CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), 0);
			CHECK_EQ(c.reply.bits, n & 1);
		}
		close_client(&c);
		close_session(&s);
	}
}

static void what_is_refused_at_once_is_answered(void)
{
	struct session s;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	CHECK_EQ(do_operation(&c, GB_OPERATION_SET + 1, 0), EINVAL);
	CHECK_EQ(c.reply.reason, GB_REASON_OPERATION);
	CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), 0);
	close_client(&c);
	close_session(&s);
}

static void a_descriptor_of_something_else_is_none(void)
{
	struct session s;
	int ends[2];

	open_session(&s, 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	for (int i = 0; i < 2; i++) {
		CHECK(gb_direct_open(s.pump, ends[i]) == NULL);
		CHECK_EQ(errno, ENODEV);
		close(ends[i]);
	}
	CHECK(gb_direct_open(s.pump, s.core->event_fd) == NULL);
	CHECK_EQ(errno, ENODEV);
	close_session(&s);
}

static void a_lost_reply_ends_at_the_deadline(void)
{
	struct session s;
	struct client c;
	int64_t start;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, TIMEOUT_MS);
	wait_until(&s, is_at_rest);
	gb_lock(s.pump);
	s.core->drop_replies = 1;
	gb_unlock(s.pump);
	start = now_ms();
	CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), ETIMEDOUT);
	CHECK_EQ(c.reply.reason, GB_REASON_TIMEOUT);
	CHECK(now_ms() - start >= TIMEOUT_MS);
	close_client(&c);
	close_session(&s);
}

/* ---- what else happens meanwhile ---------------------------------------------- */

static void deadlines_of_others_are_kept(void)
{
	struct session s;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	call_in_vain(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0);
	finish(&c);
	CHECK_EQ(c.reply.error, 0);
	close_client(&c);
	close_session(&s);
}

/* The pump's thread may sleep for longer than until the deadline that is left to it. */
static void deadlines_of_others_are_kept_afterwards(void)
{
	struct gb_report report;
	struct session s;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	gb_lock(s.pump);
	s.core->hold = false; /* the leader's own reply waits, this one is lost */
	s.core->drop_replies = 1;
	gb_unlock(s.pump);
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0, GB_CALL_AUTO,
				    5 * TIMEOUT_MS, ++s.cookie), 0);
	finish(&c);
	CHECK_EQ(c.reply.error, 0);
	report = next_report(&s);
	CHECK_EQ(report.id, s.cookie);
	CHECK_EQ(report.error, ETIMEDOUT);
	close_client(&c);
	close_session(&s);
}

static void other_links_go_on(void)
{
	struct session s, beside;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_session_on(s.pump, &beside, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	CHECK_EQ(call_and_wait(&beside, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	finish(&c);
	CHECK_EQ(c.reply.error, 0);
	CHECK_EQ(call_and_wait(&beside, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_client(&c);
	close_session(&s);
}

static void other_clients_are_served(void)
{
	struct session s, beside;
	struct client c, other;
	struct gb_request_fds fds;
	uint64_t bits = 0;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_session_on(s.pump, &beside, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	open_client(&other, &beside, 4, LONG_MS);
	open_line(&beside, 5, GB_LINE_OUTPUT, 0, &fds);
	begin_to_lead(&c);
	CHECK_EQ(do_operation(&other, GB_OPERATION_GET, 0), 0);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 1, &bits), 0);
	finish(&c);
	CHECK_EQ(c.reply.error, 0);
	close_fds(&fds);
	close_client(&other);
	close_client(&c);
	close_session(&s);
}

static void the_descriptor_works_beside(void)
{
	struct session s;
	struct client c;
	uint64_t bits = 1;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(operate(&c.fds, GB_OPERATION_SET, 1, &bits), 0);
		CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), 0);
	}
	begin_to_lead(&c);
	/* One at a time: this one waits for its turn in the descriptor. */
	CHECK_EQ(send(c.fds.operation, &c.operation, sizeof(c.operation), 0),
		 sizeof(c.operation));
	finish(&c);
	CHECK_EQ(recv(c.fds.operation, &c.reply, sizeof(c.reply), 0), sizeof(c.reply));
	CHECK_EQ(c.reply.error, 0);
	close_client(&c);
	close_session(&s);
}

static void on_signal(int number)
{
	(void)number;
}

static void a_signal_does_not_end_the_wait(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct session s;
	struct client c;

	sigaction(SIGUSR1, &action, NULL);
	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	for (int i = 0; i < 20; i++)
		pthread_kill(c.thread, SIGUSR1);
	wait_until(&s, is_led);
	finish(&c);
	CHECK_EQ(c.reply.error, 0);
	close_client(&c);
	close_session(&s);
}

/* ---- the end ------------------------------------------------------------------ */

static void a_link_that_dies_ends_the_wait(void)
{
	struct session s;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	gb_lock(s.pump);
	gb_link_die(&s.core->link, ECONNRESET);
	gb_unlock(s.pump);
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.reply.error, ENODEV);
	CHECK_EQ(c.reply.reason, GB_REASON_LINK);
	CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), ENODEV);
	close_client(&c);
	close_session(&s);
}

static void a_link_that_is_closed_ends_the_wait(void)
{
	struct session s, beside;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_session_on(s.pump, &beside, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	gb_link_close(&s.core->link);
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.reply.error, ENODEV);
	CHECK_EQ(call_and_wait(&beside, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_client(&c);
	close_session(&s);
}

static void a_request_that_is_closed_ends_the_wait(void)
{
	struct session s;
	struct client c;

	open_session(&s, RPMSG_GPIO_F_TAG);
	open_client(&c, &s, 3, LONG_MS);
	begin_to_lead(&c);
	gb_request_close(c.request);
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.reply.error, ENODEV);
	CHECK_EQ(c.reply.reason, GB_REASON_RELEASED);
	let_replies_go(&s);
	CHECK_EQ(do_operation(&c, GB_OPERATION_GET, 0), ENODEV);
	CHECK(gb_direct_open(s.pump, c.fds.operation) == NULL);
	CHECK_EQ(errno, ENODEV);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, 0, 0).error, 0);
	close_client(&c);
	close_session(&s);
}

/* ---- all at once --------------------------------------------------------------- */

static void *operate_again_and_again(void *argument)
{
	struct client *c = argument;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t bit = i & 1;

		if (do_operation(c, GB_OPERATION_SET, bit) ||
		    do_operation(c, GB_OPERATION_GET, 0) || c->reply.bits != bit) {
			c->reply.error = c->reply.error ? c->reply.error : EPROTO;
			break;
		}
	}
	return NULL;
}

static void many_threads_and_the_service(void)
{
	struct client clients[THREADS];
	struct session s;

	open_session(&s, RPMSG_GPIO_F_TAG);
	for (uint16_t i = 0; i < THREADS; i++)
		open_client(&clients[i], &s, i, LONG_MS);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&clients[i].thread, NULL, operate_again_and_again,
					&clients[i]), 0);
	for (int i = 0; i < ROUNDS / 4; i++)
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_GET_VALUE, THREADS, 0).error, 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(clients[i].thread, NULL);
		CHECK_EQ(clients[i].reply.error, 0);
		close_client(&clients[i]);
	}
	close_session(&s);
}

int main(void)
{
	RUN(sets_and_gets);
	RUN(what_is_refused_at_once_is_answered);
	RUN(a_descriptor_of_something_else_is_none);
	RUN(a_lost_reply_ends_at_the_deadline);
	RUN(deadlines_of_others_are_kept);
	RUN(deadlines_of_others_are_kept_afterwards);
	RUN(other_links_go_on);
	RUN(other_clients_are_served);
	RUN(the_descriptor_works_beside);
	RUN(a_signal_does_not_end_the_wait);
	RUN(a_link_that_dies_ends_the_wait);
	RUN(a_link_that_is_closed_ends_the_wait);
	RUN(a_request_that_is_closed_ends_the_wait);
	RUN(many_threads_and_the_service);
	return check_report();
}
