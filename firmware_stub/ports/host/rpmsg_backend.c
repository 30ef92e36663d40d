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

#include "rpmsg.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user_session.h"

#define FEATURES (VHOST_USER_BIT(VIRTIO_F_VERSION_1) | \
		  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
		  VHOST_USER_BIT(VIRTIO_RPMSG_F_NS))

#define PROTOCOL_FEATURES (VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_CONFIG))

/* Linux uses one descriptor a message; other drivers may spread it over several. */
#define PARTS_MAX 16

/* Messages of the socket in one turn of the loop. */
#define REQUESTS_A_TURN 32

#define MEMORY_LOST "the guest truncated its memory"

struct rpmsg_backend {
	struct loop *loop;
	const struct rpmsg_backend_ops *ops;
	void *context;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t socket_dev; /* of the socket file that we made */
	ino_t socket_ino;
	int listen_fd;
	int wake_fd; /* we write to it ourselves to look at the rings in the next turn */

	struct vhost_user_session session;
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

/* Looks at the rings in the next turn. */
static void wake(struct rpmsg_backend *backend)
{
	uint64_t one = 1;

	/* This fails only when the counter is full, and the descriptor is readable then anyway. */
	(void)!write(backend->wake_fd, &one, sizeof(one));
}

static void stop_device(struct rpmsg_backend *backend, const char *why)
{
	if (backend->closing)
		return;
	/* Whatever else is found after that is a consequence of it. */
	if (backend->memory_lost)
		why = MEMORY_LOST;
	fprintf(stderr, "firmware-stub: %s: device stopped\n", why);
	backend->closing = true;
	wake(backend);
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

/* Memory that is not sealed can vanish under us, which raises SIGBUS in the thread that touches
 * it. The handler puts zeroed private memory in its place, so that the access ends; then the
 * device is stopped. All backends of a process belong to one thread. */
static void memory_vanished(int number, siginfo_t *info, void *ucontext)
{
	struct rpmsg_backend *backend;
	unsigned int i;

	(void)ucontext;
	for (backend = all_backends; backend; backend = backend->next) {
		for (i = 0; i < backend->session.memory.count; i++) {
			const struct vhost_user_mapping *m = &backend->session.memory.mappings[i];

			if (!inside(m, info->si_addr))
				continue;
			backend->memory_lost = 1;
			if (mmap(m->base, m->length, PROT_READ | PROT_WRITE,
				 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
				return;
		}
	}
	/* It was not the guest's memory: a real crash, as without this handler. */
	signal(number, SIG_DFL);
}

static void handle_signals(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO};

	action.sa_sigaction = memory_vanished;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	/* A call descriptor may be a pipe that nobody reads. */
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

static void drop_guest(struct rpmsg_backend *backend)
{
	if (backend->session.socket >= 0)
		loop_remove(backend->loop, backend->session.socket);
	vhost_user_session_end(&backend->session);
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

/* Hands one chain to the firmware. Returns 1; 0 when the firmware does not take it now; -1 when
 * the chain is bad. */
static int hand_over(struct rpmsg_backend *backend, const struct split_chain *chain)
{
	struct split_device *device = &backend->session.rings[RPMSG_VQ_TX].device;
	uint8_t payload[RPMSG_PAYLOAD_MAX];
	struct rpmsg_header header;
	uint16_t length;

	if (split_chain_read(chain, 0, &header, sizeof(header)) < sizeof(header))
		return bad_message(backend, chain->readable_bytes, 0);
	length = rpmsg_gpio_load16(header.len);
	if (length > RPMSG_PAYLOAD_MAX || !rpmsg_payload_fits(&header, chain->readable_bytes))
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

/* Takes one message. Returns 1, or 0 when the ring is empty or must not be consumed. */
static int consume_one(struct rpmsg_backend *backend)
{
	struct split_device *device = &backend->session.rings[RPMSG_VQ_TX].device;
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

/* An honest guest cannot have more than num messages before we publish. A guest that has more
 * waits a turn, so that no guest keeps the loop to itself. */
static void consume(struct rpmsg_backend *backend)
{
	struct split_device *device = &backend->session.rings[RPMSG_VQ_TX].device;
	unsigned int count = 0;

	if (!may_consume(backend))
		return;
	split_device_disable_kicks(device);
	for (;;) {
		while (count < device->ring.num && consume_one(backend))
			count++;
		if (!may_consume(backend))
			return; /* whoever changes that looks at the ring again */
		if (count == device->ring.num) {
			wake(backend);
			return;
		}
		if (!split_device_enable_kicks(device))
			return;
		split_device_disable_kicks(device);
	}
}

/* ---- looking at the rings ---------------------------------------------------- */

static void look_at_receive_buffers(struct rpmsg_backend *backend)
{
	struct split_device *rx = &backend->session.rings[RPMSG_VQ_RX].device;

	if (!split_device_pending(rx))
		return;
	if (!backend->attached) {
		backend->attached = true;
		/* From here on it matters to us that buffers come back only when we run out of
		 * them. */
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
	if (backend->closing || !vhost_user_session_running(&backend->session))
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

/* Takes one receive buffer. Returns 1, or 0 when there is none. */
static int take_receive_buffer(struct rpmsg_backend *backend, struct split_chain *chain)
{
	struct split_device *device = &backend->session.rings[RPMSG_VQ_RX].device;
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
	split_device_push(&backend->session.rings[RPMSG_VQ_RX].device, chain.head, used_length);
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

void rpmsg_backend_flush(struct rpmsg_backend *backend)
{
	int i;

	enter(backend);
	for (i = 0; i < VHOST_USER_RINGS && !backend->closing; i++)
		vhost_user_session_publish(&backend->session, i);
	leave(backend);
}

void rpmsg_backend_resume(struct rpmsg_backend *backend)
{
	backend->held = false;
	wake(backend);
}

void rpmsg_backend_stall(struct rpmsg_backend *backend, bool stalled)
{
	backend->stalled = stalled;
	wake(backend);
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
	if (backend->session.socket < 0)
		return;
	enter(backend);
	backend->closing = true;
	leave(backend);
}

/* ---- the guest's messages ---------------------------------------------------- */

static int watch_kick(void *context, int fd)
{
	struct rpmsg_backend *backend = context;

	return loop_add(backend->loop, fd, EPOLLIN | EPOLLET, kicked, backend);
}

static void unwatch_kick(void *context, int fd)
{
	struct rpmsg_backend *backend = context;

	loop_remove(backend->loop, fd);
}

static void applied(void *context)
{
	struct rpmsg_backend *backend = context;

	if (!vhost_user_session_running(&backend->session))
		detach(backend);
	look(backend);
}

static void refused(void *context, const char *why)
{
	(void)context;
	fprintf(stderr, "firmware-stub: %s: refused\n", why);
}

static const struct vhost_user_session_ops session_ops = {
	.features = FEATURES,
	.protocol_features = PROTOCOL_FEATURES,
	.watch_kick = watch_kick,
	.unwatch_kick = unwatch_kick,
	.applied = applied,
	.refused = refused,
};

static void socket_ready(void *context, uint32_t events)
{
	struct rpmsg_backend *backend = context;
	int ret = 1;

	(void)events;
	enter(backend);
	for (int i = 0; i < REQUESTS_A_TURN && ret > 0 && !backend->closing; i++)
		ret = vhost_user_session_receive(&backend->session);
	if (ret == -EPROTO)
		stop_device(backend, backend->session.why);
	if (ret < 0)
		backend->closing = true;
	leave(backend);
}

/* ---- the socket ---------------------------------------------------------------- */

/* One guest at a time: the next one waits in the backlog. */
static void connection(void *context, uint32_t events)
{
	struct rpmsg_backend *backend = context;
	int fd = loop_accept(backend->loop, backend->listen_fd);

	(void)events;
	if (fd < 0)
		return;
	if (loop_add(backend->loop, fd, EPOLLIN | EPOLLRDHUP, socket_ready, backend)) {
		close(fd);
		return;
	}
	vhost_user_session_start(&backend->session, fd);
	loop_remove(backend->loop, backend->listen_fd);
}

static int start_listening(struct rpmsg_backend *backend, const char *path,
			   char *why, size_t why_size)
{
	struct stat st;

	backend->listen_fd = vhost_user_listen(path, -1, why, why_size);
	if (backend->listen_fd < 0)
		return -1;
	strcpy(backend->path, path); /* it fits: vhost_user_listen() checked */
	if (stat(path, &st) == 0) {
		backend->socket_dev = st.st_dev;
		backend->socket_ino = st.st_ino;
	}
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

	if (!backend) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	backend->loop = loop;
	backend->ops = ops;
	backend->context = context;
	backend->listen_fd = backend->wake_fd = -1;
	vhost_user_session_init(&backend->session, &session_ops, backend);
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

/* Leaves the file where another process has put its own in its place. */
static void remove_socket_file(const struct rpmsg_backend *backend)
{
	struct stat st;

	if (backend->socket_ino && lstat(backend->path, &st) == 0 &&
	    st.st_dev == backend->socket_dev && st.st_ino == backend->socket_ino)
		unlink(backend->path);
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
