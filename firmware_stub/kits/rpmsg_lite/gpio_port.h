/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_port.h - the gpio port of the core on NXP's IGPIO.
 */
#ifndef GPIO_PORT_H
#define GPIO_PORT_H

#include "rpmsg_gpio_device.h"

/* Once, before gpio_init(): pins are inputs from here on. */
void gpio_port_init(struct rpmsg_gpio_device *device);

extern const struct rpmsg_gpio_port gpio_port;

/* NUL-terminated names of all lines in a row. */
extern const char gpio_names[];
extern const uint32_t gpio_names_size;

#endif
