/* SPDX-License-Identifier: BSD-3-Clause */
/* self_test.h - the board checks its pins, in firmware that is built for it. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include "machine.h"

#ifdef RPMSG_GPIO_SELF_TEST
#include "rpmsg_gpio_self_test.h"

/* Of the board: what it allows. It tells no faults. */
extern const struct rpmsg_gpio_self_test gpio_self_test;

/* The trace gets a line for each fault, and one at the end. */
void self_test(struct rpmsg_gpio_device *device);
#else
static inline void self_test(struct rpmsg_gpio_device *device)
{
	(void)device;
}
#endif

#endif
