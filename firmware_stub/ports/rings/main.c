/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over rpmsg, on rings in memory that is shared with Linux.
 *
 * Everything runs in the main loop; interrupts store what came and wake it.
 */
#include <string.h>

#include "attachment.h"
#include "machine.h"
#include "mailbox.h"
#include "rpmsg_gpio_device.h"
#include "rpmsg_remote.h"
#include "self_test.h"
#include "trace.h"

#define ADDRESS 1024u /* of our endpoint */
#define EDGES   64    /* on their way */

/* At the rings after a message, before the core sleeps: 0.2 ms in QEMU, where an interrupt
 * and its kick take two threads and a process. On silicon 0 is enough. */
#define LOOKS 12000u

/* Longer than any request: one that is cut off at it is refused as well. */
#define REQUEST_MAX 64u

#define FEATURES (RPMSG_GPIO_FEATURES & ~RPMSG_GPIO_F_LINE_CONFIG)

static const char names[] = GPIO_NAMES;

static struct rpmsg_gpio_line lines[GPIO_LINES];
static struct rpmsg_gpio_stream streams[GPIO_LINES];
static volatile struct rpmsg_gpio_edge edges[EDGES];
static struct rpmsg_gpio_device device;
static struct rpmsg_gpio_device_config config;
static struct remote_rings remote;
static uint32_t driver; /* its address, once it has spoken */
static bool attached, announced, driver_known;

/* ---- the message port ---------------------------------------------------------- */

/* Without a driver to speak to the message is lost, as on a dead wire. */
static bool channel_send(void *context, const void *message, size_t length)
{
	(void)context;
	if (!attached || !driver_known)
		return true;
	return rpmsg_remote_send(&remote, ADDRESS, driver, message, length);
}

static const struct rpmsg_gpio_channel channel = {.send = channel_send};

static bool received(void *context, uint32_t source, uint32_t destination,
		     const void *message, size_t length)
{
	uint8_t copy[REQUEST_MAX];

	(void)context;
	if (destination != ADDRESS)
		return true;
	if (!rpmsg_gpio_device_ready(&device))
		return false;
	driver = source;
	driver_known = true;
	length = length < sizeof(copy) ? length : sizeof(copy);
	memcpy(copy, message, length);
	return rpmsg_gpio_device_receive(&device, copy, length);
}

/* ---- the rings ------------------------------------------------------------------ */

/* The driver came or went; lines stay as they are, and the next one asks. */
static void begin(bool with_rings)
{
	attached = with_rings;
	announced = driver_known = false;
	device.refused = false;
	(void)rpmsg_gpio_device_run(&device); /* drops the reply that waited */
	trace_say(with_rings ? "attached" : "detached");
}

static void look_for_rings(void)
{
	switch (attachment_poll(&remote, &config.epoch)) {
	case ATTACHMENT_NEW:
		begin(true);
		break;
	case ATTACHMENT_GONE:
		begin(false);
		break;
	case ATTACHMENT_AS_BEFORE:
		break;
	}
}

static void announce(void)
{
	announced = rpmsg_remote_announce(&remote, RPMSG_GPIO_CHANNEL_PREFIX "0", ADDRESS, true);
	if (announced)
		trace_say("announced " RPMSG_GPIO_CHANNEL_PREFIX "0");
}

static bool handle_message(void)
{
	bool handled = rpmsg_remote_receive(&remote, received, NULL);

	(void)rpmsg_gpio_device_run(&device);
	return handled;
}

static void publish(void)
{
	unsigned int i;

	for (i = 0; i < RPMSG_VQ_COUNT; i++)
		if (remote_rings_publish(&remote, i))
			machine_mailbox((uint8_t)(MAILBOX_QUEUE | i));
}

/* A driver that waits for a reply has the next request soon: until then it is spared the
 * kick, and this core an interrupt. */
static bool next_comes_soon(void)
{
	unsigned int looks = LOOKS;

	while (looks-- && !woken)
		if (rpmsg_remote_pending(&remote))
			return true;
	return false;
}

static void serve_rings(void)
{
	bool handled;

	if (!announced && rpmsg_remote_ready(&remote))
		announce();
	(void)rpmsg_gpio_device_run(&device);
	do {
		handled = false;
		while (rpmsg_remote_pending(&remote) && handle_message())
			handled = true;
		publish();
	} while (handled && next_comes_soon());
	/* Nothing waits: this asks for a kick, unless something came meanwhile. */
	while (handle_message())
		;
	publish();
	if (remote.broken) {
		begin(false);
		attachment_broken();
	}
}

/* ---- the main loop ---------------------------------------------------------------- */

void firmware_main(uint32_t seed)
{
	config.port = &gpio_port;
	config.channel = &channel;
	config.lines = lines;
	config.streams = streams;
	config.edges = edges;
	config.edge_count = EDGES;
	config.ngpio = GPIO_LINES;
	config.features = FEATURES;
	config.epoch = seed;
	config.label = gpio_label;
	config.names = names;
	config.names_size = sizeof(names);
	rpmsg_gpio_device_init(&device, &config);
	machine_init();
	gpio_reset(&device);
	trace_say("started");
	self_test(&device);
	attachment_init(seed);
	for (;;) {
		woken = false;
		look_for_rings();
		if (attached)
			serve_rings();
		sleep_until_woken();
	}
}
