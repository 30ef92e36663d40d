/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - the seam between the pump and the ways to reach a coprocessor.
 *
 * A link moves rpmsg messages: (source, destination, payload). Everything here
 * is called by the pump with its lock held and must never block, but for destroy().
 */
#ifndef GB_LINK_H
#define GB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"

struct gb_link;
struct gb_endpoint;

/* What a kind of link implements. */
struct gb_link_ops {
	const char *name;
	/* Queue one message. 0; -EAGAIN when no buffer is free (the link calls
	 * gb_link_writable() when there is one again); -EMSGSIZE; any other
	 * negative errno means that the link is dead. */
	int (*send)(struct gb_link *link, uint32_t source, uint32_t destination,
		    const void *message, uint16_t length);
	/* Optional: the pump has it from here on. Arm its timers. */
	void (*start)(struct gb_link *link);
	/* Notify the peer once for all messages sent since the last flush. */
	void (*flush)(struct gb_link *link);
	/* One of the link's descriptors is ready. Delivers messages through
	 * gb_link_received(). 0, or a negative errno: the link is dead. */
	int (*ready)(struct gb_link *link, int index, uint32_t epoll_events);
	/* Optional: the link is alive, and will be destroyed. */
	void (*leave)(struct gb_link *link);
	/* Optional: it will be destroyed. Cancel its timers. */
	void (*stop)(struct gb_link *link);
	/* Free everything, close the descriptors, however long that takes: the pump
	 * has forgotten the link, and its lock is not held. Not called twice. */
	void (*destroy)(struct gb_link *link);
};

#define GB_LINK_FDS_MAX 4

/* First member of the struct of every kind of link. */
struct gb_link {
	const struct gb_link_ops *ops;
	/* Descriptors for the pump to watch: fds[i] with epoll mask events[i]
	 * (EPOLLET is allowed and spares a read of an eventfd). */
	int fds[GB_LINK_FDS_MAX];
	uint32_t events[GB_LINK_FDS_MAX];
	int fd_count;
	/* Why the link died, one English sentence without full stop. */
	char why[160];
	/* Messages that could not be read; the pump adds those for no endpoint of ours. */
	uint64_t strays;
	/* --- the pump's part, not touched by the kinds of link --- */
	struct gb_pump *pump;
	uint64_t id;
	bool dead;
	bool blocked; /* send said -EAGAIN */
	struct gb_controller *controllers;
	struct gb_endpoint *endpoints;
	struct gb_part part;
	struct gb_flush flush;
	struct gb_source *sources[GB_LINK_FDS_MAX];
	uint32_t announced; /* channels, not read yet */
};

/* Called by a link: a message came in. `message` is valid during the call. */
void gb_link_received(struct gb_link *link, uint32_t source,
		      uint32_t destination, const void *message,
		      uint16_t length);

/* Called by a link: transmit buffers are free again after -EAGAIN. */
void gb_link_writable(struct gb_link *link);

/* Called by a link: something that the service's log should say, one English
 * sentence without full stop; the link goes on. */
void gb_link_note(struct gb_link *link, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Called by a link: a name-service announcement was received. `name` is NUL
 * terminated and at most 31 characters. */
void gb_link_announced(struct gb_link *link, const char *name,
		       uint32_t address, bool created);

#endif
