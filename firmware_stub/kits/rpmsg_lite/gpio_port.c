/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.c - the gpio port of the core on NXP's IGPIO (i.MX 8M, i.MX 7, i.MX RT).
 *
 * The task changes IMR and so does the interrupt, which silences a level: hence the
 * critical sections. All interrupts here have one priority, as the core wants it.
 */
#include "FreeRTOS.h"
#include "task.h"

#include "fsl_common.h"

#include "gpio_board.h"
#include "gpio_endpoint.h"
#include "gpio_port.h"

/* Not above configMAX_SYSCALL_INTERRUPT_PRIORITY; that of RPMsg-Lite's mailbox. */
#define GPIO_IRQ_PRIORITY 3u

/* The SoC's system counter, 8 MHz, 64 bits: it neither stops nor wraps. */
#define SYSTEM_COUNTER ((volatile const uint32_t *)0x306a0008u)
#define SYSTEM_COUNTER_NS 125u

#define PIN(port, number, name, pad) { port, number },
#define NAME(port, number, name, pad) name "\0"
#define MUX(port, number, name, pad) IOMUXC_SetPinMux(pad, 0u);

static const struct {
	GPIO_Type *base;
	uint8_t pin;
} pins[BOARD_NGPIO] = { BOARD_LINES(PIN) };

const char gpio_names[] = BOARD_LINES(NAME);
const uint32_t gpio_names_size = sizeof(gpio_names) - 1;

static struct rpmsg_gpio_device *device;
static volatile uint8_t types[BOARD_NGPIO]; /* VIRTIO_GPIO_IRQ_TYPE_* */

static uint64_t get_time(void *context)
{
	uint32_t high, low;

	(void)context;
	do {
		high = SYSTEM_COUNTER[1];
		low = SYSTEM_COUNTER[0];
	} while (high != SYSTEM_COUNTER[1]);
	return ((uint64_t)high << 32 | low) * SYSTEM_COUNTER_NS;
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

/* NONE is an input: undriven, and it can still be read. The driver writes the level before
 * the direction, so that the pin does not show the old one. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	GPIO_Type *base = pins[gpio].base;
	uint32_t mask = 1u << pins[gpio].pin;

	(void)context;
	taskENTER_CRITICAL();
	if (direction == VIRTIO_GPIO_DIRECTION_OUT) {
		GPIO_PinWrite(base, pins[gpio].pin, value);
		base->GDIR |= mask;
	} else {
		base->GDIR &= ~mask;
	}
	taskEXIT_CRITICAL();
	return true;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	taskENTER_CRITICAL();
	GPIO_PinWrite(pins[gpio].base, pins[gpio].pin, value);
	taskEXIT_CRITICAL();
	return true;
}

/* The pad, not the register that drives it. */
static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = GPIO_PinReadPadStatus(pins[gpio].base, pins[gpio].pin);
	return true;
}

static gpio_interrupt_mode_t mode_of(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
		return kGPIO_IntRisingEdge;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
		return kGPIO_IntFallingEdge;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH:
		return kGPIO_IntRisingOrFallingEdge;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH:
		return kGPIO_IntHighLevel;
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW:
		return kGPIO_IntLowLevel;
	default:
		return kGPIO_NoIntmode;
	}
}

/* An interrupt that is on is being re-armed: an edge type has nothing to do then, and must not
 * clear an edge that just came. A level is off after it fired; to switch it on is to look. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	GPIO_Type *base = pins[gpio].base;
	uint32_t mask = 1u << pins[gpio].pin;

	(void)context;
	taskENTER_CRITICAL();
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		GPIO_PortDisableInterrupts(base, mask);
	} else if (!(base->IMR & mask)) {
		GPIO_PinSetInterruptConfig(base, pins[gpio].pin, mode_of(type));
		GPIO_PortClearInterruptFlags(base, mask);
		types[gpio] = type;
		GPIO_PortEnableInterrupts(base, mask);
	}
	taskEXIT_CRITICAL();
	return true;
}

const struct rpmsg_gpio_port gpio_port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
	.get_time = get_time,
};

/* ---- interrupts ----------------------------------------------------------------- */

/* When both edges fire, only the pad can tell, and it may have changed again. */
static bool level_of(uint16_t gpio)
{
	if (types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH)
		return GPIO_PinReadPadStatus(pins[gpio].base, pins[gpio].pin);
	return types[gpio] == VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING;
}

static void fired(uint16_t gpio, uint64_t now)
{
	if (is_level(types[gpio]))
		rpmsg_gpio_device_irq(device, gpio);
	else
		rpmsg_gpio_device_edge(device, gpio, level_of(gpio), now);
}

static void handle(GPIO_Type *base)
{
	uint64_t now = get_time(NULL);
	uint32_t flags = GPIO_PortGetInterruptFlags(base) & base->IMR;
	uint32_t levels = 0;
	uint16_t gpio;

	for (gpio = 0; gpio < BOARD_NGPIO; gpio++)
		if (pins[gpio].base == base && is_level(types[gpio]))
			levels |= 1u << pins[gpio].pin;
	/* A level stays silent until the driver has seen it. */
	GPIO_PortDisableInterrupts(base, flags & levels);
	/* Before the core is told: an edge from here on is the next one. */
	GPIO_PortClearInterruptFlags(base, flags);
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++)
		if (pins[gpio].base == base && flags & 1u << pins[gpio].pin)
			fired(gpio, now);
	gpio_wake();
	SDK_ISR_EXIT_BARRIER;
}

#define HANDLER(irq, port) \
	void irq##_IRQHandler(void); \
	void irq##_IRQHandler(void) { handle(port); }
BOARD_IRQS(HANDLER)

#define ENABLE(irq, port) \
	NVIC_SetPriority(irq##_IRQn, GPIO_IRQ_PRIORITY); \
	(void)EnableIRQ(irq##_IRQn);

void gpio_port_init(struct rpmsg_gpio_device *of)
{
	static const gpio_pin_config_t input = { kGPIO_DigitalInput, 0, kGPIO_NoIntmode };
	uint16_t gpio;

	device = of;
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++)
		GPIO_PinInit(pins[gpio].base, pins[gpio].pin, &input);
	BOARD_LINES(MUX)
	BOARD_IRQS(ENABLE)
}
