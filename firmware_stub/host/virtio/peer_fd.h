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
/* Whether it can be waited for: poll(2) and epoll do not block, nor does close(2). */
bool peer_fd_polls(int fd);

/* Close it; one of an unknown kind in a thread of its own, where it hurts nobody. */
void peer_fd_close(int fd);

/* Closes that may be under way in threads. While there are as many no descriptor of a peer
 * is let in: each that hangs costs a thread, and stays open. */
#define PEER_FD_CLOSES_MAX 64u
bool peer_fd_welcome(void);

#endif
