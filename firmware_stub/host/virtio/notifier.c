/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- eventfd: the completion of a read that reads nothing ---------------------- */

/* The head of what io_setup(2) maps, as in the kernel's fs/aio.c. */
struct completions {
	uint32_t id, nr;
	_Atomic uint32_t head, tail;
	uint32_t magic, compat_features, incompat_features, header_length;
};

#define COMPLETIONS_MAGIC 0xa10a10a1u
/* More than the threads that signal at the same time. */
#define READS_MAX 64

/* The contexts belong to the process, for its whole life: to end one takes a grace period. */
static aio_context_t reads;
static int empty_file = -1;

static bool can_take_completions(aio_context_t context)
{
	const struct completions *ring = (const struct completions *)context;

	return ring->magic == COMPLETIONS_MAGIC && !ring->incompat_features &&
	       ring->header_length == sizeof(*ring);
}

static void set_up_reads(void)
{
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, READS_MAX, &context) < 0 || !can_take_completions(context))
		return;
	empty_file = memfd_create("empty", MFD_CLOEXEC);
	if (empty_file >= 0)
		reads = context;
}

static bool signal_eventfd(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct iocb empty_read = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	}, *list[] = {&empty_read};
	struct completions *ring;

	pthread_once(&once, set_up_reads);
	if (!reads)
		return false;
	empty_read.aio_fildes = (uint32_t)empty_file;
	if (syscall(SYS_io_submit, reads, 1, list) != 1)
		return false;
	/* The operation has ended already; nobody wants to know its result. */
	ring = (struct completions *)reads;
	atomic_store_explicit(&ring->head, atomic_load_explicit(&ring->tail, memory_order_acquire),
			      memory_order_release);
	return true;
}

/* ---- socket --------------------------------------------------------------------- */

static const uint64_t one = 1;

static void signal_socket(int fd)
{
	/* A full pipe is readable anyway. */
	(void)!send(fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- pipe ----------------------------------------------------------------------- */

static bool signal_pipe(int fd)
{
	/* The reader of the pipe reads this very memory: it must not change. */
	struct iovec bytes = {(void *)(uintptr_t)&one, sizeof(one)};
	ssize_t sent;

	do {
		sent = vmsplice(fd, &bytes, 1, SPLICE_F_NONBLOCK);
	} while (sent < 0 && errno == EINTR);
	return sent >= 0 || (errno != ENOSYS && errno != EPERM);
}

/* ---- a thread for the rest ------------------------------------------------------- */

/* The thread's state frees itself at its end, since nobody may wait for the thread. */
struct notifier_thread {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t id;
	int fd;
	bool signalled, writing, stopped;
};

/* With the lock held. */
static void end_thread(void *argument)
{
	struct notifier_thread *thread = argument;

	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_destroy(&thread->lock);
	pthread_cond_destroy(&thread->changed);
	close(thread->fd);
	free(thread);
}

/* The thread was cancelled while it wrote; whoever cancelled it holds the lock. */
static void end_writing_thread(void *argument)
{
	struct notifier_thread *thread = argument;

	pthread_mutex_lock(&thread->lock);
	end_thread(thread);
}

/* Cancelling ends a write that blocks, and nothing else does. */
static void write_one(struct notifier_thread *thread)
{
	int before;

	pthread_cleanup_push(end_writing_thread, thread);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	(void)!write(thread->fd, &one, sizeof(one));
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_cleanup_pop(0);
}

static void *write_signals(void *argument)
{
	struct notifier_thread *thread = argument;
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_mutex_lock(&thread->lock);
	while (!thread->stopped) {
		if (!thread->signalled) {
			pthread_cond_wait(&thread->changed, &thread->lock);
			continue;
		}
		thread->signalled = false;
		thread->writing = true;
		pthread_mutex_unlock(&thread->lock);
		write_one(thread);
		pthread_mutex_lock(&thread->lock);
		thread->writing = false;
	}
	end_thread(thread);
	return NULL;
}

/* Signals belong to others. */
static int start_detached(struct notifier_thread *thread)
{
	pthread_attr_t detached;
	sigset_t all, before;
	int error;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread->id, &detached, write_signals, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	return error;
}

static struct notifier_thread *new_thread(int fd)
{
	struct notifier_thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return NULL;
	thread->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_init(&thread->lock, NULL);
	pthread_cond_init(&thread->changed, NULL);
	if (thread->fd >= 0 && !start_detached(thread))
		return thread;
	if (thread->fd >= 0)
		close(thread->fd);
	free(thread);
	return NULL;
}

static void signal_thread(struct notifier *notifier)
{
	struct notifier_thread *thread = notifier->thread;

	if (!thread)
		thread = notifier->thread = new_thread(notifier->fd);
	if (!thread)
		return;
	pthread_mutex_lock(&thread->lock);
	thread->signalled = true;
	pthread_cond_signal(&thread->changed);
	pthread_mutex_unlock(&thread->lock);
}

static void stop_thread(struct notifier_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	thread->stopped = true;
	/* While we hold the lock the thread cannot end, so its id is good. */
	if (thread->writing)
		pthread_cancel(thread->id);
	pthread_cond_signal(&thread->changed);
	pthread_mutex_unlock(&thread->lock);
}

/* ---- notifiers --------------------------------------------------------------------- */

void notifier_init(struct notifier *notifier)
{
	*notifier = (struct notifier){.fd = -1};
}

int notifier_open(struct notifier *notifier, int fd)
{
	if (!peer_fd_polls(fd))
		return -EINVAL;
	/* vmsplice() on the end that reads would take bytes out of the pipe. */
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	*notifier = (struct notifier){.fd = fd, .kind = peer_fd_kind(fd)};
	return 0;
}

/* Returns whether the kernel could do it. */
static bool signal_directly(const struct notifier *notifier)
{
	switch (notifier->kind) {
	case PEER_FD_EVENTFD:
		return signal_eventfd(notifier->fd);
	case PEER_FD_PIPE:
		return signal_pipe(notifier->fd);
	default:
		signal_socket(notifier->fd);
		return true;
	}
}

void notifier_signal(struct notifier *notifier)
{
	if (notifier->fd < 0)
		return;
	if (notifier->thread || !signal_directly(notifier))
		signal_thread(notifier);
}

void notifier_close(struct notifier *notifier)
{
	if (notifier->thread)
		stop_thread(notifier->thread);
	if (notifier->fd >= 0)
		close(notifier->fd);
	notifier_init(notifier);
}
