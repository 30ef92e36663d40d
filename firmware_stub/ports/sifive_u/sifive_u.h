/* SPDX-License-Identifier: BSD-3-Clause */
/* sifive_u.h - registers of the FU540-C000 (manual v1p4), as far as QEMU's sifive_u has them. */
#ifndef SIFIVE_U_H
#define SIFIVE_U_H

#include "registers.h"

#define MTIME REG64(0x0200bff8) /* 1 MHz */

#define UART0 0x10010000u
#define UART1 0x10011000u
#define UART_TXDATA(u) REG32((u) + 0x00)
#define UART_RXDATA(u) REG32((u) + 0x04)
#define UART_TXCTRL(u) REG32((u) + 0x08)
#define UART_RXCTRL(u) REG32((u) + 0x0c)
#define UART_IE(u)     REG32((u) + 0x10)

#define UART_FULL_OR_EMPTY 0x80000000u /* of TXDATA, of RXDATA */
#define UART_ENABLE        1u
#define UART_IE_RX         2u

#define GPIO_VALUE   REG32(0x10060000)
#define GPIO_IN_EN   REG32(0x10060004)
#define GPIO_OUT_EN  REG32(0x10060008)
#define GPIO_PORT    REG32(0x1006000c)
#define GPIO_RISE_IE REG32(0x10060018)
#define GPIO_RISE_IP REG32(0x1006001c)
#define GPIO_FALL_IE REG32(0x10060020)
#define GPIO_FALL_IP REG32(0x10060024)
#define GPIO_HIGH_IE REG32(0x10060028)
#define GPIO_HIGH_IP REG32(0x1006002c)
#define GPIO_LOW_IE  REG32(0x10060030)
#define GPIO_LOW_IP  REG32(0x10060034)

/* Hart 0, machine mode. */
#define PLIC_PRIORITY(i) REG32(0x0c000000u + 4 * (i))
#define PLIC_ENABLE(w)   REG32(0x0c002000u + 4 * (w))
#define PLIC_THRESHOLD   REG32(0x0c200000)
#define PLIC_CLAIM       REG32(0x0c200004)

#define IRQ_UART1 5u
#define IRQ_GPIO0 7u /* to 22 */

/* Of gpio.c: the interrupt of a pin. */
void gpio_interrupt(unsigned int pin);

#endif
