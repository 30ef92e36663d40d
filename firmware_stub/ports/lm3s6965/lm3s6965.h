/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lm3s6965.h - the registers of the LM3S6965 that this port uses.
 *
 * Names and offsets as in the data sheet of the LM3S6965 (system control,
 * GPTM, GPIO, UART) and in the ARMv7-M architecture manual (SCS).
 */
#ifndef LM3S6965_H
#define LM3S6965_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* ---- system control ------------------------------------------------------ */

#define SYSCTL_RIS   REG(0x400fe050)
#define SYSCTL_RCC   REG(0x400fe060)
#define SYSCTL_RCGC1 REG(0x400fe104)
#define SYSCTL_RCGC2 REG(0x400fe108)

#define RIS_PLLL         (1u << 6)
#define RCC_OSCSRC_MASK  (3u << 4) /* 0: the main oscillator */
#define RCC_XTAL_MASK    (0xfu << 6)
#define RCC_XTAL_8MHZ    (0xeu << 6)
#define RCC_BYPASS       (1u << 11)
#define RCC_PWRDN        (1u << 13)
#define RCC_USESYSDIV    (1u << 22)
#define RCC_SYSDIV_MASK  (0xfu << 23)
#define RCC_SYSDIV_4     (3u << 23) /* 200 MHz / 4 */
#define RCC_MOSCDIS      (1u << 0)
#define RCGC1_UART0      (1u << 0)
#define RCGC1_TIMER0     (1u << 16)
#define RCGC2_GPIO_ALL   0x7fu

#define SYSTEM_HZ 50000000u
#define NS_PER_CYCLE (1000000000u / SYSTEM_HZ)

/* ---- general-purpose timer ------------------------------------------------ */

#define TIMER0_CFG   REG(0x40030000)
#define TIMER0_TAMR  REG(0x40030004)
#define TIMER0_CTL   REG(0x4003000c)
#define TIMER0_IMR   REG(0x40030018)
#define TIMER0_ICR   REG(0x40030024)
#define TIMER0_TAILR REG(0x40030028)

#define TAMR_ONE_SHOT 1u
#define CTL_TAEN      (1u << 0)
#define INT_TATO      (1u << 0)

/* ---- GPIO: one PL061 a port ----------------------------------------------- */

/* The address carries a mask: only its pins are read or written. */
#define GPIO_DATA(base, mask) REG((base) + ((uint32_t)(mask) << 2))
#define GPIO_DIR(base)   REG((base) + 0x400u)
#define GPIO_IS(base)    REG((base) + 0x404u)
#define GPIO_IBE(base)   REG((base) + 0x408u)
#define GPIO_IEV(base)   REG((base) + 0x40cu)
#define GPIO_IM(base)    REG((base) + 0x410u)
#define GPIO_MIS(base)   REG((base) + 0x418u)
#define GPIO_ICR(base)   REG((base) + 0x41cu)
#define GPIO_AFSEL(base) REG((base) + 0x420u)
#define GPIO_ODR(base)   REG((base) + 0x50cu)
#define GPIO_PUR(base)   REG((base) + 0x510u)
#define GPIO_PDR(base)   REG((base) + 0x514u)
#define GPIO_DEN(base)   REG((base) + 0x51cu)

#define GPIO_A_BASE 0x40004000u
#define GPIO_A_UART0 0x03u /* PA0 is its receiver, PA1 its transmitter */

/* ---- UART: a PL011 --------------------------------------------------------- */

#define UART0_DR   REG(0x4000c000)
#define UART0_FR   REG(0x4000c018)
#define UART0_IBRD REG(0x4000c024)
#define UART0_FBRD REG(0x4000c028)
#define UART0_LCRH REG(0x4000c02c)
#define UART0_CTL  REG(0x4000c030)
#define UART0_IFLS REG(0x4000c034)
#define UART0_IM   REG(0x4000c038)
#define UART0_ICR  REG(0x4000c044)

#define FR_RXFE     (1u << 4)
#define FR_TXFF     (1u << 5)
#define LCRH_FEN    (1u << 4)
#define LCRH_8_BITS (3u << 5)
#define CTL_UARTEN  (1u << 0)
#define CTL_TXE     (1u << 8)
#define CTL_RXE     (1u << 9)
#define IFLS_EIGHTH 0u
#define UART_INT_RX (1u << 4)
#define UART_INT_TX (1u << 5)
#define UART_INT_RT (1u << 6)

/* ---- the core: SysTick, NVIC, SCB ------------------------------------------ */

#define SYST_CSR   REG(0xe000e010)
#define SYST_RVR   REG(0xe000e014)
#define SYST_CVR   REG(0xe000e018)
#define NVIC_ISER(n) REG(0xe000e100u + 4u * (n))
#define SCB_ICSR   REG(0xe000ed04)
#define SCB_AIRCR  REG(0xe000ed0c)

#define SYST_CSR_ENABLE    (1u << 0)
#define SYST_CSR_TICKINT   (1u << 1)
#define SYST_CSR_CLKSOURCE (1u << 2)
#define SYST_MAX           0xffffffu
#define ICSR_PENDSTSET     (1u << 26)
#define AIRCR_RESET        (0x05fa0000u | 1u << 2)

enum {
	IRQ_GPIO_A = 0, IRQ_GPIO_B = 1, IRQ_GPIO_C = 2, IRQ_GPIO_D = 3,
	IRQ_GPIO_E = 4, IRQ_UART0 = 5, IRQ_TIMER0A = 19,
	IRQ_GPIO_F = 30, IRQ_GPIO_G = 31, IRQ_COUNT = 44,
};

static inline void irq_enable(unsigned int irq)
{
	NVIC_ISER(irq / 32) = 1u << irq % 32;
}

/* Interrupts off; returns what irq_restore() wants. */
static inline uint32_t irq_save(void)
{
	uint32_t primask;

	__asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(primask) : : "memory");
	return primask;
}

static inline void irq_restore(uint32_t primask)
{
	__asm__ volatile("msr primask, %0" : : "r"(primask) : "memory");
}

/* Sleeps until an interrupt is pending; with interrupts off it is not taken yet. */
static inline void wait_for_interrupt(void)
{
	__asm__ volatile("dsb\n\twfi" : : : "memory");
}

#endif
