# SPDX-License-Identifier: BSD-3-Clause
"""Microcontrollers in QEMU, with the firmware of firmware_stub/ports, driven from Python.

A module for each port, with the name of its folder; `controls` has what all machines have.
`gpio-bridge demo` and the tests use them.
"""
