/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.h - the gpio port of the core on Zephyr's GPIO API, for the node `rpmsg-gpio`.
 */
#ifndef GPIO_PORT_H
#define GPIO_PORT_H

#include "gpio_endpoint.h"

/* Once: takes the pins, which are inputs from here on, and sets up `gpio` for them. Returns 0 or a
 * negated errno value. */
int gpio_port_init(struct gpio_endpoint *gpio);

#endif
