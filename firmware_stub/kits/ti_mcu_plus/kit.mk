# SPDX-License-Identifier: BSD-3-Clause
# For the makefile of the SDK's example ipc_rpmsg_echo_linux: include this file, take
# ipc_rpmsg_echo.c out of FILES_common, and add
#     FILES_common += $(notdir $(GPIO_SOURCES))
#     FILES_PATH_common += $(GPIO_PATHS)
#     INCLUDES_common += $(GPIO_PATHS:%=-I%)
GPIO_KIT := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GPIO_CORE := $(GPIO_KIT)/../../core
GPIO_PATHS := $(GPIO_KIT) $(GPIO_CORE)
GPIO_SOURCES := $(GPIO_CORE)/rpmsg_gpio_device.c $(GPIO_CORE)/rpmsg_gpio_event.c \
	$(GPIO_KIT)/gpio_endpoint.c $(GPIO_KIT)/gpio_port.c $(GPIO_KIT)/gpio_main.c
