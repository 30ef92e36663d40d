/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_backend.c - vhost-user backend with a virtio-rpmsg device.
 *
 * Whatever a guest does wrong ends its own session with a line on stderr. A
 * guest is let go at the end of a callback only (see enter() and leave()), so
 * that no function loses its rings under its feet.
 */
#define _GNU_SOURCE
#include "rpmsg_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio/rpmsg.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define FEATURES (VHOST_USER_BIT(VIRTIO_F_VERSION_1) | \
		  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
		  VHOST_USER_BIT(VIRTIO_RPMSG_F_NS))

#define PROTOCOL_FEATURES (VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_CONFIG))

/* Linux uses one descriptor a message; others may cut it up. */
#define PARTS_MAX 16

/* Messages of the socket in one turn of the loop. */
#define REQUESTS_A_TURN 32

#define MEMORY_LOST "the guest truncated its memory"

struct ring {
	struct split_device device; /* valid while running */
	struct vhost_user_vring_addr addr;
	uint16_t num;
	uint16_t base;
	int kick;
	int call;
	bool started; /* by SET_VRING_KICK */
	bool enabled; /* by SET_VRING_ENABLE */
	bool running; /* both, and all that is needed is there */
};

struct rpmsg_backend {
	struct loop *loop;
	const struct rpmsg_backend_ops *ops;
	void *context;
	struct sockaddr_un addr;
	dev_t socket_dev; /* of the file we made */
	ino_t socket_ino;
	int listen_fd;
	int wake_fd; /* written by ourselves: look at the rings in a next turn */

	/* the guest */
	int socket;
	int request_fd; /* closed with the guest: that is how UML notices */
	struct vhost_user_receiver receiver;
	struct vhost_user_memory memory;
	uint64_t features;
	struct ring rings[RPMSG_VQ_COUNT];
	char why[200];
	unsigned int busy;
	bool attached;
	bool held;    /* received() said: not now */
	bool starved; /* a send found no buffer */
	bool closing;
	volatile sig_atomic_t memory_lost;

	bool stalled;
	unsigned int lies;
	int lie_header_length;
	int lie_used_length;
	struct rpmsg_backend *next; /* of all in this process */
};

static struct rpmsg_backend *all_backends;

static void signal_fd(int fd)
{
	uint64_t one = 1;
	/* A full pipe (UML) or eventfd: its reader is awake anyway. */
	ssize_t written = write(fd, &one, sizeof(one));

	(void)written;
}

static int __attribute__((format(printf, 2, 3)))
refuse(struct rpmsg_backend *backend, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(backend->why, sizeof(backend->why), format, args);
	va_end(args);
	return -1;
}

static void stop_device(struct rpmsg_backend *backend, const char *why)
{
	if (backend->closing)
		return;
	/* Whatever else was found then is a consequence of that. */
	if (backend->memory_lost)
		why = MEMORY_LOST;
	fprintf(stderr, "firmware-stub: %s: device stopped\n", why);
	backend->closing = true;
	signal_fd(backend->wake_fd);
}

static void stop_ring_error(struct rpmsg_backend *backend, int index, const char *error)
{
	char why[200];

	snprintf(why, sizeof(why), "virtqueue %d: %s", index, error);
	stop_device(backend, why);
}

/* ---- a guest that truncates its memory ------------------------------------ */

static bool inside(const struct vhost_user_mapping *mapping, const void *addr)
{
	return (uintptr_t)addr - (uintptr_t)mapping->base < mapping->length;
}

/*
 * Memory that is not sealed can vanish under us. The fault is synchronous:
 * put zeroed private memory in its place, go on, and stop the device when the
 * access is over. All backends of a process belong to one thread.
 */
static void memory_vanished(int number, siginfo_t *info, void *ucontext)
{
	struct rpmsg_backend *backend;
	unsigned int i;

	(void)ucontext;
	for (backend = all_backends; backend; backend = backend->next) {
		for (i = 0; i < backend->memory.count; i++) {
			const struct vhost_user_mapping *m = &backend->memory.mappings[i];

			if (!inside(m, info->si_addr))
				continue;
			backend->memory_lost = 1;
			if (mmap(m->base, m->length, PROT_READ | PROT_WRITE,
				 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
				return;
		}
	}
	/* Not the guest's memory: a real crash, as without this handler. */
	signal(number, SIG_DFL);
}

static void handle_signals(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO};

	action.sa_sigaction = memory_vanished;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	/* A call descriptor may be a pipe without a reader. */
	signal(SIGPIPE, SIG_IGN);
}

/* ---- letting a guest go ---------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_watched(struct rpmsg_backend *backend, int *fd)
{
	if (*fd >= 0)
		loop_remove(backend->loop, *fd);
	close_fd(fd);
}

static void connection(void *context, uint32_t events);

static void detach(struct rpmsg_backend *backend)
{
	if (!backend->attached)
		return;
	backend->attached = backend->held = backend->starved = false;
	backend->ops->detached(backend->context);
}

static void forget_ring(struct rpmsg_backend *backend, struct ring *ring)
{
	close_watched(backend, &ring->kick);
	close_fd(&ring->call);
	memset(ring, 0, sizeof(*ring));
	ring->kick = ring->call = -1;
}

static void drop_guest(struct rpmsg_backend *backend)
{
	int i;

	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		forget_ring(backend, &backend->rings[i]);
	close_watched(backend, &backend->socket);
	close_fd(&backend->request_fd);
	vhost_user_close_fds(&backend->receiver.message);
	memset(&backend->receiver, 0, sizeof(backend->receiver));
	vhost_user_memory_unmap(&backend->memory);
	backend->features = 0;
	backend->closing = false;
	backend->memory_lost = 0;
	if (backend->listen_fd >= 0)
		loop_add(backend->loop, backend->listen_fd, EPOLLIN, connection, backend);
	detach(backend);
}

static void enter(struct rpmsg_backend *backend)
{
	backend->busy++;
}

static void leave(struct rpmsg_backend *backend)
{
	if (backend->memory_lost)
		stop_device(backend, MEMORY_LOST);
	if (--backend->busy == 0 && backend->closing)
		drop_guest(backend);
}

/* ---- guest -> firmware ------------------------------------------------------ */

static bool may_consume(const struct rpmsg_backend *backend)
{
	return backend->attached && !backend->stalled && !backend->held &&
	       !backend->closing;
}

static int bad_message(struct rpmsg_backend *backend, size_t size, unsigned int length)
{
	char why[120];

	if (size < RPMSG_HEADER_SIZE)
		snprintf(why, sizeof(why), "%zu bytes are too few for an rpmsg header", size);
	else if (length > RPMSG_PAYLOAD_MAX)
		snprintf(why, sizeof(why), "an rpmsg header says %u bytes, more than %d",
			 length, RPMSG_PAYLOAD_MAX);
	else
		snprintf(why, sizeof(why), "an rpmsg header says %u bytes, %zu are there",
			 length, size - RPMSG_HEADER_SIZE);
	stop_ring_error(backend, RPMSG_VQ_TX, why);
	return -1;
}

/* Hand one chain to the firmware: 1, 0 when it is held, -1 when it is bad. */
static int hand_over(struct rpmsg_backend *backend, const struct split_chain *chain)
{
	struct split_device *device = &backend->rings[RPMSG_VQ_TX].device;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	struct rpmsg_header header;
	uint16_t length;

	if (split_chain_read(chain, 0, &header, sizeof(header)) < sizeof(header))
		return bad_message(backend, chain->readable_bytes, 0);
	length = rpmsg_gpio_load16(header.len);
	if (length > RPMSG_PAYLOAD_MAX || length > chain->readable_bytes - sizeof(header))
		return bad_message(backend, chain->readable_bytes, length);
	split_chain_read(chain, sizeof(header), payload, length);
	if (!backend->ops->received(backend->context, rpmsg_gpio_load32(header.src),
				    rpmsg_gpio_load32(header.dst), payload, length)) {
		split_device_put_back(device);
		backend->held = true;
		return 0;
	}
	split_device_push(device, chain->head, 0);
	return 1;
}

/* Take one message: 1, or 0 when the ring is empty or may not be consumed. */
static int consume_one(struct rpmsg_backend *backend)
{
	struct split_device *device = &backend->rings[RPMSG_VQ_TX].device;
	struct iovec iov[PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = PARTS_MAX};
	int ret;

	if (!may_consume(backend))
		return 0;
	ret = split_device_pop(device, &chain);
	if (ret < 0)
		stop_ring_error(backend, RPMSG_VQ_TX, device->ring.error);
	return ret > 0 && hand_over(backend, &chain) > 0;
}

/*
 * An honest guest cannot have more than num messages before we publish; who
 * has more waits a turn, so that nobody keeps the loop to himself.
 */
static void consume(struct rpmsg_backend *backend)
{
	struct split_device *device = &backend->rings[RPMSG_VQ_TX].device;
	unsigned int count = 0;

	if (!may_consume(backend))
		return;
	split_device_disable_kicks(device);
	for (;;) {
		while (count < device->ring.num && consume_one(backend))
			count++;
		if (!may_consume(backend))
			return; /* whoever changes that looks again */
		if (count == device->ring.num) {
			signal_fd(backend->wake_fd);
			return;
		}
		if (!split_device_enable_kicks(device))
			return;
		split_device_disable_kicks(device);
	}
}

/* ---- looking at the rings ---------------------------------------------------- */

static bool both_running(const struct rpmsg_backend *backend)
{
	return backend->rings[RPMSG_VQ_RX].running && backend->rings[RPMSG_VQ_TX].running;
}

static void look_at_receive_buffers(struct rpmsg_backend *backend)
{
	struct split_device *rx = &backend->rings[RPMSG_VQ_RX].device;

	if (!split_device_pending(rx))
		return;
	if (!backend->attached) {
		backend->attached = true;
		/* From here on their return matters only when we run out. */
		split_device_disable_kicks(rx);
		backend->ops->attached(backend->context);
	} else if (backend->starved) {
		backend->starved = false;
		split_device_disable_kicks(rx);
		backend->ops->writable(backend->context);
	}
}

static void look(struct rpmsg_backend *backend)
{
	if (backend->closing || !both_running(backend))
		return;
	look_at_receive_buffers(backend);
	consume(backend);
}

static void kicked(void *context, uint32_t events)
{
	struct rpmsg_backend *backend = context;

	(void)events;
	enter(backend);
	look(backend);
	leave(backend);
}

/* ---- firmware -> guest ---------------------------------------------------- */

bool rpmsg_backend_attached(const struct rpmsg_backend *backend)
{
	return backend->attached && !backend->closing;
}

/* One receive buffer: 1, or 0 when there is none. */
static int take_receive_buffer(struct rpmsg_backend *backend, struct split_chain *chain)
{
	struct split_device *device = &backend->rings[RPMSG_VQ_RX].device;
	int ret = split_device_pop(device, chain);

	if (ret == 0 && split_device_enable_kicks(device)) {
		split_device_disable_kicks(device);
		ret = split_device_pop(device, chain);
	} else if (ret == 0) {
		backend->starved = true;
	}
	if (ret < 0)
		stop_ring_error(backend, RPMSG_VQ_RX, device->ring.error);
	return ret > 0;
}

static bool large_enough(struct rpmsg_backend *backend, const struct split_chain *chain,
			 size_t needed)
{
	char why[120];

	if (chain->writable_bytes >= needed)
		return true;
	snprintf(why, sizeof(why),
		 "the receive buffer at descriptor %u has %zu writable bytes, %zu are needed",
		 chain->head, chain->writable_bytes, needed);
	stop_ring_error(backend, RPMSG_VQ_RX, why);
	return false;
}

static uint32_t lie_about(struct rpmsg_backend *backend, struct rpmsg_header *header,
			  uint32_t used_length)
{
	if (!backend->lies)
		return used_length;
	backend->lies--;
	if (backend->lie_header_length >= 0)
		header->len = rpmsg_gpio_store16((uint16_t)backend->lie_header_length);
	if (backend->lie_used_length >= 0)
		used_length = (uint32_t)backend->lie_used_length;
	return used_length;
}

bool rpmsg_backend_send(struct rpmsg_backend *backend, uint32_t source,
			uint32_t destination, const void *message, uint16_t length)
{
	struct rpmsg_header header = rpmsg_header_make(source, destination, length);
	struct iovec iov[PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = PARTS_MAX};
	uint32_t used_length = RPMSG_HEADER_SIZE + (uint32_t)length;

	if (!rpmsg_backend_attached(backend) || length > RPMSG_PAYLOAD_MAX)
		return false;
	if (!take_receive_buffer(backend, &chain) ||
	    !large_enough(backend, &chain, used_length))
		return false;
	used_length = lie_about(backend, &header, used_length);
	split_chain_write(&chain, 0, &header, sizeof(header));
	split_chain_write(&chain, sizeof(header), message, length);
	split_device_push(&backend->rings[RPMSG_VQ_RX].device, chain.head, used_length);
	return true;
}

bool rpmsg_backend_announce(struct rpmsg_backend *backend, const char *name,
			    uint32_t address, bool created)
{
	struct rpmsg_ns_msg ns = {
		.addr = rpmsg_gpio_store32(address),
		.flags = rpmsg_gpio_store32(created ? 0 : RPMSG_NS_DESTROY),
	};

	memcpy(ns.name, name, strnlen(name, sizeof(ns.name) - 1));
	return rpmsg_backend_send(backend, address, RPMSG_NS_ADDR, &ns, sizeof(ns));
}

static void publish(struct ring *ring)
{
	if (ring->running && split_device_publish(&ring->device) && ring->call >= 0)
		signal_fd(ring->call);
}

void rpmsg_backend_flush(struct rpmsg_backend *backend)
{
	int i;

	enter(backend);
	for (i = 0; i < RPMSG_VQ_COUNT && !backend->closing; i++)
		publish(&backend->rings[i]);
	leave(backend);
}

void rpmsg_backend_resume(struct rpmsg_backend *backend)
{
	backend->held = false;
	signal_fd(backend->wake_fd);
}

void rpmsg_backend_stall(struct rpmsg_backend *backend, bool stalled)
{
	backend->stalled = stalled;
	signal_fd(backend->wake_fd);
}

void rpmsg_backend_lie(struct rpmsg_backend *backend, unsigned int count,
		       int header_length, int used_length)
{
	backend->lies = count;
	backend->lie_header_length = header_length;
	backend->lie_used_length = used_length;
}

void rpmsg_backend_disconnect(struct rpmsg_backend *backend)
{
	if (backend->socket < 0)
		return;
	enter(backend);
	backend->closing = true;
	leave(backend);
}

/* ---- rings start and stop --------------------------------------------------- */

static void *part(struct rpmsg_backend *backend, uint64_t addr, size_t size)
{
	return vhost_user_memory_user(&backend->memory, addr, size);
}

static int start_ring(struct rpmsg_backend *backend, int index)
{
	struct ring *ring = &backend->rings[index];
	struct split_ring parts = {
		.num = ring->num,
		.desc = part(backend, ring->addr.desc, split_ring_desc_size(ring->num)),
		.avail = part(backend, ring->addr.avail, split_ring_avail_size(ring->num)),
		.used = part(backend, ring->addr.used, split_ring_used_size(ring->num)),
	};

	/* Not tried again with every message that follows. */
	ring->started = false;
	if (!parts.desc || !parts.avail || !parts.used)
		return refuse(backend, "virtqueue %d: its addresses are outside the memory table",
			      index);
	if (split_device_init(&ring->device, &parts, ring->base,
			      vhost_user_memory_guest, &backend->memory) < 0)
		return refuse(backend, "virtqueue %d: %s", index, ring->device.ring.error);
	split_device_enable_kicks(&ring->device);
	ring->started = true;
	ring->running = true;
	return 0;
}

static void stop_ring(struct rpmsg_backend *backend, int index)
{
	struct ring *ring = &backend->rings[index];

	if (!ring->running)
		return;
	publish(ring);
	ring->base = ring->device.last_avail;
	ring->running = false;
}

static void stop_rings(struct rpmsg_backend *backend)
{
	int i;

	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		stop_ring(backend, i);
}

static bool may_run(const struct rpmsg_backend *backend, const struct ring *ring)
{
	bool enabled = ring->enabled ||
		!(backend->features & VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES));

	return ring->started && enabled && ring->num && backend->memory.count &&
	       (backend->features & VHOST_USER_BIT(VIRTIO_F_VERSION_1));
}

/* After every message: start and stop rings as it demands. */
static int apply(struct rpmsg_backend *backend)
{
	int i, ret = 0;

	for (i = 0; i < RPMSG_VQ_COUNT; i++) {
		struct ring *ring = &backend->rings[i];

		if (!may_run(backend, ring))
			stop_ring(backend, i);
		else if (!ring->running && start_ring(backend, i) < 0)
			ret = -1;
	}
	if (!both_running(backend))
		detach(backend);
	look(backend);
	return ret;
}

/* ---- vhost-user messages ------------------------------------------------------ */

/* Each returns 0, or -1 with backend->why. One that answers leaves the answer
 * in the message; one that keeps a descriptor leaves -1 in its place. */
typedef int (*request_fn)(struct rpmsg_backend *backend,
			  struct vhost_user_message *message);

static int ring_index(struct rpmsg_backend *backend, uint64_t index)
{
	if (index < RPMSG_VQ_COUNT)
		return (int)index;
	return refuse(backend, "there is no virtqueue %llu, only 0 and 1",
		      (unsigned long long)index);
}

static int take_fd(struct vhost_user_message *message)
{
	int fd = message->fds[0];

	message->fds[0] = -1;
	return fd;
}

static int nothing(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	(void)backend;
	(void)message;
	return 0;
}

static int answer_u64(struct vhost_user_message *message, uint64_t value)
{
	message->header.size = sizeof(value);
	message->payload.u64 = value;
	return 0;
}

static int get_features(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	(void)backend;
	return answer_u64(message, FEATURES);
}

static int set_features(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~FEATURES)
		return refuse(backend, "SET_FEATURES 0x%llx: 0x%llx was not offered",
			      (unsigned long long)features,
			      (unsigned long long)(features & ~FEATURES));
	if (!(features & VHOST_USER_BIT(VIRTIO_F_VERSION_1)))
		return refuse(backend, "SET_FEATURES 0x%llx lacks VIRTIO_F_VERSION_1 (bit 32)",
			      (unsigned long long)features);
	backend->features = features;
	return 0;
}

static int get_protocol_features(struct rpmsg_backend *backend,
				 struct vhost_user_message *message)
{
	(void)backend;
	return answer_u64(message, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct rpmsg_backend *backend,
				 struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~PROTOCOL_FEATURES)
		return refuse(backend, "SET_PROTOCOL_FEATURES 0x%llx: 0x%llx was not offered",
			      (unsigned long long)features,
			      (unsigned long long)(features & ~PROTOCOL_FEATURES));
	return 0;
}

static int get_queue_num(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	(void)backend;
	return answer_u64(message, RPMSG_VQ_COUNT);
}

static int set_backend_req_fd(struct rpmsg_backend *backend,
			      struct vhost_user_message *message)
{
	if (message->fd_count != 1)
		return refuse(backend, "SET_BACKEND_REQ_FD came without a descriptor");
	close_fd(&backend->request_fd);
	backend->request_fd = take_fd(message);
	return 0;
}

/* An rpmsg device has no configuration space; size 0 says error. */
static int get_config(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	(void)backend;
	message->header.size = 0;
	return 0;
}

static int set_config(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	(void)message;
	return refuse(backend, "SET_CONFIG: an rpmsg device has no configuration space");
}

static int set_mem_table(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	struct vhost_user_memory memory;

	if (vhost_user_memory_map(&memory, message, backend->why, sizeof(backend->why)) < 0)
		return -1;
	stop_rings(backend); /* apply() starts them on the new mapping */
	vhost_user_memory_unmap(&backend->memory);
	backend->memory = memory;
	return 0;
}

static int set_vring_num(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	uint32_t num = message->payload.state.num;
	int index = ring_index(backend, message->payload.state.index);

	if (index < 0)
		return -1;
	if (!num || num & (num - 1) || num > SPLIT_RING_NUM_MAX)
		return refuse(backend, "SET_VRING_NUM %u is not a power of two up to %u", num,
			      SPLIT_RING_NUM_MAX);
	stop_ring(backend, index);
	backend->rings[index].num = (uint16_t)num;
	return 0;
}

static int set_vring_addr(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int index = ring_index(backend, message->payload.addr.index);

	if (index < 0)
		return -1;
	stop_ring(backend, index);
	backend->rings[index].addr = message->payload.addr;
	return 0;
}

static int set_vring_base(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	uint32_t base = message->payload.state.num;
	int index = ring_index(backend, message->payload.state.index);

	if (index < 0)
		return -1;
	if (base > UINT16_MAX)
		return refuse(backend, "SET_VRING_BASE %u is no ring index", base);
	stop_ring(backend, index);
	backend->rings[index].base = (uint16_t)base;
	return 0;
}

static int get_vring_base(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int index = ring_index(backend, message->payload.state.index);

	if (index < 0)
		return -1;
	stop_ring(backend, index);
	backend->rings[index].started = false;
	close_watched(backend, &backend->rings[index].kick);
	message->payload.state.num = backend->rings[index].base;
	return 0;
}

/* The ring that a KICK, CALL or ERR message is for, if its descriptor is as
 * announced. */
static int fd_ring_index(struct rpmsg_backend *backend,
			 const struct vhost_user_message *message)
{
	uint64_t value = message->payload.u64;
	unsigned int wanted = value & VHOST_USER_VRING_NOFD ? 0 : 1;

	if (message->fd_count != wanted)
		return refuse(backend, "vhost-user message %u: %u descriptors, not %u",
			      message->header.request, message->fd_count, wanted);
	return ring_index(backend, value & VHOST_USER_VRING_INDEX_MASK);
}

static int set_vring_kick(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int index = fd_ring_index(backend, message);
	struct ring *ring;
	int fd, error;

	if (index < 0)
		return -1;
	if (!message->fd_count)
		return refuse(backend, "virtqueue %d: it has no kick descriptor, which asks for polling",
			      index);
	ring = &backend->rings[index];
	fd = take_fd(message);
	/* Edge triggered: no read a kick, whatever kind of file it is. */
	error = loop_add(backend->loop, fd, EPOLLIN | EPOLLET, kicked, backend);
	if (error) {
		close(fd);
		return refuse(backend, "virtqueue %d: its kick descriptor cannot be watched: %s",
			      index, strerror(-error));
	}
	close_watched(backend, &ring->kick);
	ring->kick = fd;
	ring->started = true;
	return 0;
}

static int set_vring_call(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int index = fd_ring_index(backend, message);
	int fd = -1, flags;

	if (index < 0)
		return -1;
	if (message->fd_count) {
		fd = take_fd(message);
		flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
			close(fd);
			return refuse(backend, "virtqueue %d: its call descriptor cannot be made non-blocking",
				      index);
		}
	}
	close_fd(&backend->rings[index].call);
	backend->rings[index].call = fd;
	/* What was published before may have gone to nobody. */
	if (fd >= 0 && backend->rings[index].running)
		signal_fd(fd);
	return 0;
}

/* Errors go to the log and end the session: nothing to signal. */
static int set_vring_err(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	return fd_ring_index(backend, message) < 0 ? -1 : 0;
}

static int set_vring_enable(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int index = ring_index(backend, message->payload.state.index);

	if (index < 0)
		return -1;
	if (message->payload.state.num > 1)
		return refuse(backend, "SET_VRING_ENABLE %u is neither 0 nor 1",
			      message->payload.state.num);
	backend->rings[index].enabled = message->payload.state.num;
	return 0;
}

static int reset_owner(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int i;

	(void)message;
	stop_rings(backend);
	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		backend->rings[i].started = backend->rings[i].enabled = false;
	return 0;
}

static int reset_device(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	reset_owner(backend, message);
	backend->features = 0;
	return 0;
}

#define ANY_SIZE UINT32_MAX
#define STATE    sizeof(struct vhost_user_vring_state)

static const struct request {
	uint32_t id;
	uint32_t size;
	unsigned int fds; /* at most */
	bool answers;
	request_fn handle;
} requests[] = {
	{VHOST_USER_GET_FEATURES, 0, 0, true, get_features},
	{VHOST_USER_SET_FEATURES, 8, 0, false, set_features},
	{VHOST_USER_SET_OWNER, 0, 0, false, nothing},
	{VHOST_USER_RESET_OWNER, 0, 0, false, reset_owner},
	{VHOST_USER_SET_MEM_TABLE, ANY_SIZE, VHOST_USER_FDS_MAX, false, set_mem_table},
	{VHOST_USER_SET_VRING_NUM, STATE, 0, false, set_vring_num},
	{VHOST_USER_SET_VRING_ADDR, 40, 0, false, set_vring_addr},
	{VHOST_USER_SET_VRING_BASE, STATE, 0, false, set_vring_base},
	{VHOST_USER_GET_VRING_BASE, STATE, 0, true, get_vring_base},
	{VHOST_USER_SET_VRING_KICK, 8, 1, false, set_vring_kick},
	{VHOST_USER_SET_VRING_CALL, 8, 1, false, set_vring_call},
	{VHOST_USER_SET_VRING_ERR, 8, 1, false, set_vring_err},
	{VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, true, get_protocol_features},
	{VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0, false, set_protocol_features},
	{VHOST_USER_GET_QUEUE_NUM, 0, 0, true, get_queue_num},
	{VHOST_USER_SET_VRING_ENABLE, STATE, 0, false, set_vring_enable},
	{VHOST_USER_SET_BACKEND_REQ_FD, 0, 1, false, set_backend_req_fd},
	{VHOST_USER_GET_CONFIG, ANY_SIZE, 0, true, get_config},
	{VHOST_USER_SET_CONFIG, ANY_SIZE, 0, false, set_config},
	{VHOST_USER_RESET_DEVICE, 0, 0, false, reset_device},
};

static const struct request *find_request(uint32_t id)
{
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].id == id)
			return &requests[i];
	return NULL;
}

static int execute(struct rpmsg_backend *backend, const struct request *request,
		   struct vhost_user_message *message)
{
	const struct vhost_user_header *header = &message->header;

	if (!request)
		return refuse(backend, "vhost-user message %u is not supported", header->request);
	if (request->size != ANY_SIZE && header->size != request->size)
		return refuse(backend, "vhost-user message %u has %u bytes, not %u",
			      header->request, header->size, request->size);
	if (message->fd_count > request->fds)
		return refuse(backend, "vhost-user message %u has %u descriptors, not %u",
			      header->request, message->fd_count, request->fds);
	if (request->handle(backend, message) < 0)
		return -1;
	return apply(backend);
}

static void reply(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	int ret;

	message->header.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	ret = vhost_user_send(backend->socket, message, 0);
	if (ret == -EAGAIN)
		stop_device(backend, "the guest does not read its replies");
	else if (ret < 0)
		backend->closing = true;
}

static void handle(struct rpmsg_backend *backend, struct vhost_user_message *message)
{
	const struct request *request = find_request(message->header.request);
	bool need_reply = message->header.flags & VHOST_USER_NEED_REPLY;
	int ret = execute(backend, request, message);

	vhost_user_close_fds(message);
	if (ret == 0 && request->answers) {
		reply(backend, message);
	} else if (need_reply && !(request && request->answers)) {
		if (ret < 0)
			fprintf(stderr, "firmware-stub: %s: refused\n", backend->why);
		answer_u64(message, ret < 0);
		reply(backend, message);
	} else if (ret < 0) {
		/* The guest would never learn of it. */
		stop_device(backend, backend->why);
	}
}

static void guest_gone(struct rpmsg_backend *backend, int error)
{
	if (error == -EPROTO)
		stop_device(backend, backend->receiver.error);
	backend->closing = true;
}

static void socket_ready(void *context, uint32_t events)
{
	struct rpmsg_backend *backend = context;
	int i, ret;

	(void)events;
	enter(backend);
	for (i = 0; i < REQUESTS_A_TURN && !backend->closing; i++) {
		ret = vhost_user_receive(backend->socket, &backend->receiver);
		if (ret == 0)
			break;
		if (ret < 0)
			guest_gone(backend, ret);
		else
			handle(backend, &backend->receiver.message);
	}
	leave(backend);
}

/* ---- the socket ---------------------------------------------------------------- */

/* One guest at a time: the next one waits in the backlog. */
static void connection(void *context, uint32_t events)
{
	struct rpmsg_backend *backend = context;
	int fd = accept4(backend->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (loop_add(backend->loop, fd, EPOLLIN | EPOLLRDHUP, socket_ready, backend)) {
		close(fd);
		return;
	}
	backend->socket = fd;
	loop_remove(backend->loop, backend->listen_fd);
}

static int cannot(char *why, size_t why_size, const char *path, const char *reason)
{
	snprintf(why, why_size, "cannot listen at %s: %s", path, reason);
	return -1;
}

/* Remove a socket file that a dead process left behind, and nothing else. */
static const char *remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, error;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? NULL : strerror(errno);
	if (!S_ISSOCK(st.st_mode))
		return "a file that is no socket is there";
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return strerror(errno);
	error = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? errno : 0;
	close(fd);
	if (error == 0 || error == EAGAIN)
		return "another process listens there";
	if (error != ECONNREFUSED || unlink(addr->sun_path) < 0)
		return strerror(errno);
	return NULL;
}

static int start_listening(struct rpmsg_backend *backend, const char *path,
			   char *why, size_t why_size)
{
	struct sockaddr_un *addr = &backend->addr;
	const char *wrong;
	struct stat st;

	addr->sun_family = AF_UNIX;
	if (!*path || strlen(path) >= sizeof(addr->sun_path))
		return cannot(why, why_size, path, "the path must have 1 to 107 bytes");
	memcpy(addr->sun_path, path, strlen(path));
	wrong = remove_stale(addr);
	if (wrong)
		return cannot(why, why_size, path, wrong);
	backend->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (backend->listen_fd < 0 ||
	    bind(backend->listen_fd, (struct sockaddr *)addr, sizeof(*addr)) < 0)
		return cannot(why, why_size, path, strerror(errno));
	if (stat(path, &st) == 0) {
		backend->socket_dev = st.st_dev;
		backend->socket_ino = st.st_ino;
	}
	if (listen(backend->listen_fd, 8) < 0)
		return cannot(why, why_size, path, strerror(errno));
	return 0;
}

static int start_watching(struct rpmsg_backend *backend, char *why, size_t why_size)
{
	int error;

	backend->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = backend->wake_fd < 0 ? -errno
		: loop_add(backend->loop, backend->wake_fd, EPOLLIN | EPOLLET, kicked, backend);
	if (!error)
		error = loop_add(backend->loop, backend->listen_fd, EPOLLIN, connection, backend);
	if (!error)
		return 0;
	snprintf(why, why_size, "cannot watch the socket: %s", strerror(-error));
	return -1;
}

struct rpmsg_backend *rpmsg_backend_open(struct loop *loop, const char *path,
					 const struct rpmsg_backend_ops *ops,
					 void *context, char *why, size_t why_size)
{
	struct rpmsg_backend *backend = calloc(1, sizeof(*backend));
	int i;

	if (!backend) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	backend->loop = loop;
	backend->ops = ops;
	backend->context = context;
	backend->listen_fd = backend->wake_fd = backend->socket = backend->request_fd = -1;
	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		backend->rings[i].kick = backend->rings[i].call = -1;
	backend->next = all_backends;
	all_backends = backend;
	handle_signals();
	if (start_listening(backend, path, why, why_size) < 0 ||
	    start_watching(backend, why, why_size) < 0) {
		rpmsg_backend_close(backend);
		return NULL;
	}
	return backend;
}

/* Unless another process has put its own in the place of our file. */
static void remove_socket_file(const struct rpmsg_backend *backend)
{
	struct stat st;

	if (backend->socket_ino && lstat(backend->addr.sun_path, &st) == 0 &&
	    st.st_dev == backend->socket_dev && st.st_ino == backend->socket_ino)
		unlink(backend->addr.sun_path);
}

void rpmsg_backend_close(struct rpmsg_backend *backend)
{
	struct rpmsg_backend **link = &all_backends;

	if (!backend)
		return;
	remove_socket_file(backend);
	close_watched(backend, &backend->listen_fd);
	drop_guest(backend);
	close_watched(backend, &backend->wake_fd);
	while (*link != backend)
		link = &(*link)->next;
	*link = backend->next;
	free(backend);
}
