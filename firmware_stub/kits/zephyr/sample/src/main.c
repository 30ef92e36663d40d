/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - virtio-gpio over Zephyr's OpenAMP, with Linux as the host: everything in one thread.
 */
#include <errno.h>

#include <zephyr/device.h>
#include <zephyr/drivers/ipm.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include <metal/io.h>
#include <metal/sys.h>
#include <openamp/open_amp.h>
#include <resource_table.h>

#include "gpio_endpoint.h"
#include "gpio_port.h"

LOG_MODULE_REGISTER(rpmsg_gpio_sample);

#define CHANNEL RPMSG_GPIO_CHANNEL_PREFIX "0"
#define SHM_NODE DT_CHOSEN(zephyr_ipc_shm)

static const struct device *const mailbox = DEVICE_DT_GET(DT_CHOSEN(zephyr_ipc));
static metal_phys_addr_t shm_address = DT_REG_ADDR(SHM_NODE), table_address;
static struct metal_io_region shm, table_region;
static struct rpmsg_virtio_device rvdev;
static struct gpio_endpoint gpio;
static K_SEM_DEFINE(woken, 0, 1);

void gpio_wake(void)
{
	k_sem_give(&woken);
}

/* A message, or a buffer that Linux freed: which one does not matter. */
static void mailbox_told(const struct device *from, void *context, uint32_t id, volatile void *data)
{
	ARG_UNUSED(from);
	ARG_UNUSED(context);
	ARG_UNUSED(id);
	ARG_UNUSED(data);
	gpio_wake();
}

static int tell_linux(void *context, uint32_t id)
{
	ARG_UNUSED(context);
	return ipm_send(mailbox, 0, id, &id, sizeof(id));
}

static int open_mailbox(void)
{
	if (!device_is_ready(mailbox))
		return -ENODEV;
	ipm_register_callback(mailbox, mailbox_told, NULL);
	return ipm_set_enabled(mailbox, 1);
}

static struct fw_resource_table *open_memory(void)
{
	struct metal_init_params params = METAL_INIT_DEFAULTS;
	struct fw_resource_table *table;
	int size;

	if (metal_init(&params))
		return NULL;
	metal_io_init(&shm, (void *)DT_REG_ADDR(SHM_NODE), &shm_address, DT_REG_SIZE(SHM_NODE),
		      (unsigned int)-1, 0, NULL);
	rsc_table_get(&table, &size);
	table_address = (metal_phys_addr_t)(uintptr_t)table;
	metal_io_init(&table_region, table, &table_address, (size_t)size, (unsigned int)-1, 0,
		      NULL);
	return table;
}

static int init_vring(struct virtio_device *vdev, unsigned int index,
		      const struct fw_rsc_vdev_vring *vring)
{
	return rproc_virtio_init_vring(vdev, index, vring->notifyid,
				       (void *)(uintptr_t)vring->da, &table_region, vring->num,
				       vring->align);
}

/* Returns when Linux is ready: it has filled in where the vrings are. */
static struct virtio_device *open_device(struct fw_resource_table *table)
{
	struct virtio_device *vdev =
		rproc_virtio_create_vdev(VIRTIO_DEV_DEVICE, VDEV_ID, rsc_table_to_vdev(table),
					 &table_region, NULL, tell_linux, NULL);

	if (!vdev)
		return NULL;
	rproc_virtio_wait_remote_ready(vdev);
	if (init_vring(vdev, 0, rsc_table_get_vring0(table)) ||
	    init_vring(vdev, 1, rsc_table_get_vring1(table))) {
		rproc_virtio_remove_vdev(vdev);
		return NULL;
	}
	return vdev;
}

static int start(struct virtio_device *vdev)
{
	int status = rpmsg_init_vdev(&rvdev, vdev, NULL, &shm, NULL);

	return status ? status : gpio_start(&gpio, &rvdev, CHANNEL);
}

/* Linux has reset the device: it restarts, or its rpmsg driver was unbound. Lines stay as they
 * are; rpmsg_init_vdev() waits for Linux. */
static int start_again(struct virtio_device *vdev)
{
	gpio_stop(&gpio); /* before the vrings go */
	rpmsg_deinit_vdev(&rvdev);
	return start(vdev);
}

/* Returns the error that ended it. */
static int serve(struct virtio_device *vdev)
{
	int status = start(vdev);

	while (!status) {
		gpio_run(&gpio);
		(void)k_sem_take(&woken, K_FOREVER);
		if (vdev->func->get_status(vdev) == 0)
			status = start_again(vdev);
		else
			(void)rproc_virtio_notified(vdev, VRING1_ID);
	}
	return status;
}

int main(void)
{
	struct fw_resource_table *table = open_memory();
	struct virtio_device *vdev;
	int status = gpio_port_init(&gpio);

	if (status) {
		LOG_ERR("a pin cannot be had: %d", status);
		return status;
	}
	if (!table || open_mailbox()) {
		LOG_ERR("no shared memory, or no mailbox");
		return -ENODEV;
	}
	vdev = open_device(table);
	status = vdev ? serve(vdev) : -ENODEV;
	LOG_ERR("rpmsg ended: %d", status);
	return status;
}
