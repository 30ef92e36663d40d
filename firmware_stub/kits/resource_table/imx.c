/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imx.c - i.MX 8M and i.MX 93: vrings and table have addresses that the device tree names, too.
 */
#include "resource_table.h"

/* Call this before Linux looks, where a boot loader started the firmware; what is returned is the
 * table that Linux writes to. */
struct rpmsg_resource_table *resource_table_publish(void);

/* Those of mainline's imx93-11x11-evk. An i.MX 8M Mini has them at 0xb8000000, 0xb8008000 and
 * 0xb80ff000; the Cortex-M sees the i.MX 93's table, in its TCM, at another address than Linux:
 * 0x2001e000 instead of 0x2021e000. */
#define VRING0 0xa4000000u
#define VRING1 0xa4008000u
#define TABLE  0x2001e000u

RSC_SECTION const struct rpmsg_resource_table resource_table =
	RPMSG_RESOURCE_TABLE(VRING0, VRING1, 4096, 256);

struct rpmsg_resource_table *resource_table_publish(void)
{
	volatile uint8_t *to = (volatile uint8_t *)(uintptr_t)TABLE;
	const volatile uint8_t *from = (const volatile uint8_t *)&resource_table;
	size_t i;

	for (i = 0; i < sizeof(resource_table); i++)
		to[i] = from[i];
	return (struct rpmsg_resource_table *)(uintptr_t)TABLE;
}
