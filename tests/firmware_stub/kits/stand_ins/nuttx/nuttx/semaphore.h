/* SPDX-License-Identifier: BSD-3-Clause */
/* semaphore.h - a stand-in for NuttX's. */
#ifndef STAND_IN_SEMAPHORE_H
#define STAND_IN_SEMAPHORE_H

#include <stdint.h>

typedef struct {
	int unused;
} sem_t;

int nxsem_init(sem_t *sem, int pshared, int32_t value);
int nxsem_post(sem_t *sem);
int nxsem_get_value(sem_t *sem, int *value);
int nxsem_wait_uninterruptible(sem_t *sem);
int nxsem_tickwait_uninterruptible(sem_t *sem, uint32_t delay);

#endif
