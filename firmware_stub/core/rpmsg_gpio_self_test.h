/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_self_test.h - a board checks its pins, for who brings it up.
 *
 * Off by default: define RPMSG_GPIO_SELF_TEST in the header that RPMSG_GPIO_USER_CONFIG names.
 * With COUNTERS the driver is told the result.
 */
#ifndef RPMSG_GPIO_SELF_TEST_H
#define RPMSG_GPIO_SELF_TEST_H

#include "rpmsg_gpio_device.h"

struct rpmsg_gpio_self_test_wire {
	uint16_t out, in; /* `in` can interrupt */
};

/* What the board allows: only these lines are driven, and undriven afterwards. */
struct rpmsg_gpio_self_test {
	const uint16_t *outputs; /* each is driven to both levels, and must show them */
	const struct rpmsg_gpio_self_test_wire *wires; /* the same through a wire, with interrupts */
	uint16_t output_count;
	uint16_t wire_count;
	/* Told of each fault: the line, and a sentence's end. NULL where the number is enough. */
	void (*fault)(void *context, uint16_t gpio, const char *what);
	void *context;
};

/*
 * Check what no driver uses: lines with a direction or an interrupt are left alone, and so is the
 * other end of their wire. Called from the context of rpmsg_gpio_device_run(), with interrupts on.
 * Returns the number of faults.
 */
uint32_t rpmsg_gpio_self_test(struct rpmsg_gpio_device *device,
			      const struct rpmsg_gpio_self_test *test);

#endif
