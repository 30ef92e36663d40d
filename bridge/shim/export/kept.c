/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/vhost_user_handover.h"

#define PIECE 4096

/* ---- what is in the pair -------------------------------------------------------- */

static volatile uint32_t *session_word(const struct kept *kept)
{
	struct gb_export_state_header *header = (void *)kept->memory.base;

	return &header->session;
}

static void say(const struct kept *kept, uint32_t session)
{
	/* A process that is killed has done what stands in front of it, and nothing behind. */
	atomic_thread_fence(memory_order_seq_cst);
	*session_word(kept) = session;
	atomic_thread_fence(memory_order_seq_cst);
}

/* Without room for them the descriptors in there are closed. */
static void drain(const struct kept *kept)
{
	char piece[PIECE];

	while (recv(kept->from, piece, sizeof(piece), MSG_DONTWAIT) > 0)
		;
}

/* Where a ring that runs has come to, the next process knows by its log alone. */
static bool is_logged(const struct vhost_user_session *session)
{
	for (int i = 0; i < VHOST_USER_RINGS; i++)
		if (session->rings[i].running && !session->rings[i].device.log)
			return false;
	return true;
}

bool kept_changing(const struct kept *kept)
{
	if (kept_is_open(kept))
		say(kept, GB_EXPORT_SESSION_CHANGING);
	return kept_is_open(kept);
}

bool kept_lasts(const struct kept *kept)
{
	return kept_is_open(kept) && *session_word(kept) == GB_EXPORT_SESSION_WHOLE;
}

int kept_save(const struct kept *kept, const struct vhost_user_session *session, bool at_rest)
{
	bool logged = is_logged(session);
	int error;

	if (!kept_is_open(kept))
		return -EOPNOTSUPP;
	if (kept_lasts(kept))
		return 0; /* nothing has changed */
	say(kept, GB_EXPORT_SESSION_CHANGING);
	drain(kept);
	error = vhost_user_session_save(session, kept->to);
	if (!error && !at_rest && !logged)
		error = -EOPNOTSUPP;
	if (!error)
		say(kept, logged ? GB_EXPORT_SESSION_WHOLE : GB_EXPORT_SESSION_AT_REST);
	return error;
}

void kept_forget(const struct kept *kept)
{
	if (!kept_is_open(kept))
		return;
	say(kept, GB_EXPORT_SESSION_NONE);
	drain(kept);
}

void kept_lines(const struct kept *kept, struct gb_export_line *lines, uint32_t count)
{
	memcpy(lines, kept->memory.base + GB_EXPORT_STATE_HEADER, count * sizeof(*lines));
}

void kept_begin(struct kept *kept, const struct gb_export_line *lines, uint32_t count)
{
	if (!kept_is_open(kept))
		return;
	kept->begun = true;
	for (uint32_t i = 0; i < count; i++)
		kept_line(kept, i, &lines[i]);
}

void kept_line(struct kept *kept, uint32_t line, const struct gb_export_line *state)
{
	if (kept->begun)
		state_file_put(&kept->memory, line, state);
}

/* ---- life ----------------------------------------------------------------------- */

bool kept_is_open(const struct kept *kept)
{
	return kept->memory.base;
}

int kept_open(struct kept *kept, const struct gb_export_config *config)
{
	int error = 0;

	if (config->kept_fd < 0)
		return 0;
	kept->from = fcntl(config->kept_pair[0], F_DUPFD_CLOEXEC, 0);
	kept->to = fcntl(config->kept_pair[1], F_DUPFD_CLOEXEC, 0);
	if (kept->from < 0 || kept->to < 0)
		error = -errno;
	if (!error)
		error = state_file_open(&kept->memory, config->kept_fd, config->lines);
	if (!error)
		return 0;
	if (kept->from >= 0)
		close(kept->from);
	if (kept->to >= 0)
		close(kept->to);
	return error;
}

void kept_close(struct kept *kept)
{
	if (!kept_is_open(kept))
		return;
	state_file_close(&kept->memory);
	close(kept->from);
	close(kept->to);
}
