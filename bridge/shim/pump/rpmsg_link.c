/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_link.c - one descriptor an endpoint, one message a read or write.
 *
 * What the kernel's rpmsg_char does and this file relies on: a blocking write
 * may sleep 15 s and then spin, so descriptors are O_NONBLOCK, always; a read
 * of 0 bytes is an empty message and no end of file; an endpoint that is gone
 * says EPIPE at once and shows EPOLLERR alone.
 */
#define _GNU_SOURCE
#include "rpmsg_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/rpmsg.h"

/* Of linux/rpmsg.h, whose other names are those of virtio/rpmsg.h too. */
#define RPMSG_DESTROY_EPT_IOCTL _IO(0xb5, 0x2)

enum { FD_CONTROL, FD_ENDPOINTS };

/* Endpoints of one link; the firmware side cannot make it more. */
#define ENDPOINTS_MAX 1024u
/* Messages of one endpoint before the others have their turn. */
#define READS_MAX 64
#define BATCH 32

struct endpoint {
	struct endpoint *next;
	uint32_t address; /* the firmware's */
	uint32_t source;  /* what the pump calls our side; the kernel has its own */
	int fd;
	bool destroy;     /* made by RPMSG_CREATE_EPT_IOCTL */
	bool blocked;     /* waits for EPOLLOUT */
	char name[RPMSG_NAME_SIZE];
};

struct rpmsg_link {
	struct gb_link base;
	struct endpoint *endpoints;
	/* Gone, but events of the batch in hand may still point to them. */
	struct endpoint *dead;
	unsigned int count;
};

static struct rpmsg_link *to_link(struct gb_link *base)
{
	return (struct rpmsg_link *)base;
}

static int down(struct rpmsg_link *link, int error, const char *why)
{
	snprintf(link->base.why, sizeof(link->base.why), "%s", why);
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

static int watch(struct rpmsg_link *link, struct endpoint *ep, int op)
{
	struct epoll_event event = {
		.events = EPOLLIN | (ep->blocked ? EPOLLOUT : 0),
		.data.ptr = ep,
	};

	return epoll_ctl(link->base.fds[FD_ENDPOINTS], op, ep->fd, &event);
}

static void close_endpoint(struct endpoint *ep)
{
	/* Fails when the endpoint is gone already: as good. */
	if (ep->destroy)
		ioctl(ep->fd, RPMSG_DESTROY_EPT_IOCTL);
	close(ep->fd);
	ep->fd = -1;
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
	close_endpoint(ep);
	gb_link_announced(&link->base, ep->name, ep->address, false);
	/* The transmit buffers are the processor's: others may have some. */
	if (ep->blocked)
		gb_link_writable(&link->base);
}

static void bury(struct rpmsg_link *link)
{
	while (link->dead) {
		struct endpoint *ep = link->dead;

		link->dead = ep->next;
		free(ep);
	}
}

static void broke(struct rpmsg_link *link, struct endpoint *ep, int error)
{
	struct gb_rpmsg_packet packet = {
		.code = GB_RPMSG_GONE,
		.address = ep->address,
		.error = error,
	};

	/* A finder that does not listen finds out by its next look at sysfs. */
	send(link->base.fds[FD_CONTROL], &packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL);
	remove_endpoint(link, ep);
}

/* ---- firmware -> us -------------------------------------------------------- */

/* Messages of the session before this one. */
static void drain(const struct endpoint *ep)
{
	uint8_t message[RPMSG_BUFFER_SIZE];
	int left = READS_MAX;

	while (left-- && read(ep->fd, message, sizeof(message)) >= 0)
		continue;
}

static void receive(struct rpmsg_link *link, struct endpoint *ep)
{
	uint8_t message[RPMSG_BUFFER_SIZE];
	int left;

	/* What a message causes may close the endpoint. */
	for (left = READS_MAX; left && ep->fd >= 0; left--) {
		ssize_t length = read(ep->fd, message, sizeof(message));

		if (length >= 0) {
			gb_link_received(&link->base, ep->address, ep->source, message,
					 (uint16_t)length);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			broke(link, ep, errno);
			return;
		}
	}
}

static void endpoint_ready(struct rpmsg_link *link, struct endpoint *ep, uint32_t events)
{
	if (ep->fd < 0)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		broke(link, ep, EPIPE);
		return;
	}
	if (events & EPOLLIN)
		receive(link, ep);
	if (ep->fd >= 0 && ep->blocked && (events & EPOLLOUT)) {
		ep->blocked = false;
		watch(link, ep, EPOLL_CTL_MOD);
		gb_link_writable(&link->base);
	}
}

static int endpoints_ready(struct rpmsg_link *link)
{
	struct epoll_event events[BATCH];
	int count = epoll_wait(link->base.fds[FD_ENDPOINTS], events, BATCH, 0);

	for (int i = 0; i < count; i++)
		endpoint_ready(link, events[i].data.ptr, events[i].events);
	return 0;
}

/* ---- us -> firmware -------------------------------------------------------- */

static int failed_write(struct rpmsg_link *link, struct endpoint *ep, int error)
{
	if (error == EMSGSIZE)
		return -EMSGSIZE;
	if (error == EAGAIN) {
		ep->blocked = true;
		watch(link, ep, EPOLL_CTL_MOD);
		return -EAGAIN;
	}
	/* The message is lost with its endpoint; the others go on. */
	broke(link, ep, error);
	return 0;
}

static int rpmsg_link_send(struct gb_link *base, uint32_t source, uint32_t destination,
			   const void *message, uint16_t length)
{
	struct rpmsg_link *link = to_link(base);
	struct endpoint *ep = find(link, destination);
	ssize_t written;

	/* Gone while the pump's owner has not yet heard of it. */
	if (!ep)
		return 0;
	if (ep->source != source) {
		drain(ep);
		ep->source = source;
	}
	do
		written = write(ep->fd, message, length);
	while (written < 0 && errno == EINTR);
	return written < 0 ? failed_write(link, ep, errno) : 0;
}

/* A write is on its way at once. */
static void rpmsg_link_flush(struct gb_link *base)
{
	(void)base;
}

/* ---- the finder ------------------------------------------------------------- */

/* Takes the descriptor, whatever comes of it. */
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
	ep->address = packet->address;
	ep->source = RPMSG_ADDR_ANY; /* no session yet */
	ep->destroy = packet->flags & GB_RPMSG_DESTROY;
	memcpy(ep->name, packet->text, sizeof(ep->name) - 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ep->next = link->endpoints;
	link->endpoints = ep;
	link->count++;
	gb_link_announced(&link->base, ep->name, ep->address, true);
	if (watch(link, ep, EPOLL_CTL_ADD) < 0)
		broke(link, ep, errno);
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
		.msg_controllen = sizeof(control),
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

static void rpmsg_link_destroy(struct gb_link *base)
{
	struct rpmsg_link *link = to_link(base);

	/* First, so that the finder ends and does not take the endpoints that
	 * are destroyed here for lost ones, to be made again. */
	close(base->fds[FD_CONTROL]);
	while (link->endpoints) {
		struct endpoint *ep = link->endpoints;

		link->endpoints = ep->next;
		close_endpoint(ep);
		free(ep);
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
	return &link->base;
}
