/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user_link.c - vhost-user front-end and virtio-rpmsg driver.
 *
 * The service's side of the shared memory: one memfd with two virtqueues and
 * their buffers. Nothing that the firmware side writes there is trusted.
 */
#define _GNU_SOURCE
#include "vhost_user_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpmsg_gpio.h"
#include "rpmsg.h"
#include "virtio/notifier.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define RING_NUM 256u

/* Of the shared file, most of which is never touched and takes no memory: a back-end that is
 * an emulated MCU has it as its RAM, whose size may be fixed. */
#define MEMORY_FILE_SIZE (16 << 20)

/* Guest and user addresses differ, so that a backend which takes one for the
 * other fails at once and not in front of the first other front-end. */
#define GUEST_OFFSET UINT64_C(0x100000000)

enum { FD_SOCKET, FD_RX_CALL, FD_TX_CALL };

struct vhost_user_link {
	struct gb_link base;
	struct split_driver rings[RPMSG_VQ_COUNT];
	struct split_driver_slot slots[RPMSG_VQ_COUNT][RING_NUM];
	int memory_fd;
	struct notifier kick[RPMSG_VQ_COUNT];
	uint8_t *memory;
	size_t memory_size;
	uint8_t *buffers[RPMSG_VQ_COUNT]; /* RING_NUM of RPMSG_BUFFER_SIZE */
	bool blocked; /* send said -EAGAIN */
};

static struct vhost_user_link *to_link(struct gb_link *base)
{
	return (struct vhost_user_link *)base;
}

static uint8_t *buffer(struct vhost_user_link *link, int ring, uint16_t id)
{
	return link->buffers[ring] + (size_t)id * RPMSG_BUFFER_SIZE;
}

static uint64_t guest_addr(const void *host)
{
	return (uint64_t)(uintptr_t)host + GUEST_OFFSET;
}

/* ---- dead link ----------------------------------------------------------- */

static int dead(struct vhost_user_link *link, int error, const char *why)
{
	snprintf(link->base.why, sizeof(link->base.why), "%s", why);
	return error;
}

static int broken_ring(struct vhost_user_link *link, int ring)
{
	snprintf(link->base.why, sizeof(link->base.why),
		 "the firmware side broke virtqueue %d: %.100s", ring,
		 link->rings[ring].ring.error);
	return -EPROTO;
}

/* ---- firmware -> us ------------------------------------------------------ */

static void post_rx(struct vhost_user_link *link, uint16_t id)
{
	split_driver_add(&link->rings[RPMSG_VQ_RX], id,
			 guest_addr(buffer(link, RPMSG_VQ_RX, id)),
			 RPMSG_BUFFER_SIZE, true);
}

static void deliver_ns(struct vhost_user_link *link, const uint8_t *payload,
		       uint16_t length)
{
	struct rpmsg_ns_msg ns;
	char name[RPMSG_NAME_SIZE];

	if (length != sizeof(ns)) {
		link->base.strays++;
		return;
	}
	memcpy(&ns, payload, sizeof(ns));
	memcpy(name, ns.name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	gb_link_announced(&link->base, name, rpmsg_gpio_load32(ns.addr),
			  !(rpmsg_gpio_load32(ns.flags) & RPMSG_NS_DESTROY));
}

/* `message` is a private copy of `size` bytes. */
static void deliver(struct vhost_user_link *link, const uint8_t *message,
		    uint32_t size)
{
	struct rpmsg_header header;
	uint16_t length;
	uint32_t destination;

	if (size < sizeof(header)) {
		link->base.strays++;
		return;
	}
	memcpy(&header, message, sizeof(header));
	length = rpmsg_gpio_load16(header.len);
	destination = rpmsg_gpio_load32(header.dst);
	if (!rpmsg_payload_fits(&header, size))
		link->base.strays++;
	else if (destination == RPMSG_NS_ADDR)
		deliver_ns(link, message + sizeof(header), length);
	else
		gb_link_received(&link->base, rpmsg_gpio_load32(header.src),
				 destination, message + sizeof(header), length);
}

/*
 * Notifications of received messages are never disabled, so every message
 * that this pass does not see comes with an event of its own. Buffers are
 * shown to the device again at the end: an honest one cannot fill more than
 * RING_NUM meanwhile, and a dishonest one does not keep us here.
 */
static int receive_all(struct vhost_user_link *link)
{
	struct split_driver *rx = &link->rings[RPMSG_VQ_RX];
	uint8_t copy[RPMSG_BUFFER_SIZE];
	uint32_t size;
	uint16_t id;
	unsigned int count;
	int ret = 1;

	for (count = 0; count < RING_NUM; count++) {
		ret = split_driver_pop(rx, &id, &size);
		if (ret <= 0)
			break;
		/* Only the copy is checked and used: the device could change the shared bytes in
		 * between. */
		memcpy(copy, buffer(link, RPMSG_VQ_RX, id), size);
		atomic_signal_fence(memory_order_seq_cst);
		post_rx(link, id);
		deliver(link, copy, size);
	}
	if (ret < 0)
		return broken_ring(link, RPMSG_VQ_RX);
	if (split_driver_publish(rx))
		notifier_signal(&link->kick[RPMSG_VQ_RX]);
	return 0;
}

/* ---- us -> firmware ------------------------------------------------------ */

static int reclaim(struct vhost_user_link *link)
{
	struct split_driver *tx = &link->rings[RPMSG_VQ_TX];
	uint32_t size;
	uint16_t id;
	int ret;

	while ((ret = split_driver_pop(tx, &id, &size)) > 0)
		split_driver_release(tx, id);
	return ret < 0 ? broken_ring(link, RPMSG_VQ_TX) : 0;
}

static void vhost_user_link_flush(struct gb_link *base)
{
	struct vhost_user_link *link = to_link(base);

	if (split_driver_publish(&link->rings[RPMSG_VQ_TX]))
		notifier_signal(&link->kick[RPMSG_VQ_TX]);
}

/* Returns a free TX buffer, -EAGAIN, or the death of the link. */
static int take_tx(struct vhost_user_link *link)
{
	struct split_driver *tx = &link->rings[RPMSG_VQ_TX];
	int ret = reclaim(link);
	int id;

	if (ret < 0)
		return ret;
	id = split_driver_take(tx);
	if (id >= 0)
		return id;
	/* The device can only free what it has been shown. */
	vhost_user_link_flush(&link->base);
	if (split_driver_enable_used(tx)) {
		split_driver_disable_used(tx);
		ret = reclaim(link);
		return ret < 0 ? ret : split_driver_take(tx);
	}
	link->blocked = true;
	return -EAGAIN;
}

static int vhost_user_link_send(struct gb_link *base, uint32_t source,
				uint32_t destination, const void *message,
				uint16_t length)
{
	struct vhost_user_link *link = to_link(base);
	struct rpmsg_header header = rpmsg_header_make(source, destination, length);
	uint8_t *to;
	int id;

	if (length > RPMSG_PAYLOAD_MAX)
		return -EMSGSIZE;
	id = take_tx(link);
	if (id < 0)
		return id;
	to = buffer(link, RPMSG_VQ_TX, (uint16_t)id);
	memcpy(to, &header, sizeof(header));
	if (length)
		memcpy(to + sizeof(header), message, length);
	split_driver_add(&link->rings[RPMSG_VQ_TX], (uint16_t)id, guest_addr(to),
			 RPMSG_HEADER_SIZE + (uint32_t)length, false);
	return 0;
}

static int tx_freed(struct vhost_user_link *link)
{
	int ret;

	if (!link->blocked)
		return 0;
	ret = reclaim(link);
	if (ret < 0)
		return ret;
	if (!split_driver_has_free(&link->rings[RPMSG_VQ_TX]))
		return 0;
	link->blocked = false;
	split_driver_disable_used(&link->rings[RPMSG_VQ_TX]);
	gb_link_writable(&link->base);
	return 0;
}

/* ---- events -------------------------------------------------------------- */

static int socket_ready(struct vhost_user_link *link, uint32_t events)
{
	char byte;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		return dead(link, -ECONNRESET,
			    "the firmware side closed the vhost-user socket");
	if (recv(link->base.fds[FD_SOCKET], &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return dead(link, -EPROTO,
			    "the firmware side sent a vhost-user message nobody asked for");
	return 0;
}

static int vhost_user_link_ready(struct gb_link *base, int index, uint32_t events)
{
	struct vhost_user_link *link = to_link(base);

	switch (index) {
	case FD_SOCKET:
		return socket_ready(link, events);
	case FD_RX_CALL:
		return receive_all(link);
	default:
		return tx_freed(link);
	}
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void vhost_user_link_destroy(struct gb_link *base)
{
	struct vhost_user_link *link = to_link(base);
	int i;

	for (i = 0; i < base->fd_count; i++)
		close_fd(base->fds[i]);
	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		notifier_close(&link->kick[i]);
	close_fd(link->memory_fd);
	if (link->memory)
		munmap(link->memory, link->memory_size);
	free(link);
}

static const struct gb_link_ops vhost_user_link_ops = {
	.name = "vhost-user",
	.send = vhost_user_link_send,
	.flush = vhost_user_link_flush,
	.ready = vhost_user_link_ready,
	.destroy = vhost_user_link_destroy,
};

/* ---- set-up: memory and descriptors --------------------------------------- */

/* The state of one connect. */
struct handshake {
	struct vhost_user_link *link;
	const char *path;
	uint64_t deadline_ns;
	uint64_t features;
	uint64_t protocol_features;
	char *why;
	size_t why_size;
	struct vhost_user_receiver receiver;
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

/* The file is sealed, so that the peer cannot shrink it under us (SIGBUS). */
static int make_memory(struct vhost_user_link *link)
{
	size_t ring = split_driver_size(RING_NUM);
	size_t buffers = (size_t)RING_NUM * RPMSG_BUFFER_SIZE;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (2 * ring + 2 * buffers + page - 1) & ~(page - 1);
	int i;

	link->memory_fd = memfd_create("rpmsg-vrings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (link->memory_fd < 0 || ftruncate(link->memory_fd, MEMORY_FILE_SIZE) < 0 ||
	    fcntl(link->memory_fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	link->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    link->memory_fd, 0);
	if (link->memory == MAP_FAILED) {
		int error = errno;

		link->memory = NULL;
		return -error;
	}
	link->memory_size = size;
	for (i = 0; i < RPMSG_VQ_COUNT; i++) {
		split_driver_init(&link->rings[i], link->memory + (size_t)i * ring,
				  RING_NUM, link->slots[i]);
		link->buffers[i] = link->memory + 2 * ring + (size_t)i * buffers;
	}
	return 0;
}

static int make_calls(struct vhost_user_link *link)
{
	for (int i = FD_RX_CALL; i <= FD_TX_CALL; i++) {
		link->base.fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (link->base.fds[i] < 0)
			return -errno;
	}
	return 0;
}

static int make_kicks(struct vhost_user_link *link)
{
	for (int i = 0; i < RPMSG_VQ_COUNT; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		int error = fd < 0 ? -errno : notifier_open(&link->kick[i], fd);

		if (error && fd >= 0)
			close(fd);
		if (error)
			return error;
	}
	return 0;
}

static void post_buffers(struct vhost_user_link *link)
{
	int id;

	while ((id = split_driver_take(&link->rings[RPMSG_VQ_RX])) >= 0)
		post_rx(link, (uint16_t)id);
	split_driver_publish(&link->rings[RPMSG_VQ_RX]);
	/* Buffers that were sent are collected by the next send. */
	split_driver_disable_used(&link->rings[RPMSG_VQ_TX]);
}

static struct vhost_user_link *new_link(void)
{
	struct vhost_user_link *link = calloc(1, sizeof(*link));
	static const uint32_t events[] = {
		[FD_SOCKET] = EPOLLIN | EPOLLRDHUP,
		[FD_RX_CALL] = EPOLLIN | EPOLLET,
		[FD_TX_CALL] = EPOLLIN | EPOLLET,
	};
	int i;

	if (!link)
		return NULL;
	link->base.ops = &vhost_user_link_ops;
	link->base.fd_count = 3;
	for (i = 0; i < GB_LINK_FDS_MAX; i++)
		link->base.fds[i] = -1;
	memcpy(link->base.events, events, sizeof(events));
	link->memory_fd = -1;
	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		notifier_init(&link->kick[i]);
	return link;
}

/* ---- set-up: the conversation ---------------------------------------------- */

static int connect_socket(struct handshake *hs, int timeout_ms)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	/* One microsecond more: zero would mean no limit. */
	struct timeval limit = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000 + 1,
	};
	int fd, error;

	if (strlen(hs->path) >= sizeof(addr.sun_path))
		return give_up(hs, -ENAMETOOLONG, "the socket path is longer than %zu bytes: %.40s...",
			       sizeof(addr.sun_path) - 1, hs->path);
	memcpy(addr.sun_path, hs->path, strlen(hs->path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return give_up(hs, -errno, "no socket could be made: %s", strerror(errno));
	hs->link->base.fds[FD_SOCKET] = fd;
	/* connect(2) itself waits when the backlog is full, and this bounds it. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	error = errno == EAGAIN || errno == EINTR ? ETIMEDOUT : errno;
	switch (error) {
	case ENOENT:
		return give_up(hs, -error, "there is no socket at %s: is the firmware side running?",
			       hs->path);
	case ECONNREFUSED:
		return give_up(hs, -error, "nobody listens at %s: the firmware side is not running",
			       hs->path);
	case ETIMEDOUT:
		return give_up(hs, -error, "%s did not take the connection within %d ms",
			       hs->path, timeout_ms);
	default:
		return give_up(hs, -error, "%s cannot be connected to: %s", hs->path,
			       strerror(error));
	}
}

static int lost(const struct handshake *hs, int error, uint32_t request)
{
	switch (error) {
	case -ETIMEDOUT:
		return give_up(hs, error,
			       "%s does not answer (vhost-user message %u): it may serve another program",
			       hs->path, request);
	case -ECONNRESET:
	case -EPIPE:
		return give_up(hs, -ECONNRESET, "%s hung up during the handshake (vhost-user message %u)",
			       hs->path, request);
	case -EPROTO:
		return give_up(hs, error, "%s does not speak vhost-user: %s", hs->path,
			       hs->receiver.error);
	default:
		return give_up(hs, error, "vhost-user message %u to %s failed: %s", request,
			       hs->path, strerror(-error));
	}
}

static int reply_to(struct handshake *hs, uint32_t request, uint64_t *value)
{
	struct vhost_user_message *reply = &hs->receiver.message;
	int ret = vhost_user_receive_until(hs->link->base.fds[FD_SOCKET],
					   &hs->receiver, hs->deadline_ns);

	if (ret < 0)
		return lost(hs, ret, request);
	vhost_user_close_fds(reply);
	if (reply->header.request != request ||
	    !(reply->header.flags & VHOST_USER_REPLY) ||
	    reply->header.size != sizeof(reply->payload.u64))
		return give_up(hs, -EPROTO,
			       "%s answers vhost-user message %u with message %u of %u bytes",
			       hs->path, request, reply->header.request,
			       reply->header.size);
	*value = reply->payload.u64;
	return 0;
}

/* Send, and wait for the acknowledgement where the backend gives one. */
static int tell(struct handshake *hs, struct vhost_user_message *message)
{
	uint32_t request = message->header.request;
	bool ack = hs->protocol_features & VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	uint64_t refused = 0;
	int ret;

	message->header.flags = VHOST_USER_VERSION | (ack ? VHOST_USER_NEED_REPLY : 0);
	ret = vhost_user_send(hs->link->base.fds[FD_SOCKET], message, hs->deadline_ns);
	if (ret < 0)
		return lost(hs, ret, request);
	if (ack)
		ret = reply_to(hs, request, &refused);
	if (ret < 0)
		return ret;
	if (refused)
		return give_up(hs, -EPROTO, "%s refuses vhost-user message %u", hs->path,
			       request);
	return 0;
}

static int tell_u64(struct handshake *hs, uint32_t request, uint64_t value)
{
	struct vhost_user_message message = {
		.header = {.request = request, .size = sizeof(value)},
		.payload = {.u64 = value},
	};

	return tell(hs, &message);
}

static int tell_state(struct handshake *hs, uint32_t request, uint32_t index,
		      uint32_t num)
{
	struct vhost_user_message message = {
		.header = {.request = request, .size = sizeof(message.payload.state)},
		.payload = {.state = {.index = index, .num = num}},
	};

	return tell(hs, &message);
}

static int tell_fd(struct handshake *hs, uint32_t request, uint32_t index, int fd)
{
	struct vhost_user_message message = {
		.header = {.request = request, .size = sizeof(uint64_t)},
		.payload = {.u64 = index},
		.fds = {fd},
		.fd_count = 1,
	};

	return tell(hs, &message);
}

static int ask(struct handshake *hs, uint32_t request, uint64_t *value)
{
	struct vhost_user_message message = {
		.header = {.request = request, .flags = VHOST_USER_VERSION},
	};
	int ret = vhost_user_send(hs->link->base.fds[FD_SOCKET], &message, hs->deadline_ns);

	return ret < 0 ? lost(hs, ret, request) : reply_to(hs, request, value);
}

static int negotiate_protocol(struct handshake *hs)
{
	uint64_t offered = 0, queues = 0;
	int ret = ask(hs, VHOST_USER_GET_PROTOCOL_FEATURES, &offered);

	if (ret < 0)
		return ret;
	offered &= VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) |
		   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	/* Acknowledgements start after this message. */
	ret = tell_u64(hs, VHOST_USER_SET_PROTOCOL_FEATURES, offered);
	hs->protocol_features = offered;
	if (ret < 0 || !(offered & VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ)))
		return ret;
	ret = ask(hs, VHOST_USER_GET_QUEUE_NUM, &queues);
	if (ret < 0 || queues >= RPMSG_VQ_COUNT)
		return ret;
	return give_up(hs, -EPROTONOSUPPORT,
		       "%s has %llu virtqueue and an rpmsg device has 2: it is another kind of device",
		       hs->path, (unsigned long long)queues);
}

static int negotiate(struct handshake *hs)
{
	struct vhost_user_message owner = {
		.header = {.request = VHOST_USER_SET_OWNER},
	};
	uint64_t offered = 0;
	int ret = tell(hs, &owner);

	if (ret == 0)
		ret = ask(hs, VHOST_USER_GET_FEATURES, &offered);
	if (ret < 0)
		return ret;
	if (!(offered & VHOST_USER_BIT(VIRTIO_F_VERSION_1)))
		return give_up(hs, -EPROTONOSUPPORT,
			       "the device at %s does not offer VIRTIO_F_VERSION_1 (bit 32)",
			       hs->path);
	if (!(offered & VHOST_USER_BIT(VIRTIO_RPMSG_F_NS)))
		return give_up(hs, -EPROTONOSUPPORT,
			       "the device at %s does not offer the rpmsg name service (bit 0): is it an rpmsg device?",
			       hs->path);
	hs->features = offered & (VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
				  VHOST_USER_BIT(VIRTIO_RPMSG_F_NS) |
				  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	if (offered & VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES))
		ret = negotiate_protocol(hs);
	return ret < 0 ? ret : tell_u64(hs, VHOST_USER_SET_FEATURES, hs->features);
}

static int share_memory(struct handshake *hs)
{
	const struct vhost_user_link *link = hs->link;
	struct vhost_user_message message = {
		.header = {
			.request = VHOST_USER_SET_MEM_TABLE,
			.size = offsetof(struct vhost_user_mem_table, regions[1]),
		},
		.payload = {.table = {.count = 1, .regions = {{
			.guest_addr = guest_addr(link->memory),
			.user_addr = (uint64_t)(uintptr_t)link->memory,
			.size = link->memory_size,
		}}}},
		.fds = {link->memory_fd},
		.fd_count = 1,
	};

	return tell(hs, &message);
}

static int set_addr(struct handshake *hs, uint32_t index)
{
	const struct split_ring *ring = &hs->link->rings[index].ring;
	struct vhost_user_message message = {
		.header = {
			.request = VHOST_USER_SET_VRING_ADDR,
			.size = sizeof(message.payload.addr),
		},
		.payload = {.addr = {
			.index = index,
			.desc = (uint64_t)(uintptr_t)ring->desc,
			.used = (uint64_t)(uintptr_t)ring->used,
			.avail = (uint64_t)(uintptr_t)ring->avail,
		}},
	};

	return tell(hs, &message);
}

static int set_up_ring(struct handshake *hs, uint32_t index)
{
	const struct vhost_user_link *link = hs->link;
	int ret = tell_state(hs, VHOST_USER_SET_VRING_NUM, index, RING_NUM);

	if (ret == 0)
		ret = set_addr(hs, index);
	if (ret == 0)
		ret = tell_state(hs, VHOST_USER_SET_VRING_BASE, index, 0);
	if (ret == 0)
		ret = tell_fd(hs, VHOST_USER_SET_VRING_CALL, index,
			      link->base.fds[FD_RX_CALL + (int)index]);
	if (ret == 0)
		ret = tell_fd(hs, VHOST_USER_SET_VRING_KICK, index, link->kick[index].fd);
	return ret;
}

static int start_rings(struct handshake *hs)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < RPMSG_VQ_COUNT && ret == 0; i++)
		ret = set_up_ring(hs, i);
	if (!(hs->features & VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		return ret; /* no SET_VRING_ENABLE: they are enabled already */
	for (i = 0; i < RPMSG_VQ_COUNT && ret == 0; i++)
		ret = tell_state(hs, VHOST_USER_SET_VRING_ENABLE, i, 1);
	return ret;
}

static int connect_link(struct handshake *hs, int timeout_ms)
{
	struct vhost_user_link *link = hs->link;
	int ret = make_memory(link);

	if (ret == 0)
		ret = make_calls(link);
	if (ret == 0)
		ret = make_kicks(link);
	if (ret < 0)
		return give_up(hs, ret, "no memory for the virtqueues: %s", strerror(-ret));
	post_buffers(link);
	ret = connect_socket(hs, timeout_ms);
	if (ret == 0)
		ret = negotiate(hs);
	if (ret == 0)
		ret = share_memory(hs);
	if (ret == 0)
		ret = start_rings(hs);
	/* Some backends look at a ring only when kicked. */
	if (ret == 0)
		notifier_signal(&link->kick[RPMSG_VQ_RX]);
	return ret;
}

struct gb_link *gb_vhost_user_connect(const char *path, int timeout_ms,
				      char *why, size_t why_size)
{
	struct handshake hs = {
		.link = new_link(),
		.path = path,
		.deadline_ns = vhost_user_deadline(timeout_ms),
		.why = why,
		.why_size = why_size,
	};
	int ret;

	if (!hs.link) {
		give_up(&hs, -ENOMEM, "out of memory");
		errno = ENOMEM;
		return NULL;
	}
	ret = connect_link(&hs, timeout_ms);
	vhost_user_close_fds(&hs.receiver.message); /* of half a reply */
	if (ret < 0) {
		vhost_user_link_destroy(&hs.link->base);
		errno = -ret;
		return NULL;
	}
	return &hs.link->base;
}
