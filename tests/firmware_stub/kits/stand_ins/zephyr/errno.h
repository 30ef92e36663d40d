/* SPDX-License-Identifier: BSD-3-Clause */
/* errno.h - a stand-in for the C library's. */
#ifndef STAND_IN_ERRNO_H
#define STAND_IN_ERRNO_H

#define ENODEV 19

#endif
