# SPDX-License-Identifier: BSD-3-Clause
"""What clients can ask on the control socket, one method an operation."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from bridge import control_protocol as protocol
from bridge import uapi
from bridge.chips.chip import Chip
from bridge.chips.levels import levels_of
from bridge.chips.line_config import configs_of, event_capacity
from bridge.chips.request import LineRequest
from bridge.chips.requester import Requester
from bridge.export.cdev import Device
from bridge.service import arguments
from bridge.service.access import Policy
from bridge.service.arguments import U32_MAX
from bridge.service.budgets import Account, Grant
from bridge.service.client import Client
from bridge.service.config import Config
from bridge.service.counters import count_chip, count_firmware
from bridge.service.keeper import Keeper, KeptLine
from bridge.service.peer import Peer
from bridge.service.registry import Registry
from bridge.service.tracing import Tracing
from bridge.service.turns import Turns
from bridge.service.visitor import Visitor
from bridge.text import printable

Answer = tuple[dict[str, Any], Sequence[int]]
"""The ok map and the descriptors to send along."""


class Operations:
    """The operations of one service.

    Args:
        config: of the service.
        version: of the service.
        registry: the chips that are online.
        tracing: what goes over the links.
        status: what the service says of itself.
        settled: whether it knows all chips that its links' firmwares announced.

    Attributes:
        keeper: of outputs that stay without a client.
        turns: whose packet, ioctl or new settings are next.
    """

    def __init__(
        self,
        config: Config,
        version: str,
        registry: Registry,
        tracing: Tracing,
        status: Callable[[], dict[str, object]],
        settled: Callable[[], bool],
    ) -> None:
        self._version = version
        self._timeout_ms = config.timeout_ms
        self._policy = Policy(config.access)
        self.keeper = Keeper(self._policy)
        self.turns = Turns()
        self._outlives_clients = config.socket is not None
        self._registry = registry
        self._tracing = tracing
        self._service_status = status
        self._settled = settled
        self._table: dict[str, Callable[[Client, Mapping[str, Any]], Awaitable[Answer]]] = {
            protocol.HELLO: self._hello,
            protocol.CHIPS: self._chips,
            protocol.CHIP: self._chip,
            protocol.OPEN: self._open,
            protocol.CDEV: self._cdev,
            protocol.CLOSE: self._close,
            protocol.LINES: self._lines,
            protocol.LEVELS: self._levels,
            protocol.FIND: self._find,
            protocol.CLOCK: self._clock,
            protocol.WATCH: self._watch,
            protocol.UNWATCH: self._unwatch,
            protocol.REQUEST: self._request,
            protocol.KEEP: self._keep,
            protocol.RELEASE: self._release,
            protocol.STATUS: self._status,
            protocol.METRICS: self._metrics,
            protocol.TRACE: self._trace,
            protocol.LAST: self._last,
            protocol.WAIT: self._wait,
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
        version = arguments.integer(message, "version", 0, U32_MAX)
        client.name = arguments.string(message, "client")[: protocol.CLIENT_NAME_MAX]
        if version != protocol.VERSION:
            raise OSError(
                errno.EPROTONOSUPPORT,
                f"the client speaks version {version} of the control protocol, "
                f"this service version {protocol.VERSION}; install matching versions",
            )
        answer = {"version": protocol.VERSION, "service": self._version}
        return {**answer, "timeout_ms": self._timeout_ms}, ()

    def _visible(self, client: Client, chips: Iterable[Chip]) -> list[Chip]:
        """The chips that the client may see."""
        return [chip for chip in chips if self._policy.sees(client.peer, chip)]

    def _named(self, client: Client, name: str) -> Chip:
        """The chip called `name`. Raises OSError ENOENT, also where it may not be seen."""
        return self._registry.get(name, functools.partial(self._policy.sees, client.peer))

    async def _chips(self, client: Client, message: Mapping[str, Any]) -> Answer:
        after = arguments.string(message, "after", default="")
        chips = self._visible(client, self._registry.after(after))
        page = chips[: protocol.CHIPS_PER_PAGE]
        following = page[-1].name if len(chips) > len(page) else None
        return {"chips": [chip.info() for chip in page], "next": following}, ()

    async def _chip(self, client: Client, message: Mapping[str, Any]) -> Answer:
        return self._named(client, arguments.string(message, "chip")).info(), ()

    async def _open(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Open a chip as open(2) does a character device: this chip, not this name."""
        chip = self._named(client, arguments.string(message, "chip"))
        handle, watcher = client.open(chip)
        return {**chip.info(), "handle": handle}, watcher.take_fds()

    async def _cdev(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Open a chip as the GPIO character device, see docs/cdev.md."""
        chip = self._named(client, arguments.string(message, "chip"))
        visitor = Visitor(client, self._policy, self.turns, self._requester)
        try:
            device = Device(chip, visitor)
        except BaseException:
            visitor.left()
            raise
        return {"chip_info": device.info, **chip.info()}, (device.fd,)

    async def _close(self, client: Client, message: Mapping[str, Any]) -> Answer:
        client.discard(message)
        return {}, ()

    def _addressed(self, client: Client, message: Mapping[str, Any]) -> Chip:
        """The chip of an argument `handle`, else of an argument `chip`."""
        if "handle" not in message:
            return self._named(client, arguments.string(message, "chip"))
        chip, _ = client.get(message)
        chip.check_online()
        return chip

    @staticmethod
    def _page(message: Mapping[str, Any], chip: Chip) -> tuple[range, int | None]:
        """The lines that an answer is about, and where the next page begins."""
        first = arguments.integer(message, "first", 0, U32_MAX, default=0)
        count = arguments.integer(
            message, "count", 1, protocol.LINES_PER_PAGE, default=protocol.LINES_PER_PAGE
        )
        page = range(len(chip.lines))[first : first + count]
        return page, page.stop if page.stop < len(chip.lines) else None

    async def _lines(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip = self._addressed(client, message)
        page, following = self._page(message, chip)
        lines = [self._policy.info(client.peer, chip, chip.lines[offset]) for offset in page]
        return {"lines": lines, "next": following}, ()

    async def _levels(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """The levels of pins, held or not, of the lines that the user may read."""
        chip = self._addressed(client, message)
        page, following = self._page(message, chip)
        offsets = [
            offset for offset in page if "read" in self._policy.rights(client.peer, chip, offset)
        ]
        read = dict(zip(offsets, await levels_of([chip.pins[at] for at in offsets]), strict=True))
        letters = {None: "-", False: "0", True: "1"}
        levels = "".join(letters[read.get(offset)] for offset in page)
        return {"levels": levels, "next": following}, ()

    async def _find(self, client: Client, message: Mapping[str, Any]) -> Answer:
        name = arguments.string(message, "name")
        limit = arguments.integer(message, "limit", 0, U32_MAX, default=0)
        every = arguments.boolean(message, "every", default=False)
        if "handle" in message or message.get("chip") is not None:
            chips = [self._addressed(client, message)]
        else:
            chips = self._registry.with_line(name)

        def seen(chip: Chip) -> list[list[object]]:
            return [
                [chip.name, at]
                for at in _offsets(chip, name, every)
                if "see" in self._policy.rights(client.peer, chip, at)
            ]

        found = [places for places in map(seen, chips) if places][: limit or None]
        return {"found": list(itertools.chain(*found))[: protocol.FOUND_MAX]}, ()

    async def _clock(self, client: Client, message: Mapping[str, Any]) -> Answer:
        return dataclasses.asdict(self._addressed(client, message).clock()), ()

    async def _watch(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip, watcher = client.get(message)
        offset = arguments.integer(message, "offset", 0, U32_MAX)
        line = chip.line(offset)
        self._policy.need(client.peer, chip, line, "watch")
        chip.watchers.watch(watcher, line)
        return {"line": line.info()}, ()

    async def _unwatch(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip, watcher = client.get(message)
        line = chip.line(arguments.integer(message, "offset", 0, U32_MAX))
        chip.watchers.unwatch(watcher, line)
        return {}, ()

    async def _request(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chip = self._addressed(client, message)
        offsets = arguments.offsets(message)
        configs = configs_of(arguments.data(message, "config"), offsets, chip.source_clock)
        consumer = arguments.string(message, "consumer", default="")
        size = arguments.integer(message, "event_buffer_size", 0, U32_MAX, default=0)
        room = event_capacity(size, len(configs), edges=False) * uapi.LINE_EVENT_SIZE
        requester = await self._requester(client.peer, client.account, chip, len(configs), room)
        fds, capacity = await chip.request(configs, consumer, size, requester)
        answer = {
            "offsets": offsets,
            "names": [chip.lines[offset].name for offset in offsets],
            "capacity": capacity,
            "timeout_ms": chip.timeout_ms,
        }
        return answer, fds

    async def _keep(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Keep outputs for a user, or give kept ones other values: all of them, or none."""
        if not self._outlives_clients:
            raise OSError(
                errno.EOPNOTSUPP, "a link URL lives in the client's process, and keeps nothing"
            )
        chip = self._addressed(client, message)
        offsets = arguments.offsets(message)
        configs = configs_of(arguments.data(message, "config"), offsets, chip.source_clock)
        consumer = arguments.string(message, "consumer", default="gpio-bridge keep")
        on_restart = arguments.string(message, "on_restart", default="restore")
        if on_restart not in ("restore", "release"):
            raise OSError(errno.EINVAL, f'on_restart is "restore" or "release", not {on_restart!r}')
        for config in configs:
            if not config.output:
                raise OSError(errno.EINVAL, f"line {config.offset}: only outputs can be kept")
            self.keeper.find(chip, config.offset, client.peer)
        new: list[KeptLine] = []
        try:
            for config in configs:
                line = self.keeper.find(chip, config.offset, client.peer)
                if line is not None:
                    await self.keeper.change(line, config, on_restart)
                    continue
                self._policy.check(client.peer, chip, chip.line(config.offset), config)
                grant = await self._take(client.account, 1, 0)
                keep = self.keeper.keep(chip, config, client.peer, consumer, on_restart, grant)
                new.append(await keep)
        except BaseException:
            for line in new:
                await self.keeper.release(line)
            raise
        return {}, ()

    async def _release(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Give kept lines back, also of a chip that is not online and may never be again."""
        offsets = arguments.offsets(message)
        name = arguments.string(message, "chip", default="")
        left = [self.keeper.find_left(name, offset, client.peer) for offset in offsets]
        there = [line for line in left if line is not None]
        if there == left and not self._registry.has(name):
            for line in there:
                await self.keeper.release(line)
            return {}, ()
        chip = self._addressed(client, message)
        lines = []
        for offset in offsets:
            found = self.keeper.find(chip, offset, client.peer)
            if found is None:
                self._policy.need(client.peer, chip, chip.line(offset), "see")
                raise OSError(errno.EINVAL, _not_kept(chip, offset))
            lines.append(found)
        for line in lines:
            await self.keeper.release(line)
        return {}, ()

    async def _requester(
        self, peer: Peer, account: Account, chip: Chip, lines: int, memory: int
    ) -> Requester:
        """A user, with a share of the budget for a line request. Raises OSError, as `_take`."""
        grant = await self._take(account, lines, memory)
        check = functools.partial(self._policy.check, peer, chip)
        return Requester(peer.uid, grant.end, check, functools.partial(self.turns.ask, peer))

    async def _take(self, account: Account, lines: int, memory: int) -> Grant:
        """A line request's share of the budget. Raises OSError, as `Account.take`.

        A user who has reached a limit, and has just closed a request, must not be refused because
        of it: the end of that request is waited for.
        """
        try:
            return account.take(requests=1, lines=lines, memory=memory)
        except OSError:
            ends = [
                asyncio.ensure_future(holder.release())
                for chip in self._registry.all()
                for holder in chip.requests
                if isinstance(holder, LineRequest)
                and holder.requester.uid == account.uid
                and holder.going
            ]
            if not ends:
                raise
            # The tasks themselves are not awaited: when they are cancelled with the chip, this must
            # not be.
            await asyncio.wait(ends)
            return account.take(requests=1, lines=lines, memory=memory)

    async def _status(self, client: Client, message: Mapping[str, Any]) -> Answer:
        chips = {chip.name: chip for chip in self._registry.all()}
        return {**self._service_status(), "kept": self.keeper.status(client.peer, chips)}, ()

    async def _metrics(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """What a chip, its lines and the line requests for them have counted."""
        chip = self._named(client, arguments.string(message, "chip"))
        rights = functools.partial(self._policy.rights, client.peer, chip)
        calls, lines, requests = count_chip(chip)
        seen = [line for line in lines if "see" in rights(line["offset"])]
        shown = [one for one in requests if all("see" in rights(at) for at in one["lines"])]
        return {
            **calls,
            "firmware": await count_firmware(chip),
            "lines": seen[: protocol.COUNTED_MAX],
            "requests": shown[: protocol.COUNTED_MAX],
        }, ()

    async def _trace(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Read along on a link, or on all."""
        name = arguments.string(message, "link", default="")
        self._tracing.check(client.peer)
        links = self._tracing.links(name)
        return {"links": links}, self._tracing.open(client, name)

    async def _last(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """The last records of a link."""
        name = arguments.string(message, "link")
        self._tracing.check(client.peer)
        links = self._tracing.links(name)
        return {"links": links, "records": self._tracing.last(name)}, ()

    async def _wait(self, client: Client, message: Mapping[str, Any]) -> Answer:
        """Answer when a chip is online (or offline), or when there are so many, or others."""
        timeout_ms = arguments.integer(message, "timeout_ms", 0, protocol.WAIT_MS_MAX)
        if "state" in message:
            known = arguments.string(message, "state")

            def state() -> str:
                return _state(self._visible(client, self._registry.all()))

            if not await self._registry.wait(lambda: state() != known, timeout_ms / 1000):
                raise OSError(errno.ETIMEDOUT, f"the chips are the same after {timeout_ms} ms")
            return {"state": state()}, ()
        if "count" in message:
            count = arguments.integer(message, "count", 0, U32_MAX)

            def there() -> int:
                return len(self._visible(client, self._registry.all()))

            if not await self._registry.wait(lambda: there() == count, timeout_ms / 1000):
                raise OSError(
                    errno.ETIMEDOUT,
                    f"there are {there()} chips instead of {count} after {timeout_ms} ms",
                )
            return {}, ()
        if arguments.boolean(message, "settled", default=False):

            def settled() -> bool:
                return self._settled() and len(self._registry) > 0

            if not await self._registry.wait(settled, timeout_ms / 1000):
                raise OSError(errno.ETIMEDOUT, f"not all links are up after {timeout_ms} ms")
            return {}, ()
        name = arguments.string(message, "chip")
        online = arguments.boolean(message, "online", default=True)

        def is_online() -> bool:
            return any(chip.name == name for chip in self._visible(client, self._registry.all()))

        if not await self._registry.wait(lambda: is_online() == online, timeout_ms / 1000):
            wanted = "online" if online else "offline"
            raise OSError(errno.ETIMEDOUT, f'chip "{name}" is not {wanted} after {timeout_ms} ms')
        return {}, ()


def _state(chips: Iterable[Chip]) -> str:
    """A word that is another one for other chips."""
    return f"{hash(tuple(chip.name for chip in chips)) & (1 << 64) - 1:016x}"


def _offsets(chip: Chip, name: str, every: bool) -> list[int]:
    """The lines of a name: the lowest, or every one."""
    return chip.find_all(name) if every else [at for at in [chip.find(name)] if at is not None]


def _not_kept(chip: Chip, offset: int) -> str:
    """Why a line cannot be released."""
    line = chip.line(offset)
    where = line.where(chip.name)
    if line.holder is None:
        return f"{where} is not kept: it is free"
    consumer = printable(line.holder.consumer)
    return f'{where} is not kept: "{consumer}" holds it, and ends that by itself'
