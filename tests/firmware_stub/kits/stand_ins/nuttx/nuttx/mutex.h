/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex.h - a stand-in for NuttX's. */
#ifndef STAND_IN_MUTEX_H
#define STAND_IN_MUTEX_H

typedef struct {
	int unused;
} mutex_t;

#define NXMUTEX_INITIALIZER {0}

int nxmutex_lock(mutex_t *mutex);
int nxmutex_unlock(mutex_t *mutex);

#endif
