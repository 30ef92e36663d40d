/* SPDX-License-Identifier: BSD-3-Clause */
/* registers.h - a register by its address. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdint.h>

#define REG32(a) (*(volatile uint32_t *)(uintptr_t)(a))
#define REG64(a) (*(volatile uint64_t *)(uintptr_t)(a))

#endif
