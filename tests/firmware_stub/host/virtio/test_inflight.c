/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of what is in flight: devices that end anywhere, and logs that lie. */
#define _GNU_SOURCE
#include "virtio/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "fds.h"
#include "traced.h"
#include "virtio/split_ring.h"

#define NUM   16u
#define MEMORY 4096u
#define STEPS 200000u
#define LIES  20000u

static uint8_t *memory; /* shared with a device in a process of its own */
static uint8_t buffers[NUM];
static struct split_driver_slot slots[NUM];
static struct split_driver driver;
static struct split_device device;
static struct inflight_log log_;
static uint16_t heads[NUM];

static void *translate(const void *unused, uint64_t addr, uint64_t length)
{
	(void)unused;
	return addr < NUM && length <= NUM - addr ? buffers + addr : NULL;
}

static struct vhost_user_message ask(uint16_t queues, uint16_t size)
{
	return (struct vhost_user_message){
		.header = {VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_VERSION,
			   sizeof(struct vhost_user_inflight)},
		.payload.inflight = {.num_queues = queues, .queue_size = size},
	};
}

static struct inflight_queue *queue(void)
{
	const char *wrong;

	return inflight_queue(&log_, 0, NUM, &wrong);
}

/* A device begins on the ring, whatever became of the one before. */
static int begin(void)
{
	CHECK_EQ(split_device_init(&device, &driver.ring, 0, translate, NULL), 0);
	return split_device_recover(&device, queue(), heads);
}

static void set_up(void)
{
	struct vhost_user_message message = ask(1, NUM);
	char why[200];

	CHECK(split_driver_size(NUM) <= MEMORY);
	if (!memory)
		memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			      0);
	CHECK_EQ(split_driver_init(&driver, memory, NUM, slots), 0);
	CHECK_EQ(inflight_create(&message, 2, why, sizeof(why)), 0);
	CHECK_EQ(inflight_map(&log_, &message, 2, why, sizeof(why)), 0);
	CHECK_EQ(message.fd_count, 0); /* the log's */
	CHECK_EQ(begin(), 0);
}

static void post(void)
{
	int id = split_driver_take(&driver);

	if (id < 0)
		return;
	split_driver_add(&driver, (uint16_t)id, (uint64_t)id, 1, true);
	split_driver_publish(&driver);
}

static int pop(void)
{
	struct iovec iov[1];
	struct split_chain chain = {.iov = iov, .iov_max = 1};
	int ret = split_device_pop(&device, &chain);

	return ret > 0 ? chain.head : ret < 0 ? ret : -EAGAIN;
}

/* What is used; the driver's side finds a chain that comes twice. */
static void collect(void)
{
	uint32_t length;
	uint16_t id;
	int ret;

	while ((ret = split_driver_pop(&driver, &id, &length)) > 0)
		split_driver_release(&driver, id);
	CHECK_EQ(ret, 0);
}

static unsigned int free_slots(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < NUM; i++)
		count += slots[i].state == SPLIT_DRIVER_FREE;
	return count;
}

static void each_chain_returns_once_wherever_a_device_ends(void)
{
	uint16_t mine[NUM];
	unsigned int count = 0;
	int head;

	set_up();
	srandom(1);
	for (unsigned int i = 0; i < STEPS; i++) {
		switch (random() % 8) {
		case 0: case 1:
			post();
			break;
		case 2: case 3:
			head = pop();
			if (head >= 0)
				mine[count++] = (uint16_t)head;
			break;
		case 4: case 5:
			if (count) { /* in any order */
				unsigned int which = (unsigned int)random() % count;

				split_device_push(&device, mine[which], 1);
				mine[which] = mine[--count];
			}
			break;
		case 6:
			split_device_publish(&device);
			collect();
			break;
		default:
			if (random() % 8)
				break;
			CHECK_EQ(begin(), 0);
			count = 0;
		}
		CHECK(count <= NUM);
	}
	CHECK_EQ(begin(), 0);
	while ((head = pop()) >= 0)
		split_device_push(&device, (uint16_t)head, 1);
	CHECK_EQ(head, -EAGAIN);
	split_device_publish(&device);
	collect();
	CHECK_EQ(free_slots(), NUM);
	inflight_unmap(&log_);
}

/* ---- a device that is killed between two stores --------------------------------------- */

struct moment {
	uint8_t memory[MEMORY], log[MEMORY];
};

#define MOMENTS_MAX 200u

static struct moment moments[MOMENTS_MAX];
static unsigned int moment_count;

static size_t log_bytes(void)
{
	return log_.length < MEMORY ? log_.length : MEMORY;
}

static void note_moment(void)
{
	struct moment *last = moment_count ? &moments[moment_count - 1] : NULL;

	if (last && !memcmp(last->memory, memory, MEMORY) &&
	    !memcmp(last->log, log_.base, log_bytes()))
		return;
	if (moment_count == MOMENTS_MAX)
		abort();
	memcpy(moments[moment_count].memory, memory, MEMORY);
	memcpy(moments[moment_count++].log, log_.base, log_bytes());
}

/* Six chains: one was taken before, and one returned; out of order, one by one and together. */
static void work_of_a_device(void)
{
	int first = pop(), second = pop(), third;

	split_device_push(&device, (uint16_t)second, 1);
	split_device_publish(&device);
	third = pop();
	split_device_push(&device, (uint16_t)third, 1);
	split_device_push(&device, (uint16_t)first, 1);
	split_device_publish(&device);
	pop();
}

static void go_on_from(const struct moment *moment)
{
	struct split_driver_slot slots_then[NUM];
	struct split_driver then = driver;
	int head;

	memcpy(slots_then, slots, sizeof(slots));
	memcpy(memory, moment->memory, MEMORY);
	memcpy(log_.base, moment->log, log_bytes());
	collect();
	post(); /* with the head that was returned last, which the log may still name */
	post();
	CHECK_EQ(begin(), 0);
	while ((head = pop()) >= 0) {
		split_device_push(&device, (uint16_t)head, 1);
		split_device_publish(&device);
	}
	CHECK_EQ(head, -EAGAIN);
	collect();
	CHECK_EQ(free_slots(), NUM);
	driver = then;
	memcpy(slots, slots_then, sizeof(slots));
}

/* Each state that the ring and its log have on the way, instruction by instruction: the next
 * device returns what was not returned, and nothing twice. */
static void each_chain_returns_once_whatever_store_was_the_last(void)
{
	pid_t child;

	set_up();
	for (int i = 0; i < 6; i++)
		post();
	split_device_push(&device, (uint16_t)pop(), 1);
	split_device_publish(&device);
	pop();
	moment_count = 0;
	child = traced(work_of_a_device);
	do {
		note_moment();
	} while (traced_goes_on(child, PTRACE_SINGLESTEP));
	CHECK(moment_count > 20);
	for (unsigned int i = 0; i < moment_count && !check_bad; i++)
		go_on_from(&moments[i]);
	inflight_unmap(&log_);
}

static void what_was_taken_first_comes_first(void)
{
	int taken[5];

	set_up();
	for (int i = 0; i < 6; i++)
		post();
	split_device_push(&device, (uint16_t)pop(), 1);
	split_device_publish(&device);
	for (int i = 0; i < 5; i++)
		taken[i] = pop();
	CHECK_EQ(begin(), 0);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(pop(), taken[i]);
	CHECK_EQ(pop(), -EAGAIN);
	inflight_unmap(&log_);
}

/* Shown to the driver, and not written down: no chain is taken again. */
static void a_batch_that_was_shown_is_over(void)
{
	set_up();
	for (int i = 0; i < 4; i++)
		post();
	for (int i = 0; i < 4; i++)
		split_device_push(&device, (uint16_t)pop(), 1);
	device.log = NULL; /* as if it ended before */
	split_device_publish(&device);
	CHECK_EQ(begin(), 0);
	CHECK_EQ(pop(), -EAGAIN);
	collect();
	CHECK_EQ(free_slots(), NUM);
	inflight_unmap(&log_);
}

static void a_log_that_lies_ends_in_a_sentence(void)
{
	set_up();
	srandom(2);
	for (unsigned int i = 0; i < LIES; i++) {
		struct inflight_queue *lie = queue();
		unsigned int taken = 0;

		lie->last_batch_head = (uint16_t)random();
		lie->used_idx = (uint16_t)random();
		for (unsigned int head = 0; head < NUM; head++)
			lie->desc[head] = (struct inflight_desc){
				.inflight = random() % 4 == 0, .next = (uint16_t)random(),
				.counter = (uint64_t)random(),
			};
		post();
		if (begin() < 0) {
			CHECK(strstr(device.ring.error, "in flight by the log"));
			continue;
		}
		for (; taken <= NUM && pop() >= 0; taken++)
			continue;
		CHECK(taken <= NUM);
	}
	inflight_unmap(&log_);
}

static void memory_of_the_wrong_size_is_refused(void)
{
	static const struct {
		uint64_t size, offset;
		uint16_t queues, num;
	} wrong[] = {
		{4096, 0, 0, NUM}, {4096, 0, 3, NUM}, {4096, 0, 1, 0}, {4096, 0, 1, 0x8001},
		{1, 0, 1, NUM}, {4096, 4096, 1, NUM}, {4096, 8, 1, NUM}, {4096, 3904, 1, NUM},
		{UINT64_MAX, UINT64_MAX - 63, 1, NUM}, {4096, 0, 2, 256},
	};
	int fds = open_fds(), fd = memfd_create("log", MFD_CLOEXEC);
	char why[200];

	CHECK_EQ(ftruncate(fd, 4096), 0);
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct vhost_user_message message = ask(wrong[i].queues, wrong[i].num);

		message.payload.inflight.mmap_size = wrong[i].size;
		message.payload.inflight.mmap_offset = wrong[i].offset;
		message.fds[0] = dup(fd);
		message.fd_count = 1;
		CHECK_EQ(inflight_map(&log_, &message, 2, why, sizeof(why)), -1);
		CHECK(strstr(why, "SET_INFLIGHT_FD: "));
		vhost_user_close_fds(&message);
	}
	close(fd);
	CHECK_EQ(open_fds(), fds);
}

int main(void)
{
	RUN(each_chain_returns_once_wherever_a_device_ends);
	RUN(each_chain_returns_once_whatever_store_was_the_last);
	RUN(what_was_taken_first_comes_first);
	RUN(a_batch_that_was_shown_is_over);
	RUN(a_log_that_lies_ends_in_a_sentence);
	RUN(memory_of_the_wrong_size_is_refused);
	return check_report();
}
