# SPDX-License-Identifier: BSD-3-Clause
"""Microcontrollers in QEMU, with the firmware of firmware_stub/ports, driven from Python.

A module for each machine, with the name of its port's folder. `gpio-bridge demo` and the
tests use them.
"""
