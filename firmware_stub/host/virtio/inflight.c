/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer_fd.h"
#include "split_ring.h"

#define VERSION   1
#define ALIGNMENT 64u

/* The front-end has the memory, too, and may change it at any time. */
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* A process that is killed between two writes has done the first one, so their order counts. */
static void in_this_order(void)
{
	atomic_thread_fence(memory_order_release);
}

/* ---- one queue ---------------------------------------------------------------- */

void inflight_taken(struct inflight_queue *queue, uint16_t head, uint64_t counter)
{
	WRITE_ONCE(queue->desc[head].counter, counter);
	in_this_order();
	WRITE_ONCE(queue->desc[head].inflight, 1);
	in_this_order();
}

void inflight_pushed(struct inflight_queue *queue, uint16_t head)
{
	WRITE_ONCE(queue->desc[head].next, READ_ONCE(queue->last_batch_head));
	in_this_order();
	WRITE_ONCE(queue->last_batch_head, head);
	in_this_order();
}

void inflight_published(struct inflight_queue *queue, uint16_t num, uint16_t count,
			uint16_t used_idx)
{
	uint16_t head = READ_ONCE(queue->last_batch_head);

	in_this_order();
	for (; count && head < num; count--) {
		WRITE_ONCE(queue->desc[head].inflight, 0);
		head = READ_ONCE(queue->desc[head].next);
	}
	in_this_order();
	WRITE_ONCE(queue->used_idx, used_idx);
}

/* Sorted by the copies, which were read once: the memory may change meanwhile. */
struct taken {
	uint64_t counter;
	uint16_t head;
};

static int by_counter(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;

	return (x->counter > y->counter) - (x->counter < y->counter);
}

static unsigned int find_taken(const struct inflight_queue *queue, uint16_t num,
			       struct taken *taken)
{
	unsigned int count = 0;

	for (uint16_t head = 0; head < num; head++)
		if (READ_ONCE(queue->desc[head].inflight) == 1)
			taken[count++] = (struct taken){READ_ONCE(queue->desc[head].counter), head};
	return count;
}

int inflight_recover(struct inflight_queue *queue, uint16_t num, uint16_t used_idx,
		     uint16_t *heads, uint64_t *counter)
{
	uint16_t batch = (uint16_t)(used_idx - READ_ONCE(queue->used_idx));
	struct taken *taken;
	unsigned int count;

	/* The driver has been shown these chains, but the log does not say so yet. */
	if (batch)
		inflight_published(queue, num, batch < num ? batch : num, used_idx);
	*counter = 0;
	taken = calloc(num, sizeof(*taken));
	if (!taken)
		return -ENOMEM;
	count = find_taken(queue, num, taken);
	qsort(taken, count, sizeof(*taken), by_counter);
	for (unsigned int i = 0; i < count; i++)
		heads[i] = taken[i].head;
	if (count)
		*counter = taken[count - 1].counter + 1;
	free(taken);
	return (int)count;
}

void inflight_clear(struct inflight_queue *queue, uint16_t num)
{
	for (uint16_t head = 0; head < num; head++)
		WRITE_ONCE(queue->desc[head].inflight, 0);
	WRITE_ONCE(queue->used_idx, 0);
}

/* ---- the memory that holds them -------------------------------------------------- */

static size_t queue_bytes(uint16_t size)
{
	size_t bytes = sizeof(struct inflight_queue) + size * sizeof(struct inflight_desc);

	return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static int refuse(char *why, size_t why_size, const char *what, const char *wrong)
{
	snprintf(why, why_size, "%s_INFLIGHT_FD: %s", what, wrong);
	return -1;
}

/* Returns NULL when the values are possible. Some peers write the structure with its padding, as
 * QEMU does. */
static const char *wrong_counts(const struct vhost_user_message *message, unsigned int queues_max)
{
	const struct vhost_user_inflight *wanted = &message->payload.inflight;

	if (message->header.size != VHOST_USER_INFLIGHT_SIZE &&
	    message->header.size != sizeof(*wanted))
		return "it has neither 20 nor 24 bytes";
	if (!wanted->num_queues || wanted->num_queues > queues_max)
		return "there are no such queues";
	if (!wanted->queue_size || wanted->queue_size > SPLIT_RING_NUM_MAX)
		return "a queue has 1 to 32768 descriptors";
	return NULL;
}

static void make_queues(uint8_t *at, uint16_t queues, uint16_t size)
{
	for (; queues--; at += queue_bytes(size)) {
		struct inflight_queue *queue = (void *)at;

		queue->version = VERSION;
		queue->desc_num = size;
	}
}

static const char *create(int fd, size_t length, uint16_t queues, uint16_t size)
{
	void *base;

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0)
		return strerror(errno);
	base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return strerror(errno);
	make_queues(base, queues, size);
	munmap(base, length);
	/* Peers that have the memory cannot shrink it: its end would otherwise be our end. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return NULL;
}

int inflight_create(struct vhost_user_message *message, unsigned int queues_max, char *why,
		    size_t why_size)
{
	struct vhost_user_inflight *answer = &message->payload.inflight;
	const char *wrong = wrong_counts(message, queues_max);
	size_t length;
	int fd;

	if (wrong)
		return refuse(why, why_size, "GET", wrong);
	length = answer->num_queues * queue_bytes(answer->queue_size);
	fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	wrong = create(fd, length, answer->num_queues, answer->queue_size);
	if (wrong) {
		if (fd >= 0)
			close(fd);
		return refuse(why, why_size, "GET", wrong);
	}
	answer->mmap_size = length;
	answer->mmap_offset = 0;
	message->fds[0] = fd;
	message->fd_count = 1;
	return 0;
}

static const char *map(struct inflight_log *log, const struct vhost_user_message *message)
{
	const struct vhost_user_inflight *told = &message->payload.inflight;
	size_t needed = told->num_queues * queue_bytes(told->queue_size);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = told->mmap_offset & ~(page - 1);
	uint64_t within = told->mmap_offset - start;
	struct stat st;

	if (message->fd_count != 1)
		return "it came without a descriptor";
	if (peer_fd_kind(message->fds[0]) != PEER_FD_MEMORY)
		return "its descriptor is no memfd, nor a file of tmpfs or hugetlbfs";
	if (told->mmap_offset % ALIGNMENT)
		return "its offset is not aligned to 64 bytes";
	if (told->mmap_size < needed)
		return "it is too small for its queues";
	if (fstat(message->fds[0], &st) < 0)
		return strerror(errno);
	if (st.st_size < 0 || told->mmap_offset > (uint64_t)st.st_size ||
	    needed > (uint64_t)st.st_size - told->mmap_offset)
		return "it reaches beyond the end of its file";
	log->length = (size_t)within + needed;
	log->base = mmap(NULL, log->length, PROT_READ | PROT_WRITE, MAP_SHARED, message->fds[0],
			 (off_t)start);
	if (log->base == MAP_FAILED)
		return strerror(errno);
	log->first = log->base + within;
	log->queues = told->num_queues;
	log->size = told->queue_size;
	return NULL;
}

int inflight_map(struct inflight_log *log, struct vhost_user_message *message,
		 unsigned int queues_max, char *why, size_t why_size)
{
	const char *wrong = wrong_counts(message, queues_max);

	memset(log, 0, sizeof(*log));
	if (!wrong)
		wrong = map(log, message);
	if (wrong) {
		memset(log, 0, sizeof(*log));
		return refuse(why, why_size, "SET", wrong);
	}
	log->message = *message;
	message->fd_count = 0;
	return 0;
}

void inflight_unmap(struct inflight_log *log)
{
	if (log->base)
		munmap(log->base, log->length);
	vhost_user_close_fds(&log->message);
	memset(log, 0, sizeof(*log));
}

static const char *wrong_queue(const struct inflight_log *log, const struct inflight_queue *queue,
			       uint16_t num)
{
	uint16_t version = READ_ONCE(queue->version), size = READ_ONCE(queue->desc_num);

	/* 0: zeroed by the front-end. */
	if (version > VERSION)
		return "its version is not 1";
	if (size && size != log->size)
		return "it is of another size";
	return num > log->size ? "it is shorter than the queue" : NULL;
}

struct inflight_queue *inflight_queue(const struct inflight_log *log, unsigned int index,
				      uint16_t num, const char **wrong)
{
	struct inflight_queue *queue;

	*wrong = NULL;
	if (index >= log->queues)
		return NULL;
	queue = (void *)(log->first + index * queue_bytes(log->size));
	*wrong = wrong_queue(log, queue, num);
	if (*wrong)
		return NULL;
	WRITE_ONCE(queue->version, VERSION);
	WRITE_ONCE(queue->desc_num, log->size);
	return queue;
}
