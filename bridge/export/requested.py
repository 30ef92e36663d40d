# SPDX-License-Identifier: BSD-3-Clause
"""Exports that use lines as a client does, each by a line request of the service's own.

They are for what people press and look at: every event goes through Python.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar

from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.line_config import LineConfig
from bridge.chips.request import LineRequest
from bridge.chips.requester import Requester
from bridge.chips.tasks import Tasks
from bridge.export.exported import Export, sentence
from bridge.export.selection import ExportConfig, Pick, places_of
from bridge.shim.pump import LineFds, LineForm

log = logging.getLogger(__name__)

_AGAIN_S, _AGAIN_MAX_S = 0.25, 30.0


class RequestedLine:
    """A line of such an export.

    Args:
        pick: which line it is, and what it is for.

    Attributes:
        chip: that has the line, None while it is not requested.
        request: that holds it.
        fds: of the request; events are read there.
        value: its logical value, as far as it is known.
        offset: of the line on its chip.
    """

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.chip: Chip | None = None
        self.request: LineRequest | None = None
        self.fds: LineFds | None = None
        self.value = 0
        self.offset = 0

    @property
    def name(self) -> str:
        """Which line it is, for people."""
        return f"line {self.pick.line} of {self.pick.chip}"


class Requested(Export):
    """A device of this kernel, and lines that are requested whenever their chips are there.

    Args:
        config: of the export; it has picks.
    """

    FLAGS: ClassVar[int]
    """GPIO_V2_LINE_FLAG_* of the lines."""

    def __init__(self, config: ExportConfig) -> None:
        super().__init__(config)
        self._lines = [RequestedLine(pick) for pick in config.picks]
        self._seen: set[str] = set()
        self._why: dict[str, str] = {}
        self._tasks = Tasks()
        self._tasks.spawn(self._insist(self._open, config.path), self.consumer)

    @abstractmethod
    async def _open(self) -> None:
        """Make the device; the lines may be requested already. Raises OSError."""

    @property
    @abstractmethod
    def _opened(self) -> str:
        """Where the device is, "" while there is none."""

    @abstractmethod
    def _close(self) -> None:
        """Take the device away, if it is there."""

    @abstractmethod
    async def _began(self, line: RequestedLine) -> None:
        """A line is requested. Raises OSError."""

    @abstractmethod
    def _ended(self, line: RequestedLine) -> None:
        """The chip of a line is gone; its descriptors are closed next."""

    async def _insist(self, attempt: Callable[[], Awaitable[None]], what: str) -> None:
        """Try until it goes; what stands in the way is logged once."""
        pause_s = _AGAIN_S
        while True:
            try:
                await attempt()
            except (OSError, ValueError) as error:
                self._complain(what, sentence(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _AGAIN_MAX_S)
            else:
                self._why.pop(what, None)
                return

    def _complain(self, what: str, why: str) -> None:
        if self._why.get(what) != why:
            log.error("export %s: %s: %s", self.config.name, what, why)
        self._why[what] = why

    def appeared(self, chip: Chip) -> None:
        """A chip came online: request our lines of it."""
        if chip.name not in self.config.chips:
            return
        if chip.name in self._seen and chip.identity.known_by == "nothing":
            self._complain(chip.name, f"chip {chip.name} may be another controller than before")
            return
        self._seen.add(chip.name)
        for line in self._lines:
            if line.pick.chip == chip.name:
                attempt = functools.partial(self._request, line, chip)
                chip.tasks.spawn(self._insist(attempt, line.name), f"{self.consumer}: {line.name}")

    async def _request(self, line: RequestedLine, chip: Chip) -> None:
        offset = places_of(chip, [line.pick])[line.pick].offset
        flags = self.FLAGS | (uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW if self.config.active_low else 0)
        config = LineConfig(offset, flags, line.value, self.config.debounce_ms * 1000)
        requester = Requester(os.geteuid(), functools.partial(self._over, line))
        fds, _ = await chip.request([config], self.consumer, 0, requester, LineForm.V2)
        holder = chip.lines[offset].holder
        assert isinstance(fds, LineFds)
        if not isinstance(holder, LineRequest) or holder.requester is not requester:
            fds.close()  # the chip went away in this moment
            raise OSError(errno.ENODEV, f"chip {chip.name} is gone")
        line.chip, line.offset, line.request, line.fds = chip, offset, holder, fds
        try:
            await self._began(line)
        except BaseException:
            self._over(line)
            raise

    def _over(self, line: RequestedLine) -> None:
        """The request of a line has ended, or never came to be."""
        line.request = None
        if line.fds is not None:
            self._ended(line)
            line.fds.close()
            line.fds = None

    def status(self) -> dict[str, object]:
        """The export as the control socket shows it."""
        there = {line.pick.chip for line in self._lines if line.request is not None}
        return {
            "name": self.config.name,
            "path": self._opened or f"no device of {self.config.path} yet",
            "lines": len(self._lines),
            "connected": bool(self._opened),
            "interrupts": True,
            "guests": int(bool(self._opened)),
            "why": "; ".join(f"{what}: {why}" for what, why in self._why.items()),
            "waiting_for": sorted(self.config.chips - there),
        }

    async def rest(self) -> None:
        """Take the device away: nobody asks for anything any more."""
        await self._tasks.stop()
        self._close()

    def close(self) -> None:
        """End the export. Pins stay as they are: the requests end with their chips."""
        self._close()
