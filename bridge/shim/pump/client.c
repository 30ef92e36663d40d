/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "reports.h"

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int finish(struct gb_operation_reply *reply, int error)
{
	memset(reply, 0, sizeof(*reply));
	reply->error = error;
	/* A timeout here is not one of the firmware: that one is in an answer. */
	reply->reason = error == ETIMEDOUT ? GB_REASON_NONE : GB_REASON_RELEASED;
	return error;
}

/* EPIPE and ECONNRESET say that the service hung up, which is the kernel's ENODEV; EAGAIN says
 * that the descriptor's own time limit has passed. */
static int meaning(int error)
{
	if (error == EAGAIN)
		return ETIMEDOUT;
	return error == EPIPE || error == ECONNRESET ? ENODEV : error;
}

/* A signal or a stale reply came instead: wait for the rest of the time. */
static bool wait_on(int fd, int64_t deadline_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int64_t left = deadline_ms - now_ms();

	return left > 0 && poll(&poller, 1, (int)left) != 0;
}

int gb_client_operate_body(int fd, uint32_t timeout_ms,
			   const struct gb_operation *operation,
			   const void *body, size_t length,
			   struct gb_operation_reply *reply,
			   void *reply_body, size_t *reply_length)
{
	struct iovec out[2] = {{(void *)operation, sizeof(*operation)}, {(void *)body, length}};
	struct iovec in[2] = {{reply, sizeof(*reply)},
			      {reply_body, reply_length ? *reply_length : 0}};
	struct msghdr send = {.msg_iov = out, .msg_iovlen = length ? 2 : 1};
	struct msghdr receive = {.msg_iov = in, .msg_iovlen = in[1].iov_len ? 2 : 1};
	int64_t deadline = now_ms() + timeout_ms;

	if (sendmsg(fd, &send, MSG_NOSIGNAL) < 0)
		return finish(reply, meaning(errno));
	do {
		/* The socket has time limits of its own (gb_client_prepare()), so
		 * the common case costs one system call. */
		ssize_t got = recvmsg(fd, &receive, 0);

		if (got == 0)
			return finish(reply, ENODEV);
		if (got >= (ssize_t)sizeof(*reply) && reply->sequence == operation->sequence) {
			if (reply_length)
				*reply_length = (size_t)got - sizeof(*reply);
			return reply->error;
		}
		if (got < 0 && errno != EINTR)
			return finish(reply, meaning(errno));
	} while (wait_on(fd, deadline));
	return finish(reply, ETIMEDOUT);
}

int gb_client_operate(int fd, uint32_t timeout_ms, const struct gb_operation *operation,
		      struct gb_operation_reply *reply)
{
	return gb_client_operate_body(fd, timeout_ms, operation, NULL, 0, reply, NULL, NULL);
}

const struct gb_operation *gb_exchange_next(struct gb_exchange *exchange, uint32_t code,
					    uint64_t mask, uint64_t bits)
{
	exchange->operation.code = code;
	exchange->operation.sequence++;
	exchange->operation.mask = mask;
	exchange->operation.bits = bits;
	return &exchange->operation;
}

int gb_client_exchange(int fd, uint32_t timeout_ms, struct gb_exchange *exchange, uint32_t code,
		       uint64_t mask, uint64_t bits)
{
	return gb_client_operate(fd, timeout_ms, gb_exchange_next(exchange, code, mask, bits),
				 &exchange->reply);
}

int gb_client_prepare(int fd, uint32_t timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};

	/* A service that stopped reading lets the socket fill up. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	return 0;
}
