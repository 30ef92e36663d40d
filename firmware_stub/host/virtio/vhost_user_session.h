/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user_session.h - the backend's side of a vhost-user connection: one guest, its
 * memory and its rings, for any kind of device.
 *
 * The session owns no event loop: the owner watches the socket and the kick descriptors and
 * calls in. Whatever a guest does wrong gives a sentence, and never anything worse. It is
 * single-threaded, and nothing here blocks.
 */
#ifndef VHOST_USER_SESSION_H
#define VHOST_USER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inflight.h"
#include "notifier.h"
#include "split_ring.h"
#include "vhost_user.h"

#define VHOST_USER_RINGS 2 /* every device of this project has two virtqueues */

/* What the owner is and does. */
struct vhost_user_session_ops {
	uint64_t features;          /* offered, VIRTIO_F_VERSION_1 among them */
	uint64_t protocol_features; /* offered */
	/* Configuration space: copy `size` bytes at `offset`; false refuses.
	 * NULL: the device has none. */
	bool (*get_config)(void *context, uint32_t offset, uint32_t size, uint8_t *to);
	/* A kick descriptor comes (watch it edge-triggered: nobody reads it) or
	 * goes. watch_kick returns 0 or -errno. */
	int (*watch_kick)(void *context, int fd);
	void (*unwatch_kick)(void *context, int fd);
	/* A running ring is about to stop: give back what was taken from it.
	 * May be NULL. */
	void (*stopping)(void *context, int index);
	/* Whether chains were taken whose answers need the rings as they are: a message that may
	 * stop rings is then held until vhost_user_session_resume(). May be NULL. */
	bool (*busy)(void *context);
	/* The driver begins, or has let go of the device: it is as after a reset. May be NULL. */
	void (*reset)(void *context);
	/* Memory of the guest's was mapped, and nothing of it touched. May be NULL. */
	void (*mapped)(void *context, void *base, size_t length);
	/* A message was executed, which may have started or stopped rings. */
	void (*applied)(void *context);
	/* A request was refused; the guest has been told. */
	void (*refused)(void *context, const char *why);
};

struct vhost_user_ring {
	struct split_device device; /* valid while running */
	uint16_t *again;            /* heads, of the device */
	struct vhost_user_vring_addr addr;
	uint16_t num;
	uint16_t base;
	int kick;
	struct notifier call;
	bool started; /* by SET_VRING_KICK */
	bool enabled; /* by SET_VRING_ENABLE */
	bool running; /* both, and all that is needed is there */
};

/* Whether the driver begins, as far as SET_VRING_BASE of ring 0 says. */
enum vhost_user_beginning {
	VHOST_USER_GOES_ON,
	VHOST_USER_BEGINS,
	VHOST_USER_RING_TELLS, /* when it starts: a driver that begins has zeroed it */
};

struct vhost_user_session {
	const struct vhost_user_session_ops *ops;
	void *context;
	int socket;     /* -1: no guest */
	int request_fd; /* closed with the guest: that is how UML notices */
	struct vhost_user_receiver receiver;
	struct vhost_user_memory memory;
	struct vhost_user_message table; /* what `memory` was made of */
	struct inflight_log log;
	uint64_t features; /* accepted */
	struct vhost_user_ring rings[VHOST_USER_RINGS];
	bool held;  /* the message in the receiver waits, see busy() */
	bool used;  /* a ring ran since the last reset */
	bool based; /* the base of ring 0 was told */
	enum vhost_user_beginning beginning;
	bool loading; /* see vhost_user_handover.h */
	bool keeps_log; /* of its own, where the front-end has none: the owner's, from start to end */
	char why[200];
};

void vhost_user_session_init(struct vhost_user_session *session,
			     const struct vhost_user_session_ops *ops, void *context);
/* A guest connected; the session owns the (non-blocking) socket from here on. */
void vhost_user_session_start(struct vhost_user_session *session, int socket);
/* Let the guest go: everything is stopped, unmapped and closed. */
void vhost_user_session_end(struct vhost_user_session *session);

/*
 * The socket is readable: execute one message. 1; 0 when none is waiting or one
 * is held;
 * -ECONNRESET when the guest left; -EPROTO with why[] when the guest cannot be
 * served any further. The owner ends the session on a negative result.
 */
int vhost_user_session_receive(struct vhost_user_session *session);

/* The device is no longer busy: execute the message that was held, if there is one. Results as
 * above. */
int vhost_user_session_resume(struct vhost_user_session *session);

/* Publish what was pushed to a ring and signal the guest if it wants that. */
void vhost_user_session_publish(struct vhost_user_session *session, int index);

/* Whether both rings run. */
bool vhost_user_session_running(const struct vhost_user_session *session);

/*
 * A non-blocking socket that listens at `path`, or -errno with a sentence in why[].
 * A file that a dead process left behind is replaced, nothing else. `mode`: permission
 * bits, -1: what the umask leaves.
 */
int vhost_user_listen(const char *path, int mode, char *why, size_t why_size);

#endif
