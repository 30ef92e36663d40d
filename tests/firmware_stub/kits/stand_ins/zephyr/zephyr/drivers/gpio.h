/* SPDX-License-Identifier: BSD-3-Clause */
/* gpio.h - a stand-in for Zephyr's. */
#ifndef STAND_IN_GPIO_H
#define STAND_IN_GPIO_H

#include <zephyr/device.h>

typedef uint8_t gpio_pin_t;
typedef uint16_t gpio_dt_flags_t;
typedef uint32_t gpio_flags_t;
typedef uint32_t gpio_port_pins_t;

struct gpio_dt_spec {
	const struct device *port;
	gpio_pin_t pin;
	gpio_dt_flags_t dt_flags;
};

struct gpio_callback;
typedef void (*gpio_callback_handler_t)(const struct device *port, struct gpio_callback *cb,
					gpio_port_pins_t pins);

struct gpio_callback {
	gpio_callback_handler_t handler;
	gpio_port_pins_t pin_mask;
};

#define GPIO_DT_SPEC_GET_BY_IDX(node, property, index) {&stand_in_device, index, 0}

#define GPIO_ACTIVE_LOW (1 << 0)
#define GPIO_INPUT (1U << 16)
#define GPIO_OUTPUT_LOW (1U << 17 | 1U << 18)
#define GPIO_OUTPUT_HIGH (1U << 17 | 1U << 19)
#define GPIO_INT_DISABLE (1U << 21)
#define GPIO_INT_EDGE_RISING (1U << 22 | 1U << 24 | 1U << 26)
#define GPIO_INT_EDGE_FALLING (1U << 22 | 1U << 24 | 1U << 25)
#define GPIO_INT_EDGE_BOTH (1U << 22 | 1U << 24 | 1U << 25 | 1U << 26)
#define GPIO_INT_LEVEL_LOW (1U << 22 | 1U << 25)
#define GPIO_INT_LEVEL_HIGH (1U << 22 | 1U << 26)

bool gpio_is_ready_dt(const struct gpio_dt_spec *spec);
int gpio_pin_configure(const struct device *port, gpio_pin_t pin, gpio_flags_t flags);
int gpio_pin_interrupt_configure(const struct device *port, gpio_pin_t pin, gpio_flags_t flags);
int gpio_pin_get_raw(const struct device *port, gpio_pin_t pin);
int gpio_pin_set_raw(const struct device *port, gpio_pin_t pin, int value);
void gpio_init_callback(struct gpio_callback *callback, gpio_callback_handler_t handler,
			gpio_port_pins_t pin_mask);
int gpio_add_callback(const struct device *port, struct gpio_callback *callback);

#endif
