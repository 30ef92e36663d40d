/* SPDX-License-Identifier: BSD-3-Clause */
/* slow_close.h - a descriptor whose close(2) waits for a minute, or for its peer. */
#ifndef SLOW_CLOSE_H
#define SLOW_CLOSE_H

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

struct slow_close {
	int fd, listener, reader;
};

/* Data is under way that nobody takes. */
static inline struct slow_close make_slow_close(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger linger = {.l_onoff = 1, .l_linger = 60};
	socklen_t length = sizeof(address);
	static char data[1 << 16];
	struct slow_close slow = {
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	};

	CHECK_EQ(bind(slow.listener, (struct sockaddr *)&address, length), 0);
	CHECK_EQ(listen(slow.listener, 1), 0);
	CHECK_EQ(getsockname(slow.listener, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(connect(slow.fd, (struct sockaddr *)&address, length), 0);
	slow.reader = accept4(slow.listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK_EQ(setsockopt(slow.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(slow.fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		continue;
	return slow;
}

/* Its close(2) returns: the peer resets the connection. */
static inline void let_close(struct slow_close *slow)
{
	struct linger now = {.l_onoff = 1};

	CHECK_EQ(setsockopt(slow->reader, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(slow->reader);
	close(slow->listener);
}

#endif
