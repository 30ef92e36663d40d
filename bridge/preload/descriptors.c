/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs do with descriptors of ours, where a socket differs from the kernel's own. */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define GPIO_MAGIC 0xb4

bool preload_is_socket(int fd)
{
	int type, error = errno;
	socklen_t size = sizeof(type);
	bool found = !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);

	errno = error;
	return found;
}

/* Some libraries have the command in an int, which arrives with its sign. */
static int do_ioctl(int fd, unsigned long command, void *argument,
		    int (*next)(int, unsigned long, ...))
{
	int error = errno, result;

	if (_IOC_TYPE((uint32_t)command) != GPIO_MAGIC || !preload_chip_count())
		return next(fd, command, argument);
	result = preload_ioctl(fd, (uint32_t)command, argument);
	if (!result || errno != ENOTTY)
		return result;
	errno = error;
	return next(fd, command, argument);
}

#define IOCTL(name, command_type) \
	EXPORTED int name(int fd, command_type command, ...) \
	{ \
		va_list list; \
		void *argument; \
		NEXT(int, #name, int, unsigned long, ...); \
		va_start(list, command); \
		argument = va_arg(list, void *); \
		va_end(list); \
		return do_ioctl(fd, (unsigned long)command, argument, next); \
	}

#ifdef __GLIBC__
IOCTL(ioctl, unsigned long)
#if __SIZEOF_POINTER__ == 4
EXPORTED int __ioctl_time64(int fd, unsigned long command, ...);
IOCTL(__ioctl_time64, unsigned long)
#endif
#else
IOCTL(ioctl, int)
#endif

EXPORTED int close(int fd)
{
	NEXT(int, "close", int);

	return preload_close(fd, next);
}

/* ---- read ------------------------------------------------------------------- */

/* Whole records only, as of a character device; false: it is none of ours. */
static bool whole_records(int fd, size_t *size)
{
	const struct preload_chip *chip;
	uint32_t record_size;

	if (!preload_is_ours(fd, &record_size, &chip) || !record_size)
		return false;
	*size -= *size % record_size;
	return true;
}

/* The end of the socket is that of the chip. */
static ssize_t as_a_device(int fd, size_t asked, ssize_t got)
{
	size_t size = 1;

	if ((got == 0 && asked) || (got < 0 && errno == ECONNRESET)) {
		if (!whole_records(fd, &size))
			return got;
		errno = ENODEV;
		return -1;
	}
	return got;
}

static ssize_t do_read(int fd, void *buffer, size_t size, ssize_t (*next)(int, void *, size_t))
{
	if (!preload_maybe_ours(fd) || !whole_records(fd, &size))
		return next(fd, buffer, size);
	if (!size) {
		errno = EINVAL;
		return -1;
	}
	return as_a_device(fd, size, next(fd, buffer, size));
}

EXPORTED ssize_t read(int fd, void *buffer, size_t size)
{
	NEXT(ssize_t, "read", int, void *, size_t);

	return do_read(fd, buffer, size, next);
}

/* With _FORTIFY_SOURCE. */
EXPORTED ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
EXPORTED ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room)
{
	NEXT(ssize_t, "__read_chk", int, void *, size_t, size_t);

	if (!preload_maybe_ours(fd))
		return next(fd, buffer, size, room);
	return read(fd, buffer, size < room ? size : room);
}

/* ---- copies ----------------------------------------------------------------- */

static int copied(int from, int to)
{
	if (to >= 0)
		preload_also_ours(to, preload_maybe_ours(from));
	return to;
}

EXPORTED int dup(int fd)
{
	NEXT(int, "dup", int);

	return copied(fd, next(fd));
}

EXPORTED int dup2(int fd, int other)
{
	NEXT(int, "dup2", int, int);

	return copied(fd, next(fd, other));
}

EXPORTED int dup3(int fd, int other, int flags)
{
	NEXT(int, "dup3", int, int, int);

	return copied(fd, next(fd, other, flags));
}
