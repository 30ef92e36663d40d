/* SPDX-License-Identifier: BSD-3-Clause */
/* listening_socket.h - makes the file of a listening Unix socket, or says why not. */
#ifndef LISTENING_SOCKET_H
#define LISTENING_SOCKET_H

#include <stddef.h>

/*
 * A non-blocking, close-on-exec socket of `type` (SOCK_STREAM, SOCK_SEQPACKET) that
 * listens at `path`, or -errno with a sentence in why[]. A file that a dead process left
 * behind is replaced, nothing else. `mode`: permission bits, -1: what the umask leaves.
 */
int listening_socket(const char *path, int type, int backlog, int mode, char *why,
		     size_t why_size);

#endif
