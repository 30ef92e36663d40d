/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "peer_fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* No file of a file system has such a name: their paths begin with '/'. */
static bool is_eventfd(int fd)
{
	static const char eventfd[] = "anon_inode:[eventfd]";
	char path[40], name[sizeof(eventfd)];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, name, sizeof(name));
	return length == (ssize_t)sizeof(eventfd) - 1 && !memcmp(name, eventfd, sizeof(eventfd) - 1);
}

static bool is_unix_socket(int fd)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) && domain == AF_UNIX;
}

/* The kernel itself answers each question, and no file system. */
enum peer_fd_kind peer_fd_kind(int fd)
{
	if (is_eventfd(fd))
		return PEER_FD_EVENTFD;
	if (fcntl(fd, F_GETPIPE_SZ) >= 0)
		return PEER_FD_PIPE;
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return PEER_FD_MEMORY;
	return is_unix_socket(fd) ? PEER_FD_SOCKET : PEER_FD_OTHER;
}

bool peer_fd_polls(int fd)
{
	enum peer_fd_kind kind = peer_fd_kind(fd);

	return kind == PEER_FD_EVENTFD || kind == PEER_FD_PIPE || kind == PEER_FD_SOCKET;
}

static atomic_uint closes; /* under way */

bool peer_fd_welcome(void)
{
	return atomic_load(&closes) < PEER_FD_CLOSES_MAX;
}

static void *close_one(void *argument)
{
	close((int)(intptr_t)argument);
	atomic_fetch_sub(&closes, 1);
	return NULL;
}

static void close_apart(int fd)
{
	sigset_t all, before;
	pthread_attr_t detached;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&closes, 1);
	/* Without a thread the descriptor stays open, which is better than a wait without end. */
	if (pthread_create(&thread, &detached, close_one, (void *)(intptr_t)fd))
		atomic_fetch_sub(&closes, 1);
	pthread_attr_destroy(&detached);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void peer_fd_close(int fd)
{
	if (fd < 0)
		return;
	if (peer_fd_kind(fd) == PEER_FD_OTHER)
		close_apart(fd);
	else
		close(fd);
}
