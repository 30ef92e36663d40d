/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_user_handover.h"

#include <errno.h>
#include <sys/socket.h>

/* The first error is the result; what follows it is not sent. */
struct sender {
	int to;
	int error;
};

static void send_message(struct sender *sender, struct vhost_user_message *message)
{
	message->header.flags = VHOST_USER_VERSION;
	if (!sender->error)
		sender->error = vhost_user_send(sender->to, message, 0);
}

static void send_u64(struct sender *sender, uint32_t request, uint64_t value, int fd)
{
	struct vhost_user_message message = {
		.header = {.request = request, .size = sizeof(value)},
		.payload.u64 = value,
		.fds = {fd},
		.fd_count = fd >= 0 ? 1 : 0,
	};

	send_message(sender, &message);
}

static void send_state(struct sender *sender, uint32_t request, int index, uint32_t num)
{
	struct vhost_user_message message = {
		.header = {.request = request, .size = sizeof(message.payload.state)},
		.payload.state = {.index = (uint32_t)index, .num = num},
	};

	send_message(sender, &message);
}

static void send_addr(struct sender *sender, int index, const struct vhost_user_vring_addr *addr)
{
	struct vhost_user_message message = {
		.header = {.request = VHOST_USER_SET_VRING_ADDR, .size = sizeof(*addr)},
		.payload.addr = *addr,
	};

	message.payload.addr.index = (uint32_t)index;
	send_message(sender, &message);
}

static uint16_t next_chain(const struct vhost_user_ring *ring)
{
	return ring->running ? ring->device.last_avail : ring->base;
}

/* The kick comes last, since a ring begins to run with it. */
static void send_ring(struct sender *sender, const struct vhost_user_session *session, int index)
{
	const struct vhost_user_ring *ring = &session->rings[index];

	if (ring->num) {
		send_state(sender, VHOST_USER_SET_VRING_NUM, index, ring->num);
		send_addr(sender, index, &ring->addr);
		send_state(sender, VHOST_USER_SET_VRING_BASE, index, next_chain(ring));
	}
	if (ring->call.fd >= 0)
		send_u64(sender, VHOST_USER_SET_VRING_CALL, (uint64_t)index, ring->call.fd);
	send_state(sender, VHOST_USER_SET_VRING_ENABLE, index, ring->enabled);
	if (ring->started)
		send_u64(sender, VHOST_USER_SET_VRING_KICK, (uint64_t)index, ring->kick);
}

int vhost_user_session_save(const struct vhost_user_session *session, int to)
{
	struct vhost_user_message table = session->table;
	struct vhost_user_message log = session->log.message;
	struct vhost_user_message request_fd = {
		.header.request = VHOST_USER_SET_BACKEND_REQ_FD,
		.fds = {session->request_fd},
		.fd_count = 1,
	};
	struct sender sender = {.to = to};

	if (session->held || session->receiver.got)
		return -EBUSY;
	if (session->features)
		send_u64(&sender, VHOST_USER_SET_FEATURES, session->features, -1);
	if (table.fd_count)
		send_message(&sender, &table);
	if (log.fd_count)
		send_message(&sender, &log);
	if (session->request_fd >= 0)
		send_message(&sender, &request_fd);
	/* Ring 0 comes last, since requests may need what the others hold. */
	for (int i = VHOST_USER_RINGS - 1; i >= 0; i--)
		send_ring(&sender, session, i);
	return sender.error;
}

/* From the first message on, wherever a process that was killed has come to; -1: not at all. */
static int peek_at(int from, int offset)
{
	return setsockopt(from, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

int vhost_user_session_load(struct vhost_user_session *session, int from)
{
	int socket = session->socket, ret;

	if (peek_at(from, 0) < 0)
		return 0; /* it is no Unix socket, and says nothing */
	session->socket = from;
	session->loading = session->receiver.peeks = true;
	do {
		ret = vhost_user_session_receive(session);
	} while (ret > 0);
	session->loading = session->receiver.peeks = false;
	session->socket = socket;
	peek_at(from, -1);
	return ret == -EPROTO ? ret : 0;
}
