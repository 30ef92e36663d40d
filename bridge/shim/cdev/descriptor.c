/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "descriptor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "virtio/peer_fd.h"

/* The size of the socket, and of what goes into it at once: in one piece, so that no record is
 * divided between two reads. */
#define SOCKET_BYTES 65536
#define BATCH_BYTES 8192u
/* SIOCOUTQ counts the memory that the kernel took for packets, several hundred bytes each; while
 * the last one is being freed it says 1. */
#define OUTQ_EMPTY 256
/* How often to look whether descriptors of peers are taken again. */
#define WELCOME_POLL_NS UINT64_C(100000000)
/* The handler is called when something changes, and reads everything that is there. */
#define WATCHED (EPOLLIN | EPOLLRDHUP | EPOLLET)

_Static_assert(offsetof(struct gb_channel_offer, tail) + 1 == GB_CHANNEL_OFFER_SIZE,
	       "an offer as it is sent");

/* ---- records -------------------------------------------------------------- */

/* Whether the program has read all that went into the socket. */
static bool all_read(const struct gb_descriptor *descriptor)
{
	int bytes = 0;

	return !descriptor->sent || (!ioctl(descriptor->fd, SIOCOUTQ, &bytes) &&
				     bytes < OUTQ_EMPTY);
}

static void wait_for_reader(struct gb_descriptor *descriptor, bool wanted)
{
	if (descriptor->waiting == wanted)
		return;
	descriptor->waiting = wanted;
	gb_source_modify(descriptor->pump, descriptor->source,
			 WATCHED | (wanted ? (uint32_t)EPOLLOUT : 0));
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Sends as many records as lie in one piece and may go together; returns false when none went. */
static bool send_some(struct gb_descriptor *descriptor)
{
	uint32_t size = descriptor->record_size, capacity = descriptor->capacity;
	uint32_t count = least(descriptor->count, capacity - descriptor->sent);

	count = least(count, least(capacity - descriptor->first, BATCH_BYTES / size));
	if (!count || send(descriptor->fd, descriptor->records + (size_t)descriptor->first * size,
			   (size_t)count * size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	descriptor->first = (descriptor->first + count) % capacity;
	descriptor->count -= count;
	descriptor->sent += count;
	return true;
}

static void send_records(struct gb_descriptor *descriptor)
{
	if (descriptor->closed)
		return;
	if (all_read(descriptor))
		descriptor->sent = 0;
	while (descriptor->count && send_some(descriptor))
		;
	wait_for_reader(descriptor, descriptor->count > 0);
}

static void flush(struct gb_flush *wanted)
{
	struct gb_descriptor *descriptor = (struct gb_descriptor *)(void *)((char *)wanted -
			offsetof(struct gb_descriptor, flush));

	send_records(descriptor);
}

bool gb_descriptor_push(struct gb_descriptor *descriptor, const void *record)
{
	uint32_t place;
	bool room;

	if (descriptor->closed)
		return false;
	if (descriptor->count == descriptor->capacity)
		send_records(descriptor);
	room = descriptor->count < descriptor->capacity;
	if (!room && descriptor->keep_oldest)
		return false;
	if (!room) {
		descriptor->first = (descriptor->first + 1) % descriptor->capacity;
		descriptor->count--;
	}
	place = (descriptor->first + descriptor->count) % descriptor->capacity;
	memcpy(descriptor->records + (size_t)place * descriptor->record_size, record,
	       descriptor->record_size);
	descriptor->count++;
	if (!descriptor->waiting)
		gb_flush_want(descriptor->pump, &descriptor->flush);
	return room;
}

uint32_t gb_descriptor_waiting(const struct gb_descriptor *descriptor)
{
	return descriptor->count + (all_read(descriptor) ? 0 : descriptor->sent);
}

bool gb_descriptor_resize(struct gb_descriptor *descriptor, uint32_t record_size)
{
	uint8_t *records;

	if (record_size == descriptor->record_size)
		return true;
	send_records(descriptor);
	if (descriptor->count)
		return false;
	records = calloc(descriptor->capacity, record_size);
	if (!records)
		return false;
	free(descriptor->records);
	descriptor->records = records;
	descriptor->record_size = record_size;
	return true;
}

/* ---- channels ------------------------------------------------------------- */

/* The channels stay for whoever waits for the end. */
static void closed(struct gb_descriptor *descriptor)
{
	if (descriptor->closed)
		return;
	descriptor->closed = true;
	descriptor->ops->closed(descriptor->owner);
}

static void remove_channel(struct gb_descriptor *descriptor, struct gb_channel *channel)
{
	uint32_t at = 0;

	while (descriptor->channels[at] != channel)
		at++;
	descriptor->channel_count--;
	memmove(&descriptor->channels[at], &descriptor->channels[at + 1],
		(descriptor->channel_count - at) * sizeof(descriptor->channels[0]));
	if (descriptor->asking == channel)
		descriptor->asking = NULL;
	gb_source_remove(descriptor->pump, channel->source);
	close(channel->fd);
	free(channel);
}

static void take_offers(struct gb_descriptor *descriptor);

/* The channel ended; one that was offered may have waited for its place. */
static void lose_channel(struct gb_channel *channel)
{
	struct gb_descriptor *descriptor = channel->descriptor;

	remove_channel(descriptor, channel);
	take_offers(descriptor);
}

static void read_ioctl(struct gb_channel *channel)
{
	struct gb_descriptor *descriptor = channel->descriptor;
	struct {
		struct gb_ioctl head;
		uint8_t argument[GB_IOCTL_SIZE_MAX];
	} packet;
	ssize_t got = recv(channel->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < (ssize_t)sizeof(packet.head) || (size_t)got > sizeof(packet)) {
		lose_channel(channel);
		return;
	}
	descriptor->busy = true;
	descriptor->asking = channel;
	descriptor->packed = channel->packed;
	descriptor->sequence = packet.head.sequence;
	descriptor->size = (uint32_t)((size_t)got - sizeof(packet.head));
	descriptor->ops->ioctl(descriptor->owner, packet.head.command, packet.argument,
			       descriptor->size);
}

static void channel_ready(void *owner, int index, uint32_t events)
{
	struct gb_channel *channel = owner;
	struct gb_descriptor *descriptor = channel->descriptor;

	(void)index;
	if (!(events & EPOLLIN)) {
		lose_channel(channel);
	} else if (descriptor->busy) {
		channel->paused = true;
		gb_source_modify(descriptor->pump, channel->source, 0);
	} else {
		read_ioctl(channel);
	}
}

static void resume_channels(struct gb_descriptor *descriptor)
{
	for (uint32_t i = 0; i < descriptor->channel_count; i++) {
		struct gb_channel *channel = descriptor->channels[i];

		if (channel->paused)
			gb_source_modify(descriptor->pump, channel->source, EPOLLIN);
		channel->paused = false;
	}
}

static bool is_idle(const struct gb_descriptor *descriptor, const struct gb_channel *channel)
{
	struct pollfd end = {.fd = channel->fd, .events = POLLIN};

	return descriptor->asking != channel && poll(&end, 1, 0) == 0;
}

/* The process makes another channel when it needs one: nothing that it asked is lost. */
static bool make_room(struct gb_descriptor *descriptor)
{
	for (uint32_t i = 0; i < descriptor->channel_count; i++) {
		if (descriptor->channel_count < GB_CHANNELS_MAX)
			break;
		if (is_idle(descriptor, descriptor->channels[i]))
			remove_channel(descriptor, descriptor->channels[i]);
	}
	return descriptor->channel_count < GB_CHANNELS_MAX;
}

/* Linux has this from 6.16 on; older headers lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static bool is_channel(int fd)
{
	const int no = 0;
	int type = 0;
	socklen_t length = sizeof(type);

	if (peer_fd_kind(fd) != PEER_FD_SOCKET ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) || type != SOCK_SEQPACKET)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
	return true;
}

/* Takes the descriptor. */
static bool add_channel(struct gb_descriptor *descriptor, int fd, bool packed)
{
	struct gb_channel *channel = is_channel(fd) ? calloc(1, sizeof(*channel)) : NULL;

	if (channel) {
		channel->descriptor = descriptor;
		channel->fd = fd;
		channel->packed = packed;
		channel->source = gb_source_add(descriptor->pump, fd, EPOLLIN, channel_ready,
						channel, 0);
	}
	if (!channel || !channel->source) {
		free(channel);
		peer_fd_close(fd);
		return false;
	}
	descriptor->channels[descriptor->channel_count++] = channel;
	return true;
}

/* Reads an offer without its last byte, and the byte that was left of the offer before. Returns
 * the descriptor that came with it, -1 for none. */
static int receive_offer(const struct gb_descriptor *descriptor, struct gb_channel_offer *offer)
{
	uint8_t tail;
	struct iovec parts[2] = {{&tail, 1}, {offer, GB_CHANNEL_OFFER_SIZE - 1}};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	/* Not CMSG_SPACE(), whose padding has room for a second one: the kernel closes those. */
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control,
				 .msg_controllen = CMSG_LEN(sizeof(int))};
	const struct cmsghdr *head;
	int fd = -1;

	memset(offer, 0, sizeof(*offer));
	if (recvmsg(descriptor->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	head = CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

static bool take_offer(struct gb_descriptor *descriptor)
{
	struct gb_channel_offer offer;
	int fd = receive_offer(descriptor, &offer);

	if (fd < 0)
		return false;
	if (offer.magic != GB_CHANNEL_MAGIC || offer.version != 1 ||
	    offer.form > GB_OFFER_PACKED || offer.reserved) {
		peer_fd_close(fd);
		return false;
	}
	return add_channel(descriptor, fd, offer.form == GB_OFFER_PACKED);
}

static void take_offers(struct gb_descriptor *descriptor)
{
	int bytes = 0;

	while (!descriptor->closed && !ioctl(descriptor->fd, SIOCINQ, &bytes) &&
	       bytes > (int)GB_CHANNEL_OFFER_SIZE) {
		if (!peer_fd_welcome()) {
			gb_timer_arm(descriptor->pump, &descriptor->again,
				     gb_now_ns() + WELCOME_POLL_NS);
			return;
		}
		if (!make_room(descriptor))
			return; /* looked at again when an ioctl is answered, or a channel ends */
		if (!take_offer(descriptor)) {
			closed(descriptor);
			return;
		}
	}
}

static void look_again(struct gb_timer *timer)
{
	take_offers((struct gb_descriptor *)(void *)((char *)timer -
						     offsetof(struct gb_descriptor, again)));
}

/* ---- life ----------------------------------------------------------------- */

static void stream_ready(void *owner, int index, uint32_t events)
{
	struct gb_descriptor *descriptor = owner;

	(void)index;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		closed(descriptor);
		return;
	}
	if (events & EPOLLIN)
		take_offers(descriptor);
	if (events & EPOLLOUT)
		send_records(descriptor);
}

int gb_descriptor_init(struct gb_descriptor *descriptor, struct gb_pump *pump,
		       uint32_t record_size, uint32_t capacity, bool keep_oldest)
{
	const int bytes = SOCKET_BYTES;
	int ends[2];

	*descriptor = (struct gb_descriptor){
		.pump = pump,
		.fd = -1,
		.record_size = record_size,
		.capacity = capacity,
		.keep_oldest = keep_oldest,
		.flush.flush = flush,
		.again.expired = look_again,
	};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	descriptor->records = calloc(capacity, record_size);
	if (!descriptor->records || send(ends[1], "", 1, MSG_NOSIGNAL) < 0) {
		close(ends[0]);
		close(ends[1]);
		free(descriptor->records);
		descriptor->records = NULL;
		return -ENOMEM;
	}
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	descriptor->fd = ends[0];
	return ends[1];
}

int gb_descriptor_watch(struct gb_descriptor *descriptor, const struct gb_descriptor_ops *ops,
			void *owner)
{
	descriptor->ops = ops;
	descriptor->owner = owner;
	descriptor->source = gb_source_add(descriptor->pump, descriptor->fd, WATCHED, stream_ready,
					   descriptor, 0);
	return descriptor->source ? 0 : -errno;
}

bool gb_descriptor_held(const struct gb_descriptor *descriptor)
{
	struct pollfd end = {.fd = descriptor->fd, .events = POLLRDHUP};

	return !descriptor->closed && poll(&end, 1, 0) == 0;
}

bool gb_descriptor_look(struct gb_descriptor *descriptor)
{
	if (gb_descriptor_held(descriptor))
		return true;
	closed(descriptor);
	return false;
}

void gb_descriptor_answer(struct gb_descriptor *descriptor, int error, const void *argument,
			  int fd)
{
	struct gb_channel *channel = descriptor->asking;
	struct gb_ioctl_reply reply = {.error = error, .sequence = descriptor->sequence};
	struct iovec parts[2] = {{&reply, sizeof(reply)}, {(void *)argument, descriptor->size}};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = argument ? 2 : 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
						 .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	descriptor->busy = false;
	descriptor->asking = NULL;
	/* There is one ioctl at a time, so a full socket means that the program reads no
	 * answers. */
	if (channel && sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		remove_channel(descriptor, channel);
	if (fd >= 0)
		close(fd);
	resume_channels(descriptor);
	take_offers(descriptor);
}

void gb_descriptor_close(struct gb_descriptor *descriptor)
{
	descriptor->closed = true;
	gb_flush_cancel(descriptor->pump, &descriptor->flush);
	gb_timer_cancel(descriptor->pump, &descriptor->again);
	while (descriptor->channel_count)
		remove_channel(descriptor, descriptor->channels[0]);
	gb_source_remove(descriptor->pump, descriptor->source);
	descriptor->source = NULL;
	if (descriptor->fd >= 0)
		close(descriptor->fd);
	descriptor->fd = -1;
	free(descriptor->records);
	descriptor->records = NULL;
}
