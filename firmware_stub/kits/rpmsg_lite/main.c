/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over RPMsg-Lite, in a FreeRTOS task. It takes the place of
 * main_remote.c in MCUXpresso's example rpmsg_lite_str_echo_rtos.
 */
#include "FreeRTOS.h"
#include "task.h"

#include "app.h"
#include "rsc_table.h"

#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"

#define GPIO_ADDRESS 30u /* of the endpoint; any that nobody else has */
#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define EDGES 32 /* on their way; a power of two */

static struct rpmsg_gpio_line lines[BOARD_NGPIO];
static struct rpmsg_gpio_stream streams[BOARD_NGPIO];
static volatile struct rpmsg_gpio_edge edges[EDGES];
static struct gpio_endpoint gpio;
static struct rpmsg_gpio_device_config config;
static TaskHandle_t gpio_task;

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

/* From interrupts only: the mailbox's, in which RPMsg-Lite calls back, and those of pins. */
void gpio_wake(void)
{
	BaseType_t higher = pdFALSE;

	vTaskNotifyGiveFromISR(gpio_task, &higher);
	portYIELD_FROM_ISR(higher);
}

/* A notification that comes before the sleep ends it at once. RPMsg-Lite tells no task that
 * Linux freed buffers, so the loop looks once a tick while something waits for one. */
static void serve(void)
{
	for (;;) {
		gpio_run(&gpio);
		(void)ulTaskNotifyTake(pdTRUE, gpio_waits(&gpio) ? 1 : portMAX_DELAY);
	}
}

static void run_gpio(void *unused)
{
	struct rpmsg_lite_instance *rpmsg;
	int32_t status;

	(void)unused;
	/* Known here, before any interrupt can wake the task. */
	gpio_task = xTaskGetCurrentTaskHandle();
	gpio_port_init(&gpio.device);
	configure();
	gpio_init(&gpio, &config);
	rpmsg = rpmsg_lite_remote_init((void *)RPMSG_LITE_SHMEM_BASE, RPMSG_LITE_LINK_ID,
				       RL_NO_FLAGS);
	configASSERT(rpmsg != RL_NULL);
	(void)rpmsg_lite_wait_for_link_up(rpmsg, (uint32_t)RL_BLOCK);
	status = gpio_start(&gpio, rpmsg, GPIO_ADDRESS, CHANNEL);
	configASSERT(status == RL_SUCCESS);
	(void)status;
	serve();
}

int main(void)
{
	BaseType_t created;

	BOARD_InitHardware();
	/* Where remoteproc of this SoC reads the resource table from memory. */
	copyResourceTable();
	created = xTaskCreate(run_gpio, "gpio", 512, NULL, tskIDLE_PRIORITY + 2, NULL);
	configASSERT(created == pdPASS);
	(void)created;
	vTaskStartScheduler();
	for (;;)
		; /* the scheduler does not return */
}
