# SPDX-License-Identifier: BSD-3-Clause
"""jumpstarter's drivers: an output, an input with its edges, and a simulated board."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from jumpstarter.driver import Driver, export

from bridge import EdgeEvent, LineSettings, RequestReleasedError, aio
from bridge.line import Bias, Direction, Drive, Edge, Value
from firmware_stub import Stub

__all__ = ["Board", "Input", "Output"]

_CLIENTS = "bridge.integrations.jumpstarter.client"
_BUFFER = 1024


def _word(kind: Any, given: str, of: str) -> Any:
    """The member of an enum by its name in lower case, as ``pull_up``."""
    names = [member.name.lower() for member in kind if member.name != "UNKNOWN"]
    if given not in names:
        raise ValueError(f"{of} {given!r}: write one of {', '.join(names)}")
    return kind[given.upper()]


@dataclass(kw_only=True)
class _Line(Driver):
    """A line, requested at its first use and then held as long as the exporter runs.

    ``chip`` and ``line`` are what bridge.Chip and its request_lines() take.
    """

    chip: str
    line: str | int
    active_low: bool = False
    bias: str = "as_is"
    _request: aio.LineRequest | None = field(init=False, repr=False, default=None)
    _lock: asyncio.Lock = field(init=False, repr=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._settings()  # what is wrong with the configuration is said when it is read

    def _settings(self) -> LineSettings:
        raise NotImplementedError

    async def _held(self) -> aio.LineRequest:
        """The request; a new one when the chip of the last one is gone."""
        async with self._lock:
            if self._request is not None:
                try:
                    await self._request.get_values()
                except (OSError, RequestReleasedError):
                    dead, self._request = self._request, None
                    await dead.release()
            if self._request is None:
                self._request = await aio.request_lines(
                    self.chip,
                    {self.line: self._settings()},
                    consumer="jumpstarter",
                    event_buffer_size=_BUFFER,
                )
            return self._request

    def close(self) -> None:
        """Give the line up: it goes with its descriptors."""
        self._request = None
        super().close()


@dataclass(kw_only=True)
class Output(_Line):
    """A line that is driven. ``initial`` is its value from its first use on."""

    drive: str = "push_pull"
    initial: bool = False

    @classmethod
    def client(cls) -> str:
        """The class of its client."""
        return f"{_CLIENTS}.OutputClient"

    def _settings(self) -> LineSettings:
        return LineSettings(
            direction=Direction.OUTPUT,
            active_low=self.active_low,
            bias=_word(Bias, self.bias, "bias"),
            drive=_word(Drive, self.drive, "drive"),
            output_value=Value.ACTIVE if self.initial else Value.INACTIVE,
        )

    @export
    async def set(self, value: bool) -> None:
        """Drive a value."""
        request = await self._held()
        await request.set_value(self.line, Value.ACTIVE if value else Value.INACTIVE)

    @export
    async def on(self) -> None:
        """Drive it active."""
        await self.set(True)

    @export
    async def off(self) -> None:
        """Drive it inactive."""
        await self.set(False)

    @export
    async def get(self) -> bool:
        """Return the value."""
        return bool((await (await self._held()).get_value(self.line)).value)


@dataclass(kw_only=True)
class Input(_Line):
    """A line that is read, and whose edges are told."""

    edge: str = "both"
    debounce_us: int = 0

    @classmethod
    def client(cls) -> str:
        """The class of its client."""
        return f"{_CLIENTS}.InputClient"

    def _settings(self) -> LineSettings:
        return LineSettings(
            direction=Direction.INPUT,
            active_low=self.active_low,
            bias=_word(Bias, self.bias, "bias"),
            edge_detection=_word(Edge, self.edge, "edge"),
            debounce_period=timedelta(microseconds=self.debounce_us),
        )

    @export
    async def get(self) -> bool:
        """Return the value."""
        return bool((await (await self._held()).get_value(self.line)).value)

    @export
    async def edges(self) -> AsyncGenerator[tuple[bool, str, int], None]:
        """Yield edges as they come, from the oldest that waits: rising, ns, number.

        The time is CLOCK_MONOTONIC of the exporter's host, as text: 64 bits are more than
        a number has on the way. Up to 1024 edges wait, then the oldest go and their
        numbers are missing. One stream of a line at a time.
        """
        request = await self._held()
        yield False, "", 0  # it listens: from now on no edge is missed
        async for event in request.edge_events():
            rising = event.event_type is EdgeEvent.Type.RISING_EDGE
            yield rising, str(event.timestamp_ns), event.line_seqno


@dataclass(kw_only=True)
class Board(Driver):
    """The firmware on a simulated board, for a lab without hardware.

    ``board`` is the file, the name or the text of a board; lines are found on the chip
    ``vhost-user:SOCKET#0`` and so on.
    """

    socket: str
    board: str = "demo"
    _stub: Stub | None = field(init=False, repr=False, default=None)

    @classmethod
    def client(cls) -> str:
        """The class of its client."""
        return f"{_CLIENTS}.BoardClient"

    def __post_init__(self) -> None:
        """Power it up. Raises OSError when it does not start."""
        super().__post_init__()
        self._stub = Stub(self.board, socket=self.socket)
        self._stub.start()

    def close(self) -> None:
        """Power it down."""
        if self._stub is not None:
            with contextlib.suppress(OSError):
                self._stub.close()
        super().close()

    @export
    async def command(self, text: str) -> str:
        """Have the board do something, in the words of docs/stub.md: ``press BUTTON_USER``."""
        assert self._stub is not None
        return await asyncio.to_thread(self._stub.command, text, 70.0)
