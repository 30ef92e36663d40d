################################################################################
#
# rpmsg-gpio-bridge
#
################################################################################

RPMSG_GPIO_BRIDGE_VERSION = 0.1.0
RPMSG_GPIO_BRIDGE_SOURCE = rpmsg_gpio_bridge-$(RPMSG_GPIO_BRIDGE_VERSION).tar.gz
# `make dist` leaves it there; a mirror's URL will do as well.
RPMSG_GPIO_BRIDGE_SITE = $(BR2_EXTERNAL_RPMSG_GPIO_BRIDGE_PATH)/../../build/dist
RPMSG_GPIO_BRIDGE_SITE_METHOD = file
# Whose tarball is on a mirror deletes this, and adds its hash to rpmsg-gpio-bridge.hash.
BR_NO_CHECK_HASH_FOR += $(RPMSG_GPIO_BRIDGE_SOURCE)
RPMSG_GPIO_BRIDGE_SETUP_TYPE = setuptools
RPMSG_GPIO_BRIDGE_LICENSE = BSD-3-Clause
RPMSG_GPIO_BRIDGE_LICENSE_FILES = LICENSE
RPMSG_GPIO_BRIDGE_DEPENDENCIES = host-python-cffi

define RPMSG_GPIO_BRIDGE_USERS
	gpio-bridge -1 gpio-bridge -1 * - - rpmsg,gpio GPIO lines of coprocessors
endef

# Rules, units, users and modules, as udev/places has them.
define RPMSG_GPIO_BRIDGE_INSTALL_SYSTEM
	$(MAKE) -C $(@D) install-system DESTDIR=$(TARGET_DIR)
endef
RPMSG_GPIO_BRIDGE_POST_INSTALL_TARGET_HOOKS += RPMSG_GPIO_BRIDGE_INSTALL_SYSTEM

$(eval $(python-package))
