# SPDX-License-Identifier: BSD-3-Clause
"""A guest that goes on with the next service, by way of the service manager's descriptor store.

Three descriptors are kept: the guest's connection, and both ends of a socket pair that holds
what the next service must know: a header, what the guest has set up of each line
(bridge/shim/export/export.h), then the vhost-user messages that set the guest's session up,
with their descriptors (firmware_stub/host/virtio/vhost_user_handover.h).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import msgpack

from bridge.export.selection import Place

log = logging.getLogger(__name__)

_PREFIX = "guest-"  # of the names in the store
_FORMAT = 2


class Store(Protocol):
    """The manager's store; see `bridge.service.fd_store.FdStore`."""

    def names(self) -> list[str]:
        """Names of the descriptors that were kept and not taken."""

    def take(self, name: str) -> int | None:
        """A descriptor that was kept; the caller owns it from here on."""

    def put(self, name: str, fd: int) -> bool:
        """Keep a copy of a descriptor; whether there is a manager."""


def let_go_of_strangers(store: Store, exports: Collection[str]) -> None:
    """Close what was kept for guests of exports that are not there any more."""
    for name in store.names():
        if name.startswith(_PREFIX) and name[len(_PREFIX) :].rpartition("-")[0] not in exports:
            fd = store.take(name)
            if fd is not None:
                os.close(fd)


def identity_of(places: Sequence[Place]) -> bytes:
    """The name under which the state of these lines is kept; no other lines have the same."""
    lines = [place.identity for place in places]
    packed: bytes = msgpack.packb({"format": _FORMAT, "lines": lines})
    return packed


class Kept(NamedTuple):
    """A guest of the service before.

    Attributes:
        connection: with the guest's front-end; -1: it left while there was no service.
        state: socket that says how it was left.
    """

    connection: int
    state: int


class Handover:
    """The guest of one export, from one service to the next.

    Args:
        store: of the manager.
        export: name of the export.
        places: its lines. With other names, or other pins behind them, no guest goes on.
    """

    def __init__(self, store: Store, export: str, places: Sequence[Place]) -> None:
        self._store = store
        self._export = export
        self._header = identity_of(places)

    def take(self) -> Kept | None:
        """The guest of the service before, whose descriptors the caller owns; None: none."""
        found = [self._store.take(self._name(what)) for what in ("connection", "read", "write")]
        connection, read, write = found
        with contextlib.ExitStack() as stack:
            for fd in found:
                if fd is not None:
                    stack.callback(os.close, fd)
            if read is None or write is None:
                return None
            if not self._header_fits(read):
                log.warning(
                    "export %s: it was another one before; its guest is let go", self._export
                )
                return None
            # The manager drops a connection whose other end is gone.
            return Kept(-1 if connection is None else os.dup(connection), os.dup(read))

    def _header_fits(self, fd: int) -> bool:
        with socket.socket(fileno=os.dup(fd)) as state:
            state.setblocking(False)
            try:
                return state.recv(len(self._header), socket.MSG_WAITALL) == self._header
            except OSError:
                return False

    def give(self, end: Callable[[int], int]) -> bool:
        """Let the next service have the guest; whether there is a manager that keeps it.

        Args:
            end: ends the export, writes the guest's state to a socket and returns its
                connection, or -errno: there is no guest, or it has to go.
        """
        try:
            return self._give(end)
        except OSError as error:
            log.warning("export %s: its guest is let go: %s", self._export, error.strerror)
            return False

    def _give(self, end: Callable[[int], int]) -> bool:
        theirs, ours = socket.socketpair()
        with theirs, ours:
            ours.setblocking(False)
            ours.sendall(self._header)
            connection = end(ours.fileno())
            if connection < 0:
                return False
            kept = {"read": theirs.fileno(), "write": ours.fileno(), "connection": connection}
            try:
                return all([self._store.put(self._name(what), fd) for what, fd in kept.items()])
            finally:
                os.close(connection)

    def _name(self, what: str) -> str:
        return f"{_PREFIX}{self._export}-{what}"
