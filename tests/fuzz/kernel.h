/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel.h - the system calls of a fuzz target, answered in memory: a clock that only
 * the target moves, descriptors that cost nothing, one epoll instance, one thread.
 *
 * The project's sources run in it unchanged (names.h renames what they call). The thread
 * that they start is kernel_run(); where it would sleep, the target says what
 * happens next. What a correct program never does aborts, as a sanitizer's finding does:
 * a descriptor that leaks, is closed twice or used after, and a loop that spins.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sentence, and abort(). */
void __attribute__((noreturn, format(printf, 1, 2))) kernel_broken(const char *format, ...);

/* An empty kernel. */
void kernel_reset(void);
/* Every descriptor must have been closed. */
void kernel_check(void);

uint64_t kernel_now(void);
void kernel_advance(uint64_t ns);

/* Run the thread that was started until it ends. `step` is called where it would
 * sleep, and makes something happen. */
void kernel_run(void (*step)(void *context), void *context);

/* For a target that runs a loop of its own in it. */
void kernel_thread(void *(*entry)(void *), void *argument);

/* Memory that can be shared: what the next memfd maps, and anything a peer gives. */
#define KERNEL_MEMORY (1u << 20)
extern uint8_t kernel_memory[KERNEL_MEMORY];

/* ---- the peer's side of a descriptor ------------------------------------------------ */

enum kernel_kind {
	KERNEL_EVENTFD,
	KERNEL_MEMFD,  /* the whole of kernel_memory */
	KERNEL_STREAM, /* a socket or tty; the target is its peer */
	KERNEL_PACKETS,
};

int kernel_open(enum kernel_kind kind);
int kernel_close(int fd);
bool kernel_is_open(int fd);
/* Bytes, or a packet, come in; what does not fit is lost. */
void kernel_feed(int fd, const void *bytes, size_t length);
/* Descriptors that come with the next bytes; whoever reads them owns them. */
void kernel_feed_fds(int fd, const int *fds, unsigned int count);
/* It listens: kernel_signal() says that somebody is there. */
void kernel_listen_on(int fd);
/* The first that does. */
int kernel_listener(void);
/* The peer hangs up. */
void kernel_hang_up(int fd);
/* Whether writes find room. */
void kernel_block(int fd, bool blocked);
/* An eventfd is written, or somebody connects to a listener. */
void kernel_signal(int fd);
/* The other end of a socketpair(2). */
int kernel_peer(int fd);

/* Told of what is written to a stream or packets of which the target is the peer. */
extern void (*kernel_written)(int fd, const void *bytes, size_t length);
/* A socket was connected to, or is accepted: -1 refuses. */
extern int (*kernel_accepted)(void);
/* Someone waits in poll(2): make something happen, or time passes. */
extern void (*kernel_polled)(int fd);

#endif
