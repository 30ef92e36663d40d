# SPDX-License-Identifier: BSD-3-Clause
"""What clients can ask on the control socket, one method an operation."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.line_config import LineConfig, event_capacity
from bridge.chips.request import LineRequest
from bridge.chips.requester import Requester
from bridge.chips.watcher import Watcher
from bridge.export.cdev import Device
from bridge.service.access import Policy
from bridge.service.budgets import Account, Grant
from bridge.service.peer import Peer

if TYPE_CHECKING:
    from bridge.chips.line import Line
    from bridge.service.service import Service

VERSION = 1
"""Version of the control protocol."""

LINES_PER_PAGE = 256
CHIPS_PER_PAGE = 100
"""So many fit a packet, whatever they are called."""
HANDLES_MAX = 256
"""Chips that one connection may have open."""
WAIT_MS_MAX = 600_000
FOUND_MAX = 1024
"""Lines that one answer of ``find`` has; names that occur as often fit a packet."""
CLIENT_NAME_MAX = 64
"""Characters of a client's name that are kept."""
_U32_MAX = 2**32 - 1
_EVENT_BYTES = 48
"""Of a record of an edge event."""

Answer = tuple[dict[str, Any], Sequence[int]]
"""The ok map and the descriptors to send along."""

_MISSING = object()


class Client:
    """One connection: who it is, and the chips that it opened, by handle.

    Args:
        peer: who is at its other end.
        account: of that user.
        grant: of the connection.

    Attributes:
        name: what it says that it is.
    """

    name = ""

    def __init__(self, peer: Peer, account: Account, grant: Grant) -> None:
        self.peer = peer
        self.account = account
        self._grant = grant
        self._handles = itertools.count(1)
        self._open: dict[int, tuple[Watcher, Grant]] = {}
        self._closed = False

    def __len__(self) -> int:
        """Number of open chips."""
        return len(self._open)

    def open(self, chip: Chip) -> tuple[int, Watcher]:
        """Open a chip; its handle, and the client's view of it.

        Raises:
            OSError: EMFILE, ENOBUFS a limit is reached; ENODEV the chip is gone.
        """
        if self._closed:
            raise OSError(errno.ECANCELED, "the client hung up")
        if len(self._open) >= HANDLES_MAX:
            raise OSError(errno.EMFILE, f"this connection has {HANDLES_MAX} chips open; close some")
        grant = self.account.take(handles=1)
        try:
            watcher = chip.open()
        except BaseException:
            grant.end()
            raise
        handle = next(self._handles)
        self._open[handle] = watcher, grant
        return handle, watcher

    def get(self, message: Mapping[str, Any]) -> Watcher:
        """The open chip of an argument `handle`. Raises OSError EBADF."""
        handle = _integer(message, "handle", 0, 2**63 - 1)
        if handle not in self._open:
            raise OSError(errno.EBADF, f"this connection has no open chip {handle}")
        return self._open[handle][0]

    def discard(self, message: Mapping[str, Any]) -> None:
        """Close the open chip of an argument `handle`. Raises OSError EBADF."""
        self.get(message)
        self._let_go(*self._open.pop(message["handle"]))

    @staticmethod
    def _let_go(watcher: Watcher, grant: Grant) -> None:
        watcher.close()
        grant.end()

    def close(self) -> None:
        """The client is gone."""
        self._closed = True
        for watcher, grant in self._open.values():
            self._let_go(watcher, grant)
        self._open.clear()
        self._grant.end()


class Visitor:
    """The user of a program that has a chip open as a character device.

    It outlives the connection that opened the chip, as a descriptor does in the kernel.
    """

    def __init__(self, operations: Operations, client: Client) -> None:
        self._operations = operations
        self._peer = client.peer
        self._account = client.account
        self._grant = client.account.take(connections=1, handles=1)

    def info(self, chip: Chip, line: Line) -> Mapping[str, Any]:
        """A line as it is shown to this user."""
        return self._operations.policy.info(self._peer, chip, line)

    def check_watch(self, chip: Chip, line: Line) -> None:
        """Raise OSError EACCES when this user may not watch a line."""
        self._operations.policy.need(self._peer, chip, line, "watch")

    async def requester(self, lines: int, memory: int) -> Requester:
        """This user's share of the budget for a line request. Raises OSError."""
        grant = await self._operations.take(self._account, lines, memory)
        check = functools.partial(self._operations.policy.check, self._peer)
        return Requester(self._peer.uid, grant.end, check)

    def left(self) -> None:
        """The chip is closed."""
        self._grant.end()


class Operations:
    """The operations of one service.

    Args:
        service: what they act on.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.policy = Policy(service.config.access)
        self._table: dict[str, Callable[[Client, Mapping[str, Any]], Awaitable[Answer]]] = {
            "hello": self._hello,
            "chips": self._chips,
            "chip": self._chip,
            "open": self._open,
            "cdev": self._cdev,
            "close": self._close,
            "lines": self._lines,
            "find": self._find,
            "clock": self._clock,
            "watch": self._watch,
            "unwatch": self._unwatch,
            "request": self._request,
            "status": self._status,
            "wait": self._wait,
        }

    async def run(self, client: Client, op: str, message: Mapping[str, Any]) -> Answer:
        """Do one operation.

        Args:
            client: who asks.
            op: its name.
            message: the request, its arguments unchecked.

        Raises:
            OSError: errno and sentence for the client.
        """
        method = self._table.get(op)
        if method is None:
            raise OSError(
                errno.EOPNOTSUPP,
                f'there is no op "{op[:32]}"; there are: {", ".join(self._table)}',
            )
        return await method(client, message)

    async def _hello(self, client: Client, message: Mapping[str, Any]) -> Answer:
        version = _integer(message, "version", 0, _U32_MAX)
        client.name = _string(message, "client")[:CLIENT_NAME_MAX]
        if version != VERSION:
            raise OSError(
                errno.EPROTONOSUPPORT,
                f"the client speaks version {version} of the control protocol, "
                f"this service version {VERSION}; install matching versions",
            )
        answer = {"version": VERSION, "service": self._service.version}
        return {**answer, "timeout_ms": self._service.config.timeout_ms}, ()

    def _visible(self, client: Client, chips: Iterable[Chip]) -> list[Chip]:
        """Those that the client may see."""
        return [chip for chip in chips if self.policy.sees(client.peer, chip)]

    def _named(self, client: Client, name: str) -> Chip:
        """The chip called `name`. Raises OSError ENOENT, also where it may not be seen."""
        return self._service.registry.get(name, functools.partial(self.policy.sees, client.peer))

    async def _chips(self, client: Client, message: Mapping[str, Any]) -> Answer:
        registry = self._service.registry
        if "after" not in message:  # a client that knows no pages
            return {"chips": [chip.info() for chip in self._visible(client, registry.all())]}, ()
        chips = self._visible(client, registry.after(_string(message, "after")))
        page = chips[:CHIPS_PER_PAGE]
        following = page[-1].name if len(chips) > len(page) else None
        return {"chips": [chip.info() for chip in page], "next": following}, ()

    async def _chip(self, client: Client, message: Mapping[str, Any]) -> Answer:
        return self._named(client, _string(message, "chip")).info(), ()

    async def _open(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Open a chip as open(2) does a character device: this chip, not this name."""
        handle, watcher = client.open(self._named(client, _string(message, "chip")))
        return {**watcher.chip.info(), "handle": handle}, watcher.take_fds()

    async def _cdev(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Open a chip as the GPIO character device, see docs/cdev.md."""
        chip = self._named(client, _string(message, "chip"))
        visitor = Visitor(self, client)
        try:
            device = Device(chip, visitor)
        except BaseException:
            visitor.left()
            raise
        return chip.info(), (device.fd,)

    async def _close(self, client: Client, message: Mapping[str, Any]) -> Answer:
        client.discard(message)
        return {}, ()

    def _addressed(self, client: Client, message: Mapping[str, Any]) -> Chip:
        """The chip of an argument `handle`, else of an argument `chip`."""
        if "handle" not in message:
            return self._named(client, _string(message, "chip"))
        chip = client.get(message).chip
        chip.check_online()
        return chip

    async def _lines(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip = self._addressed(client, message)
        first = _integer(message, "first", 0, _U32_MAX, default=0)
        count = _integer(message, "count", 1, LINES_PER_PAGE, default=LINES_PER_PAGE)
        last = first + count
        info = self.policy.info
        page = [info(client.peer, chip, line) for line in chip.lines[first:last]]
        return {"lines": page, "next": last if last < len(chip.lines) else None}, ()

    async def _find(self, client: Client, message: Mapping[str, Any]) -> Answer:
        name = _string(message, "name")
        limit = _integer(message, "limit", 0, _U32_MAX, default=0)
        every = _boolean(message, "every", default=False)
        if "handle" in message or message.get("chip") is not None:
            chips = [self._addressed(client, message)]
        else:
            chips = self._service.registry.with_line(name)

        def seen(chip: Chip) -> list[list[object]]:
            return [
                [chip.name, at]
                for at in _offsets(chip, name, every)
                if "see" in self.policy.rights(client.peer, chip, at)
            ]

        found = [places for places in map(seen, chips) if places][: limit or None]
        return {"found": list(itertools.chain(*found))[:FOUND_MAX]}, ()

    async def _clock(self, client: Client, message: Mapping[str, Any]) -> Answer:
        return dataclasses.asdict(self._addressed(client, message).clock()), ()

    async def _watch(self, client: Client, message: Mapping[str, Any]) -> Answer:
        watcher = client.get(message)
        offset = _integer(message, "offset", 0, _U32_MAX)
        line = watcher.chip.line(offset)
        self.policy.need(client.peer, watcher.chip, line, "watch")
        return {"line": watcher.chip.watch(watcher, offset).info()}, ()

    async def _unwatch(self, client: Client, message: Mapping[str, Any]) -> Answer:
        watcher = client.get(message)
        watcher.chip.unwatch(watcher, _integer(message, "offset", 0, _U32_MAX))
        return {}, ()

    async def _request(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip = self._addressed(client, message)
        configs = _line_configs(message)
        consumer = _string(message, "consumer", default="")
        size = _integer(message, "event_buffer_size", 0, _U32_MAX, default=0)
        room = event_capacity(size, len(configs), edges=False) * _EVENT_BYTES
        grant = await self.take(client.account, len(configs), room)
        check = functools.partial(self.policy.check, client.peer)
        requester = Requester(client.peer.uid, grant.end, check)
        fds, capacity = await chip.request(configs, consumer, size, requester)
        answer = {
            "offsets": [config.offset for config in configs],
            "names": [chip.lines[config.offset].name for config in configs],
            "capacity": capacity,
            "timeout_ms": chip.controller.timeout_ms,
        }
        return answer, fds

    async def take(self, account: Account, lines: int, memory: int) -> Grant:
        """A line request's share of the budget. Raises OSError, as `Account.take`.

        A user who has all that he may have, and has just closed a request, must not meet its
        shadow: its end is waited for.
        """
        try:
            return account.take(requests=1, lines=lines, memory=memory)
        except OSError:
            ends = [
                asyncio.ensure_future(holder.release())
                for chip in self._service.registry.all()
                for holder in chip.requests
                if isinstance(holder, LineRequest)
                and holder.requester.uid == account.uid
                and holder.going
            ]
            if not ends:
                raise
            # Not awaited themselves: that they are cancelled with the chip is no reason to be, too.
            await asyncio.wait(ends)
            return account.take(requests=1, lines=lines, memory=memory)

    async def _status(self, client: Client, message: Mapping[str, Any]) -> Answer:
        return self._service.status(), ()

    async def _wait(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Answer when a chip is online (or offline), or when there are so many chips."""
        registry = self._service.registry
        timeout_ms = _integer(message, "timeout_ms", 0, WAIT_MS_MAX)
        if "count" in message:
            count = _integer(message, "count", 0, _U32_MAX)

            def there() -> int:
                return len(self._visible(client, registry.all()))

            if not await registry.wait(lambda: there() == count, timeout_ms / 1000):
                raise OSError(
                    errno.ETIMEDOUT,
                    f"there are {there()} chips instead of {count} after {timeout_ms} ms",
                )
            return {}, ()
        name = _string(message, "chip")
        online = _boolean(message, "online", default=True)

        def is_online() -> bool:
            return any(chip.name == name for chip in self._visible(client, registry.all()))

        if not await registry.wait(lambda: is_online() == online, timeout_ms / 1000):
            wanted = "online" if online else "offline"
            raise OSError(errno.ETIMEDOUT, f'chip "{name}" is not {wanted} after {timeout_ms} ms')
        return {}, ()


# ---- arguments: hostile until checked ---------------------------------------


def _offsets(chip: Chip, name: str, every: bool) -> list[int]:
    """The lines of a name: the lowest, or every one."""
    return chip.find_all(name) if every else [at for at in [chip.find(name)] if at is not None]


def _boolean(message: Mapping[str, Any], key: str, default: bool) -> bool:
    value = message.get(key, default)
    if not isinstance(value, bool):
        raise OSError(errno.EINVAL, f"{key} must be a boolean")
    return value


def _string(message: Mapping[str, Any], key: str, default: object = _MISSING) -> str:
    value = message.get(key, default)
    if not isinstance(value, str):
        raise OSError(errno.EINVAL, f"{key} must be a string")
    if len(value) > 4096:
        raise OSError(errno.EINVAL, f"{key} has {len(value)} characters; at most 4096 are taken")
    return value


def _integer(
    message: Mapping[str, Any], key: str, low: int, high: int, default: object = _MISSING
) -> int:
    value = message.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise OSError(errno.EINVAL, f"{key} must be an integer from {low} to {high}")
    return value


def _line_configs(message: Mapping[str, Any]) -> list[LineConfig]:
    lines = message.get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise OSError(errno.EINVAL, "lines must be a list of maps with offset and flags")
    if not 1 <= len(lines) <= uapi.GPIO_V2_LINES_MAX:
        raise OSError(
            errno.EINVAL,
            f"a request takes 1 to {uapi.GPIO_V2_LINES_MAX} lines, not {len(lines)}",
        )
    return [
        LineConfig(
            offset=_integer(line, "offset", 0, _U32_MAX),
            flags=_integer(line, "flags", 0, 2**64 - 1),
            value=_integer(line, "value", 0, 1, default=0),
            debounce_us=_integer(line, "debounce_us", 0, _U32_MAX, default=0),
        )
        for line in lines
    ]
