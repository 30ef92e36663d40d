/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio.c - the gpio port on the FU540's GPIO block. Line n is pin n. There are ten: pin 10
 * is the board's reset, and QEMU resets the machine when it goes low.
 */
#include "machine.h"
#include "sifive_u.h"

static struct rpmsg_gpio_device *the_device;

const char gpio_label[] = "fu540 gpio";

#define BIT(n) (UINT32_C(1) << (n))
#define SET(reg, bit, on) ((reg) = (on) ? (reg) | (bit) : (reg) & ~(bit))

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	SET(GPIO_PORT, BIT(gpio), value);
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = GPIO_VALUE >> gpio & 1;
	return true;
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	bool out = direction == VIRTIO_GPIO_DIRECTION_OUT;

	if (out)
		(void)set_value(context, gpio, value);
	SET(GPIO_OUT_EN, BIT(gpio), out);
	return true;
}

/* What a pin was not interested in before is of the past; a re-arm loses nothing. */
static void enable(volatile uint32_t *ie, volatile uint32_t *ip, uint32_t bit, bool on)
{
	if (on && !(*ie & bit))
		*ip = bit;
	SET(*ie, bit, on);
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	uint32_t bit = BIT(gpio);
	unsigned long flags = irq_save();

	(void)context;
	enable(&GPIO_RISE_IE, &GPIO_RISE_IP, bit, type & VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	enable(&GPIO_FALL_IE, &GPIO_FALL_IP, bit, type & VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING);
	enable(&GPIO_HIGH_IE, &GPIO_HIGH_IP, bit, type & VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	enable(&GPIO_LOW_IE, &GPIO_LOW_IP, bit, type & VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
	irq_restore(flags);
	return true;
}

static uint64_t get_time(void *context)
{
	(void)context;
	return machine_time_ns();
}

static bool get_values(void *context, uint16_t first, uint64_t mask, uint64_t *values)
{
	(void)context;
	*values = GPIO_VALUE >> first & mask;
	return true;
}

static bool set_values(void *context, uint16_t first, uint64_t mask, uint64_t values)
{
	uint32_t bits = (uint32_t)(mask << first);

	(void)context;
	GPIO_PORT = (GPIO_PORT & ~bits) | ((uint32_t)(values << first) & bits);
	return true;
}

const struct rpmsg_gpio_port gpio_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
	.get_values = get_values,
	.set_values = set_values,
};

/* A level is silent from here on, until the driver has seen it and arms it again. */
static void level_interrupt(unsigned int pin)
{
	SET(GPIO_HIGH_IE, BIT(pin), false);
	SET(GPIO_LOW_IE, BIT(pin), false);
	rpmsg_gpio_device_irq(the_device, (uint16_t)pin);
}

void gpio_interrupt(unsigned int pin)
{
	uint64_t now = machine_time_ns();
	uint32_t bit = BIT(pin);
	bool rose = GPIO_RISE_IP & GPIO_RISE_IE & bit, fell = GPIO_FALL_IP & GPIO_FALL_IE & bit;
	bool level = (GPIO_HIGH_IP & GPIO_HIGH_IE & bit) || (GPIO_LOW_IP & GPIO_LOW_IE & bit);
	bool high;

	if (rose)
		GPIO_RISE_IP = bit;
	if (fell)
		GPIO_FALL_IP = bit;
	high = GPIO_VALUE & bit;
	if (level)
		level_interrupt(pin);
	if (rose && fell) /* the later one is what the pin shows */
		rpmsg_gpio_device_edge(the_device, (uint16_t)pin, !high, now);
	if (rose || fell)
		rpmsg_gpio_device_edge(the_device, (uint16_t)pin, rose && fell ? high : rose, now);
	wake_main();
}

void gpio_reset(struct rpmsg_gpio_device *device)
{
	unsigned long flags = irq_save();

	the_device = device;
	GPIO_RISE_IE = GPIO_FALL_IE = GPIO_HIGH_IE = GPIO_LOW_IE = 0;
	GPIO_OUT_EN = 0;
	GPIO_PORT = 0;
	GPIO_IN_EN = BIT(GPIO_LINES) - 1;
	irq_restore(flags);
}
