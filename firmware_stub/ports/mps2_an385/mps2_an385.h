/* SPDX-License-Identifier: BSD-3-Clause */
/* mps2_an385.h - registers of the MPS2 with image AN385: Cortex-M3, CMSDK UARTs. */
#ifndef MPS2_AN385_H
#define MPS2_AN385_H

#include <stdint.h>

#define REG32(a) (*(volatile uint32_t *)(uintptr_t)(a))

#define UART(n) (0x40004000u + 0x1000u * (n))
#define UART_DATA(n)  REG32(UART(n))
#define UART_STATE(n) REG32(UART(n) + 4)
#define UART_CTRL(n)  REG32(UART(n) + 8)
#define UART_INT(n)   REG32(UART(n) + 12)
#define UART_BAUD(n)  REG32(UART(n) + 16)

#define UART_TX_FULL     1u /* of STATE */
#define UART_RX_FULL     2u
#define UART_CTRL_TX     1u
#define UART_CTRL_RX     2u
#define UART_CTRL_RX_IRQ 8u
#define UART_INT_RX      2u

#define NVIC_ISER REG32(0xe000e100)
#define SCB_ICSR  REG32(0xe000ed04)
#define SYST_CSR  REG32(0xe000e010)
#define SYST_RVR  REG32(0xe000e014)
#define SYST_CVR  REG32(0xe000e018)

#define ICSR_PENDSTSET (UINT32_C(1) << 26)

#define IRQ_UART1_RX 2u
#define IRQ_PINS     16u /* of a GPIO block that QEMU has not got */
#define IRQ_COUNT    17u

void pins_handler(void); /* of gpio.c */

#endif
