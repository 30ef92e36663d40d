# SPDX-License-Identifier: BSD-3-Clause
"""A guest that goes on with the next service, by way of the service manager's descriptor store.

Four descriptors are kept for an export: memory with what its guest has set up of each line, both
ends of a socket pair that holds the vhost-user messages that set the guest's session up
(bridge/shim/export/kept.h), and the guest's connection. The first three are put there once, and
C keeps up with the guest in them; so it does not matter how the service ends. Only with
another guest there is another connection, and not more than a few of them a second are told to
the manager.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgpack

from bridge.export.selection import Place
from bridge.shim.export import Kept, new_kept

log = logging.getLogger(__name__)

CRASHES_MAX = 3
"""So often in a row a guest is gone on with after a crash: it may be the reason of them."""
LIVED_S = 60.0
"""A service that has had its guest for so long has not crashed because of it."""

FIRST_GUEST = 1
"""Number of the guest that an export goes on with: it counts them."""

_PREFIX = "guest-"  # of the names in the store
_FORMAT = 3


class Store(Protocol):
    """The manager's store; see `bridge.service.fd_store.FdStore`."""

    @property
    def has_manager(self) -> bool:
        """Whether there is one that may keep descriptors."""

    def names(self) -> list[str]:
        """Names of the descriptors that were kept and not inherited."""

    def inherit(self, name: str) -> int | None:
        """A descriptor that was kept; the caller owns it from here on."""

    def put(self, name: str, fd: int) -> bool:
        """Keep a copy of a descriptor; whether the manager took it."""

    def forget(self, name: str) -> bool:
        """Close what is kept under a name; whether the manager took that."""


def let_go_of_strangers(store: Store, exports: Collection[str]) -> None:
    """Close what was kept for guests of exports that are not there any more."""
    for name in store.names():
        if name.startswith(_PREFIX) and name[len(_PREFIX) :].rpartition("-")[0] not in exports:
            _let_go(store, name)


def _let_go(store: Store, name: str) -> None:
    fd = store.inherit(name)
    if fd is not None:
        os.close(fd)
    store.forget(name)


def identity_of(places: Sequence[Place]) -> bytes:
    """The name under which the state of these lines is kept; no other lines have the same."""
    lines = [place.identity for place in places]
    packed: bytes = msgpack.packb({"format": _FORMAT, "lines": lines})
    return packed


class Handover:
    """The guest of one export, from one service to the next.

    Args:
        store: of the manager.
        export: name of the export.
        places: its lines. With other names, or other pins behind them, no guest goes on.

    Attributes:
        identity: of the lines.
        kept: what the export's guest is kept in; None: by nobody.
    """

    def __init__(self, store: Store, export: str, places: Sequence[Place]) -> None:
        self._store = store
        self._export = export
        self._lines, self.identity = len(places), identity_of(places)
        self._guest = -1  # whose connection the manager has: of a service before, if any
        self.kept = self._inherit()
        self._is_new = self.kept is None
        if self.kept is None and store.has_manager:
            self.kept = self._begin()

    def _inherit(self) -> Kept | None:
        fds = [self._store.inherit(self._name(what)) for what in Kept._fields]
        there = [fd for fd in fds if fd is not None]
        if len(there) == len(fds):
            kept = Kept(*there)
            with contextlib.suppress(OSError):  # it is something else
                if kept.is_of(self._lines, self.identity):
                    return kept
        if there:
            log.warning("export %s: it was another one before; its guest is let go", self._export)
        for fd in there:
            os.close(fd)
        return None

    def _begin(self) -> Kept | None:
        for what in (*Kept._fields, "connection"):
            _let_go(self._store, self._name(what))
        try:
            kept = new_kept(self._lines, self.identity)
        except OSError as error:
            log.warning(
                "export %s: its guest will not outlive the service: %s",
                *(self._export, error.strerror),
            )
            return None
        for what, fd in kept._asdict().items():
            self._store.put(self._name(what), fd)
        return kept

    def take(self) -> int | None:
        """The connection of the guest of the service before, the caller's.

        -1: it left, and its lines are to be let go; None: there is nothing to go on with.
        """
        if self.kept is None or self._is_new:
            return None
        connection = self._store.inherit(self._name("connection"))
        if connection is None:
            return -1
        if self.kept.changing:
            self._cut_off(connection, "it was in the middle of changing its queues or memory")
            return None
        self.kept.crashes += 1
        if self.kept.crashes > CRASHES_MAX:
            times = f"{CRASHES_MAX} times soon after it had gone on with it"
            self._cut_off(connection, f"the service has ended {times}")
            return -1
        log.info("export %s: the guest of the service before goes on", self._export)
        self._guest = FIRST_GUEST  # told again, it would not be kept for a moment
        return connection

    def _cut_off(self, connection: int, why: str) -> None:
        log.warning("export %s: the guest of the service before is let go: %s", self._export, why)
        with socket.socket(fileno=connection) as there, contextlib.suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)  # whoever else has it
        self._store.forget(self._name("connection"))

    def lived(self) -> None:
        """The service did not crash, or does not now: whatever happened before is forgotten."""
        if self.kept is not None:
            self.kept.crashes = 0

    def keep(self, guest: int, connection: Callable[[], int]) -> bool:
        """Let the manager have the connection of the guest of now; whether it took it.

        Args:
            guest: its number, 0: there is none.
            connection: gives a copy, or -errno.
        """
        if self.kept is None or guest == self._guest:
            return True
        if not self._store.forget(self._name("connection")):
            return False
        self._guest = 0
        fd = connection() if guest else -1
        if fd < 0:
            return True
        try:
            if not self._store.put(self._name("connection"), fd):
                return False
        finally:
            os.close(fd)
        self._guest = guest
        return True

    def give(self, guest: int, end: Callable[[], int]) -> bool:
        """Let the next service have the guest; whether it can.

        Args:
            guest: its number.
            end: ends the export and returns the guest's connection, or -errno: there is no
                guest, or it has to go.
        """
        if self.kept is None:
            return False
        self.lived()
        connection = end()
        if connection < 0:
            self.keep(0, lambda: -1)
            return False
        if guest == self._guest:
            os.close(connection)
            return True
        return self.keep(guest, lambda: connection)

    def close(self) -> None:
        """Close what is here; the manager has copies."""
        if self.kept is not None:
            self.kept.close()
            self.kept = None

    def _name(self, what: str) -> str:
        return f"{_PREFIX}{self._export}-{what}"
