# SPDX-License-Identifier: BSD-3-Clause
"""One client of the control socket, and what it has open."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from bridge.chips.chip import Chip
from bridge.chips.watchers import Watcher
from bridge.control_protocol import HANDLES_MAX
from bridge.service import arguments
from bridge.service.budgets import Account, Grant
from bridge.service.peer import Peer


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
        self._open: dict[int, tuple[Chip, Watcher, Grant]] = {}
        self._closed = False
        self._ends: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Number of open chips."""
        return len(self._open)

    def open(self, chip: Chip) -> tuple[int, Watcher]:
        """Open a chip; its handle, and the client's view of it.

        Raises:
            OSError: EMFILE, ENOBUFS a limit is reached; ENODEV the chip is gone.
        """
        self.check_open()
        if len(self._open) >= HANDLES_MAX:
            raise OSError(errno.EMFILE, f"this connection has {HANDLES_MAX} chips open; close some")
        grant = self.account.take(handles=1)
        try:
            chip.check_online()
            watcher = chip.watchers.open()
        except BaseException:
            grant.end()
            raise
        handle = next(self._handles)
        self._open[handle] = chip, watcher, grant
        return handle, watcher

    def get(self, message: Mapping[str, Any]) -> tuple[Chip, Watcher]:
        """The open chip of an argument `handle`, and the view of it. Raises OSError EBADF."""
        handle = arguments.integer(message, "handle", 0, 2**63 - 1)
        if handle not in self._open:
            raise OSError(errno.EBADF, f"this connection has no open chip {handle}")
        chip, watcher, _ = self._open[handle]
        return chip, watcher

    def discard(self, message: Mapping[str, Any]) -> None:
        """Close the open chip of an argument `handle`. Raises OSError EBADF."""
        self.get(message)
        self._let_go(message["handle"])

    def _let_go(self, handle: int) -> None:
        _, watcher, grant = self._open.pop(handle)
        watcher.close()
        grant.end()

    def check_open(self) -> None:
        """Raise OSError ECANCELED when the client is gone."""
        if self._closed:
            raise OSError(errno.ECANCELED, "the client hung up")

    def at_end(self, end: Callable[[], None]) -> None:
        """Have something ended with the connection."""
        self._ends.append(end)

    def close(self) -> None:
        """The client is gone."""
        self._closed = True
        for end in self._ends:
            end()
        for handle in list(self._open):
            self._let_go(handle)
        self._grant.end()
