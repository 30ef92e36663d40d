/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.c - clock, UARTs and interrupts of the FU540's monitor core. */
#include "machine.h"

#include "sifive_u.h"

uint64_t machine_time_ns(void)
{
	return MTIME * 1000;
}

static void put(uint32_t uart, uint8_t byte)
{
	while (UART_TXDATA(uart) & UART_FULL_OR_EMPTY)
		;
	UART_TXDATA(uart) = byte;
}

void machine_console(uint8_t byte)
{
	put(UART0, byte);
}

void machine_mailbox(uint8_t byte)
{
	put(UART1, byte);
}

static void mailbox_interrupt(void)
{
	uint32_t data;

	while (!((data = UART_RXDATA(UART1)) & UART_FULL_OR_EMPTY))
		mailbox_byte((uint8_t)data);
}

/* An exception. Nobody watches this core but who sees it fall silent; the debugger sees
 * where it is. */
static void die(void)
{
	machine_console('!');
	for (;;)
		wait_for_interrupt();
}

/* QEMU's PLIC latches a level when it is set: a source is drained before it is completed. */
__attribute__((interrupt("machine"), aligned(4))) void trap(void);
void trap(void)
{
	uint32_t irq;
	long cause;

	__asm__ volatile("csrr %0, mcause" : "=r"(cause));
	if (cause >= 0)
		die();
	while ((irq = PLIC_CLAIM) != 0) {
		if (irq == IRQ_UART1)
			mailbox_interrupt();
		else if (irq - IRQ_GPIO0 < GPIO_LINES)
			gpio_interrupt(irq - IRQ_GPIO0);
		PLIC_CLAIM = irq;
	}
}

static void enable(unsigned int irq)
{
	PLIC_PRIORITY(irq) = 1;
	PLIC_ENABLE(irq / 32) |= UINT32_C(1) << irq % 32;
}

void machine_init(void)
{
	unsigned int i;

	UART_TXCTRL(UART0) = UART_ENABLE;
	UART_TXCTRL(UART1) = UART_ENABLE;
	UART_RXCTRL(UART1) = UART_ENABLE; /* watermark 0: an interrupt for each byte */
	UART_IE(UART1) = UART_IE_RX;
	PLIC_THRESHOLD = 0;
	enable(IRQ_UART1);
	for (i = 0; i < GPIO_LINES; i++)
		enable(IRQ_GPIO0 + i);
	__asm__ volatile("csrs mie, %0" : : "r"(1ul << 11));
	__asm__ volatile("csrsi mstatus, 8");
}
