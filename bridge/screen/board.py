# SPDX-License-Identifier: BSD-3-Clause
"""What a screen shows: chips and lines as they are now, and what became of them."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_info import LineInfo
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.control_protocol import STATUS
from bridge.line import Direction, Edge, Value

__all__ = ["Board", "Row"]

STRIP = 64
CONSUMER = "gpio-bridge watch"
_INFO_S = 1.0  # how often settings and consumers are asked for
_SINGLE_S = 1.0  # how often levels are, where each line is a message of its own
_RATE_S = 1.0
_PEERS_SHOWN = 5


@dataclass
class Row:
    """A line, and what was seen of it.

    `strip` has its latest levels, oldest first. `edges` counts those of our own request, or else
    the changes that were seen from one look to the next (`counted` is False then).
    """

    chip: str
    offset: int
    info: LineInfo | None = None
    online: bool = True
    level: bool | None = None
    strip: deque[bool | None] = field(default_factory=lambda: deque(maxlen=STRIP))
    edges: int = 0
    counted: bool = False
    last: float | None = None
    rate: float = 0.0
    _before: tuple[float, int] = (0.0, 0)

    @property
    def name(self) -> str:
        """Name of the line, or its chip and offset."""
        own = self.info.name if self.info is not None else None
        return own or f"{self.chip} {self.offset}"

    def saw(self, level: bool | None, now: float) -> None:
        """Take a level that was read."""
        if not self.counted and None not in (level, self.level) and level != self.level:
            self.edges += 1
            self.last = now
        self.level = level
        self.strip.append(level)
        since, edges = self._before
        if now - since >= _RATE_S:
            self.rate = max(0.0, (self.edges - edges) / (now - since))
            self._before = (now, self.edges)


class _Source:
    """A chip that is open."""

    def __init__(self, path: str, features: list[str]) -> None:
        self.chip = Chip(path)
        self.bulk = "bulk" in features
        self.info_due = self.levels_due = 0.0


class Board:
    """All chips of a service, or some; they stay when they go away."""

    def __init__(self, socket: str, wanted: Callable[[str, str | None], bool]) -> None:
        """Look at the service on `socket`.

        `wanted` is asked with the name of a chip and of a line whether that is shown. Raises
        OSError when no service answers.
        """
        self._socket = socket
        self._wanted = wanted
        self._connection: Connection | None = Connection.open(socket)
        self._sources: dict[str, _Source] = {}
        self._unwanted: dict[str, dict[str, Any]] = {}  # chips without a line to show, as listed
        self._chips_due = 0.0
        self._requests: dict[tuple[str, int], LineRequest] = {}
        self._following: dict[tuple[str, int], LineRequest] = {}
        #: By chip and offset, in order.
        self.rows: dict[tuple[str, int], Row] = {}
        #: What happened, newest last.
        self.messages: deque[str] = deque(maxlen=200)

    def say(self, text: str) -> None:
        """Note a message."""
        self.messages.append(f"{time.strftime('%H:%M:%S')} {text}")

    def close(self) -> None:
        """Release what we hold, and leave."""
        for request in (*self._requests.values(), *self._following.values()):
            request.release()
        for source in self._sources.values():
            source.chip.close()
        if self._connection is not None:
            self._connection.close()

    # ---- looking ---------------------------------------------------------------

    def refresh(self) -> None:
        """Look again; what cannot be reached is a message, and comes back by itself."""
        now = time.monotonic()
        if now >= self._chips_due:
            self._chips_due = now + _INFO_S
            self._find_chips()
        for name, source in list(self._sources.items()):
            try:
                self._look(name, source, now)
            except OSError as error:
                self._gone(name, str(error.strerror))
        for key, request in list(self._following.items()):
            self._follow(key, request, now)

    def _find_chips(self) -> None:
        try:
            if self._connection is None:
                self._connection = Connection.open(self._socket)
                self.say("the service is back")
            chips = self._connection.chips()
        except OSError as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self.say(f"the service is gone: {error.strerror}")
            return
        for chip in chips:
            name = chip["name"]
            if name in self._sources or self._unwanted.get(name) == chip:
                continue
            with suppress(OSError):
                source = _Source(f"{self._socket}#{name}", chip["features"])
                infos = source.chip.get_all_line_info()
                shown = [info for info in infos if self._wanted(name, info.name)]
                if not shown:
                    source.chip.close()
                    self._unwanted[name] = chip
                    continue
                self._sources[name] = source
                self._place(name, shown)

    def _place(self, chip: str, infos: list[LineInfo]) -> None:
        back = any(not row.online for row in self.rows.values() if row.chip == chip)
        for info in infos:
            row = self.rows.setdefault((chip, info.offset), Row(chip, info.offset))
            row.info, row.online = info, True
        if back:
            self.say(f"chip {chip} is back")
        for name, offset in list(self._following):
            if name == chip:  # its request ended with the chip
                row = self.rows[name, offset]
                self._following.pop((name, offset)).release()
                row.counted = False
                try:
                    self.follow(row)
                except (OSError, ValueError) as error:
                    self.say(f"edges of {row.name} are not counted any more: {error.args[-1]}")

    def _look(self, name: str, source: _Source, now: float) -> None:
        # A chip may have come back without some of its lines.
        rows = [row for row in self.rows.values() if row.chip == name and row.online]
        if now >= source.info_due:
            source.info_due = now + _INFO_S
            for info in source.chip.get_all_line_info():
                row = self.rows.get((name, info.offset))
                if row is not None:
                    row.info = info
        if now < source.levels_due:
            return
        source.levels_due = now if source.bulk else now + _SINGLE_S
        levels = source.chip.get_levels()
        for row in rows:
            row.saw(levels[row.offset], now)

    def _gone(self, name: str, why: str) -> None:
        self._sources.pop(name).chip.close()
        self.say(f"chip {name} is gone: {why}")
        for row in self.rows.values():
            if row.chip == name:
                row.online, row.level = False, None
                row.strip.append(None)
        for key in [key for key in self._requests if key[0] == name]:
            self._requests.pop(key).release()

    def _follow(self, key: tuple[str, int], request: LineRequest, now: float) -> None:
        """Count the edges that came."""
        row = self.rows[key]
        try:
            while request.wait_edge_events(0):
                records = request.read_edge_event_array().cast("I")
                row.edges = records[len(records) - 12 + 5]
                row.last = now
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    # ---- doing -----------------------------------------------------------------

    def holds(self, row: Row) -> bool:
        """Whether a line is held here as an output."""
        return (row.chip, row.offset) in self._requests

    def follows(self, row: Row) -> bool:
        """Whether the edges of a line are counted here."""
        return (row.chip, row.offset) in self._following

    def _request(self, row: Row, settings: LineSettings) -> LineRequest:
        if row.chip not in self._sources:
            raise OSError(errno.ENODEV, f"chip {row.chip} is gone")
        chip = self._sources[row.chip].chip
        return chip.request_lines({row.offset: settings}, CONSUMER, 1024)

    def hold(self, row: Row) -> None:
        """Hold a line as an output at the level that it has. Raises OSError."""
        self.let_go(row)
        value = Value.ACTIVE if row.level else Value.INACTIVE
        settings = LineSettings(direction=Direction.OUTPUT, output_value=value)
        self._requests[row.chip, row.offset] = self._request(row, settings)
        self.say(f"{row.name} is held as an output")

    def follow(self, row: Row) -> None:
        """Request a line as an input, and count its edges. Raises OSError."""
        self.let_go(row)
        request = self._request(row, LineSettings(edge_detection=Edge.BOTH))
        self._following[row.chip, row.offset] = request
        row.edges, row.counted, row._before = 0, True, (time.monotonic(), 0)
        self.say(f"edges of {row.name} are counted")

    def let_go(self, row: Row) -> None:
        """Release a line that is held or followed here."""
        key = row.chip, row.offset
        for requests in (self._requests, self._following):
            if key in requests:
                requests.pop(key).release()
                row.counted = False
                self.say(f"{row.name} is released")

    def toggle(self, row: Row) -> None:
        """Toggle an output; it is held first if it is not. Raises OSError."""
        if not self.holds(row):
            self.hold(row)
        request = self._requests[row.chip, row.offset]
        level = request.get_value(row.offset)
        request.set_value(row.offset, Value.INACTIVE if level is Value.ACTIVE else Value.ACTIVE)

    def pulse(self, row: Row, seconds: float = 0.02) -> None:
        """Toggle an output, and back after a time. Raises OSError."""
        self.toggle(row)
        time.sleep(seconds)
        self.toggle(row)

    def status(self) -> list[str]:
        """Return links, the latest messages, and clients, a line each."""
        if self._connection is None:
            return ["no service answers"]
        try:
            status = self._connection.call(STATUS)
        except OSError as error:
            return [str(error.strerror)]
        lines = [
            f"link {link['name']} {link['state']} {link['url']} {link['why']}".rstrip()
            for link in status["links"]
        ]
        lines += [f"doubt: {doubt}" for link in status["links"] for doubt in link["doubts"]]
        lines += list(self.messages)[-3:]
        lines += [
            f"client {peer['pid']} {peer['client']}, uid {peer['uid']}, {peer['chips']} chips"
            for peer in status["peers"][:_PEERS_SHOWN]
        ]
        more = len(status["peers"]) - _PEERS_SHOWN
        return [*lines, f"and {more} more clients: gpio-bridge status"] if more > 0 else lines
