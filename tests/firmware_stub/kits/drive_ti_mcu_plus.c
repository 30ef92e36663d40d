/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive_ti_mcu_plus.c - the kit for TI's MCU+ SDK, endpoint and gpio port, driven through
 * stand-ins: a queue of messages, and a GPIO module that sees edges only.
 */
#include <string.h>

#include <drivers/gpio.h>
#include <kernel/dpl/AddrTranslateP.h>
#include <kernel/dpl/ClockP.h>
#include <kernel/dpl/HwiP.h>

#include "check.h"
#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"

#define DRIVER 0x123u
#define LINE 0u
#define PIN 15u /* of line 0 */

static struct rpmsg_gpio_line lines[BOARD_NGPIO];
static struct gpio_endpoint gpio;
static struct rpmsg_gpio_device_config config;

/* ---- RPMsg ------------------------------------------------------------------------ */

static RPMessage_RecvNotifyCallback tell;
static struct virtio_gpio_request queue[8];
static unsigned int queued, fetched, free_buffers, sent, wakes;
static uint8_t last[8];
static uint16_t last_length, last_port;
static char announced[32];

void RPMessage_CreateParams_init(RPMessage_CreateParams *params)
{
	memset(params, 0, sizeof(*params));
}

int32_t RPMessage_construct(RPMessage_Object *obj, const RPMessage_CreateParams *params)
{
	(void)obj;
	CHECK(params->recvNotifyCallbackArgs == &gpio);
	tell = params->recvNotifyCallback;
	return SystemP_SUCCESS;
}

uint16_t RPMessage_getLocalEndPt(const RPMessage_Object *obj)
{
	(void)obj;
	return 14;
}

int32_t RPMessage_announce(uint16_t core, uint16_t port, const char *name)
{
	CHECK_EQ(core, BOARD_LINUX_CORE);
	CHECK_EQ(port, 14);
	strncpy(announced, name, sizeof(announced) - 1);
	return SystemP_SUCCESS;
}

int32_t RPMessage_send(void *data, uint16_t length, uint16_t core, uint16_t port,
		       uint16_t local_port, uint32_t timeout)
{
	CHECK_EQ(core, BOARD_LINUX_CORE);
	CHECK_EQ(local_port, 14);
	CHECK(timeout < 100); /* ticks */
	if (!free_buffers)
		return SystemP_TIMEOUT;
	free_buffers--;
	sent++;
	last_port = port;
	last_length = length;
	memcpy(last, data, length < sizeof(last) ? length : sizeof(last));
	return SystemP_SUCCESS;
}

int32_t RPMessage_recv(RPMessage_Object *obj, void *data, uint16_t *length, uint16_t *core,
		       uint16_t *port, uint32_t timeout)
{
	(void)obj;
	CHECK_EQ(timeout, SystemP_NO_WAIT);
	CHECK(fetched != queued); /* the SDK logs an error */
	memcpy(data, &queue[fetched++ % 8], sizeof(queue[0]));
	*length = sizeof(queue[0]);
	*core = BOARD_LINUX_CORE;
	*port = DRIVER;
	return SystemP_SUCCESS;
}

void gpio_wake(void)
{
	wakes++;
}

/* ---- the GPIO module, and its interrupt ------------------------------------------------ */

static HwiP_FxnCallback interrupt;
static uint32_t level, outputs, driven, rising, falling, status, masked;

void *AddrTranslateP_getLocalAddr(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

uint64_t ClockP_getTimeUsec(void)
{
	return 1;
}

void Board_gpioInit(void)
{
}

uint32_t Board_getGpioButtonIntrNum(void)
{
	return 20;
}

void HwiP_Params_init(HwiP_Params *params)
{
	memset(params, 0, sizeof(*params));
}

int32_t HwiP_construct(HwiP_Object *obj, HwiP_Params *params)
{
	(void)obj;
	interrupt = params->callback;
	return SystemP_SUCCESS;
}

uintptr_t HwiP_disable(void)
{
	return masked++;
}

void HwiP_restore(uintptr_t state)
{
	masked = (uint32_t)state;
}

void GPIO_setDirMode(uint32_t base, uint32_t pin, uint32_t direction)
{
	CHECK_EQ(base, BOARD_GPIO_BASE);
	outputs = direction == GPIO_DIRECTION_OUTPUT ? outputs | 1u << pin : outputs & ~(1u << pin);
}

void GPIO_pinWriteHigh(uint32_t base, uint32_t pin)
{
	(void)base;
	driven |= 1u << pin;
}

void GPIO_pinWriteLow(uint32_t base, uint32_t pin)
{
	(void)base;
	driven &= ~(1u << pin);
}

uint32_t GPIO_pinRead(uint32_t base, uint32_t pin)
{
	(void)base;
	return ((outputs & driven) | (~outputs & level)) >> pin & 1u;
}

void GPIO_setTrigType(uint32_t base, uint32_t pin, uint32_t type)
{
	(void)base;
	rising = type & GPIO_TRIG_TYPE_RISE_EDGE ? rising | 1u << pin : rising & ~(1u << pin);
	falling = type & GPIO_TRIG_TYPE_FALL_EDGE ? falling | 1u << pin : falling & ~(1u << pin);
}

void GPIO_bankIntrEnable(uint32_t base, uint32_t bank)
{
	(void)base;
	CHECK_EQ(bank, BOARD_BANK);
}

void GPIO_clearIntrStatus(uint32_t base, uint32_t pin)
{
	(void)base;
	status &= ~(1u << pin);
}

uint32_t GPIO_getBankIntrStatus(uint32_t base, uint32_t bank)
{
	(void)base; (void)bank;
	return status;
}

void GPIO_clearBankIntrStatus(uint32_t base, uint32_t bank, uint32_t which)
{
	(void)base; (void)bank;
	status &= ~which;
}

static void drive_from_outside(bool high)
{
	uint32_t before = level;

	level = high ? level | 1u << PIN : level & ~(1u << PIN);
	status |= (level & ~before & rising) | (before & ~level & falling);
	CHECK(!masked);
	if (status)
		interrupt(NULL);
	gpio_run(&gpio);
}

/* ---- the tests ---------------------------------------------------------------------- */

static void ask(uint16_t type, uint32_t value)
{
	struct virtio_gpio_request *message = &queue[queued++ % 8];

	message->type = rpmsg_gpio_store16(type);
	message->gpio = rpmsg_gpio_store16(LINE);
	message->value = rpmsg_gpio_store32(value);
	tell(&gpio.rpmsg, &gpio);
	gpio_run(&gpio);
}

static void begin(void)
{
	level = outputs = driven = rising = falling = status = 0;
	queued = fetched = sent = wakes = 0;
	free_buffers = 100;
	config.port = &gpio_port;
	config.channel = &gpio_channel;
	config.channel_context = &gpio;
	config.lines = lines;
	config.ngpio = BOARD_NGPIO;
	gpio_port_init(&gpio.device);
	gpio_init(&gpio, &config);
	CHECK_EQ(gpio_start(&gpio, BOARD_LINUX_CORE, 14, "rpmsg-io-0"), SystemP_SUCCESS);
	/* The port keeps what it armed: as after a driver that has left. */
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_NONE);
	ask(VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_IN);
	sent = 0;
}

static void answers_whoever_asked(void)
{
	static const uint8_t reply[] = { 0, 0, 0, 1 };

	begin();
	CHECK(strcmp(announced, "rpmsg-io-0") == 0);
	level = 1u << PIN;
	ask(VIRTIO_GPIO_MSG_GET_VALUE, 0);
	CHECK_EQ(sent, 1);
	CHECK_EQ(last_port, DRIVER);
	CHECK_EQ(last_length, sizeof(reply));
	CHECK_BYTES(last, reply, sizeof(reply));
	CHECK(wakes > 0);
	CHECK(!gpio_waits(&gpio));
}

static void keeps_what_finds_no_buffer(void)
{
	begin();
	free_buffers = 0;
	ask(VIRTIO_GPIO_MSG_GET_VALUE, 0);
	ask(VIRTIO_GPIO_MSG_GET_VALUE, 0);
	ask(VIRTIO_GPIO_MSG_GET_VALUE, 0);
	CHECK_EQ(sent, 0);
	CHECK(gpio_waits(&gpio));
	free_buffers = 3;
	gpio_run(&gpio);
	CHECK_EQ(sent, 3);
	CHECK(!gpio_waits(&gpio));
}

static void drives_a_pin_from_its_first_level_on(void)
{
	begin();
	ask(VIRTIO_GPIO_MSG_SET_VALUE, 1);
	ask(VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_OUT);
	CHECK_EQ(outputs, 1u << PIN);
	CHECK_EQ(driven, 1u << PIN);
	ask(VIRTIO_GPIO_MSG_SET_VALUE, 0);
	CHECK_EQ(driven, 0);
	ask(VIRTIO_GPIO_MSG_SET_DIRECTION, VIRTIO_GPIO_DIRECTION_NONE);
	CHECK_EQ(outputs, 0);
}

static void tells_of_an_edge_once_an_arming(void)
{
	static const uint8_t event[] = { 1, 0, 0, 0 };

	begin();
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	CHECK_EQ(sent, 1);
	drive_from_outside(true);
	CHECK_EQ(sent, 2);
	CHECK_BYTES(last, event, sizeof(event));
	drive_from_outside(false);
	CHECK_EQ(sent, 2);
	drive_from_outside(true); /* latched, and told after the re-arm */
	CHECK_EQ(sent, 2);
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	CHECK_EQ(sent, 4);
	CHECK_BYTES(last, event, sizeof(event));
}

static void looks_at_a_level_when_it_is_armed(void)
{
	begin();
	level = 1u << PIN;
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK_EQ(sent, 2);
	drive_from_outside(false);
	drive_from_outside(true);
	CHECK_EQ(sent, 2); /* silent until the re-arm */
	drive_from_outside(false);
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK_EQ(sent, 3); /* low: the reply alone */
	drive_from_outside(true);
	CHECK_EQ(sent, 4);
}

static void is_silent_once_disarmed(void)
{
	begin();
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	ask(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, VIRTIO_GPIO_IRQ_TYPE_NONE);
	sent = 0;
	drive_from_outside(true);
	drive_from_outside(false);
	CHECK_EQ(sent, 0);
}

int main(void)
{
	RUN(answers_whoever_asked);
	RUN(keeps_what_finds_no_buffer);
	RUN(drives_a_pin_from_its_first_level_on);
	RUN(tells_of_an_edge_once_an_arming);
	RUN(looks_at_a_level_when_it_is_armed);
	RUN(is_silent_once_disarmed);
	return check_report();
}
