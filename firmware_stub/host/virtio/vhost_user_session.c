/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "vhost_user_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listening_socket.h"

#define BACKLOG 8

static int __attribute__((format(printf, 2, 3)))
refuse(struct vhost_user_session *session, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(session->why, sizeof(session->why), format, args);
	va_end(args);
	return -1;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_kick(struct vhost_user_session *session, struct vhost_user_ring *ring)
{
	if (ring->kick >= 0)
		session->ops->unwatch_kick(session->context, ring->kick);
	close_fd(&ring->kick);
}

/* ---- rings start and stop --------------------------------------------------- */

void vhost_user_session_publish(struct vhost_user_session *session, int index)
{
	struct vhost_user_ring *ring = &session->rings[index];

	if (ring->running && split_device_publish(&ring->device))
		notifier_signal(&ring->call);
}

bool vhost_user_session_running(const struct vhost_user_session *session)
{
	for (int i = 0; i < VHOST_USER_RINGS; i++)
		if (!session->rings[i].running)
			return false;
	return true;
}

static void *part(struct vhost_user_session *session, uint64_t addr, size_t size)
{
	return vhost_user_memory_user(&session->memory, addr, size);
}

static void reset(struct vhost_user_session *session)
{
	session->used = false;
	if (session->ops->reset)
		session->ops->reset(session->context);
}

/* Makes a log for queues of any size. Without memory there is none, and the guest goes on. */
static void make_log(struct vhost_user_session *session)
{
	struct vhost_user_message message = {
		.header = {.request = VHOST_USER_SET_INFLIGHT_FD,
			   .size = sizeof(message.payload.inflight)},
		.payload.inflight = {.num_queues = VHOST_USER_RINGS,
				     .queue_size = SPLIT_RING_NUM_MAX},
	};

	if (inflight_create(&message, VHOST_USER_RINGS, session->why, sizeof(session->why)) < 0)
		return;
	if (inflight_map(&session->log, &message, VHOST_USER_RINGS, session->why,
			 sizeof(session->why)) < 0)
		vhost_user_close_fds(&message);
}

/* With a log, takes again what the back-end before did not return. */
static int recover_ring(struct vhost_user_session *session, int index)
{
	struct vhost_user_ring *ring = &session->rings[index];
	const char *wrong;
	struct inflight_queue *log = inflight_queue(&session->log, (unsigned int)index, ring->num,
						    &wrong);

	if (wrong)
		return refuse(session, "virtqueue %d: its in-flight log: %s", index, wrong);
	if (!log)
		return 0;
	free(ring->again);
	ring->again = calloc(ring->num, sizeof(*ring->again));
	if (!ring->again)
		return refuse(session, "virtqueue %d: no memory", index);
	if (split_device_recover(&ring->device, log, ring->again) < 0)
		return refuse(session, "virtqueue %d: %s", index, ring->device.ring.error);
	/* The process that published last may have been killed before it signalled. */
	notifier_signal(&ring->call);
	return 0;
}

static int start_ring(struct vhost_user_session *session, int index)
{
	struct vhost_user_ring *ring = &session->rings[index];
	struct split_ring parts = {
		.num = ring->num,
		.desc = part(session, ring->addr.desc, split_ring_desc_size(ring->num)),
		.avail = part(session, ring->addr.avail, split_ring_avail_size(ring->num)),
		.used = part(session, ring->addr.used, split_ring_used_size(ring->num)),
	};

	/* A ring that failed is not tried again with every message that follows. */
	ring->started = false;
	if (!parts.desc || !parts.avail || !parts.used)
		return refuse(session, "virtqueue %d: its addresses are outside the memory table",
			      index);
	if (split_device_init(&ring->device, &parts, ring->base,
			      vhost_user_memory_guest, &session->memory) < 0)
		return refuse(session, "virtqueue %d: %s", index, ring->device.ring.error);
	if (index == 0 && session->beginning == VHOST_USER_RING_TELLS &&
	    split_device_untouched(&ring->device))
		reset(session);
	if (session->keeps_log && !session->log.base)
		make_log(session);
	if (recover_ring(session, index) < 0)
		return -1;
	ring->device.indirect = session->features & VHOST_USER_BIT(VIRTIO_F_INDIRECT_DESC);
	split_device_enable_kicks(&ring->device);
	ring->started = true;
	ring->running = true;
	session->used = true;
	if (index == 0)
		session->beginning = VHOST_USER_GOES_ON; /* what is started again is the same */
	return 0;
}

static void stop_ring(struct vhost_user_session *session, int index)
{
	struct vhost_user_ring *ring = &session->rings[index];

	if (!ring->running)
		return;
	if (session->ops->stopping)
		session->ops->stopping(session->context, index);
	vhost_user_session_publish(session, index);
	ring->base = ring->device.last_avail;
	ring->running = false;
}

static void stop_rings(struct vhost_user_session *session)
{
	int i;

	for (i = 0; i < VHOST_USER_RINGS; i++)
		stop_ring(session, i);
}

static bool may_run(const struct vhost_user_session *session, const struct vhost_user_ring *ring)
{
	bool enabled = ring->enabled ||
		!(session->features & VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES));

	return ring->started && enabled && ring->num && session->memory.count &&
	       (session->features & VHOST_USER_BIT(VIRTIO_F_VERSION_1));
}

/* Called after every message: starts and stops rings as it demands. */
static int apply(struct vhost_user_session *session)
{
	int i, ret = 0;

	for (i = 0; i < VHOST_USER_RINGS; i++) {
		struct vhost_user_ring *ring = &session->rings[i];

		if (!may_run(session, ring))
			stop_ring(session, i);
		else if (!ring->running && start_ring(session, i) < 0)
			ret = -1;
	}
	session->ops->applied(session->context);
	return ret;
}

/* ---- messages ----------------------------------------------------------------- */

/* Each handler returns 0, or -1 with session->why. A handler that answers leaves the answer in
 * the message; one that keeps a descriptor leaves -1 in its place. */
typedef int (*request_fn)(struct vhost_user_session *session,
			  struct vhost_user_message *message);

static int ring_index(struct vhost_user_session *session, uint64_t index)
{
	if (index < VHOST_USER_RINGS)
		return (int)index;
	return refuse(session, "there is no virtqueue %llu, only 0 and 1",
		      (unsigned long long)index);
}

static int take_fd(struct vhost_user_message *message)
{
	int fd = message->fds[0];

	message->fds[0] = -1;
	return fd;
}

static int nothing(struct vhost_user_session *session, struct vhost_user_message *message)
{
	(void)session;
	(void)message;
	return 0;
}

static int answer_u64(struct vhost_user_message *message, uint64_t value)
{
	message->header.size = sizeof(value);
	message->payload.u64 = value;
	return 0;
}

static int get_features(struct vhost_user_session *session, struct vhost_user_message *message)
{
	/* A front-end asks this when it begins; UML asks it also when its driver has let go, and
	 * says nothing else then. Nobody asks it for a pause. */
	if (session->used && !session->rings[0].running && !session->rings[1].running)
		reset(session);
	return answer_u64(message, session->ops->features);
}

static int set_features(struct vhost_user_session *session, struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~session->ops->features)
		return refuse(session, "SET_FEATURES 0x%llx: 0x%llx was not offered",
			      (unsigned long long)features,
			      (unsigned long long)(features & ~session->ops->features));
	if (!(features & VHOST_USER_BIT(VIRTIO_F_VERSION_1)))
		return refuse(session, "SET_FEATURES 0x%llx lacks VIRTIO_F_VERSION_1 (bit 32)",
			      (unsigned long long)features);
	session->features = features;
	return 0;
}

static int get_protocol_features(struct vhost_user_session *session,
				 struct vhost_user_message *message)
{
	return answer_u64(message, session->ops->protocol_features);
}

static int set_protocol_features(struct vhost_user_session *session,
				 struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~session->ops->protocol_features)
		return refuse(session, "SET_PROTOCOL_FEATURES 0x%llx: 0x%llx was not offered",
			      (unsigned long long)features,
			      (unsigned long long)(features & ~session->ops->protocol_features));
	return 0;
}

static int get_queue_num(struct vhost_user_session *session, struct vhost_user_message *message)
{
	(void)session;
	return answer_u64(message, VHOST_USER_RINGS);
}

static int set_backend_req_fd(struct vhost_user_session *session,
			      struct vhost_user_message *message)
{
	if (message->fd_count != 1)
		return refuse(session, "SET_BACKEND_REQ_FD came without a descriptor");
	if (peer_fd_kind(message->fds[0]) == PEER_FD_OTHER)
		return refuse(session, "SET_BACKEND_REQ_FD came with a descriptor that is no Unix socket");
	close_fd(&session->request_fd);
	session->request_fd = take_fd(message);
	return 0;
}

/* The answer is put in place; size 0 says error. */
static int get_config(struct vhost_user_session *session, struct vhost_user_message *message)
{
	struct vhost_user_config *config = &message->payload.config;
	uint32_t size = config->size;

	if (!session->ops->get_config || message->header.size < offsetof(struct vhost_user_config, bytes) ||
	    size > sizeof(config->bytes) ||
	    message->header.size != offsetof(struct vhost_user_config, bytes) + size ||
	    !session->ops->get_config(session->context, config->offset, size, config->bytes))
		message->header.size = 0;
	return 0;
}

static int set_config(struct vhost_user_session *session, struct vhost_user_message *message)
{
	(void)message;
	return refuse(session, "SET_CONFIG: the configuration space is read-only");
}

static void mapped(struct vhost_user_session *session, void *base, size_t length)
{
	if (session->ops->mapped)
		session->ops->mapped(session->context, base, length);
}

static int set_mem_table(struct vhost_user_session *session, struct vhost_user_message *message)
{
	struct vhost_user_memory memory;

	if (vhost_user_memory_map(&memory, message, session->why, sizeof(session->why)) < 0)
		return -1;
	stop_rings(session); /* apply() starts them on the new mapping */
	vhost_user_memory_unmap(&session->memory);
	vhost_user_close_fds(&session->table);
	session->memory = memory;
	for (unsigned int i = 0; i < memory.count; i++)
		mapped(session, memory.mappings[i].base, memory.mappings[i].length);
	session->table = *message;
	message->fd_count = 0; /* they are the session's */
	return 0;
}

static int no_log(struct vhost_user_session *session)
{
	if (session->ops->protocol_features & VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	return refuse(session, "a log of what is in flight was not offered");
}

static int get_inflight_fd(struct vhost_user_session *session, struct vhost_user_message *message)
{
	if (no_log(session) < 0)
		return -1;
	return inflight_create(message, VHOST_USER_RINGS, session->why, sizeof(session->why));
}

static int set_inflight_fd(struct vhost_user_session *session, struct vhost_user_message *message)
{
	struct inflight_log log;

	if (no_log(session) < 0 ||
	    inflight_map(&log, message, VHOST_USER_RINGS, session->why,
			 sizeof(session->why)) < 0)
		return -1;
	stop_rings(session);
	inflight_unmap(&session->log);
	session->log = log;
	mapped(session, log.base, log.length);
	return 0;
}

static int set_vring_num(struct vhost_user_session *session, struct vhost_user_message *message)
{
	uint32_t num = message->payload.state.num;
	int index = ring_index(session, message->payload.state.index);

	if (index < 0)
		return -1;
	if (!split_ring_num_valid(num))
		return refuse(session, "SET_VRING_NUM %u is not a power of two up to %u", num,
			      SPLIT_RING_NUM_MAX);
	stop_ring(session, index);
	session->rings[index].num = (uint16_t)num;
	return 0;
}

static int set_vring_addr(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int index = ring_index(session, message->payload.addr.index);

	if (index < 0)
		return -1;
	stop_ring(session, index);
	session->rings[index].addr = message->payload.addr;
	return 0;
}

/* A front-end that goes on gives the index where it does: the one that GET_VRING_BASE returned,
 * or, to a back-end that was started anew, one beyond 0. Any other index is that of a driver that
 * begins; 0 may be either, since the index goes round. */
static enum vhost_user_beginning beginning(const struct vhost_user_session *session,
					   uint32_t base)
{
	if (session->loading)
		return VHOST_USER_GOES_ON;
	if (session->based && base != session->rings[0].base)
		return VHOST_USER_BEGINS;
	return base == 0 ? VHOST_USER_RING_TELLS : VHOST_USER_GOES_ON;
}

static int set_vring_base(struct vhost_user_session *session, struct vhost_user_message *message)
{
	uint32_t base = message->payload.state.num;
	int index = ring_index(session, message->payload.state.index);

	if (index < 0)
		return -1;
	if (base > UINT16_MAX)
		return refuse(session, "SET_VRING_BASE %u is no ring index", base);
	stop_ring(session, index);
	if (index == 0) {
		session->beginning = beginning(session, base);
		if (session->beginning == VHOST_USER_BEGINS)
			reset(session);
		session->based = true;
	}
	session->rings[index].base = (uint16_t)base;
	return 0;
}

static int get_vring_base(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int index = ring_index(session, message->payload.state.index);

	if (index < 0)
		return -1;
	stop_ring(session, index);
	session->rings[index].started = false;
	close_kick(session, &session->rings[index]);
	message->payload.state.num = session->rings[index].base;
	return 0;
}

/* The ring that a KICK, CALL or ERR message is for, if its descriptor is as
 * announced. */
static int fd_ring_index(struct vhost_user_session *session,
			 const struct vhost_user_message *message)
{
	uint64_t value = message->payload.u64;
	unsigned int wanted = value & VHOST_USER_VRING_NOFD ? 0 : 1;

	if (message->fd_count != wanted)
		return refuse(session, "vhost-user message %u: %u descriptors, not %u",
			      message->header.request, message->fd_count, wanted);
	return ring_index(session, value & VHOST_USER_VRING_INDEX_MASK);
}

static int set_vring_kick(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int index = fd_ring_index(session, message);
	struct vhost_user_ring *ring;
	int fd, error;

	if (index < 0)
		return -1;
	if (!message->fd_count)
		return refuse(session, "virtqueue %d: it has no kick descriptor, which asks for polling",
			      index);
	if (!peer_fd_polls(message->fds[0]))
		return refuse(session, "virtqueue %d: its kick descriptor is no eventfd, pipe or Unix socket",
			      index);
	ring = &session->rings[index];
	fd = take_fd(message);
	error = session->ops->watch_kick(session->context, fd);
	if (error) {
		close(fd);
		return refuse(session, "virtqueue %d: its kick descriptor cannot be watched: %s",
			      index, strerror(-error));
	}
	close_kick(session, ring);
	ring->kick = fd;
	ring->started = true;
	return 0;
}

static int set_vring_call(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int index = fd_ring_index(session, message);
	struct notifier call;

	if (index < 0)
		return -1;
	notifier_init(&call);
	if (message->fd_count && notifier_open(&call, message->fds[0]) < 0)
		return refuse(session, "virtqueue %d: its call descriptor is no eventfd, pipe to write to or Unix socket",
			      index);
	if (message->fd_count)
		take_fd(message);
	notifier_close(&session->rings[index].call);
	session->rings[index].call = call;
	/* The signal for what was published before may have gone to nobody. */
	if (session->rings[index].running)
		notifier_signal(&session->rings[index].call);
	return 0;
}

/* Errors go to the log and end the session: nothing to signal. */
static int set_vring_err(struct vhost_user_session *session, struct vhost_user_message *message)
{
	return fd_ring_index(session, message) < 0 ? -1 : 0;
}

static int set_vring_enable(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int index = ring_index(session, message->payload.state.index);

	if (index < 0)
		return -1;
	if (message->payload.state.num > 1)
		return refuse(session, "SET_VRING_ENABLE %u is neither 0 nor 1",
			      message->payload.state.num);
	session->rings[index].enabled = message->payload.state.num;
	return 0;
}

static int reset_owner(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int i;

	(void)message;
	stop_rings(session);
	for (i = 0; i < VHOST_USER_RINGS; i++)
		session->rings[i].started = session->rings[i].enabled = false;
	return 0;
}

static int reset_device(struct vhost_user_session *session, struct vhost_user_message *message)
{
	reset_owner(session, message);
	session->features = 0;
	reset(session);
	return 0;
}

#define ANY_SIZE UINT32_MAX
#define STATE    sizeof(struct vhost_user_vring_state)

static const struct request {
	uint32_t id;
	uint32_t size;
	unsigned int fds; /* at most */
	bool answers;
	bool stops; /* rings, perhaps */
	request_fn handle;
} requests[] = {
	{VHOST_USER_GET_FEATURES, 0, 0, true, false, get_features},
	{VHOST_USER_SET_FEATURES, 8, 0, false, true, set_features},
	{VHOST_USER_SET_OWNER, 0, 0, false, false, nothing},
	{VHOST_USER_RESET_OWNER, 0, 0, false, true, reset_owner},
	{VHOST_USER_SET_MEM_TABLE, ANY_SIZE, VHOST_USER_FDS_MAX, false, true, set_mem_table},
	{VHOST_USER_SET_VRING_NUM, STATE, 0, false, true, set_vring_num},
	{VHOST_USER_SET_VRING_ADDR, 40, 0, false, true, set_vring_addr},
	{VHOST_USER_SET_VRING_BASE, STATE, 0, false, true, set_vring_base},
	{VHOST_USER_GET_VRING_BASE, STATE, 0, true, true, get_vring_base},
	{VHOST_USER_SET_VRING_KICK, 8, 1, false, false, set_vring_kick},
	{VHOST_USER_SET_VRING_CALL, 8, 1, false, false, set_vring_call},
	{VHOST_USER_SET_VRING_ERR, 8, 1, false, false, set_vring_err},
	{VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, true, false, get_protocol_features},
	{VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0, false, false, set_protocol_features},
	{VHOST_USER_GET_QUEUE_NUM, 0, 0, true, false, get_queue_num},
	{VHOST_USER_SET_VRING_ENABLE, STATE, 0, false, true, set_vring_enable},
	{VHOST_USER_SET_BACKEND_REQ_FD, 0, 1, false, false, set_backend_req_fd},
	{VHOST_USER_GET_CONFIG, ANY_SIZE, 0, true, false, get_config},
	{VHOST_USER_SET_CONFIG, ANY_SIZE, 0, false, false, set_config},
	{VHOST_USER_GET_INFLIGHT_FD, ANY_SIZE, 0, true, false, get_inflight_fd},
	{VHOST_USER_SET_INFLIGHT_FD, ANY_SIZE, 1, false, true, set_inflight_fd},
	{VHOST_USER_RESET_DEVICE, 0, 0, false, true, reset_device},
};

static const struct request *find_request(uint32_t id)
{
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].id == id)
			return &requests[i];
	return NULL;
}

static int execute(struct vhost_user_session *session, const struct request *request,
		   struct vhost_user_message *message)
{
	const struct vhost_user_header *header = &message->header;

	if (!request)
		return refuse(session, "vhost-user message %u is not supported", header->request);
	if (request->size != ANY_SIZE && header->size != request->size)
		return refuse(session, "vhost-user message %u has %u bytes, not %u",
			      header->request, header->size, request->size);
	if (message->fd_count > request->fds)
		return refuse(session, "vhost-user message %u has %u descriptors, not %u",
			      header->request, message->fd_count, request->fds);
	if (request->handle(session, message) < 0)
		return -1;
	return apply(session);
}

/* Returns 1, or a negative errno as vhost_user_session_receive(). */
static int reply(struct vhost_user_session *session, struct vhost_user_message *message)
{
	int ret;

	message->header.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	ret = vhost_user_send(session->socket, message, 0);
	if (ret == -EAGAIN) {
		refuse(session, "the guest does not read its replies");
		return -EPROTO;
	}
	return ret < 0 ? -ECONNRESET : 1;
}

static int handle(struct vhost_user_session *session, struct vhost_user_message *message)
{
	const struct request *request = find_request(message->header.request);
	bool need_reply = message->header.flags & VHOST_USER_NEED_REPLY;
	int ret = execute(session, request, message), replied;

	if (ret < 0 || !request->answers)
		vhost_user_close_fds(message);
	if (ret == 0 && request->answers) {
		replied = reply(session, message);
		vhost_user_close_fds(message);
		return replied;
	}
	if (need_reply && !(request && request->answers)) {
		if (ret < 0)
			session->ops->refused(session->context, session->why);
		answer_u64(message, ret < 0);
		return reply(session, message);
	}
	/* The request is refused, and the guest would never learn of it: -EPROTO. */
	return ret < 0 ? -EPROTO : 1;
}

static bool must_wait(const struct vhost_user_session *session)
{
	const struct request *request = find_request(session->receiver.message.header.request);

	return request && request->stops && session->ops->busy &&
	       session->ops->busy(session->context);
}

int vhost_user_session_receive(struct vhost_user_session *session)
{
	int ret;

	if (session->held)
		return 0;
	ret = vhost_user_receive(session->socket, &session->receiver);
	if (ret > 0 && must_wait(session))
		session->held = true;
	else if (ret > 0)
		return handle(session, &session->receiver.message);
	if (ret == -EPROTO)
		refuse(session, "%s", session->receiver.error);
	return ret >= 0 ? 0 : ret == -EPROTO ? ret : -ECONNRESET;
}

int vhost_user_session_resume(struct vhost_user_session *session)
{
	if (!session->held)
		return 0;
	session->held = false;
	return handle(session, &session->receiver.message);
}

/* ---- life ------------------------------------------------------------------------ */

void vhost_user_session_init(struct vhost_user_session *session,
			     const struct vhost_user_session_ops *ops, void *context)
{
	memset(session, 0, sizeof(*session));
	session->ops = ops;
	session->context = context;
	session->socket = session->request_fd = -1;
	for (int i = 0; i < VHOST_USER_RINGS; i++) {
		session->rings[i].kick = -1;
		notifier_init(&session->rings[i].call);
	}
}

void vhost_user_session_start(struct vhost_user_session *session, int socket)
{
	session->socket = socket;
}

void vhost_user_session_end(struct vhost_user_session *session)
{
	for (int i = 0; i < VHOST_USER_RINGS; i++) {
		close_kick(session, &session->rings[i]);
		notifier_close(&session->rings[i].call);
		free(session->rings[i].again);
	}
	close_fd(&session->socket);
	close_fd(&session->request_fd);
	vhost_user_close_fds(&session->receiver.message);
	vhost_user_memory_unmap(&session->memory);
	vhost_user_close_fds(&session->table);
	inflight_unmap(&session->log);
	vhost_user_session_init(session, session->ops, session->context);
}

/* ---- the listening socket ------------------------------------------------------- */

int vhost_user_listen(const char *path, int mode, char *why, size_t why_size)
{
	return listening_socket(path, SOCK_STREAM, BACKLOG, mode, why, why_size);
}
