/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio.h - virtio-gpio messages on an rpmsg endpoint, byte for byte.
 *
 * The one definition of every struct and constant of docs/protocol.md. The
 * firmware core and the Linux-side shim both include it. Messages are made of
 * little-endian byte arrays, so no struct here has padding or an alignment
 * above one, on any ABI and either byte order.
 *
 * Sources: virtio 1.3 section 5.18 (types, directions, irq types, status);
 * the gpio-rpmsg driver in review (the queue byte); ours (0x8000 and up).
 */
#ifndef RPMSG_GPIO_H
#define RPMSG_GPIO_H

#include <stddef.h>
#include <stdint.h>

typedef struct { uint8_t b[2]; } rpmsg_gpio_le16;
typedef struct { uint8_t b[4]; } rpmsg_gpio_le32;
typedef struct { rpmsg_gpio_le32 low, high; } rpmsg_gpio_le64;

static inline uint16_t rpmsg_gpio_load16(rpmsg_gpio_le16 v)
{
	/* unsigned: an int of 16 bits cannot hold 0x80 << 8 */
	return (uint16_t)(v.b[0] | (unsigned int)v.b[1] << 8);
}

static inline uint32_t rpmsg_gpio_load32(rpmsg_gpio_le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 |
	       (uint32_t)v.b[2] << 16 | (uint32_t)v.b[3] << 24;
}

static inline rpmsg_gpio_le16 rpmsg_gpio_store16(uint16_t v)
{
	rpmsg_gpio_le16 le = {{(uint8_t)v, (uint8_t)(v >> 8)}};
	return le;
}

static inline rpmsg_gpio_le32 rpmsg_gpio_store32(uint32_t v)
{
	rpmsg_gpio_le32 le = {{(uint8_t)v, (uint8_t)(v >> 8),
			       (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
	return le;
}

static inline uint64_t rpmsg_gpio_load64(rpmsg_gpio_le64 v)
{
	return rpmsg_gpio_load32(v.low) | (uint64_t)rpmsg_gpio_load32(v.high) << 32;
}

static inline rpmsg_gpio_le64 rpmsg_gpio_store64(uint64_t v)
{
	rpmsg_gpio_le64 le;

	le.low = rpmsg_gpio_store32((uint32_t)v);
	le.high = rpmsg_gpio_store32((uint32_t)(v >> 32));
	return le;
}

/* Check of a body: XOR of its bytes in four columns, little-endian; never 0, since 0 says that
 * there is none. It finds any damage to one byte. */
static inline uint32_t rpmsg_gpio_check32(const void *body, size_t length)
{
	uint32_t check = 0;
	size_t i;

	for (i = 0; i < length; i++)
		check ^= (uint32_t)((const uint8_t *)body)[i] << (i % 4 * 8);
	return check ? check : 0x55;
}

/* The same in one column, which is what a reply has room for. */
static inline uint8_t rpmsg_gpio_check8(const void *body, size_t length)
{
	uint8_t check = 0;
	size_t i;

	for (i = 0; i < length; i++)
		check = (uint8_t)(check ^ ((const uint8_t *)body)[i]);
	return check ? check : 0x55;
}

/* ---- virtio-gpio (virtio 1.3, 5.18.6) ---------------------------------- */

#define VIRTIO_GPIO_MSG_GET_LINE_NAMES 0x0001
#define VIRTIO_GPIO_MSG_GET_DIRECTION  0x0002
#define VIRTIO_GPIO_MSG_SET_DIRECTION  0x0003
#define VIRTIO_GPIO_MSG_GET_VALUE      0x0004
#define VIRTIO_GPIO_MSG_SET_VALUE      0x0005
#define VIRTIO_GPIO_MSG_SET_IRQ_TYPE   0x0006

#define VIRTIO_GPIO_STATUS_OK  0x0
#define VIRTIO_GPIO_STATUS_ERR 0x1

#define VIRTIO_GPIO_DIRECTION_NONE 0x00
#define VIRTIO_GPIO_DIRECTION_OUT  0x01
#define VIRTIO_GPIO_DIRECTION_IN   0x02

#define VIRTIO_GPIO_IRQ_TYPE_NONE         0x00
#define VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING  0x01
#define VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING 0x02
#define VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH    0x03
#define VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH   0x04
#define VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW    0x08

/* Virtio itself, without rpmsg: its feature, and how a buffer of the eventq comes back. */
#define VIRTIO_GPIO_F_IRQ 0 /* feature bit */
#define VIRTIO_GPIO_EVENT_INVALID 0x0
#define VIRTIO_GPIO_EVENT_VALID   0x1

struct virtio_gpio_request {
	rpmsg_gpio_le16 type;
	rpmsg_gpio_le16 gpio;
	rpmsg_gpio_le32 value;
};

struct virtio_gpio_config {
	rpmsg_gpio_le16 ngpio;
	uint8_t padding[2];
	rpmsg_gpio_le32 gpio_names_size;
};

/* ---- rpmsg framing: the first byte of every device -> driver message ----- */

#define RPMSG_GPIO_QUEUE_REQUEST 0 /* answers a request */
#define RPMSG_GPIO_QUEUE_EVENT   1 /* an interrupt */

/* Largest message: an rpmsg buffer of 512 bytes less the 16-byte header. */
#define RPMSG_GPIO_MESSAGE_MAX 496

/* Channel names: one channel a controller. */
#define RPMSG_GPIO_CHANNEL_PREFIX "rpmsg-io-"
#define RPMSG_GPIO_CHANNEL_RAW    "rpmsg-raw"

/* Baseline dialect `rpmsg-gpio`, as the driver in review documents it: 3 bytes. */
struct rpmsg_gpio_reply {
	uint8_t queue;
	uint8_t status;
	uint8_t value;
};

struct rpmsg_gpio_irq {
	uint8_t queue;
	rpmsg_gpio_le16 gpio;
};

/* `rpmsg-gpio-padded`, as that driver is compiled, and the default: 4 bytes. */
struct rpmsg_gpio_padded_reply {
	uint8_t queue;
	uint8_t padding;
	uint8_t status;
	uint8_t value;
};

struct rpmsg_gpio_padded_irq {
	uint8_t queue;
	uint8_t padding;
	rpmsg_gpio_le16 gpio;
};

/* ---- extensions: off the wire until accepted ---------------------------- */

/* Types at or above this are ours; firmware of the baseline answers them with ERR. */
#define RPMSG_GPIO_MSG_PRIVATE 0x8000

#define RPMSG_GPIO_MSG_GET_FEATURES 0x8000 /* 8-byte form always */
#define RPMSG_GPIO_MSG_SET_FEATURES 0x8001 /* 8-byte form always */
#define RPMSG_GPIO_MSG_GET_CONFIG   0x8002 /* CONFIG */
#define RPMSG_GPIO_MSG_GET_EPOCH    0x8003 /* EPOCH */
#define RPMSG_GPIO_MSG_GRANT_CREDITS   0x8010 /* CREDITS */
#define RPMSG_GPIO_MSG_GET_TIME        0x8020 /* TIMESTAMP */
#define RPMSG_GPIO_MSG_GET_VALUES      0x8030 /* BULK */
#define RPMSG_GPIO_MSG_SET_VALUES      0x8031 /* BULK */
#define RPMSG_GPIO_MSG_GET_LINE_CAPS   0x8040 /* LINE_CONFIG */
#define RPMSG_GPIO_MSG_SET_LINE_CONFIG 0x8041 /* LINE_CONFIG */
#define RPMSG_GPIO_MSG_GET_COUNTERS    0x8050 /* COUNTERS */

#define RPMSG_GPIO_F_CONFIG      (1u << 0)
#define RPMSG_GPIO_F_NAMES       (1u << 1)
#define RPMSG_GPIO_F_TAG         (1u << 2)
#define RPMSG_GPIO_F_EPOCH       (1u << 3)
#define RPMSG_GPIO_F_CREDITS     (1u << 4)
#define RPMSG_GPIO_F_TIMESTAMP   (1u << 5)
#define RPMSG_GPIO_F_BULK        (1u << 6)
#define RPMSG_GPIO_F_LINE_CONFIG (1u << 7)
#define RPMSG_GPIO_F_COUNTERS    (1u << 8)

/*
 * Extended form, 12 bytes and an optional body: the baseline request and a
 * tag. The form of a reply follows the form of its request.
 */
struct rpmsg_gpio_ext_request {
	struct virtio_gpio_request request;
	rpmsg_gpio_le16 tag;
	rpmsg_gpio_le16 reserved;
};

/* 8 bytes and an optional body; also the reply to GET_FEATURES when OK. */
struct rpmsg_gpio_ext_reply {
	uint8_t queue;
	uint8_t padding;
	uint8_t status;
	uint8_t value;
	rpmsg_gpio_le16 tag;
	rpmsg_gpio_le16 epoch; /* low half of the boot id with EPOCH, else 0 */
};

/* Body of the GET_FEATURES reply; epoch is 0 where EPOCH is not offered. */
struct rpmsg_gpio_features {
	rpmsg_gpio_le32 features;
	rpmsg_gpio_le32 epoch;
};

#define RPMSG_GPIO_LABEL_SIZE 32

/* Body of the GET_CONFIG reply: virtio's config space and a label. */
struct rpmsg_gpio_config_body {
	struct virtio_gpio_config config;
	uint8_t label[RPMSG_GPIO_LABEL_SIZE]; /* NUL padded, 7-bit ASCII */
};

/* Body of the GET_EPOCH reply. */
struct rpmsg_gpio_epoch_body {
	rpmsg_gpio_le32 epoch;
};

/*
 * Extended event, with CREDITS or TIMESTAMP accepted: a message carries one
 * record or several. `sequence` counts the edges of the line at their source
 * since its irq type left NONE, sent or not.
 */
struct rpmsg_gpio_event {
	uint8_t queue;
	uint8_t flags; /* RPMSG_GPIO_EVENT_* */
	rpmsg_gpio_le16 gpio;
	rpmsg_gpio_le32 sequence;
};

/* With TIMESTAMP accepted. */
struct rpmsg_gpio_timed_event {
	struct rpmsg_gpio_event event;
	rpmsg_gpio_le64 timestamp; /* ns of the device's clock */
};

#define RPMSG_GPIO_EVENT_HIGH (1u << 0) /* the level after the edge */
#define RPMSG_GPIO_EVENT_LATE (1u << 1) /* timestamp: when the edge was noticed */

/* Body of the GRANT_CREDITS reply: the two counters of the line. */
struct rpmsg_gpio_credits_body {
	rpmsg_gpio_le32 granted;
	rpmsg_gpio_le32 sent;
};

/* Body of the GET_TIME reply: ns of the device's clock. */
struct rpmsg_gpio_time_body {
	rpmsg_gpio_le64 time;
};

/* BULK: a window of 64 lines, bit n is line `gpio` + n. */
#define RPMSG_GPIO_BULK_LINES 64

/* Body of GET_VALUES; its reply has `bits` alone. */
struct rpmsg_gpio_mask_body {
	rpmsg_gpio_le64 mask;
};

struct rpmsg_gpio_bits_body {
	rpmsg_gpio_le64 bits;
};

/* Body of SET_VALUES. */
struct rpmsg_gpio_values_body {
	rpmsg_gpio_le64 mask;
	rpmsg_gpio_le64 bits;
};

/* LINE_CONFIG: what a pin can do, and all but DEBOUNCE: what it shall do. */
#define RPMSG_GPIO_LINE_PULL_UP      (1u << 0)
#define RPMSG_GPIO_LINE_PULL_DOWN    (1u << 1)
#define RPMSG_GPIO_LINE_BIAS_DISABLE (1u << 2)
#define RPMSG_GPIO_LINE_OPEN_DRAIN   (1u << 3)
#define RPMSG_GPIO_LINE_OPEN_SOURCE  (1u << 4)
#define RPMSG_GPIO_LINE_DEBOUNCE     (1u << 5)

#define RPMSG_GPIO_LINE_BIAS \
	(RPMSG_GPIO_LINE_PULL_UP | RPMSG_GPIO_LINE_PULL_DOWN | RPMSG_GPIO_LINE_BIAS_DISABLE)
#define RPMSG_GPIO_LINE_DRIVE (RPMSG_GPIO_LINE_OPEN_DRAIN | RPMSG_GPIO_LINE_OPEN_SOURCE)

/* Body of the GET_LINE_CAPS reply. */
struct rpmsg_gpio_caps_body {
	rpmsg_gpio_le32 caps;
	rpmsg_gpio_le32 max_debounce_us;
};

/* Body of SET_LINE_CONFIG. */
struct rpmsg_gpio_line_config_body {
	rpmsg_gpio_le32 flags;
	rpmsg_gpio_le32 debounce_us; /* 0: off */
};

/* Body of the GET_COUNTERS reply: since the firmware started, modulo 2^32. */
struct rpmsg_gpio_counters_body {
	rpmsg_gpio_le32 requests; /* handled, this one included */
	rpmsg_gpio_le32 refused;  /* of these, answered with ERR */
	rpmsg_gpio_le32 sent;     /* messages to the driver, replies and events */
	rpmsg_gpio_le32 starved;  /* times that one found no transmit buffer */
	rpmsg_gpio_le32 overruns; /* edges that found no room on their way, and have no event */
	/* Only where the firmware can check itself: 0 when it has not, else 1 + faults found. */
	rpmsg_gpio_le32 self_test;
};

/* Names come in pieces of at most this many bytes (request value = offset);
 * a shorter piece, zero included, is the last. */
#define RPMSG_GPIO_NAMES_PIECE \
	(RPMSG_GPIO_MESSAGE_MAX - sizeof(struct rpmsg_gpio_ext_reply))

#endif
