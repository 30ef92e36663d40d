/* SPDX-License-Identifier: BSD-3-Clause */
/* baseline.h - the baseline alone. */
#define RPMSG_GPIO_FEATURES 0
