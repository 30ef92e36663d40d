/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * footprint.c - the memory that one controller of 32 lines needs.
 *
 * Not part of the firmware: the build measures this object beside those of the
 * core, so that the figure is the compiler's.
 */
#include "rpmsg_gpio_device.h"
#include "rpmsg_gpio_serial.h"

struct rpmsg_gpio_line footprint_lines[32];
struct rpmsg_gpio_device footprint_device;
struct rpmsg_gpio_device_config footprint_device_config;
struct rpmsg_gpio_serial footprint_serial;
struct rpmsg_gpio_serial_config footprint_serial_config;
