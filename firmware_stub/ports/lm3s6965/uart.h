/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uart.h - UART 0, interrupt driven. 8N1, no flow control.
 */
#ifndef LM3S6965_UART_H
#define LM3S6965_UART_H

#include <stddef.h>
#include <stdint.h>

#ifndef UART_BAUD
#define UART_BAUD 115200u
#endif

/* Bytes that wait for the transmitter, beside the 16 in its FIFO; a power of two.
 * Received bytes wait in the ring of the serial framing. */
#define UART_TX_RING 64u

/* `received` is called from the interrupt with each byte. */
void uart_init(void (*received)(uint8_t byte));

/* Queue up to `length` bytes to be sent; returns how many found room. The main
 * loop is woken when there is room again. */
size_t uart_write(const uint8_t *bytes, size_t length);

#endif
