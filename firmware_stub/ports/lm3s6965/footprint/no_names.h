/* SPDX-License-Identifier: BSD-3-Clause */
/* no_names.h - all but NAMES, which needs the largest buffers: names can come from
 * the service's configuration. 16 edges on their way. */
#define RPMSG_GPIO_FEATURES \
	(RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_TAG | RPMSG_GPIO_F_EPOCH | \
	 RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | RPMSG_GPIO_F_BULK | \
	 RPMSG_GPIO_F_LINE_CONFIG)
#define FOOTPRINT_EDGES 16
#define RPMSG_GPIO_REPLY_MAX 48
