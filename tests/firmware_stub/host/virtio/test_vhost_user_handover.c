/* SPDX-License-Identifier: BSD-3-Clause */
/* A session saved and loaded over real sockets, and states that were tampered with. */
#define _GNU_SOURCE
#include "virtio/vhost_user_handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fds.h"
#include "traced.h"

#define SIZE    65536u
#define GUEST   UINT64_C(0x40000000)
#define USER    UINT64_C(0x700000000000)
#define NUM     16u
#define BASE    7u
#define STATES  20000u

static int watch(void *context, int fd)
{
	(void)context;
	(void)fd;
	return 0;
}

static void ignore_fd(void *context, int fd)
{
	(void)context;
	(void)fd;
}

static unsigned int resets;

static void reset(void *context)
{
	(void)context;
	resets++;
}

static void ignore(void *context)
{
	(void)context;
}

static void ignore_why(void *context, const char *why)
{
	(void)context;
	(void)why;
}

static const struct vhost_user_session_ops ops = {
	.features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
		    VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES),
	.protocol_features = VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			     VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
	.watch_kick = watch,
	.unwatch_kick = ignore_fd,
	.reset = reset,
	.applied = ignore,
	.refused = ignore_why,
};

static struct vhost_user_session before, after;
static int front[2];  /* the front-end's end, and the back-end's */
static int state[2];  /* written by `before`, read by `after` */

static void open_pair(int pair[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void set_up(void)
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, front), 0);
	open_pair(state);
	vhost_user_session_init(&before, &ops, NULL);
	vhost_user_session_init(&after, &ops, NULL);
	vhost_user_session_start(&before, dup(front[1]));
	vhost_user_session_start(&after, dup(front[1]));
	resets = 0;
}

static void tear_down(void)
{
	vhost_user_session_end(&before);
	vhost_user_session_end(&after);
	for (int i = 0; i < 2; i++) {
		close(front[i]);
		close(state[i]);
	}
}

/* ---- a front-end ----------------------------------------------------------------- */

static void say(const struct vhost_user_message *message)
{
	CHECK_EQ(vhost_user_send(front[0], message, 0), 0);
	CHECK_EQ(vhost_user_session_receive(&before), 1);
}

static void say_u64(uint32_t request, uint64_t value, int fd)
{
	struct vhost_user_message message = {
		.header = {request, VHOST_USER_VERSION, 8},
		.payload.u64 = value, .fds = {fd}, .fd_count = fd >= 0,
	};

	say(&message);
}

static void say_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_message message = {
		.header = {request, VHOST_USER_VERSION, 8},
		.payload.state = {index, num},
	};

	say(&message);
}

static void share_memory(void)
{
	struct vhost_user_message message = {
		.header = {VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 40},
		.payload.table = {.count = 1, .regions = {{GUEST, SIZE, USER, 0}}},
		.fds = {memfd_create("guest", MFD_CLOEXEC)}, .fd_count = 1,
	};

	CHECK_EQ(ftruncate(message.fds[0], SIZE), 0);
	say(&message);
	close(message.fds[0]);
}

static void start_ring(uint32_t index)
{
	uint64_t at = USER + index * 0x4000;
	struct vhost_user_message message = {
		.header = {VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, 40},
		.payload.addr = {.index = index, .desc = at, .avail = at + 0x1000,
				 .used = at + 0x2000},
	};
	int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);

	say_state(VHOST_USER_SET_VRING_NUM, index, NUM);
	say_state(VHOST_USER_SET_VRING_BASE, index, BASE + index);
	say(&message);
	say_u64(VHOST_USER_SET_VRING_CALL, index, call);
	say_state(VHOST_USER_SET_VRING_ENABLE, index, 1);
	say_u64(VHOST_USER_SET_VRING_KICK, index, kick);
	close(kick);
	close(call);
}

static void run_both_rings(void)
{
	int request_fd = eventfd(0, EFD_CLOEXEC);
	struct vhost_user_message message = {
		.header = {VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, 0},
		.fds = {request_fd}, .fd_count = 1,
	};

	say_u64(VHOST_USER_SET_FEATURES, ops.features, -1);
	say(&message);
	close(request_fd);
	share_memory();
	start_ring(0);
	start_ring(1);
	CHECK(vhost_user_session_running(&before));
}

/* ---- tests -------------------------------------------------------------------------- */

static void same_ring(int index)
{
	const struct vhost_user_ring *was = &before.rings[index], *is = &after.rings[index];

	CHECK(is->running);
	CHECK_EQ(is->num, was->num);
	CHECK_EQ(is->addr.desc, was->addr.desc);
	CHECK_EQ(is->addr.used, was->addr.used);
	CHECK_EQ(is->device.last_avail, was->device.last_avail);
	CHECK(is->kick >= 0 && is->call.fd >= 0);
}

static void a_running_session_goes_on(void)
{
	set_up();
	run_both_rings();
	before.rings[0].device.last_avail += 5;
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	resets = 0;
	CHECK_EQ(vhost_user_session_load(&after, state[1]), 0);
	CHECK_EQ(after.features, before.features);
	CHECK_EQ(after.memory.count, 1);
	CHECK(after.request_fd >= 0);
	same_ring(0);
	same_ring(1);
	CHECK_EQ(resets, 0);
	tear_down();
}

/* At 0 a driver begins, but not this one: it went round. */
static void the_log_of_what_is_in_flight_goes_with_it(void)
{
	struct vhost_user_message log = {
		.header = {VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_VERSION, VHOST_USER_INFLIGHT_SIZE},
		.payload.inflight = {.num_queues = 2, .queue_size = NUM},
	};
	struct vhost_user_receiver answer = {0};

	set_up();
	say(&log);
	CHECK_EQ(vhost_user_receive(front[0], &answer), 1);
	CHECK_EQ(answer.message.fd_count, 1);
	CHECK_EQ(answer.message.header.size, VHOST_USER_INFLIGHT_SIZE);
	answer.message.header.request = VHOST_USER_SET_INFLIGHT_FD;
	answer.message.header.flags = VHOST_USER_VERSION;
	say(&answer.message);
	vhost_user_close_fds(&answer.message);
	run_both_rings();
	CHECK(before.rings[0].device.log && before.rings[1].device.log);
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	CHECK_EQ(vhost_user_session_load(&after, state[1]), 0);
	same_ring(0);
	same_ring(1);
	CHECK(after.rings[0].device.log && after.rings[1].device.log);
	tear_down();
}

static void load(void)
{
	vhost_user_session_load(&after, state[1]);
}

static bool killed_behind(unsigned int stops)
{
	pid_t child = traced(load);

	while (stops--)
		if (!traced_goes_on(child, PTRACE_SYSCALL))
			return false;
	traced_kill(child);
	return true;
}

/* Whatever system call a process is killed at that loads the session, the next one finds it. */
static void a_process_that_is_killed_while_it_loads_leaves_it_all(void)
{
	unsigned int stops = 0;

	set_up();
	run_both_rings();
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	while (killed_behind(stops)) {
		stops++;
		load();
		CHECK(after.request_fd >= 0);
		same_ring(0);
		same_ring(1);
		if (check_bad)
			break;
		vhost_user_session_end(&after);
		vhost_user_session_start(&after, dup(front[1]));
	}
	CHECK(stops > 50);
	tear_down();
}

static void an_index_of_0_is_no_beginning(void)
{
	set_up();
	run_both_rings();
	before.rings[0].device.last_avail = 0;
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	resets = 0;
	CHECK_EQ(vhost_user_session_load(&after, state[1]), 0);
	CHECK_EQ(resets, 0);
	CHECK_EQ(after.rings[0].device.last_avail, 0);
	tear_down();
}

/* ---- a driver that begins, and one that goes on ---------------------------------- */

static struct split_ring_used *used_ring(void)
{
	return before.rings[0].device.ring.used;
}

/* After so many requests, the front-end stops the ring and starts it where it was, with
 * a driver that begins or with the one that was there. */
static void stop_and_start_at(uint16_t base, bool anew)
{
	for (unsigned int i = 0; i < NUM; i++)
		used_ring()->ring[i].len = 2;
	before.rings[0].device.last_avail = base;
	if (anew)
		memset(used_ring(), 0, split_ring_used_size(NUM));
	resets = 0;
	/* as GET_VRING_BASE leaves it, without the answer */
	say_state(VHOST_USER_SET_VRING_ENABLE, 0, 0);
	say_state(VHOST_USER_SET_VRING_BASE, 0, base);
	say_state(VHOST_USER_SET_VRING_ENABLE, 0, 1);
	CHECK(before.rings[0].running);
}

/* The index of either is 0 after 65,536 requests: the ring tells. */
static void at_0_the_ring_tells_who_begins(void)
{
	set_up();
	run_both_rings();
	stop_and_start_at(0, false);
	CHECK_EQ(resets, 0);
	stop_and_start_at(0, true);
	CHECK_EQ(resets, 1);
	stop_and_start_at(9, false);
	CHECK_EQ(resets, 0);
	tear_down();
}

static void a_session_that_has_said_little_goes_on(void)
{
	set_up();
	say_u64(VHOST_USER_SET_FEATURES, ops.features, -1);
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	CHECK_EQ(vhost_user_session_load(&after, state[1]), 0);
	CHECK_EQ(after.features, ops.features);
	CHECK_EQ(after.memory.count, 0);
	CHECK(!after.rings[0].running && !after.rings[1].running);
	tear_down();
}

static void half_a_message_stays_where_it_is(void)
{
	set_up();
	CHECK_EQ(write(front[0], "\2\0\0\0", 4), 4);
	CHECK_EQ(vhost_user_session_receive(&before), 0);
	CHECK_EQ(vhost_user_session_save(&before, state[0]), -EBUSY);
	tear_down();
}

static void a_socket_without_room_is_an_error(void)
{
	char fill[4096] = {0};

	set_up();
	run_both_rings();
	while (write(state[0], fill, sizeof(fill)) > 0)
		;
	CHECK_EQ(vhost_user_session_save(&before, state[0]), -EAGAIN);
	tear_down();
}

static void sessions_own_what_they_loaded(void)
{
	int count = open_fds();

	set_up();
	run_both_rings();
	share_memory(); /* again: the table before is let go */
	CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
	CHECK_EQ(vhost_user_session_load(&after, state[1]), 0);
	tear_down();
	CHECK_EQ(open_fds(), count);
}

/* Bytes change, descriptors stay; what comes of it is a session, or a sentence. */
static void tampered_states_end_in_a_sentence(void)
{
	int count = open_fds();
	unsigned int refused = 0;

	srandom(1);
	for (unsigned int i = 0; i < STATES; i++) {
		struct vhost_user_receiver receiver = {.peeks = true};
		int tampered[2], first = 0;

		set_up();
		run_both_rings();
		CHECK_EQ(vhost_user_session_save(&before, state[0]), 0);
		open_pair(tampered);
		CHECK_EQ(setsockopt(state[1], SOL_SOCKET, SO_PEEK_OFF, &first, sizeof(first)), 0);
		if (check_bad)
			break;
		while (vhost_user_receive(state[1], &receiver) > 0) {
			unsigned char *bytes = (unsigned char *)&receiver.message.payload;

			if (receiver.message.header.size && random() % 8 == 0)
				bytes[(unsigned long)random() % receiver.message.header.size] ^=
					(unsigned char)(1 << random() % 8);
			if (random() % 16)
				vhost_user_send(tampered[0], &receiver.message, 0);
			vhost_user_close_fds(&receiver.message);
		}
		if (vhost_user_session_load(&after, tampered[1]) < 0) {
			CHECK(after.why[0]);
			refused++;
		}
		close(tampered[0]);
		close(tampered[1]);
		tear_down();
		if (check_bad)
			break;
	}
	CHECK(refused > STATES / 10 && refused < STATES);
	CHECK_EQ(open_fds(), count);
}

/* What signals need for good is open from here on, and counted by no test. */
static void signal_once(void)
{
	struct notifier notifier;

	CHECK_EQ(notifier_open(&notifier, eventfd(0, EFD_CLOEXEC)), 0);
	notifier_signal(&notifier);
	notifier_close(&notifier);
}

int main(void)
{
	signal_once();
	RUN(a_running_session_goes_on);
	RUN(the_log_of_what_is_in_flight_goes_with_it);
	RUN(a_process_that_is_killed_while_it_loads_leaves_it_all);
	RUN(an_index_of_0_is_no_beginning);
	RUN(at_0_the_ring_tells_who_begins);
	RUN(a_session_that_has_said_little_goes_on);
	RUN(half_a_message_stays_where_it_is);
	RUN(a_socket_without_room_is_an_error);
	RUN(sessions_own_what_they_loaded);
	RUN(tampered_states_end_in_a_sentence);
	return check_report();
}
