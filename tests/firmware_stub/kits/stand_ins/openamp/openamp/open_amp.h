/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * open_amp.h - a stand-in for the header of OpenAMP: what the kits use of it.
 */
#ifndef STAND_IN_OPEN_AMP_H
#define STAND_IN_OPEN_AMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPMSG_ADDR_ANY    0xffffffffu
#define RPMSG_SUCCESS     0
#define RPMSG_ERR_NO_MEM  (-2001)
#define RPMSG_ERR_NO_BUFF (-2002)
#define RPMSG_ERR_PARAM   (-2003)
#define RPMSG_NAME_SIZE   32

struct rpmsg_endpoint;

struct rpmsg_device {
	int unused;
};

struct virtqueue {
	uint16_t vq_nentries;
};

struct virtio_device;
struct metal_io_region;

struct virtio_dispatch {
	uint8_t (*get_status)(struct virtio_device *dev);
};

struct virtio_device {
	const struct virtio_dispatch *func;
};

struct rpmsg_virtio_shm_pool;

struct rpmsg_virtio_device {
	struct rpmsg_device rdev;
	struct virtio_device *vdev;
	struct virtqueue *rvq;
	struct virtqueue *svq;
	struct metal_io_region *shbuf_io;
};

#define RPMSG_HOST   0
#define RPMSG_REMOTE 1
#define VIRTIO_DEV_DEVICE 1

typedef void (*rpmsg_ns_bind_cb)(struct rpmsg_device *rdev, const char *name, uint32_t dest);

int rpmsg_init_vdev(struct rpmsg_virtio_device *rvdev, struct virtio_device *vdev,
		    rpmsg_ns_bind_cb ns_bind_cb, struct metal_io_region *shm_io,
		    struct rpmsg_virtio_shm_pool *shpool);
void rpmsg_deinit_vdev(struct rpmsg_virtio_device *rvdev);

struct fw_rsc_vdev;
struct fw_rsc_vdev_vring {
	uint32_t da, align, num, notifyid, reserved;
};

typedef int (*rpvdev_notify_func)(void *priv, uint32_t id);
typedef void (*virtio_dev_reset_cb)(struct virtio_device *vdev);

struct virtio_device *rproc_virtio_create_vdev(unsigned int role, unsigned int notifyid, void *rsc,
					       struct metal_io_region *rsc_io, void *priv,
					       rpvdev_notify_func notify,
					       virtio_dev_reset_cb rst_cb);
void rproc_virtio_remove_vdev(struct virtio_device *vdev);
void rproc_virtio_wait_remote_ready(struct virtio_device *vdev);
int rproc_virtio_init_vring(struct virtio_device *vdev, unsigned int index, unsigned int notifyid,
			    void *va, struct metal_io_region *io, unsigned int num_descs,
			    unsigned int align);
int rproc_virtio_notified(struct virtio_device *vdev, uint32_t notifyid);

typedef int (*rpmsg_ept_cb)(struct rpmsg_endpoint *ept, void *data, size_t len,
			    uint32_t src, void *priv);
typedef void (*rpmsg_ns_unbind_cb)(struct rpmsg_endpoint *ept);

struct rpmsg_endpoint {
	char name[RPMSG_NAME_SIZE];
	rpmsg_ept_cb cb;
	void *priv;
};

int rpmsg_create_ept(struct rpmsg_endpoint *ept, struct rpmsg_device *rdev,
		     const char *name, uint32_t src, uint32_t dest, rpmsg_ept_cb cb,
		     rpmsg_ns_unbind_cb ns_unbind_cb);
void rpmsg_destroy_ept(struct rpmsg_endpoint *ept);
int virtqueue_enable_cb(struct virtqueue *vq);
int rpmsg_trysendto(struct rpmsg_endpoint *ept, const void *data, int len, uint32_t dst);
void rpmsg_hold_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);
void rpmsg_release_rx_buffer(struct rpmsg_endpoint *ept, void *rxbuf);

#endif
