# SPDX-License-Identifier: BSD-3-Clause
# For the board's src/Makefile: include this file before $(TOPDIR)/boards/Board.mk.
ifeq ($(CONFIG_RPMSG_GPIO),y)
GPIO_KIT := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GPIO_CORE := $(GPIO_KIT)/../../core
CSRCS += rpmsg_gpio_device.c rpmsg_gpio_event.c gpio_endpoint.c gpio_port.c main.c
VPATH := $(GPIO_KIT):$(GPIO_CORE):$(GPIO_KIT)/../openamp:$(VPATH)
CFLAGS += -I$(GPIO_KIT) -I$(GPIO_CORE) -I$(GPIO_KIT)/../openamp
# Interrupts and the thread may be on different cores.
CFLAGS += -D'RPMSG_GPIO_BARRIER()=__sync_synchronize()'
endif
