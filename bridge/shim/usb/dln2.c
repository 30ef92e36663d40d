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
#define PIN_ENABLE        0x10u
#define PIN_DISABLE       0x11u
#define PIN_SET_DIRECTION 0x13u
#define PIN_GET_DIRECTION 0x14u
#define PIN_SET_EVENT     0x1eu

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

static void answer_outcome(const struct adapter_line *line,
			   const struct adapter_question *question, uint8_t value)
{
	uint32_t command = command_of(question->header);

	if (command == PIN_GET_DIRECTION)
		value = value == VIRTIO_GPIO_DIRECTION_OUT;
	if (command == PIN_GET_DIRECTION || command == PIN_GET_VALUE ||
	    command == PIN_GET_OUT_VALUE)
		dln2_answer_value(line, question->message, question->header, value);
	else
		dln2_answer(adapter_of(line), question->message, question->header, NULL, 0);
}

static void question_done(struct gb_call *call, const struct gb_outcome *outcome)
{
	struct adapter_line *line = of_base(call->owner);
	struct gb_adapter *adapter = adapter_of(line);
	struct adapter_question *question = &adapter->questions[call->argument];

	question->used = false;
	if (!adapter->base.closed) {
		usbip_enter(&adapter->usb);
		if (outcome->error)
			forget(line, question);
		else
			remember(line, call);
		if (outcome->error)
			usbip_complete(&adapter->usb, question->message, outcome->error);
		else
			answer_outcome(line, question, outcome->value);
		usbip_leave(&adapter->usb);
	}
	gb_exported_done(call);
}

/* Ask the firmware; `wanted` is the event that a PIN_SET_EVENT is about. */
static void ask(struct adapter_line *line, uint64_t message, const uint8_t *header, uint16_t type,
		uint32_t value, enum adapter_event wanted)
{
	struct gb_adapter *adapter = adapter_of(line);
	struct adapter_question *question = free_question(adapter);
	struct gb_call call = {.type = type, .value = value, .done = question_done};
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
	memcpy(question->header, header, DLN2_HEADER_SIZE);
	if (type == VIRTIO_GPIO_MSG_SET_IRQ_TYPE)
		pacing_want(line, wanted);
	line->touched |= type != VIRTIO_GPIO_MSG_GET_VALUE && type != VIRTIO_GPIO_MSG_GET_DIRECTION;
	call.argument = (uint64_t)(question - adapter->questions);
	error = gb_exported_submit(&line->base, &call);
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
		dln2_answer_value(line, message, header, high);
		pacing_ready(&adapter_of(line)->usb);
	} else {
		ask(line, message, header, VIRTIO_GPIO_MSG_GET_VALUE, 0, ADAPTER_NONE);
	}
}

static void get_direction(struct adapter_line *line, uint64_t message, const uint8_t *header)
{
	if (line->direction != VIRTIO_GPIO_DIRECTION_NONE)
		dln2_answer_value(line, message, header,
				  line->direction == VIRTIO_GPIO_DIRECTION_OUT);
	else
		ask(line, message, header, VIRTIO_GPIO_MSG_GET_DIRECTION, 0, ADAPTER_NONE);
}

static void set_event(struct adapter_line *line, uint64_t message, const uint8_t *header,
		      uint8_t event)
{
	if (event > ADAPTER_LOW) {
		usbip_complete(&adapter_of(line)->usb, message, EINVAL);
		return;
	}
	if (event != ADAPTER_NONE) {
		line->debounced = adapter_of(line)->debounces;
		adapter_of(line)->debounces = false;
	}
	ask(line, message, header, VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
	    event == ADAPTER_NONE ? VIRTIO_GPIO_IRQ_TYPE_NONE : VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH,
	    event);
}

/* The kernel takes the line for free, whatever the firmware says: adapter_let_go() repeats it. */
static void disable(struct adapter_line *line, uint64_t message, const uint8_t *header)
{
	adapter_let_go(line);
	dln2_answer(adapter_of(line), message, header, NULL, 0);
}

static void about_pin(struct adapter_line *line, uint32_t command, uint64_t message,
		      const uint8_t *header, uint8_t value)
{
	switch (command) {
	case PIN_ENABLE:
		if (line->base.interrupt.controller)
			dln2_answer(adapter_of(line), message, header, NULL, 0);
		else
			usbip_complete(&adapter_of(line)->usb, message, ENODEV);
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
		usbip_complete(&adapter_of(line)->usb, message, EOPNOTSUPP);
	}
}

static void gpio_command(struct gb_adapter *adapter, uint32_t command, uint64_t message,
			 const uint8_t *bytes, size_t length)
{
	const uint8_t *body = bytes + DLN2_HEADER_SIZE;
	bool has_value = command == PIN_SET_OUT_VALUE || command == PIN_SET_DIRECTION ||
			 command == PIN_SET_EVENT;
	uint8_t count[2] = {(uint8_t)adapter->base.count, 0};

	if (command == GET_PIN_COUNT) {
		dln2_answer(adapter, message, bytes, count, sizeof(count));
	} else if (command == SET_DEBOUNCE) {
		/* It is for all lines of a DLN-2; the next one that wants events is meant. */
		adapter->debounces = true;
		usbip_complete(&adapter->usb, message, ENOTSUPP);
	} else if (length < DLN2_HEADER_SIZE + 2u + has_value) {
		usbip_complete(&adapter->usb, message, EPROTO);
	} else if (dln2_get16(body) >= adapter->base.count) {
		usbip_complete(&adapter->usb, message, EINVAL);
	} else {
		about_pin(&adapter->lines[dln2_get16(body)], command, message, bytes,
			  has_value ? body[2] : 0);
	}
}

static void control_command(struct gb_adapter *adapter, uint32_t command, uint64_t message,
			    const uint8_t *bytes)
{
	static const uint8_t version[4] = {VERSION & 0xff, VERSION >> 8}, number[4] = {1};

	if (command == GET_DEVICE_VERSION)
		dln2_answer(adapter, message, bytes, version, sizeof(version));
	else if (command == GET_DEVICE_NUMBER)
		dln2_answer(adapter, message, bytes, number, sizeof(number));
	else
		usbip_complete(&adapter->usb, message, EOPNOTSUPP);
}

void dln2_received(struct usbip *usb, uint64_t message, const uint8_t *bytes, size_t length)
{
	struct gb_adapter *adapter = of_usb(usb);

	adapter->status.requests++;
	if (length < DLN2_HEADER_SIZE || dln2_get16(bytes) != length)
		usbip_complete(usb, message, EPROTO);
	else if (bytes[3] == MODULE_CONTROL)
		control_command(adapter, command_of(bytes), message, bytes);
	else if (bytes[3] == MODULE_GPIO)
		gpio_command(adapter, command_of(bytes), message, bytes, length);
	else
		usbip_complete(usb, message, EOPNOTSUPP); /* I2C, SPI, ADC: it has none */
}
