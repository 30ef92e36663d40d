/* SPDX-License-Identifier: BSD-3-Clause */
/* guest_memory.c - see guest_memory.h. */
#define _GNU_SOURCE
#include "guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pump/pump.h"

/* linux/userfaultfd.h of 5.11; no right is needed with it. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

void guest_memory_init(struct guest_memory *memory)
{
	*memory = (struct guest_memory){
		.faults = -1, .pages = GUEST_MEMORY_PAGES_MAX, .as_of = gb_now_ns()};
}

static int open_faults(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void guest_memory_watch(struct guest_memory *memory, void *base, size_t length)
{
	struct uffdio_register mapping = {
		.range = {.start = (uintptr_t)base, .len = length},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (memory->faults < 0)
		memory->faults = open_faults();
	if (memory->faults < 0 || ioctl(memory->faults, UFFDIO_REGISTER, &mapping) < 0)
		return;
	/* Huge pages cannot be filled so: the VMM has reserved them, and they count for it. */
	if (!(mapping.ioctls & UINT64_C(1) << _UFFDIO_ZEROPAGE))
		ioctl(memory->faults, UFFDIO_UNREGISTER, &mapping.range);
}

static bool may_fill(struct guest_memory *memory)
{
	uint64_t more = (gb_now_ns() - memory->as_of) / GUEST_MEMORY_PAGE_NS;

	memory->as_of += more * GUEST_MEMORY_PAGE_NS;
	if (more > GUEST_MEMORY_PAGES_MAX - memory->pages)
		more = GUEST_MEMORY_PAGES_MAX - memory->pages;
	memory->pages += (uint32_t)more;
	return memory->pages;
}

bool guest_memory_fill(struct guest_memory *memory, const void *addr)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct uffdio_zeropage missing = {
		.range = {.start = (uintptr_t)addr & ~(page - 1), .len = page},
	};

	if (memory->faults < 0)
		return false;
	if (!may_fill(memory)) {
		memory->spent = 1;
		return false;
	}
	if (ioctl(memory->faults, UFFDIO_ZEROPAGE, &missing) == 0) {
		memory->pages--;
		return true;
	}
	/* Somebody else was faster, or changes mappings just now: the access is made again. */
	return errno == EEXIST || errno == EAGAIN;
}

void guest_memory_end(struct guest_memory *memory)
{
	if (memory->faults >= 0)
		close(memory->faults);
	memory->faults = -1;
	memory->spent = 0;
}
