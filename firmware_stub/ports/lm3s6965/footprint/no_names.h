/* SPDX-License-Identifier: BSD-3-Clause */
/* no_names.h - all but NAMES, which needs the largest buffers: names can come from
 * the service's configuration. */
#define RPMSG_GPIO_FEATURES (RPMSG_GPIO_FEATURES_USUAL & ~RPMSG_GPIO_F_NAMES)
#define RPMSG_GPIO_REPLY_MAX 48
