# SPDX-License-Identifier: BSD-3-Clause
"""The user of a program that has a chip open as a character device."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bridge.chips.chip import Chip
from bridge.chips.line import Line
from bridge.chips.requester import Requester
from bridge.service.access import Policy
from bridge.service.budgets import Account, Grant
from bridge.service.client import Client
from bridge.service.turns import Turns

Take = Callable[[Account, int, int], Awaitable[Grant]]
"""A line request's share of a budget: so many lines, so many bytes. Raises OSError."""


class Visitor:
    """A `bridge.export.cdev.Visitor`.

    It outlives the connection that opened the chip, as a descriptor does in the kernel.

    Args:
        client: who opens the chip.
        policy: what users may do.
        turns: whose ioctl is next.
        take: gives a share of the user's budget.

    Attributes:
        turn: calls something when it is this user's turn.

    Raises:
        OSError: EMFILE, the user has all that the limits allow.
    """

    def __init__(self, client: Client, policy: Policy, turns: Turns, take: Take) -> None:
        self._peer = client.peer
        self._account = client.account
        self._policy = policy
        self.turn = functools.partial(turns.ask, client.peer)
        self._take = take
        self._grant = client.account.take(connections=1, handles=1)

    def info(self, chip: Chip, line: Line) -> Mapping[str, Any]:
        """A line as it is shown to this user."""
        return self._policy.info(self._peer, chip, line)

    def check_watch(self, chip: Chip, line: Line) -> None:
        """Raise OSError EACCES when this user may not watch a line."""
        self._policy.need(self._peer, chip, line, "watch")

    async def requester(self, chip: Chip, lines: int, memory: int) -> Requester:
        """This user's share of the budget for a line request. Raises OSError."""
        grant = await self._take(self._account, lines, memory)
        check = functools.partial(self._policy.check, self._peer, chip)
        return Requester(self._peer.uid, grant.end, check, self.turn)

    def left(self) -> None:
        """The chip is closed."""
        self._grant.end()
