/* SPDX-License-Identifier: BSD-3-Clause */
/* usbip.c - the device's side of a USB/IP connection. */
#define _GNU_SOURCE
#include "usbip.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the wire: big-endian, 48 bytes each ------------------------------------- */

#define CMD_SUBMIT 1u
#define CMD_UNLINK 2u
#define RET_SUBMIT 3u
#define RET_UNLINK 4u

struct header {
	uint32_t command;
	uint32_t seqnum;
	uint32_t devid;
	uint32_t in; /* direction */
	uint32_t end;
	union {
		struct {
			uint32_t flags;
			uint32_t length;
			uint32_t start_frame;
			uint32_t packets;
			uint32_t interval;
			uint8_t setup[8]; /* little-endian, as on the wire of USB */
		} submit;
		struct {
			uint32_t status;
			uint32_t length;
			uint32_t start_frame;
			uint32_t packets;
			uint32_t errors;
			uint8_t padding[8];
		} submitted;
		struct {
			uint32_t seqnum;
			uint8_t padding[24];
		} unlink;
		struct {
			uint32_t status;
			uint8_t padding[24];
		} unlinked;
	} of;
};

_Static_assert(sizeof(struct header) == 48, "usbip_protocol.rst");

/* ---- the peer's faults ----------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
fail(struct usbip *usb, const char *format, ...)
{
	va_list args;

	if (usb->closing)
		return; /* the first reason is the one that counts */
	va_start(args, format);
	vsnprintf(usb->why, sizeof(usb->why), format, args);
	va_end(args);
	usb->closing = true;
}

/* ---- out ---------------------------------------------------------------------------- */

static void flush_output(struct usbip *usb)
{
	ssize_t sent;

	if (!usb->output_length || usb->fd < 0)
		return;
	sent = send(usb->fd, usb->output, usb->output_length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
		usb->closing = true; /* it left */
	else if (sent != (ssize_t)usb->output_length)
		fail(usb, "it does not read what it asked for");
	usb->output_length = 0;
}

/* Called when the pump gives up its lock: all that was said goes in one piece. */
static void flush_wanted(struct gb_flush *flush)
{
	struct usbip *usb = (struct usbip *)(void *)((char *)flush - offsetof(struct usbip, flush));

	usbip_enter(usb);
	flush_output(usb);
	usbip_leave(usb);
}

static void put(struct usbip *usb, const struct header *header, const void *bytes, size_t length)
{
	if (usb->fd < 0)
		return;
	if (usb->output_length + sizeof(*header) + length > sizeof(usb->output))
		flush_output(usb);
	memcpy(usb->output + usb->output_length, header, sizeof(*header));
	usb->output_length += sizeof(*header);
	if (length)
		memcpy(usb->output + usb->output_length, bytes, length);
	usb->output_length += length;
	gb_flush_want(usb->pump, &usb->flush);
}

/* `length`: of what was transferred, in either direction; `bytes` are NULL for what came. */
static void submitted(struct usbip *usb, uint32_t seqnum, int error, const void *bytes,
		      size_t length)
{
	struct header header = {.command = htobe32(RET_SUBMIT), .seqnum = htobe32(seqnum)};

	header.of.submitted.status = htobe32((uint32_t)-error);
	header.of.submitted.length = htobe32((uint32_t)length);
	put(usb, &header, bytes, bytes ? length : 0);
}

/* ---- the control end ------------------------------------------------------------------- */

/* Standard requests and descriptors, USB 2.0, 9.4 and 9.6. */
#define GET_STATUS        0u
#define CLEAR_FEATURE     1u
#define SET_FEATURE       3u
#define GET_DESCRIPTOR    6u
#define SET_CONFIGURATION 9u
#define SET_INTERFACE     11u

#define DEVICE        1u
#define CONFIGURATION 2u
#define STRING        3u

#define BULK_OUT 0x01
#define BULK_IN  0x81
#define US_ENGLISH 0x0409

static size_t device_descriptor(const struct usbip_identity *identity, uint8_t *to)
{
	const uint8_t bytes[18] = {
		18, DEVICE, 0x00, 0x02, 0xff, 0, 0, 64,
		(uint8_t)identity->vendor, (uint8_t)(identity->vendor >> 8),
		(uint8_t)identity->product, (uint8_t)(identity->product >> 8),
		0x00, 0x01, 1, 2, 3, 1,
	};

	memcpy(to, bytes, sizeof(bytes));
	return sizeof(bytes);
}

/* One interface of the vendor's class with both bulk ends; powered by itself. */
static size_t configuration_descriptor(uint8_t *to)
{
	static const uint8_t bytes[32] = {
		9, CONFIGURATION, sizeof(bytes), 0, 1, 1, 0, 0xc0, 0,
		9, 4, 0, 0, 2, 0xff, 0, 0, 0,
		7, 5, BULK_OUT, 2, USBIP_MESSAGE_MAX & 0xff, USBIP_MESSAGE_MAX >> 8, 0,
		7, 5, BULK_IN, 2, USBIP_MESSAGE_MAX & 0xff, USBIP_MESSAGE_MAX >> 8, 0,
	};

	memcpy(to, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static size_t string_descriptor(const struct usbip_identity *identity, unsigned int index,
				uint8_t *to)
{
	size_t length = 2;

	to[1] = STRING;
	if (index == 0) {
		to[length++] = US_ENGLISH & 0xff;
		to[length++] = US_ENGLISH >> 8;
	} else if (index <= 3) {
		for (const char *at = identity->texts[index - 1]; *at && length < 254; at++) {
			to[length++] = (uint8_t)*at;
			to[length++] = 0;
		}
	} else {
		return 0;
	}
	to[0] = (uint8_t)length;
	return length;
}

static size_t descriptor(const struct usbip_identity *identity, const uint8_t *setup, uint8_t *to)
{
	switch (setup[3]) {
	case DEVICE:
		return device_descriptor(identity, to);
	case CONFIGURATION:
		return configuration_descriptor(to);
	case STRING:
		return string_descriptor(identity, setup[2], to);
	default:
		return 0;
	}
}

static void control(struct usbip *usb, uint32_t seqnum, bool in, uint32_t room,
		    const uint8_t *setup)
{
	uint8_t data[256] = {0};
	size_t length = 0;
	bool known = true;

	switch (setup[1]) {
	case GET_STATUS:
		length = 2;
		break;
	case GET_DESCRIPTOR:
		length = descriptor(usb->identity, setup, data);
		known = length != 0;
		break;
	case CLEAR_FEATURE:
	case SET_FEATURE:
	case SET_CONFIGURATION:
	case SET_INTERFACE:
		break;
	default:
		known = false;
	}
	if (!known)
		submitted(usb, seqnum, EPIPE, NULL, 0);
	else if (in)
		submitted(usb, seqnum, 0, data, length < room ? length : room);
	else
		submitted(usb, seqnum, 0, NULL, 0);
}

/* ---- messages to the kernel --------------------------------------------------------------- */

bool usbip_ready(const struct usbip *usb)
{
	return usb->wanted_count && !usb->queued_count && !usb->closing;
}

static void give(struct usbip *usb, const void *bytes, size_t length)
{
	struct usbip_wanted wanted = usb->wanted[0];

	memmove(usb->wanted, usb->wanted + 1, --usb->wanted_count * sizeof(wanted));
	if (wanted.length < length)
		submitted(usb, wanted.seqnum, EOVERFLOW, NULL, 0);
	else
		submitted(usb, wanted.seqnum, 0, bytes, length);
}

void usbip_send(struct usbip *usb, const void *bytes, size_t length)
{
	if (usb->fd < 0 || usb->closing)
		return;
	if (usbip_ready(usb)) {
		give(usb, bytes, length);
	} else if (usb->queued_count == USBIP_QUEUED_MAX) {
		fail(usb, "it asks for no answers: %u wait", usb->queued_count);
	} else {
		memcpy(usb->queued[usb->queued_count].bytes, bytes, length);
		usb->queued[usb->queued_count++].length = (uint32_t)length;
	}
}

static void ask_for_message(struct usbip *usb, uint32_t seqnum, uint32_t length)
{
	if (usb->wanted_count == USBIP_WANTED_MAX) {
		fail(usb, "it asks for more than %u messages at once", USBIP_WANTED_MAX);
		return;
	}
	usb->wanted[usb->wanted_count++] = (struct usbip_wanted){seqnum, length};
	if (usb->queued_count) {
		give(usb, usb->queued[0].bytes, usb->queued[0].length);
		memmove(usb->queued, usb->queued + 1,
			--usb->queued_count * sizeof(usb->queued[0]));
	}
	if (usbip_ready(usb))
		usb->ops->ready(usb);
}

/* ---- messages of the kernel ---------------------------------------------------------------- */

static uint64_t message_of(const struct usbip *usb, uint32_t seqnum)
{
	return (uint64_t)usb->life << 32 | seqnum;
}

static bool forget_held(struct usbip *usb, uint32_t seqnum, uint32_t *length)
{
	for (uint32_t i = 0; i < usb->held_count; i++) {
		if (usb->held[i].seqnum != seqnum)
			continue;
		*length = usb->held[i].length;
		memmove(usb->held + i, usb->held + i + 1,
			(--usb->held_count - i) * sizeof(usb->held[0]));
		return true;
	}
	return false;
}

static bool forget_wanted(struct usbip *usb, uint32_t seqnum)
{
	for (uint32_t i = 0; i < usb->wanted_count; i++) {
		if (usb->wanted[i].seqnum != seqnum)
			continue;
		memmove(usb->wanted + i, usb->wanted + i + 1,
			(--usb->wanted_count - i) * sizeof(usb->wanted[0]));
		return true;
	}
	return false;
}

/* All wait equally long: the oldest one is due first. */
static void arm_deadline(struct usbip *usb)
{
	if (usb->held_count)
		gb_timer_arm(usb->pump, &usb->deadline, usb->held[0].due_ns);
	else
		gb_timer_cancel(usb->pump, &usb->deadline);
}

static void answer_late(struct gb_timer *timer)
{
	struct usbip *usb =
		(struct usbip *)(void *)((char *)timer - offsetof(struct usbip, deadline));
	uint64_t now = gb_now_ns();

	usbip_enter(usb);
	while (usb->held_count && usb->held[0].due_ns <= now) {
		usb->late++;
		usbip_complete(usb, message_of(usb, usb->held[0].seqnum), ETIMEDOUT);
	}
	arm_deadline(usb);
	usbip_leave(usb);
}

bool usbip_complete(struct usbip *usb, uint64_t message, int error)
{
	uint32_t length;

	if (usb->fd < 0 || message >> 32 != usb->life ||
	    !forget_held(usb, (uint32_t)message, &length))
		return false;
	submitted(usb, (uint32_t)message, error, NULL, error ? 0 : length);
	if (!usb->held_count)
		gb_timer_cancel(usb->pump, &usb->deadline);
	return true;
}

static void take_message(struct usbip *usb, uint32_t seqnum, const uint8_t *bytes, size_t length)
{
	if (usb->held_count == USBIP_HELD_MAX) {
		submitted(usb, seqnum, EBUSY, NULL, 0);
		return;
	}
	usb->held[usb->held_count++] =
		(struct usbip_held){seqnum, (uint32_t)length, gb_now_ns() + USBIP_PATIENCE_NS};
	if (usb->held_count == 1)
		arm_deadline(usb);
	usb->ops->received(usb, message_of(usb, seqnum), bytes, length);
}

static void unlink_urb(struct usbip *usb, uint32_t seqnum, uint32_t victim)
{
	struct header header = {.command = htobe32(RET_UNLINK), .seqnum = htobe32(seqnum)};
	uint32_t length;
	bool found = forget_held(usb, victim, &length) || forget_wanted(usb, victim);

	header.of.unlinked.status = htobe32(found ? (uint32_t)-ECONNRESET : 0);
	put(usb, &header, NULL, 0);
}

static void submit(struct usbip *usb, const struct header *header, const uint8_t *bytes)
{
	uint32_t seqnum = be32toh(header->seqnum), end = be32toh(header->end);
	uint32_t length = be32toh(header->of.submit.length);

	if (end == 0)
		control(usb, seqnum, header->in, length, header->of.submit.setup);
	else if (end != (BULK_OUT & 0xf))
		submitted(usb, seqnum, EPIPE, NULL, 0);
	else if (header->in)
		ask_for_message(usb, seqnum, length);
	else
		take_message(usb, seqnum, bytes, length);
}

/* Bytes of the packet that begins here; 0: more must come, or it is none. */
static size_t packet_size(struct usbip *usb, const struct header *header, size_t available)
{
	uint32_t length = be32toh(header->of.submit.length);
	size_t size = sizeof(*header);

	if (be32toh(header->command) == CMD_SUBMIT) {
		if (!header->in && length > USBIP_MESSAGE_MAX)
			fail(usb, "a message of %u bytes; it takes %u", length, USBIP_MESSAGE_MAX);
		size += header->in ? 0 : length;
	} else if (be32toh(header->command) != CMD_UNLINK) {
		fail(usb, "a packet of type %u; it takes 1 and 2", be32toh(header->command));
	}
	return usb->closing || available < size ? 0 : size;
}

static void take_packets(struct usbip *usb)
{
	struct header header;
	size_t at = 0, size;

	while (usb->input_length - at >= sizeof(header) && !usb->closing) {
		memcpy(&header, usb->input + at, sizeof(header));
		size = packet_size(usb, &header, usb->input_length - at);
		if (!size)
			break;
		if (be32toh(header.command) == CMD_SUBMIT)
			submit(usb, &header, usb->input + at + sizeof(header));
		else
			unlink_urb(usb, be32toh(header.seqnum), be32toh(header.of.unlink.seqnum));
		at += size;
	}
	usb->input_length -= at;
	memmove(usb->input, usb->input + at, usb->input_length);
}

static void on_readable(void *owner, int index, uint32_t events)
{
	struct usbip *usb = owner;
	ssize_t got;

	(void)index;
	(void)events;
	usbip_enter(usb);
	liveness_touch(&usb->liveness);
	got = recv(usb->fd, usb->input + usb->input_length,
		   sizeof(usb->input) - usb->input_length, MSG_DONTWAIT);
	if (got > 0) {
		usb->input_length += (size_t)got;
		take_packets(usb);
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		usb->closing = true; /* it left */
	}
	usbip_leave(usb);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void helper_gone(void *owner)
{
	struct usbip *usb = owner;

	usbip_enter(usb);
	fail(usb, "the helper that plugged it in is gone, and nobody watches over it");
	usbip_leave(usb);
}

void usbip_init(struct usbip *usb, struct gb_pump *pump, const struct usbip_ops *ops,
		const struct usbip_identity *identity)
{
	memset(usb, 0, sizeof(*usb));
	usb->pump = pump;
	usb->ops = ops;
	usb->identity = identity;
	usb->fd = -1;
	usb->deadline.expired = answer_late;
	usb->flush.flush = flush_wanted;
	liveness_init(&usb->liveness, pump, helper_gone, usb);
}

bool usbip_is_open(const struct usbip *usb)
{
	return usb->fd >= 0;
}

int usbip_open(struct usbip *usb, int socket, int helper)
{
	int error;

	usb->source = gb_source_add(usb->pump, socket, EPOLLIN, on_readable, usb, 0);
	error = usb->source ? liveness_open(&usb->liveness, helper) : -errno;
	if (error) {
		gb_source_remove(usb->pump, usb->source);
		usb->source = NULL;
		close(socket);
		if (helper >= 0)
			close(helper);
		return error;
	}
	usb->fd = socket;
	usb->life++;
	usb->why[0] = '\0';
	return 0;
}

void usbip_close(struct usbip *usb)
{
	if (usb->fd < 0)
		return;
	flush_output(usb);
	gb_flush_cancel(usb->pump, &usb->flush);
	gb_timer_cancel(usb->pump, &usb->deadline);
	gb_source_remove(usb->pump, usb->source);
	liveness_close(&usb->liveness);
	/* The helper has copies of it. */
	shutdown(usb->fd, SHUT_RDWR);
	close(usb->fd);
	usb->source = NULL;
	usb->fd = -1;
	usb->held_count = usb->wanted_count = usb->queued_count = 0;
	usb->input_length = usb->output_length = 0;
	usb->closing = false;
	usb->ops->ended(usb);
}

void usbip_enter(struct usbip *usb)
{
	usb->busy++;
}

void usbip_leave(struct usbip *usb)
{
	if (--usb->busy == 0 && usb->closing)
		usbip_close(usb);
}
