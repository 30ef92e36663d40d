# SPDX-License-Identifier: BSD-3-Clause
"""Who the controllers of a session are: their places, and the numbers of those without one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bridge.service.channel import Channel
from bridge.service.link_context import LinkContext
from bridge.service.roster import Place

# Other controllers on rpmsg-raw may take so many seconds to say who they are, so that a silent one
# stops nobody.
_TELLING_S = 2.0


class Numbering:
    """Gives each controller its place as it tells who it is.

    Args:
        context: of the link.
        channels: that are announced, as they come and go.
    """

    def __init__(self, context: LinkContext, channels: Mapping[tuple[str, int], Channel]) -> None:
        self._context = context
        self._channels = channels
        # For channels rpmsg-raw: the label, and the future for the number.
        self._unnumbered: dict[Channel, tuple[str, asyncio.Future[Place]]] = {}
        self._mute: set[Channel] = set()

    async def place(self, channel: Channel, label: str) -> Place:
        """Decide who a controller is, after its firmware has told what it tells.

        A new controller on rpmsg-raw waits until all that are announced have told theirs, so that
        their addresses give the order, and not the moment at which each came; but it does not wait
        for ever.
        """
        if channel.own_index is not None:
            return self._place_of_index(channel, channel.own_index)
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Place] = loop.create_future()
        self._unnumbered[channel] = label, decided
        overdue = loop.call_later(_TELLING_S, self._number_without_the_mute)
        try:
            self.give_numbers()
            return await decided
        finally:
            overdue.cancel()
            self._unnumbered.pop(channel, None)

    def _number_without_the_mute(self) -> None:
        self._mute.update(channel for channel in self._channels.values() if channel.undecided)
        self.give_numbers()

    def _place_of_index(self, channel: Channel, index: str) -> Place:
        before = self._context.disputed.get(index)
        if before is None:
            return Place(index, "index")
        self._context.disputed[index] = channel.address
        if before == channel.address:
            return Place(index, "address")
        doubt = (
            f"chip {self._context.name}-{index}: {channel.name} was announced at several "
            f"addresses at once; now it is at {channel.address:#x}, and not at {before:#x} as "
            "before: nothing is restored or held on it"
        )
        return Place(index, "nothing", doubt)

    def give_numbers(self) -> None:
        """To those on rpmsg-raw that were there before, and to new ones when all are known."""
        ready = sorted(self._unnumbered, key=lambda channel: channel.address)
        for moved in (False, True):
            if moved and any(c.undecided for c in self._channels.values() if c not in self._mute):
                return
            for channel in ready:
                label, decided = self._unnumbered[channel]
                if not decided.done():
                    roster, present = self._context.roster, self._present(channel)
                    found = roster.recognize(channel.address, label, present, moved=moved)
                    self._decide(channel, decided, found)
        for channel in ready:
            label, decided = self._unnumbered[channel]
            if not decided.done():
                present = self._present(channel)
                roster = self._context.roster
                taken = self._context.indexes
                self._decide(channel, decided, roster.admit(channel.address, label, present, taken))
                roster.forget_some({*present, str(channel.index)})

    def _present(self, channel: Channel) -> set[str]:
        """The numbers of all the others."""
        others = (c.index for c in self._channels.values() if c is not channel)
        return {index for index in others if index is not None}

    @staticmethod
    def _decide(channel: Channel, decided: asyncio.Future[Place], place: Place | None) -> None:
        if place is not None:
            channel.index = place.number  # before the next one asks who is present
            decided.set_result(place)

    def discard(self, channel: Channel) -> None:
        """A channel is gone: nobody need wait for it any more."""
        self._unnumbered.pop(channel, None)
        self._mute.discard(channel)
        self.give_numbers()
