# SPDX-License-Identifier: BSD-3-Clause
"""A line that is reserved for its consumer after the firmware restarted."""

from __future__ import annotations

import asyncio

from bridge import uapi
from bridge.chips.lender import Lender
from bridge.chips.line import Kept, Line

HOLD_S = 30.0
"""Seconds for which a consumer may come back."""


class Reservation:
    """Holds one line of a chip for a consumer, for `HOLD_S`.

    Args:
        chip: whose line it is.
        line: a free line; it is held when this returns.
        kept: what it was.
    """

    def __init__(self, chip: Lender, line: Line, kept: Kept) -> None:
        self.consumer = kept.consumer
        self.going = False
        self._uid = kept.uid
        self._chip = chip
        self._line = line
        self._timer = asyncio.get_running_loop().call_later(HOLD_S, self._end)
        line.hold(self, kept.config)
        line.kept = kept
        chip.requests.add(self)

    def is_for(self, consumer: str, uid: int | None) -> bool:
        """Whether these are for whom the line is kept: anybody can say such a name."""
        return (consumer, uid) == (self.consumer, self._uid)

    @property
    def whose(self) -> str:
        """The user in a sentence, behind the consumer."""
        return "" if self._uid is None else f" of user id {self._uid}"

    async def release(self) -> None:
        """Free the line."""
        self.hang_up()

    def hang_up(self) -> None:
        """The chip is gone, or the consumer is back."""
        self._timer.cancel()
        self._chip.requests.discard(self)
        if self._line.holder is self:
            self._line.free()

    def _end(self) -> None:
        self.hang_up()
        self._line.kept = None
        self._chip.changed(self._line, uapi.GPIO_V2_LINE_CHANGED_RELEASED)
