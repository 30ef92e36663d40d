/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_board.h - the lines of an i.MX 8M Mini EVK: pins of its expansion connector. Edit it.
 */
#ifndef GPIO_BOARD_H
#define GPIO_BOARD_H

#include "fsl_gpio.h"
#include "fsl_iomuxc.h"

#define BOARD_LABEL "m4-gpio5"

/* Port, pin, name, pad. A GPIO port has one mask of interrupts: it is this core's, or Linux's. */
#define BOARD_LINES(X) \
	X(GPIO5, 10, "ECSPI2_SCLK", IOMUXC_ECSPI2_SCLK_GPIO5_IO10) \
	X(GPIO5, 11, "ECSPI2_MOSI", IOMUXC_ECSPI2_MOSI_GPIO5_IO11) \
	X(GPIO5, 12, "ECSPI2_MISO", IOMUXC_ECSPI2_MISO_GPIO5_IO12) \
	X(GPIO5, 13, "ECSPI2_SS0", IOMUXC_ECSPI2_SS0_GPIO5_IO13)

#define BOARD_ONE(...) + 1
#define BOARD_NGPIO (0 BOARD_LINES(BOARD_ONE))

/* The interrupts of these pins, and their handlers. */
#define BOARD_IRQS(X) X(GPIO5_Combined_0_15, GPIO5)

#endif
