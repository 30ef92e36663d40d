/* SPDX-License-Identifier: BSD-3-Clause */
/* kernel.c - see kernel.h. Descriptors are numbers from FIRST on. */
#define _GNU_SOURCE
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define FIRST     100000
#define FILES     96
#define QUEUE     8192u
#define FDS       16u
#define NS_PER_S  UINT64_C(1000000000)
#define SPINS_MAX 20000u /* turns of a loop in which nothing from outside happens */

enum { EPOLL = KERNEL_PACKETS + 1, LISTENER, TIMER };

struct file {
	bool open, watched, edge, blocked, hung_up, writes_to_target;
	int kind, peer;
	uint64_t count;
	uint8_t *memory;
	size_t size;
	uint32_t events;
	epoll_data_t data;
	size_t head, used; /* of `queue`, in bytes; packets have their length in front */
	unsigned int fd_count; /* that come with the byte at fds_at */
	size_t fds_at;
	int fds[FDS];
	uint8_t queue[QUEUE];
};

_Alignas(4096) uint8_t kernel_memory[KERNEL_MEMORY];
void (*kernel_written)(int fd, const void *bytes, size_t length);
int (*kernel_accepted)(void);
void (*kernel_polled)(int fd);

static struct file files[FILES];
static int highest;
static size_t memory_used;
static uint64_t now_ns;
static unsigned int spins;
static void *(*thread_main)(void *);
static void *thread_argument;
static void (*run_step)(void *);
static void *run_context;

void kernel_broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "\n==FUZZ== ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

void kernel_reset(void)
{
	for (int i = 0; i < highest; i++)
		files[i].open = false;
	highest = 0;
	memory_used = 0;
	now_ns = 1000 * NS_PER_S;
	spins = 0;
	thread_main = NULL;
	kernel_written = NULL;
	kernel_accepted = NULL;
	kernel_polled = NULL;
}

void kernel_check(void)
{
	for (int i = 0; i < highest; i++)
		if (files[i].open)
			kernel_broken("descriptor %d (kind %d) is still open", FIRST + i,
				      files[i].kind);
}

uint64_t kernel_now(void)
{
	return now_ns;
}

void kernel_advance(uint64_t ns)
{
	now_ns += ns;
	spins = 0;
}

/* ---- descriptors ---------------------------------------------------------------------- */

static struct file *find(int fd)
{
	if (fd < FIRST || fd >= FIRST + highest || !files[fd - FIRST].open)
		return NULL;
	return &files[fd - FIRST];
}

static struct file *get(int fd, const char *call)
{
	struct file *file = find(fd);

	if (!file)
		kernel_broken("%s of descriptor %d, which is not open", call, fd);
	return file;
}

static int new_fd(int kind)
{
	int i = 0;

	while (i < highest && files[i].open)
		i++;
	if (i == FILES) {
		errno = EMFILE;
		return -1;
	}
	if (i == highest)
		highest++;
	memset(&files[i], 0, offsetof(struct file, queue));
	files[i].open = true;
	files[i].kind = kind;
	files[i].peer = -1;
	return FIRST + i;
}

int kernel_open(enum kernel_kind kind)
{
	int fd = new_fd(kind);

	if (fd < 0)
		return fd;
	files[fd - FIRST].writes_to_target = true;
	if (kind == KERNEL_MEMFD) {
		files[fd - FIRST].memory = kernel_memory;
		files[fd - FIRST].size = KERNEL_MEMORY;
	}
	return fd;
}

bool kernel_is_open(int fd)
{
	return find(fd) != NULL;
}

int kernel_peer(int fd)
{
	return get(fd, "kernel_peer")->peer;
}

static void happened(struct file *file)
{
	file->edge = true;
	spins = 0;
}

/* What was read leaves the queue. */
static void make_room(struct file *file)
{
	memmove(file->queue, file->queue + file->head, file->used - file->head);
	file->used -= file->head;
	file->fds_at -= file->fd_count ? file->head : 0;
	file->head = 0;
}

void kernel_feed(int fd, const void *bytes, size_t length)
{
	struct file *file = find(fd);
	uint16_t packet = (uint16_t)length;
	size_t head = file && file->kind == KERNEL_PACKETS ? sizeof(packet) : 0;

	if (!file || file->hung_up)
		return;
	make_room(file);
	if (file->used + head + length > QUEUE)
		return;
	if (head)
		memcpy(file->queue + file->used, &packet, head);
	if (length)
		memcpy(file->queue + file->used + head, bytes, length);
	file->used += head + length;
	happened(file);
}

void kernel_feed_fds(int fd, const int *fds, unsigned int count)
{
	struct file *file = find(fd);
	bool behind_others = file && file->fd_count;

	if (file && !behind_others)
		file->fds_at = file->used;
	for (unsigned int i = 0; i < count; i++) {
		if (file && !behind_others && file->fd_count < FDS)
			file->fds[file->fd_count++] = fds[i];
		else if (fds[i] >= 0)
			kernel_close(fds[i]);
	}
}

void kernel_hang_up(int fd)
{
	struct file *file = find(fd);

	if (!file)
		return;
	file->hung_up = true;
	happened(file);
}

void kernel_block(int fd, bool blocked)
{
	struct file *file = find(fd);

	if (!file)
		return;
	file->blocked = blocked;
	happened(file);
}

void kernel_signal(int fd)
{
	struct file *file = find(fd);

	if (!file || (file->kind != KERNEL_EVENTFD && file->kind != LISTENER))
		return;
	file->count++;
	happened(file);
}

int kernel_close(int fd)
{
	struct file *file = get(fd, "close");
	struct file *peer = find(file->peer);

	file->open = false;
	for (unsigned int i = 0; i < file->fd_count; i++)
		kernel_close(file->fds[i]);
	if (peer) {
		peer->peer = -1;
		peer->hung_up = true;
		peer->edge = true;
	}
	return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

static ssize_t no_bytes(const struct file *file)
{
	if (file->hung_up)
		return 0;
	errno = EAGAIN;
	return -1;
}

static ssize_t take(struct file *file, void *to, size_t size, int flags)
{
	size_t there = file->used - file->head, count;
	uint16_t packet = 0;

	if (!there)
		return no_bytes(file);
	if (file->kind == KERNEL_PACKETS) {
		memcpy(&packet, file->queue + file->head, sizeof(packet));
		count = packet < size ? packet : size;
		memcpy(to, file->queue + file->head + sizeof(packet), count);
		if (!(flags & MSG_PEEK))
			file->head += sizeof(packet) + packet;
		return flags & MSG_TRUNC ? packet : (ssize_t)count;
	}
	/* No read goes on to bytes that bring descriptors. */
	if (file->fd_count && file->head < file->fds_at && there > file->fds_at - file->head)
		there = file->fds_at - file->head;
	count = there < size ? there : size;
	if (count)
		memcpy(to, file->queue + file->head, count);
	if (!(flags & MSG_PEEK))
		file->head += count;
	if (find(file->peer))
		find(file->peer)->edge = true; /* it has room */
	return (ssize_t)count;
}

ssize_t kernel_read(int fd, void *to, size_t size);
ssize_t kernel_read(int fd, void *to, size_t size)
{
	struct file *file = get(fd, "read");

	if (file->kind != KERNEL_EVENTFD && file->kind != TIMER)
		return take(file, to, size, 0);
	if (!file->count)
		return no_bytes(file);
	memcpy(to, &file->count, sizeof(file->count));
	file->count = 0;
	return sizeof(file->count);
}

ssize_t kernel_recv(int fd, void *to, size_t size, int flags);
ssize_t kernel_recv(int fd, void *to, size_t size, int flags)
{
	return take(get(fd, "recv"), to, size, flags);
}

/* As the kernel does: what has no room is closed, and said to be cut. */
static void take_fds(struct file *file, struct msghdr *message)
{
	size_t room = message->msg_controllen > CMSG_LEN(0)
			      ? (message->msg_controllen - CMSG_LEN(0)) / sizeof(int) : 0;
	unsigned int count = file->fd_count < room ? file->fd_count : (unsigned int)room;
	struct cmsghdr *cmsg;

	for (unsigned int i = count; i < file->fd_count; i++)
		kernel_close(file->fds[i]);
	if (count < file->fd_count)
		message->msg_flags |= MSG_CTRUNC;
	file->fd_count = 0;
	if (!count) {
		message->msg_controllen = 0;
		return;
	}
	cmsg = message->msg_control;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), file->fds, count * sizeof(int));
	message->msg_controllen = CMSG_SPACE(count * sizeof(int));
}

ssize_t kernel_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t kernel_recvmsg(int fd, struct msghdr *message, int flags)
{
	struct file *file = get(fd, "recvmsg");
	const struct iovec *part = message->msg_iov;
	size_t before = file->head;
	ssize_t got = take(file, part->iov_base, part->iov_len, flags);
	bool brings_fds;

	/* A part goes on to bytes that bring descriptors where the one before it ended. */
	for (size_t i = 1; i < message->msg_iovlen && file->kind == KERNEL_STREAM; i++) {
		if (got < 0 || file->head - before != (size_t)got || file->head == file->used)
			break;
		got += take(file, part[i].iov_base, part[i].iov_len, flags);
	}
	brings_fds = file->fd_count && (file->fds_at == before ||
					(file->fds_at > before && file->fds_at < file->head));
	message->msg_flags = 0;
	if (got > 0 && brings_fds)
		take_fds(file, message);
	else
		message->msg_controllen = 0;
	return got;
}

/* ---- writing -------------------------------------------------------------------------------- */

static ssize_t put(int fd, const void *bytes, size_t length)
{
	struct file *file, *peer;
	uint64_t value;

	if (fd == -1) { /* no descriptor of anybody */
		errno = EBADF;
		return -1;
	}
	file = get(fd, "write");
	peer = find(file->peer);
	if (file->kind == KERNEL_EVENTFD) {
		if (file->blocked) {
			errno = EAGAIN;
			return -1;
		}
		memcpy(&value, bytes, sizeof(value));
		file->count += value;
		file->edge = true;
		return sizeof(value);
	}
	if (file->hung_up) {
		errno = EPIPE;
		return -1;
	}
	if (file->blocked || (peer && peer->used - peer->head + length + 2 > QUEUE)) {
		errno = EAGAIN;
		return -1;
	}
	if (peer)
		kernel_feed(file->peer, bytes, length);
	else if (file->writes_to_target && kernel_written)
		kernel_written(fd, bytes, length);
	return (ssize_t)length;
}

ssize_t kernel_write(int fd, const void *bytes, size_t length);
ssize_t kernel_write(int fd, const void *bytes, size_t length)
{
	return put(fd, bytes, length);
}

ssize_t kernel_send(int fd, const void *bytes, size_t length, int flags);
ssize_t kernel_send(int fd, const void *bytes, size_t length, int flags)
{
	(void)flags;
	return put(fd, bytes, length);
}

ssize_t kernel_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t kernel_sendmsg(int fd, const struct msghdr *message, int flags)
{
	uint8_t flat[4096];
	size_t length = 0;

	(void)flags;
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *part = &message->msg_iov[i];

		if (part->iov_len > sizeof(flat) - length)
			kernel_broken("a message of more than %zu bytes is sent", sizeof(flat));
		if (part->iov_len)
			memcpy(flat + length, part->iov_base, part->iov_len);
		length += part->iov_len;
	}
	return put(fd, flat, length);
}

ssize_t kernel_vmsplice(int fd, const struct iovec *parts, size_t count, unsigned int flags);
ssize_t kernel_vmsplice(int fd, const struct iovec *parts, size_t count, unsigned int flags)
{
	(void)count;
	(void)flags;
	return put(fd, parts[0].iov_base, parts[0].iov_len);
}

/* How notifier.c signals an eventfd: with the completion of a read of nothing. */
long kernel_syscall(long number, ...);
long kernel_syscall(long number, ...)
{
	static _Alignas(64) uint32_t ring[64] = {[4] = 0xa10a10a1u, [7] = 32};
	va_list args;
	long first, second;
	void *third;

	va_start(args, number);
	first = va_arg(args, long);
	if (number == SYS_io_setup) {
		*va_arg(args, void **) = ring;
		second = 0;
	} else if (number == SYS_io_submit) {
		second = va_arg(args, long);
		third = va_arg(args, void *);
		kernel_signal((int)(*(struct iocb **)third)->aio_resfd);
	} else if (number == SYS_userfaultfd) {
		errno = ENOSYS; /* no page of this kernel is missing */
		second = -1;
	} else {
		kernel_broken("system call %ld is not known here", number);
	}
	va_end(args);
	(void)first;
	return second;
}

/* ---- making descriptors ---------------------------------------------------------------------- */

int kernel_eventfd(unsigned int value, int flags);
int kernel_eventfd(unsigned int value, int flags)
{
	int fd = new_fd(KERNEL_EVENTFD);

	(void)flags;
	if (fd >= 0)
		files[fd - FIRST].count = value;
	return fd;
}

int kernel_memfd_create(const char *name, unsigned int flags);
int kernel_memfd_create(const char *name, unsigned int flags)
{
	/* notifier.c has this one of the process for its whole life. */
	if (!strcmp(name, "empty"))
		return FIRST - 1;
	(void)flags;
	return new_fd(KERNEL_MEMFD);
}

int kernel_ftruncate(int fd, off_t size);
int kernel_ftruncate(int fd, off_t size)
{
	struct file *file = get(fd, "ftruncate");

	if (file->memory || (size_t)size > KERNEL_MEMORY - memory_used) {
		errno = ENOMEM;
		return -1;
	}
	file->memory = kernel_memory + memory_used;
	file->size = (size_t)size;
	memset(file->memory, 0, file->size);
	memory_used += (file->size + 4095) & ~(size_t)4095;
	return 0;
}

void *kernel_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *kernel_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	struct file *file = find(fd);

	(void)protection;
	if (flags & MAP_FIXED)
		return address;
	if (!file || file->kind != KERNEL_MEMFD) {
		errno = ENODEV;
		return MAP_FAILED;
	}
	if (offset < 0 || offset % 4096 || (size_t)offset > file->size ||
	    length > ((file->size - (size_t)offset + 4095) & ~(size_t)4095)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	return file->memory + offset;
}

int kernel_munmap(void *address, size_t length);
int kernel_munmap(void *address, size_t length)
{
	uint8_t *at = address;

	if (at < kernel_memory || at >= kernel_memory + KERNEL_MEMORY || !length)
		kernel_broken("munmap of %zu bytes that were not mapped", length);
	return 0;
}

int kernel_fstat(int fd, struct stat *st);
int kernel_fstat(int fd, struct stat *st)
{
	static const mode_t modes[] = {
		[KERNEL_EVENTFD] = 0600, [KERNEL_MEMFD] = S_IFREG | 0777,
		[KERNEL_STREAM] = S_IFSOCK | 0777, [KERNEL_PACKETS] = S_IFSOCK | 0777,
		[EPOLL] = 0600, [LISTENER] = S_IFSOCK | 0777, [TIMER] = 0600,
	};
	struct file *file = get(fd, "fstat");

	memset(st, 0, sizeof(*st));
	st->st_mode = modes[file->kind];
	st->st_size = (off_t)file->size;
	st->st_blksize = 4096;
	return 0;
}

int kernel_fcntl(int fd, int command, ...);
int kernel_fcntl(int fd, int command, ...)
{
	const struct file *file = get(fd, "fcntl");

	if (command == F_GETFL)
		return O_RDWR | O_NONBLOCK;
	if (command == F_GETPIPE_SZ || (command == F_GET_SEALS && file->kind != KERNEL_MEMFD)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int kernel_socket(int domain, int type, int protocol);
int kernel_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	return kernel_open(KERNEL_STREAM);
}

int kernel_socketpair(int domain, int type, int protocol, int ends[2]);
int kernel_socketpair(int domain, int type, int protocol, int ends[2])
{
	int kind = (type & 0xf) == SOCK_STREAM ? KERNEL_STREAM : KERNEL_PACKETS;

	(void)domain;
	(void)protocol;
	ends[0] = new_fd(kind);
	ends[1] = new_fd(kind);
	if (ends[1] < 0)
		return -1;
	files[ends[0] - FIRST].peer = ends[1];
	files[ends[1] - FIRST].peer = ends[0];
	return 0;
}

int kernel_connect(int fd, const struct sockaddr *address, socklen_t length);
int kernel_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	(void)address;
	(void)length;
	get(fd, "connect");
	errno = ECONNREFUSED;
	return kernel_accepted ? kernel_accepted() : -1;
}

int kernel_bind(int fd, const struct sockaddr *address, socklen_t length);
int kernel_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	(void)address;
	(void)length;
	get(fd, "bind");
	return 0;
}

void kernel_listen_on(int fd)
{
	get(fd, "listen")->kind = LISTENER;
}

int kernel_listener(void)
{
	for (int i = 0; i < highest; i++)
		if (files[i].open && files[i].kind == LISTENER)
			return FIRST + i;
	kernel_broken("nobody listens");
}

int kernel_listen(int fd, int backlog);
int kernel_listen(int fd, int backlog)
{
	(void)backlog;
	kernel_listen_on(fd);
	return 0;
}

int kernel_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int kernel_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	struct file *file = get(fd, "accept4");
	int connection;

	(void)address;
	(void)length;
	(void)flags;
	connection = kernel_accepted ? kernel_accepted() : -1;
	file->count = 0;
	if (connection < 0)
		errno = EAGAIN;
	return connection;
}

int kernel_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int kernel_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	(void)level;
	(void)name;
	(void)value;
	(void)length;
	get(fd, "setsockopt");
	return 0;
}

int kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	const struct file *file = get(fd, "getsockopt");
	uint64_t cookie = (uintptr_t)file;
	int answer = AF_UNIX;

	if (file->kind != KERNEL_STREAM && file->kind != KERNEL_PACKETS) {
		errno = ENOTSOCK;
		return -1;
	}
	if (level == SOL_SOCKET && name == SO_COOKIE && *length == sizeof(cookie)) {
		memcpy(value, &cookie, sizeof(cookie));
		return 0;
	}
	if (name == SO_TYPE)
		answer = file->kind == KERNEL_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
	else if (name != SO_DOMAIN)
		kernel_broken("getsockopt %d is not known here", name);
	if (level != SOL_SOCKET || *length < sizeof(answer))
		kernel_broken("getsockopt of level %d is not known here", level);
	memcpy(value, &answer, sizeof(answer));
	return 0;
}

/* Of stream sockets: the bytes that were not read, by this end or by the other one. */
int kernel_ioctl(int fd, unsigned long request, ...);
int kernel_ioctl(int fd, unsigned long request, ...)
{
	const struct file *file = get(fd, "ioctl");
	va_list args;
	int *bytes;

	if (request != SIOCINQ && request != SIOCOUTQ)
		kernel_broken("ioctl %lu is not known here", request);
	if (request == SIOCOUTQ)
		file = find(file->peer);
	va_start(args, request);
	bytes = va_arg(args, int *);
	va_end(args);
	*bytes = file ? (int)(file->used - file->head) : 0;
	return 0;
}

/* Of /proc/self/fd only: what a descriptor is. */
ssize_t kernel_readlink(const char *path, char *to, size_t size);
ssize_t kernel_readlink(const char *path, char *to, size_t size)
{
	static const char *names[] = {
		[KERNEL_EVENTFD] = "anon_inode:[eventfd]", [KERNEL_MEMFD] = "/memfd:x (deleted)",
		[KERNEL_STREAM] = "socket:[1]", [KERNEL_PACKETS] = "socket:[2]",
		[EPOLL] = "anon_inode:[eventpoll]", [LISTENER] = "socket:[3]",
		[TIMER] = "anon_inode:[timerfd]",
	};
	const char *name;
	size_t length;
	int fd;

	if (sscanf(path, "/proc/self/fd/%d", &fd) != 1)
		kernel_broken("readlink of %s", path);
	name = names[get(fd, "readlink")->kind];
	length = strlen(name) < size ? strlen(name) : size;
	memcpy(to, name, length);
	return (ssize_t)length;
}

int kernel_timerfd_create(int clock, int flags);
int kernel_timerfd_create(int clock, int flags)
{
	(void)clock;
	(void)flags;
	return new_fd(TIMER);
}

int kernel_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			   struct itimerspec *old);
int kernel_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			   struct itimerspec *old)
{
	(void)flags;
	(void)value;
	(void)old;
	get(fd, "timerfd_settime");
	return 0;
}

int kernel_unlink(const char *path);
int kernel_unlink(const char *path)
{
	(void)path;
	return 0;
}

/* There are no files. */
int kernel_stat(const char *path, struct stat *st);
int kernel_stat(const char *path, struct stat *st)
{
	(void)path;
	(void)st;
	errno = ENOENT;
	return -1;
}

/* What is logged is well formed, and nobody reads it. */
int kernel_fprintf(FILE *file, const char *format, ...);
int kernel_fprintf(FILE *file, const char *format, ...)
{
	char line[1024];
	va_list args;
	int length;

	(void)file;
	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return length;
}

int kernel_sigaction(int number, const struct sigaction *action, struct sigaction *old);
int kernel_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	(void)number;
	(void)action;
	(void)old;
	return 0;
}

void (*kernel_signal_set(int number, void (*handler)(int)))(int);
void (*kernel_signal_set(int number, void (*handler)(int)))(int)
{
	(void)number;
	(void)handler;
	return SIG_DFL;
}

int kernel_isatty(int fd);
int kernel_isatty(int fd)
{
	(void)fd;
	return 0;
}

int kernel_tcflush(int fd, int queue);
int kernel_tcflush(int fd, int queue)
{
	(void)queue;
	get(fd, "tcflush");
	return 0;
}

/* ---- time, chance, threads --------------------------------------------------------------------- */

int kernel_clock_gettime(clockid_t clock, struct timespec *time);
int kernel_clock_gettime(clockid_t clock, struct timespec *time)
{
	(void)clock;
	time->tv_sec = (time_t)(now_ns / NS_PER_S);
	time->tv_nsec = (long)(now_ns % NS_PER_S);
	return 0;
}

ssize_t kernel_getrandom(void *to, size_t size, unsigned int flags);
ssize_t kernel_getrandom(void *to, size_t size, unsigned int flags)
{
	(void)flags;
	memset(to, 0x5a, size);
	return (ssize_t)size;
}

void kernel_thread(void *(*entry)(void *), void *argument)
{
	thread_main = entry;
	thread_argument = argument;
}

int kernel_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*entry)(void *), void *argument);
int kernel_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*entry)(void *), void *argument)
{
	(void)attributes;
	if (thread_main)
		return EAGAIN; /* one is all that there is here */
	memset(thread, 0, sizeof(*thread));
	kernel_thread(entry, argument);
	return 0;
}

int kernel_pthread_join(pthread_t thread, void **result);
int kernel_pthread_join(pthread_t thread, void **result)
{
	(void)thread;
	(void)result;
	return 0;
}

void kernel_run(void (*step)(void *context), void *context)
{
	run_step = step;
	run_context = context;
	thread_main(thread_argument);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static uint32_t readiness(const struct file *file)
{
	uint32_t ready = 0;

	if (file->kind == KERNEL_EVENTFD || file->kind == TIMER)
		return (file->count ? EPOLLIN : 0u) | (file->blocked ? 0u : (uint32_t)EPOLLOUT);
	if (file->kind == LISTENER)
		return file->count ? EPOLLIN : 0u;
	if (file->used != file->head)
		ready |= EPOLLIN;
	if (file->hung_up)
		ready |= EPOLLIN | EPOLLHUP | EPOLLRDHUP;
	if (!file->blocked)
		ready |= EPOLLOUT;
	return ready;
}

int kernel_epoll_create1(int flags);
int kernel_epoll_create1(int flags)
{
	(void)flags;
	return new_fd(EPOLL);
}

int kernel_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int kernel_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	struct file *file = get(fd, "epoll_ctl");

	get(epoll, "epoll_ctl");
	if (file->kind == KERNEL_MEMFD) {
		errno = EPERM;
		return -1;
	}
	if (operation == EPOLL_CTL_ADD && file->watched) {
		errno = EEXIST;
		return -1;
	}
	file->watched = operation != EPOLL_CTL_DEL;
	if (!file->watched)
		return 0;
	file->events = event->events;
	file->data = event->data;
	file->edge = true;
	return 0;
}

static int gather(struct epoll_event *events, int size)
{
	int count = 0;

	for (int i = 0; i < highest && count < size; i++) {
		struct file *file = &files[i];
		uint32_t ready;

		if (!file->open || !file->watched)
			continue;
		ready = readiness(file) & (file->events | EPOLLHUP | EPOLLERR);
		if (!ready || ((file->events & EPOLLET) && !file->edge))
			continue;
		file->edge = false;
		events[count].events = ready;
		events[count++].data = file->data;
	}
	return count;
}

int kernel_epoll_wait(int epoll, struct epoll_event *events, int size, int timeout);
int kernel_epoll_wait(int epoll, struct epoll_event *events, int size, int timeout)
{
	int count;

	get(epoll, "epoll_wait");
	count = gather(events, size);
	if (count || timeout == 0) {
		if (++spins > SPINS_MAX)
			kernel_broken("the loop spins");
		return count;
	}
	spins = 0;
	run_step(run_context);
	return gather(events, size);
}

int kernel_poll(struct pollfd *fds, nfds_t count, int timeout);
int kernel_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int ready = 0;

	if (timeout && kernel_polled)
		kernel_polled(fds[0].fd);
	for (nfds_t i = 0; i < count; i++) {
		const struct file *file = find(fds[i].fd);
		uint32_t all = file ? readiness(file) : (uint32_t)POLLNVAL;

		fds[i].revents = (short)(all & ((uint32_t)(unsigned short)fds[i].events | POLLHUP |
						POLLERR | POLLNVAL));
		ready += fds[i].revents != 0;
	}
	if (!ready && timeout > 0)
		kernel_advance((uint64_t)timeout * 1000000);
	return ready;
}
