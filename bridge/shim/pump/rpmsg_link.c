/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_link.c - one descriptor an endpoint, one message a read or write.
 *
 * What the kernel's rpmsg_char does and this file goes by:
 *
 * - Nobody may poll a node. poll and epoll queue their caller on the processor's
 *   own list of waiters for transmit buffers (virtio_rpmsg_poll), which is freed
 *   with the processor: a caller that leaves the list then writes into freed
 *   memory of the kernel. So a thread an endpoint sleeps in read(), which
 *   ends well when the endpoint does, and delivers what came under the pump's
 *   lock. For a free transmit buffer there is no other word: a timer looks.
 * - A blocking write may sleep 15 s and then spin: it is O_NONBLOCK, always. That
 *   belongs to the open file, of which there can be one only, and the reader must
 *   sleep; but the kernel looks at the flag only when a read begins. So the reader
 *   clears it before it reads, and the next write, for which it has to be there,
 *   sets it.
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

enum { FD_CONTROL };

/* The limit of endpoints of one link, which the firmware cannot exceed. */
#define ENDPOINTS_MAX 1024u
/* The limit of stale messages: a processor has fewer buffers, so that this ends even if messages
 * never stop. */
#define DRAIN_MAX 4096
/* The pauses before a write for which there was no transmit buffer is tried again; each is twice
 * the one before. */
#define RETRY_FIRST_NS 1000000u
#define RETRY_LAST_NS 16000000u
#define READER_STACK (64u * 1024)

struct endpoint {
	struct endpoint *next;
	struct rpmsg_link *link;
	uint32_t address; /* the firmware's */
	uint32_t source;  /* what the pump calls our side; the kernel has its own */
	int fd;
	pthread_t reader, closer;
	bool reads;       /* there is a reader */
	bool quit;        /* its session is over: it delivers nothing more */
	bool closes;      /* there is a closer, which has the reader, too */
	bool destroy;     /* made by RPMSG_CREATE_EPT_IOCTL */
	bool blocked;     /* found no transmit buffer */
	bool gone;        /* removed: whoever still has the endpoint leaves it alone */
	char name[RPMSG_NAME_SIZE];
	pthread_mutex_t flag; /* of what follows, and held while a write is under way */
	bool nonblocking;     /* `fd` is */
	uint8_t message[RPMSG_BUFFER_SIZE]; /* the reader's: a cancelled thread keeps no stack */
};

struct rpmsg_link {
	struct gb_link base;
	struct endpoint *endpoints;
	struct endpoint *gone; /* removed, and not closed yet */
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

/* Signals belong to Python's threads. 0 or an errno. */
static int start_thread(pthread_t *thread, void *(*run)(void *), struct endpoint *ep)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, READER_STACK + PTHREAD_STACK_MIN);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, &attributes, run, ep);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

/* ---- the end of an endpoint ------------------------------------------------- */

/* Nobody knows how long it takes to end the reader and the device. */
static void close_endpoint(struct endpoint *ep)
{
	if (ep->reads) {
		pthread_cancel(ep->reader);
		pthread_join(ep->reader, NULL);
	}
	/* This fails when the endpoint is gone already, which is as good. */
	if (ep->destroy)
		ioctl(ep->fd, RPMSG_DESTROY_EPT_IOCTL);
	close(ep->fd);
}

static void *close_main(void *argument)
{
	close_endpoint(argument);
	return NULL;
}

static void free_endpoint(struct endpoint *ep)
{
	pthread_mutex_destroy(&ep->flag);
	free(ep);
}

/* The lock is held, for which the reader may wait. Where no thread is to be had, free_gone() tries
 * again. */
static void close_apart(struct endpoint *ep)
{
	ep->closes = !start_thread(&ep->closer, close_main, ep);
}

/* Frees those that are closed; nobody may have one of them in hand. */
static void free_gone(struct rpmsg_link *link)
{
	struct endpoint **place = &link->gone;

	while (*place) {
		struct endpoint *ep = *place;

		if (!ep->closes)
			close_apart(ep);
		if (ep->closes && !pthread_tryjoin_np(ep->closer, NULL)) {
			*place = ep->next;
			free_endpoint(ep);
		} else {
			place = &ep->next;
		}
	}
}

static void remove_endpoint(struct rpmsg_link *link, struct endpoint *ep)
{
	struct endpoint **place = &link->endpoints;

	while (*place != ep)
		place = &(*place)->next;
	*place = ep->next;
	ep->next = link->gone;
	link->gone = ep;
	link->count--;
	ep->gone = true;
	close_apart(ep);
	gb_link_announced(&link->base, ep->name, ep->address, false);
	/* The transmit buffers belong to the processor: other endpoints may hold some. */
	if (ep->blocked)
		gb_link_writable(&link->base);
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

/* ---- readers ---------------------------------------------------------------- */

/* With `flag` held. */
static void set_nonblocking(struct endpoint *ep, bool wanted)
{
	if (ep->nonblocking != wanted)
		fcntl(ep->fd, F_SETFL, wanted ? O_NONBLOCK : 0);
	ep->nonblocking = wanted;
}

/* The size of the next message, or -errno. The thread is cancelled while it sleeps here, and
 * nowhere else. */
static ssize_t read_message(struct endpoint *ep)
{
	ssize_t size;

	do {
		pthread_mutex_lock(&ep->flag);
		set_nonblocking(ep, false);
		pthread_mutex_unlock(&ep->flag);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		size = read(ep->fd, ep->message, sizeof(ep->message));
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	} while (size < 0 && (errno == EAGAIN || errno == EINTR)); /* a write came first */
	return size < 0 ? -errno : size;
}

/* With the pump's lock held; whether to read on. */
static bool deliver(struct endpoint *ep, ssize_t size)
{
	struct rpmsg_link *link = ep->link;

	if (ep->quit || ep->gone || link->base.dead)
		return false;
	if (size < 0) {
		broke(link, ep, (int)-size);
		return false;
	}
	gb_link_received(&link->base, ep->address, ep->source, ep->message, (uint16_t)size);
	/* Firmware that sends has most probably given buffers back. */
	if (link->retry.armed)
		try_again(link);
	return true;
}

static void *reader_main(void *argument)
{
	struct endpoint *ep = argument;
	struct gb_link *link = &ep->link->base;
	bool on = true;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (on) {
		ssize_t size = read_message(ep);

		gb_link_lock(link);
		on = deliver(ep, size);
		gb_link_unlock(link);
	}
	return NULL;
}

/* 0 or an errno. */
static int start_reader(struct endpoint *ep)
{
	int error;

	ep->quit = false;
	error = start_thread(&ep->reader, reader_main, ep);
	ep->reads = !error;
	if (!error)
		gb_link_adopt(&ep->link->base, ep->reader);
	return error;
}

/* Cancels the reader without waiting for its end, since it may wait for the lock; returns
 * whether it has ended. */
static bool reader_stops(struct endpoint *ep)
{
	if (!ep->reads)
		return true;
	ep->quit = true;
	pthread_cancel(ep->reader);
	ep->reads = pthread_tryjoin_np(ep->reader, NULL) != 0;
	return !ep->reads;
}

/* ---- us -> firmware -------------------------------------------------------- */

static void wait_for_buffers(struct rpmsg_link *link, struct endpoint *ep)
{
	ep->blocked = true;
	gb_link_arm(&link->base, &link->retry, gb_now_ns() + link->pause_ns);
	if (link->pause_ns < RETRY_LAST_NS)
		link->pause_ns *= 2;
}

static int failed_write(struct rpmsg_link *link, struct endpoint *ep, int error)
{
	if (error == EMSGSIZE)
		return -EMSGSIZE;
	/* These pass: no transmit buffer, or no thread for a reader, which is a lack of ours. */
	if (error == EAGAIN || error == ENOMEM) {
		wait_for_buffers(link, ep);
		return -EAGAIN;
	}
	/* The message is lost with its endpoint; the other endpoints go on. */
	broke(link, ep, error);
	return 0;
}

/* Drop messages of the session before this one; no reader runs. */
static void drain(struct endpoint *ep)
{
	uint8_t message[RPMSG_BUFFER_SIZE];
	int left = DRAIN_MAX;

	set_nonblocking(ep, true);
	while (left-- && read(ep->fd, message, sizeof(message)) >= 0)
		continue;
}

/* A session begins: messages that came before are not for it. Returns 0 or an errno; EAGAIN: the
 * reader of the session before has not ended. */
static int begin(struct endpoint *ep, uint32_t source)
{
	int error;

	if (!reader_stops(ep))
		return EAGAIN;
	drain(ep);
	ep->source = source;
	error = start_reader(ep);
	if (error)
		ep->source = RPMSG_ADDR_ANY;
	return error;
}

/* 0 or an errno. */
static int write_message(struct endpoint *ep, const void *message, uint16_t length)
{
	ssize_t written;
	int error;

	pthread_mutex_lock(&ep->flag);
	set_nonblocking(ep, true);
	do
		written = write(ep->fd, message, length);
	while (written < 0 && errno == EINTR);
	error = written < 0 ? errno : 0;
	pthread_mutex_unlock(&ep->flag);
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
		error = begin(ep, source);
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
	ep->link = link;
	ep->fd = fd;
	pthread_mutex_init(&ep->flag, NULL);
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

	(void)index;
	(void)events;
	free_gone(link);
	return control_ready(link);
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
		free_endpoint(ep);
	}
	while (link->gone) {
		struct endpoint *ep = link->gone;

		link->gone = ep->next;
		if (ep->closes)
			pthread_join(ep->closer, NULL);
		else
			close_endpoint(ep);
		free_endpoint(ep);
	}
	free(link);
}

static const struct gb_link_ops rpmsg_link_ops = {
	.name = "rpmsg",
	.feeds = true,
	.send = rpmsg_link_send,
	.flush = rpmsg_link_flush,
	.ready = rpmsg_link_ready,
	.stop = rpmsg_link_stop,
	.destroy = rpmsg_link_destroy,
};

struct gb_link *gb_rpmsg_open(int control)
{
	struct rpmsg_link *link = calloc(1, sizeof(*link));

	if (!link) {
		close(control);
		errno = ENOMEM;
		return NULL;
	}
	link->base.ops = &rpmsg_link_ops;
	link->base.fds[FD_CONTROL] = control;
	link->base.events[FD_CONTROL] = EPOLLIN;
	link->base.fd_count = 1;
	link->retry.expired = retry_expired;
	link->pause_ns = RETRY_FIRST_NS;
	return &link->base;
}
