# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "GPIO lines of a coprocessor, reached over rpmsg"
DESCRIPTION = "A service that speaks virtio-gpio over rpmsg to firmware, and libgpiod's tools for it"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=7aca15f61f79c5d0519f671d3e9db6ae"

# `make dist` leaves it in build/dist; put it into files/ beside this recipe, or name a mirror.
SRC_URI = "file://rpmsg_gpio_bridge-${PV}.tar.gz"
S = "${UNPACKDIR}/rpmsg_gpio_bridge-${PV}"

inherit python_setuptools_build_meta systemd useradd

DEPENDS += "python3-cffi-native"

# Rules, units, users and modules, as udev/places has them.
do_install:append() {
    oe_runmake -C ${S} install-system DESTDIR=${D} LIBDIR=${nonarch_libdir}
}

# udev starts it with the first controller.
SYSTEMD_SERVICE:${PN} = "gpio-bridge.service"
SYSTEMD_AUTO_ENABLE:${PN} = "disable"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system rpmsg; --system gpio"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir / --shell /sbin/nologin \
    --user-group --groups rpmsg,gpio gpio-bridge"

FILES:${PN} += " \
    ${nonarch_libdir}/modules-load.d \
    ${nonarch_libdir}/systemd/system \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${nonarch_libdir}/udev/rules.d \
    ${datadir}/dbus-1 \
"

RDEPENDS:${PN} += " \
    python3-modules \
    python3-cffi \
    python3-click \
    python3-msgpack \
    python3-pyserial \
    python3-pyudev \
    python3-rich \
"
# Nothing where the kernel has them built in.
RRECOMMENDS:${PN} += " \
    kernel-module-rpmsg-char \
    kernel-module-rpmsg-ctrl \
    kernel-module-virtio-rpmsg-bus \
"
