/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.h - the resource table of the firmware: what remoteproc reads from the ELF file and
 * completes in memory. Structs and constants are those of the kernel's linux/rsc_table.h.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>

#define RSC_CARVEOUT 0
#define RSC_TRACE    2
#define RSC_VDEV     3
#define FW_RSC_ADDR_ANY 0xffffffffu

#define VIRTIO_CONFIG_S_DRIVER_OK 4u

struct fw_rsc_carveout {
	uint32_t type, da, pa, len, flags, reserved;
	char name[32];
};

struct fw_rsc_trace {
	uint32_t type, da, len, reserved;
	char name[32];
};

struct fw_rsc_vdev_vring {
	uint32_t da, align, num, notifyid, pa;
};

struct fw_rsc_vdev {
	uint32_t type, id, notifyid, dfeatures, gfeatures, config_len;
	uint8_t status, num_of_vrings, reserved[2];
	struct fw_rsc_vdev_vring vring[2];
};

struct resource_table {
	uint32_t ver, num, reserved[2], offset[3];
	struct fw_rsc_carveout carveout;
	struct fw_rsc_trace trace;
	struct fw_rsc_vdev vdev;
};

#endif
