/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "guest.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rpmsg_gpio.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define NUM        64u
#define MEMORY     (64u << 10)
#define GUEST_ADDR UINT64_C(0x40000000)
#define QUEUE      0x4000u /* bytes for each queue and its buffers */
#define USED       0x1000u
#define BUFFERS    0x2000u
#define ANSWER     32u     /* behind the start of a buffer */
#define TIMEOUT_MS 5000

struct queue {
	struct split_ring ring;
	uint8_t *base;
	uint64_t addr;
	uint16_t used;
	int kick, call;
};

struct gb_bench_guest {
	int socket, memfd;
	uint8_t *memory;
	struct queue queues[2];
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- vhost-user ------------------------------------------------------------- */

static int say(struct gb_bench_guest *g, uint32_t request, const void *payload, uint32_t size,
	       int fd)
{
	struct vhost_user_message message = {
		.header = {request, VHOST_USER_VERSION, size}, .fds = {fd}, .fd_count = fd >= 0,
	};

	memcpy(&message.payload, payload, size);
	return vhost_user_send(g->socket, &message, vhost_user_deadline(TIMEOUT_MS));
}

static int say_u64(struct gb_bench_guest *g, uint32_t request, uint64_t value, int fd)
{
	return say(g, request, &value, sizeof(value), fd);
}

static int say_state(struct gb_bench_guest *g, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = {index, num};

	return say(g, request, &state, sizeof(state), -1);
}

static int start_queue(struct gb_bench_guest *g, uint32_t index)
{
	struct queue *q = &g->queues[index];
	uint64_t user = (uint64_t)(uintptr_t)q->base;
	struct vhost_user_vring_addr addr = {
		.index = index, .desc = user,
		.avail = user + split_ring_desc_size(NUM), .used = user + USED,
	};

	if (say_state(g, VHOST_USER_SET_VRING_NUM, index, NUM) ||
	    say_state(g, VHOST_USER_SET_VRING_BASE, index, 0) ||
	    say(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1) ||
	    say_u64(g, VHOST_USER_SET_VRING_CALL, index, q->call) ||
	    say_u64(g, VHOST_USER_SET_VRING_KICK, index, q->kick))
		return -1;
	return say_state(g, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

static int introduce(struct gb_bench_guest *g)
{
	const uint64_t features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
				  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | 1;
	struct vhost_user_mem_table table = {
		.count = 1,
		.regions = {{GUEST_ADDR, MEMORY, (uint64_t)(uintptr_t)g->memory, 0}},
	};

	if (say(g, VHOST_USER_SET_OWNER, "", 0, -1) ||
	    say_u64(g, VHOST_USER_SET_FEATURES, features, -1) ||
	    say(g, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), g->memfd) ||
	    start_queue(g, 0))
		return -1;
	return start_queue(g, 1);
}

/* ---- rings --------------------------------------------------------------------- */

static uint8_t *buffer_of(const struct queue *q, uint16_t head)
{
	return q->base + BUFFERS + head * 64u;
}

static void post(struct queue *q, uint16_t head, const void *out, uint32_t size, uint32_t room)
{
	uint64_t addr = q->addr + BUFFERS + head * 64u;
	uint16_t idx = atomic_load(&q->ring.avail->idx);

	memcpy(buffer_of(q, head), out, size);
	q->ring.desc[head] = (struct split_ring_desc){
		htole64(addr), htole32(size), htole16(VRING_DESC_F_NEXT),
		htole16((uint16_t)(head + 1))};
	q->ring.desc[head + 1] = (struct split_ring_desc){
		htole64(addr + ANSWER), htole32(room), htole16(VRING_DESC_F_WRITE), 0};
	q->ring.avail->ring[le16toh(idx) % NUM] = htole16(head);
	atomic_store(&q->ring.avail->idx, htole16((uint16_t)(le16toh(idx) + 1)));
}

static void notify(struct queue *q)
{
	uint64_t one = 1;

	if (atomic_load(&q->ring.used->flags) & htole16(VRING_USED_F_NO_NOTIFY))
		return;
	if (write(q->kick, &one, sizeof(one)) < 0)
		return;
}

/* Until `count` more chains are used. */
static int await(struct queue *q, uint16_t count)
{
	uint16_t until = (uint16_t)(q->used + count);
	struct pollfd call = {.fd = q->call, .events = POLLIN};
	uint64_t rings;

	while ((uint16_t)(until - le16toh(atomic_load(&q->ring.used->idx))) - 1u < NUM) {
		if (poll(&call, 1, TIMEOUT_MS) != 1)
			return -ETIMEDOUT;
		if (read(q->call, &rings, sizeof(rings)) < 0)
			return -errno;
	}
	q->used = until;
	return 0;
}

static void post_request(struct gb_bench_guest *g, uint16_t head, uint16_t type, uint16_t gpio,
			 uint32_t value)
{
	struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(type),
		.gpio = rpmsg_gpio_store16(gpio),
		.value = rpmsg_gpio_store32(value),
	};

	post(&g->queues[0], head, &request, sizeof(request), 2);
}

int gb_bench_guest_request(struct gb_bench_guest *g, uint16_t type, uint16_t gpio, uint32_t value)
{
	int error;

	post_request(g, 0, type, gpio, value);
	notify(&g->queues[0]);
	error = await(&g->queues[0], 1);
	return error ? error : buffer_of(&g->queues[0], 0)[ANSWER];
}

int64_t gb_bench_guest_set(struct gb_bench_guest *g, uint32_t lines, uint32_t rounds)
{
	int64_t before = now_ns();
	int error;

	if (lines > NUM / 2)
		return -EINVAL;
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t line = 0; line < lines; line++)
			post_request(g, (uint16_t)(2 * line), VIRTIO_GPIO_MSG_SET_VALUE,
				     (uint16_t)line, round & 1);
		notify(&g->queues[0]);
		error = await(&g->queues[0], (uint16_t)lines);
		if (error)
			return error;
		for (uint32_t line = 0; line < lines; line++)
			if (buffer_of(&g->queues[0], (uint16_t)(2 * line))[ANSWER])
				return -EIO;
	}
	return now_ns() - before;
}

int gb_bench_guest_arm(struct gb_bench_guest *g, uint16_t gpio)
{
	rpmsg_gpio_le16 line = rpmsg_gpio_store16(gpio);

	post(&g->queues[1], 0, &line, sizeof(line), 1);
	notify(&g->queues[1]);
	return 0;
}

int64_t gb_bench_guest_event(struct gb_bench_guest *g)
{
	int error = await(&g->queues[1], 1);

	return error ? error : now_ns();
}

/* ---- life --------------------------------------------------------------------------- */

static int open_queue(struct gb_bench_guest *g, unsigned int index)
{
	struct queue *q = &g->queues[index];

	q->base = g->memory + index * QUEUE;
	q->addr = GUEST_ADDR + index * QUEUE;
	q->ring = (struct split_ring){
		.desc = (void *)q->base,
		.avail = (void *)(q->base + split_ring_desc_size(NUM)),
		.used = (void *)(q->base + USED), .num = NUM,
	};
	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->kick < 0 || q->call < 0 ? -1 : 0;
}

static int share_memory(struct gb_bench_guest *g)
{
	void *memory;

	g->memfd = memfd_create("bench-guest", MFD_CLOEXEC);
	if (g->memfd < 0 || ftruncate(g->memfd, MEMORY) < 0)
		return -1;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	if (memory == MAP_FAILED)
		return -1;
	g->memory = memory;
	return 0;
}

static int connect_to(struct gb_bench_guest *g, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, strlen(path));
	g->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return g->socket < 0 ? -1 : connect(g->socket, (struct sockaddr *)&addr, sizeof(addr));
}

struct gb_bench_guest *gb_bench_guest_open(const char *path)
{
	struct gb_bench_guest *g = calloc(1, sizeof(*g));
	int error;

	if (!g)
		return NULL;
	g->socket = g->memfd = -1;
	for (int i = 0; i < 2; i++)
		g->queues[i].kick = g->queues[i].call = -1;
	if (!share_memory(g) && !open_queue(g, 0) && !open_queue(g, 1) && !connect_to(g, path) &&
	    !introduce(g))
		return g;
	error = errno;
	gb_bench_guest_close(g);
	errno = error;
	return NULL;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void gb_bench_guest_close(struct gb_bench_guest *g)
{
	close_fd(g->socket);
	close_fd(g->memfd);
	for (int i = 0; i < 2; i++) {
		close_fd(g->queues[i].kick);
		close_fd(g->queues[i].call);
	}
	if (g->memory)
		munmap(g->memory, MEMORY);
	free(g);
}
