/* SPDX-License-Identifier: BSD-3-Clause */
/* gpio.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_GPIO_H
#define STAND_IN_GPIO_H

#include <stdint.h>

#define GPIO_PIN_LOW (0U)
#define GPIO_PIN_HIGH (1U)
#define GPIO_DIRECTION_OUTPUT (0U)
#define GPIO_DIRECTION_INPUT (1U)
#define GPIO_TRIG_TYPE_NONE (0U)
#define GPIO_TRIG_TYPE_RISE_EDGE (1U)
#define GPIO_TRIG_TYPE_FALL_EDGE (2U)
#define GPIO_TRIG_TYPE_BOTH_EDGE (3U)
#define GPIO_MAX_PIN_PER_BANK (16U)

void GPIO_setDirMode(uint32_t base, uint32_t pin, uint32_t direction);
void GPIO_pinWriteHigh(uint32_t base, uint32_t pin);
void GPIO_pinWriteLow(uint32_t base, uint32_t pin);
uint32_t GPIO_pinRead(uint32_t base, uint32_t pin);
void GPIO_setTrigType(uint32_t base, uint32_t pin, uint32_t type);
void GPIO_bankIntrEnable(uint32_t base, uint32_t bank);
void GPIO_clearIntrStatus(uint32_t base, uint32_t pin);
uint32_t GPIO_getBankIntrStatus(uint32_t base, uint32_t bank);
void GPIO_clearBankIntrStatus(uint32_t base, uint32_t bank, uint32_t status);

#endif
