/* SPDX-License-Identifier: BSD-3-Clause */
/* A line descriptor: the client of a line request that speaks the kernel's ioctls. */
#include "cdev.h"

#include <errno.h>
#include <linux/gpio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptor.h"
#include "pump/event_ring.h"
#include "pump/operation.h"
#include "pump/request_internal.h"

struct cdev_line {
	struct gb_request *request;
	struct gb_descriptor descriptor;
	int form;
	uint32_t command; /* in hand */
	uint64_t mask;    /* of the ioctl: goes back as it came */
};

/* struct gpioevent_data, as programs of both kinds have it. */
struct event_of_v1 {
	uint64_t timestamp;
	uint32_t id;
	uint32_t padding;
};

static uint32_t record_size(int form)
{
	switch (form) {
	case GB_LINE_EVENT:
		return 16;
	case GB_LINE_EVENT_32:
		return 12;
	default:
		return sizeof(struct gpio_v2_line_event);
	}
}

/* ---- ioctls --------------------------------------------------------------- */

static void operate(struct cdev_line *line, uint32_t code, uint64_t mask, uint64_t bits,
		    const void *body, size_t size)
{
	struct gb_operation operation = {.code = code, .mask = mask, .bits = bits};

	operation.sequence = line->descriptor.sequence;
	gb_operation_start(line->request, &operation, body, size);
}

static void start_values(struct cdev_line *line, uint32_t code, const uint8_t *argument)
{
	struct gpio_v2_line_values values;

	memcpy(&values, argument, sizeof(values));
	line->mask = values.mask;
	operate(line, code, values.mask, values.bits, NULL, 0);
}

static uint64_t bits_of(const uint8_t *values)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < GPIOHANDLES_MAX; i++)
		bits |= (uint64_t)!!values[i] << i;
	return bits;
}

static uint64_t flags_of_v1(uint32_t flags)
{
	static const uint64_t v2[] = {
		GPIO_V2_LINE_FLAG_INPUT, GPIO_V2_LINE_FLAG_OUTPUT,
		GPIO_V2_LINE_FLAG_ACTIVE_LOW, GPIO_V2_LINE_FLAG_OPEN_DRAIN,
		GPIO_V2_LINE_FLAG_OPEN_SOURCE, GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
		GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN, GPIO_V2_LINE_FLAG_BIAS_DISABLED,
	};
	uint64_t found = 0;

	for (uint32_t i = 0; i < sizeof(v2) / sizeof(v2[0]); i++)
		if (flags >> i & 1)
			found |= v2[i];
	/* Any other bit is handed to v2 as an unknown one: the kernel refuses USED there. */
	return flags >> (sizeof(v2) / sizeof(v2[0])) ? found | GPIO_V2_LINE_FLAG_USED : found;
}

/* The new settings of all lines of a handle, in the form of v2. */
static void start_config_of_v1(struct cdev_line *line, const uint8_t *argument)
{
	struct gpiohandle_config old;
	struct gpio_v2_line_config config = {.num_attrs = 1};

	memcpy(&old, argument, sizeof(old));
	config.flags = flags_of_v1(old.flags);
	config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
	config.attrs[0].attr.values = bits_of(old.default_values);
	config.attrs[0].mask = UINT64_MAX;
	operate(line, GB_OPERATION_RECONFIGURE, 0, 0, &config, sizeof(config));
}

/* False: this kind of descriptor does not know the ioctl. */
static bool start_ioctl(struct cdev_line *line, uint32_t command, const uint8_t *argument)
{
	if (line->form == GB_LINE_V2) {
		if (command == GPIO_V2_LINE_GET_VALUES_IOCTL)
			start_values(line, GB_OPERATION_GET, argument);
		else if (command == GPIO_V2_LINE_SET_VALUES_IOCTL)
			start_values(line, GB_OPERATION_SET, argument);
		else if (command == GPIO_V2_LINE_SET_CONFIG_IOCTL)
			operate(line, GB_OPERATION_RECONFIGURE, 0, 0, argument,
				sizeof(struct gpio_v2_line_config));
		else
			return false;
		return true;
	}
	if (command == GPIOHANDLE_GET_LINE_VALUES_IOCTL)
		operate(line, GB_OPERATION_GET, UINT64_MAX, 0, NULL, 0);
	else if (line->form == GB_LINE_HANDLE && command == GPIOHANDLE_SET_LINE_VALUES_IOCTL)
		operate(line, GB_OPERATION_SET, UINT64_MAX, bits_of(argument), NULL, 0);
	else if (line->form == GB_LINE_HANDLE && command == GPIOHANDLE_SET_CONFIG_IOCTL)
		start_config_of_v1(line, argument);
	else
		return false;
	return true;
}

static void on_ioctl(void *owner, uint32_t command, const uint8_t *argument, size_t size)
{
	struct cdev_line *line = owner;

	line->command = command;
	if (command == GB_IOCTL_CLOSED) {
		if (gb_descriptor_look(&line->descriptor))
			gb_descriptor_answer(&line->descriptor, 0, NULL, -1);
	} else if (line->request->hung_up || line->request->operation.busy) {
		gb_descriptor_answer(&line->descriptor, ENODEV, NULL, -1);
	} else if (size != _IOC_SIZE(command) || !start_ioctl(line, command, argument)) {
		gb_descriptor_answer(&line->descriptor, EINVAL, NULL, -1);
	}
}

static void on_closed(void *owner)
{
	struct cdev_line *line = owner;

	gb_request_hang_up(line->request);
}

static const struct gb_descriptor_ops descriptor_ops = {.ioctl = on_ioctl, .closed = on_closed};

/* ---- as a client of a request ---------------------------------------------- */

static void answer(void *client, const struct gb_operation_reply *reply, const void *body,
		   size_t length)
{
	struct cdev_line *line = client;
	union {
		uint8_t bytes[GB_IOCTL_SIZE_MAX];
		struct gpio_v2_line_values values;
		struct gpiohandle_data data;
	} argument = {{0}};
	bool got = true;

	(void)body; /* the sentence that goes with an error: an ioctl has no place for it */
	(void)length;
	if (line->command == GPIO_V2_LINE_GET_VALUES_IOCTL)
		argument.values = (struct gpio_v2_line_values){reply->bits, line->mask};
	else if (line->command == GPIOHANDLE_GET_LINE_VALUES_IOCTL)
		for (uint32_t i = 0; i < GPIOHANDLES_MAX; i++)
			argument.data.values[i] = reply->bits >> i & 1;
	else
		got = false;
	gb_descriptor_answer(&line->descriptor, reply->error,
			     got && !reply->error ? &argument : NULL, -1);
}

static void event(void *client, const struct gb_line_event *happened)
{
	struct cdev_line *line = client;
	struct event_of_v1 old = {.timestamp = happened->timestamp_ns, .id = happened->id};

	if (line->form == GB_LINE_V2)
		gb_descriptor_push(&line->descriptor, happened);
	else
		gb_descriptor_push(&line->descriptor, &old);
}

static uint32_t capacity(const void *client)
{
	return ((const struct cdev_line *)client)->descriptor.capacity;
}

static uint32_t waiting(const void *client)
{
	return gb_descriptor_waiting(&((const struct cdev_line *)client)->descriptor);
}

static bool alive(const void *client)
{
	return gb_descriptor_held(&((const struct cdev_line *)client)->descriptor);
}

static void hang_up(void *client)
{
	/* The channels stay: on one of them somebody may wait for the release. */
	((struct cdev_line *)client)->descriptor.closed = true;
}

static void end(void *client)
{
	struct cdev_line *line = client;

	gb_descriptor_close(&line->descriptor);
	free(line);
}

static const struct gb_request_client client_ops = {
	.answer = answer,
	.event = event,
	.capacity = capacity,
	.waiting = waiting,
	.alive = alive,
	.hang_up = hang_up,
	.end = end,
};

struct gb_request *gb_cdev_open_line(struct gb_pump *pump, uint64_t id,
				     const struct gb_line_plan *lines, size_t count,
				     uint32_t event_capacity, uint32_t timeout_ms, int form,
				     int *fd)
{
	struct cdev_line *line = calloc(1, sizeof(*line));
	int theirs, error;

	*fd = -1;
	if (!line)
		return NULL;
	line->form = form;
	theirs = gb_descriptor_init(&line->descriptor, pump, record_size(form), event_capacity,
				    form != GB_LINE_V2);
	error = theirs < 0 ? -theirs : 0;
	if (!error) {
		line->request = gb_request_open_for(pump, id, lines, count, timeout_ms,
						    &client_ops, line);
		error = line->request ? 0 : errno;
	}
	if (!error) {
		gb_lock(pump);
		error = -gb_descriptor_watch(&line->descriptor, &descriptor_ops, line);
		gb_unlock(pump);
		if (error)
			gb_request_close(line->request); /* frees the line */
	} else {
		gb_descriptor_close(&line->descriptor);
		free(line);
	}
	if (error) {
		if (theirs >= 0)
			close(theirs);
		errno = error;
		return NULL;
	}
	*fd = theirs;
	return line->request;
}
