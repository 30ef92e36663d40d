/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine.c - clock, UARTs and interrupts of the MPS3 with a Cortex-R52.
 *
 * MPU and caches stay off: by the core's default map memory is Normal and peripherals are
 * Device.
 */
#include "machine.h"

#include "cmsdk_uart.h"
#include "mps3_an536.h"
#include "ram_pins.h"

static uint32_t tick_ns;

uint64_t machine_time_ns(void)
{
	uint64_t ticks;

	__asm__ volatile("isb\n\tmrrc p15, 0, %Q0, %R0, c14" : "=r"(ticks) : : "memory");
	return ticks * tick_ns;
}

void machine_console(uint8_t byte)
{
	uart_put(UART0, byte);
}

void machine_mailbox(uint8_t byte)
{
	uart_put(UART2, byte);
}

/* Of start.S: nobody watches this core but who sees it fall silent; the debugger sees where
 * it is. */
void fault(void) __attribute__((noreturn));
void fault(void)
{
	machine_console('!');
	for (;;)
		wait_for_interrupt();
}

/* QEMU's UART does not tell its other end that there is room again. A timer that ends soon, its
 * interrupt masked, makes QEMU look. */
static void let_uart_be_fed(void)
{
	MCR(CNTP_TVAL, 1000);
	MCR(CNTP_CTL, CNTP_CTL_ENABLE | CNTP_CTL_IMASK);
}

__attribute__((interrupt("IRQ"))) void irq(void);
void irq(void)
{
	uint32_t id;

	for (;;) {
		MRC(ICC_IAR1, id);
		if (id >= IRQ_NONE)
			return;
		if (id == IRQ_UART2_RX) {
			uart_read_mailbox(UART2);
			let_uart_be_fed();
		} else if (id == IRQ_PINS) {
			ram_pins_interrupt();
		}
		MCR(ICC_EOIR1, id);
	}
}

static void enable(unsigned int id)
{
	GICD_IGROUPR(id) |= UINT32_C(1) << id % 32;
	GICD_ISENABLER(id) = UINT32_C(1) << id % 32;
}

static void init_gic(void)
{
	GICR_WAKER &= ~GICR_WAKER_SLEEP;
	while (GICR_WAKER & GICR_WAKER_ASLEEP)
		;
	GICD_CTLR = GICD_CTLR_ARE | GICD_CTLR_GRP1;
	GICD_ICFGR(IRQ_PINS) |= UINT32_C(2) << IRQ_PINS % 16 * 2; /* a pulse is kept */
	enable(IRQ_UART2_RX);
	enable(IRQ_PINS);
	MCR(ICC_SRE, 1);
	MCR(ICC_PMR, 0xff);
	MCR(ICC_IGRPEN1, 1);
}

void machine_init(void)
{
	uint32_t frequency;

	MRC(CNTFRQ, frequency);
	tick_ns = 1000000000u / frequency;
	uart_init_console(UART0);
	uart_init_mailbox(UART2);
	let_uart_be_fed();
	init_gic();
	__asm__ volatile("cpsie i" : : : "memory");
}
