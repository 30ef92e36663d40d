/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * by_table.c - rings that remoteproc makes for the vdev of our resource table.
 *
 * It starts us first and the virtio device later, whose status in the table tells when the
 * rings are there and when they go. Vrings have addresses of ours; descriptors have
 * Linux's physical addresses, which are offsets into this machine's RAM.
 */
#include "attachment.h"
#include "machine.h"
#include "resource_table.h"
#include "rpmsg.h"
#include "trace.h"

#define RAM       0x80000000u /* Linux's physical address 0 */
#define RAM_SIZE  0x40000000u
#define FIRMWARE  0x88000000u /* of the linker script */
#define RING_NUM  256
#define RING_ALIGN 4096

/* VDEV_VIRTIO_GPIO: the device is virtio-gpio itself, instead of rpmsg. */
#ifdef VDEV_VIRTIO_GPIO
#define VDEV_ID       RSC_VIRTIO_ID_GPIO
#define VDEV_FEATURES (1u << VIRTIO_GPIO_F_IRQ)
#else
#define VDEV_ID       RPMSG_VIRTIO_ID
#define VDEV_FEATURES (1u << VIRTIO_RPMSG_F_NS)
#endif

static RSC_SECTION struct {
	uint32_t ver, num, reserved[2], offset[3];
	struct fw_rsc_carveout carveout;
	struct fw_rsc_trace trace;
	struct fw_rsc_vdev vdev;
#ifdef VDEV_VIRTIO_GPIO
	struct virtio_gpio_config config; /* behind the vrings, where Linux looks for it */
#endif
} table = {
	.ver = 1,
	.num = 3,
	.offset = {
		offsetof(__typeof__(table), carveout),
		offsetof(__typeof__(table), trace),
		offsetof(__typeof__(table), vdev),
	},
	.carveout = {
		.type = RSC_CARVEOUT, .da = FIRMWARE, .pa = FW_RSC_ADDR_ANY, .len = 0x100000,
		.name = "firmware",
	},
	.trace = {
		.type = RSC_TRACE, .da = TRACE_ADDRESS, .len = TRACE_SIZE, .name = "trace",
	},
	.vdev = {
		.type = RSC_VDEV, .id = VDEV_ID, .dfeatures = VDEV_FEATURES,
		.num_of_vrings = REMOTE_RINGS_COUNT,
		.vring = {
			{.da = FW_RSC_ADDR_ANY, .align = RING_ALIGN, .num = RING_NUM},
			{.da = FW_RSC_ADDR_ANY, .align = RING_ALIGN, .num = RING_NUM},
		},
#ifdef VDEV_VIRTIO_GPIO
		.config_len = sizeof(struct virtio_gpio_config),
	},
	.config = {
		.ngpio = {{GPIO_LINES, 0}},
		.gpio_names_size = {{sizeof(GPIO_NAMES), 0, 0, 0}},
#endif
	},
};

static uint32_t boot_seed;
static bool attached;

void mailbox_byte(uint8_t byte)
{
	(void)byte; /* whatever it is, the table and the rings tell */
	wake_main();
}

void attachment_init(uint32_t seed)
{
	boot_seed = seed;
}

void attachment_broken(void)
{
	trace_say("the rings make no sense");
}

static bool place(struct remote_rings *remote)
{
	const volatile struct fw_rsc_vdev *vdev = &table.vdev;
	unsigned int i;

	REMOTE_RINGS_BARRIER(); /* the status before what it stands for */
	remote->memory = (uint8_t *)(uintptr_t)RAM;
	remote->low = 0;
	remote->size = RAM_SIZE;
	for (i = 0; i < REMOTE_RINGS_COUNT; i++) {
		remote_rings_place(&remote->rings[i], (void *)(uintptr_t)vdev->vring[i].da,
				   vdev->vring[i].num, vdev->vring[i].align);
		remote->rings[i].last_avail = 0;
	}
	return remote_rings_start(remote);
}

/* A driver that went and came between two looks has made the rings anew: there, or at
 * another place. */
static bool made_anew(const struct remote_rings *remote)
{
	const volatile struct fw_rsc_vdev *vdev = &table.vdev;
	unsigned int i;

	for (i = 0; i < REMOTE_RINGS_COUNT; i++)
		if ((uintptr_t)remote->rings[i].desc != vdev->vring[i].da)
			return true;
	return remote_rings_forgotten(remote);
}

enum attachment attachment_poll(struct remote_rings *remote, uint32_t *epoch)
{
	const volatile struct fw_rsc_vdev *vdev = &table.vdev;
	bool there = vdev->status & VIRTIO_CONFIG_S_DRIVER_OK;

	if (there == attached && !(attached && made_anew(remote)))
		return ATTACHMENT_AS_BEFORE;
	attached = there;
	if (!there)
		return ATTACHMENT_GONE;
	*epoch = boot_seed;
	if (place(remote))
		return ATTACHMENT_NEW;
	attachment_broken();
	return ATTACHMENT_GONE;
}
