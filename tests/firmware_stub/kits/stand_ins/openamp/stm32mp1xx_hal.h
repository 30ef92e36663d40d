/* SPDX-License-Identifier: BSD-3-Clause */
/* stm32mp1xx_hal.h - a stand-in for STM32Cube's HAL, and for what it includes of CMSIS. */
#ifndef STAND_IN_STM32MP1XX_HAL_H
#define STAND_IN_STM32MP1XX_HAL_H

#include <stdint.h>

typedef enum { HAL_OK, HAL_ERROR, HAL_BUSY, HAL_TIMEOUT } HAL_StatusTypeDef;
typedef enum { EXTI11_IRQn = 42, EXTI7_IRQn = 65, EXTI14_IRQn = 121 } IRQn_Type;
typedef enum { GPIO_PIN_RESET = 0, GPIO_PIN_SET } GPIO_PinState;

typedef struct { volatile uint32_t MODER; } GPIO_TypeDef;
typedef struct { volatile uint32_t RTSR1, FTSR1, SWIER1, RPR1, FPR1; } EXTI_TypeDef;
typedef struct { volatile uint32_t IMR1, EMR1; } EXTI_Core_TypeDef;
typedef struct { volatile uint32_t CNTCVL, CNTCVU; } STGENR_TypeDef;
typedef struct { volatile uint32_t C1CR; } IPCC_TypeDef;
typedef struct { IPCC_TypeDef *Instance; } IPCC_HandleTypeDef;

#define GPIOA ((GPIO_TypeDef *)0x50002000UL)
#define GPIOD ((GPIO_TypeDef *)0x50005000UL)
#define GPIOH ((GPIO_TypeDef *)0x50009000UL)
#define EXTI ((EXTI_TypeDef *)0x5000d000UL)
#define EXTI_C2 ((EXTI_Core_TypeDef *)0x5000d0c0UL)
#define IPCC ((IPCC_TypeDef *)0x4c001000UL)
#define STGENR_BASE 0x5a005000UL

typedef struct {
	uint32_t Pin, Mode, Pull, Speed, Alternate;
} GPIO_InitTypeDef;

#define GPIO_MODE_INPUT ((uint32_t)0x00000000U)
#define GPIO_MODE_OUTPUT_PP ((uint32_t)0x00000001U)
#define GPIO_MODE_IT_RISING ((uint32_t)0x10110000U)
#define GPIO_MODE_IT_FALLING ((uint32_t)0x10210000U)
#define GPIO_MODE_IT_RISING_FALLING ((uint32_t)0x10310000U)
#define GPIO_SPEED_FREQ_LOW ((uint32_t)0x00000000U)
#define GPIO_NOPULL ((uint32_t)0x00000000U)
#define GPIO_PULLUP ((uint32_t)0x00000001U)

#define __HAL_RCC_GPIOA_CLK_ENABLE() ((void)0)
#define __HAL_RCC_GPIOD_CLK_ENABLE() ((void)0)
#define __HAL_RCC_GPIOH_CLK_ENABLE() ((void)0)
#define __HAL_RCC_HSEM_CLK_ENABLE() ((void)0)

uint32_t __get_PRIMASK(void);
void __set_PRIMASK(uint32_t mask);
void __disable_irq(void);
void __enable_irq(void);
void __WFI(void);
void NVIC_SystemReset(void);

HAL_StatusTypeDef HAL_Init(void);
HAL_StatusTypeDef HAL_IPCC_Init(IPCC_HandleTypeDef *hipcc);
void HAL_NVIC_SetPriority(IRQn_Type irq, uint32_t preempt, uint32_t sub);
void HAL_NVIC_EnableIRQ(IRQn_Type irq);
void HAL_GPIO_Init(GPIO_TypeDef *port, GPIO_InitTypeDef *init);
GPIO_PinState HAL_GPIO_ReadPin(GPIO_TypeDef *port, uint16_t pin);
void HAL_GPIO_WritePin(GPIO_TypeDef *port, uint16_t pin, GPIO_PinState state);

#endif
