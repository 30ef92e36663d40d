/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dln2.c - what the kernel's drivers ask of a DLN-2 (drivers/mfd/dln2.c, drivers/gpio/gpio-dln2.c),
 * and the answers to that.
 *
 * A question is a message that is held until its outcome is known: the error that ends it is the
 * errno that programs see. An answer follows only to one that ended well.
 */
#include "adapter_internal.h"

#include <errno.h>
#include <string.h>

/* The kernel's, not a program's: "somebody else must do it", and gpiolib debounces by itself. */
#define ENOTSUPP 524

#define MODULE_CONTROL 0u
#define MODULE_GPIO    1u

/* Of the module for control. */
#define GET_DEVICE_VERSION 0x30u
#define GET_DEVICE_NUMBER  0x31u
#define VERSION            0x200u /* of the hardware that the driver knows */

/* Of the module for GPIO. */
#define GET_PIN_COUNT     0x01u
#define SET_DEBOUNCE      0x04u
#define PIN_GET_VALUE     0x0bu
#define PIN_SET_OUT_VALUE 0x0cu
#define PIN_GET_OUT_VALUE 0x0du
#define CONDITION_MET     0x0fu
#define PIN_ENABLE        0x10u
#define PIN_DISABLE       0x11u
#define PIN_SET_DIRECTION 0x13u
#define PIN_GET_DIRECTION 0x14u
#define PIN_SET_EVENT     0x1eu

#define HEADER_SIZE 8u
#define BODY_MAX    4u /* of an answer */

/* ---- messages to the kernel, little-endian ---------------------------------------------- */

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static uint32_t get16(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8;
}

/* Behind the header, which comes back, is a result; the driver knows no errno from it. */
static void answer(struct gb_adapter *adapter, uint64_t message, const uint8_t *header,
		   const uint8_t *body, size_t length)
{
	uint8_t bytes[HEADER_SIZE + 2 + BODY_MAX] = {0};

	if (!usbip_complete(&adapter->usb, message, 0))
		return; /* nobody waits any more */
	memcpy(bytes, header, HEADER_SIZE);
	put16(bytes, (uint32_t)(HEADER_SIZE + 2 + length));
	if (length)
		memcpy(bytes + HEADER_SIZE + 2, body, length);
	usbip_send(&adapter->usb, bytes, HEADER_SIZE + 2 + length);
}

static void answer_pin(struct gb_adapter *adapter, uint64_t message, const uint8_t *header,
		       uint32_t pin, uint8_t value)
{
	uint8_t body[3] = {(uint8_t)pin, (uint8_t)(pin >> 8), value};

	answer(adapter, message, header, body, sizeof(body));
}

void dln2_send_event(struct gb_adapter *adapter, uint32_t index, bool high)
{
	uint8_t bytes[HEADER_SIZE + 6] = {0};

	put16(bytes, sizeof(bytes));
	put16(bytes + 2, MODULE_GPIO << 8 | CONDITION_MET);
	put16(bytes + HEADER_SIZE, 1); /* count */
	bytes[HEADER_SIZE + 2] = 1;    /* type */
	put16(bytes + HEADER_SIZE + 3, index);
	bytes[HEADER_SIZE + 5] = high;
	usbip_send(&adapter->usb, bytes, sizeof(bytes));
}

/* ---- what came of a question to the firmware --------------------------------------------- */

static struct adapter_question *free_question(struct gb_adapter *adapter)
{
	for (uint32_t i = 0; i < ADAPTER_QUESTIONS_MAX; i++)
		if (!adapter->questions[i].used)
			return &adapter->questions[i];
	return NULL;
}

static uint32_t command_of(const uint8_t *header)
{
	return header[2];
}

/* What was asked for has happened, however late: it is set up again when the line comes back. */
static void remember(struct adapter_line *line, const struct gb_call *call)
{
	if (call->type == VIRTIO_GPIO_MSG_SET_VALUE) {
		line->value = (uint8_t)call->value;
		line->has_value = true;
	} else if (call->type == VIRTIO_GPIO_MSG_SET_DIRECTION) {
		adapter_set_direction(line, (uint8_t)call->value);
	} else if (call->type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE) {
		pacing_begun(line);
	}
}

/* Nothing was set, as far as is known, so that nothing is set up again. */
static void forget(struct adapter_line *line, const struct adapter_question *question)
{
	if (command_of(question->header) == PIN_SET_EVENT &&
	    (uint8_t)line->event == question->wanted)
		pacing_want(line, question->before);
}

static void answer_outcome(struct gb_adapter *adapter, const struct adapter_question *question,
			   uint32_t pin, uint8_t value)
{
	uint32_t command = command_of(question->header);

	if (command == PIN_GET_DIRECTION)
		value = value == VIRTIO_GPIO_DIRECTION_OUT;
	if (command == PIN_GET_DIRECTION || command == PIN_GET_VALUE ||
	    command == PIN_GET_OUT_VALUE)
		answer_pin(adapter, question->message, question->header, pin, value);
	else
		answer(adapter, question->message, question->header, NULL, 0);
}

static void question_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct gb_adapter *adapter = call->owner;
	struct adapter_question *question = &adapter->questions[call->argument & UINT32_MAX];
	uint32_t pin = (uint32_t)(call->argument >> 32);
	struct adapter_line *line = &adapter->lines[pin];

	question->used = false;
	if (!adapter->closed) {
		usbip_enter(&adapter->usb);
		if (outcome->error)
			forget(line, question);
		else
			remember(line, call);
		if (outcome->error)
			usbip_complete(&adapter->usb, question->message, outcome->error);
		else
			answer_outcome(adapter, question, pin, outcome->value);
		usbip_leave(&adapter->usb);
	}
	adapter_unreference(adapter);
}

/* Ask the firmware; `wanted` is the event that a PIN_SET_EVENT is about. */
static void ask(struct adapter_line *line, uint64_t message, const uint8_t *header, uint16_t type,
		uint32_t value, enum adapter_event wanted)
{
	struct gb_adapter *adapter = line->adapter;
	struct adapter_question *question = free_question(adapter);
	int error;

	if (!question) {
		usbip_complete(&adapter->usb, message, EBUSY);
		return;
	}
	*question = (struct adapter_question){
		.used = true,
		.message = message,
		.before = (uint8_t)line->event,
		.wanted = (uint8_t)wanted,
	};
	memcpy(question->header, header, HEADER_SIZE);
	if (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		pacing_want(line, wanted);
	line->touched |= type != VIRTIO_GPIO_MSG_GET_VALUE && type != VIRTIO_GPIO_MSG_GET_DIRECTION;
	error = adapter_submit(line, type, value, false, question_done,
			       (uint64_t)line_of(line) << 32 |
				       (uint64_t)(question - adapter->questions));
	if (!error)
		return;
	question->used = false;
	forget(line, question);
	usbip_complete(&adapter->usb, message, -error);
}

/* ---- what the kernel asks ------------------------------------------------------------------- */

static void get_value(struct adapter_line *line, uint64_t message, const uint8_t *header)
{
	bool high;

	if (pacing_asked(line, &high)) {
		answer_pin(line->adapter, message, header, line_of(line), high);
		pacing_ready(&line->adapter->usb);
	} else {
		ask(line, message, header, VIRTIO_GPIO_MSG_GET_VALUE, 0, ADAPTER_NONE);
	}
}

static void get_direction(struct adapter_line *line, uint64_t message, const uint8_t *header)
{
	if (line->direction != VIRTIO_GPIO_DIRECTION_NONE)
		answer_pin(line->adapter, message, header, line_of(line),
			   line->direction == VIRTIO_GPIO_DIRECTION_OUT);
	else
		ask(line, message, header, VIRTIO_GPIO_MSG_GET_DIRECTION, 0, ADAPTER_NONE);
}

static void set_event(struct adapter_line *line, uint64_t message, const uint8_t *header,
		      uint8_t event)
{
	if (event > ADAPTER_LOW) {
		usbip_complete(&line->adapter->usb, message, EINVAL);
		return;
	}
	if (event != ADAPTER_NONE) {
		line->debounced = line->adapter->debounces;
		line->adapter->debounces = false;
	}
	ask(line, message, header, VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
	    event == ADAPTER_NONE ? VIRTIO_GPIO_IRQ_TYPE_NONE : VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH,
	    event);
}

/* The kernel takes the line for free, whatever the firmware says: adapter_let_go() repeats it. */
static void disable(struct adapter_line *line, uint64_t message, const uint8_t *header)
{
	adapter_let_go(line);
	answer(line->adapter, message, header, NULL, 0);
}

static void about_pin(struct adapter_line *line, uint32_t command, uint64_t message,
		      const uint8_t *header, uint8_t value)
{
	switch (command) {
	case PIN_ENABLE:
		if (line->interrupt.controller)
			answer(line->adapter, message, header, NULL, 0);
		else
			usbip_complete(&line->adapter->usb, message, ENODEV);
		break;
	case PIN_DISABLE:
		disable(line, message, header);
		break;
	case PIN_GET_VALUE:
	case PIN_GET_OUT_VALUE:
		get_value(line, message, header);
		break;
	case PIN_SET_OUT_VALUE:
		ask(line, message, header, VIRTIO_GPIO_MSG_SET_VALUE, !!value, ADAPTER_NONE);
		break;
	case PIN_GET_DIRECTION:
		get_direction(line, message, header);
		break;
	case PIN_SET_DIRECTION:
		ask(line, message, header, VIRTIO_GPIO_MSG_SET_DIRECTION,
		    value ? VIRTIO_GPIO_DIRECTION_OUT : VIRTIO_GPIO_DIRECTION_IN, ADAPTER_NONE);
		break;
	case PIN_SET_EVENT:
		set_event(line, message, header, value);
		break;
	default:
		usbip_complete(&line->adapter->usb, message, EOPNOTSUPP);
	}
}

static void gpio_command(struct gb_adapter *adapter, uint32_t command, uint64_t message,
			 const uint8_t *bytes, size_t length)
{
	const uint8_t *body = bytes + HEADER_SIZE;
	bool has_value = command == PIN_SET_OUT_VALUE || command == PIN_SET_DIRECTION ||
			 command == PIN_SET_EVENT;
	uint8_t count[2] = {(uint8_t)adapter->count, 0};

	if (command == GET_PIN_COUNT) {
		answer(adapter, message, bytes, count, sizeof(count));
	} else if (command == SET_DEBOUNCE) {
		/* It is for all lines of a DLN-2; the next one that wants events is meant. */
		adapter->debounces = true;
		usbip_complete(&adapter->usb, message, ENOTSUPP);
	} else if (length < HEADER_SIZE + 2u + has_value) {
		usbip_complete(&adapter->usb, message, EPROTO);
	} else if (get16(body) >= adapter->count) {
		usbip_complete(&adapter->usb, message, EINVAL);
	} else {
		about_pin(&adapter->lines[get16(body)], command, message, bytes,
			  has_value ? body[2] : 0);
	}
}

static void control_command(struct gb_adapter *adapter, uint32_t command, uint64_t message,
			    const uint8_t *bytes)
{
	uint8_t body[4] = {0};

	if (command == GET_DEVICE_VERSION)
		put16(body, VERSION);
	else
		put16(body, 1);
	if (command == GET_DEVICE_VERSION || command == GET_DEVICE_NUMBER)
		answer(adapter, message, bytes, body, sizeof(body));
	else
		usbip_complete(&adapter->usb, message, EOPNOTSUPP);
}

void dln2_received(struct usbip *usb, uint64_t message, const uint8_t *bytes, size_t length)
{
	struct gb_adapter *adapter = of_usb(usb);

	adapter->status.requests++;
	if (length < HEADER_SIZE || get16(bytes) != length)
		usbip_complete(usb, message, EPROTO);
	else if (bytes[3] == MODULE_CONTROL)
		control_command(adapter, command_of(bytes), message, bytes);
	else if (bytes[3] == MODULE_GPIO)
		gpio_command(adapter, command_of(bytes), message, bytes, length);
	else
		usbip_complete(usb, message, EOPNOTSUPP); /* I2C, SPI, ADC: it has none */
}
