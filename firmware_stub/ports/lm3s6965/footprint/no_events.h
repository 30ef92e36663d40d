/* SPDX-License-Identifier: BSD-3-Clause */
/* no_events.h - all but CREDITS and TIMESTAMP. */
#define RPMSG_GPIO_FEATURES \
	(RPMSG_GPIO_FEATURES_USUAL & ~(RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP))
