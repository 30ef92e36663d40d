/* SPDX-License-Identifier: BSD-3-Clause */
/* lock_resource.h - a stand-in for that of STM32Cube's examples. */
#ifndef STAND_IN_LOCK_RESOURCE_H
#define STAND_IN_LOCK_RESOURCE_H

#include "stm32mp1xx_hal.h"

typedef enum {
	LOCK_RESOURCE_STATUS_OK = 0x00U,
	LOCK_RESOURCE_STATUS_ERROR = 0x01U,
	LOCK_RESOURCE_STATUS_TIMEOUT = 0x02U
} LockResource_Status_t;

#define PERIPH_LOCK(peripheral) Periph_Lock(peripheral, 100U)
#define PERIPH_UNLOCK(peripheral) Periph_Unlock(peripheral)

LockResource_Status_t Periph_Lock(void *Peripheral, uint32_t Timeout);
void Periph_Unlock(void *Peripheral);

#endif
