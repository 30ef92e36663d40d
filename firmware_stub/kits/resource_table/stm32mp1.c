/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stm32mp1.c - STM32MP1 and STM32MP2: Linux puts the vrings where its device tree says.
 */
#include "resource_table.h"

/* vdev0buffer has 16 KiB: 16 buffers of 512 bytes a direction. The alignment is ST's. */
RSC_SECTION struct rpmsg_resource_table resource_table =
	RPMSG_RESOURCE_TABLE(FW_RSC_ADDR_ANY, FW_RSC_ADDR_ANY, 16, 16);
