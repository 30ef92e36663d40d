/* SPDX-License-Identifier: BSD-3-Clause */
/* imx9_gpio.h - a stand-in for NuttX's. */
#ifndef STAND_IN_IMX9_GPIO_H
#define STAND_IN_IMX9_GPIO_H

#include <stdbool.h>
#include <stdint.h>

#include <nuttx/irq.h>

typedef uint16_t gpio_pinset_t;

#define GPIO_INPUT (0 << 14)
#define GPIO_OUTPUT (1 << 14)
#define GPIO_INTERRUPT (2 << 14)
#define GPIO_OUTPUT_ZERO (0 << 13)
#define GPIO_OUTPUT_ONE (1 << 13)
#define GPIO_INTBOTH_EDGES (1 << 11)
#define GPIO_INT_LOWLEVEL (0 << 9)
#define GPIO_INT_HIGHLEVEL (1 << 9)
#define GPIO_INT_RISINGEDGE (2 << 9)
#define GPIO_INT_FALLINGEDGE (3 << 9)
#define GPIO_PORT2 (1 << 5)
#define GPIO_PIN4 (4 << 0)
#define GPIO_PIN5 (5 << 0)
#define GPIO_PIN6 (6 << 0)
#define GPIO_PIN7 (7 << 0)

int imx9_config_gpio(gpio_pinset_t pinset);
void imx9_gpio_write(gpio_pinset_t pinset, bool value);
bool imx9_gpio_read(gpio_pinset_t pinset);
int imx9_gpioirq_attach(gpio_pinset_t pinset, xcpt_t isr, void *arg);
int imx9_gpioirq_enable(gpio_pinset_t pinset);
int imx9_gpioirq_disable(gpio_pinset_t pinset);

#endif
