/* SPDX-License-Identifier: BSD-3-Clause */
/* cslr_soc.h - a stand-in for TI's MCU+ SDK: an AM62x. */
#ifndef STAND_IN_CSLR_SOC_H
#define STAND_IN_CSLR_SOC_H

#define CSL_MCU_GPIO0_BASE (0x4201000UL)
#define CSL_CORE_ID_A53SS0_0 (2U)

#endif
