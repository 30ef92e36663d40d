/* SPDX-License-Identifier: BSD-3-Clause */
/* debug_config.h - RPMSG_GPIO_USER_CONFIG of firmware that looks for faults. */
#define RPMSG_GPIO_SELF_TEST
#define RPMSG_GPIO_FEATURES (RPMSG_GPIO_FEATURES_USUAL | RPMSG_GPIO_F_COUNTERS)
