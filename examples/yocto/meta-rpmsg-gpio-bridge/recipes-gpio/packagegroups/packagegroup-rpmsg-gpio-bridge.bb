# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "GPIO lines of a coprocessor: the service, its tools, and libgpiod's"

inherit packagegroup

RDEPENDS:${PN} = "rpmsg-gpio-bridge"
# For `gpio-bridge run -- gpiodetect`.
RRECOMMENDS:${PN} = "libgpiod-tools"
