/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * startup.h - what the vector table points to, and the reset.
 */
#ifndef LM3S6965_STARTUP_H
#define LM3S6965_STARTUP_H

int main(void);
void reset_handler(void);
void system_reset(void) __attribute__((noreturn));

/* An interrupt has work for the main loop, which then does not sleep before it has done it. */
void wake_main(void);

void systick_handler(void);
void timer0a_handler(void);
void uart0_handler(void);
void gpio_a_handler(void);
void gpio_b_handler(void);
void gpio_c_handler(void);
void gpio_d_handler(void);
void gpio_e_handler(void);
void gpio_f_handler(void);
void gpio_g_handler(void);

#endif
