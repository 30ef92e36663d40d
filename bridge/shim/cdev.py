# SPDX-License-Identifier: BSD-3-Clause
"""Typed face of the GPIO character device without a kernel (bridge/shim/cdev/cdev.h)."""

from __future__ import annotations

import os

from bridge.shim.ffi import ffi, lib
from bridge.shim.pump import Pump, _Owned


class ChipDescriptor(_Owned):
    """A chip as one program has it open.

    Args:
        pump: of the service.
        identity: comes back in the reports.

    Attributes:
        fd: the program's end; whoever takes it closes it.

    Raises:
        OSError: errno of gb_cdev_open_chip (EMFILE, ENOMEM...).
    """

    def __init__(self, pump: Pump, identity: int) -> None:
        fd = ffi.new("int *")
        handle = lib.gb_cdev_open_chip(pump._handle, identity, fd)
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"the chip cannot be opened: {os.strerror(number)}")
        super().__init__(handle, "chip descriptor", pump)
        self.fd: int = fd[0]

    def answer(self, error: int = 0, argument: bytes | None = None, fd: int = -1) -> None:
        """Answer the ioctl that was reported; a program that is gone is no error.

        Args:
            error: errno or 0.
            argument: what the ioctl's pointer gets, as long as it came.
            fd: a descriptor that it makes, closed here; -1 for none.
        """
        if self._owned is None:
            if fd >= 0:
                os.close(fd)
            return
        lib.gb_cdev_answer_chip(self._owned, error, ffi.NULL if argument is None else argument, fd)

    def push(self, record: bytes) -> None:
        """Queue a change of a line; of more than 32 the newest goes, as in the kernel."""
        if self._owned is not None:
            lib.gb_cdev_push_chip(self._owned, record, len(record))

    def close(self) -> None:
        """Hang up: the program sees HUP and ERR, and ENODEV. May be repeated."""
        handle = self._take()
        if handle is not None:
            lib.gb_cdev_close_chip(handle)
