/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user.h - vhost-user messages with descriptors, and the memory table.
 *
 * Follows docs/interop/vhost-user.rst of QEMU. Everything in a message is in
 * the byte order of the host: both ends run on it.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_GET_FEATURES          1
#define VHOST_USER_SET_FEATURES          2
#define VHOST_USER_SET_OWNER             3
#define VHOST_USER_RESET_OWNER           4
#define VHOST_USER_SET_MEM_TABLE         5
#define VHOST_USER_SET_VRING_NUM         8
#define VHOST_USER_SET_VRING_ADDR        9
#define VHOST_USER_SET_VRING_BASE        10
#define VHOST_USER_GET_VRING_BASE        11
#define VHOST_USER_SET_VRING_KICK        12
#define VHOST_USER_SET_VRING_CALL        13
#define VHOST_USER_SET_VRING_ERR         14
#define VHOST_USER_GET_PROTOCOL_FEATURES 15
#define VHOST_USER_SET_PROTOCOL_FEATURES 16
#define VHOST_USER_GET_QUEUE_NUM         17
#define VHOST_USER_SET_VRING_ENABLE      18
#define VHOST_USER_SET_BACKEND_REQ_FD    21
#define VHOST_USER_GET_CONFIG            24
#define VHOST_USER_SET_CONFIG            25
#define VHOST_USER_GET_INFLIGHT_FD       31
#define VHOST_USER_SET_INFLIGHT_FD       32
#define VHOST_USER_RESET_DEVICE          34

#define VHOST_USER_VERSION      0x1u
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_REPLY        0x4u
#define VHOST_USER_NEED_REPLY   0x8u

/* Payload of SET_VRING_KICK, CALL and ERR. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NOFD       0x100u

#define VHOST_USER_PROTOCOL_F_MQ          0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK   3
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ 5
#define VHOST_USER_PROTOCOL_F_CONFIG      9
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD 12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE 13

#define VHOST_USER_F_PROTOCOL_FEATURES 30 /* feature bits */
#define VIRTIO_F_INDIRECT_DESC         28
#define VIRTIO_F_VERSION_1             32

#define VHOST_USER_BIT(n) (UINT64_C(1) << (n))

#define VHOST_USER_FDS_MAX     8
#define VHOST_USER_REGIONS_MAX 8
#define VHOST_USER_CONFIG_MAX  256

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* user addresses of the front-end */
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_user_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint8_t padding[4]; /* with some, without others */
};

#define VHOST_USER_INFLIGHT_SIZE offsetof(struct vhost_user_inflight, padding)

_Static_assert(sizeof(struct vhost_user_header) == 12, "as on the wire");
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "as on the wire");
_Static_assert(offsetof(struct vhost_user_mem_table, regions) == 8, "as on the wire");

struct vhost_user_message {
	struct vhost_user_header header;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_mem_table table;
		struct vhost_user_config config;
		struct vhost_user_inflight inflight;
	} payload;
	int fds[VHOST_USER_FDS_MAX];
	unsigned int fd_count;
};

/* ---- messages ----------------------------------------------------------- */

/* Absolute CLOCK_MONOTONIC time, in ns, that is `timeout_ms` from now. */
uint64_t vhost_user_deadline(int timeout_ms);

/* Send one message with its descriptors (which stay open). While the socket is full, wait until
 * `deadline_ns` (vhost_user_deadline()); 0: do not wait. Returns 0; -ETIMEDOUT; -EAGAIN; -EPIPE;
 * other errors of sendmsg(2). */
int vhost_user_send(int socket, const struct vhost_user_message *message,
		    uint64_t deadline_ns);

/* A message on its way in. Start with all bytes zero. */
struct vhost_user_receiver {
	struct vhost_user_message message;
	size_t got;
	bool peeks; /* messages stay in the socket: SOCK_SEQPACKET, with SO_PEEK_OFF */
	const char *error; /* sentence for the last -EPROTO */
};

/*
 * Take what the socket has, without waiting. 1: receiver->message is whole,
 * and the caller owns its descriptors (close-on-exec); the next call starts a
 * new one. 0: not whole yet. -ECONNRESET: the peer closed. -EPROTO: the peer
 * breaks the protocol, see receiver->error.
 */
int vhost_user_receive(int socket, struct vhost_user_receiver *receiver);
/* The same, waiting: 1 or a negative errno, -ETIMEDOUT among them. */
int vhost_user_receive_until(int socket, struct vhost_user_receiver *receiver,
			     uint64_t deadline_ns);

/* Close the descriptors of a message that nobody took (taken ones are -1). */
void vhost_user_close_fds(struct vhost_user_message *message);

/* ---- memory table ------------------------------------------------------- */

struct vhost_user_mapping {
	uint64_t guest_addr;
	uint64_t user_addr;
	uint64_t size;
	uint8_t *host;  /* of guest_addr and user_addr */
	void *base;     /* as mapped */
	size_t length;
};

/* All zero is an empty table. */
struct vhost_user_memory {
	unsigned int count;
	struct vhost_user_mapping mappings[VHOST_USER_REGIONS_MAX];
};

/*
 * Map the regions of a SET_MEM_TABLE message, one descriptor each (they may be
 * closed afterwards). 0; -EINVAL or an errno of mmap(2), with a sentence in
 * why[] and nothing mapped.
 */
int vhost_user_memory_map(struct vhost_user_memory *memory,
			  const struct vhost_user_message *message,
			  char *why, size_t why_size);
void vhost_user_memory_unmap(struct vhost_user_memory *memory);

/* Descriptors hold guest addresses, SET_VRING_ADDR user addresses. NULL unless
 * all of the range is inside one region. `memory` is struct vhost_user_memory. */
void *vhost_user_memory_guest(const void *memory, uint64_t addr, uint64_t length);
void *vhost_user_memory_user(const void *memory, uint64_t addr, uint64_t length);

#endif
