/* SPDX-License-Identifier: BSD-3-Clause */
/* qemu_user.c - what qemu-user does otherwise than the kernel, without any code of this project.
 *
 *     qemu_user surplus    more descriptors come than there is room for: the rest is closed
 *
 * Status 0: as unix(7) has it. 1: not so.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "surplus") == 0)
		return surplus();
	fprintf(stderr, "qemu_user: say what to look at: surplus\n");
	return 2;
}
