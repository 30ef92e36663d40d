# SPDX-License-Identifier: BSD-3-Clause
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"
SRC_URI += "file://rpmsg-gpio-bridge.cfg"
