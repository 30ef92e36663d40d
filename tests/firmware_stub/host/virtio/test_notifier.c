/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals to a peer that shares the descriptor and wants us to wait: nobody does. */
#define _GNU_SOURCE
#include "virtio/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fds.h"
#include "slow_close.h"

/* What hangs is killed then: no test takes so long. */
#define HANG_S     20u
#define DEADLINE_MS 10000

/* A notifier as it is here, and the descriptor that the peer has. */
static int open_eventfd(struct notifier *notifier)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	CHECK_EQ(notifier_open(notifier, fd), 0);
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int open_pipe(struct notifier *notifier)
{
	int ends[2];

	CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(notifier_open(notifier, ends[1]), 0);
	return ends[0];
}

static int open_socket(struct notifier *notifier)
{
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	CHECK_EQ(notifier_open(notifier, ends[1]), 0);
	return ends[0];
}

/* As a peer does that wants us to hang. */
static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;

	CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, &most, sizeof(most)) > 0)
		continue;
	CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}

static bool comes(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, DEADLINE_MS) == 1;
}

static uint64_t take(int fd)
{
	uint64_t value = 0;

	CHECK(comes(fd));
	CHECK_EQ(read(fd, &value, sizeof(value)), sizeof(value));
	return value;
}

static void an_eventfd_counts(void)
{
	struct notifier notifier;
	int peer = open_eventfd(&notifier);

	for (int i = 0; i < 1000; i++)
		notifier_signal(&notifier);
	CHECK_EQ(take(peer), 1000);
	notifier_signal(&notifier);
	CHECK_EQ(take(peer), 1);
	notifier_close(&notifier);
	close(peer);
}

/* As many as an eventfd has. */
static void others_get_eight_bytes(void)
{
	int (*const others[])(struct notifier *notifier) = {open_pipe, open_socket};

	for (int other = 0; other < 2; other++) {
		struct notifier notifier;
		int peer = others[other](&notifier);

		for (int i = 0; i < 1000; i++) {
			notifier_signal(&notifier);
			CHECK_EQ(take(peer), 1);
		}
		notifier_close(&notifier);
		close(peer);
	}
}

static void a_full_one_keeps_nobody_waiting(void)
{
	int (*const kinds[])(struct notifier *notifier) = {open_eventfd, open_pipe, open_socket};

	alarm(HANG_S);
	for (int kind = 0; kind < 3; kind++) {
		struct notifier notifier;
		int peer = kinds[kind](&notifier);

		fill(notifier.fd);
		notifier_signal(&notifier);
		notifier_signal(&notifier);
		notifier_close(&notifier);
		close(peer);
	}
	alarm(0);
}

static void without_a_descriptor_nothing_happens(void)
{
	struct notifier notifier;

	notifier_init(&notifier);
	notifier_signal(&notifier);
	notifier_close(&notifier);
}

/* ---- a kernel without the calls ----------------------------------------------------- */

static unsigned int threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	unsigned int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static bool threads_come_to_be(unsigned int count)
{
	for (int ms = 0; threads() != count && ms < DEADLINE_MS; ms++)
		poll(NULL, 0, 1);
	return threads() == count;
}

static void forbid(unsigned int first, unsigned int second)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void signals_come_and_none_blocks(int (*open_notifier)(struct notifier *notifier))
{
	unsigned int before = threads();
	struct notifier notifier;
	int peer = open_notifier(&notifier);

	for (int i = 0; i < 100; i++) {
		notifier_signal(&notifier);
		CHECK(take(peer) >= 1);
	}
	fill(notifier.fd);
	for (int i = 0; i < 100; i++)
		notifier_signal(&notifier); /* its thread blocks, and we do not */
	CHECK_EQ(threads(), before + 1);
	notifier_close(&notifier);
	CHECK(threads_come_to_be(before));
	close(peer);
}

static void a_thread_ends_that_has_nothing_to_do(void)
{
	unsigned int before = threads();

	for (int i = 0; i < 100; i++) {
		struct notifier notifier;
		int peer = open_eventfd(&notifier);

		notifier_signal(&notifier);
		if (i % 2)
			take(peer);
		notifier_close(&notifier);
		close(peer);
	}
	CHECK(threads_come_to_be(before));
}

/* In a process of its own: what is forbidden stays so. */
static void a_thread_helps_where_the_kernel_cannot(void)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		int fds = open_fds();

		alarm(HANG_S);
		forbid(SYS_io_setup, SYS_vmsplice);
		signals_come_and_none_blocks(open_eventfd);
		signals_come_and_none_blocks(open_pipe);
		a_thread_ends_that_has_nothing_to_do();
		CHECK_EQ(open_fds(), fds);
		fflush(stdout);
		_exit(check_bad);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

/* ---- what a peer passes ---------------------------------------------------------------- */

static void only_what_cannot_make_us_wait_is_taken(void)
{
	int ends[2], file = open("/dev/null", O_RDWR | O_CLOEXEC);
	int memory = memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC);
	int epoll = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct notifier notifier;

	CHECK_EQ(peer_fd_kind(file), PEER_FD_OTHER);
	CHECK_EQ(peer_fd_kind(epoll), PEER_FD_OTHER);
	CHECK_EQ(peer_fd_kind(udp), PEER_FD_OTHER);
	CHECK_EQ(peer_fd_kind(-1), PEER_FD_OTHER);
	CHECK_EQ(peer_fd_kind(memory), PEER_FD_MEMORY);
	CHECK_EQ(peer_fd_kind(event), PEER_FD_EVENTFD);
	CHECK_EQ(notifier_open(&notifier, file), -EINVAL);
	CHECK_EQ(notifier_open(&notifier, epoll), -EINVAL);
	CHECK_EQ(notifier_open(&notifier, memory), -EINVAL);
	close(file);
	close(memory);
	close(epoll);
	close(event);
	close(udp);
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(peer_fd_kind(ends[0]), PEER_FD_PIPE);
	CHECK_EQ(notifier_open(&notifier, ends[0]), -EINVAL); /* the end to read */
	close(ends[0]);
	close(ends[1]);
}

static void a_descriptor_that_is_slow_to_close_keeps_nobody_waiting(void)
{
	unsigned int before = threads();
	int fds = open_fds();
	struct slow_close slow = make_slow_close();

	alarm(HANG_S);
	peer_fd_close(slow.fd);
	CHECK_EQ(threads(), before + 1); /* its thread waits */
	let_close(&slow);
	CHECK(threads_come_to_be(before));
	CHECK_EQ(open_fds(), fds);
	alarm(0);
}

int main(void)
{
	RUN(a_thread_helps_where_the_kernel_cannot); /* before others set up what they need */
	RUN(an_eventfd_counts);
	RUN(others_get_eight_bytes);
	RUN(a_full_one_keeps_nobody_waiting);
	RUN(without_a_descriptor_nothing_happens);
	RUN(only_what_cannot_make_us_wait_is_taken);
	RUN(a_descriptor_that_is_slow_to_close_keeps_nobody_waiting);
	return check_report();
}
