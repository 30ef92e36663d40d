/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resource_table.h - the resource table of the firmware: what remoteproc reads from the ELF file
 * and completes in memory. Structs and constants are those of the kernel's linux/rsc_table.h.
 */
#ifndef RESOURCE_TABLE_H
#define RESOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define RSC_CARVEOUT 0
#define RSC_TRACE    2
#define RSC_VDEV     3
#define FW_RSC_ADDR_ANY 0xffffffffu

#define VIRTIO_CONFIG_S_DRIVER_OK 4u

/* linux/virtio_ids.h, linux/virtio_rpmsg.h */
#define RSC_VIRTIO_ID_RPMSG 7
#define RSC_VIRTIO_ID_GPIO  41
#define RSC_F_NS            1u /* bit 0: channels are announced */

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

/* A table of one vdev: what rpmsg needs. Others put entries of their own behind it. */
struct rpmsg_resource_table {
	uint32_t ver, num, reserved[2], offset[1];
	struct fw_rsc_vdev vdev;
};

#define RSC_SECTION __attribute__((section(".resource_table"), used))

/* Vring 0 is what Linux receives from, vring 1 what it sends on. */
#define RPMSG_RESOURCE_TABLE(vring0, vring1, alignment, buffers)                                  \
	{                                                                                         \
		.ver = 1, .num = 1, .offset = {offsetof(struct rpmsg_resource_table, vdev)},       \
		.vdev = {                                                                         \
			.type = RSC_VDEV, .id = RSC_VIRTIO_ID_RPMSG, .dfeatures = RSC_F_NS,        \
			.num_of_vrings = 2,                                                       \
			.vring = {                                                                \
				{.da = (vring0), .align = (alignment), .num = (buffers),           \
				 .notifyid = 0},                                                  \
				{.da = (vring1), .align = (alignment), .num = (buffers),           \
				 .notifyid = 1},                                                  \
			},                                                                        \
		},                                                                                \
	}

#endif
