/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - the control channel: commands on a SOCK_SEQPACKET unix socket.
 *
 * One command a packet, one reply a packet, in order: `ok`, `ok VALUES` or
 * `error ERRNO SENTENCE`.
 */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include <stddef.h>

#include "commands.h"
#include "stub_loop.h"

struct control;

/* Returns NULL and a sentence in why[] on failure. A stale socket file that
 * nobody listens on is replaced. */
struct control *control_open(struct loop *loop, struct commands *commands, const char *path,
			     char *why, size_t why_size);
void control_close(struct control *control);
/* Answer the clients whose wait is over. */
void control_run(struct control *control);

#endif
