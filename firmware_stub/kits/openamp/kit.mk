# SPDX-License-Identifier: BSD-3-Clause
# For a Makefile: add $(GPIO_SOURCES) to the sources and $(GPIO_CFLAGS) to the flags. In STM32CubeIDE
# link these files into the project and add the folders and the symbol in its C/C++ settings.
GPIO_KIT := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GPIO_CORE := $(GPIO_KIT)/../../core
GPIO_SOURCES := $(GPIO_CORE)/rpmsg_gpio_device.c $(GPIO_CORE)/rpmsg_gpio_event.c \
	$(GPIO_KIT)/gpio_endpoint.c $(GPIO_KIT)/gpio_start.c $(GPIO_KIT)/gpio_port.c $(GPIO_KIT)/main.c
# RX_BUFFERS: VRING_NUM_BUFFS of the project's openamp_conf.h
GPIO_CFLAGS := -I$(GPIO_KIT) -I$(GPIO_CORE) -DRX_BUFFERS=16
