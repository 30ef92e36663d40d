/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "floor.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump/operation.h"

struct setup {
	int client, relay;  /* socket pair */
	int to_peer, back;  /* eventfds */
};

static void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void run_peer(const struct setup *s)
{
	uint64_t count;

	die_with_parent();
	while (read(s->to_peer, &count, sizeof(count)) == sizeof(count)) {
		count = 1;
		if (write(s->back, &count, sizeof(count)) != sizeof(count))
			break;
	}
	_exit(0);
}

static void watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.fd = fd}};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		_exit(1);
}

static void run_relay(const struct setup *s)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[4];
	struct gb_operation operation;
	uint64_t one = 1;

	die_with_parent();
	close(s->client);
	watch(epoll_fd, s->relay, EPOLLIN);
	watch(epoll_fd, s->back, EPOLLIN | EPOLLET); /* spares the read */
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 4, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == s->back) {
				if (send(s->relay, &operation, sizeof(operation), MSG_NOSIGNAL) < 0)
					_exit(0);
			} else if (recv(s->relay, &operation, sizeof(operation), 0) <= 0) {
				_exit(0);
			} else if (write(s->to_peer, &one, sizeof(one)) < 0) {
				_exit(1);
			}
		}
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int run_client(const struct setup *s, uint32_t rounds, uint32_t *samples_ns)
{
	struct gb_operation operation = {.code = GB_OPERATION_GET, .mask = 1};

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t start = now_ns();

		if (send(s->client, &operation, sizeof(operation), MSG_NOSIGNAL) < 0)
			return -errno;
		if (recv(s->client, &operation, sizeof(operation), 0) <= 0)
			return -ETIMEDOUT;
		samples_ns[i] = (uint32_t)(now_ns() - start);
	}
	return 0;
}

static void reap(pid_t child)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static int open_setup(struct setup *s, int ends[2])
{
	struct timeval deadline = {.tv_sec = 5};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	s->client = ends[0];
	s->relay = ends[1];
	s->to_peer = eventfd(0, EFD_CLOEXEC);
	s->back = eventfd(0, EFD_CLOEXEC);
	if (s->to_peer < 0 || s->back < 0 ||
	    setsockopt(s->client, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0)
		return -errno;
	return 0;
}

int gb_bench_floor(uint32_t rounds, uint32_t *samples_ns)
{
	struct setup s = {-1, -1, -1, -1};
	int ends[2] = {-1, -1};
	pid_t peer = -1, relay = -1;
	int error = open_setup(&s, ends);

	if (!error && (peer = fork()) == 0)
		run_peer(&s);
	if (!error && peer > 0 && (relay = fork()) == 0)
		run_relay(&s);
	if (!error)
		error = peer < 0 || relay < 0 ? -EAGAIN : run_client(&s, rounds, samples_ns);
	reap(relay);
	reap(peer);
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	if (s.to_peer >= 0)
		close(s.to_peer);
	if (s.back >= 0)
		close(s.back);
	return error;
}
