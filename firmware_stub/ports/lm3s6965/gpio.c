/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio.c - the gpio port of the core on the PL061s of the LM3S6965.
 *
 * The main loop changes IM a pin at a time and so does the interrupt, which
 * silences a level: hence the short sections with interrupts off.
 */
#include "gpio.h"

#include "clock.h"
#include "lm3s6965.h"
#include "startup.h"

#define NO_LINE 0xffu

static const struct {
	uint32_t base;
	uint8_t irq;
} ports[PORT_COUNT] = {
	{ 0x40004000u, IRQ_GPIO_A }, { 0x40005000u, IRQ_GPIO_B },
	{ 0x40006000u, IRQ_GPIO_C }, { 0x40007000u, IRQ_GPIO_D },
	{ 0x40024000u, IRQ_GPIO_E }, { 0x40025000u, IRQ_GPIO_F },
	{ 0x40026000u, IRQ_GPIO_G },
};

/* Who owns a pin; for the interrupt. */
static struct {
	uint8_t bank;
	uint8_t line; /* NO_LINE: nobody */
} owners[PORT_COUNT][8];
static const struct gpio_bank *all_banks;

static const struct gpio_pin *pin_of(void *context, uint16_t gpio)
{
	const struct gpio_bank *bank = context;

	return &bank->pins[gpio];
}

static void set_bit(volatile uint32_t *reg, uint8_t mask, bool on)
{
	*reg = on ? *reg | mask : *reg & ~(uint32_t)mask;
}

/* ---- the port ----------------------------------------------------------------- */

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	const struct gpio_pin *pin = pin_of(context, gpio);

	GPIO_DATA(ports[pin->port].base, pin->mask) = value ? 0xff : 0;
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	const struct gpio_pin *pin = pin_of(context, gpio);

	*value = GPIO_DATA(ports[pin->port].base, pin->mask) != 0;
	return true;
}

/* NONE is an input here: undriven, and it can still be read. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction,
			  uint8_t value)
{
	const struct gpio_pin *pin = pin_of(context, gpio);
	bool out = direction == VIRTIO_GPIO_DIRECTION_OUT;

	/* The level is written first, so that the pin does not show the old one, and once more
	 * afterwards, since a PL061 may ignore what is written to an input. */
	if (out)
		set_value(context, gpio, value);
	set_bit(&GPIO_DIR(ports[pin->port].base), pin->mask, out);
	if (out)
		set_value(context, gpio, value);
	return true;
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH |
		       VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

static bool is_high(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH |
		       VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
}

/* Called with the pin's interrupt off, as the data sheet wants it. */
static void set_sense(uint32_t base, uint8_t mask, uint8_t type)
{
	set_bit(&GPIO_IS(base), mask, is_level(type));
	set_bit(&GPIO_IBE(base), mask, type == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	set_bit(&GPIO_IEV(base), mask, is_high(type));
	GPIO_ICR(base) = mask;
}

/*
 * A pin whose interrupt is on is being re-armed: an edge type then has nothing
 * to do, and must not clear an edge that just came. A level is off after it
 * fired; to switch it on is to look at it.
 */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	const struct gpio_pin *pin = pin_of(context, gpio);
	uint32_t base = ports[pin->port].base;
	uint32_t primask = irq_save();

	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		set_bit(&GPIO_IM(base), pin->mask, false);
	} else if (!(GPIO_IM(base) & pin->mask)) {
		set_sense(base, pin->mask, type);
		set_bit(&GPIO_IM(base), pin->mask, true);
	}
	irq_restore(primask);
	return true;
}

static uint64_t get_time(void *context)
{
	(void)context;
	return clock_ns();
}

/* There is no filter in front of a PL061, and no open source. */
static void get_caps(void *context, uint16_t gpio, uint32_t *caps,
		     uint32_t *max_debounce_us)
{
	(void)context;
	(void)gpio;
	*caps = RPMSG_GPIO_LINE_BIAS | RPMSG_GPIO_LINE_OPEN_DRAIN;
	*max_debounce_us = 0;
}

/* Where the driver says nothing about the bias, it is that of the board. */
static bool set_config(void *context, uint16_t gpio, uint32_t flags,
		       uint32_t debounce_us)
{
	const struct gpio_pin *pin = pin_of(context, gpio);
	uint32_t base = ports[pin->port].base;
	bool up = flags & RPMSG_GPIO_LINE_PULL_UP ||
		  (pin->pull_up && !(flags & RPMSG_GPIO_LINE_BIAS));

	(void)debounce_us;
	/* Never both pulls at a time. */
	set_bit(&GPIO_PUR(base), pin->mask, false);
	set_bit(&GPIO_PDR(base), pin->mask, flags & RPMSG_GPIO_LINE_PULL_DOWN);
	set_bit(&GPIO_PUR(base), pin->mask, up);
	set_bit(&GPIO_ODR(base), pin->mask, flags & RPMSG_GPIO_LINE_OPEN_DRAIN);
	return true;
}

/* No get_values() and set_values(): the lines of a controller are spread over
 * ports, which do not change at the same time. */
const struct rpmsg_gpio_port gpio_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
	.get_caps = get_caps,
	.set_config = set_config,
};

/* ---- interrupts ----------------------------------------------------------------- */

/* Returns the level after the edge. When both edges fire, only the pin can tell; it may have
 * changed again, and a PL061 shows two edges so close together as one. */
static bool level_of(uint32_t base, uint8_t mask)
{
	if (GPIO_IBE(base) & mask)
		return GPIO_DATA(base, mask) != 0;
	return (GPIO_IEV(base) & mask) != 0;
}

static void fired(unsigned int port, unsigned int bit, uint64_t now)
{
	uint32_t base = ports[port].base;
	uint8_t line = owners[port][bit].line;
	uint8_t mask = (uint8_t)(1u << bit);
	struct rpmsg_gpio_device *device;

	if (line == NO_LINE)
		return;
	device = all_banks[owners[port][bit].bank].device;
	if (GPIO_IS(base) & mask)
		rpmsg_gpio_device_irq(device, line);
	else
		rpmsg_gpio_device_edge(device, line, level_of(base, mask), now);
}

static void handle(unsigned int port)
{
	uint64_t now = clock_ns();
	uint32_t base = ports[port].base;
	uint32_t mis = GPIO_MIS(base);
	unsigned int bit;

	/* A level stays silent until the driver has seen it. */
	GPIO_IM(base) &= ~(mis & GPIO_IS(base));
	/* Before the core is told: an edge from here on is the next one. */
	GPIO_ICR(base) = mis;
	for (bit = 0; bit < 8; bit++)
		if (mis & 1u << bit)
			fired(port, bit, now);
	wake_main();
}

void gpio_a_handler(void) { handle(PORT_A); }
void gpio_b_handler(void) { handle(PORT_B); }
void gpio_c_handler(void) { handle(PORT_C); }
void gpio_d_handler(void) { handle(PORT_D); }
void gpio_e_handler(void) { handle(PORT_E); }
void gpio_f_handler(void) { handle(PORT_F); }
void gpio_g_handler(void) { handle(PORT_G); }

/* ---- start ------------------------------------------------------------------------ */

static unsigned int bit_of(uint8_t mask)
{
	unsigned int bit = 0;

	while (mask >>= 1)
		bit++;
	return bit;
}

static void init_pin(const struct gpio_pin *pin, uint8_t bank, uint8_t line)
{
	uint32_t base = ports[pin->port].base;
	unsigned int bit = bit_of(pin->mask);

	owners[pin->port][bit].bank = bank;
	owners[pin->port][bit].line = line;
	set_bit(&GPIO_IM(base), pin->mask, false);
	set_bit(&GPIO_AFSEL(base), pin->mask, false);
	set_bit(&GPIO_DIR(base), pin->mask, false);
	set_bit(&GPIO_PUR(base), pin->mask, pin->pull_up);
	set_bit(&GPIO_DEN(base), pin->mask, true);
}

static void init_bank(const struct gpio_bank *bank, uint8_t index)
{
	uint16_t line;

	for (line = 0; line < bank->ngpio; line++)
		init_pin(&bank->pins[line], index, (uint8_t)line);
}

void gpio_init(const struct gpio_bank *banks, unsigned int count)
{
	unsigned int i;

	all_banks = banks;
	for (i = 0; i < PORT_COUNT * 8u; i++)
		owners[i / 8][i % 8].line = NO_LINE;
	for (i = 0; i < count; i++)
		init_bank(&banks[i], (uint8_t)i);
	for (i = 0; i < PORT_COUNT; i++)
		irq_enable(ports[i].irq);
}
