/* SPDX-License-Identifier: BSD-3-Clause */
/* resource_table.h - a stand-in for that of Zephyr's lib/open-amp. */
#ifndef STAND_IN_RESOURCE_TABLE_H
#define STAND_IN_RESOURCE_TABLE_H

#include <openamp/open_amp.h>

#define VDEV_ID 0xFF
#define VRING1_ID 1

struct fw_resource_table;

void rsc_table_get(struct fw_resource_table **table_ptr, int *length);
struct fw_rsc_vdev *rsc_table_to_vdev(struct fw_resource_table *rsc_table);
struct fw_rsc_vdev_vring *rsc_table_get_vring0(struct fw_resource_table *rsc_table);
struct fw_rsc_vdev_vring *rsc_table_get_vring1(struct fw_resource_table *rsc_table);

#endif
