/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.c - one controller on an endpoint of TI's IPC RPMsg.
 */
#include "gpio_endpoint.h"

#include <kernel/dpl/HwiP.h>

#define SEND_TICKS 10u

/* From the mailbox's interrupt, and from RPMessage_recv() of the task: hence the short section
 * with interrupts off. The message stays in its vring until it is taken. */
static void gpio_received(RPMessage_Object *rpmsg, void *arg)
{
	struct gpio_endpoint *gpio = arg;
	uintptr_t state = HwiP_disable();

	(void)rpmsg;
	gpio->came++;
	HwiP_restore(state);
	gpio_wake();
}

/*
 * SystemP_TIMEOUT: no buffer. Any other error means that the message has nowhere to go; keeping
 * it would not help. Waiting some ticks is no loss, since without a buffer the task has nothing
 * else to do, and a buffer that is freed ends it. Without it, RPMessage_send() says SystemP_TIMEOUT
 * also of a message that is in the ring, where the mailbox is full of interrupts that Linux has
 * yet to take, and the message would be sent twice.
 */
static bool gpio_send(void *context, const void *message, size_t length)
{
	struct gpio_endpoint *gpio = context;

	if (!gpio->driver_known)
		return true;
	/* The payload is only read; the type of the parameter is older than const. */
	return RPMessage_send((void *)(uintptr_t)message, (uint16_t)length, gpio->core,
			      gpio->driver, RPMessage_getLocalEndPt(&gpio->rpmsg),
			      SEND_TICKS) != SystemP_TIMEOUT;
}

const struct rpmsg_gpio_channel gpio_channel = { .send = gpio_send };

/* Only for messages that were told of: RPMessage_recv() logs an error where there is none. */
static bool fetch(struct gpio_endpoint *gpio, uint16_t *core, uint16_t *driver)
{
	gpio->length = sizeof(gpio->message);
	gpio->taken++;
	if (RPMessage_recv(&gpio->rpmsg, gpio->message, &gpio->length, core, driver,
			   SystemP_NO_WAIT) == SystemP_SUCCESS)
		return true;
	gpio->length = 0;
	return false;
}

/* False when nothing came. Replies and events go to whoever asked last. */
static bool take_oldest(struct gpio_endpoint *gpio)
{
	uint16_t core, driver;

	if (!rpmsg_gpio_device_ready(&gpio->device) || !fetch(gpio, &core, &driver))
		return false;
	if (!gpio->length)
		return true; /* no request */
	gpio->core = core;
	gpio->driver = driver;
	gpio->driver_known = true;
	return true;
}

/* False when the device waits for a buffer, or nothing came. */
static bool serve_one(struct gpio_endpoint *gpio)
{
	if (!gpio->length && (gpio->taken == gpio->came || !take_oldest(gpio)))
		return false;
	if (gpio->length &&
	    !rpmsg_gpio_device_receive(&gpio->device, gpio->message, gpio->length))
		return false;
	gpio->length = 0;
	return true;
}

void gpio_run(struct gpio_endpoint *gpio)
{
	(void)rpmsg_gpio_device_run(&gpio->device);
	while (serve_one(gpio))
		(void)rpmsg_gpio_device_run(&gpio->device);
}

bool gpio_waits(const struct gpio_endpoint *gpio)
{
	return gpio->length || gpio->taken != gpio->came || gpio->device.reply_length ||
	       gpio->device.pending;
}

void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config)
{
	gpio->driver_known = false;
	gpio->came = gpio->taken = 0;
	gpio->length = 0;
	rpmsg_gpio_device_init(&gpio->device, config);
}

int32_t gpio_start(struct gpio_endpoint *gpio, uint16_t linux_core, uint16_t address,
		   const char *name)
{
	RPMessage_CreateParams params;
	int32_t status;

	RPMessage_CreateParams_init(&params);
	params.localEndPt = address;
	params.recvNotifyCallback = gpio_received;
	params.recvNotifyCallbackArgs = gpio;
	status = RPMessage_construct(&gpio->rpmsg, &params);
	if (status != SystemP_SUCCESS)
		return status;
	return RPMessage_announce(linux_core, address, name);
}
