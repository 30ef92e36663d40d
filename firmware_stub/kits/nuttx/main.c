/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over NuttX's rpmsg, in a kernel thread of its own.
 *
 * NuttX calls back from the thread of the link: messages are only kept there. The mutex keeps a
 * link that comes or goes out of the middle of gpio_run().
 */
#include <nuttx/config.h>

#include <nuttx/kthread.h>
#include <nuttx/mutex.h>
#include <nuttx/rpmsg/rpmsg.h>
#include <nuttx/semaphore.h>

#include <stdlib.h>
#include <string.h>

#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"
#include "gpio_start.h"

#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define EDGES 32 /* on their way; a power of two */

static struct rpmsg_gpio_line lines[BOARD_NGPIO];
static struct rpmsg_gpio_stream streams[BOARD_NGPIO];
static volatile struct rpmsg_gpio_edge edges[EDGES];
static struct gpio_endpoint gpio;
static struct rpmsg_gpio_device_config config;
static struct rpmsg_device *link_device; /* NULL: down */
static mutex_t lock = NXMUTEX_INITIALIZER;
static sem_t woken;

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
			  RPMSG_GPIO_F_EPOCH | RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP |
			  RPMSG_GPIO_F_BULK;
	config.epoch = arc4random();
	if (!config.epoch) /* says that there is none */
		config.epoch = 1;
	config.label = BOARD_LABEL;
	config.names = gpio_names;
	config.names_size = gpio_names_size;
}

/* Once is enough, and a counter that grew would keep the thread awake. */
void gpio_wake(void)
{
	int value = 0;

	(void)nxsem_get_value(&woken, &value);
	if (value < 1)
		(void)nxsem_post(&woken);
}

/* NuttX wakes only those who wait for a buffer inside of it, so the thread looks once a tick while
 * something waits for one. */
static int run_gpio(int argc, char *argv[])
{
	bool waits;

	(void)argc;
	(void)argv;
	for (;;) {
		(void)nxmutex_lock(&lock);
		gpio_run(&gpio);
		waits = link_device && gpio_waits(&gpio);
		(void)nxmutex_unlock(&lock);
		if (waits)
			(void)nxsem_tickwait_uninterruptible(&woken, 1);
		else
			(void)nxsem_wait_uninterruptible(&woken);
	}
	return 0; /* never */
}

/* Of several links the one to CONFIG_RPMSG_GPIO_CPUNAME is meant. */
static void created(struct rpmsg_device *rdev, void *priv)
{
	(void)priv;
	if (strcmp(rpmsg_get_cpuname(rdev), CONFIG_RPMSG_GPIO_CPUNAME) != 0)
		return;
	(void)nxmutex_lock(&lock);
	if (!link_device && gpio_announce(&gpio, rdev, CHANNEL) == RPMSG_SUCCESS)
		link_device = rdev;
	(void)nxmutex_unlock(&lock);
}

/* Lines stay as they are. */
static void destroyed(struct rpmsg_device *rdev, void *priv)
{
	(void)priv;
	(void)nxmutex_lock(&lock);
	if (link_device == rdev) {
		link_device = NULL;
		gpio_stop(&gpio);
	}
	(void)nxmutex_unlock(&lock);
}

int gpio_initialize(void)
{
	int status;

	(void)nxsem_init(&woken, 0, 0);
	gpio_port_init(&gpio.device);
	configure();
	gpio_init(&gpio, &config);
	status = kthread_create("rpmsg-gpio", CONFIG_RPMSG_GPIO_PRIORITY,
				CONFIG_RPMSG_GPIO_STACKSIZE, run_gpio, NULL);
	if (status < 0)
		return status;
	return rpmsg_register_callback(NULL, created, destroyed, NULL, NULL);
}
