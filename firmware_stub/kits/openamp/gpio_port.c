/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.c - the gpio port of the core on STM32's GPIO and EXTI.
 *
 * Registers that Linux changes, too, are taken by ST's PERIPH_LOCK. EXTI sees edges only: a level
 * is looked at when it is armed, and an edge to it is waited for.
 */
#include "gpio_port.h"

#include "lock_resource.h"

#include "gpio_board.h"
#include "gpio_endpoint.h"

/* All interrupts here have one priority, as the core wants it. */
#define GPIO_IRQ_PRIORITY 3u

#define PIN(port, number, name, pull) { port, 1u << (number), pull },
#define NAME(port, number, name, pull) name "\0"

static const struct {
	GPIO_TypeDef *port;
	uint16_t mask; /* of the pin, and of its EXTI line */
	uint32_t pull;
} pins[BOARD_NGPIO] = { BOARD_LINES(PIN) };

const char gpio_names[] = BOARD_LINES(NAME);
const uint32_t gpio_names_size = sizeof(gpio_names) - 1;

static struct rpmsg_gpio_device *device;
static volatile uint8_t types[BOARD_NGPIO]; /* VIRTIO_GPIO_IRQ_TYPE_* */

/* STGEN counts 64 bits and goes on while this core sleeps. */
static uint64_t get_time(void *context)
{
	const STGENR_TypeDef *counter = (const STGENR_TypeDef *)STGENR_BASE;
	uint32_t high, low;

	(void)context;
	do {
		high = counter->CNTCVU;
		low = counter->CNTCVL;
	} while (high != counter->CNTCVU);
	return ((uint64_t)high << 32 | low) * 1000u / BOARD_STGEN_MHZ;
}

static bool is_level(uint8_t type)
{
	return type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

static bool is_high(uint16_t gpio)
{
	return HAL_GPIO_ReadPin(pins[gpio].port, pins[gpio].mask) == GPIO_PIN_SET;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	HAL_GPIO_WritePin(pins[gpio].port, pins[gpio].mask,
			  value ? GPIO_PIN_SET : GPIO_PIN_RESET);
	return true;
}

static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	(void)context;
	*value = is_high(gpio);
	return true;
}

/* False when Linux holds it, too long: the driver is told. Not with interrupts off, since the
 * time is that of SysTick. */
static bool take(void *peripheral)
{
	return PERIPH_LOCK(peripheral) == LOCK_RESOURCE_STATUS_OK;
}

static void init_pin(uint16_t gpio, uint32_t mode)
{
	GPIO_InitTypeDef init = {
		.Pin = pins[gpio].mask,
		.Mode = mode,
		.Pull = pins[gpio].pull,
		.Speed = GPIO_SPEED_FREQ_LOW,
	};

	HAL_GPIO_Init(pins[gpio].port, &init);
}

static bool set_mode(uint16_t gpio, uint32_t mode)
{
	if (!take(pins[gpio].port))
		return false;
	init_pin(gpio, mode);
	PERIPH_UNLOCK(pins[gpio].port);
	return true;
}

/* NONE is an input: undriven, and it can still be read. The level is written before the
 * direction, so that the pin does not show the old one. */
static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	if (direction != VIRTIO_GPIO_DIRECTION_OUT)
		return set_mode(gpio, GPIO_MODE_INPUT);
	return set_value(context, gpio, value) && set_mode(gpio, GPIO_MODE_OUTPUT_PP);
}

static uint32_t mode_of(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING:
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH:
		return GPIO_MODE_IT_RISING;
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING:
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW:
		return GPIO_MODE_IT_FALLING;
	default:
		return GPIO_MODE_IT_RISING_FALLING;
	}
}

static void clear_edges(uint16_t gpio)
{
	EXTI->RPR1 = pins[gpio].mask;
	EXTI->FPR1 = pins[gpio].mask;
}

/* HAL enables the interrupt on its way: hence off, until the edges of before are cleared. */
static void init_interrupt(uint16_t gpio, uint8_t type)
{
	uint32_t primask = __get_PRIMASK();

	__disable_irq();
	init_pin(gpio, mode_of(type));
	EXTI_C2->IMR1 &= ~(uint32_t)pins[gpio].mask;
	clear_edges(gpio);
	__set_PRIMASK(primask);
}

/* Routes the pin to its EXTI line, whose interrupt is off afterwards. */
static bool route(uint16_t gpio, uint8_t type)
{
	bool taken;

	if (!take(EXTI))
		return false;
	taken = take(pins[gpio].port);
	if (taken) {
		init_interrupt(gpio, type);
		PERIPH_UNLOCK(pins[gpio].port);
	}
	PERIPH_UNLOCK(EXTI);
	return taken;
}

/* A level is told at once if it is there, and the interrupt cannot come between; edges from while
 * it was silent are none of its. */
static void arm(uint16_t gpio, uint8_t type)
{
	uint32_t primask = __get_PRIMASK();

	__disable_irq();
	types[gpio] = type;
	if (is_level(type))
		clear_edges(gpio);
	if (is_level(type) && is_high(gpio) == (type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH))
		rpmsg_gpio_device_irq(device, gpio);
	else
		EXTI_C2->IMR1 |= pins[gpio].mask;
	__set_PRIMASK(primask);
}

static void disarm(uint16_t gpio)
{
	uint32_t primask = __get_PRIMASK();

	__disable_irq();
	EXTI_C2->IMR1 &= ~(uint32_t)pins[gpio].mask;
	types[gpio] = VIRTIO_GPIO_IRQ_TYPE_NONE;
	__set_PRIMASK(primask);
}

/* An edge type that is re-armed has nothing to do, and must not clear an edge that just came. */
static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		disarm(gpio);
		return true;
	}
	if (types[gpio] == type && !is_level(type))
		return true;
	if (types[gpio] != type && !route(gpio, type))
		return false;
	arm(gpio, type);
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

/* The hardware keeps one edge of each direction: when both came, the level tells which was last. */
static void edges_of(uint16_t gpio, bool rising, bool falling, uint64_t now)
{
	if (rising && falling) {
		bool high = is_high(gpio);

		rpmsg_gpio_device_edge(device, gpio, !high, now);
		rpmsg_gpio_device_edge(device, gpio, high, now);
	} else if (rising || falling) {
		rpmsg_gpio_device_edge(device, gpio, rising, now);
	}
}

static void handle(uint32_t mask)
{
	uint64_t now = get_time(NULL);
	uint32_t rising = EXTI->RPR1 & mask, falling = EXTI->FPR1 & mask;
	uint16_t gpio;

	if (!rising && !falling)
		return; /* of an edge that was cleared */
	/* Before the core is told: an edge from here on is the next one. */
	EXTI->RPR1 = rising;
	EXTI->FPR1 = falling;
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++) {
		if (pins[gpio].mask != mask || !types[gpio])
			continue;
		if (is_level(types[gpio])) {
			/* Silent until the driver has seen it. */
			EXTI_C2->IMR1 &= ~mask;
			rpmsg_gpio_device_irq(device, gpio);
		} else {
			edges_of(gpio, rising != 0, falling != 0, now);
		}
	}
	gpio_wake();
}

#define HANDLER(number) \
	void EXTI##number##_IRQHandler(void); \
	void EXTI##number##_IRQHandler(void) { handle(1u << (number)); }
BOARD_IRQS(HANDLER)

#define ENABLE(number) \
	HAL_NVIC_SetPriority(EXTI##number##_IRQn, GPIO_IRQ_PRIORITY, 0); \
	HAL_NVIC_EnableIRQ(EXTI##number##_IRQn);

void gpio_port_init(struct rpmsg_gpio_device *of)
{
	uint16_t gpio;

	device = of;
	board_enable_clocks();
	for (gpio = 0; gpio < BOARD_NGPIO; gpio++)
		(void)set_mode(gpio, GPIO_MODE_INPUT);
	BOARD_IRQS(ENABLE)
}
