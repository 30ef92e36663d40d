/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uart.c - UART 0, interrupt driven.
 *
 * The ring has one writer, the main loop, and one reader, the interrupt: an
 * index is written by one side only. All of it is volatile: the compiler may
 * move an ordinary store behind a volatile one, here a byte behind its index.
 */
#include "uart.h"

#include "lm3s6965.h"
#include "startup.h"

#define TX_MASK (UART_TX_RING - 1u)

/* The divisor has 6 bits of fraction. */
#define DIVISOR ((SYSTEM_HZ * 4u + UART_BAUD / 2u) / UART_BAUD)

/* Free-running indices: head - tail is what the ring holds. */
static volatile uint8_t tx_ring[UART_TX_RING];
static volatile uint32_t tx_head, tx_tail;
static void (*on_byte)(uint8_t byte);

/*
 * A reset of the processor alone leaves the UART as it was. Bytes that wait in
 * its FIFO without their interrupt, which a handler had cleared when the reset
 * came, would keep the next one from ever coming: they have to go.
 */
static void forget_received(void)
{
	UART0_LCRH = 0; /* without FEN: the FIFOs are flushed */
	while (!(UART0_FR & FR_RXFE))
		(void)UART0_DR;
	UART0_ICR = UART_INT_RX | UART_INT_RT | UART_INT_TX;
}

void uart_init(void (*received)(uint8_t byte))
{
	on_byte = received;
	GPIO_AFSEL(GPIO_A_BASE) |= GPIO_A_UART0;
	GPIO_DEN(GPIO_A_BASE) |= GPIO_A_UART0;
	UART0_CTL = 0;
	forget_received();
	UART0_IBRD = DIVISOR >> 6;
	UART0_FBRD = DIVISOR & 0x3f;
	UART0_LCRH = LCRH_8_BITS | LCRH_FEN;
	UART0_IFLS = IFLS_EIGHTH;
	UART0_CTL = CTL_UARTEN | CTL_TXE | CTL_RXE;
	UART0_IM = UART_INT_RX | UART_INT_RT;
	irq_enable(IRQ_UART0);
}

/*
 * Drain the FIFO whole: its interrupt comes when it fills, not while it is
 * filled. A byte with an error is taken as it is: the framing finds it by its
 * CRC, like one that was lost, and has the message sent again.
 */
static void receive(void)
{
	while (!(UART0_FR & FR_RXFE))
		on_byte((uint8_t)UART0_DR);
}

/* Called in the interrupt, or with interrupts off. The interrupt is wanted while bytes wait. */
static void transmit(void)
{
	while (tx_tail != tx_head && !(UART0_FR & FR_TXFF)) {
		UART0_DR = tx_ring[tx_tail & TX_MASK];
		tx_tail++;
	}
	if (tx_tail == tx_head)
		UART0_IM = UART_INT_RX | UART_INT_RT;
	else
		UART0_IM = UART_INT_RX | UART_INT_RT | UART_INT_TX;
}

void uart0_handler(void)
{
	UART0_ICR = UART_INT_RX | UART_INT_RT | UART_INT_TX;
	receive();
	transmit();
	wake_main();
}

size_t uart_write(const uint8_t *bytes, size_t length)
{
	uint32_t primask;
	size_t n;

	for (n = 0; n < length && tx_head - tx_tail < UART_TX_RING; n++) {
		tx_ring[tx_head & TX_MASK] = bytes[n];
		tx_head++;
	}
	/* The first bytes go to the FIFO at once: its interrupt tells that it
	 * has become empty, never that it is. */
	primask = irq_save();
	transmit();
	irq_restore(primask);
	return n;
}
