/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_backend.h - a vhost-user backend that presents a virtio-rpmsg device.
 *
 * Listens on a unix socket and serves one guest (front-end) at a time: our
 * service, a User-Mode Linux kernel or QEMU. Virtio id 7, name service on.
 */
#ifndef HOST_RPMSG_BACKEND_H
#define HOST_RPMSG_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stub_loop.h"

struct rpmsg_backend;

struct rpmsg_backend_ops {
	/* The guest posted its receive buffers: announce channels now. */
	void (*attached)(void *context);
	/* The guest is gone or its rings stopped. */
	void (*detached)(void *context);
	/* One message came. False: keep it, since it cannot be taken now; the ring is not
	 * consumed until rpmsg_backend_resume(). */
	bool (*received)(void *context, uint32_t source, uint32_t destination,
			 const void *message, uint16_t length);
	/* There are receive buffers again, after rpmsg_backend_send() failed. */
	void (*writable)(void *context);
};

/* Returns NULL and a sentence in why[] on failure (path in use, too long...).
 * A stale socket file that nobody listens on is replaced. */
struct rpmsg_backend *rpmsg_backend_open(struct loop *loop, const char *path,
					 const struct rpmsg_backend_ops *ops,
					 void *context, char *why, size_t why_size);
void rpmsg_backend_close(struct rpmsg_backend *backend);

bool rpmsg_backend_attached(const struct rpmsg_backend *backend);

/* Queue a message to the guest; false when no buffer is free. */
bool rpmsg_backend_send(struct rpmsg_backend *backend, uint32_t source,
			uint32_t destination, const void *message, uint16_t length);
/* Name service: create or destroy a channel. */
bool rpmsg_backend_announce(struct rpmsg_backend *backend, const char *name,
			    uint32_t address, bool created);
/* Go on after received() returned false. */
void rpmsg_backend_resume(struct rpmsg_backend *backend);
/* Signal the guest once for all that was sent or consumed since the last call. */
void rpmsg_backend_flush(struct rpmsg_backend *backend);
/* Drop the guest, as a processor reset does; the next one may attach. */
void rpmsg_backend_disconnect(struct rpmsg_backend *backend);
/* Stop or go on consuming the guest's messages (a firmware that hangs). */
void rpmsg_backend_stall(struct rpmsg_backend *backend, bool stalled);
/* Fault: the next `count` messages carry these lengths instead of the true
 * ones; -1 leaves a length as it is. */
void rpmsg_backend_lie(struct rpmsg_backend *backend, unsigned int count,
		       int header_length, int used_length);

#endif
