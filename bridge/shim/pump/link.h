/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - between the ways to reach a coprocessor and the endpoints on them.
 *
 * A link moves rpmsg messages: (source, destination, payload). But for what Python calls,
 * everything here is called with the pump's lock held and must never block, except
 * destroy().
 */
#ifndef GB_LINK_H
#define GB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

struct gb_link;
struct gb_link_endpoint;

/* ---- what Python calls ---------------------------------------------------- */

/* Hand an opened link to the pump, which owns it from here on; messages flow
 * at once. 0 or -errno (the link is destroyed then). */
int gb_pump_add_link(struct gb_pump *pump, struct gb_link *link, uint64_t id);
/* Close a link, added to a pump or not; its controllers are closed too. */
void gb_link_close(struct gb_link *link);
/* What goes over the link, before the pump has it, is recorded there. */
void gb_link_record(struct gb_link *link, struct gb_trace *trace);

struct gb_link_counters {
	uint64_t sent, received; /* messages */
};

void gb_link_count(struct gb_link *link, struct gb_link_counters *counters);
/* The number of messages that went nowhere: no endpoint, or bad form. */
uint64_t gb_link_strays(struct gb_link *link);

/* ---- kinds of links ------------------------------------------------------- */

/* What a kind of link implements. */
struct gb_link_ops {
	const char *name;
	/* Messages come through threads of the link's own, which call gb_link_received(). */
	bool feeds;
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
	/* Optional: called when the link is alive and will be destroyed. */
	void (*leave)(struct gb_link *link);
	/* Optional: called when it will be destroyed. Cancel its timers. */
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
	/* Messages that could not be read; those for no endpoint of ours are added. */
	uint64_t strays;
	/* --- not touched by the kinds of link --- */
	struct gb_pump *pump;
	uint64_t id;
	struct gb_trace *trace; /* NULL: what goes over it is not recorded */
	bool dead;
	bool blocked; /* send said -EAGAIN */
	struct gb_link_endpoint *endpoints;
	struct gb_part part;
	struct gb_flush flush;
	struct gb_source *sources[GB_LINK_FDS_MAX];
	uint32_t announced; /* channels, not read yet */
	uint64_t message_ns; /* when the latest message was sent or came */
	uint64_t sent, received; /* messages */
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

/* Called by a link: the descriptor fds[index] is watched for these epoll events from here
 * on. False: it is not watched, since the link is dead or no pump has it yet. */
bool gb_link_watch(struct gb_link *link, int index, uint32_t events);
/* Called by a link for a timer of its own, as gb_timer_arm() and gb_timer_cancel(). */
void gb_link_arm(struct gb_link *link, struct gb_timer *timer, uint64_t due_ns);
void gb_link_disarm(struct gb_link *link, struct gb_timer *timer);

/* Called by a link for a thread of its own, as gb_pump_adopt(). */
void gb_link_adopt(struct gb_link *link, pthread_t thread);
/* Called by such a thread, as gb_lock() and gb_unlock(). */
void gb_link_lock(struct gb_link *link);
void gb_link_unlock(struct gb_link *link);

/* ---- endpoints ------------------------------------------------------------ */

/* What a kind of endpoint implements. */
struct gb_link_endpoint_ops {
	/* A message for it came. */
	void (*received)(struct gb_link_endpoint *endpoint, const uint8_t *message,
			 uint16_t length);
	/* There may be room again, after -EAGAIN. */
	void (*writable)(struct gb_link_endpoint *endpoint);
	/* Optional: the link is dead. */
	void (*abandon)(struct gb_link_endpoint *endpoint);
	/* The link is closed: detach it, and free its owner. */
	void (*free)(struct gb_link_endpoint *endpoint);
};

/* An endpoint of ours and the firmware's one that it talks to; embedded by its owner,
 * who sets the first three. */
struct gb_link_endpoint {
	const struct gb_link_endpoint_ops *ops;
	uint32_t source, address; /* ours, the firmware's */
	struct gb_link *link;
	struct gb_link_endpoint *next;
	uint64_t strays; /* messages that its owner could not make sense of */
	uint32_t features; /* that its owner has accepted, for the trace */
};

/* 0 or errno: ENODEV, EADDRINUSE. */
int gb_link_attach(struct gb_link *link, struct gb_link_endpoint *endpoint);
void gb_link_detach(struct gb_link_endpoint *endpoint);
/* Queue a message: 0, -EAGAIN (blocked until writable), -errno. `now_ns`: the time, where the
 * caller knows it, or 0. */
int gb_link_transmit(struct gb_link_endpoint *endpoint, const void *message, uint16_t length,
		     uint64_t now_ns);
void gb_link_die(struct gb_link *link, int error);

#endif
