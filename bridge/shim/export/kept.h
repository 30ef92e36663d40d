/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kept.h - a guest outside of this process, which may end at any time.
 *
 * Its lines are in memory, in the form of a state file, and what was taken from its rings
 * is in its session's log: both change by stores alone. The messages that set its session
 * up (vhost_user_handover.h) are in a socket pair, written anew when the front-end has
 * changed something. Meanwhile the memory says that they are not to be believed: a process
 * that ends in between loses the guest. However much a front-end says, what is kept does
 * not grow.
 */
#ifndef KEPT_H
#define KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "export.h"
#include "state_file.h"
#include "virtio/vhost_user_session.h"

/* All zero: nothing is kept. */
struct kept {
	struct state_file memory;
	int from, to; /* ends of the pair */
	bool begun;   /* what was in it from the process before is there no more */
};

/* Of what the caller keeps; its descriptors are copied. 0, also without any, or -errno. */
int kept_open(struct kept *kept, const struct gb_export_config *config);
void kept_close(struct kept *kept);
bool kept_is_open(const struct kept *kept);

/* What the process before has kept of `count` lines. */
void kept_lines(const struct kept *kept, struct gb_export_line *lines, uint32_t count);
/* Keep the state of all lines, and with kept_line() that of one, from here on. */
void kept_begin(struct kept *kept, const struct gb_export_line *lines, uint32_t count);
void kept_line(struct kept *kept, uint32_t line, const struct gb_export_line *state);

/* What is in the pair is not the session any more. False: nothing is kept. */
bool kept_changing(const struct kept *kept);
/* It is, and stays it whatever is taken from its rings: the log says that. */
bool kept_lasts(const struct kept *kept);
/*
 * It is, from here on. `at_rest`: nothing is taken from its rings and not returned, now
 * and later. 0; -EBUSY: a message is on its way here, or held; -EOPNOTSUPP: nothing is kept,
 * or the front-end's log has not got all queues; other errors of sendmsg(2).
 */
int kept_save(const struct kept *kept, const struct vhost_user_session *session, bool at_rest);
/* There is no session. */
void kept_forget(const struct kept *kept);

#endif
