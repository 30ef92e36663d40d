/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_gpio.c - the main loop where the vdev is virtio-gpio itself: Linux' gpio-virtio
 * driver makes a gpiochip of it, without rpmsg and without a service.
 *
 * Everything runs in the main loop; interrupts store what came and wake it.
 */
#include "attachment.h"
#include "machine.h"
#include "mailbox.h"
#include "trace.h"
#include "virtio_gpio_remote.h"

static const char names[] = GPIO_NAMES;

static struct rpmsg_gpio_line lines[GPIO_LINES];
static struct virtio_gpio_remote_line remote_lines[GPIO_LINES];
static struct rpmsg_gpio_device device;
static struct virtio_gpio_remote remote = {.device = &device, .lines = remote_lines};

/* `features` 0: virtio-gpio has no extensions. */
static const struct rpmsg_gpio_device_config config = {
	.port = &gpio_port,
	.channel = &virtio_gpio_remote_channel,
	.channel_context = &remote,
	.lines = lines,
	.ngpio = GPIO_LINES,
	.names = names,
	.names_size = sizeof(names),
};

static void look_for_rings(void)
{
	uint32_t epoch; /* of rpmsg alone */

	switch (attachment_poll(&remote.rings, &epoch)) {
	case ATTACHMENT_NEW:
		if (virtio_gpio_remote_start(&remote))
			trace_say("a driver is there");
		break;
	case ATTACHMENT_GONE:
		virtio_gpio_remote_stop(&remote);
		trace_say("no driver");
		break;
	case ATTACHMENT_AS_BEFORE:
		break;
	}
}

static void serve_rings(void)
{
	unsigned int i;

	virtio_gpio_remote_run(&remote);
	for (i = 0; i < REMOTE_RINGS_COUNT; i++)
		if (remote_rings_publish(&remote.rings, i))
			machine_mailbox((uint8_t)(MAILBOX_QUEUE | i));
	if (remote.rings.broken)
		attachment_broken();
}

void firmware_main(uint32_t seed)
{
	rpmsg_gpio_device_init(&device, &config);
	machine_init();
	gpio_reset(&device);
	virtio_gpio_remote_stop(&remote); /* there is no driver yet */
	trace_say("started");
	attachment_init(seed);
	for (;;) {
		woken = false;
		look_for_rings();
		if (!remote.rings.broken)
			serve_rings();
		sleep_until_woken();
	}
}
