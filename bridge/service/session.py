# SPDX-License-Identifier: BSD-3-Clause
"""A link that is up: the channels that its firmware announces."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from bridge import wire
from bridge.chips.tasks import Tasks
from bridge.service.channel import Channel
from bridge.service.link_context import LinkContext
from bridge.service.numbering import Numbering
from bridge.shim.pump import Link, Report, ReportKind

log = logging.getLogger(__name__)

FIRST_ADDRESS = 1024
"""First dynamic rpmsg address (RPMSG_RESERVED_ADDRESSES of the kernel)."""
CHANNELS_MAX = 256
"""Controllers of one link; a firmware that announces more is not believed."""
TOLD_MAX = 8
"""Controllers without a chip that `Session.unusable` tells of."""


class Session:
    """A link from the moment it is up to the moment it is down.

    Args:
        context: of the link.
        opened: what a module of `bridge.link` returned from ``connect``.

    Attributes:
        context: of the link.
        link: the open link.
        addresses: ours that are free.
        tasks: what ends with the session.
        down: resolves to the reason when the link dies.
    """

    def __init__(self, context: LinkContext, opened: Any) -> None:
        self.context = context
        self.down: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.tasks = Tasks()
        self.addresses: Iterator[int] = itertools.count(FIRST_ADDRESS)
        self._channels: dict[tuple[str, int], Channel] = {}
        # Channels announced while another address has the name; a dict, for its order.
        self._waiting: dict[tuple[str, int], None] = {}
        self.numbering = Numbering(context, self._channels)
        dispatcher = context.dispatcher
        self._id = dispatcher.listen(self)
        try:
            self.link: Link = dispatcher.pump.add_link(opened, self._id, context.recorder.trace)
        except OSError:
            dispatcher.forget(self._id)
            raise

    @property
    def settled(self) -> bool:
        """Whether every channel announced so far was negotiated with, whatever came of it."""
        return all(channel.settled for channel in self._channels.values())

    def channels(self) -> list[tuple[str, int]]:
        """Name and address of each controller's channel."""
        return list(self._channels)

    def unusable(self) -> list[dict[str, str]]:
        """The first controllers that are no chips, as the control socket shows them."""
        without = (channel for channel in self._channels.values() if channel.why)
        return [channel.status() for channel in itertools.islice(without, TOLD_MAX)]

    def doubts(self) -> list[str]:
        """Why some controllers may be others than those that had their names, a sentence each."""
        doubts = (channel.place.doubt for channel in self._channels.values() if channel.place)
        return [doubt for doubt in doubts if doubt]

    def reported(self, report: Report) -> None:
        """Handle a report with the link's id."""
        if report.kind == ReportKind.LINK_DOWN:
            for channel in self._channels.values():
                channel.remember()
            if not self.down.done():
                why = report.body.decode("utf-8", "replace").rstrip("\0")
                self.down.set_result(why or "the link broke")
        elif report.kind == ReportKind.LINK_NOTE:
            note = report.body.rstrip(b"\0").decode("utf-8", "replace")
            log.warning("link %s: %s", self.context.name, note)
        elif report.kind == ReportKind.ANNOUNCED:
            name = report.body.rstrip(b"\0").decode("ascii", "backslashreplace")
            if report.value:
                self._created(name, report.number)
            else:
                self._destroyed(name, report.number)
                self._take_up(name)

    def _created(self, name: str, address: int) -> None:
        link = self.context.name
        if not wire.is_controller(name):
            log.info("link %s: channel %r is no GPIO controller, left alone", link, name[:32])
            return
        known = self._channels.get((name, address))
        if known is not None and known.announced_again():
            return
        self._destroyed(name, address)
        if len(self._channels) >= CHANNELS_MAX:
            log.warning("link %s: more than %d channels, %s ignored", link, CHANNELS_MAX, name)
            return
        index = wire.channel_index(name)
        owner = self._owner(index)
        if index is not None and owner is not None and owner.name == name:
            log.warning(
                "link %s: channel %s is announced twice; the one at %#x waits for the other to go",
                link,
                name,
                address,
            )
            self.context.disputed.setdefault(index, owner.address)
            if len(self._waiting) < CHANNELS_MAX:
                self._waiting[name, address] = None
            return
        if index is not None:
            self._claim(index, owner)
        self._channels[name, address] = Channel(self, name, index, address)
        if owner is not None:
            self._created(owner.name, owner.address)

    def _owner(self, index: str | None) -> Channel | None:
        """The channel whose chip has this index in its name."""
        channels = self._channels.values()
        return next((c for c in channels if index is not None and c.index == index), None)

    def _claim(self, index: str, owner: Channel | None) -> None:
        """A channel is called by this index: none on rpmsg-raw can have it as its number."""
        if owner is not None:
            log.warning(
                "link %s: number %s is that of a channel %s%s; %s at %#x gets another one",
                self.context.name,
                index,
                wire.CHANNEL_PREFIX,
                index,
                owner.name,
                owner.address,
            )
            self._destroyed(owner.name, owner.address)
        self.context.claim(index, [c.index for c in self._channels.values() if c.index])

    def _take_up(self, name: str) -> None:
        """The channel of a name is gone: the next one that has it takes its place."""
        for waiting in list(self._waiting):
            if waiting[0] == name and self._owner(wire.channel_index(name)) is None:
                self._created(*waiting)

    def _destroyed(self, name: str, address: int) -> None:
        self._waiting.pop((name, address), None)
        channel = self._channels.pop((name, address), None)
        if channel is not None:
            channel.remember()
            channel.stop()
            self.numbering.discard(channel)

    async def close(self) -> None:
        """Take the chips away and close the link."""
        self.context.dispatcher.forget(self._id)
        channels = list(self._channels.values())
        self._channels.clear()
        await asyncio.gather(*(channel.stop() for channel in channels))
        await self.tasks.stop()
        self.link.close()
