/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_device.c - the virtio-gpio device as a state machine.
 *
 * The rules are those of docs/protocol.md, and for the lines of virtio 1.3
 * section 5.18. An event is sent from the state of its line and the one
 * reply is kept in the device, so nothing here needs a free transmit buffer.
 */
#include <string.h>

#include "rpmsg_gpio_internal.h"

#define BASELINE_LENGTH sizeof(struct virtio_gpio_request)
#define EXTENDED_LENGTH sizeof(struct rpmsg_gpio_ext_request)

typedef char replies_fit[
	RPMSG_GPIO_REPLY_MAX >= sizeof(struct rpmsg_gpio_ext_reply) +
				sizeof(struct rpmsg_gpio_config_body) &&
	RPMSG_GPIO_REPLY_MAX <= RPMSG_GPIO_MESSAGE_MAX ? 1 : -1];
typedef char names_fit[!HAS(RPMSG_GPIO_F_NAMES) ||
		       RPMSG_GPIO_REPLY_MAX == RPMSG_GPIO_MESSAGE_MAX ? 1 : -1];

/* A message from the driver, decoded; and how it will be answered. */
struct request {
	size_t length;
	uint16_t type;
	uint16_t gpio;
	uint32_t value;
	uint16_t tag;
	const uint8_t *body; /* behind the extended form */
	bool extended; /* the reply has the extended form */
};

/* What a reply carries beside the status; the body is in place already. */
struct result {
	uint8_t value;
	uint16_t body_length;
};

/* ---- direction and value ------------------------------------------------- */

static bool port_direction(struct rpmsg_gpio_device *device, uint16_t gpio,
			   uint8_t direction, uint8_t value)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->set_direction(config->port_context, gpio,
					   direction, value);
}

/* Direction NONE: nothing of the line's state survives. */
static bool release_line(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (!port_direction(device, gpio, VIRTIO_GPIO_DIRECTION_NONE, 0))
		return false;
	rpmsg_gpio_irq_disable(device, gpio);
	if (HAS(RPMSG_GPIO_F_LINE_CONFIG) && line->flags & LINE_CONFIG)
		(void)config->port->set_config(config->port_context, gpio, 0, 0);
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
	/* Reads the pin, not the value last set: somebody else may hold an output at another
	 * level. */
	if (!config->port->get_value(config->port_context, gpio, &level))
		return false;
	*value = level != 0;
	return true;
}

/* The value is kept while the line is no output yet, and driven when it becomes one. */
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
	rpmsg_gpio_line_set(line, LINE_VALUE);
	return true;
}

/* ---- extensions ---------------------------------------------------------- */

/* Never announce what this core, or this board, does not have. */
static uint32_t offered(const struct rpmsg_gpio_device_config *config)
{
	uint32_t features = HAS(config->features);

	if (!config->names || !config->names_size)
		features &= ~(uint32_t)RPMSG_GPIO_F_NAMES;
	if (!config->streams || !config->edges || !config->edge_count)
		features &= ~(uint32_t)EXTENDED_EVENTS;
	if (!config->port->get_time)
		features &= ~(uint32_t)RPMSG_GPIO_F_TIMESTAMP;
	if (!config->port->get_caps || !config->port->set_config)
		features &= ~(uint32_t)RPMSG_GPIO_F_LINE_CONFIG;
	return features;
}

/* To which feature a type belongs, and how long the body of its request is. */
struct extension {
	uint16_t type;
	uint16_t feature;
	uint16_t body;
};

static const struct extension *find_extension(uint16_t type)
{
	static const struct extension extensions[] = {
		{ VIRTIO_GPIO_MSG_GET_LINE_NAMES, RPMSG_GPIO_F_NAMES, 0 },
		{ RPMSG_GPIO_MSG_GET_CONFIG, RPMSG_GPIO_F_CONFIG, 0 },
		{ RPMSG_GPIO_MSG_GET_EPOCH, RPMSG_GPIO_F_EPOCH, 0 },
		{ RPMSG_GPIO_MSG_GRANT_CREDITS, RPMSG_GPIO_F_CREDITS, 0 },
		{ RPMSG_GPIO_MSG_GET_TIME, RPMSG_GPIO_F_TIMESTAMP, 0 },
		{ RPMSG_GPIO_MSG_GET_VALUES, RPMSG_GPIO_F_BULK,
		  sizeof(struct rpmsg_gpio_mask_body) },
		{ RPMSG_GPIO_MSG_SET_VALUES, RPMSG_GPIO_F_BULK,
		  sizeof(struct rpmsg_gpio_values_body) },
		{ RPMSG_GPIO_MSG_GET_LINE_CAPS, RPMSG_GPIO_F_LINE_CONFIG, 0 },
		{ RPMSG_GPIO_MSG_SET_LINE_CONFIG, RPMSG_GPIO_F_LINE_CONFIG,
		  sizeof(struct rpmsg_gpio_line_config_body) },
		{ RPMSG_GPIO_MSG_GET_COUNTERS, RPMSG_GPIO_F_COUNTERS, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		if (extensions[i].type == type)
			return &extensions[i];
	return NULL;
}

static uint8_t *body_of(struct rpmsg_gpio_device *device)
{
	return device->reply + sizeof(struct rpmsg_gpio_ext_reply);
}

static void put_body(struct rpmsg_gpio_device *device, const void *body, size_t length,
		     struct result *result)
{
	memcpy(body_of(device), body, length);
	result->body_length = (uint16_t)length;
}

/* For requests that a damaged byte would make wrong without notice. */
static void put_checked_body(struct rpmsg_gpio_device *device, const void *body,
			     size_t length, struct result *result)
{
	put_body(device, body, length, result);
	result->value = rpmsg_gpio_check8(body, length);
}

/* This is also the start of a new driver: forget what was accepted, but touch no line. */
static bool get_features(struct rpmsg_gpio_device *device,
			 struct request *request, struct result *result)
{
	uint32_t features = offered(device->config);
	uint32_t epoch = features & RPMSG_GPIO_F_EPOCH ? device->config->epoch : 0;
	struct rpmsg_gpio_features body;

	rpmsg_gpio_use_features(device, 0);
	body.features = rpmsg_gpio_store32(features);
	body.epoch = rpmsg_gpio_store32(epoch);
	put_body(device, &body, sizeof(body), result);
	request->extended = true;
	return true;
}

static bool set_features(struct rpmsg_gpio_device *device, uint32_t features)
{
	bool known = !(features & ~offered(device->config));

	rpmsg_gpio_use_features(device, known ? features : 0);
	return known;
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
	put_body(device, &body, sizeof(body), result);
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
	/* Without names there is nothing to point at. */
	put_body(device, left ? config->names + offset : "", left, result);
	return true;
}

static bool get_epoch(struct rpmsg_gpio_device *device, struct result *result)
{
	struct rpmsg_gpio_epoch_body body;

	body.epoch = rpmsg_gpio_store32(device->config->epoch);
	put_body(device, &body, sizeof(body), result);
	return true;
}

static bool grant_credits(struct rpmsg_gpio_device *device, const struct request *request,
			  struct result *result)
{
	const struct rpmsg_gpio_stream *stream = &device->config->streams[request->gpio];
	struct rpmsg_gpio_credits_body body;

	if (!rpmsg_gpio_irq_grant(device, request->gpio, request->value))
		return false;
	body.granted = rpmsg_gpio_store32(stream->granted);
	body.sent = rpmsg_gpio_store32(stream->sent);
	put_body(device, &body, sizeof(body), result);
	return true;
}

static bool get_time(struct rpmsg_gpio_device *device, struct result *result)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_time_body body;

	body.time = rpmsg_gpio_store64(config->port->get_time(config->port_context));
	put_body(device, &body, sizeof(body), result);
	return true;
}

#if HAS(RPMSG_GPIO_F_COUNTERS)
static bool get_counters(struct rpmsg_gpio_device *device, struct result *result)
{
	const struct rpmsg_gpio_counters *counters = &device->counters;
	struct rpmsg_gpio_counters_body body;

	body.requests = rpmsg_gpio_store32(counters->requests);
	body.refused = rpmsg_gpio_store32(counters->refused);
	body.sent = rpmsg_gpio_store32(counters->sent);
	body.starved = rpmsg_gpio_store32(counters->starved);
	body.overruns = rpmsg_gpio_store32(counters->overruns);
#ifdef RPMSG_GPIO_SELF_TEST
	body.self_test = rpmsg_gpio_store32(counters->self_test);
	put_body(device, &body, sizeof(body), result);
#else
	put_body(device, &body, offsetof(struct rpmsg_gpio_counters_body, self_test), result);
#endif
	return true;
}
#endif

static bool get_line_caps(struct rpmsg_gpio_device *device, uint16_t gpio,
			  struct result *result)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_caps_body body;
	uint32_t caps = 0, max_debounce_us = 0;

	config->port->get_caps(config->port_context, gpio, &caps, &max_debounce_us);
	body.caps = rpmsg_gpio_store32(caps);
	body.max_debounce_us = rpmsg_gpio_store32(max_debounce_us);
	put_checked_body(device, &body, sizeof(body), result);
	return true;
}

/* More than one bit of a mask. */
static bool several(uint32_t flags)
{
	return flags & (flags - 1);
}

static bool set_line_config(struct rpmsg_gpio_device *device, const struct request *request)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_line_config_body body;
	uint32_t caps = 0, max_debounce_us = 0, flags, debounce_us;

	memcpy(&body, request->body, sizeof(body));
	flags = rpmsg_gpio_load32(body.flags);
	debounce_us = rpmsg_gpio_load32(body.debounce_us);
	config->port->get_caps(config->port_context, request->gpio, &caps, &max_debounce_us);
	if (!(caps & RPMSG_GPIO_LINE_DEBOUNCE))
		max_debounce_us = 0;
	if (flags & ~(caps & (RPMSG_GPIO_LINE_BIAS | RPMSG_GPIO_LINE_DRIVE)) ||
	    several(flags & RPMSG_GPIO_LINE_BIAS) || several(flags & RPMSG_GPIO_LINE_DRIVE) ||
	    debounce_us > max_debounce_us)
		return false;
	if (!config->port->set_config(config->port_context, request->gpio, flags, debounce_us))
		return false;
	rpmsg_gpio_line_set(&config->lines[request->gpio], LINE_CONFIG);
	return true;
}

/* ---- many lines at once ---------------------------------------------------- */

static bool in_mask(uint64_t mask, uint16_t n)
{
	return mask >> n & 1;
}

static bool mask_fits(const struct rpmsg_gpio_device *device, uint16_t first, uint64_t mask)
{
	uint32_t lines = (uint32_t)device->config->ngpio - first;

	return lines >= RPMSG_GPIO_BULK_LINES || !(mask >> lines);
}

static bool read_each(struct rpmsg_gpio_device *device, uint16_t first, uint64_t mask,
		      uint64_t *bits)
{
	uint16_t n;

	for (n = 0; n < RPMSG_GPIO_BULK_LINES; n++) {
		uint8_t level = 0;

		if (!in_mask(mask, n))
			continue;
		if (!get_value(device, (uint16_t)(first + n), &level))
			return false;
		*bits |= (uint64_t)level << n;
	}
	return true;
}

/* Returns the lines of a mask that have a direction. */
static uint64_t with_direction(const struct rpmsg_gpio_device *device, uint16_t first,
			       uint64_t mask, uint8_t direction)
{
	uint64_t found = 0;
	uint16_t n;

	for (n = 0; n < RPMSG_GPIO_BULK_LINES; n++)
		if (in_mask(mask, n) && device->config->lines[first + n].direction == direction)
			found |= (uint64_t)1 << n;
	return found;
}

static bool get_values(struct rpmsg_gpio_device *device, const struct request *request,
		       struct result *result)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_mask_body asked;
	struct rpmsg_gpio_bits_body body;
	uint64_t mask, bits = 0;
	uint16_t first = request->gpio;

	memcpy(&asked, request->body, sizeof(asked));
	mask = rpmsg_gpio_load64(asked.mask);
	if (!mask_fits(device, first, mask))
		return false;
	if (!config->port->get_values) {
		if (!read_each(device, first, mask, &bits))
			return false;
	} else if ((config->strict &&
		    with_direction(device, first, mask, VIRTIO_GPIO_DIRECTION_NONE)) ||
		   !config->port->get_values(config->port_context, first, mask, &bits)) {
		return false;
	}
	body.bits = rpmsg_gpio_store64(bits & mask);
	put_checked_body(device, &body, sizeof(body), result);
	return true;
}

/* Sets the lines one after the other; when one refuses, those before it get their value back. */
static bool write_each(struct rpmsg_gpio_device *device, uint16_t first, uint64_t mask,
		       uint64_t bits)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint16_t n;

	for (n = 0; n < RPMSG_GPIO_BULK_LINES; n++) {
		if (!in_mask(mask, n) ||
		    config->port->set_value(config->port_context, (uint16_t)(first + n),
					    (uint8_t)in_mask(bits, n)))
			continue;
		while (n--)
			if (in_mask(mask, n))
				(void)config->port->set_value(config->port_context,
							      (uint16_t)(first + n),
							      config->lines[first + n].value);
		return false;
	}
	return true;
}

static void keep_values(struct rpmsg_gpio_device *device, uint16_t first, uint64_t mask,
			uint64_t bits)
{
	uint16_t n;

	for (n = 0; n < RPMSG_GPIO_BULK_LINES; n++) {
		if (!in_mask(mask, n))
			continue;
		device->config->lines[first + n].value = (uint8_t)in_mask(bits, n);
		rpmsg_gpio_line_set(&device->config->lines[first + n], LINE_VALUE);
	}
}

static bool set_values(struct rpmsg_gpio_device *device, const struct request *request)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	struct rpmsg_gpio_values_body body;
	uint64_t mask, bits, outputs;
	uint16_t first = request->gpio;
	bool ok;

	memcpy(&body, request->body, sizeof(body));
	mask = rpmsg_gpio_load64(body.mask);
	bits = rpmsg_gpio_load64(body.bits) & mask;
	if (!mask_fits(device, first, mask))
		return false;
	outputs = with_direction(device, first, mask, VIRTIO_GPIO_DIRECTION_OUT);
	if (!outputs)
		ok = true;
	else if (config->port->set_values)
		ok = config->port->set_values(config->port_context, first, outputs,
					      bits & outputs);
	else
		ok = write_each(device, first, outputs, bits);
	if (ok)
		keep_values(device, first, mask, bits);
	return ok;
}

/* ---- requests for a line ---------------------------------------------------- */

static bool line_request(struct rpmsg_gpio_device *device,
			 const struct request *request, struct result *result)
{
	uint16_t gpio = request->gpio;

	if (gpio >= device->config->ngpio)
		return false;
	switch (request->type) {
	case VIRTIO_GPIO_MSG_GET_DIRECTION:
		result->value = device->config->lines[gpio].direction;
		return true;
	case VIRTIO_GPIO_MSG_SET_DIRECTION:
		return set_direction(device, gpio, request->value);
	case VIRTIO_GPIO_MSG_GET_VALUE:
		return get_value(device, gpio, &result->value);
	case VIRTIO_GPIO_MSG_SET_VALUE:
		return set_value(device, gpio, request->value);
	case VIRTIO_GPIO_MSG_SET_IRQ_TYPE:
		return rpmsg_gpio_irq_set_type(device, gpio, request->value);
	case RPMSG_GPIO_MSG_GRANT_CREDITS:
		return HAS(RPMSG_GPIO_F_CREDITS) && grant_credits(device, request, result);
	case RPMSG_GPIO_MSG_GET_VALUES:
		return HAS(RPMSG_GPIO_F_BULK) && get_values(device, request, result);
	case RPMSG_GPIO_MSG_SET_VALUES:
		return HAS(RPMSG_GPIO_F_BULK) && set_values(device, request);
	case RPMSG_GPIO_MSG_GET_LINE_CAPS:
		return HAS(RPMSG_GPIO_F_LINE_CONFIG) && get_line_caps(device, gpio, result);
	case RPMSG_GPIO_MSG_SET_LINE_CONFIG:
		return HAS(RPMSG_GPIO_F_LINE_CONFIG) && set_line_config(device, request);
	default:
		return false;
	}
}

/* ---- messages ------------------------------------------------------------ */

static void decode(const struct rpmsg_gpio_device *device, const void *message,
		   size_t length, struct request *request)
{
	struct rpmsg_gpio_ext_request wire;
	const struct extension *extension;
	uint32_t needs = RPMSG_GPIO_F_TAG;

	memset(&wire, 0, sizeof(wire));
	memcpy(&wire, message, length < sizeof(wire) ? length : sizeof(wire));
	request->length = length;
	request->type = rpmsg_gpio_load16(wire.request.type);
	request->gpio = rpmsg_gpio_load16(wire.request.gpio);
	request->value = rpmsg_gpio_load32(wire.request.value);
	request->body = (const uint8_t *)message + sizeof(wire);
	extension = find_extension(request->type);
	if (extension)
		needs |= extension->feature;
	request->extended = length >= EXTENDED_LENGTH && device->features & needs;
	request->tag = 0;
	if (device->features & RPMSG_GPIO_F_TAG)
		request->tag = rpmsg_gpio_load16(wire.tag);
}

/* A check of the body is optional: 0 is none. */
static bool is_whole(const struct request *request, size_t body)
{
	return !body || !request->value ||
	       request->value == rpmsg_gpio_check32(request->body, body);
}

/* Whether the length fits the type, and the type what was accepted. */
static bool is_allowed(const struct rpmsg_gpio_device *device,
		       const struct request *request)
{
	const struct extension *extension = find_extension(request->type);

	if (extension)
		return request->length == EXTENDED_LENGTH + extension->body &&
		       device->features & extension->feature &&
		       is_whole(request, extension->body);
	if (request->length == BASELINE_LENGTH)
		return true;
	return request->length == EXTENDED_LENGTH &&
	       device->features & RPMSG_GPIO_F_TAG;
}

/* The negotiation is never tagged: its form must be known before tags are. */
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
		return HAS(RPMSG_GPIO_F_CONFIG) && get_config(device, result);
	case RPMSG_GPIO_MSG_GET_EPOCH:
		return HAS(RPMSG_GPIO_F_EPOCH) && get_epoch(device, result);
	case VIRTIO_GPIO_MSG_GET_LINE_NAMES:
		return HAS(RPMSG_GPIO_F_NAMES) &&
		       get_line_names(device, request->value, result);
	case RPMSG_GPIO_MSG_GET_TIME:
		return HAS(RPMSG_GPIO_F_TIMESTAMP) && get_time(device, result);
#if HAS(RPMSG_GPIO_F_COUNTERS)
	case RPMSG_GPIO_MSG_GET_COUNTERS:
		return get_counters(device, result);
#endif
	default:
		return line_request(device, request, result);
	}
}

static void put_baseline(struct rpmsg_gpio_device *device, uint8_t status,
			 uint8_t value)
{
	const struct rpmsg_gpio_padded_reply reply = {
		RPMSG_GPIO_QUEUE_REQUEST, RPMSG_GPIO_QUEUE_REQUEST, status, value };
	size_t skip = rpmsg_gpio_unpadded(device);

	memcpy(device->reply, (const uint8_t *)&reply + skip, sizeof(reply) - skip);
	device->reply_length = (uint16_t)(sizeof(reply) - skip);
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
	device->refused = !rpmsg_gpio_flush(device);
	if (device->refused)
		return false;
	decode(device, message, length, &request);
	COUNT(device, requests);
	status = execute(device, &request, &result) ? VIRTIO_GPIO_STATUS_OK :
						      VIRTIO_GPIO_STATUS_ERR;
	if (status != VIRTIO_GPIO_STATUS_OK)
		COUNT(device, refused);
	/* The form of the reply to GET_FEATURES depends on its success, so it is asked here, not
	 * before. */
	if (request.extended)
		put_extended(device, request.tag, status, &result);
	else
		put_baseline(device, status, result.value);
	(void)rpmsg_gpio_flush(device);
	return true;
}

void rpmsg_gpio_device_init(struct rpmsg_gpio_device *device,
			    const struct rpmsg_gpio_device_config *config)
{
	uint16_t gpio;

	memset(device, 0, sizeof(*device));
	device->config = config;
	for (gpio = 0; gpio < config->ngpio; gpio++) {
		struct rpmsg_gpio_line *line = &config->lines[gpio];

		memset(line, 0, sizeof(*line));
		line->direction = VIRTIO_GPIO_DIRECTION_NONE;
		line->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE;
		if (EXTENDED_EVENTS && config->streams)
			memset(&config->streams[gpio], 0, sizeof(config->streams[gpio]));
	}
}
