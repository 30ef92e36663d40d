/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpio_start.h - what the board calls.
 */
#ifndef GPIO_START_H
#define GPIO_START_H

/* Once, from the board's bring-up, after its rptun was initialized. Returns 0 or a negated errno
 * value. */
int gpio_initialize(void);

#endif
