# SPDX-License-Identifier: BSD-3-Clause
"""Typed face of an adapter (bridge/shim/usb/adapter.h)."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from bridge.shim.ffi import ffi, lib
from bridge.shim.pump import Controller, Pump, _Owned

LINES_MAX: int = lib.GB_ADAPTER_LINES_MAX
"""Most lines of one adapter."""


@dataclass(frozen=True)
class Status:
    """``struct gb_adapter_status``.

    Attributes:
        plugged: a kernel is served.
        sessions: that began so far.
        requests: of the kernel so far.
        events: given to it so far.
        lost: edges that it did not get.
        late: requests that ended with ETIMEDOUT for want of an answer.
        faults: lines that could not be set up again, armed or let go.
        why: why the last session was ended; empty when the kernel left.
    """

    plugged: bool = False
    sessions: int = 0
    requests: int = 0
    events: int = 0
    lost: int = 0
    late: int = 0
    faults: int = 0
    why: str = ""


class Adapter(_Owned):
    """Lines as a DLN-2 for the kernel.

    Args:
        pump: that it runs in.
        identity: comes back in EXPORT reports.
        lines: how many, 1 to `LINES_MAX`.
        kept: of them, those that stay as they are when the kernel lets them go.
        product: text of the USB device, ASCII.
        serial: its serial number, ASCII.
        timeout_ms: deadline of one request to a controller in milliseconds.

    Raises:
        OSError: errno of gb_adapter_open.
    """

    def __init__(
        self,
        pump: Pump,
        identity: int,
        lines: int,
        kept: Collection[int],
        product: str,
        serial: str,
        timeout_ms: int,
    ) -> None:
        texts = [ffi.new("char[]", text.encode("ascii", "replace")) for text in (product, serial)]
        config = ffi.new("struct gb_adapter_config *")
        config.lines, config.kept = lines, sum(1 << line for line in kept)
        config.product, config.serial = texts
        config.timeout_ms = timeout_ms
        handle = lib.gb_adapter_open(pump._handle, identity, config)
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"no adapter could be made: {os.strerror(number)}")
        super().__init__(handle, "adapter", pump)

    def plug(self, socket: int, helper: int) -> None:
        """Serve the kernel at the other end of a stream socket.

        Args:
            socket: the device's end.
            helper: connection to the helper that gives the kernel its end, and watches over us.
                Both descriptors are the adapter's from here on.

        Raises:
            OSError: EBUSY a kernel is served already, ENOMEM.
        """
        result = lib.gb_adapter_plug(self._handle, socket, helper)
        if result < 0:
            raise OSError(-result, f"the adapter is not served: {os.strerror(-result)}")

    def unplug(self) -> None:
        """Hang up on the kernel, if one is served; its chip goes."""
        if self._owned is not None:
            lib.gb_adapter_unplug(self._owned)

    def attach(self, line: int, controller: Controller, gpio: int) -> None:
        """Connect a line of the adapter with one of a controller. Raises OSError EBUSY..."""
        result = lib.gb_adapter_attach(self._handle, line, controller._handle, gpio)
        if result < 0:
            raise OSError(
                -result, f"line {line} of the adapter: not attached: {os.strerror(-result)}"
            )

    def detach(self, line: int) -> None:
        """Take the line away; the kernel sees ENODEV until it is attached again."""
        if self._owned is not None:
            lib.gb_adapter_detach(self._owned, line)

    def status(self) -> Status:
        """How it goes; lets the next EXPORT report come."""
        status = ffi.new("struct gb_adapter_status *")
        lib.gb_adapter_status(self._handle, status)
        return Status(
            bool(status.plugged),
            status.sessions,
            status.requests,
            status.events,
            status.lost,
            status.late,
            status.faults,
            ffi.string(status.why).decode(errors="replace"),
        )

    def changed(self) -> list[int]:
        """Lines whose direction the kernel has changed since this was asked last."""
        return self._indexes(lib.gb_adapter_changed)

    def direction(self, line: int) -> int:
        """VIRTIO_GPIO_DIRECTION_* that the kernel has set."""
        return 0 if self._owned is None else int(lib.gb_adapter_direction(self._owned, line))

    def close(self) -> None:
        """End it: the kernel's chip goes, the lines stay as they are."""
        handle = self._take()
        if handle is not None:
            lib.gb_adapter_close(handle)
