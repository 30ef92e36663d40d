/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.c - the gpio port of the core on a bank of TI's GPIO module (AM6x, Sitara, Jacinto).
 *
 * The module sees edges only: a level is looked at when it is armed, and an edge to it is waited
 * for. Its registers set and clear single bits, but for the direction, which only the task writes.
 */
#include "gpio_port.h"

#include <drivers/gpio.h>
#include <kernel/dpl/AddrTranslateP.h>
#include <kernel/dpl/ClockP.h>
#include <kernel/dpl/DebugP.h>
#include <kernel/dpl/HwiP.h>

#include "gpio_board.h"
#include "gpio_endpoint.h"

#define PIN(number, name) number,
#define NAME(number, name) name "\0"

static const uint8_t pins[BOARD_NGPIO] = { BOARD_LINES(PIN) };

const char gpio_names[] = BOARD_LINES(NAME);
const uint32_t gpio_names_size = sizeof(gpio_names) - 1;

static struct rpmsg_gpio_device *device;
static volatile uint8_t types[BOARD_NGPIO]; /* VIRTIO_GPIO_IRQ_TYPE_* */
static uint32_t base;

/* 1 us is what the SDK's clock resolves, in tasks and in interrupts. */
static uint64_t get_time(void *context)
{
	(void)context;
	return ClockP_getTimeUsec() * 1000u;
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

static bool is_high(uint16_t gpio)
{
	return GPIO_pinRead(base, pins[gpio]) == GPIO_PIN_HIGH;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	if (value)
		GPIO_pinWriteHigh(base, pins[gpio]);
	else
		GPIO_pinWriteLow(base, pins[gpio]);
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = is_high(gpio);
	return true;
}

/* NONE is an input: undriven, and it can still be read. The level is written before the
 * direction, so that the pin does not show the old one. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	bool out = direction == VIRTIO_GPIO_DIRECTION_OUT;

	if (out)
		(void)set_value(context, gpio, value);
	GPIO_setDirMode(base, pins[gpio], out ? GPIO_DIRECTION_OUTPUT : GPIO_DIRECTION_INPUT);
	return true;
}

static uint32_t trigger_of(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH:
		return GPIO_TRIG_TYPE_RISE_EDGE;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW:
		return GPIO_TRIG_TYPE_FALL_EDGE;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH:
		return GPIO_TRIG_TYPE_BOTH_EDGE;
	default:
		return GPIO_TRIG_TYPE_NONE;
	}
}

/* With interrupts off. The trigger is on before the look, so that no level is missed; what it
 * noticed of a level that the look has found, too, is cleared. */
static void arm(uint16_t gpio, uint8_t type)
{
	GPIO_setTrigType(base, pins[gpio], GPIO_TRIG_TYPE_NONE);
	GPIO_clearIntrStatus(base, pins[gpio]);
	types[gpio] = type;
	GPIO_setTrigType(base, pins[gpio], trigger_of(type));
	if (is_level(type) && is_high(gpio) == (type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH)) {
		GPIO_setTrigType(base, pins[gpio], GPIO_TRIG_TYPE_NONE);
		GPIO_clearIntrStatus(base, pins[gpio]);
		rpmsg_gpio_device_irq(device, gpio);
	}
}

/* An edge type that is re-armed has nothing to do, and must not clear an edge that just came. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	uintptr_t state;

	(void)context;
	if (types[gpio] == type && !is_level(type))
		return true;
	state = HwiP_disable();
	arm(gpio, type);
	HwiP_restore(state);
	return true;
}

const struct rpmsg_gpio_port gpio_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
};

/* ---- the interrupt of the bank ---------------------------------------------------- */

/* When both edges fire, only the pin can tell, and it may have changed again. */
static bool level_of(uint16_t gpio)
{
	if (types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH)
		return is_high(gpio);
	return types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING;
}

static void fired(uint16_t gpio, uint64_t now)
{
	if (types[gpio] == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return;
	if (is_level(types[gpio])) {
		/* Silent until the driver has seen it. */
		GPIO_setTrigType(base, pins[gpio], GPIO_TRIG_TYPE_NONE);
		rpmsg_gpio_device_irq(device, gpio);
	} else {
		rpmsg_gpio_device_edge(device, gpio, level_of(gpio), now);
	}
}

static void handle(void *unused)
{
	uint64_t now = get_time(NULL);
	uint32_t status = GPIO_getBankIntrStatus(base, BOARD_BANK);
	uint16_t gpio;

	(void)unused;
	/* Before the core is told: an edge from here on is the next one. */
	GPIO_clearBankIntrStatus(base, BOARD_BANK, status);
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++)
		if (status & 1u << (pins[gpio] % GPIO_MAX_PIN_PER_BANK))
			fired(gpio, now);
	gpio_wake();
}

void gpio_port_init(struct rpmsg_gpio_device *of)
{
	static HwiP_Object interrupt;
	HwiP_Params params;
	uint16_t gpio;
	int32_t status;

	device = of;
	base = (uint32_t)(uintptr_t)AddrTranslateP_getLocalAddr(BOARD_GPIO_BASE);
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++) {
		GPIO_setTrigType(base, pins[gpio], GPIO_TRIG_TYPE_NONE);
		GPIO_setDirMode(base, pins[gpio], GPIO_DIRECTION_INPUT);
	}
	Board_gpioInit();
	HwiP_Params_init(&params);
	params.intNum = Board_getGpioButtonIntrNum();
	params.callback = handle;
	params.isPulse = 1;
	status = HwiP_construct(&interrupt, &params);
	DebugP_assert(status == SystemP_SUCCESS);
	(void)status;
	GPIO_bankIntrEnable(base, BOARD_BANK);
}
