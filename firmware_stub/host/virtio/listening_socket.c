/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "listening_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Other processes of ours hold the lock for a moment only. Anybody else who locks the folder
 * keeps nobody from starting, and the caller's event loop waits no longer than this. */
#define TURNS   50
#define TURN_NS 1000000

/* One process at a time: a socket that does not listen yet looks like one that was left behind.
 * Closing the descriptor, -1 or not, ends the turn. */
static int take_turn(const char *path)
{
	const struct timespec pause = {.tv_nsec = TURN_NS};
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) + 1 : 0;
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = ".";
	int fd;

	if (length)
		snprintf(folder, sizeof(folder), "%.*s", (int)length, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < TURNS && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
		nanosleep(&pause, NULL);
	return fd;
}

/* Removes a socket file that a dead process left behind, and nothing else. Returns 0, or -errno
 * with a reason. */
static int remove_stale(const struct sockaddr_un *addr, int type, const char **reason)
{
	struct stat st;
	int fd, error;

	if (lstat(addr->sun_path, &st) < 0) {
		*reason = strerror(errno);
		return errno == ENOENT ? 0 : -errno;
	}
	*reason = "a file that is no socket is there";
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		*reason = strerror(errno);
		return -errno;
	}
	error = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? errno : 0;
	close(fd);
	*reason = "another process listens there";
	if (error == 0 || error == EAGAIN || error == EPROTOTYPE)
		return -EADDRINUSE;
	if (error == ECONNREFUSED)
		error = unlink(addr->sun_path) < 0 ? errno : 0;
	*reason = strerror(error);
	return -error;
}

/* Nobody may connect before the socket has its mode. */
static int bind_with_mode(int fd, const struct sockaddr_un *addr, int backlog, int mode)
{
	int error;

	if (mode >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return -errno;
	if ((mode < 0 || chmod(addr->sun_path, (mode_t)mode) == 0) && listen(fd, backlog) == 0)
		return 0;
	error = -errno;
	unlink(addr->sun_path);
	return error;
}

static int listen_at(const struct sockaddr_un *addr, int type, int backlog, int mode,
		     const char **reason)
{
	int error = remove_stale(addr, type, reason), fd;

	if (error)
		return error;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = fd < 0 ? -errno : bind_with_mode(fd, addr, backlog, mode);
	if (!error)
		return fd;
	*reason = strerror(-error);
	if (fd >= 0)
		close(fd);
	return error;
}

int listening_socket(const char *path, int type, int backlog, int mode, char *why,
		     size_t why_size)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *reason = "the path must have 1 to 107 bytes";
	int turn, fd = -ENAMETOOLONG;

	if (*path && strlen(path) < sizeof(addr.sun_path)) {
		memcpy(addr.sun_path, path, strlen(path));
		turn = take_turn(path);
		fd = listen_at(&addr, type, backlog, mode, &reason);
		if (turn >= 0)
			close(turn);
	}
	if (fd < 0)
		snprintf(why, why_size, "cannot listen at %s: %s", path, reason);
	return fd;
}
