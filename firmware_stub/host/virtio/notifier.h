/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notifier.h - an eventfd, or what a peer has in its place, by which it is told to look
 * at a ring: UML has a stream socket, QEMU a pipe where there are no eventfds.
 *
 * The peer has the same file description: it can fill it and clear O_NONBLOCK, at any
 * time, so a write(2) may block. Signalling does not:
 *
 *   eventfd  an empty read by io_submit(2) whose completion the kernel signals there
 *            (IOCB_FLAG_RESFD); a full counter is left as it is
 *   pipe     vmsplice(2) with SPLICE_F_NONBLOCK, which is of the call and not of the file
 *   socket   send(2) with MSG_DONTWAIT, as well
 *
 * Where the kernel has not got the call (CONFIG_AIO, a seccomp filter), a thread writes:
 * when it blocks, only this peer waits.
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include "peer_fd.h"

struct notifier_thread;

struct notifier {
	int fd; /* -1: none */
	enum peer_fd_kind kind;
	struct notifier_thread *thread; /* NULL: not needed so far */
};

/* No descriptor yet. */
void notifier_init(struct notifier *notifier);
/* Take an eventfd, a Unix socket or a pipe's end to write. 0, or -EINVAL: it is none of
 * these; the caller's then. */
int notifier_open(struct notifier *notifier, int fd);
/* Nothing happens without a descriptor. A full one is left as it is: its reader is
 * awake anyway. */
void notifier_signal(struct notifier *notifier);
void notifier_close(struct notifier *notifier);

#endif
