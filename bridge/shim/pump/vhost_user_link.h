/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_user_link.h - a link to a vhost-user backend with an rpmsg device. */
#ifndef GB_VHOST_USER_LINK_H
#define GB_VHOST_USER_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "link.h"

/*
 * Connect to the vhost-user socket at `path` and bring the rpmsg device up,
 * all within `timeout_ms`. NULL on failure, with errno set and a sentence in
 * why[]: ENOENT no socket there, ECONNREFUSED nobody listens, ETIMEDOUT no
 * answer, EPROTO or EPROTONOSUPPORT not a device that this link can use.
 * Blocks; to be called without the pump's lock.
 */
struct gb_link *gb_vhost_user_connect(const char *path, int timeout_ms,
				      char *why, size_t why_size);

#endif
