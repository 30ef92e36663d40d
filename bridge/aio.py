# SPDX-License-Identifier: BSD-3-Clause
"""The same lines for asyncio: await a value, ``async for`` over edges.

    async with await aio.Chip.open("fw-0") as chip:
        async with await chip.request_lines({"BUTTON": settings}) as request:
            if await request.get_value("BUTTON"):
                async for event in request.edge_events():
                    print(event)

Names, arguments, values and exceptions are those of `bridge.Chip` and `bridge.LineRequest`. What
waits for the service or the firmware is a coroutine; what waits for events is an asynchronous
iterator. Everything belongs to the event loop in which it was opened. Cancelling a coroutine does
not undo what it asked for.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar

from bridge.client import chip as _chip
from bridge.client import line_request as _line_request
from bridge.client import presence as _presence
from bridge.client.chip_info import ChipInfo
from bridge.client.control import Connection
from bridge.client.edge_event import EdgeEvent
from bridge.client.info_event import InfoEvent
from bridge.client.line_info import LineInfo
from bridge.client.line_settings import LineConfig, LineSettings
from bridge.clock_info import ClockInfo
from bridge.control_protocol import default_socket
from bridge.line import Value
from bridge.waiting import in_seconds

__all__ = ["Chip", "LineRequest", "follow_chips", "request_lines", "wait_for_chip"]

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
Behind = TypeVar("Behind", _chip.Chip, _line_request.LineRequest)
Self = TypeVar("Self", bound="_Face[Any]")


class _Events:
    """Waits for a descriptor on the event loop; one task at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._ending = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(
        self,
        read: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **keywords: Arguments.kwargs,
    ) -> Result:
        """Return what `read` returns once it does not say EAGAIN."""
        while True:
            try:
                return read(*arguments, **keywords)
            except BlockingIOError:
                await self._wait()

    async def _wait(self) -> None:
        """Return when the descriptor is readable or hung up, or when it was closed."""
        if self._waiter is not None:
            raise RuntimeError("another task waits for the events of this object already")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if not self._ending:
            loop.add_reader(self._fd, _set, self._waiter)
        try:
            await self._waiter
        finally:
            if not self._ending:
                loop.remove_reader(self._fd)
            self._waiter = None

    def end(self) -> None:
        """Let go of the descriptor, which is about to be closed."""
        if self._waiter is not None and not self._ending:
            self._waiter.get_loop().remove_reader(self._fd)
        self._ending = True

    def ended(self) -> None:
        """The descriptor is closed: the task that waits shall see that."""
        if self._waiter is not None:
            _set(self._waiter)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, which goes on when the task that awaits it is cancelled."""
    await asyncio.shield(asyncio.ensure_future(work))


class _Face(Generic[Behind]):
    """What both classes have in common: the object that does the work, its descriptor, its end."""

    def __init__(self, behind: Behind) -> None:
        """Take over the object that does the work; for this module only."""
        os.set_blocking(behind.fd, False)
        self._behind: Behind = behind
        self._events = _Events(behind.fd)

    def __bool__(self) -> bool:
        """Whether the chip is open, the lines are held."""
        return bool(self._behind)

    async def __aenter__(self: Self) -> Self:
        """Return this object. Raises ChipClosedError, RequestReleasedError at its end."""
        self._behind.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the chip, release the lines."""
        await _to_its_end(self._end())

    async def _end(self) -> None:
        self._events.end()
        await asyncio.to_thread(self._behind.__exit__, None, None, None)
        self._events.ended()

    @property
    def fd(self) -> int:
        """The descriptor of the events, which is O_NONBLOCK. Raises as ``async with``."""
        return self._behind.fd

    def fileno(self) -> int:
        """Return fd."""
        return self._behind.fd

    def __str__(self) -> str:
        """What the object of `bridge` prints of itself."""
        return str(self._behind)


class Chip(_Face[_chip.Chip]):
    """`bridge.Chip` on an event loop; made by `open`."""

    @classmethod
    async def open(cls, path: str) -> Chip:
        """Open the chip at `path`; takes and raises what `bridge.Chip` does."""
        return cls(await asyncio.to_thread(_chip.Chip, path))

    async def close(self) -> None:
        """Close the chip; its line requests stay. May be called again."""
        await _to_its_end(self._end())

    @property
    def path(self) -> str:
        """The path exactly as given. Raises ChipClosedError."""
        return self._behind.path

    def get_info(self) -> ChipInfo:
        """Return name, label and number of lines. Raises ChipClosedError."""
        return self._behind.get_info()

    async def line_offset_from_id(self, id: str | int) -> int:
        """As Chip.line_offset_from_id()."""
        return await asyncio.to_thread(self._behind.line_offset_from_id, id)

    async def get_line_info(self, line: int | str) -> LineInfo:
        """As Chip.get_line_info()."""
        return await asyncio.to_thread(self._behind.get_line_info, line)

    async def get_all_line_info(self) -> list[LineInfo]:
        """As Chip.get_all_line_info()."""
        return await asyncio.to_thread(self._behind.get_all_line_info)

    async def get_levels(self) -> list[bool | None]:
        """As Chip.get_levels()."""
        return await asyncio.to_thread(self._behind.get_levels)

    async def keep_lines(
        self,
        values: Mapping[int | str, Value],
        settings: LineSettings | None = None,
        consumer: str | None = None,
        on_restart: str = "restore",
    ) -> None:
        """As Chip.keep_lines()."""
        keep = self._behind.keep_lines
        await asyncio.to_thread(keep, values, settings, consumer, on_restart)

    async def release_lines(self, lines: Collection[int | str]) -> None:
        """As Chip.release_lines()."""
        await asyncio.to_thread(self._behind.release_lines, lines)

    async def clock(self) -> ClockInfo:
        """As Chip.clock()."""
        return await asyncio.to_thread(self._behind.clock)

    async def watch_line_info(self, line: int | str) -> LineInfo:
        """As Chip.watch_line_info()."""
        return await asyncio.to_thread(self._behind.watch_line_info, line)

    async def unwatch_line_info(self, line: int | str) -> None:
        """As Chip.unwatch_line_info()."""
        await asyncio.to_thread(self._behind.unwatch_line_info, line)

    async def read_info_event(self) -> InfoEvent:
        """Wait for an info event and return it. Raises OSError ENODEV, ChipClosedError."""
        return await self._events.read(self._behind.read_info_event)

    async def info_events(self) -> AsyncIterator[InfoEvent]:
        """Yield info events without end; raises as read_info_event()."""
        while True:
            yield await self.read_info_event()

    async def request_lines(
        self,
        config: LineConfig,
        consumer: str | None = None,
        event_buffer_size: int | None = None,
        output_values: Mapping[int | str, Value] | None = None,
    ) -> LineRequest:
        """Request lines; takes and raises what Chip.request_lines() does."""
        return LineRequest(
            await asyncio.to_thread(
                self._behind.request_lines, config, consumer, event_buffer_size, output_values
            )
        )

    def __repr__(self) -> str:
        """The same text as of `bridge.Chip`, with this module's name."""
        return repr(self._behind).replace("gpiod.Chip", "aio.Chip")


class LineRequest(_Face[_line_request.LineRequest]):
    """`bridge.LineRequest` on an event loop; made by `Chip.request_lines`."""

    def __init__(self, behind: _line_request.LineRequest) -> None:
        """Take over a granted request; for `Chip.request_lines` only."""
        super().__init__(behind)
        self._lock = asyncio.Lock()
        self._operations = _Operations(behind.operation_fd, behind.timeout_ms / 1000)

    async def release(self) -> None:
        """Release the lines and return when that is done. May be called again."""
        await _to_its_end(self._end())

    async def _end(self) -> None:
        async with self._lock:
            self._operations.close()
            await super()._end()

    @property
    def chip_name(self) -> str:
        """As LineRequest.chip_name."""
        return self._behind.chip_name

    @property
    def num_lines(self) -> int:
        """As LineRequest.num_lines."""
        return self._behind.num_lines

    @property
    def offsets(self) -> list[int]:
        """As LineRequest.offsets."""
        return self._behind.offsets

    @property
    def lines(self) -> list[int | str]:
        """As LineRequest.lines."""
        return self._behind.lines

    async def get_value(self, line: int | str) -> Value:
        """Return the value of one line; raises as LineRequest.get_value()."""
        return (await self.get_values([line]))[0]

    async def get_values(self, lines: Collection[int | str] | None = None) -> list[Value]:
        """Return the values of `lines`; takes and raises what LineRequest.get_values() does."""
        masks = self._behind.masks_of(lines)
        bits = await self._operate(_line_request.GET, _line_request.union(masks), 0)
        return [Value.ACTIVE if bits & mask else Value.INACTIVE for mask in masks]

    async def set_value(self, line: int | str, value: Value) -> None:
        """Set the value of one line; raises as LineRequest.set_value()."""
        await self.set_values({line: value})

    async def set_values(self, values: Mapping[int | str, Value]) -> None:
        """Set values; takes and raises what LineRequest.set_values() does."""
        await self._operate(_line_request.SET, *self._behind.bits_of(values))

    async def reconfigure_lines(self, config: LineConfig) -> None:
        """As LineRequest.reconfigure_lines()."""
        await _to_its_end(self._reconfigure(config))

    async def _reconfigure(self, config: LineConfig) -> None:
        async with self._lock:  # held until the answer is there, so that nobody else takes it
            await asyncio.to_thread(self._behind.reconfigure_lines, config)

    async def _operate(self, code: int, mask: int, bits: int) -> int:
        async with self._lock:
            self._behind.__enter__()  # released while this call waited for its turn?
            error, reason, line, answer = await self._operations.exchange(code, mask, bits)
        if error:
            raise self._behind.failure(error, reason, line)
        return answer

    async def read_edge_events(self, max_events: int | None = None) -> list[EdgeEvent]:
        """Wait for edge events; takes and raises what LineRequest.read_edge_events() does."""
        return await self._events.read(self._behind.read_edge_events, max_events)

    async def read_edge_event_array(self, max_events: int | None = None) -> memoryview:
        """Wait for edge events; as LineRequest.read_edge_event_array()."""
        return await self._events.read(self._behind.read_edge_event_array, max_events)

    async def edge_events(self) -> AsyncIterator[EdgeEvent]:
        """Yield edge events without end; raises as read_edge_events()."""
        while True:  # one by one: the others stay for whoever reads after a break
            yield (await self.read_edge_events(1))[0]


# struct gb_operation and struct gb_operation_reply of bridge/shim/pump/operation.h.
_OPERATION = struct.Struct("=IIQQ")
_REPLY = struct.Struct("=IiIIQ")


class _Operations:
    """Operations on the descriptor of a request without blocking the event loop."""

    def __init__(self, fd: int, timeout_s: float) -> None:
        self._socket = socket.socket(fileno=os.dup(fd))
        self._events = _Events(self._socket.fileno())
        self._timeout_s = timeout_s
        self._sequence = 0x80000000  # these differ from the numbers of the blocking calls

    async def exchange(self, code: int, mask: int, bits: int) -> tuple[int, int, int, int]:
        """Do one operation; return errno, reason, line index and bits of the answer."""
        self._sequence = 0x80000000 | (self._sequence + 1) & 0x7FFFFFFF
        packet = _OPERATION.pack(code, self._sequence, mask, bits)
        try:
            self._socket.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return await asyncio.wait_for(self._reply(), self._timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return errno.ETIMEDOUT, 0, 0, 0
        except (BrokenPipeError, ConnectionResetError):
            return errno.ENODEV, _line_request.RELEASED, 0, 0

    async def _reply(self) -> tuple[int, int, int, int]:
        while True:
            packet = await self._events.read(self._receive)
            if not packet:
                return errno.ENODEV, _line_request.RELEASED, 0, 0
            sequence, error, reason, line, bits = _REPLY.unpack_from(packet)
            if sequence == self._sequence:  # else the late answer to a cancelled one
                return error, reason, line, bits

    def _receive(self) -> bytes:
        return self._socket.recv(4096, socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close our descriptor. May be repeated."""
        self._socket.close()

    def __del__(self) -> None:
        """Release a request that is collected: no descriptor of it may stay."""
        self._socket.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def request_lines(
    path: str,
    config: LineConfig,
    consumer: str | None = None,
    event_buffer_size: int | None = None,
    output_values: Mapping[int | str, Value] | None = None,
) -> LineRequest:
    """Open the chip at `path`, request lines of it, close it; see Chip.request_lines()."""
    async with await Chip.open(path) as chip:
        return await chip.request_lines(config, consumer, event_buffer_size, output_values)


async def wait_for_chip(
    name: str, timeout: timedelta | float | None = None, socket: str | None = None
) -> bool:
    """As bridge.wait_for_chip()."""
    timeout_s = in_seconds(timeout)
    async with _asking(socket) as (connection, ask):
        return bool(await ask(_presence.has_chip, connection, name, timeout_s))


async def follow_chips(socket: str | None = None) -> AsyncGenerator[list[ChipInfo], None]:
    """As bridge.follow_chips()."""
    async with _asking(socket) as (connection, ask):
        changes = _presence.changes(connection)
        while True:
            yield await ask(next, changes)


@asynccontextmanager
async def _asking(
    path: str | None,
) -> AsyncIterator[tuple[Connection, Callable[..., Awaitable[Any]]]]:
    """A connection, and what calls functions that wait on it, in a thread of its own.

    The loop's threads are few, and for what ends soon. Leaving it ends the wait.
    """
    connection = await asyncio.to_thread(Connection.open, path or default_socket())
    thread = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    try:
        yield connection, lambda function, *words: loop.run_in_executor(thread, function, *words)
    finally:
        connection.close()
        thread.shutdown(wait=False)
