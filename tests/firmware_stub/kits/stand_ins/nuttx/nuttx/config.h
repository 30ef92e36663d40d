/* SPDX-License-Identifier: BSD-3-Clause */
/* config.h - a stand-in for what NuttX's Kconfig makes. */
#ifndef STAND_IN_CONFIG_H
#define STAND_IN_CONFIG_H

#define CONFIG_RPMSG_GPIO_CPUNAME "netcore"
#define CONFIG_RPMSG_GPIO_PRIORITY 224
#define CONFIG_RPMSG_GPIO_STACKSIZE 2048

#endif
