/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "gpiochip_link.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linux_device.h"
#include "rpmsg_gpio.h"

#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define ADDRESS 1024u /* of the only endpoint */
#define MESSAGES_A_TURN 16
#define PATH_MAX_SHOWN 64

enum { FD_DATA, FD_NEWS };

enum news_kind {
	NEWS_SERVED,  /* the thread runs */
	NEWS_REFUSED, /* the kernel refused something */
	NEWS_DOWN,    /* the thread ends; `error` is why */
};

/* From the thread to the link, one a packet. */
struct news {
	enum news_kind kind;
	int error;
	char text[120];
};

struct gpiochip_link {
	struct gb_link base;
	uint32_t driver; /* our address, to which everything goes */
	char path[PATH_MAX_SHOWN];
};

static struct gpiochip_link *to_link(struct gb_link *base)
{
	return (struct gpiochip_link *)base;
}

/* ---- the thread ---------------------------------------------------------- */

struct server {
	struct linux_device *device;
	int chip, endpoint, news; /* closed at the end */
};

/* The message is dropped where the pump is so far behind that there is no room. */
static void tell(int fd, const struct news *news)
{
	(void)!send(fd, news, sizeof(*news), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void refused(void *context, uint16_t gpio, const char *what, int error)
{
	const struct server *server = context;
	struct news news = {.kind = NEWS_REFUSED, .error = error};

	snprintf(news.text, sizeof(news.text), "%s of line %u", what, gpio);
	tell(server->news, &news);
}

static void *serve(void *context)
{
	struct server *server = context;
	struct news news = {.kind = NEWS_SERVED};

	tell(server->news, &news);
	news.kind = NEWS_DOWN;
	news.error = -linux_device_run(server->device);
	tell(server->news, &news);
	linux_device_free(server->device);
	close(server->chip);
	close(server->endpoint);
	close(server->news);
	free(server);
	return NULL;
}

static int start_thread(struct server *server)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	/* The thread is not joined: it may sleep in the kernel for as long as the chip's driver
	 * likes. */
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attributes, serve, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

/* ---- what the pump calls ------------------------------------------------- */

static void watch_room(struct gpiochip_link *link, bool wanted)
{
	gb_link_watch(&link->base, FD_DATA, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int gpiochip_link_send(struct gb_link *base, uint32_t source, uint32_t destination,
			      const void *message, uint16_t length)
{
	struct gpiochip_link *link = to_link(base);

	if (destination != ADDRESS)
		return 0; /* nobody is there, and nobody answers */
	link->driver = source;
	if (send(base->fds[FD_DATA], message, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	if (errno == EAGAIN || errno == ENOBUFS) {
		watch_room(link, true);
		return -EAGAIN;
	}
	snprintf(base->why, sizeof(base->why), "%s: not served any more", link->path);
	return -ENODEV;
}

static void gpiochip_link_flush(struct gb_link *base)
{
	(void)base; /* a packet has reached the thread when it is sent */
}

static int data_ready(struct gpiochip_link *link)
{
	uint8_t bytes[MESSAGES_A_TURN][RPMSG_GPIO_MESSAGE_MAX];
	struct mmsghdr messages[MESSAGES_A_TURN] = {0};
	struct iovec places[MESSAGES_A_TURN];
	int count;

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		places[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &places[i], .msg_iovlen = 1};
	}
	count = recvmmsg(link->base.fds[FD_DATA], messages, MESSAGES_A_TURN, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count && !link->base.dead; i++)
		if (messages[i].msg_len) /* else the end, of which there is news */
			gb_link_received(&link->base, ADDRESS, link->driver, bytes[i],
					 (uint16_t)messages[i].msg_len);
	return 0;
}

static int news_ready(struct gpiochip_link *link)
{
	struct gb_link *base = &link->base;
	char reason[64];
	struct news news;

	if (recv(base->fds[FD_NEWS], &news, sizeof(news), MSG_DONTWAIT) != sizeof(news)) {
		if (errno == EAGAIN)
			return 0;
		news = (struct news){.kind = NEWS_DOWN, .error = ENODEV};
	}
	switch (news.kind) {
	case NEWS_SERVED:
		gb_link_announced(base, CHANNEL, ADDRESS, true);
		return 0;
	case NEWS_REFUSED:
		gb_link_note(base, "%s: %s: %s", link->path, news.text,
			     strerror_r(news.error, reason, sizeof(reason)));
		return 0;
	default:
		snprintf(base->why, sizeof(base->why), "%s: the chip is gone", link->path);
		return -(news.error ? news.error : ENODEV);
	}
}

static int gpiochip_link_ready(struct gb_link *base, int index, uint32_t events)
{
	struct gpiochip_link *link = to_link(base);

	if (index == FD_NEWS)
		return news_ready(link);
	if (events & EPOLLOUT) {
		watch_room(link, false);
		gb_link_writable(base);
	}
	if (events & EPOLLHUP) /* a packet of news comes and says why */
		gb_link_watch(base, FD_DATA, 0);
	return events & EPOLLIN ? data_ready(link) : 0;
}

static void close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void gpiochip_link_destroy(struct gb_link *base)
{
	close(base->fds[FD_DATA]); /* which ends the thread */
	close(base->fds[FD_NEWS]);
	free(base);
}

static const struct gb_link_ops gpiochip_link_ops = {
	.name = "gpiochip",
	.send = gpiochip_link_send,
	.flush = gpiochip_link_flush,
	.ready = gpiochip_link_ready,
	.destroy = gpiochip_link_destroy,
};

/* ---- opening ------------------------------------------------------------- */

/* Returns 0, and the server owns the chip and the two descriptors; or an errno. */
static int start_server(int chip, int endpoint, int news)
{
	struct server *server = malloc(sizeof(*server));
	int error;

	if (!server)
		return ENOMEM;
	*server = (struct server){.chip = chip, .endpoint = endpoint, .news = news};
	error = -linux_device_new(&server->device, chip, endpoint);
	if (!error) {
		linux_device_on_refusal(server->device, refused, server);
		error = start_thread(server);
		if (!error)
			return 0;
		linux_device_free(server->device);
	}
	free(server);
	return error;
}

struct gb_link *gb_gpiochip_open(int chip, const char *path)
{
	struct gpiochip_link *link = calloc(1, sizeof(*link));
	int data[2] = {-1, -1}, news[2] = {-1, -1};
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int error = 0;

	if (!link || socketpair(AF_UNIX, type, 0, data) || socketpair(AF_UNIX, type, 0, news))
		error = link ? errno : ENOMEM;
	else
		error = start_server(chip, data[1], news[1]);
	if (error) {
		free(link);
		close_pair(data);
		close_pair(news);
		close(chip);
		errno = error;
		return NULL;
	}
	link->base.ops = &gpiochip_link_ops;
	link->base.fds[FD_DATA] = data[0];
	link->base.fds[FD_NEWS] = news[0];
	link->base.events[FD_DATA] = EPOLLIN;
	link->base.events[FD_NEWS] = EPOLLIN;
	link->base.fd_count = 2;
	snprintf(link->path, sizeof(link->path), "%s", path);
	return &link->base;
}
