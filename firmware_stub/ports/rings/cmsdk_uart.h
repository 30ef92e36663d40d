/* SPDX-License-Identifier: BSD-3-Clause */
/* cmsdk_uart.h - the UART of Arm's CMSDK, which both of its FPGA boards have. `uart`: its address. */
#ifndef CMSDK_UART_H
#define CMSDK_UART_H

#include "machine.h"
#include "registers.h"

#define UART_DATA(uart)  REG32((uart) + 0)
#define UART_STATE(uart) REG32((uart) + 4)
#define UART_CTRL(uart)  REG32((uart) + 8)
#define UART_INT(uart)   REG32((uart) + 12)
#define UART_BAUD(uart)  REG32((uart) + 16)

#define UART_TX_FULL     1u /* of STATE */
#define UART_RX_FULL     2u
#define UART_CTRL_TX     1u
#define UART_CTRL_RX     2u
#define UART_CTRL_RX_IRQ 8u
#define UART_INT_RX      2u

static inline void uart_put(uintptr_t uart, uint8_t byte)
{
	while (UART_STATE(uart) & UART_TX_FULL)
		;
	UART_DATA(uart) = byte;
}

static inline void uart_init_console(uintptr_t uart)
{
	UART_BAUD(uart) = 16;
	UART_CTRL(uart) = UART_CTRL_TX;
}

static inline void uart_init_mailbox(uintptr_t uart)
{
	UART_BAUD(uart) = 16;
	UART_CTRL(uart) = UART_CTRL_TX | UART_CTRL_RX | UART_CTRL_RX_IRQ;
}

/* For its receive interrupt. */
static inline void uart_read_mailbox(uintptr_t uart)
{
	UART_INT(uart) = UART_INT_RX;
	while (UART_STATE(uart) & UART_RX_FULL)
		mailbox_byte((uint8_t)UART_DATA(uart));
}

#endif
