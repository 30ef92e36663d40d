/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * footprint.c - the RAM that one controller of 32 lines needs, with the serial
 * framing or without it, in the configuration that a header beside this file names, and
 * with 32 edges on their way where it has events.
 *
 * Not part of the firmware: the build measures this object and those of the core,
 * so that the figures are the compiler's.
 */
#include "rpmsg_gpio_device.h"
#include "rpmsg_gpio_serial.h"

struct rpmsg_gpio_line footprint_lines[32];
struct rpmsg_gpio_device footprint_device;
struct rpmsg_gpio_device_config footprint_device_config;
#ifndef FOOTPRINT_WITHOUT_SERIAL
struct rpmsg_gpio_serial footprint_serial;
struct rpmsg_gpio_serial_config footprint_serial_config;
#endif

#if RPMSG_GPIO_FEATURES & (RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP)
struct rpmsg_gpio_stream footprint_streams[32];
struct rpmsg_gpio_edge footprint_edges[32];
#endif
