/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.c - start, clock, UARTs and interrupts of the MPS2 with a Cortex-M3. */
#include "machine.h"

#include <string.h>

#include "cmsdk_uart.h"
#include "mps2_an385.h"
#include "ram_pins.h"

#define TICK_NS   40u /* 25 MHz */
#define RELOAD    0xffffffu

/* Of the linker script. */
extern uint8_t stack_top[], data_start[], data_end[], bss_start[], bss_end[];
extern const uint8_t data_load[];

static volatile uint32_t wraps; /* of the SysTick */

static void systick_handler(void)
{
	wraps++;
}

uint64_t machine_time_ns(void)
{
	unsigned long flags = irq_save();
	uint32_t low = (RELOAD + 1 - SYST_CVR) & RELOAD, high = wraps; /* it counts down */

	if (SCB_ICSR & ICSR_PENDSTSET) { /* it wrapped, and nobody has counted it yet */
		low = (RELOAD + 1 - SYST_CVR) & RELOAD;
		high++;
	}
	irq_restore(flags);
	return ((uint64_t)high * (RELOAD + 1) + low) * TICK_NS;
}

void machine_console(uint8_t byte)
{
	uart_put(UART0, byte);
}

void machine_mailbox(uint8_t byte)
{
	uart_put(UART1, byte);
}

static void uart1_handler(void)
{
	uart_read_mailbox(UART1);
}

void machine_init(void)
{
	uart_init_console(UART0);
	uart_init_mailbox(UART1);
	SYST_RVR = RELOAD;
	SYST_CVR = 0;
	SYST_CSR = 7; /* core clock, interrupt, on */
	NVIC_ISER = UINT32_C(1) << IRQ_UART1_RX | UINT32_C(1) << IRQ_PINS;
	__asm__ volatile("cpsie i" : : : "memory");
}

static void reset_handler(void)
{
	memcpy(data_start, data_load, (size_t)(data_end - data_start));
	memset(bss_start, 0, (size_t)(bss_end - bss_start));
	firmware_main(1); /* START brings the epoch */
}

/* Nobody watches this core but who sees it fall silent; the debugger sees where it is. */
static void fault_handler(void)
{
	machine_console('!');
	for (;;)
		wait_for_interrupt();
}

typedef void (*handler)(void);

static const struct {
	uint8_t *stack;
	handler exception[15];
	handler irq[IRQ_COUNT];
} vectors __attribute__((section(".vectors"), used)) = {
	.stack = stack_top,
	/* The others are 0, which is a fault as well. */
	.exception = {
		[0] = reset_handler,
		[1] = fault_handler, /* NMI */
		[2] = fault_handler, /* HardFault */
		[3] = fault_handler, /* MemManage */
		[4] = fault_handler, /* BusFault */
		[5] = fault_handler, /* UsageFault */
		[14] = systick_handler,
	},
	.irq = {
		[IRQ_UART1_RX] = uart1_handler,
		[IRQ_PINS] = ram_pins_interrupt,
	},
};
