# SPDX-License-Identifier: BSD-3-Clause
"""A chip: what clients see of a controller."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge import uapi, wire
from bridge.chips.controller import Controller, Setup
from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Holder, Line, ReleasePolicy, clip_consumer
from bridge.chips.line_config import LineConfig, event_capacity
from bridge.chips.pin import Pin
from bridge.chips.request import LineRequest
from bridge.chips.requester import NOBODY, Requester
from bridge.chips.reservation import Reservation
from bridge.chips.tasks import Tasks
from bridge.chips.watchers import Watchers
from bridge.clock_info import ClockInfo
from bridge.shim.pump import LineFds, LineForm, RequestFds


@dataclass(frozen=True)
class Identity:
    """What a chip is called and where it comes from.

    Attributes:
        name: unique in the service, ``<link>-<index>``.
        label: free text.
        link: name of the link.
        channel: name of the rpmsg channel.
        address: the firmware's rpmsg endpoint, None without one.
        known_by: ``index``, ``label`` or ``address``: what the firmware says that makes it
            the same controller after a restart; ``nothing`` where it may be another one.
    """

    name: str
    label: str
    link: str
    channel: str
    address: int | None = None
    known_by: str = "index"

    @property
    def unnumbered_address(self) -> int | None:
        """The address where the channel has no index, so that another number may be given."""
        return None if self.known_by == "index" else self.address


class Chip:
    """Lines of one controller and who holds them.

    Args:
        dispatcher: of the service.
        identity: names of the chip.
        pins: of all lines by offset, at least one.
        setup: outcome of the negotiation.
        on_release: what becomes of lines that are given back.
        controller: whose lines these are, negotiated and open; the chip closes it. None for
            a chip that is put together out of lines of others.

    Attributes:
        online: False from `remove` on.
        lines: all lines by offset.
        requests: line requests and exports that hold lines.
        watchers: clients that have the chip open.
        source_clock: whether edges have the coprocessor's own time (TIMESTAMP).
        timeout_ms: deadline of one request to the firmware in milliseconds.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        identity: Identity,
        pins: Sequence[Pin],
        setup: Setup,
        on_release: ReleasePolicy,
        controller: Controller | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.identity = identity
        self.pins = pins
        self.controller = controller
        self.online = True
        self.tasks = Tasks()
        self.requests: set[Holder] = set()
        self.watchers = Watchers()
        self._setup = setup
        self._controllers = {pin.controller for pin in pins}
        self.source_clock = all(one.features & wire.F_TIMESTAMP for one in self._controllers)
        self.timeout_ms = pins[0].controller.timeout_ms
        self.lines = [
            Line(offset, name, direction, on_release.of(name))
            for offset, (name, direction) in enumerate(
                zip(setup.names, setup.directions, strict=True)
            )
        ]
        self._by_name: dict[str, int] = {}
        for line in self.lines:
            if line.name is not None:
                self._by_name.setdefault(line.name, line.offset)

    @property
    def name(self) -> str:
        """Name of the chip."""
        return self.identity.name

    def clock(self) -> ClockInfo:
        """What is known of the coprocessor's clock.

        Raises:
            OSError: ENODEV, the chip is gone; EOPNOTSUPP, the firmware stamps no edges,
                or the lines are of several coprocessors.
        """
        self.check_online()
        if not self.source_clock:
            raise OSError(
                errno.EOPNOTSUPP,
                f"the firmware of chip {self.name} does not stamp edges (TIMESTAMP)",
            )
        if len(self._controllers) > 1:
            raise OSError(
                errno.EOPNOTSUPP,
                f"chip {self.name} has lines of several controllers, each with a clock; "
                "ask the chips that the lines are from",
            )
        return self.pins[0].controller.clock()

    def info(self) -> dict[str, object]:
        """The chip as the control socket shows it."""
        return {
            "name": self.identity.name,
            "label": self.identity.label,
            "num_lines": len(self.lines),
            "link": self.identity.link,
            "channel": self.identity.channel,
            "address": self.identity.address,
            "known_by": self.identity.known_by,
            "dialect": self._setup.dialect,
            "features": wire.feature_names(self._setup.features),
            "epoch": self._setup.epoch,
        }

    def find(self, name: str) -> int | None:
        """Offset of the first line called `name`, None when there is none."""
        return self._by_name.get(name)

    def find_all(self, name: str) -> list[int]:
        """Offsets of all lines called `name`: configured names may occur twice."""
        if name not in self._by_name:
            return []
        return [line.offset for line in self.lines if line.name == name]

    def find_only(self, name: str | None) -> int | None:
        """Offset of the one line called `name`, None when none or several are."""
        found = self.find_all(name) if name is not None else []
        return found[0] if len(found) == 1 else None

    @property
    def line_names(self) -> Iterable[str]:
        """The names that `find` knows."""
        return self._by_name

    def line(self, offset: int) -> Line:
        """The line at `offset`.

        Raises:
            OSError: EINVAL, there is no such line; ENODEV, the chip is gone.
        """
        self.check_online()
        if offset >= len(self.lines):
            raise OSError(
                errno.EINVAL,
                f"chip {self.name} has no line {offset}; it has {len(self.lines)} lines, from 0",
            )
        return self.lines[offset]

    def check_online(self) -> None:
        """Raise OSError ENODEV when the chip is gone."""
        if not self.online:
            raise OSError(errno.ENODEV, f"chip {self.name} is gone")

    def changed(self, line: Line, event: int) -> None:
        """Tell the watchers of a line, as `Watchers.changed`."""
        self.watchers.changed(line, event)

    # ---- requests -----------------------------------------------------------

    async def request(
        self,
        configs: Sequence[LineConfig],
        consumer: str,
        event_buffer_size: int,
        requester: Requester = NOBODY,
        form: LineForm | None = None,
    ) -> tuple[RequestFds | LineFds, int]:
        """Take lines exclusively, as GPIO_V2_GET_LINE_IOCTL does.

        Args:
            configs: 1 to 64 lines in request order.
            consumer: who asks; cut to 31 bytes.
            event_buffer_size: event records, 0 is the kernel's default.
            requester: whose request it is.
            form: of a descriptor as the GPIO character device's; None for those of the
                control socket.

        Returns:
            The client's descriptors and the capacity of the event buffer.

        Raises:
            OSError: EINVAL, EBUSY, ENXIO, EOPNOTSUPP by the kernel's rules;
                EACCES the requester may not; ETIMEDOUT, EIO, ENODEV from the firmware.
        """
        try:
            self._check(configs)
            capacity = event_capacity(
                event_buffer_size, len(configs), any(config.edges for config in configs)
            )
            consumer = clip_consumer(consumer)
            await self._wait_until_free(configs, consumer, requester)
            wanted = [(self.lines[c.offset], self.pins[c.offset], c) for c in configs]
            request = LineRequest(self, consumer, wanted, event_buffer_size, requester)
        except BaseException:
            requester.ended()
            raise
        self.requests.add(request)
        return await request.set_up(capacity, form), capacity

    def _check(self, configs: Sequence[LineConfig]) -> None:
        if not 1 <= len(configs) <= uapi.GPIO_V2_LINES_MAX:
            raise OSError(
                errno.EINVAL,
                f"a request takes 1 to {uapi.GPIO_V2_LINES_MAX} lines, not {len(configs)}",
            )
        for config in configs:
            config.check(self.source_clock)

    async def _wait_until_free(
        self, configs: Sequence[LineConfig], consumer: str, requester: Requester
    ) -> None:
        """Return without a further await once every line is free.

        A line that its holder is releasing is waited for: a client that has closed its request and
        asks again must not be refused because of itself.
        """
        while (going := self._obstacle(configs, consumer, requester)) is not None:
            # The task itself is not awaited: when it is cancelled with the chip, this must not be.
            await asyncio.wait((asyncio.ensure_future(going.release()),))
        for config in configs:
            kept = self.lines[config.offset].holder
            if kept is not None:
                kept.hang_up()  # only now, so that nobody else gets the line in between

    def _obstacle(
        self, configs: Sequence[LineConfig], consumer: str, requester: Requester
    ) -> Holder | None:
        """The holder that is releasing a line; raises when the lines cannot be had.

        Lines that are reserved for this consumer of this user do not hinder it.
        """
        self.check_online()
        seen: set[int] = set()
        for config in configs:
            line = self.line(config.offset)
            if config.offset in seen:
                raise OSError(errno.EBUSY, f"line {line.describe()} is requested twice")
            seen.add(config.offset)
            requester.check(line, config)
            holder = line.holder
            if holder is None or holder.going:
                continue
            if isinstance(holder, LineRequest) and holder.requester.keeps:
                whose = f" of user id {holder.requester.uid} (gpio-bridge release ends that)"
                raise line.busy(self.name, "kept by", whose)
            if not isinstance(holder, Reservation):
                raise line.busy(self.name)
            if not holder.is_for(consumer, requester.uid):
                raise line.busy(self.name, "kept for", holder.whose)
        holders = (self.lines[config.offset].holder for config in configs)
        return next((holder for holder in holders if holder is not None and holder.going), None)

    async def remove(self) -> None:
        """Take the chip away: clients see HUP and ENODEV, pins stay as they are."""
        self.online = False
        for request in list(self.requests):
            request.hang_up()
        self.watchers.hang_up()
        if self.controller is not None:
            self.controller.close()
        await self.tasks.stop()
