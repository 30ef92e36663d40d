/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over OpenAMP on an STM32MP1's Cortex-M4, bare metal. It takes the place
 * of main.c in STM32Cube's example OpenAMP_TTY_echo; the README has the two lines to change there.
 */
#include "main.h"
#include "openamp.h"

#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"

#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define EDGES 32 /* on their way; a power of two */

IPCC_HandleTypeDef hipcc;
extern struct rpmsg_virtio_device rvdev; /* of openamp.c */

static struct rpmsg_gpio_line lines[BOARD_NGPIO];
static struct rpmsg_gpio_stream streams[BOARD_NGPIO];
static volatile struct rpmsg_gpio_edge edges[EDGES];
static struct gpio_endpoint gpio;
static struct rpmsg_gpio_device_config config;
static volatile bool woken;

/* A fault ends in a reset, not in a loop. */
void Error_Handler(void)
{
	NVIC_SystemReset();
}

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
	woken = true;
}

/* An interrupt that is pending ends WFI also while it is masked, and is taken afterwards: none
 * can slip in between the look and the sleep. */
static void sleep_until_woken(void)
{
	__disable_irq();
	if (!woken)
		__WFI();
	__enable_irq();
}

static void start(void)
{
	if (gpio_start(&gpio, &rvdev, CHANNEL) != RPMSG_SUCCESS)
		Error_Handler();
}

/* Linux has reset the device: it restarts, or its rpmsg driver was unbound. */
static bool was_reset(void)
{
	return rvdev.vdev->func->get_status(rvdev.vdev) == 0;
}

/* Lines stay as they are. rpmsg_init_vdev() waits for Linux. */
static void start_again(void)
{
	struct virtio_device *vdev = rvdev.vdev;
	struct metal_io_region *memory = rvdev.shbuf_io;

	gpio_stop(&gpio); /* before the vrings go */
	rpmsg_deinit_vdev(&rvdev);
	if (rpmsg_init_vdev(&rvdev, vdev, NULL, memory, NULL))
		Error_Handler();
	start();
}

static void init_mailbox(void)
{
	hipcc.Instance = IPCC;
	if (HAL_IPCC_Init(&hipcc) != HAL_OK)
		Error_Handler();
}

int main(void)
{
	(void)HAL_Init();
	__HAL_RCC_HSEM_CLK_ENABLE(); /* behind PERIPH_LOCK() */
	init_mailbox();
	gpio_port_init(&gpio.device);
	configure();
	gpio_init(&gpio, &config);
	/* Returns when Linux is ready. */
	if (MX_OPENAMP_Init(RPMSG_REMOTE, NULL))
		Error_Handler();
	start();
	for (;;) {
		woken = false;
		OPENAMP_check_for_message();
		gpio_run(&gpio);
		if (was_reset())
			start_again();
		sleep_until_woken();
	}
}
