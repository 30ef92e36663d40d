/* SPDX-License-Identifier: BSD-3-Clause */
/* mps2_an385.h - registers of the MPS2 with image AN385: Cortex-M3, CMSDK UARTs. */
#ifndef MPS2_AN385_H
#define MPS2_AN385_H

#include "registers.h"

#define UART0 0x40004000u
#define UART1 0x40005000u

#define NVIC_ISER REG32(0xe000e100)
#define SCB_ICSR  REG32(0xe000ed04)
#define SYST_CSR  REG32(0xe000e010)
#define SYST_RVR  REG32(0xe000e014)
#define SYST_CVR  REG32(0xe000e018)

#define ICSR_PENDSTSET (UINT32_C(1) << 26)

#define IRQ_UART1_RX 2u
#define IRQ_PINS     16u /* of a GPIO block that QEMU has not got */
#define IRQ_COUNT    17u

#endif
