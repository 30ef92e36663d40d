/* SPDX-License-Identifier: BSD-3-Clause */
/* rpmsg.h - a stand-in for NuttX's. */
#ifndef STAND_IN_RPMSG_H
#define STAND_IN_RPMSG_H

#include <openamp/open_amp.h>

typedef void (*rpmsg_dev_cb_t)(struct rpmsg_device *rdev, void *priv);
typedef bool (*rpmsg_match_cb_t)(struct rpmsg_device *rdev, void *priv, const char *name,
				 uint32_t dest);
typedef void (*rpmsg_bind_cb_t)(struct rpmsg_device *rdev, void *priv, const char *name,
				uint32_t dest);

const char *rpmsg_get_cpuname(struct rpmsg_device *rdev);
int rpmsg_register_callback(void *priv, rpmsg_dev_cb_t device_created,
			    rpmsg_dev_cb_t device_destroy, rpmsg_match_cb_t ns_match,
			    rpmsg_bind_cb_t ns_bind);

#endif
