# SPDX-License-Identifier: BSD-3-Clause
include $(sort $(wildcard $(BR2_EXTERNAL_RPMSG_GPIO_BRIDGE_PATH)/package/*/*.mk))
