/* SPDX-License-Identifier: BSD-3-Clause */
/* fsl_gpio.h - a stand-in for MCUXpresso's IGPIO driver. */
#ifndef STAND_IN_FSL_GPIO_H
#define STAND_IN_FSL_GPIO_H

#include "fsl_common.h"

typedef struct {
	volatile uint32_t DR, GDIR;
	const volatile uint32_t PSR;
	volatile uint32_t ICR1, ICR2, IMR, ISR, EDGE_SEL;
} GPIO_Type;

#define GPIO5 ((GPIO_Type *)0x30240000u)

typedef enum _gpio_pin_direction {
	kGPIO_DigitalInput = 0U,
	kGPIO_DigitalOutput = 1U,
} gpio_pin_direction_t;

typedef enum _gpio_interrupt_mode {
	kGPIO_NoIntmode = 0U,
	kGPIO_IntLowLevel = 1U,
	kGPIO_IntHighLevel = 2U,
	kGPIO_IntRisingEdge = 3U,
	kGPIO_IntFallingEdge = 4U,
	kGPIO_IntRisingOrFallingEdge = 5U,
} gpio_interrupt_mode_t;

typedef struct _gpio_pin_config {
	gpio_pin_direction_t direction;
	uint8_t outputLogic;
	gpio_interrupt_mode_t interruptMode;
} gpio_pin_config_t;

void GPIO_PinInit(GPIO_Type *base, uint32_t pin, const gpio_pin_config_t *config);
void GPIO_PinWrite(GPIO_Type *base, uint32_t pin, uint8_t output);
uint8_t GPIO_PinReadPadStatus(GPIO_Type *base, uint32_t pin);
void GPIO_PinSetInterruptConfig(GPIO_Type *base, uint32_t pin, gpio_interrupt_mode_t mode);
void GPIO_PortEnableInterrupts(GPIO_Type *base, uint32_t mask);
void GPIO_PortDisableInterrupts(GPIO_Type *base, uint32_t mask);
uint32_t GPIO_PortGetInterruptFlags(GPIO_Type *base);
void GPIO_PortClearInterruptFlags(GPIO_Type *base, uint32_t mask);

#endif
