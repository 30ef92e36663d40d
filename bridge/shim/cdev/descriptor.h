/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * descriptor.h - what stands behind a descriptor of the GPIO character device that a program
 * got from us instead of the kernel (docs/cdev.md): a stream socket.
 *
 * Towards the program it carries event records and nothing else, whole ones, so that poll(2)
 * and read(2) need no help. Its ioctls come on channels: SOCK_SEQPACKET sockets, one end of
 * which the program sends along the stream. So they never mix with events, and each process
 * that has the descriptor, by fork(2) or by SCM_RIGHTS, makes a channel of its own.
 *
 * As many records as were agreed on lie in the socket. While it has them, more wait in a ring
 * of as many here, whose oldest goes when that is full, too: a reader that is late finds
 * what it would find in the kernel's kfifo, perhaps more, and a gap in the numbers of events.
 *
 * All of this is used with the pump's lock held.
 */
#ifndef GB_DESCRIPTOR_H
#define GB_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pump/pump.h"

/* What a program sends on the stream, with one end of a SOCK_SEQPACKET pair. One byte stays
 * unread in our socket at all times: when we close it, the program's poll(2) shows ERR
 * beside HUP, as for a removed gpiochip. */
struct gb_channel_offer {
	uint32_t magic; /* GB_CHANNEL_MAGIC */
	uint32_t version; /* 1 */
	uint32_t form; /* GB_OFFER_*: of the program that asks */
	uint32_t reserved; /* 0 */
	uint8_t tail; /* the byte that stays */
};

#define GB_CHANNEL_MAGIC 0x4f495047u /* "GPIO" */
#define GB_CHANNEL_OFFER_SIZE 17u
/* struct gpioevent_data of v1 has 16 bytes, or 12 where 64-bit integers are not aligned. */
#define GB_OFFER_ALIGNED 0u
#define GB_OFFER_PACKED 1u

/* A packet on a channel: the ioctl's number, and behind this what it points to. */
struct gb_ioctl {
	uint32_t command;
	uint32_t sequence; /* comes back */
};

/* The same back; a descriptor that the ioctl makes comes with it. */
struct gb_ioctl_reply {
	int32_t error; /* errno or 0 */
	uint32_t sequence;
};

/* Answered once the lines are released, by hanging up, if nobody has the descriptor any
 * more, else at once: what close(2) waits for in the kernel. */
#define GB_IOCTL_CLOSED 0u

/* struct gpio_v2_line_request. */
#define GB_IOCTL_SIZE_MAX 592u
/* Processes that can have an idle channel each; the oldest one goes when another comes. */
#define GB_CHANNELS_MAX 3u

struct gb_descriptor;

struct gb_descriptor_ops {
	/* An ioctl: to be answered by gb_descriptor_answer(), now or later. No other one
	 * comes before. */
	void (*ioctl)(void *owner, uint32_t command, const uint8_t *argument, size_t size);
	/* Nobody has the descriptor any more, or something came on it that makes no sense. */
	void (*closed)(void *owner);
};

struct gb_channel {
	struct gb_descriptor *descriptor;
	struct gb_source *source;
	int fd;
	bool packed; /* GB_OFFER_PACKED */
	bool paused; /* its next ioctl waits for the end of another one */
};

struct gb_descriptor {
	struct gb_pump *pump;
	const struct gb_descriptor_ops *ops;
	void *owner;
	int fd;
	struct gb_source *source;
	bool closed;
	/* The ioctl in hand. */
	struct gb_channel *asking; /* NULL: the channel is gone */
	bool busy;
	bool packed; /* its structs are those of GB_OFFER_PACKED */
	uint32_t sequence;
	uint32_t size; /* of its argument */
	struct gb_channel *channels[GB_CHANNELS_MAX]; /* the oldest first */
	uint32_t channel_count;
	struct gb_timer again; /* looks at offers that no descriptor is taken of now */
	/* Records. */
	uint8_t *records;
	uint32_t record_size;
	uint32_t capacity; /* of the ring, and of the socket */
	uint32_t first, count; /* in the ring */
	uint32_t sent; /* into the socket, since that was seen empty */
	bool keep_oldest; /* of too many the newest goes */
	bool waiting; /* for the program to read */
	struct gb_flush flush; /* of what was pushed in one turn */
};

/* `capacity` records of `record_size` bytes, at least 2. The program's end is the result,
 * -errno. With the lock not held. */
int gb_descriptor_init(struct gb_descriptor *descriptor, struct gb_pump *pump,
		       uint32_t record_size, uint32_t capacity, bool keep_oldest);
/* Begin: 0 or -errno. */
int gb_descriptor_watch(struct gb_descriptor *descriptor, const struct gb_descriptor_ops *ops,
			void *owner);
/* Records have another size from now on; none may wait. */
bool gb_descriptor_resize(struct gb_descriptor *descriptor, uint32_t record_size);
/* False: a record was dropped for this one, or this one was. */
bool gb_descriptor_push(struct gb_descriptor *descriptor, const void *record);
/* Records that the program has not taken, at most. */
uint32_t gb_descriptor_waiting(const struct gb_descriptor *descriptor);
/* Whether a program still has its end. */
bool gb_descriptor_held(const struct gb_descriptor *descriptor);
/* The same; if no program has its end, ops->closed() is called at once. */
bool gb_descriptor_look(struct gb_descriptor *descriptor);
/* `argument`: as many bytes as came. `fd`: -1, or one to pass along; it is closed here. */
void gb_descriptor_answer(struct gb_descriptor *descriptor, int error, const void *argument,
			  int fd);
/* The program sees HUP and ERR on all that it has. May be repeated. */
void gb_descriptor_close(struct gb_descriptor *descriptor);

#endif
