/* SPDX-License-Identifier: BSD-3-Clause */
/* HwiP.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_HWIP_H
#define STAND_IN_HWIP_H

#include <stdint.h>

#include <kernel/dpl/SystemP.h>

typedef void (*HwiP_FxnCallback)(void *args);

typedef struct HwiP_Params_ {
	uint32_t intNum;
	HwiP_FxnCallback callback;
	void *args;
	uint16_t eventId;
	uint8_t priority;
	uint8_t isFIQ;
	uint8_t isPulse;
} HwiP_Params;

typedef struct HwiP_Object_ {
	uint32_t rsv[8];
} HwiP_Object;

void HwiP_Params_init(HwiP_Params *params);
int32_t HwiP_construct(HwiP_Object *obj, HwiP_Params *params);
uintptr_t HwiP_disable(void);
void HwiP_restore(uintptr_t state);

#endif
