/* SPDX-License-Identifier: BSD-3-Clause */
/* linux_device.h - the firmware core on the lines of this Linux, behind a socket. */
#ifndef LINUX_DEVICE_H
#define LINUX_DEVICE_H

#include "linux_gpio.h"

struct linux_device;

/*
 * A device for the GPIO character device `chip`, whose messages go over `endpoint`
 * (SOCK_SEQPACKET, a message a packet). Both descriptors stay the caller's, who
 * closes them after linux_device_free(). 0 or -errno, as linux_gpio_open().
 */
int linux_device_new(struct linux_device **result, int chip, int endpoint);
void linux_device_free(struct linux_device *device);

/* Sets the function to call when the kernel refuses something. */
void linux_device_on_refusal(struct linux_device *device, linux_gpio_refused_fn refused,
			     void *context);

/* Serve until the other end of the endpoint is closed (0) or the chip is gone (-errno). */
int linux_device_run(struct linux_device *device);

#endif
