/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - a guest of an export: its vhost-user session on the pump's loop.
 *
 * Everything is called with the pump's lock held. What a guest does wrong ends
 * its own session, at the end of the callback in hand (guest_leave()), so that
 * no function loses its rings under its feet.
 */
#ifndef GUEST_H
#define GUEST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_memory.h"
#include "pump/pump.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user_session.h"

/* Linux uses one descriptor a part; other drivers may spread a part over several. */
#define GUEST_PARTS_MAX 16
/* A new kick descriptor is watched before the old one is given up. */
#define GUEST_KICKS_MAX (VHOST_USER_RINGS + 1)

struct guest;

struct guest_ops {
	struct vhost_user_session_ops session; /* context: struct guest; see guest.c */
	/* Chains may be waiting. */
	void (*look)(struct guest *guest);
	/* A message is about to be read, or to be executed that was held. */
	void (*changing)(struct guest *guest);
	/* The guest is gone, its rings too; guest->why says why it was disconnected. */
	void (*gone)(struct guest *guest);
};

struct guest {
	struct vhost_user_session session;
	struct gb_pump *pump;
	const struct guest_ops *ops;
	struct gb_source *source;
	struct gb_source *kicks[GUEST_KICKS_MAX];
	struct gb_timer again; /* look at the rings in a next turn */
	struct gb_flush flush; /* show the guest what was pushed */
	/* Heads that were taken and not pushed, by ring. */
	uint64_t taken[VHOST_USER_RINGS][SPLIT_RING_NUM_MAX / 64];
	bool closing;
	bool stays; /* its connection is the next process's, too */
	char why[200];
	unsigned int busy;   /* callbacks in hand */
	struct guest *outer; /* in the thread's stack of callbacks */
	struct guest_memory memory;
	volatile sig_atomic_t memory_lost;
};

void guest_init(struct guest *guest, struct gb_pump *pump, const struct guest_ops *ops);
/* The guest connected; its socket belongs to it from here on. 0 or -errno. */
int guest_open(struct guest *guest, int socket);
/*
 * Serve a guest of the process before, whose socket is the guest's from here on;
 * `from` says how it was left (vhost_user_handover.h). 0 or -errno.
 */
int guest_take_over(struct guest *guest, int socket, int from);
/* A copy of its socket, the caller's, or -errno. */
int guest_connection(const struct guest *guest);
/* Let it go now, as the last thing between guest_enter() and guest_leave(). */
void guest_drop(struct guest *guest);
/* Around everything that touches its memory. */
void guest_enter(struct guest *guest);
void guest_leave(struct guest *guest);
/* Disconnect the guest, and say why. */
void __attribute__((format(printf, 2, 3)))
guest_fail(struct guest *guest, const char *format, ...);

bool guest_runs(const struct guest *guest, int index);
/* Take one chain. False: there is none, or the guest was disconnected. */
bool guest_pop(struct guest *guest, int index, struct split_chain *chain);
/* Return a chain; the guest is told at the end of the turn. */
void guest_push(struct guest *guest, int index, uint16_t head, uint32_t written);
/* Look at the rings again in the next turn of the loop. */
void guest_look_again(struct guest *guest);
/* The device is not busy any more. */
void guest_resume(struct guest *guest);

/* For ops.session. */
int guest_watch_kick(void *context, int fd);
void guest_unwatch_kick(void *context, int fd);
void guest_mapped(void *context, void *base, size_t length);
void guest_applied(void *context);
void guest_refused(void *context, const char *why);

#endif
