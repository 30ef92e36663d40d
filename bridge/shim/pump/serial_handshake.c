/* SPDX-License-Identifier: BSD-3-Clause */
/* serial_handshake.c - makes a port raw, and says HELLO until its WELCOME comes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "serial_internal.h"

#define HELLO_MS 100u
#define HELLO_AGAIN_MS 10u /* after a RESET: the firmware just came up */

struct handshake {
	struct serial_link *link;
	const char *name;
	uint64_t deadline, hello_at;
	char *why;
	size_t why_size;
};

static int __attribute__((format(printf, 3, 4)))
give_up(const struct handshake *hs, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hs->why, hs->why_size, format, args);
	va_end(args);
	return error;
}

/* Every byte as it is, and a read() of 0 means that the port is gone. */
static int make_raw(const struct handshake *hs, int fd)
{
	struct termios termios;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return give_up(hs, -errno, "%s: %s", hs->name, strerror(errno));
	if (!isatty(fd))
		return 0;
	if (tcgetattr(fd, &termios) < 0)
		return give_up(hs, -errno, "%s: %s", hs->name, strerror(errno));
	cfmakeraw(&termios);
	termios.c_cflag |= CREAD | CLOCAL;
	termios.c_cc[VMIN] = 1;
	termios.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSANOW, &termios) < 0)
		return give_up(hs, -errno, "%s: cannot be made raw: %s", hs->name,
			       strerror(errno));
	return 0;
}

static int unfit_answer(const struct handshake *hs)
{
	const struct serial_link *link = hs->link;

	if (link->peer_version != RPMSG_GPIO_SERIAL_VERSION)
		return give_up(hs, -EPROTONOSUPPORT,
			       "%s: the firmware speaks version %u of the serial framing, not %u",
			       hs->name, link->peer_version, RPMSG_GPIO_SERIAL_VERSION);
	return give_up(hs, -EPROTO, "%s: the firmware takes messages of %u bytes, too short for "
		       "requests: %u are the least", hs->name, link->session.peer_mru, MRU_LEAST);
}

static int no_answer(const struct handshake *hs)
{
	const struct serial_link *link = hs->link;
	char rate[64] = "";

	if (link->welcome_refused)
		return unfit_answer(hs);
	if (link->options.bit_rate)
		snprintf(rate, sizeof(rate), ", at the baud rate of this side, %u",
			 (unsigned int)link->options.bit_rate);
	if (link->counters.damaged && !link->counters.received)
		return give_up(hs, -ETIMEDOUT,
			       "%s: bytes come in but make no frames; does the firmware speak the "
			       "serial framing%s?", hs->name, rate);
	return give_up(hs, -ETIMEDOUT, "%s: no firmware answers; does it run, and speak the "
		       "serial framing%s?", hs->name, rate);
}

/* Read byte by byte: the bytes that follow the WELCOME are for the pump. */
static int listen_for_welcome(struct handshake *hs)
{
	struct serial_link *link = hs->link;
	uint64_t now;

	/* It never goes on past the next HELLO: garbage may flow for ever. */
	while (!link->session.up && !link->welcome_refused && (now = gb_now_ns()) < hs->deadline &&
	       now < hs->hello_at) {
		uint8_t byte;
		ssize_t count = read(link->base.fds[0], &byte, 1);

		if (count == 1) {
			gb_serial_take(link, byte);
			if (!link->reset_seen)
				continue;
			link->reset_seen = false;
			if (hs->hello_at > now + HELLO_AGAIN_MS * NS_PER_MS)
				hs->hello_at = now + HELLO_AGAIN_MS * NS_PER_MS;
			continue;
		}
		return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ENODEV;
	}
	return 0;
}

static int wait_for_bytes(const struct handshake *hs, uint64_t now)
{
	const struct serial_link *link = hs->link;
	uint64_t until = hs->hello_at < hs->deadline ? hs->hello_at : hs->deadline;
	struct pollfd poller = {.fd = link->base.fds[0], .events = POLLIN};

	if (link->room_at) /* POLLOUT would come at once, and mean nothing */
		until = link->room_at < until ? link->room_at : until;
	else if (link->out_end)
		poller.events |= POLLOUT;
	if (until <= now)
		return 0;
	poll(&poller, 1, (int)((until - now) / NS_PER_MS) + 1);
	return poller.revents & (POLLHUP | POLLERR) && !(poller.revents & POLLIN) ? -ENODEV : 0;
}

static int shake_hands(struct handshake *hs)
{
	struct serial_link *link = hs->link;
	uint64_t interval = HELLO_MS * NS_PER_MS + 128 * link->session.byte_us * NS_PER_US;
	uint64_t now;
	int ret = 0;

	while (ret == 0 && !link->session.up && !link->welcome_refused &&
	       (now = gb_now_ns()) < hs->deadline) {
		if (now >= hs->hello_at) {
			hs->hello_at = now + interval;
			if (!link->out_end)
				gb_serial_put_hello(link);
		}
		link->room_at = 0;
		ret = gb_serial_write_out(link);
		if (ret >= 0)
			ret = wait_for_bytes(hs, now);
		if (ret == 0)
			ret = listen_for_welcome(hs);
	}
	if (ret < 0)
		return give_up(hs, -ENODEV, "%s: the other end of the serial line is gone",
			       hs->name);
	return link->session.up ? 0 : no_answer(hs);
}

static int fail(int fd, struct serial_link *link, int error)
{
	free(link);
	close(fd);
	errno = -error;
	return error;
}

struct gb_link *gb_serial_attach(int fd, const char *name,
				 const struct gb_serial_options *options, int timeout_ms,
				 char *why, size_t why_size)
{
	struct handshake hs = {
		.link = gb_serial_new(fd, options),
		.name = name,
		.deadline = gb_now_ns() + (uint64_t)timeout_ms * NS_PER_MS,
		.why = why,
		.why_size = why_size,
	};
	int ret;

	if (!hs.link) {
		give_up(&hs, -ENOMEM, "%s: out of memory", name);
		fail(fd, NULL, -ENOMEM);
		return NULL;
	}
	ret = make_raw(&hs, fd);
	if (ret == 0)
		ret = shake_hands(&hs);
	if (ret == 0)
		return &hs.link->base;
	tcflush(fd, TCOFLUSH);
	fail(fd, hs.link, ret);
	return NULL;
}
