# SPDX-License-Identifier: BSD-3-Clause
#
# Makes arch/um/drivers/virtio_uml.c call the virtqueue callbacks of rpmsg devices
# in process context, as remoteproc does on boards (rproc_vq_interrupt).
#
# As released, it calls them in interrupt context, where virtio_rpmsg_bus takes
# mutexes and registers devices: a message that comes while one of the mutexes is
# held stops the kernel, and devtmpfs panics it. Only this transport of the
# simulator changes; what is tested, rpmsg and gpio, is as released.

/^#include <linux\/virtio\.h>/i\
#include <linux/virtio_ids.h>

/^struct virtio_uml_vq_info {/a\
	struct work_struct rpmsg_work; /* rpmsg-gpio-bridge 1 */\
	struct virtqueue *vq;

/^static irqreturn_t vu_interrupt(/i\
static void vu_rpmsg_work(struct work_struct *work) /* rpmsg-gpio-bridge 2 */\
{\
	vring_interrupt(0, container_of(work, struct virtio_uml_vq_info, rpmsg_work)->vq);\
}\

/^static irqreturn_t vu_interrupt(/,/^}/ s/.*ret |= vring_interrupt(irq, vq);/\
		{ \/* rpmsg-gpio-bridge 3 *\/\
			ret = IRQ_HANDLED;\
			if (vq->vdev->id.device == VIRTIO_ID_RPMSG)\
				schedule_work(\&info->rpmsg_work);\
			else\
				vring_interrupt(irq, vq);\
		}/

/^static void vu_del_vq(/,/^}/ s/.*um_free_irq(vu_dev->irq, vq);/&\
		cancel_work_sync(\&info->rpmsg_work); \/* rpmsg-gpio-bridge 4 *\//

/^static struct virtqueue \*vu_setup_vq(/,/^}/ s/.*vq->priv = info;/&\
	info->vq = vq;\
	INIT_WORK(\&info->rpmsg_work, vu_rpmsg_work); \/* rpmsg-gpio-bridge 5 *\//

# A virtio device that a program has open outlives its platform device, whose name
# and data it goes on using: it must keep it.

/^static int virtio_uml_probe(/,/^}/ s/.*platform_set_drvdata(pdev, vu_dev);/&\
	get_device(\&pdev->dev); \/* rpmsg-gpio-bridge 6 *\//

/^static void virtio_uml_release_dev(/,/^}/ s/.*kfree(vu_dev);/\
	put_device(\&vu_dev->pdev->dev); \/* rpmsg-gpio-bridge 7 *\/\
&/

# And remote processors, without hardware and in QEMU; see those files.
$a\
#include "rproc_uml.c" /* rpmsg-gpio-bridge 8 */\
#include "rproc_mcu.c" /* rpmsg-gpio-bridge 9 */
