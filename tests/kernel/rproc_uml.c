/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A remote processor without hardware: remoteproc's own core, sysfs files and
 * character device, over a processor that is a vhost-user backend.
 *
 *     virtio_uml.remoteproc=NAME:SOCKET	(may be repeated)
 *
 * Started, it attaches the backend at SOCKET as the virtio-rpmsg device that its
 * firmware's resource table would ask for; stopped, it removes that device. A
 * backend that hangs up is a crash. tools/build-uml-kernel includes this file at
 * the end of arch/um/drivers/virtio_uml.c, whose types it uses.
 */
#include <linux/remoteproc.h>
#include <linux/virtio_ids.h>

struct vu_rproc {
	struct rproc_subdev subdev;
	struct rproc *rproc;
	struct platform_device *pdev;
	char *socket_path;
};

static void vu_rproc_broken(struct work_struct *work)
{
	struct virtio_uml_platform_data *pdata =
		container_of(work, struct virtio_uml_platform_data, conn_broken_wk);
	struct virtio_uml_device *vu_dev = platform_get_drvdata(pdata->pdev);

	virtio_break_device(&vu_dev->vdev);
	rproc_report_crash(rproc_get_by_child(&pdata->pdev->dev), RPROC_FATAL_ERROR);
}

static void vu_rproc_detach(struct vu_rproc *self)
{
	struct virtio_uml_platform_data *pdata = self->pdev->dev.platform_data;
	struct virtio_uml_device *vu_dev = platform_get_drvdata(self->pdev);

	/* A backend that has gone already must not crash us again while we leave. */
	if (vu_dev)
		vu_dev->registered = 0;
	cancel_work_sync(&pdata->conn_broken_wk);
	platform_device_unregister(self->pdev);
	self->pdev = NULL;
}

static int vu_rproc_attach(struct vu_rproc *self)
{
	struct virtio_uml_platform_data pdata = {
		.virtio_device_id = VIRTIO_ID_RPMSG,
		.socket_path = self->socket_path,
	}, *own;
	struct platform_device *pdev;
	int ret;

	pdev = platform_device_alloc("virtio-uml", PLATFORM_DEVID_AUTO);
	if (!pdev)
		return -ENOMEM;
	pdev->dev.parent = &self->rproc->dev;
	ret = platform_device_add_data(pdev, &pdata, sizeof(pdata));
	if (ret)
		goto put;
	own = pdev->dev.platform_data;
	own->pdev = pdev;
	INIT_WORK(&own->conn_broken_wk, vu_rproc_broken);
	ret = platform_device_add(pdev);
	if (ret)
		goto put;
	self->pdev = pdev;
	if (platform_get_drvdata(pdev))
		return 0;
	vu_rproc_detach(self);
	return -ENXIO; /* nobody listens on the socket */
put:
	platform_device_put(pdev);
	return ret;
}

static int vu_rproc_subdev_start(struct rproc_subdev *subdev)
{
	return vu_rproc_attach(container_of(subdev, struct vu_rproc, subdev));
}

static void vu_rproc_subdev_stop(struct rproc_subdev *subdev, bool crashed)
{
	vu_rproc_detach(container_of(subdev, struct vu_rproc, subdev));
}

static int vu_rproc_nothing(struct rproc *rproc)
{
	return 0;
}

static int vu_rproc_load(struct rproc *rproc, const struct firmware *firmware)
{
	return 0; /* the backend is its firmware */
}

static const struct rproc_ops vu_rproc_ops = {
	.start = vu_rproc_nothing,
	.stop = vu_rproc_nothing,
	.load = vu_rproc_load,
};

static int vu_rproc_add(const char *name, const char *socket_path)
{
	static int next;
	struct platform_device *parent;
	struct vu_rproc *self;
	struct rproc *rproc;
	int ret;

	parent = platform_device_register_simple("rproc-uml", next++, NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	rproc = rproc_alloc(&parent->dev, name, &vu_rproc_ops, NULL, sizeof(*self));
	if (!rproc)
		return -ENOMEM;
	rproc->auto_boot = false;
	self = rproc->priv;
	self->rproc = rproc;
	self->socket_path = kstrdup(socket_path, GFP_KERNEL);
	self->subdev.start = vu_rproc_subdev_start;
	self->subdev.stop = vu_rproc_subdev_stop;
	rproc_add_subdev(rproc, &self->subdev);
	ret = self->socket_path ? rproc_add(rproc) : -ENOMEM;
	if (ret) {
		kfree(self->socket_path);
		rproc_free(rproc);
		platform_device_unregister(parent);
	}
	return ret;
}

/* As often as there are processors; each lives as long as the kernel. */
static int vu_rproc_set(const char *argument, const struct kernel_param *kp)
{
	const char *colon = strchr(argument, ':');
	char *name;
	int ret;

	if (!colon || colon == argument)
		return -EINVAL;
	name = kmemdup_nul(argument, colon - argument, GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	ret = vu_rproc_add(name, colon + 1);
	kfree(name);
	return ret;
}

static const struct kernel_param_ops vu_rproc_param_ops = {
	.set = vu_rproc_set,
};

device_param_cb(remoteproc, &vu_rproc_param_ops, NULL, 0);
