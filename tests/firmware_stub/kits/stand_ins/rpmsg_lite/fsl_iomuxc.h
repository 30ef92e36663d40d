/* SPDX-License-Identifier: BSD-3-Clause */
/* fsl_iomuxc.h - a stand-in for MCUXpresso's: five values a pad, none of them right. */
#ifndef STAND_IN_FSL_IOMUXC_H
#define STAND_IN_FSL_IOMUXC_H

#include <stdint.h>

#define IOMUXC_ECSPI2_SCLK_GPIO5_IO10 0u, 5u, 0u, 0u, 0u
#define IOMUXC_ECSPI2_MOSI_GPIO5_IO11 0u, 5u, 0u, 0u, 0u
#define IOMUXC_ECSPI2_MISO_GPIO5_IO12 0u, 5u, 0u, 0u, 0u
#define IOMUXC_ECSPI2_SS0_GPIO5_IO13 0u, 5u, 0u, 0u, 0u

void IOMUXC_SetPinMux(uintptr_t mux, uint32_t mode, uintptr_t input, uint32_t daisy,
		      uintptr_t config, uint32_t on_field);

#endif
