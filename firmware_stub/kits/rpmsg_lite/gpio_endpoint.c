/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.c - one controller on an endpoint of RPMsg-Lite.
 */
#include "gpio_endpoint.h"

#include "rpmsg_ns.h"

/* Called from the interrupt of the mailbox: only keep the buffer, which gpio_run()
 * gives back. */
static int32_t gpio_received(void *payload, uint32_t length, uint32_t source, void *priv)
{
	struct gpio_endpoint *gpio = priv;
	uint32_t at = gpio->head % RX_BUFFERS;

	/* No request; or more than the vring has buffers: no sound driver does that. */
	if (!length || gpio->head - gpio->tail == RX_BUFFERS)
		return RL_RELEASE;
	gpio->held[at].data = payload;
	gpio->held[at].length = length;
	gpio->held[at].source = source;
	RPMSG_GPIO_BARRIER();
	gpio->head++;
	gpio_wake();
	return RL_HOLD;
}

/* Without a buffer the answer is RL_ERR_NO_MEM. Any other error means that the
 * message has nowhere to go; keeping it would not help. */
static bool gpio_send(void *context, const void *message, size_t length)
{
	struct gpio_endpoint *gpio = context;

	if (!gpio->driver_known)
		return true;
	/* The payload is only read; the type of the parameter is older than const. */
	return rpmsg_lite_send(gpio->rpmsg, gpio->ept, gpio->driver,
			       (char *)(uintptr_t)message, (uint32_t)length,
			       RL_DONT_BLOCK) != RL_ERR_NO_MEM;
}

const struct rpmsg_gpio_channel gpio_channel = { .send = gpio_send };

/* False when the reply before has found no buffer yet. Replies and events go to
 * whoever asked last. */
static bool take_oldest(struct gpio_endpoint *gpio)
{
	uint32_t at = gpio->tail % RX_BUFFERS;

	if (!rpmsg_gpio_device_ready(&gpio->device))
		return false;
	gpio->driver = gpio->held[at].source;
	gpio->driver_known = true;
	if (!rpmsg_gpio_device_receive(&gpio->device, gpio->held[at].data,
				       gpio->held[at].length))
		return false;
	(void)rpmsg_lite_release_rx_buffer(gpio->rpmsg, gpio->held[at].data);
	gpio->tail++;
	return true;
}

void gpio_run(struct gpio_endpoint *gpio)
{
	(void)rpmsg_gpio_device_run(&gpio->device);
	while (gpio->tail != gpio->head && take_oldest(gpio))
		(void)rpmsg_gpio_device_run(&gpio->device);
}

bool gpio_waits(const struct gpio_endpoint *gpio)
{
	return gpio->tail != gpio->head || gpio->device.reply_length || gpio->device.pending;
}

void gpio_init(struct gpio_endpoint *gpio, const struct rpmsg_gpio_device_config *config)
{
	gpio->driver_known = false;
	gpio->head = gpio->tail = 0;
	rpmsg_gpio_device_init(&gpio->device, config);
}

int32_t gpio_start(struct gpio_endpoint *gpio, struct rpmsg_lite_instance *rpmsg,
		   uint32_t address, const char *name)
{
	int32_t status;

	if (rpmsg->rvq->vq_nentries > RX_BUFFERS)
		return RL_ERR_PARAM;
	gpio->rpmsg = rpmsg;
	gpio->ept = rpmsg_lite_create_ept(rpmsg, address, gpio_received, gpio);
	if (gpio->ept == RL_NULL)
		return RL_ERR_NO_MEM;
	status = rpmsg_ns_announce(rpmsg, gpio->ept, name, RL_NS_CREATE);
	if (status != RL_SUCCESS)
		(void)rpmsg_lite_destroy_ept(rpmsg, gpio->ept);
	return status;
}

void gpio_stop(struct gpio_endpoint *gpio)
{
	(void)rpmsg_lite_destroy_ept(gpio->rpmsg, gpio->ept); /* no more calls from here on */
	gpio->head = gpio->tail = 0; /* these buffers go with the vring */
	gpio->driver_known = false;
	gpio->device.refused = false;
	(void)rpmsg_gpio_device_run(&gpio->device); /* drops the reply that waited */
}
