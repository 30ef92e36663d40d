/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_gpio_remote.c - the core as a virtio-gpio device: see virtio_gpio_remote.h. */
#include "virtio_gpio_remote.h"

#include <string.h>

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

/* The two buffers of a chain: what the driver says, and where the answer goes. NULL: the rings
 * are broken. */
static uint8_t *chain(struct virtio_gpio_remote *remote, unsigned int queue, uint16_t head,
		      void *said, uint32_t length, uint32_t *room)
{
	const uint8_t *from;
	uint8_t *to = NULL;
	uint16_t next = 0;
	uint32_t size;

	from = remote_rings_buffer(&remote->rings, queue, head, VRING_DESC_F_NEXT, &size, &next);
	if (from)
		to = remote_rings_buffer(&remote->rings, queue, next, VRING_DESC_F_WRITE, room, NULL);
	if (!to || size < length || !*room) {
		remote->rings.broken = true;
		return NULL;
	}
	REMOTE_RINGS_INVALIDATE(from, length);
	memcpy(said, from, length);
	return to;
}

/* ---- the eventq ------------------------------------------------------------------------- */

static void answer_event(struct virtio_gpio_remote *remote, uint16_t head, uint8_t status)
{
	rpmsg_gpio_le16 gpio;
	uint32_t room;
	uint8_t *to;

	if (remote->rings.broken)
		return;
	to = chain(remote, VIRTIO_GPIO_VQ_EVENT, head, &gpio, sizeof(gpio), &room);
	if (!to)
		return;
	*to = status;
	REMOTE_RINGS_CLEAN(to, 1);
	remote_ring_give_back(&remote->rings.rings[VIRTIO_GPIO_VQ_EVENT], head, 1);
}

static void give_back(struct virtio_gpio_remote *remote, struct virtio_gpio_remote_line *line,
		      uint8_t status)
{
	line->queued = false;
	answer_event(remote, line->head, status);
}

/* Of the core, which masks the line now. */
static void interrupt(struct virtio_gpio_remote *remote, struct virtio_gpio_remote_line *line)
{
	line->masked = true;
	if (line->queued)
		give_back(remote, line, VIRTIO_GPIO_EVENT_VALID);
	else
		line->due = true;
}

/* Replies and events of the core: there is always room. */
static bool send(void *context, const void *message, size_t length)
{
	struct virtio_gpio_remote *remote = context;
	struct rpmsg_gpio_padded_reply reply;
	struct rpmsg_gpio_padded_irq event;

	(void)length;
	memcpy(&reply, message, sizeof(reply));
	memcpy(&event, message, sizeof(event));
	if (reply.queue == RPMSG_GPIO_QUEUE_EVENT) {
		interrupt(remote, &remote->lines[rpmsg_gpio_load16(event.gpio)]);
	} else {
		remote->status = reply.status;
		remote->value = reply.value;
	}
	return true;
}

const struct rpmsg_gpio_channel virtio_gpio_remote_channel = {.send = send};

/* True when the core says OK. */
static bool ask(struct virtio_gpio_remote *remote, const struct virtio_gpio_request *request)
{
	(void)rpmsg_gpio_device_receive(remote->device, request, sizeof(*request));
	return remote->status == VIRTIO_GPIO_STATUS_OK;
}

static void set_irq_type(struct virtio_gpio_remote *remote, uint16_t gpio, uint8_t type)
{
	const struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(VIRTIO_GPIO_MSG_SET_IRQ_TYPE),
		.gpio = rpmsg_gpio_store16(gpio),
		.value = rpmsg_gpio_store32(type),
	};

	(void)ask(remote, &request);
}

/* A buffer is there: an edge that waited goes at once. A level is looked at again, since
 * what was active when nobody asked may have ended. */
static void arm(struct virtio_gpio_remote *remote, uint16_t gpio)
{
	struct virtio_gpio_remote_line *line = &remote->lines[gpio];
	bool due = line->due && !is_level(line->irq_type);

	line->due = false;
	if (due) {
		give_back(remote, line, VIRTIO_GPIO_EVENT_VALID);
	} else if (line->masked) {
		line->masked = false;
		set_irq_type(remote, gpio, line->irq_type);
	}
}

/* A driver ignores that a type was refused: its buffer stays here, as one for a line without
 * an interrupt does. */
static void take_buffer(struct virtio_gpio_remote *remote)
{
	struct remote_ring *ring = &remote->rings.rings[VIRTIO_GPIO_VQ_EVENT];
	struct virtio_gpio_remote_line *line;
	rpmsg_gpio_le16 said;
	uint32_t room;
	uint16_t gpio;

	if (!chain(remote, VIRTIO_GPIO_VQ_EVENT, ring->head, &said, sizeof(said), &room))
		return;
	remote_ring_take(ring);
	gpio = rpmsg_gpio_load16(said);
	if (gpio >= remote->device->config->ngpio || remote->lines[gpio].queued) {
		answer_event(remote, ring->head, VIRTIO_GPIO_EVENT_INVALID);
		return;
	}
	line = &remote->lines[gpio];
	line->head = ring->head;
	line->queued = true;
	arm(remote, gpio);
}

/* ---- the requestq ------------------------------------------------------------------------- */

/* The line has no interrupt now, or another one. */
static void irq_type_set(struct virtio_gpio_remote *remote, struct virtio_gpio_remote_line *line,
			 uint8_t type)
{
	if (line->irq_type != type)
		line->due = false;
	line->irq_type = type;
	line->masked = false;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE && line->queued)
		give_back(remote, line, VIRTIO_GPIO_EVENT_INVALID);
}

/* Of virtio's own, all but the names are the core's. */
static void execute(struct virtio_gpio_remote *remote, const struct virtio_gpio_request *request)
{
	uint16_t type = rpmsg_gpio_load16(request->type), gpio = rpmsg_gpio_load16(request->gpio);
	uint32_t value = rpmsg_gpio_load32(request->value);

	remote->status = VIRTIO_GPIO_STATUS_ERR;
	remote->value = 0;
	if (type < VIRTIO_GPIO_MSG_GET_DIRECTION || type > VIRTIO_GPIO_MSG_SET_IRQ_TYPE ||
	    !ask(remote, request))
		return;
	if (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		irq_type_set(remote, &remote->lines[gpio], (uint8_t)value);
	else if (type == VIRTIO_GPIO_MSG_SET_DIRECTION && value == VIRTIO_GPIO_DIRECTION_NONE)
		irq_type_set(remote, &remote->lines[gpio], VIRTIO_GPIO_IRQ_TYPE_NONE);
}

/* Returns the bytes of the answer. */
static uint32_t answer_names(const struct virtio_gpio_remote *remote, uint8_t *to, uint32_t room)
{
	const struct rpmsg_gpio_device_config *config = remote->device->config;
	bool fits = config->names_size && room > config->names_size;

	to[0] = fits ? VIRTIO_GPIO_STATUS_OK : VIRTIO_GPIO_STATUS_ERR;
	if (!fits)
		return 1;
	memcpy(to + 1, config->names, config->names_size);
	return 1 + config->names_size;
}

static uint32_t answer(struct virtio_gpio_remote *remote,
		       const struct virtio_gpio_request *request, uint8_t *to, uint32_t room)
{
	if (rpmsg_gpio_load16(request->type) == VIRTIO_GPIO_MSG_GET_LINE_NAMES)
		return answer_names(remote, to, room);
	execute(remote, request);
	to[0] = remote->status;
	if (room < 2)
		return 1;
	to[1] = remote->value;
	return 2;
}

static void take_request(struct virtio_gpio_remote *remote)
{
	struct remote_ring *ring = &remote->rings.rings[VIRTIO_GPIO_VQ_REQUEST];
	struct virtio_gpio_request request;
	uint32_t room, length;
	uint8_t *to = chain(remote, VIRTIO_GPIO_VQ_REQUEST, ring->head, &request, sizeof(request),
			    &room);

	if (!to)
		return;
	remote_ring_take(ring);
	length = answer(remote, &request, to, room);
	REMOTE_RINGS_CLEAN(to, length);
	remote_ring_give_back(ring, ring->head, length);
}

/* ---- a driver's life --------------------------------------------------------------------- */

bool virtio_gpio_remote_start(struct virtio_gpio_remote *remote)
{
	uint16_t ngpio = remote->device->config->ngpio, gpio;

	memset(remote->lines, 0, ngpio * sizeof(remote->lines[0]));
	for (gpio = 0; gpio < ngpio; gpio++)
		set_irq_type(remote, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
	return remote_rings_start(&remote->rings);
}

void virtio_gpio_remote_stop(struct virtio_gpio_remote *remote)
{
	remote->rings.broken = true;
}

void virtio_gpio_remote_run(struct virtio_gpio_remote *remote)
{
	while (remote_rings_next(&remote->rings, VIRTIO_GPIO_VQ_REQUEST))
		take_request(remote);
	while (remote_rings_next(&remote->rings, VIRTIO_GPIO_VQ_EVENT))
		take_buffer(remote);
	(void)rpmsg_gpio_device_run(remote->device);
}
