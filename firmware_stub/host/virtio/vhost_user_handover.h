/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user_handover.h - a session that goes on in the next process, without
 * the front-end's knowledge: some do not survive a connection that ends.
 *
 * What a session is, is said in the words of vhost-user itself: the messages that
 * set it up. They are as hostile to the next process as any front-end's.
 */
#ifndef VHOST_USER_HANDOVER_H
#define VHOST_USER_HANDOVER_H

#include "vhost_user_session.h"

/*
 * Write the messages, with descriptors, to `to`, a Unix socket of SOCK_SEQPACKET, which
 * holds them: some KiB. The device must be at rest: nothing is taken from
 * a ring and not returned. 0; -EBUSY: a message is half way here, the session cannot
 * go on elsewhere; -EAGAIN: `to` is full; other errors of sendmsg(2).
 */
int vhost_user_session_save(const struct vhost_user_session *session, int to);

/*
 * Execute what the other end, `from`, holds, then go on with the session's socket. The
 * messages stay there: a process that is killed on the way leaves them to the next one.
 * 0; -EPROTO with why[].
 */
int vhost_user_session_load(struct vhost_user_session *session, int from);

#endif
