/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_main.c - virtio-gpio over TI's IPC RPMsg, in a task. It takes the place of
 * ipc_rpmsg_echo.c in the SDK's example ipc_rpmsg_echo_linux, whose own main.c calls
 * ipc_rpmsg_echo_main().
 */
#include <drivers/ipc_notify.h>
#include <kernel/dpl/DebugP.h>
#include <kernel/dpl/HwiP.h>
#include <kernel/dpl/SemaphoreP.h>

#include "ti_board_open_close.h"
#include "ti_drivers_open_close.h"

#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"

#define ADDRESS 14u /* of the endpoint */
#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define EDGES 32 /* on their way; a power of two */

/* What Linux's remoteproc says by mailbox when it is about to stop this core, and our answer. */
#define MAILBOX_CLIENT 15u
#define MAILBOX_SHUTDOWN 0x0fffff14u
#define MAILBOX_SHUTDOWN_ACK 0x0fffff15u

void ipc_rpmsg_echo_main(void *unused);

static struct rpmsg_gpio_line lines[BOARD_NGPIO];
static struct rpmsg_gpio_stream streams[BOARD_NGPIO];
static volatile struct rpmsg_gpio_edge edges[EDGES];
static struct gpio_endpoint gpio;
static struct rpmsg_gpio_device_config config;
static SemaphoreP_Object woken;
static volatile bool stopping;

/* EPOCH is left out: see the README before it is added. */
static void configure(void)
{
	config.port = &gpio_port;
	config.channel = &gpio_channel;
	config.channel_context = &gpio;
	config.lines = lines;
	config.streams = streams;
	config.edges = edges;
	config.edge_count = EDGES;
	config.ngpio = BOARD_NGPIO;
	config.features = RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | RPMSG_GPIO_F_TAG |
			  RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | RPMSG_GPIO_F_BULK;
	config.label = BOARD_LABEL;
	config.names = gpio_names;
	config.names_size = gpio_names_size;
}

void gpio_wake(void)
{
	SemaphoreP_post(&woken);
}

static void mailbox_told(uint32_t core, uint16_t client, uint32_t message, int32_t crc, void *arg)
{
	(void)core; (void)client; (void)crc; (void)arg;
	if (message == MAILBOX_SHUTDOWN) {
		stopping = true;
		gpio_wake();
	}
}

/* A post that comes before the sleep ends it at once. RPMsg tells no task that Linux freed
 * buffers, so the loop looks once a tick while something waits for one. */
static void serve(void)
{
	while (!stopping) {
		gpio_run(&gpio);
		(void)SemaphoreP_pend(&woken, gpio_waits(&gpio) ? 1 : SystemP_WAIT_FOREVER);
	}
}

/* Linux takes the core down after the answer, and waits for it to be idle. */
static void stop(void)
{
	Drivers_close();
	(void)IpcNotify_sendMsg(BOARD_LINUX_CORE, MAILBOX_CLIENT, MAILBOX_SHUTDOWN_ACK, 1);
	(void)HwiP_disable();
	for (;;)
		__asm__ volatile("wfi" ::: "memory");
}

/* What fails here is a fault of the build or of the board: there is nothing to go on with. */
static void must(int32_t status)
{
	if (status != SystemP_SUCCESS) {
		DebugP_log("rpmsg-gpio: start failed, %d\r\n", (int)status);
		stop();
	}
}

void ipc_rpmsg_echo_main(void *unused)
{
	(void)unused;
	(void)Drivers_open();
	(void)Board_driversOpen();
	must(SemaphoreP_constructBinary(&woken, 0));
	gpio_port_init(&gpio.device);
	configure();
	gpio_init(&gpio, &config);
	must(RPMessage_waitForLinuxReady(SystemP_WAIT_FOREVER));
	must(IpcNotify_registerClient(MAILBOX_CLIENT, mailbox_told, NULL));
	must(gpio_start(&gpio, BOARD_LINUX_CORE, ADDRESS, CHANNEL));
	serve();
	stop();
}
