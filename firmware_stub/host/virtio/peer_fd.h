/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_fd.h - a descriptor that came from a peer.
 *
 * A peer may pass a file of its own making, such as one of FUSE, where every system
 * call waits for as long as the peer likes: fstat(2), poll(2) and close(2) too. Nothing
 * is done with a descriptor before its kind is known, and telling that never waits.
 */
#ifndef PEER_FD_H
#define PEER_FD_H

#include <stdbool.h>

enum peer_fd_kind {
	PEER_FD_OTHER,   /* any call may block */
	PEER_FD_EVENTFD,
	PEER_FD_PIPE,
	PEER_FD_MEMORY,  /* memfd, or a file of tmpfs or hugetlbfs */
	PEER_FD_SOCKET,  /* of AF_UNIX */
};

enum peer_fd_kind peer_fd_kind(int fd);
/* Whether the descriptor can be waited for: poll(2) and epoll do not block, nor does close(2). */
bool peer_fd_polls(int fd);

/* Close the descriptor; one of an unknown kind is closed in a thread of its own, where it can
 * block nobody. */
void peer_fd_close(int fd);

/* So many closes may be under way in threads. While there are as many, no descriptor of a peer is
 * accepted: each close that hangs costs a thread and a descriptor. */
#define PEER_FD_CLOSES_MAX 64u
bool peer_fd_welcome(void);

#endif
