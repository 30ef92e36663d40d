/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.h - what the main loops want of a machine, and what a machine's interrupts tell it. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "rpmsg_gpio_device.h"

#define GPIO_LINES 10
#define GPIO_NAMES \
	"LED\0" "P1\0" "P2\0" "P3\0" "LOOP_OUT\0" "LOOP_IN\0" "BUTTON\0" "P7\0" "P8\0" "P9"

/* Clock, UARTs, the mailbox's interrupt and those of the pins, all on. */
void machine_init(void);
/* Waits while the UART is full. */
void machine_console(uint8_t byte);
void machine_mailbox(uint8_t byte);
uint64_t machine_time_ns(void);

extern const struct rpmsg_gpio_port gpio_port;
extern const char gpio_label[];
/* No pin is driven, no interrupt of a pin on; those that come belong to `device`. */
void gpio_reset(struct rpmsg_gpio_device *device);

/* For interrupts: a byte came through the mailbox; there is work to do. */
void mailbox_byte(uint8_t byte);
void wake_main(void);

/* Of sleep.c: set by wake_main(); cleared by the main loop before it looks for work. */
extern volatile bool woken;
void sleep_until_woken(void);

/* Never returns. `seed`: never 0, another one at each start. */
void firmware_main(uint32_t seed) __attribute__((noreturn));

#ifdef __riscv
static inline unsigned long irq_save(void)
{
	unsigned long status;

	__asm__ volatile("csrrci %0, mstatus, 8" : "=r"(status) : : "memory");
	return status & 8;
}

static inline void irq_restore(unsigned long status)
{
	__asm__ volatile("csrs mstatus, %0" : : "r"(status) : "memory");
}
#elif __ARM_ARCH_PROFILE == 'R'
static inline unsigned long irq_save(void)
{
	unsigned long status;

	__asm__ volatile("mrs %0, cpsr\n\tcpsid i" : "=r"(status) : : "memory");
	return status;
}

static inline void irq_restore(unsigned long status)
{
	__asm__ volatile("msr cpsr_c, %0" : : "r"(status) : "memory");
}
#else
static inline unsigned long irq_save(void)
{
	unsigned long mask;

	__asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(mask) : : "memory");
	return mask;
}

static inline void irq_restore(unsigned long mask)
{
	__asm__ volatile("msr primask, %0" : : "r"(mask) : "memory");
}
#endif

/* It ends with an interrupt that is pending, masked or not. */
static inline void wait_for_interrupt(void)
{
	__asm__ volatile("wfi" : : : "memory");
}

#endif
