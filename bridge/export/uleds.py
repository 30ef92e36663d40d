# SPDX-License-Identifier: BSD-3-Clause
"""Lines as LEDs of this kernel, as leds-gpio has them: /sys/class/leds, and its triggers."""

from __future__ import annotations

import asyncio
import os
import struct

from bridge import uapi
from bridge.export.requested import Requested, RequestedLine
from bridge.export.selection import ExportConfig

# struct uleds_user_dev of <linux/uleds.h>: name, max_brightness.
_DEVICE = struct.Struct("=64si")
_BRIGHTNESS = struct.Struct("=i")


class Leds(Requested):
    """LEDs that are on or off; each is called as the configuration has it, or as its line."""

    KIND = "uleds"
    FLAGS = uapi.GPIO_V2_LINE_FLAG_OUTPUT

    def __init__(self, config: ExportConfig) -> None:
        self._fds: dict[int, RequestedLine] = {}
        self._sets = 0
        super().__init__(config)
        self._shown: dict[RequestedLine, int] = {}
        self._turns = {line: asyncio.Lock() for line in self._lines}

    @property
    def _opened(self) -> str:
        return ", ".join(f"/sys/class/leds/{name_of(line)}" for line in self._fds.values())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for line in self._lines:
                fd = os.open(self.config.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self._fds[fd] = line
                os.write(fd, _DEVICE.pack(name_of(line).encode(), 1))
                loop.add_reader(fd, self._told, fd)
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        for fd in self._fds:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
        self._fds.clear()

    def _told(self, fd: int) -> None:
        """The kernel has another brightness for a LED."""
        try:
            (brightness,) = _BRIGHTNESS.unpack(os.read(fd, _BRIGHTNESS.size))
        except BlockingIOError:
            return
        line = self._fds[fd]
        line.value = int(brightness > 0)
        self._tasks.spawn(self._show(line), f"{self.consumer}: {line.name}")

    async def _began(self, line: RequestedLine) -> None:
        await self._show(line)  # the LED may have changed since the line was asked for

    def _ended(self, line: RequestedLine) -> None:
        self._shown.pop(line, None)

    async def _show(self, line: RequestedLine) -> None:
        """Drive the line as the LED is; what changes meanwhile is shown once, the last of it."""
        async with self._turns[line]:
            value = line.value
            if line.request is not None and self._shown.get(line) != value:
                await line.request.set_value(0, value)
                self._shown[line] = value
                self._sets += 1

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        return {**super().status(), "requests": self._sets}


def name_of(line: RequestedLine) -> str:
    """What a LED is called."""
    return line.pick.name or str(line.pick.line)
