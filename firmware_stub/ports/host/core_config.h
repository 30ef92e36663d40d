/* SPDX-License-Identifier: BSD-3-Clause */
/* core_config.h - the core of the stub has every extension, COUNTERS too, and its self-test. */
#define RPMSG_GPIO_SELF_TEST
#define RPMSG_GPIO_FEATURES (RPMSG_GPIO_FEATURES_USUAL | RPMSG_GPIO_F_COUNTERS)
