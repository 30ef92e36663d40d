/* SPDX-License-Identifier: BSD-3-Clause */
/* random.h - a stand-in for Zephyr's. */
#ifndef STAND_IN_RANDOM_H
#define STAND_IN_RANDOM_H

#include <stdint.h>

uint32_t sys_rand32_get(void);

#endif
