/* SPDX-License-Identifier: BSD-3-Clause */
/* kernel.h - a stand-in for Zephyr's, and for what it includes. */
#ifndef STAND_IN_KERNEL_H
#define STAND_IN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <zephyr/device.h>

#define ARG_UNUSED(x) (void)(x)
#define BIT(n) (1UL << (n))
#define BUILD_ASSERT(expression, message) _Static_assert(expression, message)
#define CONTAINER_OF(ptr, type, field) ((type *)(((char *)(ptr)) - offsetof(type, field)))

typedef struct {
	int64_t ticks;
} k_timeout_t;

struct k_sem {
	unsigned int count, limit;
};

#define K_FOREVER ((k_timeout_t){-1})
#define K_SEM_DEFINE(name, initial, max) struct k_sem name = {initial, max}

void k_sem_give(struct k_sem *sem);
int k_sem_take(struct k_sem *sem, k_timeout_t timeout);
int64_t k_uptime_ticks(void);
uint64_t k_cycle_get_64(void);
uint64_t k_ticks_to_ns_floor64(uint64_t ticks);
uint64_t k_cyc_to_ns_floor64(uint64_t cycles);

#endif
