/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usbip.h - the device's side of a USB/IP connection (Documentation/usb/usbip_protocol.rst) on
 * the pump's loop: a device with one pair of bulk ends, for the kernel's vhci_hcd.
 *
 * Everything is called with the pump's lock held. Each message that the kernel sends is answered
 * within USBIP_PATIENCE_NS, since a task of the kernel waits for it and cannot be killed. What
 * the peer does wrong ends the session, when the callback in hand is over.
 */
#ifndef USBIP_H
#define USBIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "liveness.h"
#include "pump/pump.h"

#define USBIP_MESSAGE_MAX  512u /* on a bulk end */
#define USBIP_HELD_MAX     64u  /* messages of the kernel without an answer */
#define USBIP_WANTED_MAX   64u  /* requests of the kernel for a message */
#define USBIP_QUEUED_MAX   64u  /* messages that it has not asked for yet */
#define USBIP_ANSWER_MAX   16u  /* bytes of such a message */
/* The kernel's drivers wait 200 ms. */
#define USBIP_PATIENCE_NS  UINT64_C(120000000)

struct usbip;

struct usbip_ops {
	/* The kernel sent a message; usbip_complete() ends it, perhaps at once. */
	void (*received)(struct usbip *usb, uint64_t message, const uint8_t *bytes,
			 size_t length);
	/* usbip_ready(): a message may go out that could not before. */
	void (*ready)(struct usbip *usb);
	/* The session is over; usb->why says why the peer was cut off. */
	void (*ended)(struct usbip *usb);
};

/* What the kernel reads of the device; the texts are ASCII and outlive the session. */
struct usbip_identity {
	uint16_t vendor, product;
	const char *texts[3]; /* manufacturer, product, serial number */
};

struct usbip_held {
	uint32_t seqnum;
	uint32_t length;
	uint64_t due_ns;
};

struct usbip_wanted {
	uint32_t seqnum;
	uint32_t length;
};

struct usbip {
	struct gb_pump *pump;
	const struct usbip_ops *ops;
	const struct usbip_identity *identity;
	struct gb_source *source;
	struct gb_timer deadline;
	struct gb_flush flush;
	struct liveness liveness;
	int fd;        /* -1: no session */
	uint32_t life; /* tells messages of one session from those of another */
	unsigned int busy; /* callbacks in hand */
	bool closing;
	uint64_t late; /* messages that were answered for want of an answer */
	char why[200];
	/* Its first `held_count` and so on are used, the oldest first. */
	struct usbip_held held[USBIP_HELD_MAX];
	uint32_t held_count;
	struct usbip_wanted wanted[USBIP_WANTED_MAX];
	uint32_t wanted_count;
	struct {
		uint8_t bytes[USBIP_ANSWER_MAX];
		uint32_t length;
	} queued[USBIP_QUEUED_MAX];
	uint32_t queued_count;
	uint8_t input[4096];
	size_t input_length;
	uint8_t output[8192];
	size_t output_length;
};

void usbip_init(struct usbip *usb, struct gb_pump *pump, const struct usbip_ops *ops,
		const struct usbip_identity *identity);
/* Serve the kernel on a stream socket, and tell the helper at `helper` (liveness.h; -1: nobody)
 * that somebody does; both belong to the session from here on. 0 or -errno. */
int usbip_open(struct usbip *usb, int socket, int helper);
bool usbip_is_open(const struct usbip *usb);
/* End the session; `ended` is called, if there was one. Not inside a callback. */
void usbip_close(struct usbip *usb);

/* Around whatever may send. */
void usbip_enter(struct usbip *usb);
void usbip_leave(struct usbip *usb);
/* End a message of the kernel: 0 or an errno, which the kernel's driver sees. Too late, it is
 * nothing: false. */
bool usbip_complete(struct usbip *usb, uint64_t message, int error);
/* Whether a message would go out now. */
bool usbip_ready(const struct usbip *usb);
/* A message to the kernel, now or when it asks. */
void usbip_send(struct usbip *usb, const void *bytes, size_t length);

#endif
