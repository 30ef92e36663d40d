/* SPDX-License-Identifier: BSD-3-Clause */
/* mps3_an536.h - registers of the MPS3 with image AN536: Cortex-R52, GICv3, CMSDK UARTs. */
#ifndef MPS3_AN536_H
#define MPS3_AN536_H

#include "registers.h"

#define UART0 0xe7c00000u /* of this core alone */
#define UART2 0xe0205000u

#define GICD 0xf0000000u
#define GICD_CTLR          REG32(GICD)
#define GICD_IGROUPR(i)    REG32(GICD + 0x080 + (i) / 32 * 4)
#define GICD_ISENABLER(i)  REG32(GICD + 0x100 + (i) / 32 * 4)
#define GICD_ICFGR(i)      REG32(GICD + 0xc00 + (i) / 16 * 4)
#define GICD_CTLR_GRP1     0x02u
#define GICD_CTLR_ARE      0x10u
#define GICR_WAKER         REG32(0xf0100014)
#define GICR_WAKER_SLEEP   2u
#define GICR_WAKER_ASLEEP  4u

/* System registers. */
#define CNTFRQ      "p15, 0, %0, c14, c0, 0"
#define CNTP_TVAL   "p15, 0, %0, c14, c2, 0"
#define CNTP_CTL    "p15, 0, %0, c14, c2, 1"
#define ICC_PMR     "p15, 0, %0, c4, c6, 0"
#define ICC_IAR1    "p15, 0, %0, c12, c12, 0"
#define ICC_EOIR1   "p15, 0, %0, c12, c12, 1"
#define ICC_SRE     "p15, 0, %0, c12, c12, 5"
#define ICC_IGRPEN1 "p15, 0, %0, c12, c12, 7"

#define CNTP_CTL_ENABLE 1u
#define CNTP_CTL_IMASK  2u

#define MRC(name, value) __asm__ volatile("mrc " name : "=r"(value) : : "memory")
#define MCR(name, value) __asm__ volatile("mcr " name "\n\tisb" : : "r"((uint32_t)(value)) : "memory")

#define IRQ_SPI(n)   (32u + (n))
#define IRQ_UART2_RX IRQ_SPI(5)
#define IRQ_PINS     IRQ_SPI(80) /* of a GPIO block that QEMU has not got */
#define IRQ_NONE     1020u       /* and above: what IAR tells when none is pending */

#endif
