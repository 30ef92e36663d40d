/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_device.c - the virtio-gpio device as a state machine.
 *
 * The rules are those of docs/protocol.md, and for the lines of virtio 1.3
 * section 5.18. An event is sent from the state of its line and the one
 * reply is kept in the device, so nothing here needs a free transmit buffer.
 */
#include <string.h>

#include "rpmsg_gpio_device.h"

/* struct rpmsg_gpio_line.flags */
#define LINE_VALUE   0x01u /* the driver has set a value since direction NONE */
#define LINE_DUE     0x02u /* fired while armed: an event waits to be sent */
#define LINE_MASKED  0x04u /* the event was sent: waits for the re-arm */
#define LINE_LATCHED 0x08u /* an edge came in while the line was due or masked */
#define LINE_IRQ     (LINE_DUE | LINE_MASKED | LINE_LATCHED)

#define FEATURES_IMPLEMENTED \
	(RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | RPMSG_GPIO_F_TAG | \
	 RPMSG_GPIO_F_EPOCH)

#define BASELINE_LENGTH sizeof(struct virtio_gpio_request)
#define EXTENDED_LENGTH sizeof(struct rpmsg_gpio_ext_request)

/* A message from the driver, decoded; and how it will be answered. */
struct request {
	size_t length;
	uint16_t type;
	uint16_t gpio;
	uint32_t value;
	uint16_t tag;
	bool extended; /* the reply has the extended form */
};

/* What a reply carries beside the status; the body is in place already. */
struct result {
	uint8_t value;
	uint16_t body_length;
};

/* ---- lines and interrupts ------------------------------------------------ */

static void set_flags(struct rpmsg_gpio_line *line, unsigned int flags)
{
	line->flags = (uint8_t)(line->flags | flags);
}

static void clear_flags(struct rpmsg_gpio_line *line, unsigned int flags)
{
	line->flags = (uint8_t)(line->flags & ~flags);
}

static bool is_level(uint8_t type)
{
	return type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool is_irq_type(uint32_t type)
{
	return type <= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

/*
 * Take what the interrupt stored into the state of the line. Cleared first: an
 * interrupt before that is part of this firing, one after it is the next.
 */
static void take_fired(struct rpmsg_gpio_line *line)
{
	if (!line->fired)
		return;
	line->fired = 0;
	RPMSG_GPIO_BARRIER();
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return;
	if (!(line->flags & (LINE_DUE | LINE_MASKED)))
		set_flags(line, LINE_DUE);
	else if (!is_level(line->irq_type))
		set_flags(line, LINE_LATCHED);
}

static bool port_irq_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint8_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->set_irq_type(config->port_context, gpio, type);
}

/* Stop and forget. */
static void disable_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (line->irq_type != VIRTIO_GPIO_IRQ_TYPE_NONE)
		(void)port_irq_type(device, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
	line->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE;
	clear_flags(line, LINE_IRQ);
}

static bool enable_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	/* An interrupt on its way when the line was disabled is no event now. */
	line->fired = 0;
	if (!port_irq_type(device, gpio, type))
		return false;
	line->irq_type = type;
	return true;
}

/* The same type again: unmask. A latched edge is due at once. */
static bool rearm_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	/* What fired under the mask must not count as fired after it. */
	take_fired(line);
	if (device->config->strict && !(line->flags & LINE_MASKED))
		return false;
	if (!port_irq_type(device, gpio, line->irq_type))
		return false;
	if (!(line->flags & LINE_MASKED))
		return true;
	if (line->flags & LINE_LATCHED)
		set_flags(line, LINE_DUE);
	clear_flags(line, LINE_MASKED | LINE_LATCHED);
	device->pending = 1;
	return true;
}

/*
 * Another type without NONE in between: the same as with NONE in between. A
 * port that refuses the new type gets the old one back, as if never asked.
 */
static bool change_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	uint8_t old_type = line->irq_type;
	unsigned int old_flags;

	if (device->config->strict)
		return false;
	take_fired(line);
	old_flags = line->flags & LINE_IRQ;
	disable_irq(device, gpio);
	if (enable_irq(device, gpio, type))
		return true;
	if (enable_irq(device, gpio, old_type)) {
		set_flags(line, old_flags);
		device->pending = 1;
	}
	return false;
}

static bool set_irq_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			 uint32_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	const struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (!is_irq_type(type))
		return false;
	if (config->strict && line->direction == VIRTIO_GPIO_DIRECTION_OUT)
		return false;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		disable_irq(device, gpio);
		return true;
	}
	if (config->strict && line->direction != VIRTIO_GPIO_DIRECTION_IN)
		return false;
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return enable_irq(device, gpio, (uint8_t)type);
	if (line->irq_type == type)
		return rearm_irq(device, gpio);
	return change_irq(device, gpio, (uint8_t)type);
}

/* ---- direction and value ------------------------------------------------- */

static bool port_direction(struct rpmsg_gpio_device *device, uint16_t gpio,
			   uint8_t direction, uint8_t value)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->set_direction(config->port_context, gpio,
					   direction, value);
}

/* Direction NONE: nothing of the line survives. */
static bool release_line(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (!port_direction(device, gpio, VIRTIO_GPIO_DIRECTION_NONE, 0))
		return false;
	disable_irq(device, gpio);
	line->direction = VIRTIO_GPIO_DIRECTION_NONE;
	line->value = 0;
	line->flags = 0;
	return true;
}

static bool set_direction(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint32_t direction)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (direction > VIRTIO_GPIO_DIRECTION_IN)
		return false;
	if (direction == VIRTIO_GPIO_DIRECTION_NONE)
		return release_line(device, gpio);
	if (config->strict && direction == VIRTIO_GPIO_DIRECTION_OUT &&
	    (!(line->flags & LINE_VALUE) ||
	     line->irq_type != VIRTIO_GPIO_IRQ_TYPE_NONE))
		return false;
	if (!port_direction(device, gpio, (uint8_t)direction, line->value))
		return false;
	line->direction = (uint8_t)direction;
	return true;
}

static bool get_value(struct rpmsg_gpio_device *device, uint16_t gpio,
		      uint8_t *value)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint8_t level = 0;

	if (config->strict &&
	    config->lines[gpio].direction == VIRTIO_GPIO_DIRECTION_NONE)
		return false;
	/* The pin, not the value last set: an output may be held by another. */
	if (!config->port->get_value(config->port_context, gpio, &level))
		return false;
	*value = level != 0;
	return true;
}

/* Kept when the line is no output yet, and driven when it becomes one. */
static bool set_value(struct rpmsg_gpio_device *device, uint16_t gpio,
		      uint32_t value)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (value > 1)
		return false;
	if (line->direction == VIRTIO_GPIO_DIRECTION_OUT &&
	    !config->port->set_value(config->port_context, gpio, (uint8_t)value))
		return false;
	line->value = (uint8_t)value;
	set_flags(line, LINE_VALUE);
	return true;
}

static bool line_request(struct rpmsg_gpio_device *device,
			 const struct request *request, uint8_t *value)
{
	uint16_t gpio = request->gpio;

	if (gpio >= device->config->ngpio)
		return false;
	switch (request->type) {
	case VIRTIO_GPIO_MSG_GET_DIRECTION:
		*value = device->config->lines[gpio].direction;
		return true;
	case VIRTIO_GPIO_MSG_SET_DIRECTION:
		return set_direction(device, gpio, request->value);
	case VIRTIO_GPIO_MSG_GET_VALUE:
		return get_value(device, gpio, value);
	case VIRTIO_GPIO_MSG_SET_VALUE:
		return set_value(device, gpio, request->value);
	case VIRTIO_GPIO_MSG_SET_IRQ_TYPE:
		return set_irq_type(device, gpio, request->value);
	default:
		return false;
	}
}

/* ---- extensions ---------------------------------------------------------- */

/* Never announce what this core, or this board, does not have. */
static uint32_t offered(const struct rpmsg_gpio_device_config *config)
{
	uint32_t features = config->features & FEATURES_IMPLEMENTED;

	if (!config->names || !config->names_size)
		features &= ~(uint32_t)RPMSG_GPIO_F_NAMES;
	return features;
}

/* The feature that a message type belongs to; 0 for the baseline's types. */
static uint32_t feature_of(uint16_t type)
{
	switch (type) {
	case VIRTIO_GPIO_MSG_GET_LINE_NAMES:
		return RPMSG_GPIO_F_NAMES;
	case RPMSG_GPIO_MSG_GET_CONFIG:
		return RPMSG_GPIO_F_CONFIG;
	case RPMSG_GPIO_MSG_GET_EPOCH:
		return RPMSG_GPIO_F_EPOCH;
	default:
		return 0;
	}
}

static uint8_t *body_of(struct rpmsg_gpio_device *device)
{
	return device->reply + sizeof(struct rpmsg_gpio_ext_reply);
}

/* Also the start of a new driver: forget what was accepted, touch no line. */
static bool get_features(struct rpmsg_gpio_device *device,
			 struct request *request, struct result *result)
{
	uint32_t features = offered(device->config);
	uint32_t epoch = features & RPMSG_GPIO_F_EPOCH ? device->config->epoch : 0;
	struct rpmsg_gpio_features body;

	device->features = 0;
	body.features = rpmsg_gpio_store32(features);
	body.epoch = rpmsg_gpio_store32(epoch);
	memcpy(body_of(device), &body, sizeof(body));
	result->body_length = sizeof(body);
	request->extended = true;
	return true;
}

static bool set_features(struct rpmsg_gpio_device *device, uint32_t features)
{
	device->features = 0;
	if (features & ~offered(device->config))
		return false;
	device->features = features;
	return true;
}

static bool get_config(struct rpmsg_gpio_device *device, struct result *result)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	bool names = offered(config) & RPMSG_GPIO_F_NAMES;
	struct rpmsg_gpio_config_body body;
	size_t i;

	memset(&body, 0, sizeof(body));
	body.config.ngpio = rpmsg_gpio_store16(config->ngpio);
	body.config.gpio_names_size =
		rpmsg_gpio_store32(names ? config->names_size : 0);
	for (i = 0; config->label && i < sizeof(body.label) && config->label[i]; i++)
		body.label[i] = (uint8_t)config->label[i];
	memcpy(body_of(device), &body, sizeof(body));
	result->body_length = sizeof(body);
	return true;
}

static bool get_line_names(struct rpmsg_gpio_device *device, uint32_t offset,
			   struct result *result)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint32_t left;

	if (offset > config->names_size)
		return false;
	left = config->names_size - offset;
	if (left > RPMSG_GPIO_NAMES_PIECE)
		left = RPMSG_GPIO_NAMES_PIECE;
	memcpy(body_of(device), config->names + offset, left);
	result->body_length = (uint16_t)left;
	return true;
}

static bool get_epoch(struct rpmsg_gpio_device *device, struct result *result)
{
	struct rpmsg_gpio_epoch_body body;

	body.epoch = rpmsg_gpio_store32(device->config->epoch);
	memcpy(body_of(device), &body, sizeof(body));
	result->body_length = sizeof(body);
	return true;
}

/* ---- messages ------------------------------------------------------------ */

static void decode(const struct rpmsg_gpio_device *device, const void *message,
		   size_t length, struct request *request)
{
	struct rpmsg_gpio_ext_request wire;
	uint32_t needs;

	memset(&wire, 0, sizeof(wire));
	memcpy(&wire, message, length < sizeof(wire) ? length : sizeof(wire));
	request->length = length;
	request->type = rpmsg_gpio_load16(wire.request.type);
	request->gpio = rpmsg_gpio_load16(wire.request.gpio);
	request->value = rpmsg_gpio_load32(wire.request.value);
	needs = RPMSG_GPIO_F_TAG | feature_of(request->type);
	request->extended = length >= EXTENDED_LENGTH && device->features & needs;
	request->tag = 0;
	if (device->features & RPMSG_GPIO_F_TAG)
		request->tag = rpmsg_gpio_load16(wire.tag);
}

/* Whether the length fits the type, and the type what was accepted. */
static bool is_allowed(const struct rpmsg_gpio_device *device,
		       const struct request *request)
{
	uint32_t feature = feature_of(request->type);

	if (feature)
		return request->length == EXTENDED_LENGTH &&
		       device->features & feature;
	if (request->length == BASELINE_LENGTH)
		return true;
	return request->length == EXTENDED_LENGTH &&
	       device->features & RPMSG_GPIO_F_TAG;
}

/* The negotiation is never tagged: the form must be known before the tags. */
static bool negotiate(struct rpmsg_gpio_device *device, struct request *request,
		      struct result *result)
{
	if (request->length != BASELINE_LENGTH || !offered(device->config))
		return false;
	if (request->type == RPMSG_GPIO_MSG_GET_FEATURES)
		return get_features(device, request, result);
	return set_features(device, request->value);
}

static bool execute(struct rpmsg_gpio_device *device, struct request *request,
		    struct result *result)
{
	if (!is_allowed(device, request))
		return false;
	switch (request->type) {
	case RPMSG_GPIO_MSG_GET_FEATURES:
	case RPMSG_GPIO_MSG_SET_FEATURES:
		return negotiate(device, request, result);
	case RPMSG_GPIO_MSG_GET_CONFIG:
		return get_config(device, result);
	case RPMSG_GPIO_MSG_GET_EPOCH:
		return get_epoch(device, result);
	case VIRTIO_GPIO_MSG_GET_LINE_NAMES:
		return get_line_names(device, request->value, result);
	default:
		return line_request(device, request, &result->value);
	}
}

static bool transmit(struct rpmsg_gpio_device *device, const void *message,
		     size_t length)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->channel->send(config->channel_context, message, length);
}

/* False when a reply still waits. */
static bool flush_reply(struct rpmsg_gpio_device *device)
{
	if (!device->reply_length)
		return true;
	if (!transmit(device, device->reply, device->reply_length))
		return false;
	device->reply_length = 0;
	return true;
}

static void put_baseline(struct rpmsg_gpio_device *device, uint8_t status,
			 uint8_t value)
{
	const struct rpmsg_gpio_reply reply = {
		RPMSG_GPIO_QUEUE_REQUEST, status, value };
	const struct rpmsg_gpio_padded_reply padded = {
		RPMSG_GPIO_QUEUE_REQUEST, 0, status, value };

	if (device->config->dialect == RPMSG_GPIO_DIALECT_PADDED) {
		memcpy(device->reply, &padded, sizeof(padded));
		device->reply_length = sizeof(padded);
	} else {
		memcpy(device->reply, &reply, sizeof(reply));
		device->reply_length = sizeof(reply);
	}
}

static void put_extended(struct rpmsg_gpio_device *device, uint16_t tag,
			 uint8_t status, const struct result *result)
{
	struct rpmsg_gpio_ext_reply reply;
	uint32_t epoch = 0;

	if (device->features & RPMSG_GPIO_F_EPOCH)
		epoch = device->config->epoch;
	reply.queue = RPMSG_GPIO_QUEUE_REQUEST;
	reply.padding = 0;
	reply.status = status;
	reply.value = result->value;
	reply.tag = rpmsg_gpio_store16(tag);
	reply.epoch = rpmsg_gpio_store16((uint16_t)epoch);
	memcpy(device->reply, &reply, sizeof(reply));
	device->reply_length = (uint16_t)(sizeof(reply) + result->body_length);
}

bool rpmsg_gpio_device_receive(struct rpmsg_gpio_device *device,
			       const void *message, size_t length)
{
	struct result result = { 0, 0 };
	struct request request;
	uint8_t status;

	if (!length)
		return true;
	if (!flush_reply(device))
		return false;
	decode(device, message, length, &request);
	status = execute(device, &request, &result) ? VIRTIO_GPIO_STATUS_OK :
						      VIRTIO_GPIO_STATUS_ERR;
	/* GET_FEATURES decides its form by its success: asked here, not before. */
	if (request.extended)
		put_extended(device, request.tag, status, &result);
	else
		put_baseline(device, status, result.value);
	(void)flush_reply(device);
	return true;
}

/* ---- events -------------------------------------------------------------- */

void rpmsg_gpio_device_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	if (gpio >= device->config->ngpio)
		return;
	device->config->lines[gpio].fired = 1;
	/* The line first: who sees `pending` must find the line. */
	RPMSG_GPIO_BARRIER();
	device->pending = 1;
}

static bool send_event(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_irq irq = {
		RPMSG_GPIO_QUEUE_EVENT, rpmsg_gpio_store16(gpio) };
	const struct rpmsg_gpio_padded_irq padded = {
		RPMSG_GPIO_QUEUE_EVENT, 0, rpmsg_gpio_store16(gpio) };

	if (device->config->dialect == RPMSG_GPIO_DIALECT_PADDED)
		return transmit(device, &padded, sizeof(padded));
	return transmit(device, &irq, sizeof(irq));
}

/* False when the line's event found no transmit buffer. */
static bool run_line(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	take_fired(line);
	if (!(line->flags & LINE_DUE))
		return true;
	if (!send_event(device, gpio))
		return false;
	clear_flags(line, LINE_DUE);
	set_flags(line, LINE_MASKED);
	return true;
}

bool rpmsg_gpio_device_run(struct rpmsg_gpio_device *device)
{
	uint16_t ngpio = device->config->ngpio;
	uint16_t n;

	if (!flush_reply(device))
		return false;
	if (!device->pending)
		return true;
	/* Cleared before the lines are read: an interrupt behind the scan is
	 * found by the next call. */
	device->pending = 0;
	RPMSG_GPIO_BARRIER();
	for (n = 0; n < ngpio; n++) {
		if (!run_line(device, device->scan)) {
			device->pending = 1;
			return false;
		}
		/* Goes on where it stopped, so no line starves the others. */
		device->scan = (uint16_t)(device->scan + 1 < ngpio ?
					  device->scan + 1 : 0);
	}
	return true;
}

bool rpmsg_gpio_device_armed(const struct rpmsg_gpio_device *device,
			     uint16_t gpio)
{
	const struct rpmsg_gpio_line *line;

	if (gpio >= device->config->ngpio)
		return false;
	line = &device->config->lines[gpio];
	return line->irq_type != VIRTIO_GPIO_IRQ_TYPE_NONE &&
	       !(line->flags & LINE_IRQ) && !line->fired;
}

void rpmsg_gpio_device_init(struct rpmsg_gpio_device *device,
			    const struct rpmsg_gpio_device_config *config)
{
	uint16_t gpio;

	memset(device, 0, sizeof(*device));
	device->config = config;
	for (gpio = 0; gpio < config->ngpio; gpio++) {
		struct rpmsg_gpio_line *line = &config->lines[gpio];

		line->direction = VIRTIO_GPIO_DIRECTION_NONE;
		line->value = 0;
		line->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE;
		line->flags = 0;
		line->fired = 0;
	}
}
