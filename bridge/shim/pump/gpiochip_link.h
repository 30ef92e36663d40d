/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gpiochip_link.h - a link to the lines of this Linux.
 *
 * The firmware core serves a GPIO character device from a thread of its own
 * (firmware_stub/ports/linux), since lines behind I2C or SPI sleep; the link is
 * the other end of its socket.
 */
#ifndef GB_GPIOCHIP_LINK_H
#define GB_GPIOCHIP_LINK_H

#include "link.h"

/* Serve the open GPIO character device `chip`, which is closed with the link, or at
 * once where none is made; `path` is for messages. NULL with errno (ENOTTY: it is no
 * GPIO character device). */
struct gb_link *gb_gpiochip_open(int chip, const char *path);

#endif
