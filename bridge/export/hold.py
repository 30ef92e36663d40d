# SPDX-License-Identifier: BSD-3-Clause
"""Lines of one chip that an export or an aggregate holds."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bridge.chips.chip import Chip
from bridge.chips.line_config import LineConfig


class HoldOwner(Protocol):
    """The export or aggregate for which lines are held."""

    consumer: str

    def lost(self, chip: Chip) -> None:
        """The chip is gone, or its lines are let go."""


class Hold:
    """The lines of one chip that an owner has; a `bridge.chips.line.Holder`."""

    def __init__(self, owner: HoldOwner, chip: Chip) -> None:
        self.consumer = owner.consumer
        self.going = False
        self._owner = owner
        self._chip = chip
        self._offsets: list[int] = []
        chip.requests.add(self)

    def take(self, offset: int) -> None:
        """Hold a line. Raises OSError EBUSY when somebody has it."""
        line = self._chip.lines[offset]
        if line.holder is not None:
            raise line.busy(self._chip.name)
        line.hold(self, LineConfig(offset, 0))
        self._offsets.append(offset)

    def release(self) -> asyncio.Future[None]:
        """Let the lines go at once."""
        self.hang_up()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def hang_up(self) -> None:
        """The chip is gone: whoever uses the lines gets errors."""
        self._owner.lost(self._chip)
        for offset in self._offsets:
            if self._chip.lines[offset].holder is self:
                self._chip.lines[offset].free()
        self._offsets.clear()
        self._chip.requests.discard(self)
