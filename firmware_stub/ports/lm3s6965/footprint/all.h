/* SPDX-License-Identifier: BSD-3-Clause */
/* all.h - every extension, COUNTERS too. */
#define RPMSG_GPIO_FEATURES (RPMSG_GPIO_FEATURES_USUAL | RPMSG_GPIO_F_COUNTERS)
