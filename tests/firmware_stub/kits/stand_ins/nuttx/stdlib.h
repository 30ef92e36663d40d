/* SPDX-License-Identifier: BSD-3-Clause */
/* stdlib.h - a stand-in for NuttX's. */
#ifndef STAND_IN_STDLIB_H
#define STAND_IN_STDLIB_H

#include <stdint.h>

uint32_t arc4random(void);

#endif
