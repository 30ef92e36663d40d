/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.c - the gpio port of the core on Zephyr's GPIO API.
 *
 * Whatever has a driver in Zephyr can be a line. What that refuses, such as a level interrupt on
 * a controller that sees edges only, is an error to Linux.
 */
#include "gpio_port.h"

#include <errno.h>

#include <zephyr/devicetree.h>
#include <zephyr/drivers/gpio.h>
#include <zephyr/kernel.h>
#include <zephyr/random/random.h>
#include <zephyr/spinlock.h>

#define DT_DRV_COMPAT rpmsg_gpio
#define NODE DT_DRV_INST(0)

#define NGPIO DT_PROP_LEN(NODE, gpios)
#define LINE(node, property, index) { .pin = GPIO_DT_SPEC_GET_BY_IDX(node, property, index) }
#define NAME(node, property, index) DT_PROP_BY_IDX(node, property, index) "\0"

BUILD_ASSERT(DT_PROP_LEN(NODE, gpio_line_names) == NGPIO, "a name for each line");

static struct line {
	struct gpio_dt_spec pin;
	struct gpio_callback callback;
	volatile uint8_t type; /* VIRTIO_GPIO_IRQ_TYPE_* */
} pins[] = { DT_FOREACH_PROP_ELEM_SEP(NODE, gpios, LINE, (,)) };

static const char names[] = DT_FOREACH_PROP_ELEM(NODE, gpio_line_names, NAME);

static struct rpmsg_gpio_line lines[NGPIO];
static struct rpmsg_gpio_stream streams[NGPIO];
static volatile struct rpmsg_gpio_edge edges[CONFIG_RPMSG_GPIO_EDGES];
static struct rpmsg_gpio_device_config config;
static struct rpmsg_gpio_device *device;
static struct k_spinlock lock; /* callbacks of several ports must not interrupt one another */

/* Ticks of the kernel, or cycles where their counter does not wrap. */
static uint64_t get_time(void *context)
{
	ARG_UNUSED(context);
#ifdef CONFIG_TIMER_HAS_64BIT_CYCLE_COUNTER
	return k_cyc_to_ns_floor64(k_cycle_get_64());
#else
	return k_ticks_to_ns_floor64((uint64_t)k_uptime_ticks());
#endif
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

/* What the node says of pulls and drive stays; levels are those of the pin. */
static int configure(uint16_t gpio, gpio_flags_t flags)
{
	const struct gpio_dt_spec *pin = &pins[gpio].pin;

	return gpio_pin_configure(pin->port, pin->pin,
				  (pin->dt_flags & ~(gpio_dt_flags_t)GPIO_ACTIVE_LOW) | flags);
}

/* NONE is an input: undriven, and it can still be read. Of an output that can, Zephyr reads the
 * pin, too. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	gpio_flags_t out = value ? GPIO_OUTPUT_HIGH : GPIO_OUTPUT_LOW;

	ARG_UNUSED(context);
	if (direction != VIRTIO_GPIO_DIRECTION_OUT)
		return configure(gpio, GPIO_INPUT) == 0;
	return configure(gpio, out | GPIO_INPUT) == 0 || configure(gpio, out) == 0;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	ARG_UNUSED(context);
	return gpio_pin_set_raw(pins[gpio].pin.port, pins[gpio].pin.pin, value) == 0;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	int level = gpio_pin_get_raw(pins[gpio].pin.port, pins[gpio].pin.pin);

	ARG_UNUSED(context);
	if (level < 0)
		return false;
	*value = level != 0;
	return true;
}

static gpio_flags_t flags_of(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
		return GPIO_INT_EDGE_RISING;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
		return GPIO_INT_EDGE_FALLING;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH:
		return GPIO_INT_EDGE_BOTH;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH:
		return GPIO_INT_LEVEL_HIGH;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW:
		return GPIO_INT_LEVEL_LOW;
	default:
		return GPIO_INT_DISABLE;
	}
}

/* An edge type that is re-armed has nothing to do, and must not clear an edge that just came. A
 * level is off after it fired; to switch it on is to look at it. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	struct line *line = &pins[gpio];

	ARG_UNUSED(context);
	if (line->type == type && !is_level(type))
		return true;
	line->type = type;
	if (gpio_pin_interrupt_configure(line->pin.port, line->pin.pin, flags_of(type)) == 0)
		return true;
	line->type = VIRTIO_GPIO_IRQ_TYPE_NONE;
	return type == VIRTIO_GPIO_IRQ_TYPE_NONE;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
};

/* When both edges fire, only the pin can tell, and it may have changed again. */
static bool level_of(const struct line *line)
{
	if (line->type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH)
		return gpio_pin_get_raw(line->pin.port, line->pin.pin) > 0;
	return line->type == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING;
}

/* Zephyr has cleared the interrupt. */
static void fired(const struct device *from, struct gpio_callback *callback,
		  gpio_port_pins_t which)
{
	struct line *line = CONTAINER_OF(callback, struct line, callback);
	uint16_t gpio = (uint16_t)(line - pins);
	uint64_t now = get_time(NULL);
	k_spinlock_key_t key = k_spin_lock(&lock);

	ARG_UNUSED(which);
	if (is_level(line->type)) {
		/* Silent until the driver has seen it. */
		(void)gpio_pin_interrupt_configure(from, line->pin.pin, GPIO_INT_DISABLE);
		rpmsg_gpio_device_irq(device, gpio);
	} else if (line->type != VIRTIO_GPIO_IRQ_TYPE_NONE) {
		rpmsg_gpio_device_edge(device, gpio, level_of(line), now);
	}
	k_spin_unlock(&lock, key);
	gpio_wake();
}

static int take(uint16_t gpio)
{
	struct line *line = &pins[gpio];
	int status;

	if (!gpio_is_ready_dt(&line->pin))
		return -ENODEV;
	gpio_init_callback(&line->callback, fired, BIT(line->pin.pin));
	status = configure(gpio, GPIO_INPUT);
	return status ? status : gpio_add_callback(line->pin.port, &line->callback);
}

static void configure_device(struct gpio_endpoint *gpio)
{
	config.port = &port;
	config.channel = &gpio_channel;
	config.channel_context = gpio;
	config.lines = lines;
	config.streams = streams;
	config.edges = edges;
	config.edge_count = CONFIG_RPMSG_GPIO_EDGES;
	config.ngpio = NGPIO;
	config.features = RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | RPMSG_GPIO_F_TAG |
			  RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | RPMSG_GPIO_F_BULK;
#ifdef CONFIG_ENTROPY_HAS_DRIVER /* without it a start may have the number of the one before */
	config.features |= RPMSG_GPIO_F_EPOCH;
	config.epoch = sys_rand32_get() | 1; /* 0 says that there is none */
#endif
	config.label = DT_PROP(NODE, label);
	config.names = names;
	config.names_size = sizeof(names) - 1;
}

int gpio_port_init(struct gpio_endpoint *gpio)
{
	uint16_t n;
	int status;

	device = &gpio->device;
	configure_device(gpio);
	gpio_init(gpio, &config);
	for (n = 0; n < NGPIO; n++) {
		status = take(n);
		if (status)
			return status;
	}
	return 0;
}
