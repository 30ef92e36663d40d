/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_user.c - vhost-user messages with descriptors, and the memory table. */
#include "vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "peer_fd.h"

#define HEADER_SIZE  sizeof(struct vhost_user_header)
#define PAYLOAD_SIZE sizeof(((struct vhost_user_message *)0)->payload)

#define NS_PER_MS UINT64_C(1000000)

/* ---- deadlines ---------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * NS_PER_MS + (uint64_t)ts.tv_nsec;
}

uint64_t vhost_user_deadline(int timeout_ms)
{
	return now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * NS_PER_MS;
}

static int wait_for(int socket, short events, uint64_t deadline_ns)
{
	struct pollfd pollfd = {.fd = socket, .events = events};

	for (;;) {
		uint64_t now = now_ns();
		int ready;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		/* Rounded up, since a wait of 0 ms would spin through the last one. */
		ready = poll(&pollfd, 1,
			     (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS));
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- send --------------------------------------------------------------- */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
};

static void put_fds(struct msghdr *msg, union control *control,
		    const struct vhost_user_message *message)
{
	size_t size = message->fd_count * sizeof(int);
	struct cmsghdr *cmsg;

	if (!size)
		return;
	memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(size);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), message->fds, size);
}

int vhost_user_send(int socket, const struct vhost_user_message *message,
		    uint64_t deadline_ns)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)(uintptr_t)&message->header, .iov_len = HEADER_SIZE},
		{.iov_base = (void *)(uintptr_t)&message->payload,
		 .iov_len = message->header.size},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	union control control;
	ssize_t sent;
	int ret;

	put_fds(&msg, &control, message);
	for (;;) {
		sent = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !deadline_ns)
			return -errno;
		ret = wait_for(socket, POLLOUT, deadline_ns);
		if (ret < 0)
			return ret;
	}
	/* A unix socket takes such a small message as a whole or not at all. */
	return (size_t)sent == HEADER_SIZE + message->header.size ? 0 : -EIO;
}

/* ---- receive ------------------------------------------------------------ */

void vhost_user_close_fds(struct vhost_user_message *message)
{
	unsigned int i;

	for (i = 0; i < message->fd_count; i++)
		peer_fd_close(message->fds[i]);
	message->fd_count = 0;
}

static int break_off(struct vhost_user_receiver *receiver, const char *error)
{
	vhost_user_close_fds(&receiver->message);
	receiver->got = 0;
	receiver->error = error;
	return -EPROTO;
}

/* Every descriptor that came is stored or closed, also in a bad message. */
static int keep_fds(struct vhost_user_receiver *receiver, struct msghdr *msg, bool room)
{
	struct vhost_user_message *message = &receiver->message;
	struct cmsghdr *cmsg;
	bool surplus = false;
	size_t came = 0;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count, i;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		came += count;
		for (i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			if (receiver->got || message->fd_count == VHOST_USER_FDS_MAX) {
				peer_fd_close(fd);
				/* Each part of a message that is peeked at has all of them. */
				surplus = !receiver->peeks;
			} else {
				message->fds[message->fd_count++] = fd;
			}
		}
	}
	/* The kernel drops descriptors for which there is no room, here or in the process. */
	if (msg->msg_flags & MSG_CTRUNC && !room)
		return break_off(receiver, "so many descriptors of peers do not come to their "
				 "close that none is taken now");
	if (msg->msg_flags & MSG_CTRUNC)
		return break_off(receiver, came < VHOST_USER_FDS_MAX ?
				 "this process has no descriptors left for those of a message" :
				 "more than 8 descriptors came with a message");
	if (surplus)
		return break_off(receiver, "descriptors came in the middle of a message");
	return 0;
}

/* Takes up to `size` bytes: returns the count, 0 for "nothing now", or a negative errno. */
static ssize_t read_some(int socket, struct vhost_user_receiver *receiver,
			 void *to, size_t size)
{
	struct iovec iov = {.iov_base = to, .iov_len = size};
	union control control;
	bool room = peer_fd_welcome();
	int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (receiver->peeks ? MSG_PEEK : 0);
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = room ? sizeof(control.bytes) : 0,
	};
	ssize_t got;

	do {
		got = recvmsg(socket, &msg, flags);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (keep_fds(receiver, &msg, room) < 0)
		return -EPROTO;
	return got ? got : -ECONNRESET;
}

static int check_header(struct vhost_user_receiver *receiver)
{
	const struct vhost_user_header *header = &receiver->message.header;

	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return break_off(receiver, "a message is not of vhost-user version 1");
	if (header->size > PAYLOAD_SIZE)
		return break_off(receiver, "a message is longer than any that is known");
	return 0;
}

int vhost_user_receive(int socket, struct vhost_user_receiver *receiver)
{
	struct vhost_user_message *message = &receiver->message;

	if (!receiver->got) {
		memset(message, 0, sizeof(*message));
		receiver->error = NULL;
	}
	for (;;) {
		bool in_header = receiver->got < HEADER_SIZE;
		size_t wanted = in_header ? HEADER_SIZE
					  : HEADER_SIZE + message->header.size;
		char *to = in_header ? (char *)&message->header + receiver->got
				     : (char *)&message->payload + receiver->got - HEADER_SIZE;
		ssize_t got;

		if (receiver->got == wanted) {
			receiver->got = 0;
			return 1;
		}
		got = read_some(socket, receiver, to, wanted - receiver->got);
		if (got < 0 && got != -EPROTO)
			break_off(receiver, NULL);
		if (got <= 0)
			return (int)got;
		receiver->got += (size_t)got;
		if (in_header && receiver->got == HEADER_SIZE && check_header(receiver) < 0)
			return -EPROTO;
	}
}

int vhost_user_receive_until(int socket, struct vhost_user_receiver *receiver,
			     uint64_t deadline_ns)
{
	for (;;) {
		int ret = vhost_user_receive(socket, receiver);

		if (ret)
			return ret;
		ret = wait_for(socket, POLLIN, deadline_ns);
		if (ret < 0)
			return ret;
	}
}

/* ---- memory table ------------------------------------------------------- */

/* Huge page files want offsets and lengths in their own page size, which
 * fstat(2) tells as the block size. */
static uint64_t map_unit(const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t block = (uint64_t)st->st_blksize;

	return block > page && !(block & (block - 1)) ? block : page;
}

static bool wraps(uint64_t start, uint64_t size)
{
	return start + size < start;
}

static const char *check_region(const struct vhost_user_region *region, int fd,
				struct stat *st)
{
	if (!region->size)
		return "it is empty";
	if (wraps(region->guest_addr, region->size) ||
	    wraps(region->user_addr, region->size) ||
	    wraps(region->mmap_offset, region->size))
		return "its end wraps around";
	/* Any other kind of file could make us wait, now or when its pages are missing. */
	if (peer_fd_kind(fd) != PEER_FD_MEMORY)
		return "its descriptor is no memfd, nor a file of tmpfs or hugetlbfs";
	if (fstat(fd, st) < 0)
		return strerror(errno);
	if (st->st_size < 0 ||
	    region->mmap_offset + region->size > (uint64_t)st->st_size)
		return "it reaches beyond the end of its file";
	return NULL;
}

static const char *map_region(struct vhost_user_mapping *mapping,
			      const struct vhost_user_region *region, int fd)
{
	struct stat st;
	uint64_t unit, start, length;
	const char *wrong = check_region(region, fd, &st);

	if (wrong)
		return wrong;
	unit = map_unit(&st);
	start = region->mmap_offset & ~(unit - 1);
	length = region->mmap_offset + region->size - start;
	length = (length + unit - 1) & ~(unit - 1);
	if (!length || length > SIZE_MAX || (uint64_t)(off_t)start != start)
		return "it is larger than this process can map";
	mapping->base = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, (off_t)start);
	if (mapping->base == MAP_FAILED)
		return strerror(errno);
	mapping->length = (size_t)length;
	mapping->host = (uint8_t *)mapping->base + (region->mmap_offset - start);
	mapping->guest_addr = region->guest_addr;
	mapping->user_addr = region->user_addr;
	mapping->size = region->size;
	return NULL;
}

static bool table_size_ok(const struct vhost_user_message *message)
{
	const struct vhost_user_mem_table *table = &message->payload.table;
	size_t head = offsetof(struct vhost_user_mem_table, regions);

	return message->header.size >= head && table->count &&
	       table->count <= VHOST_USER_REGIONS_MAX &&
	       message->header.size == head + table->count * sizeof(table->regions[0]);
}

int vhost_user_memory_map(struct vhost_user_memory *memory,
			  const struct vhost_user_message *message,
			  char *why, size_t why_size)
{
	const struct vhost_user_mem_table *table = &message->payload.table;
	const char *wrong;
	unsigned int i;

	memory->count = 0;
	if (!table_size_ok(message)) {
		snprintf(why, why_size,
			 "SET_MEM_TABLE of %u bytes does not hold 1 to 8 whole regions",
			 message->header.size);
		return -EINVAL;
	}
	if (message->fd_count != table->count) {
		snprintf(why, why_size, "SET_MEM_TABLE has %u regions but %u descriptors",
			 table->count, message->fd_count);
		return -EINVAL;
	}
	for (i = 0; i < table->count; i++) {
		wrong = map_region(&memory->mappings[i], &table->regions[i],
				   message->fds[i]);
		if (wrong) {
			snprintf(why, why_size, "SET_MEM_TABLE: region %u cannot be mapped: %s",
				 i, wrong);
			vhost_user_memory_unmap(memory);
			return -EINVAL;
		}
		memory->count++;
	}
	return 0;
}

void vhost_user_memory_unmap(struct vhost_user_memory *memory)
{
	while (memory->count) {
		struct vhost_user_mapping *mapping = &memory->mappings[--memory->count];

		munmap(mapping->base, mapping->length);
	}
}

static void *inside(const struct vhost_user_mapping *mapping, uint64_t start,
		    uint64_t addr, uint64_t length)
{
	/* Only differences are compared: sums of the peer's numbers may wrap. */
	if (addr < start || addr - start >= mapping->size)
		return NULL;
	if (length > mapping->size - (addr - start))
		return NULL;
	return mapping->host + (addr - start);
}

void *vhost_user_memory_guest(const void *memory, uint64_t addr, uint64_t length)
{
	const struct vhost_user_memory *table = memory;
	void *host = NULL;
	unsigned int i;

	for (i = 0; i < table->count && !host; i++)
		host = inside(&table->mappings[i], table->mappings[i].guest_addr,
			      addr, length);
	return host;
}

void *vhost_user_memory_user(const void *memory, uint64_t addr, uint64_t length)
{
	const struct vhost_user_memory *table = memory;
	void *host = NULL;
	unsigned int i;

	for (i = 0; i < table->count && !host; i++)
		host = inside(&table->mappings[i], table->mappings[i].user_addr,
			      addr, length);
	return host;
}
