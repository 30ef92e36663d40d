/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "state_file.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* The file that this thread writes to right now. */
static _Thread_local struct state_file *in_hand;

int state_file_read(int fd, struct gb_export_line *lines, uint32_t count)
{
	size_t size = count * sizeof(*lines);

	return pread(fd, lines, size, GB_EXPORT_STATE_HEADER) == (ssize_t)size ? 0 : -EIO;
}

int state_file_open(struct state_file *file, int fd, uint32_t count)
{
	size_t length = GB_EXPORT_STATE_HEADER + count * sizeof(struct gb_export_line);
	struct stat st;
	void *base;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size != length)
		return -EINVAL;
	base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	*file = (struct state_file){.base = base, .length = length};
	return 0;
}

bool state_file_put(struct state_file *file, uint32_t line, const struct gb_export_line *state)
{
	if (!file->base || file->lost)
		return true;
	in_hand = file;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(file->base + GB_EXPORT_STATE_HEADER + line * sizeof(*state), state, sizeof(*state));
	atomic_signal_fence(memory_order_seq_cst);
	in_hand = NULL;
	return !file->lost;
}

void state_file_close(struct state_file *file)
{
	if (file->base)
		munmap(file->base, file->length);
	file->base = NULL;
}

bool state_file_vanished(const void *addr)
{
	struct state_file *file = in_hand;

	if (!file || (uintptr_t)addr - (uintptr_t)file->base >= file->length)
		return false;
	file->lost = 1;
	return mmap(file->base, file->length, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
