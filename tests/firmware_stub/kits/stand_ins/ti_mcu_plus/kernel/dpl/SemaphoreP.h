/* SPDX-License-Identifier: BSD-3-Clause */
/* SemaphoreP.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_SEMAPHOREP_H
#define STAND_IN_SEMAPHOREP_H

#include <stdint.h>

#include <kernel/dpl/SystemP.h>

typedef struct SemaphoreP_Object_ {
	uintptr_t rsv[38];
} SemaphoreP_Object;

int32_t SemaphoreP_constructBinary(SemaphoreP_Object *obj, uint32_t value);
void SemaphoreP_post(SemaphoreP_Object *obj);
int32_t SemaphoreP_pend(SemaphoreP_Object *obj, uint32_t ticks);

#endif
