/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * k3.c - AM62x and AM64x: Linux puts the vrings into the first memory region.
 */
#include "resource_table.h"

/* To be linked at the start of the second memory region, 0x9cc00000 on an AM62x. */
RSC_SECTION struct rpmsg_resource_table resource_table =
	RPMSG_RESOURCE_TABLE(FW_RSC_ADDR_ANY, FW_RSC_ADDR_ANY, 4096, 256);
