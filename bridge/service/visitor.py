# SPDX-License-Identifier: BSD-3-Clause
"""The user of a program that has a chip open as a character device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from bridge.chips.chip import Chip
from bridge.chips.line import Line
from bridge.chips.requester import Requester
from bridge.service.access import Policy
from bridge.service.budgets import Account
from bridge.service.client import Client
from bridge.service.peer import Peer
from bridge.service.turns import Turns

NewRequester = Callable[[Peer, Account, Chip, int, int], Coroutine[Any, Any, Requester]]
"""A user, with a share of the budget for so many lines and bytes of a chip. Raises OSError."""


class Visitor:
    """A `bridge.export.cdev.Visitor`.

    It outlives the connection that opened the chip, as a descriptor does in the kernel.

    Args:
        client: who opens the chip.
        policy: what users may do.
        turns: whose ioctl is next.
        new_requester: gives the user a share of the budget for a line request.

    Attributes:
        turn: calls something when it is this user's turn.
        requester: this user, with a share of the budget for a line request: awaits so many lines
            and bytes of a chip.

    Raises:
        OSError: EMFILE, the user has all that the limits allow.
    """

    def __init__(
        self, client: Client, policy: Policy, turns: Turns, new_requester: NewRequester
    ) -> None:
        self._peer = client.peer
        self._policy = policy
        self.turn = functools.partial(turns.ask, client.peer)
        self.requester = functools.partial(new_requester, client.peer, client.account)
        self._grant = client.account.take(connections=1, handles=1)

    def info(self, chip: Chip, line: Line) -> Mapping[str, Any]:
        """A line as it is shown to this user."""
        return self._policy.info(self._peer, chip, line)

    def check_watch(self, chip: Chip, line: Line) -> None:
        """Raise OSError EACCES when this user may not watch a line."""
        self._policy.need(self._peer, chip, line, "watch")

    def left(self) -> None:
        """The chip is closed."""
        self._grant.end()
