/* SPDX-License-Identifier: BSD-3-Clause */
/* qemu_user.c - what qemu-user does otherwise than the kernel, without any code of this project.
 *
 *     qemu_user surplus    more descriptors come than there is room for: the rest is closed
 *     qemu_user aio        io_setup(2) is there
 *     qemu_user ptrace     a process can be traced
 *     qemu_user seccomp    system calls can be forbidden
 *     qemu_user peek       SO_PEEK_OFF of a Unix socket can be set
 *     qemu_user cookie     SO_COOKIE of a Unix socket can be read
 *     qemu_user readdir    all entries of the folder can be read, without _FILE_OFFSET_BITS=64
 *
 * Status 0: as the manual pages have it. 1: not so.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 2, SENT = 6 };

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 64; fd++) {
		int copy = dup(fd);

		if (copy >= 0) {
			close(copy);
			count++;
		}
	}
	return count;
}

static int surplus(void)
{
	union {
		char bytes[CMSG_SPACE(SENT * sizeof(int))];
		struct cmsghdr aligned;
	} control = {0};
	char byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int ends[2], fds[SENT] = {0}, before;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return 2;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	if (sendmsg(ends[0], &message, 0) != 1)
		return 2;
	before = open_fds();
	message.msg_controllen = CMSG_LEN(ROOM * sizeof(int));
	if (recvmsg(ends[1], &message, 0) != 1)
		return 2;
	printf("MSG_CTRUNC is %s, %d descriptors came for %d\n",
	       message.msg_flags & MSG_CTRUNC ? "set" : "not set", open_fds() - before, ROOM);
	return !(message.msg_flags & MSG_CTRUNC) || open_fds() - before != ROOM;
}

static int told(const char *call, long result)
{
	printf("%s: %s\n", call, result < 0 ? strerror(errno) : "done");
	return result < 0;
}

static int aio(void)
{
	aio_context_t context = 0;

	return told("io_setup", syscall(SYS_io_setup, 1, &context));
}

static int trace(void)
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? errno : 0);
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return told("PTRACE_TRACEME", errno ? -1 : 0);
}

static int seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return 2;
	return told("PR_SET_SECCOMP", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static int peek(void)
{
	int ends[2], offset = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
		return 2;
	return told("SO_PEEK_OFF",
		    setsockopt(ends[0], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
}

static int cookie(void)
{
	unsigned long long number;
	socklen_t length = sizeof(number);
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
		return 2;
	return told("SO_COOKIE", getsockopt(ends[0], SOL_SOCKET, SO_COOKIE, &number, &length));
}

static int read_folder(void)
{
	DIR *folder = opendir(".");

	if (!folder)
		return 2;
	errno = 0;
	while (readdir(folder))
		continue;
	return told("readdir", errno ? -1 : 0);
}

static const struct {
	const char *name;
	int (*answer)(void);
} questions[] = {
	{"surplus", surplus}, {"aio", aio}, {"ptrace", trace}, {"seccomp", seccomp},
	{"peek", peek}, {"cookie", cookie}, {"readdir", read_folder},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(questions) / sizeof(questions[0]); i++)
		if (strcmp(argv[1], questions[i].name) == 0)
			return questions[i].answer();
	fprintf(stderr, "qemu_user: say what to look at: surplus, aio, ptrace, seccomp, peek, "
		"cookie or readdir\n");
	return 2;
}
