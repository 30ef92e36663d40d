/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.c - the gpio port of the core on the GPIO of NuttX's imx9 (i.MX93, i.MX95).
 *
 * Another SoC has the same functions by other names: stm32_configgpio(), stm32_gpiosetevent().
 */
#include "gpio_port.h"

#include <nuttx/clock.h>
#include <nuttx/irq.h>

#include "gpio_board.h"
#include "gpio_endpoint.h"

#define PIN(pinset, name) pinset,
#define NAME(pinset, name) name "\0"

static const gpio_pinset_t pins[BOARD_NGPIO] = { BOARD_LINES(PIN) };

const char gpio_names[] = BOARD_LINES(NAME);
const uint32_t gpio_names_size = sizeof(gpio_names) - 1;

static struct rpmsg_gpio_device *device;
static volatile uint8_t types[BOARD_NGPIO]; /* VIRTIO_GPIO_IRQ_TYPE_* */
static bool driven[BOARD_NGPIO];

/* Of CLOCK_MONOTONIC, which is never set. Its steps are ticks unless CONFIG_SCHED_TICKLESS is. */
static uint64_t get_time(void *context)
{
	struct timespec now;

	(void)context;
	clock_systime_timespec(&now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	imx9_gpio_write(pins[gpio], value != 0);
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = imx9_gpio_read(pins[gpio]);
	return true;
}

static gpio_pinset_t with(uint16_t gpio, unsigned int settings)
{
	return (gpio_pinset_t)(pins[gpio] | settings);
}

/* NONE is an input: undriven, and it can still be read. A pin that is driven already only gets
 * its level, since imx9_config_gpio() makes every pin an input on its way. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	bool out = direction == VIRTIO_GPIO_DIRECTION_OUT;

	if (out && driven[gpio])
		return set_value(context, gpio, value);
	if (imx9_config_gpio(!out ? with(gpio, GPIO_INPUT) :
			     with(gpio, GPIO_OUTPUT | (value ? GPIO_OUTPUT_ONE :
							       GPIO_OUTPUT_ZERO))) < 0)
		return false;
	driven[gpio] = out;
	return true;
}

static unsigned int sense_of(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
		return GPIO_INT_RISINGEDGE;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
		return GPIO_INT_FALLINGEDGE;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH:
		return GPIO_INT_HIGHLEVEL;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW:
		return GPIO_INT_LOWLEVEL;
	default:
		return GPIO_INTBOTH_EDGES;
	}
}

/* An edge type that is re-armed has nothing to do, and must not clear an edge that just came. A
 * level is off after it fired; to switch it on is to look at it. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	irqstate_t state;
	int status;

	(void)context;
	if (types[gpio] == type && !is_level(type))
		return true;
	state = enter_critical_section();
	types[gpio] = type;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		status = imx9_gpioirq_disable(pins[gpio]);
	else
		status = imx9_gpioirq_enable(with(gpio, GPIO_INTERRUPT | sense_of(type)));
	if (status < 0)
		types[gpio] = VIRTIO_GPIO_IRQ_TYPE_NONE;
	leave_critical_section(state);
	return status >= 0;
}

const struct rpmsg_gpio_port gpio_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
};

/* When both edges fire, only the pin can tell, and it may have changed again. */
static bool level_of(uint16_t gpio)
{
	if (types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH)
		return imx9_gpio_read(pins[gpio]);
	return types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING;
}

/* NuttX has cleared the interrupt. The critical section keeps another core's interrupt out. */
static int handle(int irq, void *context, void *arg)
{
	uint16_t gpio = (uint16_t)(uintptr_t)arg;
	uint64_t now = get_time(NULL);
	irqstate_t state = enter_critical_section();

	(void)irq;
	(void)context;
	if (is_level(types[gpio])) {
		/* Silent until the driver has seen it. */
		(void)imx9_gpioirq_disable(pins[gpio]);
		rpmsg_gpio_device_irq(device, gpio);
	} else if (types[gpio] != VIRTIO_GPIO_IRQ_TYPE_NONE) {
		rpmsg_gpio_device_edge(device, gpio, level_of(gpio), now);
	}
	leave_critical_section(state);
	gpio_wake();
	return 0;
}

void gpio_port_init(struct rpmsg_gpio_device *of)
{
	uint16_t gpio;

	device = of;
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++) {
		(void)imx9_gpioirq_disable(pins[gpio]);
		(void)imx9_config_gpio(with(gpio, GPIO_INPUT));
		(void)imx9_gpioirq_attach(pins[gpio], handle, (void *)(uintptr_t)gpio);
	}
}
