/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user messages over real sockets, and the memory table on real files. */
#define _GNU_SOURCE
#include "virtio/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "fds.h"
#include "slow_close.h"
#include "virtio/peer_fd.h"

#define PAGE 4096u

static int ends[2];
static struct vhost_user_receiver receiver;

static void set_up(void)
{
	memset(&receiver, 0, sizeof(receiver));
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void tear_down(void)
{
	vhost_user_close_fds(&receiver.message);
	close(ends[0]);
	close(ends[1]);
}

static struct vhost_user_message make(uint32_t request, uint32_t size, unsigned int fds)
{
	struct vhost_user_message message = {
		.header = {.request = request, .flags = VHOST_USER_VERSION, .size = size},
		.fd_count = fds,
	};
	unsigned int i;

	for (i = 0; i < fds; i++)
		message.fds[i] = ends[0];
	return message;
}

static void a_message_arrives_with_its_descriptors(void)
{
	struct vhost_user_message message;
	struct stat sent, got;

	set_up();
	message = make(VHOST_USER_SET_MEM_TABLE, 40, 2);
	message.payload.table.count = 1;
	message.payload.table.regions[0].size = 77;
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 0);
	CHECK_EQ(vhost_user_send(ends[0], &message, 0), 0);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 1);
	CHECK_EQ(receiver.message.header.request, VHOST_USER_SET_MEM_TABLE);
	CHECK_EQ(receiver.message.payload.table.regions[0].size, 77);
	CHECK_EQ(receiver.message.fd_count, 2);
	CHECK(fcntl(receiver.message.fds[1], F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(fstat(ends[0], &sent), 0);
	CHECK_EQ(fstat(receiver.message.fds[1], &got), 0);
	CHECK_EQ(sent.st_ino, got.st_ino);
	tear_down();
}

static void messages_come_byte_by_byte_or_together(void)
{
	struct vhost_user_message message;
	unsigned char bytes[20];
	size_t i;

	set_up();
	message = make(VHOST_USER_SET_FEATURES, 8, 0);
	message.payload.u64 = UINT64_C(0x1122334455667788);
	memcpy(bytes, &message.header, 12);
	memcpy(bytes + 12, &message.payload, 8);
	for (i = 0; i < sizeof(bytes); i++) {
		CHECK_EQ(vhost_user_receive(ends[1], &receiver), 0);
		CHECK_EQ(write(ends[0], bytes + i, 1), 1);
	}
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 1);
	CHECK_EQ(receiver.message.payload.u64, 0x1122334455667788);

	CHECK_EQ(vhost_user_send(ends[0], &message, 0), 0);
	message = make(VHOST_USER_GET_FEATURES, 0, 0);
	CHECK_EQ(vhost_user_send(ends[0], &message, 0), 0);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 1);
	CHECK_EQ(receiver.message.header.request, VHOST_USER_SET_FEATURES);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 1);
	CHECK_EQ(receiver.message.header.request, VHOST_USER_GET_FEATURES);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 0);
	tear_down();
}

static void lying_headers_are_refused(void)
{
	struct vhost_user_header header = {
		.request = 1, .flags = VHOST_USER_VERSION, .size = 1u << 30,
	};

	set_up();
	CHECK_EQ(write(ends[0], &header, sizeof(header)), (long long)sizeof(header));
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	CHECK(receiver.error && strstr(receiver.error, "longer"));
	header.size = 0;
	header.flags = 2;
	CHECK_EQ(write(ends[0], &header, sizeof(header)), (long long)sizeof(header));
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	CHECK(receiver.error && strstr(receiver.error, "version"));
	tear_down();
}

static ssize_t send_raw(const void *bytes, size_t size, unsigned int fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(32 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(fds * sizeof(int)),
	};
	struct cmsghdr *cmsg;
	unsigned int i;

	memset(&control, 0, sizeof(control));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
	for (i = 0; i < fds; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &ends[0], sizeof(int));
	return sendmsg(ends[0], &msg, 0);
}

static void surplus_descriptors_are_refused_and_closed(void)
{
	struct vhost_user_message message;
	int before;

	set_up();
	before = open_fds();
	message = make(VHOST_USER_SET_FEATURES, 8, 0);
	CHECK_EQ(send_raw(&message.header, 12, 9), 12);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	CHECK_EQ(open_fds(), before);
	CHECK_EQ(send_raw(&message.header, 12, 20), 12);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	CHECK_EQ(open_fds(), before);
	/* in front of the payload */
	CHECK_EQ(send_raw(&message.header, 12, 1), 12);
	CHECK_EQ(send_raw(&message.payload, 8, 1), 8);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	CHECK_EQ(open_fds(), before);
	tear_down();
}

/* The kernel drops them then, and says so as for those that are too many. */
static void without_descriptors_the_sentence_says_so(void)
{
	struct vhost_user_message message;
	struct rlimit limit, few;
	int next, before;

	set_up();
	message = make(VHOST_USER_SET_FEATURES, 8, 0);
	CHECK_EQ(send_raw(&message.header, 12, 2), 12);
	before = open_fds();
	next = dup(ends[0]);
	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	few = limit;
	few.rlim_cur = (rlim_t)next + 1; /* one of the two */
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -EPROTO);
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK(receiver.error && strstr(receiver.error, "no descriptors left"));
	CHECK_EQ(open_fds(), before);
	tear_down();
}

static void a_peer_that_closes_leaves_nothing_open(void)
{
	struct vhost_user_message message;
	int before;

	set_up();
	before = open_fds();
	message = make(VHOST_USER_SET_FEATURES, 8, 0);
	CHECK_EQ(send_raw(&message.header, 12, 2), 12);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), 0);
	CHECK_EQ(open_fds(), before + 2);
	CHECK_EQ(shutdown(ends[0], SHUT_RDWR), 0);
	CHECK_EQ(vhost_user_receive(ends[1], &receiver), -ECONNRESET);
	CHECK_EQ(open_fds(), before);
	tear_down();
}

static void waits_end_at_their_deadline(void)
{
	struct vhost_user_message message;
	int ret = 0;

	set_up();
	CHECK_EQ(vhost_user_receive_until(ends[1], &receiver, vhost_user_deadline(20)),
		 -ETIMEDOUT);
	message = make(VHOST_USER_SET_FEATURES, 8, 0);
	while (ret == 0)
		ret = vhost_user_send(ends[0], &message, 0);
	CHECK_EQ(ret, -EAGAIN);
	CHECK_EQ(vhost_user_send(ends[0], &message, vhost_user_deadline(20)), -ETIMEDOUT);
	tear_down();
}

/* ---- memory table ------------------------------------------------------- */

static int memory_file(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct vhost_user_message table_of(unsigned int count, int fd)
{
	struct vhost_user_message message = make(VHOST_USER_SET_MEM_TABLE, 8 + 32 * count, 0);
	unsigned int i;

	message.payload.table.count = count;
	message.fd_count = count;
	for (i = 0; i < count && i < VHOST_USER_REGIONS_MAX; i++) {
		message.fds[i] = fd;
		message.payload.table.regions[i] = (struct vhost_user_region){
			.guest_addr = 0x1000u + 0x10000u * i,
			.user_addr = 0x7f0000000000u + 0x10000u * i,
			.size = PAGE,
			.mmap_offset = 100 + PAGE * i,
		};
	}
	return message;
}

static void addresses_are_translated_inside_one_region(void)
{
	struct vhost_user_memory memory = {0};
	struct vhost_user_message message;
	char why[160] = "", byte = 0;
	uint8_t *host;
	int fd = memory_file(3 * PAGE);

	message = table_of(2, fd);
	CHECK_EQ(vhost_user_memory_map(&memory, &message, why, sizeof(why)), 0);
	host = vhost_user_memory_guest(&memory, 0x11010, 4);
	CHECK(host != NULL);
	CHECK(host == vhost_user_memory_user(&memory, 0x7f0000010010, 4));
	*host = 'x';
	CHECK_EQ(pread(fd, &byte, 1, 100 + PAGE + 0x10), 1);
	CHECK_EQ(byte, 'x');

	CHECK(vhost_user_memory_guest(&memory, 0x1000, PAGE) != NULL);
	CHECK(vhost_user_memory_guest(&memory, 0x1000, PAGE + 1) == NULL);
	CHECK(vhost_user_memory_guest(&memory, 0x1000 + PAGE - 1, 2) == NULL);
	CHECK(vhost_user_memory_guest(&memory, 0x1000 + PAGE, 1) == NULL);
	CHECK(vhost_user_memory_guest(&memory, 0xfff, 1) == NULL);
	CHECK(vhost_user_memory_guest(&memory, 0x1001, UINT64_MAX) == NULL);
	CHECK(vhost_user_memory_guest(&memory, UINT64_MAX, 2) == NULL);
	/* neither is taken for the other */
	CHECK(vhost_user_memory_guest(&memory, 0x7f0000000000, 1) == NULL);
	CHECK(vhost_user_memory_user(&memory, 0x1000, 1) == NULL);
	vhost_user_memory_unmap(&memory);
	CHECK(vhost_user_memory_guest(&memory, 0x1000, 1) == NULL);
	close(fd);
}

static void not_mapped(struct vhost_user_message *message, const char *sentence)
{
	struct vhost_user_memory memory;
	char why[160] = "";

	CHECK_EQ(vhost_user_memory_map(&memory, message, why, sizeof(why)), -EINVAL);
	CHECK_EQ(memory.count, 0);
	CHECK(strstr(why, sentence) != NULL);
	if (!strstr(why, sentence))
		printf("  said: %s\n", why);
}

static void lying_memory_tables_are_refused(void)
{
	int fd = memory_file(3 * PAGE), event = eventfd(0, EFD_CLOEXEC);
	struct vhost_user_message message;

	message = table_of(0, fd);
	not_mapped(&message, "1 to 8 whole regions");
	message = table_of(9, fd);
	message.fd_count = 8;
	not_mapped(&message, "1 to 8 whole regions");
	message = table_of(2, fd);
	message.header.size = 40;
	not_mapped(&message, "1 to 8 whole regions");
	message = table_of(1, fd);
	message.header.size = 4;
	not_mapped(&message, "1 to 8 whole regions");
	message = table_of(2, fd);
	message.fd_count = 1;
	not_mapped(&message, "2 regions but 1 descriptors");

	message = table_of(2, fd);
	message.payload.table.regions[1].size = 2 * PAGE;
	not_mapped(&message, "region 1 cannot be mapped: it reaches beyond the end");
	message = table_of(1, fd);
	message.payload.table.regions[0].mmap_offset = 3 * PAGE;
	not_mapped(&message, "beyond the end");
	message = table_of(1, event);
	not_mapped(&message, "no memfd, nor a file of tmpfs");
	message = table_of(1, fd);
	message.payload.table.regions[0].size = 0;
	not_mapped(&message, "empty");
	message = table_of(1, fd);
	message.payload.table.regions[0].guest_addr = UINT64_MAX - 5;
	not_mapped(&message, "wraps");
	message = table_of(1, fd);
	message.payload.table.regions[0].user_addr = UINT64_MAX - 5;
	not_mapped(&message, "wraps");
	message = table_of(1, fd);
	message.payload.table.regions[0].mmap_offset = UINT64_MAX - 5;
	not_mapped(&message, "wraps");
	close(fd);
	close(event);
}

static bool is_let_in(void)
{
	struct vhost_user_message message;
	int ret;

	set_up();
	message = make(VHOST_USER_SET_MEM_TABLE, 40, 1);
	CHECK_EQ(vhost_user_send(ends[0], &message, 0), 0);
	ret = vhost_user_receive(ends[1], &receiver);
	CHECK(ret == 1 || (ret == -EPROTO && strstr(receiver.error, "do not come to their close")));
	tear_down();
	return ret == 1;
}

static void descriptors_that_do_not_close_have_a_limit(void)
{
	static struct slow_close slow[PEER_FD_CLOSES_MAX];
	int fds = open_fds();

	for (unsigned int i = 0; i < PEER_FD_CLOSES_MAX; i++) {
		CHECK(is_let_in());
		slow[i] = make_slow_close();
		peer_fd_close(slow[i].fd);
	}
	CHECK(!is_let_in());
	for (unsigned int i = 0; i < PEER_FD_CLOSES_MAX; i++)
		let_close(&slow[i]);
	while (open_fds() != fds)
		usleep(1000); /* the test's own deadline ends it */
	while (!is_let_in())
		usleep(1000);
}

int main(void)
{
	RUN(a_message_arrives_with_its_descriptors);
	RUN(messages_come_byte_by_byte_or_together);
	RUN(lying_headers_are_refused);
	RUN(surplus_descriptors_are_refused_and_closed);
	RUN(without_descriptors_the_sentence_says_so);
	RUN(a_peer_that_closes_leaves_nothing_open);
	RUN(waits_end_at_their_deadline);
	RUN(addresses_are_translated_inside_one_region);
	RUN(lying_memory_tables_are_refused);
	RUN(descriptors_that_do_not_close_have_a_limit);
	return check_report();
}
