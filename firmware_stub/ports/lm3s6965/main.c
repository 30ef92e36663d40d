/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over the serial framing on an LM3S6965.
 *
 * Everything runs in the main loop; interrupts store what came and wake it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "clock.h"
#include "epoch.h"
#include "gpio.h"
#include "lm3s6965.h"
#include "rpmsg_gpio_device.h"
#include "rpmsg_gpio_serial.h"
#include "startup.h"
#include "uart.h"

#define FEATURES \
	(RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | RPMSG_GPIO_F_TAG | \
	 RPMSG_GPIO_F_EPOCH | RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | \
	 RPMSG_GPIO_F_BULK | RPMSG_GPIO_F_LINE_CONFIG)

#define EDGES 32 /* on their way, a controller */

struct controller {
	struct rpmsg_gpio_device device;
	struct rpmsg_gpio_device_config config;
	uint8_t endpoint;
	uint8_t port; /* the driver's, known once it spoke */
	bool port_known;
};

static const struct rpmsg_gpio_serial_channel channels[BOARD_CONTROLLERS] = {
	{ RPMSG_GPIO_CHANNEL_PREFIX "0", 0 },
	{ RPMSG_GPIO_CHANNEL_PREFIX "1", 1 },
};

static struct rpmsg_gpio_line lines_0[BOARD_LINES_0], lines_1[BOARD_LINES_1];
static struct rpmsg_gpio_line *const lines[BOARD_CONTROLLERS] = { lines_0, lines_1 };
static struct rpmsg_gpio_stream streams_0[BOARD_LINES_0], streams_1[BOARD_LINES_1];
static struct rpmsg_gpio_stream *const streams[BOARD_CONTROLLERS] = { streams_0, streams_1 };
static volatile struct rpmsg_gpio_edge edges[BOARD_CONTROLLERS][EDGES];
static struct controller controllers[BOARD_CONTROLLERS];
static struct gpio_bank banks[BOARD_CONTROLLERS];
static struct rpmsg_gpio_serial serial;
static volatile bool woken;

/* ---- the message port, behind which is the serial framing ------------------- */

/* Without a driver to speak to the message is lost, as on a dead wire. */
static bool channel_send(void *context, const void *message, size_t length)
{
	const struct controller *controller = context;

	if (!controller->port_known)
		return true;
	return rpmsg_gpio_serial_send(&serial, controller->endpoint, controller->port,
				      message, length);
}

static const struct rpmsg_gpio_channel channel = {
	.send = channel_send,
	.event_max = RPMSG_GPIO_SERIAL_EVENT_MAX,
};

static size_t serial_write(void *context, const uint8_t *bytes, size_t length)
{
	(void)context;
	return uart_write(bytes, length);
}

static bool serial_received(void *context, uint8_t endpoint, uint8_t port,
			    const void *message, size_t length)
{
	struct controller *controller;

	(void)context;
	if (endpoint >= BOARD_CONTROLLERS || !length)
		return true;
	controller = &controllers[endpoint];
	if (!rpmsg_gpio_device_ready(&controller->device))
		return false;
	controller->port = port;
	controller->port_known = true;
	return rpmsg_gpio_device_receive(&controller->device, message, length);
}

static void serial_session(void *context, bool open)
{
	unsigned int i;

	(void)context;
	(void)open;
	for (i = 0; i < BOARD_CONTROLLERS; i++) {
		controllers[i].port_known = false;
		(void)rpmsg_gpio_device_run(&controllers[i].device);
	}
}

static const struct rpmsg_gpio_serial_ops serial_ops = {
	.write = serial_write,
	.received = serial_received,
	.session = serial_session,
};

/* Of the UART's interrupt. */
static void byte_received(uint8_t byte)
{
	rpmsg_gpio_serial_rx(&serial, byte);
}

/* ---- the main loop ------------------------------------------------------------- */

void wake_main(void)
{
	woken = true;
}

static bool run_devices(void)
{
	bool ran = false;
	unsigned int i;

	for (i = 0; i < BOARD_CONTROLLERS; i++) {
		struct rpmsg_gpio_device *device = &controllers[i].device;

		if (!device->pending && !device->reply_length)
			continue;
		(void)rpmsg_gpio_device_run(device);
		ran = true;
	}
	return ran;
}

static uint32_t now_us(void)
{
	return (uint32_t)(clock_ns() / 1000);
}

/* Returns the microseconds until there is work again, UINT32_MAX for never. What finds no room in
 * the link is sent after an acknowledgement has made room. */
static uint32_t work(void)
{
	uint32_t wait = rpmsg_gpio_serial_run(&serial, now_us());

	if (run_devices())
		wait = rpmsg_gpio_serial_run(&serial, now_us());
	return wait;
}

static void set_alarm(uint32_t wait)
{
	if (wait == UINT32_MAX)
		clock_wake_never();
	else
		clock_wake_at(clock_ns() + (uint64_t)wait * 1000);
}

/* `woken` shows an interrupt that came before this look at it, and one that comes after it ends
 * the sleep: it is taken when interrupts are back on. */
static void sleep_until_woken(void)
{
	uint32_t primask = irq_save();

	if (!woken)
		wait_for_interrupt();
	irq_restore(primask);
}

/* ---- start ------------------------------------------------------------------------ */

static void init_controller(unsigned int i, uint32_t epoch)
{
	const struct board_controller *board = &board_controllers[i];
	struct controller *controller = &controllers[i];

	banks[i].pins = board->pins;
	banks[i].ngpio = board->ngpio;
	banks[i].device = &controller->device;
	controller->endpoint = channels[i].endpoint;
	controller->config.port = &gpio_port;
	controller->config.port_context = &banks[i];
	controller->config.channel = &channel;
	controller->config.channel_context = controller;
	controller->config.lines = lines[i];
	controller->config.streams = streams[i];
	controller->config.edges = edges[i];
	controller->config.edge_count = EDGES;
	controller->config.ngpio = board->ngpio;
	controller->config.features = FEATURES;
	controller->config.epoch = epoch;
	controller->config.label = board->label;
	controller->config.names = board->names;
	controller->config.names_size = board->names_size;
	rpmsg_gpio_device_init(&controller->device, &controller->config);
}

static void init_serial(uint32_t epoch)
{
	static struct rpmsg_gpio_serial_config config = {
		.ops = &serial_ops,
		.channels = channels,
		.channel_count = BOARD_CONTROLLERS,
	};

	config.epoch = epoch;
	rpmsg_gpio_serial_init(&serial, &config);
	uart_init(byte_received);
}

int main(void)
{
	uint32_t epoch, wait;
	unsigned int i;

	clock_init();
	epoch = epoch_choose();
	for (i = 0; i < BOARD_CONTROLLERS; i++)
		init_controller(i, epoch);
	gpio_init(banks, BOARD_CONTROLLERS);
	init_serial(epoch);
	for (;;) {
		woken = false;
		wait = work();
		set_alarm(wait);
		if (wait)
			sleep_until_woken();
	}
}
