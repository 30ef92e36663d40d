/* SPDX-License-Identifier: BSD-3-Clause */
/* fsl_common.h - a stand-in for MCUXpresso's, and for what it includes of CMSIS. */
#ifndef STAND_IN_FSL_COMMON_H
#define STAND_IN_FSL_COMMON_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { GPIO5_Combined_0_15_IRQn = 72 } IRQn_Type;
typedef int32_t status_t;

#define SDK_ISR_EXIT_BARRIER ((void)0)

void NVIC_SetPriority(IRQn_Type irq, uint32_t priority);
status_t EnableIRQ(IRQn_Type irq);

#endif
