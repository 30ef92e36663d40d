/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user backend against a raw front-end: real sockets, real shared
 * memory. The backend runs in a thread with an echo in the firmware's place;
 * the main thread is the guest, which can write what it likes.
 */
#define _GNU_SOURCE
#include "rpmsg_backend.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "rpmsg.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define TIMEOUT_MS  10000
#define RING_NUM    256u
#define ECHO_ADDR   0x400u
#define GUEST_ADDR  0x7777u
#define MEMORY_SIZE (1u << 20)
#define GUEST_BASE  UINT64_C(0x80000000)

/* ---- the firmware side, in its own thread ----------------------------------- */

enum order { NONE, STALL, GO_ON, DISCONNECT, LIE, QUIT };

static struct {
	char path[64];
	struct loop *loop;
	struct rpmsg_backend *backend;
	pthread_t thread;
	int order_fd, done_fd;
	_Atomic int order;
	_Atomic int attached, detached, writable;
	bool held;
	char why[200];
} firmware;

static void fw_attached(void *context)
{
	(void)context;
	firmware.attached++;
	rpmsg_backend_announce(firmware.backend, "rpmsg-io-0", ECHO_ADDR, true);
}

static void fw_detached(void *context)
{
	(void)context;
	firmware.held = false;
	firmware.detached++;
}

static bool fw_received(void *context, uint32_t source, uint32_t destination,
			const void *message, uint16_t length)
{
	(void)context;
	if (rpmsg_backend_send(firmware.backend, destination, source, message, length))
		return true;
	firmware.held = true;
	return false;
}

static void fw_writable(void *context)
{
	(void)context;
	firmware.writable++;
	if (firmware.held) {
		firmware.held = false;
		rpmsg_backend_resume(firmware.backend);
	}
}

static const struct rpmsg_backend_ops firmware_ops = {
	.attached = fw_attached,
	.detached = fw_detached,
	.received = fw_received,
	.writable = fw_writable,
};

static void raise_fd(int fd)
{
	uint64_t one = 1;

	CHECK_EQ(write(fd, &one, sizeof(one)), (long long)sizeof(one));
}

static void obey(void *context, uint32_t events)
{
	uint64_t count;

	(void)context;
	(void)events;
	CHECK_EQ(read(firmware.order_fd, &count, sizeof(count)), (long long)sizeof(count));
	switch (firmware.order) {
	case STALL:
		rpmsg_backend_stall(firmware.backend, true);
		break;
	case GO_ON:
		rpmsg_backend_stall(firmware.backend, false);
		break;
	case DISCONNECT:
		rpmsg_backend_disconnect(firmware.backend);
		break;
	case LIE:
		rpmsg_backend_lie(firmware.backend, 1, 480, 10);
		break;
	default:
		loop_quit(firmware.loop);
	}
	raise_fd(firmware.done_fd);
}

static void idle(void *context)
{
	(void)context;
	rpmsg_backend_flush(firmware.backend);
}

static void *firmware_thread(void *unused)
{
	(void)unused;
	loop_run(firmware.loop, idle, NULL);
	return NULL;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, timeout_ms) == 1;
}

static void command(enum order order)
{
	uint64_t count;

	firmware.order = (int)order;
	raise_fd(firmware.order_fd);
	CHECK(readable(firmware.done_fd, TIMEOUT_MS));
	CHECK_EQ(read(firmware.done_fd, &count, sizeof(count)), (long long)sizeof(count));
}

static void start_firmware(void)
{
	snprintf(firmware.path, sizeof(firmware.path), "/tmp/test-rpmsg-backend-%d.sock",
		 (int)getpid());
	firmware.order_fd = eventfd(0, EFD_CLOEXEC);
	firmware.done_fd = eventfd(0, EFD_CLOEXEC);
	firmware.loop = loop_new();
	firmware.backend = rpmsg_backend_open(firmware.loop, firmware.path, &firmware_ops, NULL,
					      firmware.why, sizeof(firmware.why));
	if (!firmware.backend) {
		printf("%s\n", firmware.why);
		exit(1);
	}
	loop_add(firmware.loop, firmware.order_fd, EPOLLIN, obey, NULL);
	pthread_create(&firmware.thread, NULL, firmware_thread, NULL);
}

static void stop_firmware(void)
{
	command(QUIT);
	pthread_join(firmware.thread, NULL);
	rpmsg_backend_close(firmware.backend);
	loop_free(firmware.loop);
	close(firmware.order_fd);
	close(firmware.done_fd);
}

/* ---- the guest ---------------------------------------------------------------- */

struct guest {
	int socket, memory_fd;
	int kick[2], call[2];
	uint8_t *memory;
	struct split_driver rings[2];
	struct split_driver_slot slots[2][RING_NUM];
	uint8_t *buffers[2];
	unsigned int receive_buffers;
	uint32_t buffer_size;
	uint64_t features;
	struct vhost_user_receiver receiver;
	uint64_t refused; /* last acknowledgement */
};

static struct guest guest;

static uint64_t guest_addr(const void *host)
{
	return GUEST_BASE + (uint64_t)((const uint8_t *)host - guest.memory);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_message(struct vhost_user_message *message)
{
	CHECK_EQ(vhost_user_send(guest.socket, message, vhost_user_deadline(TIMEOUT_MS)), 0);
}

/* The answer to `request`, checked as strictly as UML does. */
static struct vhost_user_message *answer(uint32_t request, uint32_t size)
{
	CHECK_EQ(vhost_user_receive_until(guest.socket, &guest.receiver,
					  vhost_user_deadline(TIMEOUT_MS)), 1);
	CHECK_EQ(guest.receiver.message.header.request, request);
	CHECK_EQ(guest.receiver.message.header.flags, 5);
	CHECK_EQ(guest.receiver.message.header.size, size);
	return &guest.receiver.message;
}

static struct vhost_user_message request_of(uint32_t id, uint32_t size)
{
	return (struct vhost_user_message){
		.header = {.request = id, .flags = 1, .size = size},
	};
}

static uint64_t ask(uint32_t id)
{
	struct vhost_user_message message = request_of(id, 0);

	send_message(&message);
	return answer(id, 8)->payload.u64;
}

/* Send with need_reply; the acknowledgement is left in guest.refused. */
static void tell(struct vhost_user_message message)
{
	message.header.flags = 1 | VHOST_USER_NEED_REPLY;
	send_message(&message);
	guest.refused = answer(message.header.request, 8)->payload.u64;
}

static void tell_u64(uint32_t id, uint64_t value)
{
	struct vhost_user_message message = request_of(id, 8);

	message.payload.u64 = value;
	tell(message);
}

static void tell_state(uint32_t id, uint32_t index, uint32_t num)
{
	struct vhost_user_message message = request_of(id, 8);

	message.payload.state.index = index;
	message.payload.state.num = num;
	tell(message);
}

static void tell_fd(uint32_t id, uint32_t index, int fd)
{
	struct vhost_user_message message = request_of(id, 8);

	message.payload.u64 = index;
	message.fds[0] = fd;
	message.fd_count = 1;
	tell(message);
}

static void tell_table(uint64_t size)
{
	struct vhost_user_message message = request_of(VHOST_USER_SET_MEM_TABLE, 40);

	message.payload.table.count = 1;
	message.payload.table.regions[0] = (struct vhost_user_region){
		.guest_addr = GUEST_BASE,
		.size = size,
		.user_addr = (uint64_t)(uintptr_t)guest.memory,
	};
	message.fds[0] = guest.memory_fd;
	message.fd_count = 1;
	tell(message);
}

static void tell_addr(uint32_t index, uint64_t offset)
{
	struct vhost_user_message message = request_of(VHOST_USER_SET_VRING_ADDR, 40);
	const struct split_ring *ring = &guest.rings[index].ring;

	message.payload.addr = (struct vhost_user_vring_addr){
		.index = index,
		.desc = (uint64_t)(uintptr_t)ring->desc + offset,
		.used = (uint64_t)(uintptr_t)ring->used,
		.avail = (uint64_t)(uintptr_t)ring->avail,
		.log = UINT64_MAX,
	};
	tell(message);
}

static void post_rx(uint16_t id)
{
	uint8_t *buffer = guest.buffers[0] + (size_t)id * RPMSG_BUFFER_SIZE;

	split_driver_add(&guest.rings[0], id, guest_addr(buffer), guest.buffer_size, true);
}

static void kick(int ring)
{
	if (split_driver_publish(&guest.rings[ring]))
		raise_fd(guest.kick[ring]);
}

/* Memory and descriptors, but no word on the socket yet. */
static void guest_connect(void)
{
	size_t ring = split_driver_size(RING_NUM), buffers = RING_NUM * RPMSG_BUFFER_SIZE;
	int i;

	memset(&guest, 0, sizeof(guest));
	guest.buffer_size = RPMSG_BUFFER_SIZE;
	guest.receive_buffers = RING_NUM;
	guest.features = VHOST_USER_BIT(32) | VHOST_USER_BIT(30) | 1;
	guest.memory_fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(guest.memory_fd, MEMORY_SIZE), 0);
	guest.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    guest.memory_fd, 0);
	CHECK(guest.memory != MAP_FAILED);
	for (i = 0; i < 2; i++) {
		split_driver_init(&guest.rings[i], guest.memory + (size_t)i * ring, RING_NUM,
				  guest.slots[i]);
		guest.buffers[i] = guest.memory + 2 * ring + (size_t)i * buffers;
		guest.kick[i] = eventfd(0, EFD_CLOEXEC);
		guest.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	guest.socket = connect_to(firmware.path);
}

static void set_up_ring(uint32_t index)
{
	tell_fd(VHOST_USER_SET_VRING_CALL, index, guest.call[index]);
	CHECK_EQ(guest.refused, 0);
	tell_state(VHOST_USER_SET_VRING_NUM, index, RING_NUM);
	CHECK_EQ(guest.refused, 0);
	tell_state(VHOST_USER_SET_VRING_BASE, index, 0);
	CHECK_EQ(guest.refused, 0);
	tell_addr(index, 0);
	CHECK_EQ(guest.refused, 0);
}

static void start_ring(uint32_t index)
{
	tell_fd(VHOST_USER_SET_VRING_KICK, index, guest.kick[index]);
	CHECK_EQ(guest.refused, 0);
	tell_state(VHOST_USER_SET_VRING_ENABLE, index, 1);
	CHECK_EQ(guest.refused, 0);
}

/* As User-Mode Linux does it: buffers only after the rings run. */
static void guest_start(void)
{
	struct vhost_user_message owner = request_of(VHOST_USER_SET_OWNER, 0);
	unsigned int i;

	tell(owner);
	tell_u64(VHOST_USER_SET_FEATURES, guest.features);
	CHECK_EQ(guest.refused, 0);
	tell_table(MEMORY_SIZE);
	CHECK_EQ(guest.refused, 0);
	set_up_ring(0);
	set_up_ring(1);
	start_ring(0);
	start_ring(1);
	for (i = 0; i < guest.receive_buffers; i++)
		post_rx((uint16_t)split_driver_take(&guest.rings[0]));
	kick(0);
}

static void guest_close(void)
{
	int i;

	vhost_user_close_fds(&guest.receiver.message);
	if (guest.socket >= 0)
		close(guest.socket);
	close(guest.memory_fd);
	munmap(guest.memory, MEMORY_SIZE);
	for (i = 0; i < 2; i++) {
		close(guest.kick[i]);
		close(guest.call[i]);
	}
}

/* One message from the device, waited for on the call descriptor. */
static bool guest_receive(struct rpmsg_header *header, uint8_t *payload, uint32_t *size)
{
	uint64_t deadline = vhost_user_deadline(TIMEOUT_MS), count;
	uint16_t id;
	int ret;

	while ((ret = split_driver_pop(&guest.rings[0], &id, size)) == 0) {
		if (vhost_user_deadline(0) > deadline || !readable(guest.call[0], TIMEOUT_MS))
			return false;
		if (read(guest.call[0], &count, sizeof(count)) < 0)
			return false;
	}
	if (ret < 0)
		return false;
	memcpy(header, guest.buffers[0] + (size_t)id * RPMSG_BUFFER_SIZE, sizeof(*header));
	memcpy(payload, guest.buffers[0] + (size_t)id * RPMSG_BUFFER_SIZE + sizeof(*header),
	       RPMSG_PAYLOAD_MAX);
	post_rx(id);
	return true;
}

static bool reclaim(void)
{
	uint32_t length;
	uint16_t id;
	bool any = false;

	while (split_driver_pop(&guest.rings[1], &id, &length) == 1) {
		split_driver_release(&guest.rings[1], id);
		any = true;
	}
	return any;
}

static bool guest_send(const void *payload, uint16_t length)
{
	struct rpmsg_header header = rpmsg_header_make(GUEST_ADDR, ECHO_ADDR, length);
	uint8_t *buffer;
	int id;

	reclaim();
	id = split_driver_take(&guest.rings[1]);
	if (id < 0)
		return false;
	buffer = guest.buffers[1] + (size_t)id * RPMSG_BUFFER_SIZE;
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), payload, length);
	split_driver_add(&guest.rings[1], (uint16_t)id, guest_addr(buffer),
			 RPMSG_HEADER_SIZE + (uint32_t)length, false);
	return true;
}

static void expect_announcement(void)
{
	struct rpmsg_header header;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	struct rpmsg_ns_msg ns;
	uint32_t size;

	CHECK(guest_receive(&header, payload, &size));
	if (check_bad)
		return;
	memcpy(&ns, payload, sizeof(ns));
	CHECK_EQ(size, 16 + 40);
	CHECK_EQ(rpmsg_gpio_load32(header.src), ECHO_ADDR);
	CHECK_EQ(rpmsg_gpio_load32(header.dst), 53);
	CHECK_EQ(rpmsg_gpio_load16(header.len), 40);
	CHECK_EQ(rpmsg_gpio_load32(ns.addr), ECHO_ADDR);
	CHECK_EQ(rpmsg_gpio_load32(ns.flags), 0);
	CHECK_EQ(strcmp((char *)ns.name, "rpmsg-io-0"), 0);
}

static void expect_echo(const void *sent, uint16_t length)
{
	struct rpmsg_header header;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	uint32_t size;

	CHECK(guest_receive(&header, payload, &size));
	if (check_bad)
		return;
	CHECK_EQ(size, 16 + length);
	CHECK_EQ(rpmsg_gpio_load16(header.len), length);
	CHECK_EQ(rpmsg_gpio_load32(header.dst), GUEST_ADDR);
	CHECK_BYTES(payload, sent, length);
}

static void guest_works(void)
{
	guest_connect();
	guest_start();
	expect_announcement();
	CHECK(guest_send("hello", 5));
	kick(1);
	expect_echo("hello", 5);
}

static bool hung_up(void)
{
	struct vhost_user_receiver receiver = {0};
	int ret;

	do {
		ret = vhost_user_receive_until(guest.socket, &receiver,
					       vhost_user_deadline(TIMEOUT_MS));
	} while (ret == 1);
	return ret == -ECONNRESET;
}

/* ---- tests: the good guest ------------------------------------------------------- */

static void a_channel_is_announced_and_answers(void)
{
	guest_works();
	guest_close();
}

static void every_message_is_answered_as_uml_and_qemu_expect(void)
{
	struct vhost_user_message message;
	int pair[2];

	guest_connect();
	message = request_of(VHOST_USER_SET_OWNER, 0);
	send_message(&message); /* without need_reply: nothing comes back */
	CHECK_EQ(ask(VHOST_USER_GET_FEATURES), 0x140000001);
	CHECK_EQ(ask(VHOST_USER_GET_PROTOCOL_FEATURES), 0x229);
	tell_u64(VHOST_USER_SET_PROTOCOL_FEATURES, 0x229);
	CHECK_EQ(guest.refused, 0);
	CHECK_EQ(ask(VHOST_USER_GET_QUEUE_NUM), 2);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	message = request_of(VHOST_USER_SET_BACKEND_REQ_FD, 0);
	message.fds[0] = pair[1];
	message.fd_count = 1;
	tell(message);
	CHECK_EQ(guest.refused, 0);
	close(pair[1]);

	message = request_of(VHOST_USER_GET_CONFIG, 20);
	message.header.flags |= VHOST_USER_NEED_REPLY; /* still one answer only */
	message.payload.config.size = 8;
	send_message(&message);
	answer(VHOST_USER_GET_CONFIG, 0);
	message = request_of(VHOST_USER_SET_CONFIG, 20);
	tell(message);
	CHECK_EQ(guest.refused, 1);
	tell_u64(VHOST_USER_SET_VRING_CALL, VHOST_USER_VRING_NOFD | 1);
	CHECK_EQ(guest.refused, 0);
	tell_u64(VHOST_USER_SET_VRING_ERR, VHOST_USER_VRING_NOFD);
	CHECK_EQ(guest.refused, 0);
	tell(request_of(VHOST_USER_RESET_OWNER, 0));
	CHECK_EQ(guest.refused, 0);
	tell(request_of(VHOST_USER_RESET_DEVICE, 0));
	CHECK_EQ(guest.refused, 0);

	guest_start();
	expect_announcement();
	guest_close();
	/* UML learns of the end by this channel. */
	CHECK(readable(pair[0], TIMEOUT_MS));
	CHECK_EQ(read(pair[0], &message, 1), 0);
	close(pair[0]);
}

static void ten_thousand_messages_are_echoed_in_order(void)
{
	uint32_t sent = 0, seen = 0;

	guest_works();
	while (seen < 10000 && !check_bad) {
		unsigned int batch = sent % 200 + 1;

		for (; batch && guest_send(&sent, sizeof(sent)); batch--)
			sent++;
		kick(1);
		for (; seen < sent && !check_bad; seen++)
			expect_echo(&seen, sizeof(seen));
		kick(0);
	}
	CHECK_EQ(seen, sent);
	guest_close();
}

static void calls_are_suppressed_when_not_wanted(void)
{
	uint64_t count;

	guest_works();
	reclaim();
	while (readable(guest.call[1], 0) && read(guest.call[1], &count, 8) == 8)
		;
	split_driver_disable_used(&guest.rings[1]);
	CHECK(guest_send("x", 1));
	kick(1);
	expect_echo("x", 1);
	/* An answer to a message on the socket: the batch is over. */
	ask(VHOST_USER_GET_FEATURES);
	CHECK(reclaim());
	CHECK(!readable(guest.call[1], 0));
	guest_close();
}

static void a_stalled_firmware_fills_the_ring_and_recovers(void)
{
	uint64_t deadline = vhost_user_deadline(TIMEOUT_MS), count;
	unsigned int sent = 0, i;

	guest_works();
	reclaim();
	command(STALL);
	while (guest_send(&sent, sizeof(sent)))
		sent++;
	kick(1);
	CHECK_EQ(sent, RING_NUM);
	CHECK_EQ(ask(VHOST_USER_GET_QUEUE_NUM), 2); /* it still answers here */
	CHECK(!guest_send("full", 4));
	command(GO_ON);
	while (!split_driver_has_free(&guest.rings[1]) && vhost_user_deadline(0) < deadline) {
		if (split_driver_enable_used(&guest.rings[1]) || readable(guest.call[1], TIMEOUT_MS))
			CHECK(read(guest.call[1], &count, sizeof(count)) == 8 || errno == EAGAIN);
		reclaim();
	}
	for (i = 0; i < sent && !check_bad; i++) {
		expect_echo(&i, sizeof(i));
		kick(0);
	}
	guest_close();
}

static void messages_wait_for_receive_buffers(void)
{
	struct rpmsg_header header;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	uint32_t i, size;

	guest_connect();
	guest.receive_buffers = 2;
	guest_start();
	expect_announcement();
	kick(0);
	/* Two buffers, eight echoes: each later one needs a buffer returned
	 * and a kick, which the device has to ask for. */
	for (i = 0; i < 8; i++)
		CHECK(guest_send(&i, sizeof(i)));
	kick(1);
	for (i = 0; i < 8 && !check_bad; i++) {
		CHECK(guest_receive(&header, payload, &size));
		CHECK_BYTES(payload, &i, sizeof(i));
		kick(0);
	}
	CHECK(firmware.writable > 0);
	guest_close();
}

static void rings_stop_and_go_on_where_they_were(void)
{
	struct vhost_user_message message;
	uint32_t base;
	int detached;

	guest_works();
	reclaim();
	detached = firmware.detached;
	message = request_of(VHOST_USER_GET_VRING_BASE, 8);
	message.payload.state.index = 1;
	send_message(&message);
	base = answer(VHOST_USER_GET_VRING_BASE, 8)->payload.state.num;
	CHECK_EQ(base, 1);
	CHECK_EQ(firmware.detached, detached + 1);
	CHECK(guest_send("while stopped", 13));
	split_driver_publish(&guest.rings[1]);

	tell_state(VHOST_USER_SET_VRING_BASE, 1, base);
	tell_fd(VHOST_USER_SET_VRING_KICK, 1, guest.kick[1]); /* no kick follows */
	expect_announcement(); /* the guest attached again */
	expect_echo("while stopped", 13);

	/* A second memory table, rings running. */
	tell_table(MEMORY_SIZE);
	CHECK_EQ(guest.refused, 0);
	CHECK(guest_send("new mapping", 11));
	kick(1);
	expect_echo("new mapping", 11);
	guest_close();
}

static void the_next_guest_waits_for_the_first_to_leave(void)
{
	struct vhost_user_message message = request_of(VHOST_USER_GET_QUEUE_NUM, 0);
	struct vhost_user_receiver receiver = {0};
	int second;

	guest_works();
	second = connect_to(firmware.path);
	CHECK_EQ(vhost_user_send(second, &message, 0), 0);
	/* The first guest's own answer shows that the loop went round. */
	CHECK_EQ(ask(VHOST_USER_GET_QUEUE_NUM), 2);
	CHECK_EQ(vhost_user_receive(second, &receiver), 0);
	guest_close();
	CHECK_EQ(vhost_user_receive_until(second, &receiver, vhost_user_deadline(TIMEOUT_MS)), 1);
	close(second);
	guest_works();
	guest_close();
}

static void a_reset_drops_the_guest_and_serves_the_next(void)
{
	int detached;

	guest_works();
	detached = firmware.detached;
	command(DISCONNECT);
	CHECK_EQ(firmware.detached, detached + 1);
	CHECK(hung_up());
	guest_close();
	guest_works();
	guest_close();
}

static void lying_lengths_are_sent_on_demand(void)
{
	struct rpmsg_header header;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	uint32_t size;

	guest_works();
	command(LIE);
	CHECK(guest_send("a", 1));
	CHECK(guest_send("b", 1));
	kick(1);
	CHECK(guest_receive(&header, payload, &size));
	CHECK_EQ(size, 10);
	CHECK_EQ(rpmsg_gpio_load16(header.len), 480);
	expect_echo("b", 1);
	guest_close();
}

/* ---- tests: the hostile guest ----------------------------------------------------- */

static int saved_stderr = -1, log_fd = -1;

static void catch_log(void)
{
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	dup2(log_fd, STDERR_FILENO);
}

static void expect_log(const char *sentence)
{
	char log[4096] = "";

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	CHECK(pread(log_fd, log, sizeof(log) - 1, 0) >= 0);
	CHECK(strstr(log, sentence) != NULL);
	CHECK(strstr(log, "firmware-stub: ") == log);
	if (check_bad)
		printf("  wanted: %s\n  log: %s\n", sentence, log);
	close(log_fd);
}

/* The guest did something unforgivable: it is let go, the next one is served. */
static void expect_stop(const char *sentence)
{
	CHECK(hung_up());
	expect_log(sentence);
	guest_close();
	guest_works();
	guest_close();
}

static void expect_refusal(const char *sentence)
{
	CHECK_EQ(guest.refused, 1);
	CHECK_EQ(ask(VHOST_USER_GET_QUEUE_NUM), 2); /* still served */
	expect_log(sentence);
	guest_close();
}

static void connect_watched(void)
{
	guest_connect();
	catch_log();
}

static void bad_set_up_is_refused(void)
{
	int file = memfd_create("file", MFD_CLOEXEC);

	connect_watched();
	tell_u64(VHOST_USER_SET_FEATURES, 1);
	expect_refusal("lacks VIRTIO_F_VERSION_1");
	connect_watched();
	tell_u64(VHOST_USER_SET_FEATURES, VHOST_USER_BIT(32) | VHOST_USER_BIT(29));
	expect_refusal("not offered");
	connect_watched();
	tell_u64(VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_BIT(21));
	expect_refusal("not offered");
	connect_watched();
	tell_table(MEMORY_SIZE + 1);
	expect_refusal("beyond the end of its file");
	connect_watched();
	tell_state(VHOST_USER_SET_VRING_NUM, 0, 3);
	expect_refusal("power of two");
	connect_watched();
	tell_state(VHOST_USER_SET_VRING_NUM, 7, 256);
	expect_refusal("no virtqueue 7");
	connect_watched();
	tell_state(VHOST_USER_SET_VRING_BASE, 0, 65536);
	expect_refusal("no ring index");
	connect_watched();
	tell_fd(VHOST_USER_SET_VRING_KICK, 0, file);
	expect_refusal("is no eventfd");
	connect_watched();
	tell_u64(VHOST_USER_SET_VRING_KICK, 0);
	expect_refusal("0 descriptors, not 1");
	connect_watched();
	tell(request_of(99, 0));
	expect_refusal("message 99 is not supported");
	close(file);
}

static void rings_outside_the_memory_are_refused(void)
{
	connect_watched();
	tell_u64(VHOST_USER_SET_FEATURES, guest.features);
	tell_table(MEMORY_SIZE);
	tell_state(VHOST_USER_SET_VRING_NUM, 0, RING_NUM);
	tell_addr(0, MEMORY_SIZE - 64);
	tell_fd(VHOST_USER_SET_VRING_KICK, 0, guest.kick[0]);
	tell_state(VHOST_USER_SET_VRING_ENABLE, 0, 1);
	expect_refusal("addresses are outside the memory table");

	connect_watched();
	tell_u64(VHOST_USER_SET_FEATURES, guest.features);
	tell_table(MEMORY_SIZE);
	tell_state(VHOST_USER_SET_VRING_NUM, 0, RING_NUM);
	tell_addr(0, 4);
	tell_fd(VHOST_USER_SET_VRING_KICK, 0, guest.kick[0]);
	tell_state(VHOST_USER_SET_VRING_ENABLE, 0, 1);
	expect_refusal("not aligned");
}

static void bad_messages_without_need_reply_end_the_session(void)
{
	struct vhost_user_message message;

	connect_watched();
	message = request_of(VHOST_USER_SET_FEATURES, 4);
	send_message(&message);
	expect_stop("message 2 has 4 bytes, not 8");
	connect_watched();
	message = request_of(VHOST_USER_SET_OWNER, 0);
	message.fds[0] = guest.memory_fd;
	message.fd_count = 1;
	send_message(&message);
	expect_stop("has 1 descriptors, not 0");
	connect_watched();
	CHECK_EQ(write(guest.socket, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	expect_stop("not of vhost-user version 1");
}

static void a_guest_that_never_reads_is_let_go(void)
{
	struct vhost_user_message message = request_of(VHOST_USER_GET_FEATURES, 0);
	int ret = 0;

	connect_watched();
	while (ret == 0)
		ret = vhost_user_send(guest.socket, &message, vhost_user_deadline(TIMEOUT_MS));
	CHECK(ret == -EPIPE || ret == -ECONNRESET);
	/* Its unread answers are still there, then the end. */
	expect_log("does not read its replies");
	guest_close();
	guest_works();
	guest_close();
}

static void works_then_watched(void)
{
	guest_works();
	reclaim();
	catch_log();
}

static struct split_ring_desc *bad_desc(uint16_t flags, uint16_t next)
{
	struct split_ring_desc *desc;

	CHECK(guest_send("bad", 3));
	desc = &guest.rings[1].ring.desc[
		le16toh(guest.rings[1].ring.avail->ring[1])];
	desc->flags = htole16(flags);
	desc->next = htole16(next);
	return desc;
}

static void hostile_rings_stop_the_device(void)
{
	struct split_ring_avail *avail;
	struct split_ring_desc *desc;

	works_then_watched();
	avail = guest.rings[1].ring.avail;
	atomic_store(&avail->idx, htole16(1000));
	raise_fd(guest.kick[1]);
	expect_stop("firmware-stub: virtqueue 1: the available index jumped by 999 (256 descriptors): device stopped");

	works_then_watched();
	bad_desc(VRING_DESC_F_NEXT, 300);
	kick(1);
	expect_stop("firmware-stub: virtqueue 1: descriptor 300 is out of range (256 descriptors): device stopped");

	works_then_watched();
	desc = bad_desc(VRING_DESC_F_NEXT, 0);
	desc->next = htole16((uint16_t)(desc - guest.rings[1].ring.desc));
	desc->len = 0;
	kick(1);
	expect_stop("loop");

	works_then_watched();
	bad_desc(VRING_DESC_F_INDIRECT, 0);
	kick(1);
	expect_stop("indirect");

	works_then_watched();
	desc = bad_desc(0, 0);
	/* a user address where a guest address belongs */
	desc->addr = htole64((uint64_t)(uintptr_t)guest.buffers[1]);
	kick(1);
	expect_stop("outside the memory table");

	works_then_watched();
	desc = bad_desc(0, 0);
	desc->len = htole32(15);
	kick(1);
	expect_stop("15 bytes are too few for an rpmsg header");

	works_then_watched();
	desc = bad_desc(0, 0);
	desc->len = htole32(18);
	kick(1);
	expect_stop("an rpmsg header says 3 bytes, 2 are there");

	works_then_watched();
	desc = bad_desc(0, 0);
	desc->len = htole32(60000);
	memcpy(guest.memory + (le64toh(desc->addr) - GUEST_BASE) + 12, "\xf1\x01", 2);
	kick(1);
	expect_stop("an rpmsg header says 497 bytes, more than 496");

	guest_connect();
	catch_log();
	guest.buffer_size = 40;
	guest_start();
	expect_stop("virtqueue 0: the receive buffer at descriptor 0 has 40 writable bytes, 56 are needed");
}

static void memory_that_vanishes_stops_the_device(void)
{
	works_then_watched();
	CHECK_EQ(ftruncate(guest.memory_fd, 0), 0);
	raise_fd(guest.kick[1]);
	expect_stop("the guest truncated its memory");
}

static void a_call_pipe_without_a_reader_is_survived(void)
{
	int ends[2];

	guest_works();
	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	tell_fd(VHOST_USER_SET_VRING_CALL, 1, ends[1]);
	CHECK_EQ(guest.refused, 0);
	close(ends[0]);
	close(ends[1]);
	CHECK(guest_send("still there", 11));
	kick(1);
	expect_echo("still there", 11);
	guest_close();
}

/* ---- tests: the socket file --------------------------------------------------------- */

static bool opens(const char *path, const char *sentence)
{
	struct loop *loop = loop_new();
	char why[300] = "";
	struct rpmsg_backend *backend =
		rpmsg_backend_open(loop, path, &firmware_ops, NULL, why, sizeof(why));
	bool opened = backend != NULL;

	rpmsg_backend_close(backend);
	loop_free(loop);
	CHECK(strstr(why, sentence) != NULL);
	return opened;
}

/* Runs without the firmware thread: backends of a process share one. */
static void only_a_stale_socket_file_is_replaced(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char long_path[200];
	int fd, file;

	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	CHECK(!opens(long_path, "1 to 107 bytes"));
	CHECK(!opens("", "1 to 107 bytes"));
	CHECK(!opens("/nonexistent/socket", "No such file"));

	strcpy(addr.sun_path, firmware.path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK(!opens(firmware.path, "another process listens"));
	close(fd);
	CHECK(opens(firmware.path, ""));
	CHECK_EQ(access(firmware.path, F_OK), -1); /* removed at close */

	file = open(firmware.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(file);
	CHECK(!opens(firmware.path, "no socket"));
	CHECK_EQ(access(firmware.path, F_OK), 0); /* and left alone */
	unlink(firmware.path);
}

int main(void)
{
	start_firmware();
	RUN(a_channel_is_announced_and_answers);
	RUN(every_message_is_answered_as_uml_and_qemu_expect);
	RUN(ten_thousand_messages_are_echoed_in_order);
	RUN(calls_are_suppressed_when_not_wanted);
	RUN(a_stalled_firmware_fills_the_ring_and_recovers);
	RUN(messages_wait_for_receive_buffers);
	RUN(rings_stop_and_go_on_where_they_were);
	RUN(the_next_guest_waits_for_the_first_to_leave);
	RUN(a_reset_drops_the_guest_and_serves_the_next);
	RUN(lying_lengths_are_sent_on_demand);
	RUN(bad_set_up_is_refused);
	RUN(rings_outside_the_memory_are_refused);
	RUN(bad_messages_without_need_reply_end_the_session);
	RUN(a_guest_that_never_reads_is_let_go);
	RUN(hostile_rings_stop_the_device);
	RUN(memory_that_vanishes_stops_the_device);
	RUN(a_call_pipe_without_a_reader_is_survived);
	stop_firmware();
	RUN(only_a_stale_socket_file_is_replaced);
	return check_report();
}
