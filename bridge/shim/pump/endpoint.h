/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * endpoint.h - an endpoint without a controller: messages as they are.
 *
 * It is for tests of firmware (bridge/conformance), which send what no driver would and want
 * to see every byte that comes back.
 */
#ifndef GB_ENDPOINT_H
#define GB_ENDPOINT_H

#include <stdint.h>

#include "link.h"

#define GB_MESSAGE_MAX 512

struct gb_message {
	uint64_t arrival_ns; /* CLOCK_MONOTONIC */
	uint16_t length;
	uint8_t bytes[GB_MESSAGE_MAX];
};

/* The endpoint `address` of the firmware; ours is `source`. The link closes it
 * when it is closed. NULL with errno (EADDRINUSE, EMFILE, ENODEV, ENOMEM). */
struct gb_endpoint *gb_endpoint_open(struct gb_link *link, uint32_t source, uint32_t address);
void gb_endpoint_close(struct gb_endpoint *endpoint);
/* The descriptor is readable when messages wait, and when a send that returned -EAGAIN may be
 * tried again. */
int gb_endpoint_fd(const struct gb_endpoint *endpoint);
/* 0; -EAGAIN; -EMSGSIZE; -ENODEV when the link is down. */
int gb_endpoint_send(struct gb_endpoint *endpoint, const void *message, uint16_t length);
/* The oldest message: 1, or 0 when there is none (and the descriptor is cleared). */
int gb_endpoint_receive(struct gb_endpoint *endpoint, struct gb_message *message);
/* The number of messages that found the queue full, or were longer than GB_MESSAGE_MAX. */
uint64_t gb_endpoint_lost(struct gb_endpoint *endpoint);

#endif
