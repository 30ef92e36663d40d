/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive.h - drives a kit's endpoint through its stand-in; included once, after the endpoint's
 * header. The stand-in provides what is declared below.
 */
#include <string.h>

#include "check.h"

#define DRIVER 0x1234u
#define OTHER 0x1235u

/* False: refused. `descriptors`: of the vring that Linux sends on. */
static bool stand_in_start(unsigned int descriptors);
static void stand_in_deliver(void *message, size_t length, uint32_t source);

static struct gpio_endpoint gpio;
static unsigned int free_buffers, sent, released, endpoints, wakes;
static uint32_t sent_to;
static uint8_t last[8];
static size_t last_length;
static char announced[32];

void gpio_wake(void)
{
	wakes++;
}

static bool take_tx_buffer(const void *message, size_t length, uint32_t destination)
{
	if (!free_buffers)
		return false;
	free_buffers--;
	sent++;
	sent_to = destination;
	last_length = length;
	memcpy(last, message, length < sizeof(last) ? length : sizeof(last));
	return true;
}

/* ---- a port with pins that are always low --------------------------------- */

static bool set_direction(void *context, uint16_t pin, uint8_t direction, uint8_t value)
{
	(void)context; (void)pin; (void)direction; (void)value;
	return true;
}

static bool set_value(void *context, uint16_t pin, uint8_t value)
{
	(void)context; (void)pin; (void)value;
	return true;
}

static bool get_value(void *context, uint16_t pin, uint8_t *value)
{
	(void)context; (void)pin;
	*value = 0;
	return true;
}

static bool set_irq_type(void *context, uint16_t pin, uint8_t type)
{
	(void)context; (void)pin; (void)type;
	return true;
}

static const struct rpmsg_gpio_port low_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
};

static struct rpmsg_gpio_line low_lines[4];
static const struct rpmsg_gpio_device_config low_config = {
	.port = &low_port,
	.channel = &gpio_channel,
	.channel_context = &gpio,
	.lines = low_lines,
	.ngpio = 4,
};

/* Buffers live until they are released, so each message has its own. */
static void request(uint16_t type, uint16_t line, uint32_t value)
{
	static struct virtio_gpio_request buffers[RX_BUFFERS];
	static unsigned int next;
	struct virtio_gpio_request *message = &buffers[next++ % RX_BUFFERS];

	message->type = rpmsg_gpio_store16(type);
	message->gpio = rpmsg_gpio_store16(line);
	message->value = rpmsg_gpio_store32(value);
	stand_in_deliver(message, sizeof(*message), DRIVER);
}

static void begin(unsigned int buffers)
{
	memset(&gpio, 0, sizeof(gpio));
	free_buffers = buffers;
	sent = released = endpoints = wakes = 0;
	gpio_init(&gpio, &low_config);
	CHECK(stand_in_start(RX_BUFFERS));
}

/* ---- the tests ------------------------------------------------------------- */

static void answers_whoever_asked(void)
{
	static const uint8_t reply[] = { 0, 0, 0, 0 };

	begin(16);
	CHECK(strcmp(announced, "rpmsg-io-0") == 0);
	request(VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	CHECK_EQ(sent, 0);
	CHECK_EQ(wakes, 1);
	CHECK(gpio_waits(&gpio));
	gpio_run(&gpio);
	CHECK(!gpio_waits(&gpio));
	CHECK_EQ(sent, 1);
	CHECK_EQ(released, 1);
	CHECK_EQ(sent_to, DRIVER);
	CHECK_EQ(last_length, sizeof(reply));
	CHECK_BYTES(last, reply, sizeof(reply));
}

static void keeps_what_finds_no_buffer(void)
{
	unsigned int n;

	begin(0);
	for (n = 0; n < RX_BUFFERS; n++)
		request(VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	gpio_run(&gpio);
	CHECK_EQ(sent, 0);
	CHECK_EQ(released, 1); /* its reply waits in the device */
	CHECK(gpio_waits(&gpio));
	free_buffers = 3;
	gpio_run(&gpio);
	CHECK_EQ(sent, 3);
	CHECK_EQ(released, 4);
	free_buffers = RX_BUFFERS;
	gpio_run(&gpio);
	CHECK_EQ(sent, RX_BUFFERS);
	CHECK_EQ(released, RX_BUFFERS);
}

static void sends_an_event_when_it_can(void)
{
	static const uint8_t event[] = { 1, 0, 2, 0 };

	begin(2);
	request(VIRTIO_GPIO_MSG_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_IN);
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 2, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	gpio_run(&gpio);
	CHECK_EQ(sent, 2);
	rpmsg_gpio_device_irq(&gpio.device, 2);
	gpio_run(&gpio);
	CHECK_EQ(sent, 2);
	CHECK(gpio_waits(&gpio));
	free_buffers = 1;
	gpio_run(&gpio);
	CHECK_EQ(sent, 3);
	CHECK_EQ(last_length, sizeof(event));
	CHECK_BYTES(last, event, sizeof(event));
}

static void is_silent_before_the_driver_spoke(void)
{
	begin(16);
	rpmsg_gpio_device_irq(&gpio.device, 2);
	gpio_run(&gpio);
	CHECK_EQ(sent, 0);
	CHECK(!gpio.device.pending);
}

/* What cannot be held would be lost: a request that times out. */
static void refuses_a_ring_that_is_too_long(void)
{
	memset(&gpio, 0, sizeof(gpio));
	endpoints = 0;
	gpio_init(&gpio, &low_config);
	CHECK(!stand_in_start(2 * RX_BUFFERS));
	CHECK_EQ(endpoints, 0);
}

static void an_empty_message_asks_for_nothing(void)
{
	struct virtio_gpio_request nothing;

	begin(16);
	request(VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	gpio_run(&gpio);
	stand_in_deliver(&nothing, 0, OTHER);
	gpio_run(&gpio);
	CHECK_EQ(sent, 1);
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 2, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	gpio_run(&gpio);
	stand_in_deliver(&nothing, 0, OTHER);
	rpmsg_gpio_device_irq(&gpio.device, 2);
	gpio_run(&gpio);
	CHECK_EQ(sent, 3);
	CHECK_EQ(sent_to, DRIVER);
}

/* Linux restarts: lines stay, what was meant for the old driver is gone. */
static void starts_again_after_linux_did(void)
{
	static const uint8_t direction[] = { 0, 0, 0, VIRTIO_GPIO_DIRECTION_OUT };

	begin(1);
	request(VIRTIO_GPIO_MSG_SET_DIRECTION, 1, VIRTIO_GPIO_DIRECTION_OUT);
	request(VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	request(VIRTIO_GPIO_MSG_GET_VALUE, 1, 0);
	gpio_run(&gpio);
	CHECK_EQ(sent, 1); /* a reply waits, and a request behind it */
	gpio_stop(&gpio);
	CHECK_EQ(endpoints, 0);
	announced[0] = '\0';
	free_buffers = 16;
	CHECK(stand_in_start(RX_BUFFERS));
	CHECK(strcmp(announced, "rpmsg-io-0") == 0);
	gpio_run(&gpio);
	CHECK_EQ(sent, 1);
	request(VIRTIO_GPIO_MSG_GET_DIRECTION, 1, 0);
	gpio_run(&gpio);
	CHECK_EQ(sent, 2);
	CHECK_BYTES(last, direction, sizeof(direction));
}

int main(void)
{
	RUN(answers_whoever_asked);
	RUN(keeps_what_finds_no_buffer);
	RUN(sends_an_event_when_it_can);
	RUN(is_silent_before_the_driver_spoke);
	RUN(refuses_a_ring_that_is_too_long);
	RUN(an_empty_message_asks_for_nothing);
	RUN(starts_again_after_linux_did);
	return check_report();
}
