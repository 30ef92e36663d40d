/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For programs that load no library, or call the kernel without the libc: a seccomp filter
 * that holds their system calls about files and GPIO ioctls, and a supervisor, in the process
 * of `gpio-bridge run`, that answers those about our chips and lets all others go on.
 *
 * What a system call points to is read from the program's memory once, into a copy. Other
 * threads of the program may change it meanwhile: what the kernel then does with a call that
 * goes on is between it and the program, since nothing is allowed here that was not before.
 */
#define _GNU_SOURCE
#include "stat.h"

#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ioctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define ARGUMENT_MAX 1024u

EXPORTED int gpio_bridge_trap(void);
EXPORTED int gpio_bridge_supervise(int listener, int end);

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

#ifndef ARCHITECTURE

EXPORTED int gpio_bridge_trap(void)
{
	return -ENOSYS;
}

EXPORTED int gpio_bridge_supervise(int listener, int end)
{
	(void)listener;
	(void)end;
	return -ENOSYS;
}

#else

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* ---- the filter, in the program's process before it is the program -------------- */

#define WORD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOW_WORD_OF_ARGUMENT_1 \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + \
		 (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* A call that is held. */
#define HOLD(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF)

EXPORTED int gpio_bridge_trap(void)
{
	static struct sock_filter filter[] = {
		WORD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		RETURN(SECCOMP_RET_ALLOW),
		WORD(nr),
		HOLD(SYS_openat),
		HOLD(SYS_newfstatat),
		HOLD(SYS_fstat),
		HOLD(SYS_statx),
		HOLD(SYS_readlinkat),
		HOLD(SYS_faccessat),
		HOLD(SYS_faccessat2),
#ifdef SYS_open
		HOLD(SYS_open),
		HOLD(SYS_stat),
		HOLD(SYS_lstat),
		HOLD(SYS_readlink),
		HOLD(SYS_access),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		LOW_WORD_OF_ARGUMENT_1,
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xb400, 1, 0),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_USER_NOTIF),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	long listener;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			   &program);
	return listener < 0 ? -errno : (int)listener;
}

/* ---- the program's memory and descriptors ------------------------------------- */

struct call {
	int listener;
	struct seccomp_notif notif;
	char path[PATH_MAX];
};

static bool is_there(const struct call *call)
{
	return !ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->notif.id);
}

static bool read_memory(const struct call *call, uint64_t from, void *to, size_t size)
{
	struct iovec ours = {to, size}, theirs = {(void *)(uintptr_t)from, size};

	return process_vm_readv((pid_t)call->notif.pid, &ours, 1, &theirs, 1, 0) ==
	       (ssize_t)size;
}

static bool write_memory(const struct call *call, uint64_t to, const void *from, size_t size)
{
	struct iovec ours = {(void *)from, size}, theirs = {(void *)(uintptr_t)to, size};

	return is_there(call) && process_vm_writev((pid_t)call->notif.pid, &ours, 1, &theirs, 1,
						   0) == (ssize_t)size;
}

/* A string, page by page: what is behind it need not be there. */
static bool read_path(struct call *call, uint64_t from)
{
	size_t at = 0;

	while (at < sizeof(call->path)) {
		size_t size = PAGE - (size_t)((from + at) % PAGE);

		if (size > sizeof(call->path) - at)
			size = sizeof(call->path) - at;
		if (!read_memory(call, from + at, call->path + at, size))
			return false;
		if (memchr(call->path + at, '\0', size))
			return is_there(call);
		at += size;
	}
	return false;
}

/* Of the process whose thread called: only that has descriptors to be copied. */
static pid_t process_of(pid_t thread)
{
	char path[40], text[512];
	const char *found;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", thread);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	got = read(fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	text[got > 0 ? got : 0] = '\0';
	found = strstr(text, "\nTgid:");
	return found ? (pid_t)strtol(found + 6, NULL, 10) : -1;
}

/* A copy of a descriptor of the program, -1 for none. */
static int copy_of(const struct call *call, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, process_of((pid_t)call->notif.pid), 0), copy;

	if (process < 0)
		return -1;
	copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	syscall(SYS_close, process);
	return copy;
}

/* Give it a descriptor, which is closed here: its number there, -1 with errno. */
static int give(const struct call *call, int fd, bool cloexec)
{
	struct seccomp_notif_addfd given = {
		.id = call->notif.id, .srcfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int number = ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
	int error = errno;

	syscall(SYS_close, fd);
	errno = error;
	return number;
}

/* ---- answers ------------------------------------------------------------------ */

static void respond(const struct call *call, int64_t value, int error, uint32_t flags)
{
	struct seccomp_notif_resp response = {
		.id = call->notif.id, .val = value, .error = -error, .flags = flags,
	};

	/* It fails where the program is gone. */
	ioctl(call->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void go_on(const struct call *call)
{
	respond(call, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* What `size` bytes at `to` get; the result of the call is `value`. */
static void answer_with(const struct call *call, uint64_t to, const void *data, size_t size,
			int64_t value)
{
	if (write_memory(call, to, data, size))
		respond(call, value, 0, 0);
	else
		respond(call, 0, EFAULT, 0);
}

static void open_file(const struct call *call, enum preload_file file,
		      const struct preload_chip *chip, int flags)
{
	int fd = file == FILE_DEV ? preload_open_dev(chip) : preload_open(chip, flags);
	int number = -1;

	if (fd >= 0)
		number = give(call, fd, flags & O_CLOEXEC);
	respond(call, number < 0 ? 0 : number, number < 0 ? errno : 0, 0);
}

static void answer_stat(const struct call *call, enum preload_file file,
			const struct preload_chip *chip, bool follow, uint64_t to)
{
	struct stat status;

	FILL(struct stat, &status, file, chip, follow);
	answer_with(call, to, &status, sizeof(status), 0);
}

static void answer_statx(const struct call *call, enum preload_file file,
			 const struct preload_chip *chip, bool follow, uint64_t to)
{
	struct statx status;

	preload_fill_statx(&status, file, chip, follow);
	answer_with(call, to, &status, sizeof(status), 0);
}

static void answer_readlink(const struct call *call, enum preload_file file,
			    const struct preload_chip *chip, uint64_t to, uint64_t size)
{
	const char *target = file == FILE_LINK ? chip->device :
			     file == FILE_SUBSYSTEM ? SUBSYSTEM : NULL;
	size_t length = target ? strlen(target) : 0;

	if (!target)
		respond(call, 0, EINVAL, 0);
	else
		answer_with(call, to, target, length < size ? length : size,
			    (int64_t)(length < size ? length : size));
}

/* ---- calls -------------------------------------------------------------------- */

/* A path of ours, or one of the program's links to it. */
static enum preload_file file_of(struct call *call, uint64_t path, bool follow,
				 const struct preload_chip **chip)
{
	enum preload_file file;

	if (!read_path(call, path) || *call->path != '/')
		return FILE_NONE;
	file = preload_file(AT_FDCWD, call->path, chip);
	if (!file && follow)
		file = preload_file_behind(AT_FDCWD, call->path, chip);
	return file;
}

static void on_open(struct call *call, uint64_t path, int flags)
{
	const struct preload_chip *chip;
	enum preload_file file = file_of(call, path, !(flags & O_NOFOLLOW), &chip);

	if (file == FILE_LINK && flags & O_NOFOLLOW)
		respond(call, 0, ELOOP, 0);
	else if (file == FILE_CHIP || file == FILE_LINK || file == FILE_DEV)
		open_file(call, file, chip, flags);
	else
		go_on(call);
}

static void on_stat(struct call *call, uint64_t path, bool follow, uint64_t to)
{
	const struct preload_chip *chip;
	enum preload_file file = file_of(call, path, follow, &chip);

	if (file)
		answer_stat(call, file, chip, follow, to);
	else
		go_on(call);
}

/* A descriptor's own. */
static void on_fstat(const struct call *call, int fd, uint64_t to)
{
	int copy = copy_of(call, fd);
	const struct preload_chip *chip = copy < 0 ? NULL : preload_chip_of(copy);

	if (copy >= 0)
		syscall(SYS_close, copy);
	if (chip)
		answer_stat(call, FILE_CHIP, chip, true, to);
	else
		go_on(call);
}

static void on_fstatat(struct call *call, const uint64_t *of)
{
	if (of[3] & AT_EMPTY_PATH && read_path(call, of[1]) && !*call->path)
		on_fstat(call, (int)of[0], of[2]);
	else
		on_stat(call, of[1], !(of[3] & AT_SYMLINK_NOFOLLOW), of[2]);
}

static void on_statx(struct call *call, uint64_t path, bool follow, uint64_t to)
{
	const struct preload_chip *chip;
	enum preload_file file = file_of(call, path, follow, &chip);

	if (file)
		answer_statx(call, file, chip, follow, to);
	else
		go_on(call);
}

static void on_readlink(struct call *call, uint64_t path, uint64_t to, uint64_t size)
{
	const struct preload_chip *chip;
	enum preload_file file = file_of(call, path, false, &chip);

	if (file)
		answer_readlink(call, file, chip, to, size);
	else
		go_on(call);
}

static void on_access(struct call *call, uint64_t path, int mode)
{
	const struct preload_chip *chip;

	if (file_of(call, path, true, &chip))
		respond(call, 0, mode & X_OK ? EACCES : 0, 0);
	else
		go_on(call);
}

/* The descriptor that an ioctl made here becomes the program's. */
static int hand_over(const struct call *call, uint32_t command, uint8_t *argument)
{
	uint32_t record_size;
	size_t place = preload_place_of_fd(command, &record_size);
	int fd, number;

	if (!place)
		return 0;
	memcpy(&fd, argument + place, sizeof(fd));
	number = give(call, fd, true);
	memcpy(argument + place, &number, sizeof(number));
	return number < 0 ? errno : 0;
}

static void on_ioctl(const struct call *call, int fd, uint32_t command, uint64_t pointer)
{
	_Alignas(8) uint8_t argument[ARGUMENT_MAX];
	size_t size = _IOC_SIZE(command);
	int copy = copy_of(call, fd), error = 0;

	if (copy < 0 || !preload_is_socket(copy)) {
		go_on(call);
	} else if (size > sizeof(argument) || !read_memory(call, pointer, argument, size)) {
		respond(call, 0, EFAULT, 0);
	} else {
		if (preload_ioctl(copy, command, argument) < 0)
			error = errno;
		else
			error = hand_over(call, command, argument);
		if (error)
			respond(call, 0, error, 0);
		else
			answer_with(call, pointer, argument, size, 0);
	}
	if (copy >= 0)
		syscall(SYS_close, copy);
}

static void handle(struct call *call)
{
	const uint64_t *of = (const uint64_t *)(const void *)call->notif.data.args;

	switch (call->notif.data.nr) {
	case SYS_openat:
		on_open(call, of[1], (int)of[2]);
		break;
	case SYS_newfstatat:
		on_fstatat(call, of);
		break;
	case SYS_fstat:
		on_fstat(call, (int)of[0], of[1]);
		break;
	case SYS_statx:
		on_statx(call, of[1], !(of[2] & AT_SYMLINK_NOFOLLOW), of[4]);
		break;
	case SYS_readlinkat:
		on_readlink(call, of[1], of[2], of[3]);
		break;
	case SYS_faccessat:
	case SYS_faccessat2:
		on_access(call, of[1], (int)of[2]);
		break;
#ifdef SYS_open
	case SYS_open:
		on_open(call, of[0], (int)of[1]);
		break;
	case SYS_stat:
		on_stat(call, of[0], true, of[1]);
		break;
	case SYS_lstat:
		on_stat(call, of[0], false, of[1]);
		break;
	case SYS_readlink:
		on_readlink(call, of[0], of[1], of[2]);
		break;
	case SYS_access:
		on_access(call, of[0], (int)of[1]);
		break;
#endif
	case SYS_ioctl:
		on_ioctl(call, (int)of[0], (uint32_t)of[1], of[2]);
		break;
	default:
		go_on(call);
	}
}

/* Until `end` is readable, or no program has the filter any more. 0 or -errno. */
EXPORTED int gpio_bridge_supervise(int listener, int end)
{
	static struct call call;
	struct pollfd ends[2] = {{.fd = listener, .events = POLLIN}, {.fd = end, .events = POLLIN}};

	call.listener = listener;
	for (;;) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (ends[1].revents || ends[0].revents & POLLHUP)
			return 0;
		if (!(ends[0].revents & POLLIN))
			continue;
		memset(&call.notif, 0, sizeof(call.notif));
		/* It fails where the call was interrupted meanwhile. */
		if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call.notif))
			handle(&call);
	}
}
#endif
