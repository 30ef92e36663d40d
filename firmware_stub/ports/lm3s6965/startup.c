/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * startup.c - vector table and reset.
 */
#include <stdint.h>
#include <string.h>

#include "lm3s6965.h"
#include "startup.h"

/* Of the linker script. */
extern uint8_t stack_top[], data_start[], data_end[], bss_start[], bss_end[];
extern const uint8_t data_load[];

void system_reset(void)
{
	__asm__ volatile("dsb" : : : "memory");
	SCB_AIRCR = AIRCR_RESET;
	for (;;)
		__asm__ volatile("dsb" : : : "memory");
}

/* A fault: start again. The new epoch tells the driver; a processor
 * that hangs would tell nobody. */
static void fault_handler(void)
{
	system_reset();
}

void reset_handler(void)
{
	memcpy(data_start, data_load, (size_t)(data_end - data_start));
	memset(bss_start, 0, (size_t)(bss_end - bss_start));
	main();
	system_reset();
}

typedef void (*handler)(void);

/* The table of ARMv7-M, B1.5.2: initial stack pointer, then the exceptions. */
struct vectors {
	uint8_t *stack;
	handler exception[15];
	handler irq[IRQ_COUNT];
};

static const struct vectors vectors
	__attribute__((section(".vectors"), used)) = {
	.stack = stack_top,
	.exception = {
		reset_handler, /* reset */
		fault_handler, /* NMI */
		fault_handler, /* HardFault */
		fault_handler, /* MemManage */
		fault_handler, /* BusFault */
		fault_handler, /* UsageFault */
		fault_handler, fault_handler, fault_handler, fault_handler,
		fault_handler, /* SVCall */
		fault_handler, /* DebugMonitor */
		fault_handler,
		fault_handler, /* PendSV */
		systick_handler,
	},
	/* The others are 0, which is a fault as well. */
	.irq = {
		[IRQ_GPIO_A] = gpio_a_handler,
		[IRQ_GPIO_B] = gpio_b_handler,
		[IRQ_GPIO_C] = gpio_c_handler,
		[IRQ_GPIO_D] = gpio_d_handler,
		[IRQ_GPIO_E] = gpio_e_handler,
		[IRQ_UART0] = uart0_handler,
		[IRQ_TIMER0A] = timer0a_handler,
		[IRQ_GPIO_F] = gpio_f_handler,
		[IRQ_GPIO_G] = gpio_g_handler,
	},
};
