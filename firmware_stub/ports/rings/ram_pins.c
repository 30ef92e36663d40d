/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ram_pins.c - the gpio port on pins in RAM, for a board of QEMU's that has no GPIO block.
 *
 * The emulator of the board writes what drives the pins from outside, and raises an interrupt;
 * it reads what the pins show. A wire leads from LOOP_OUT to LOOP_IN.
 */
#include "machine.h"
#include "ram_pins.h"
#include "self_test.h"

#define LED      0u
#define LOOP_OUT 4u
#define LOOP_IN  5u

/* A bit a pin. First in the board's RAM: firmware_stub/emulated/rings.py has its layout. */
static __attribute__((section(".bss.pins"))) volatile struct {
	uint32_t outside; /* levels from outside, of pins that are not driven here */
	uint32_t seen;    /* `outside`, as of the last interrupt */
	uint32_t level;   /* what the pins show */
	uint32_t driven;  /* outputs */
	uint32_t output;  /* their levels */
	uint32_t rising, falling, high, low; /* interrupts that are on */
} pins;

static struct rpmsg_gpio_device *the_device;

const char gpio_label[] = "pins in RAM";

#define BIT(n) (UINT32_C(1) << (n))
#define SET(word, bit, on) ((word) = (on) ? (word) | (bit) : (word) & ~(bit))

static void interrupts_of(unsigned int pin, bool high, bool changed)
{
	uint32_t bit = BIT(pin);

	if (changed && (high ? pins.rising : pins.falling) & bit)
		rpmsg_gpio_device_edge(the_device, (uint16_t)pin, high, machine_time_ns());
	if ((high ? pins.high : pins.low) & bit) {
		/* Silent from here on, until the driver has seen it. */
		SET(pins.high, bit, false);
		SET(pins.low, bit, false);
		rpmsg_gpio_device_irq(the_device, (uint16_t)pin);
	}
}

/* Whatever drives the pins has changed. Interrupts are off. */
static void settle(void)
{
	uint32_t level = (pins.driven & pins.output) | (~pins.driven & pins.seen);
	uint32_t changed;
	unsigned int pin;

	if (pins.driven & BIT(LOOP_OUT) && !(pins.driven & BIT(LOOP_IN)))
		SET(level, BIT(LOOP_IN), level & BIT(LOOP_OUT));
	changed = level ^ pins.level;
	pins.level = level;
	for (pin = 0; pin < GPIO_LINES; pin++)
		interrupts_of(pin, level & BIT(pin), changed & BIT(pin));
	wake_main();
}

static void set_word(volatile uint32_t *word, uint32_t mask, uint32_t bits)
{
	unsigned long flags = irq_save();

	*word = (*word & ~mask) | (bits & mask);
	settle();
	irq_restore(flags);
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	set_word(&pins.output, BIT(gpio), value ? BIT(gpio) : 0);
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = pins.level >> gpio & 1;
	return true;
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	bool out = direction == VIRTIO_GPIO_DIRECTION_OUT;

	if (out)
		(void)set_value(context, gpio, value);
	set_word(&pins.driven, BIT(gpio), out ? BIT(gpio) : 0);
	return true;
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	uint32_t bit = BIT(gpio);
	unsigned long flags = irq_save();

	(void)context;
	SET(pins.rising, bit, type & VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	SET(pins.falling, bit, type & VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING);
	SET(pins.high, bit, type & VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	SET(pins.low, bit, type & VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
	interrupts_of(gpio, pins.level & bit, false);
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
	*values = pins.level >> first & mask;
	return true;
}

static bool set_values(void *context, uint16_t first, uint64_t mask, uint64_t values)
{
	(void)context;
	set_word(&pins.output, (uint32_t)(mask << first), (uint32_t)(values << first));
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

#ifdef RPMSG_GPIO_SELF_TEST
static const uint16_t outputs[] = {LED};
static const struct rpmsg_gpio_self_test_wire wires[] = {{LOOP_OUT, LOOP_IN}};
const struct rpmsg_gpio_self_test gpio_self_test = {
	.outputs = outputs,
	.output_count = 1,
	.wires = wires,
	.wire_count = 1,
};
#endif

void ram_pins_interrupt(void)
{
	pins.seen = pins.outside;
	settle();
}

void gpio_reset(struct rpmsg_gpio_device *device)
{
	unsigned long flags = irq_save();

	the_device = device;
	pins.driven = pins.output = 0;
	pins.rising = pins.falling = pins.high = pins.low = 0;
	pins.level = pins.seen = pins.outside;
	irq_restore(flags);
}
