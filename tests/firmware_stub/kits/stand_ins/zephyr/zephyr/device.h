/* SPDX-License-Identifier: BSD-3-Clause */
/* device.h - a stand-in for Zephyr's. */
#ifndef STAND_IN_DEVICE_H
#define STAND_IN_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zephyr/devicetree.h>

struct device {
	const char *name;
};

extern const struct device stand_in_device;

#define DEVICE_DT_GET(node) (&stand_in_device)

bool device_is_ready(const struct device *dev);

#endif
