/* SPDX-License-Identifier: BSD-3-Clause */
#include "self_test.h"

#ifdef RPMSG_GPIO_SELF_TEST

#include "trace.h"

static const char *name_of(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const char *name = device->config->names;

	while (gpio--)
		while (*name++)
			;
	return name;
}

static void tell(void *context, uint16_t gpio, const char *what)
{
	trace_say_of(name_of(context, gpio), what);
}

void self_test(struct rpmsg_gpio_device *device)
{
	struct rpmsg_gpio_self_test test = gpio_self_test;

	test.fault = tell;
	test.context = device;
	trace_say_of("self-test:", rpmsg_gpio_self_test(device, &test) ? "faults" : "no fault");
}

#endif
