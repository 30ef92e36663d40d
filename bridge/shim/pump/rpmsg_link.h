/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_link.h - a link over the kernel's rpmsg character devices.
 *
 * Each endpoint is a /dev/rpmsgN opened by somebody else, the finder, which
 * knows sysfs and uevents (bridge/link/rpmsg.py). Finder and link talk over a
 * SOCK_SEQPACKET pair, one struct gb_rpmsg_packet a packet, so that neither
 * waits for the other and each notices when the other is gone.
 */
#ifndef GB_RPMSG_LINK_H
#define GB_RPMSG_LINK_H

#include <stdint.h>

#include "link.h"

enum gb_rpmsg_code {
	/* finder -> link */
	GB_RPMSG_ATTACH,  /* the endpoint of channel `text` at `address`; its
	                     descriptor comes along (SCM_RIGHTS), O_NONBLOCK */
	GB_RPMSG_DETACH,  /* that endpoint is gone */
	GB_RPMSG_DOWN,    /* the processor is gone; `text` is why */
	/* link -> finder */
	GB_RPMSG_GONE,    /* the endpoint at `address` broke, `error` is the errno */
};

/* With GB_RPMSG_ATTACH: RPMSG_DESTROY_EPT_IOCTL before the descriptor closes. */
#define GB_RPMSG_DESTROY 1u

#define GB_RPMSG_TEXT_SIZE 160

struct gb_rpmsg_packet {
	uint32_t code;
	uint32_t address;
	uint32_t flags;
	int32_t error;
	char text[GB_RPMSG_TEXT_SIZE]; /* NUL terminated */
};

/* A link whose finder has the other end of `control`, which the link owns from
 * here on (non-blocking). NULL with errno; `control` is closed then. */
struct gb_link *gb_rpmsg_open(int control);

#endif
