/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio.h - the gpio port of the core on the PL061s of the LM3S6965.
 */
#ifndef LM3S6965_GPIO_H
#define LM3S6965_GPIO_H

#include <stdint.h>

#include "rpmsg_gpio_device.h"

enum gpio_port { PORT_A, PORT_B, PORT_C, PORT_D, PORT_E, PORT_F, PORT_G, PORT_COUNT };

struct gpio_pin {
	uint8_t port; /* enum gpio_port */
	uint8_t mask; /* one bit */
	bool pull_up; /* fixed by the board */
};

/* The pins of a controller: the port_context of its device. */
struct gpio_bank {
	const struct gpio_pin *pins; /* array of ngpio */
	uint16_t ngpio;              /* at most 255 */
	struct rpmsg_gpio_device *device;
};

extern const struct rpmsg_gpio_port gpio_port;

/*
 * Make the pins of the banks inputs and enable the interrupts of the ports. The
 * array and the devices stay; the interrupts of the pins are off until asked for.
 */
void gpio_init(const struct gpio_bank *banks, unsigned int count);

#endif
