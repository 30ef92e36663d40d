/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * footprint_events.c - what CREDITS and TIMESTAMP need beside footprint.c: for 32
 * lines, and 32 edges on their way. Not part of the firmware either.
 */
#include "rpmsg_gpio_device.h"

struct rpmsg_gpio_stream footprint_streams[32];
struct rpmsg_gpio_edge footprint_edges[32];
