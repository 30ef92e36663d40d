# SPDX-License-Identifier: BSD-3-Clause
"""Lines as keys of an input device of this kernel, as gpio-keys has them."""

from __future__ import annotations

import asyncio
import difflib
import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge import uapi
from bridge.chips.levels import levels_of
from bridge.export.requested import Requested, RequestedLine
from bridge.export.selection import ExportConfig
from bridge.extras import missing
from bridge.shim.client import LINE_EVENT

if TYPE_CHECKING:
    import evdev


class Keys(Requested):
    """An input device; a line is called by the code that it sends, such as ``KEY_POWER``.

    Raises:
        OSError: EINVAL, a code is none; ENOSYS, the package evdev is not there.
    """

    KIND = "uinput"
    FLAGS = (
        uapi.GPIO_V2_LINE_FLAG_INPUT
        | uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
        | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
    )

    def __init__(self, config: ExportConfig) -> None:
        self._codes = {pick: event_of(pick.name or "") for pick in config.picks}
        self._device: evdev.UInput | None = None
        self._path = ""
        self._events = 0
        super().__init__(config)

    @property
    def _opened(self) -> str:
        return self._path

    async def _open(self) -> None:
        import evdev

        wanted: dict[int, Sequence[int]] = {}
        for kind, code in self._codes.values():
            wanted[kind] = [*wanted.get(kind, ()), code]
        try:
            device = await asyncio.to_thread(
                evdev.UInput, wanted, name=self.config.name, phys=self.consumer,
                bustype=evdev.ecodes.BUS_HOST, devnode=self.config.path,
            )  # fmt: skip
        except evdev.UInputError as error:
            raise OSError(errno.EACCES, str(error)) from None
        self._device = device
        # A user who may not read what it sends does not learn where it is.
        self._path = str(device.device.path) if device.device else self.config.path
        for line in self._lines:
            self._send(line)

    def _close(self) -> None:
        device, self._device, self._path = self._device, None, ""
        if device is not None:
            device.close()

    def _send(self, line: RequestedLine) -> None:
        """Tell the kernel the value of a line, which it passes on if it is another one."""
        if self._device is not None:
            self._device.write(*self._codes[line.pick], line.value)
            self._device.syn()

    async def _began(self, line: RequestedLine) -> None:
        assert line.fds is not None
        assert line.chip is not None
        os.set_blocking(line.fds.line, False)
        (level,) = await levels_of([line.chip.pins[line.offset]])
        if line.fds is None:
            raise OSError(errno.ENODEV, f"chip {line.pick.chip} is gone")
        # An edge since the request waits to be read, and is newer than the level.
        line.value = int(bool(level) ^ self.config.active_low)
        self._send(line)
        asyncio.get_running_loop().add_reader(line.fds.line, self._edges, line, line.fds.line)

    def _edges(self, line: RequestedLine, fd: int) -> None:
        try:
            records = os.read(fd, 16 * LINE_EVENT.size)
        except BlockingIOError:
            return
        except OSError:
            records = b""
        if not records:
            asyncio.get_running_loop().remove_reader(fd)
        for _, kind, *_ in LINE_EVENT.iter_unpack(records):
            line.value = int(kind == uapi.GPIO_V2_LINE_EVENT_RISING_EDGE)
            self._events += 1
            self._send(line)

    def _ended(self, line: RequestedLine) -> None:
        """Let go of the key; a switch stays as it was."""
        assert line.fds is not None
        asyncio.get_running_loop().remove_reader(line.fds.line)
        if not (line.pick.name or "").startswith("SW_"):
            line.value = 0
        self._send(line)

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        return {**super().status(), "events": self._events}


def event_of(name: str) -> tuple[int, int]:
    """Type and code of an event, by the name of its code in <linux/input-event-codes.h>.

    Raises:
        OSError: EINVAL, there is none; ENOSYS, the package evdev is not there.
    """
    try:
        from evdev import ecodes
    except ImportError:
        raise missing("exports uinput:", "evdev") from None
    kind = ecodes.EV_SW if name.startswith("SW_") else ecodes.EV_KEY
    code = ecodes.ecodes.get(name)
    if not name.startswith(("KEY_", "BTN_", "SW_")) or code is None:
        near = difflib.get_close_matches(name, ecodes.ecodes, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise OSError(errno.EINVAL, f'no key, button or switch is called "{name}"{hint}')
    return kind, code
