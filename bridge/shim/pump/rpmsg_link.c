/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_link.c - one descriptor an endpoint, one message a read or write.
 *
 * What the kernel's rpmsg_char does and this file goes by:
 *
 * - Nobody may poll a node. poll and epoll queue their caller on the processor's
 *   own list of waiters for transmit buffers (virtio_rpmsg_poll), which is freed
 *   with the processor: whoever is on it then writes into freed memory of the
 *   kernel when he leaves it. So a thread an endpoint sleeps in read(), which
 *   ends well when the endpoint does, and hands on what came through a socket
 *   pair. For a free transmit buffer there is no other word: a timer looks.
 * - A blocking write may sleep 15 s and then spin: it is O_NONBLOCK, always. That
 *   belongs to the open file, of which there can be one only, and the reader must
 *   sleep: the flag is there just as long as a write lasts.
 * - A read of 0 bytes is an empty message and no end of file. An endpoint that
 *   is gone says EPIPE at once.
 */
#define _GNU_SOURCE
#include "rpmsg_link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpmsg.h"

/* From linux/rpmsg.h, whose other names are those of rpmsg.h too. */
#define RPMSG_DESTROY_EPT_IOCTL _IO(0xb5, 0x2)

enum { FD_CONTROL, FD_ENDPOINTS };

/* The limit of endpoints of one link, which the firmware cannot exceed. */
#define ENDPOINTS_MAX 1024u
/* So many messages of one endpoint are handled before the others have their turn. */
#define READS_MAX 64
#define BATCH 32
/* The limit of stale messages: a processor has fewer buffers, so that this ends even if messages
 * never stop. */
#define DRAIN_MAX 4096
/* The pauses before a write for which there was no transmit buffer is tried again; each is twice
 * the one before. */
#define RETRY_FIRST_NS 1000000u
#define RETRY_LAST_NS 16000000u
#define READER_STACK (64u * 1024)

/* What a reader hands on. */
struct delivery {
	int32_t error; /* the endpoint is gone: errno of the read */
	uint8_t message[RPMSG_BUFFER_SIZE];
};

#define DELIVERY_HEAD offsetof(struct delivery, message)

struct endpoint {
	struct endpoint *next;
	uint32_t address; /* the firmware's */
	uint32_t source;  /* what the pump calls our side; the kernel has its own */
	int fd;
	int inbox;        /* deliveries of the reader; -1: it does not run */
	int outlet;       /* the reader's end */
	pthread_t reader;
	struct delivery delivery; /* the reader's: a cancelled thread keeps no stack */
	pthread_mutex_t writing; /* held as long as `fd` is O_NONBLOCK */
	bool destroy;     /* made by RPMSG_CREATE_EPT_IOCTL */
	bool blocked;     /* found no transmit buffer */
	bool gone;        /* removed: whoever still has the endpoint leaves it alone */
	atomic_int owners; /* the link, and who closes it */
	char name[RPMSG_NAME_SIZE];
};

struct rpmsg_link {
	struct gb_link base;
	struct endpoint *endpoints;
	/* These are gone, but events of the batch in hand may still point to them. */
	struct endpoint *dead;
	unsigned int count;
	struct gb_timer retry;
	uint64_t pause_ns;
};

static struct rpmsg_link *to_link(struct gb_link *base)
{
	return (struct rpmsg_link *)base;
}

static int down(struct rpmsg_link *link, int error, const char *why)
{
	snprintf(link->base.why, sizeof(link->base.why), "%s", why);
	gb_link_disarm(&link->base, &link->retry);
	return error;
}

/* ---- endpoints ------------------------------------------------------------ */

static struct endpoint *find(struct rpmsg_link *link, uint32_t address)
{
	struct endpoint *ep = link->endpoints;

	while (ep && ep->address != address)
		ep = ep->next;
	return ep;
}

/* ---- readers ---------------------------------------------------------------- */

/* The thread sleeps in read() and in sendmsg(), and is cancelled there and nowhere else. It
 * touches nothing that changes while it runs, and never the pump. */
static void *reader_main(void *argument)
{
	struct endpoint *ep = argument;
	struct delivery *delivery = &ep->delivery;
	ssize_t length;

	while (!delivery->error) {
		length = read(ep->fd, delivery->message, sizeof(delivery->message));
		if (length < 0 && errno == EAGAIN) {
			/* A write was under way; now the next read may sleep again. */
			pthread_mutex_lock(&ep->writing);
			pthread_mutex_unlock(&ep->writing);
			continue;
		}
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			delivery->error = errno;
		if (send(ep->outlet, delivery, DELIVERY_HEAD + (length > 0 ? (size_t)length : 0),
			 MSG_NOSIGNAL) < 0)
			break;
	}
	return NULL;
}

/* Signals belong to Python's threads. */
static int start_thread(struct endpoint *ep)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, READER_STACK + PTHREAD_STACK_MIN);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&ep->reader, &attributes, reader_main, ep);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

/* 0 or an errno. */
static int start_reader(struct rpmsg_link *link, struct endpoint *ep)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = ep};
	int fds[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return errno;
	ep->inbox = fds[0];
	ep->outlet = fds[1];
	error = epoll_ctl(link->base.fds[FD_ENDPOINTS], EPOLL_CTL_ADD, ep->inbox, &event) < 0
		? errno : start_thread(ep);
	if (!error) {
		gb_link_adopt(&link->base, ep->reader);
		return 0;
	}
	close(ep->inbox);
	close(ep->outlet);
	ep->inbox = -1;
	return error;
}

static void forget_reader(struct endpoint *ep)
{
	close(ep->inbox);
	close(ep->outlet);
	ep->inbox = -1;
}

static void stop_reader(struct endpoint *ep)
{
	if (ep->inbox < 0)
		return;
	pthread_cancel(ep->reader);
	pthread_join(ep->reader, NULL);
	forget_reader(ep);
}

/* Cancels the reader without waiting for its end; returns whether it has ended. */
static bool reader_stops(struct endpoint *ep)
{
	if (ep->inbox < 0)
		return true;
	pthread_cancel(ep->reader);
	if (pthread_tryjoin_np(ep->reader, NULL))
		return false;
	forget_reader(ep);
	return true;
}

static void close_endpoint(struct endpoint *ep)
{
	stop_reader(ep);
	/* This fails when the endpoint is gone already, which is as good. */
	if (ep->destroy)
		ioctl(ep->fd, RPMSG_DESTROY_EPT_IOCTL);
	close(ep->fd);
	ep->fd = -1;
}

static void disown(struct endpoint *ep)
{
	if (atomic_fetch_sub(&ep->owners, 1) > 1)
		return;
	pthread_mutex_destroy(&ep->writing);
	free(ep);
}

static void *close_main(void *argument)
{
	close_endpoint(argument);
	disown(argument);
	return NULL;
}

/* Nobody knows how long it takes to end the reader and the device, so the pump's lock must not be
 * held. */
static void close_apart(struct endpoint *ep)
{
	pthread_attr_t detached;
	sigset_t all, before;
	pthread_t thread;
	int error;

	atomic_fetch_add(&ep->owners, 1);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &detached, close_main, ep);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	if (error)
		close_main(ep);
}

static void remove_endpoint(struct rpmsg_link *link, struct endpoint *ep)
{
	struct endpoint **place = &link->endpoints;

	while (*place != ep)
		place = &(*place)->next;
	*place = ep->next;
	ep->next = link->dead;
	link->dead = ep;
	link->count--;
	ep->gone = true;
	if (ep->inbox >= 0)
		epoll_ctl(link->base.fds[FD_ENDPOINTS], EPOLL_CTL_DEL, ep->inbox, NULL);
	close_apart(ep);
	gb_link_announced(&link->base, ep->name, ep->address, false);
	/* The transmit buffers belong to the processor: other endpoints may hold some. */
	if (ep->blocked)
		gb_link_writable(&link->base);
}

static void bury(struct rpmsg_link *link)
{
	while (link->dead) {
		struct endpoint *ep = link->dead;

		link->dead = ep->next;
		disown(ep);
	}
}

static void broke(struct rpmsg_link *link, struct endpoint *ep, int error)
{
	struct gb_rpmsg_packet packet = {
		.code = GB_RPMSG_GONE,
		.address = ep->address,
		.error = error,
	};

	/* A finder that does not listen notices at its next look at sysfs. */
	send(link->base.fds[FD_CONTROL], &packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL);
	remove_endpoint(link, ep);
}

/* ---- firmware -> us -------------------------------------------------------- */

static void try_again(struct rpmsg_link *link)
{
	struct endpoint *ep;

	gb_link_disarm(&link->base, &link->retry);
	for (ep = link->endpoints; ep; ep = ep->next)
		ep->blocked = false;
	gb_link_writable(&link->base);
}

static void retry_expired(struct gb_timer *timer)
{
	try_again((struct rpmsg_link *)((char *)timer - offsetof(struct rpmsg_link, retry)));
}

static void deliver(struct rpmsg_link *link, struct endpoint *ep,
		    const struct delivery *delivery, size_t size)
{
	if (size < DELIVERY_HEAD || delivery->error) {
		broke(link, ep, size < DELIVERY_HEAD ? EIO : delivery->error);
		return;
	}
	gb_link_received(&link->base, ep->address, ep->source, delivery->message,
			 (uint16_t)(size - DELIVERY_HEAD));
}

static void receive(struct rpmsg_link *link, struct endpoint *ep)
{
	struct delivery delivery;
	int left;

	/* A message may cause the endpoint to be closed. */
	for (left = READS_MAX; left && !ep->gone; left--) {
		ssize_t size = recv(ep->inbox, &delivery, sizeof(delivery), MSG_DONTWAIT);

		if (size < 0)
			return;
		deliver(link, ep, &delivery, (size_t)size);
	}
}

static int endpoints_ready(struct rpmsg_link *link)
{
	struct epoll_event events[BATCH];
	int count = epoll_wait(link->base.fds[FD_ENDPOINTS], events, BATCH, 0);

	for (int i = 0; i < count; i++)
		receive(link, events[i].data.ptr);
	/* Firmware that sends has most probably given buffers back. */
	if (link->retry.armed)
		try_again(link);
	return 0;
}

/* ---- us -> firmware -------------------------------------------------------- */

static void wait_for_buffers(struct rpmsg_link *link, struct endpoint *ep)
{
	ep->blocked = true;
	gb_link_arm(&link->base, &link->retry, gb_now_ns() + link->pause_ns);
	if (link->pause_ns < RETRY_LAST_NS)
		link->pause_ns *= 2;
}

/* These errors pass: no transmit buffer, or no room for a reader, which is a lack of ours. */
static bool is_want(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

static int failed_write(struct rpmsg_link *link, struct endpoint *ep, int error)
{
	if (error == EMSGSIZE)
		return -EMSGSIZE;
	if (is_want(error)) {
		wait_for_buffers(link, ep);
		return -EAGAIN;
	}
	/* The message is lost with its endpoint; the other endpoints go on. */
	broke(link, ep, error);
	return 0;
}

/* Drop messages of the session before this one; no reader runs. */
static void drain(const struct endpoint *ep)
{
	uint8_t message[RPMSG_BUFFER_SIZE];
	int left = DRAIN_MAX;

	fcntl(ep->fd, F_SETFL, O_NONBLOCK);
	while (left-- && read(ep->fd, message, sizeof(message)) >= 0)
		continue;
	fcntl(ep->fd, F_SETFL, 0);
}

/* A session begins: messages that came before are not for it. Returns 0 or an errno; EAGAIN: the
 * reader of the session before has not ended. */
static int begin(struct rpmsg_link *link, struct endpoint *ep, uint32_t source)
{
	int error;

	if (!reader_stops(ep))
		return EAGAIN;
	drain(ep);
	error = start_reader(link, ep);
	ep->source = error ? RPMSG_ADDR_ANY : source;
	return error;
}

/* 0 or an errno. */
static int write_message(struct endpoint *ep, const void *message, uint16_t length)
{
	ssize_t written;
	int error;

	pthread_mutex_lock(&ep->writing);
	fcntl(ep->fd, F_SETFL, O_NONBLOCK);
	do
		written = write(ep->fd, message, length);
	while (written < 0 && errno == EINTR);
	error = written < 0 ? errno : 0;
	fcntl(ep->fd, F_SETFL, 0);
	pthread_mutex_unlock(&ep->writing);
	return error;
}

static int rpmsg_link_send(struct gb_link *base, uint32_t source, uint32_t destination,
			   const void *message, uint16_t length)
{
	struct rpmsg_link *link = to_link(base);
	struct endpoint *ep = find(link, destination);
	int error = 0;

	/* The endpoint is gone, and the pump's owner has not heard of it yet. */
	if (!ep)
		return 0;
	if (ep->source != source)
		error = begin(link, ep, source);
	if (!error)
		error = write_message(ep, message, length);
	if (error)
		return failed_write(link, ep, error);
	link->pause_ns = RETRY_FIRST_NS;
	return 0;
}

/* A write reaches the firmware at once. */
static void rpmsg_link_flush(struct gb_link *base)
{
	(void)base;
}

/* ---- the finder ------------------------------------------------------------- */

/* Takes over the descriptor, whatever comes of it. */
static void attach(struct rpmsg_link *link, const struct gb_rpmsg_packet *packet, int fd)
{
	struct endpoint *ep = find(link, packet->address);

	if (ep)
		remove_endpoint(link, ep); /* the finder knows better */
	ep = link->count < ENDPOINTS_MAX ? calloc(1, sizeof(*ep)) : NULL;
	if (!ep) {
		close(fd);
		return;
	}
	ep->fd = fd;
	ep->inbox = -1;
	ep->owners = 1;
	pthread_mutex_init(&ep->writing, NULL);
	ep->address = packet->address;
	ep->source = RPMSG_ADDR_ANY; /* no session yet */
	ep->destroy = packet->flags & GB_RPMSG_DESTROY;
	memcpy(ep->name, packet->text, sizeof(ep->name) - 1);
	ep->next = link->endpoints;
	link->endpoints = ep;
	link->count++;
	gb_link_announced(&link->base, ep->name, ep->address, true);
}

static int received_fd(struct msghdr *header)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	int fd = -1;

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/* Size of the packet; 0 the finder hung up; -errno. */
static ssize_t receive_packet(struct rpmsg_link *link, struct gb_rpmsg_packet *packet, int *fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = {.iov_base = packet, .iov_len = sizeof(*packet)};
	struct msghdr header = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* the padding has room for another */
	};
	ssize_t size = recvmsg(link->base.fds[FD_CONTROL], &header,
			       MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (size < 0)
		return -errno;
	*fd = received_fd(&header);
	packet->text[GB_RPMSG_TEXT_SIZE - 1] = '\0';
	return size;
}

static int handle_packet(struct rpmsg_link *link, const struct gb_rpmsg_packet *packet, int fd)
{
	struct endpoint *ep;

	switch (packet->code) {
	case GB_RPMSG_ATTACH:
		if (fd < 0)
			break;
		attach(link, packet, fd);
		return 0;
	case GB_RPMSG_DETACH:
		ep = find(link, packet->address);
		if (ep)
			remove_endpoint(link, ep);
		return 0;
	case GB_RPMSG_DOWN:
		return down(link, -ENODEV, packet->text);
	}
	if (fd >= 0)
		close(fd);
	return down(link, -EPROTO, "the finder of rpmsg endpoints sent a packet without sense");
}

static int control_ready(struct rpmsg_link *link)
{
	struct gb_rpmsg_packet packet;
	int fd = -1, ret = 0;

	while (ret == 0) {
		ssize_t size = receive_packet(link, &packet, &fd);

		if (size == -EAGAIN || size == -EINTR)
			return 0;
		if (size != sizeof(packet))
			return down(link, -ENODEV, "the finder of rpmsg endpoints has ended");
		ret = handle_packet(link, &packet, fd);
	}
	return ret;
}

/* ---- life ------------------------------------------------------------------- */

static int rpmsg_link_ready(struct gb_link *base, int index, uint32_t events)
{
	struct rpmsg_link *link = to_link(base);

	(void)events;
	bury(link);
	return index == FD_CONTROL ? control_ready(link) : endpoints_ready(link);
}

static void rpmsg_link_stop(struct gb_link *base)
{
	gb_link_disarm(base, &to_link(base)->retry);
}

static void rpmsg_link_destroy(struct gb_link *base)
{
	struct rpmsg_link *link = to_link(base);

	/* This comes first, so that the finder ends and does not take the endpoints that are
	 * destroyed here for lost ones that it must make again. */
	close(base->fds[FD_CONTROL]);
	while (link->endpoints) {
		struct endpoint *ep = link->endpoints;

		link->endpoints = ep->next;
		close_endpoint(ep);
		disown(ep);
	}
	bury(link);
	close(base->fds[FD_ENDPOINTS]);
	free(link);
}

static const struct gb_link_ops rpmsg_link_ops = {
	.name = "rpmsg",
	.send = rpmsg_link_send,
	.flush = rpmsg_link_flush,
	.ready = rpmsg_link_ready,
	.stop = rpmsg_link_stop,
	.destroy = rpmsg_link_destroy,
};

struct gb_link *gb_rpmsg_open(int control)
{
	struct rpmsg_link *link = calloc(1, sizeof(*link));
	int endpoints = epoll_create1(EPOLL_CLOEXEC);
	int error = link ? errno : ENOMEM;

	if (!link || endpoints < 0) {
		free(link);
		if (endpoints >= 0)
			close(endpoints);
		close(control);
		errno = error;
		return NULL;
	}
	link->base.ops = &rpmsg_link_ops;
	link->base.fds[FD_CONTROL] = control;
	link->base.fds[FD_ENDPOINTS] = endpoints;
	link->base.events[FD_CONTROL] = EPOLLIN;
	link->base.events[FD_ENDPOINTS] = EPOLLIN;
	link->base.fd_count = 2;
	link->retry.expired = retry_expired;
	link->pause_ns = RETRY_FIRST_NS;
	return &link->base;
}
