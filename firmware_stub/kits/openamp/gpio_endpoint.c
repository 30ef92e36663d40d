/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_endpoint.c - one controller on an endpoint of OpenAMP.
 */
#include "gpio_endpoint.h"

/* Messages are kept in their buffers until their turn: no copy, no loss. */
static int gpio_received(struct rpmsg_endpoint *ept, void *data, size_t length,
			 uint32_t source, void *priv)
{
	struct gpio_endpoint *gpio = priv;
	unsigned int at = gpio->head % RX_BUFFERS;

	/* No request; or more than the vring has buffers: no sound driver does that. */
	if (!length || gpio->head - gpio->tail == RX_BUFFERS)
		return RPMSG_SUCCESS;
	rpmsg_hold_rx_buffer(ept, data);
	gpio->held[at].data = data;
	gpio->held[at].length = length;
	gpio->held[at].source = source;
	RPMSG_GPIO_BARRIER();
	gpio->head++;
	gpio_wake();
	return RPMSG_SUCCESS;
}

/* Never the blocking rpmsg_sendto(): it can sleep for 15 s. Any error but "no
 * buffer" means that the message has nowhere to go; keeping it would not help. */
static bool gpio_send(void *context, const void *message, size_t length)
{
	struct gpio_endpoint *gpio = context;
	int sent;

	if (!gpio->driver_known)
		return true;
	sent = rpmsg_trysendto(&gpio->ept, message, (int)length, gpio->driver);
	return sent != RPMSG_ERR_NO_BUFF && sent != RPMSG_ERR_NO_MEM;
}

const struct rpmsg_gpio_channel gpio_channel = { .send = gpio_send };

/* False when the reply before has found no buffer yet. Replies and events go to
 * whoever asked last. */
static bool take_oldest(struct gpio_endpoint *gpio)
{
	unsigned int at = gpio->tail % RX_BUFFERS;

	if (!rpmsg_gpio_device_ready(&gpio->device))
		return false;
	gpio->driver = gpio->held[at].source;
	gpio->driver_known = true;
	if (!rpmsg_gpio_device_receive(&gpio->device, gpio->held[at].data,
				       gpio->held[at].length))
		return false;
	rpmsg_release_rx_buffer(&gpio->ept, gpio->held[at].data);
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

int gpio_announce(struct gpio_endpoint *gpio, struct rpmsg_device *rdev, const char *name)
{
	gpio->ept.priv = gpio;
	return rpmsg_create_ept(&gpio->ept, rdev, name, RPMSG_ADDR_ANY, RPMSG_ADDR_ANY,
				gpio_received, NULL);
}

void gpio_stop(struct gpio_endpoint *gpio)
{
	/* Without a name nothing is announced: the driver is gone, and OpenAMP would wait
	 * up to 15 s for a buffer of its. */
	gpio->ept.name[0] = '\0';
	rpmsg_destroy_ept(&gpio->ept);
	gpio->head = gpio->tail = 0; /* these buffers go with the vring */
	gpio->driver_known = false;
	gpio->device.refused = false;
	(void)rpmsg_gpio_device_run(&gpio->device); /* drops the reply that waited */
}
