/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front-end and the driver side of its rings: what firmware answers in the
 * handshake, and what it writes into the shared memory at any time.
 */
#include <stdlib.h>

#include "pump_bed.h"
#include "pump/vhost_user_link.h"
#include "rpmsg.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define NUM 256u /* descriptors of each ring, as the link makes them */

static struct bed bed;
static int connection, calls[RPMSG_VQ_COUNT];
static uint64_t features, protocol_features;
static bool honest;
static uint16_t used_idx[RPMSG_VQ_COUNT], avail_seen[RPMSG_VQ_COUNT];

/* ---- the handshake ------------------------------------------------------------------ */

static void answer(uint32_t request, uint64_t value)
{
	struct {
		struct vhost_user_header header;
		uint64_t value;
	} __attribute__((packed)) message = {
		{request, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof(value)}, value,
	};

	kernel_feed(connection, &message, sizeof(message));
}

static void written(int fd, const void *bytes, size_t length)
{
	struct vhost_user_header header;

	connection = fd;
	if (length < sizeof(header))
		return;
	memcpy(&header, bytes, sizeof(header));
	if (!honest)
		return; /* polled() says something */
	if (header.request == VHOST_USER_GET_FEATURES)
		answer(header.request, features);
	else if (header.request == VHOST_USER_GET_PROTOCOL_FEATURES)
		answer(header.request, protocol_features);
	else if (header.request == VHOST_USER_GET_QUEUE_NUM)
		answer(header.request, 2);
	else if (header.flags & VHOST_USER_NEED_REPLY)
		answer(header.request, 0);
}

static int accepted(void)
{
	return 0;
}

static void polled(int fd)
{
	uint8_t kind = take_u8(&bed.input);
	int fds[4];
	const uint8_t *bytes;
	size_t length;

	connection = fd;
	if (take_end(&bed.input))
		return;
	switch (kind & 3) {
	case 0:
		for (int i = 0; i < kind >> 6; i++)
			fds[i] = kernel_open(KERNEL_EVENTFD);
		kernel_feed_fds(fd, fds, kind >> 6);
		length = take_bytes(&bed.input, &bytes, 400);
		kernel_feed(fd, bytes, length);
		break;
	case 1:
	case 2:
		answer(kind >> 2, kind & 1 ? ~UINT64_C(0) : 2);
		break;
	default:
		if (kind == 0xff)
			kernel_hang_up(fd);
		break;
	}
}

/* ---- the rings ------------------------------------------------------------------------ */

static size_t lines_of(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static uint8_t *ring(int index)
{
	return kernel_memory + (size_t)index * split_driver_size(NUM);
}

static struct split_ring_avail *avail(int index)
{
	return (void *)(ring(index) + lines_of(split_ring_desc_size(NUM)));
}

static struct split_ring_used *used(int index)
{
	return (void *)(ring(index) + lines_of(split_ring_desc_size(NUM)) +
			lines_of(split_ring_avail_size(NUM)));
}

static void call(int index)
{
	kernel_signal(calls[index]);
}

static void use(int index, uint32_t id, uint32_t length)
{
	struct split_ring_used *u = used(index);

	u->ring[used_idx[index] % NUM].id = id;
	u->ring[used_idx[index] % NUM].len = length;
	u->idx = ++used_idx[index];
}

/* A message in the next buffer, as a device sends it. */
static void send_message(uint8_t kind)
{
	struct split_ring_avail *a = avail(RPMSG_VQ_RX);
	uint16_t id = a->ring[avail_seen[RPMSG_VQ_RX] % NUM] % NUM;
	uint8_t *buffer = kernel_memory + 2 * split_driver_size(NUM) + id * RPMSG_BUFFER_SIZE;
	const uint8_t *bytes;
	size_t length = take_bytes(&bed.input, &bytes, RPMSG_PAYLOAD_MAX);
	struct rpmsg_header header = rpmsg_header_make(
		BED_ADDRESS, kind & 8 ? RPMSG_NS_ADDR : BED_SOURCE,
		(uint16_t)(kind & 16 ? take_u16(&bed.input) : length));

	memcpy(buffer, &header, sizeof(header));
	if (length)
		memcpy(buffer + sizeof(header), bytes, length);
	avail_seen[RPMSG_VQ_RX]++;
	use(RPMSG_VQ_RX, id, kind & 32 ? take_u16(&bed.input)
				       : (uint32_t)(sizeof(header) + length));
	call(RPMSG_VQ_RX);
}

/* Free what was sent. */
static void consume(void)
{
	struct split_ring_avail *a = avail(RPMSG_VQ_TX);

	while (avail_seen[RPMSG_VQ_TX] != a->idx)
		use(RPMSG_VQ_TX, a->ring[avail_seen[RPMSG_VQ_TX]++ % NUM], 0);
	call(RPMSG_VQ_TX);
}

static void scribble(void)
{
	size_t at = take_u16(&bed.input), rings = 2 * split_driver_size(NUM);
	const uint8_t *bytes;
	size_t length = take_bytes(&bed.input, &bytes, 64);

	at %= rings;
	length = length < rings - at ? length : rings - at;
	if (length)
		memcpy(kernel_memory + at, bytes, length);
}

static void firmware_step(uint8_t kind)
{
	uint16_t index = kind >> 3 & 1;
	const uint8_t *bytes;
	size_t length;

	switch (kind & 7) {
	case 0:
	case 1:
	case 2:
		send_message(kind);
		break;
	case 3:
		consume();
		break;
	case 4:
		use(index, take_u16(&bed.input), take_u32(&bed.input));
		call(index);
		break;
	case 5:
		scribble();
		break;
	case 6:
		used(index)->flags = kind >> 4 & 1;
		call(index);
		break;
	default:
		length = take_bytes(&bed.input, &bytes, 64);
		if (kind & 8)
			kernel_feed(connection, bytes, length);
		if (kind == 0xff)
			kernel_hang_up(connection);
		break;
	}
}

static void step(void *context)
{
	(void)context;
	bed_turn(&bed, firmware_step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_link *link;
	char why[300] = "";
	uint8_t kind;

	kernel_reset();
	bed_open(&bed, data, size);
	kind = take_u8(&bed.input);
	honest = kind & 1;
	features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) | VHOST_USER_BIT(VIRTIO_RPMSG_F_NS) |
		   (kind & 2 ? VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) : 0);
	protocol_features = kind & 4 ? VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
				       VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) : 0;
	memset(used_idx, 0, sizeof(used_idx));
	memset(avail_seen, 0, sizeof(avail_seen));
	kernel_written = written;
	kernel_accepted = accepted;
	kernel_polled = polled;
	link = gb_vhost_user_connect("/run/fw.sock", 1000, why, sizeof(why));
	if (link) {
		connection = link->fds[0];
		calls[RPMSG_VQ_RX] = link->fds[1];
		calls[RPMSG_VQ_TX] = link->fds[2];
		bed_attach(&bed, link, kind & 8 ? RPMSG_GPIO_FEATURES : 0);
		bed_begin_request(&bed, 0, kind >> 4);
		kernel_run(step, NULL);
	} else if (!why[0]) {
		kernel_broken("no sentence says why there is no link");
	}
	bed_close(&bed);
	return 0;
}
