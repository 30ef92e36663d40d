/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg.h - the rpmsg message header and name service, byte for byte.
 *
 * Virtio id 7 has no section in the virtio specification; Linux's
 * drivers/rpmsg/virtio_rpmsg_bus.c and include/linux/rpmsg/ns.h define it.
 * Little-endian, since VIRTIO_F_VERSION_1 is always negotiated here.
 */
#ifndef RPMSG_H
#define RPMSG_H

#include <stdbool.h>

#include "rpmsg_gpio.h"

#define RPMSG_VIRTIO_ID 7
#define VIRTIO_RPMSG_F_NS 0 /* feature bit: name service */
/* Bit 1, VIRTIO_RPMSG_F_BUFSZ of Linux 7.4, is neither offered nor accepted: buffers
 * have RPMSG_BUFFER_SIZE. The rings may have different sizes. */

/* virtqueues, in virtio_rpmsg_bus's words */
#define RPMSG_VQ_RX 0 /* device -> driver */
#define RPMSG_VQ_TX 1 /* driver -> device */
#define RPMSG_VQ_COUNT 2

#define RPMSG_ADDR_ANY      0xffffffffu
#define RPMSG_NS_ADDR       53u
#define RPMSG_ADDR_DYNAMIC  1024u /* the first that is handed out */
#define RPMSG_NAME_SIZE     32
#define RPMSG_BUFFER_SIZE   512
#define RPMSG_HEADER_SIZE   16
#define RPMSG_PAYLOAD_MAX   (RPMSG_BUFFER_SIZE - RPMSG_HEADER_SIZE)

struct rpmsg_header {
	rpmsg_gpio_le32 src;
	rpmsg_gpio_le32 dst;
	rpmsg_gpio_le32 reserved;
	rpmsg_gpio_le16 len; /* of the payload */
	rpmsg_gpio_le16 flags;
};

#define RPMSG_NS_DESTROY 1u /* flag; clear: create */

struct rpmsg_ns_msg {
	uint8_t name[RPMSG_NAME_SIZE]; /* NUL terminated */
	rpmsg_gpio_le32 addr;
	rpmsg_gpio_le32 flags;
};

/* Whether `size` bytes of a buffer hold the header and all of the payload that it names. */
static inline bool rpmsg_payload_fits(const struct rpmsg_header *header, size_t size)
{
	return size >= RPMSG_HEADER_SIZE &&
	       rpmsg_gpio_load16(header->len) <= size - RPMSG_HEADER_SIZE;
}

static inline struct rpmsg_header rpmsg_header_make(uint32_t src, uint32_t dst,
						    uint16_t len)
{
	struct rpmsg_header header = {
		.src = rpmsg_gpio_store32(src),
		.dst = rpmsg_gpio_store32(dst),
		.len = rpmsg_gpio_store16(len),
	};
	return header;
}

#endif
