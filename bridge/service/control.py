# SPDX-License-Identifier: BSD-3-Clause
"""The control socket: one msgpack map a packet (docs/control.md)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket

import msgpack

from bridge.chips.tasks import Tasks
from bridge.control_protocol import PACKET_MAX, failure
from bridge.service.budgets import Budgets, Limits
from bridge.service.chip_links import ChipLinks
from bridge.service.client import Client
from bridge.service.connection import Connection
from bridge.service.operations import Operations
from bridge.service.peer import peer_of
from bridge.service.registry import Registry
from bridge.service.watch import FileWatch
from bridge.socket_file import bind

log = logging.getLogger(__name__)

PEERS_MAX = 64
"""Processes that `ControlServer.peers` tells of."""

# So many clients that are gone already are closed before others have their turn; one that is still
# there ends the turn: on a busy CPU a client could come again and again within it.
_ACCEPT_BATCH = 32
_ACCEPT_PAUSE_S = 1.0
# Linux 6.16, <asm-generic/socket.h>; Python does not name it.
_SO_PASSRIGHTS = 83
# These errors of accept(2) say that something has run out here.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class ControlServer:
    """Listens, and has the connections.

    Args:
        operations: what the clients can ask.
        limits: what one user may have at once.
        registry: the chips that are online.
    """

    def __init__(self, operations: Operations, limits: Limits, registry: Registry) -> None:
        self.operations = operations
        self._registry = registry
        self._links: ChipLinks | None = None
        self.budgets = Budgets(limits)
        self.tasks = Tasks()
        # Shared by all connections: a packet is parsed before the next one is read.
        self.buffer = bytearray(PACKET_MAX + 1)
        self._connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._path = ""
        self.reachable = True  # by the socket's path
        self._inode = (0, 0)
        self._accepting: asyncio.TimerHandle | None = None

    @property
    def clients(self) -> int:
        """Number of connections."""
        return len(self._connections)

    def peers(self) -> list[dict[str, object]]:
        """The processes that are connected, those with most connections first."""
        found: dict[tuple[int, int, str], dict[str, int]] = {}
        for connection in self._connections:
            peer = found.setdefault(connection.peer, {"connections": 0, "chips": 0})
            peer["connections"] += 1
            peer["chips"] += connection.chips
        most = sorted(found.items(), key=lambda item: (-item[1]["connections"], item[0]))
        return [
            {"pid": pid, "uid": uid, "client": name, **counts}
            for (pid, uid, name), counts in most[:PEERS_MAX]
        ]

    def listen(self, path: str, mode: int, group: str | None) -> None:
        """Create the socket; arguments and errors as `bridge.socket_file.bind`."""
        self._socket = bind(path, mode, group)
        _take_no_descriptors(self._socket)  # nor do the connections, from the first packet on
        self._path = path
        found = os.stat(path)
        self._inode = (found.st_dev, found.st_ino)
        log.info("listening on %s", path)
        self.tasks.spawn(self._watch_file(), "watch of the control socket's file")
        links = self._links = ChipLinks(path)
        self._registry.observe(lambda: links.update({chip.name for chip in self._registry.all()}))
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    @property
    def _named(self) -> bool:
        """Whether the path still leads to our socket."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    async def _watch_file(self) -> None:
        """Log it when somebody removes the file: nobody would notice that for a long time."""
        watch = FileWatch(self._path)
        try:
            while self._named:
                await watch.changed(None)
                watch.again()
        finally:
            watch.close()
        self.reachable = False
        log.error(
            "control socket: somebody removed or replaced %s; nobody new can connect until the "
            "service is started again",
            self._path,
        )

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connected socket."""
        connection.setblocking(False)
        _take_no_descriptors(connection)
        try:
            peer = peer_of(connection)
            account = self.budgets.account(peer.uid)
            grant = account.take(connections=1)
        except OSError as error:
            log.warning("control socket: a client refused: %s", error.strerror)
            _turn_away(connection, error)
            return
        self._connections.add(Connection(self, connection, Client(peer, account, grant)))

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Whether another one may wait, and its turn is now."""
        assert self._socket is not None
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            # The client that waits would otherwise wake us without end.
            log.warning("control socket: %s; no new clients for a moment", error.strerror)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._accepting = loop.call_later(
                _ACCEPT_PAUSE_S, loop.add_reader, self._socket, self._accept
            )
            return False
        if _is_gone(connection):
            connection.close()
            return True
        self.adopt(connection)
        return False

    async def stop(self) -> None:
        """Close everything and remove the socket's file if it is still ours."""
        if self._socket is not None:
            if self._accepting is not None:
                self._accepting.cancel()
            asyncio.get_running_loop().remove_reader(self._socket)
            self._remove_files()  # while we still listen, so that nobody takes the path meanwhile
            self._socket.close()
            self._socket = None
        for connection in list(self._connections):
            connection.close()
        await self.tasks.stop()

    def _remove_files(self) -> None:
        ours = self._named
        if ours:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        if self._links is not None:
            if ours:
                self._links.remove()
            else:
                self._links.leave()


def _is_gone(sock: socket.socket) -> bool:
    """Whether the client hung up before its turn came; so a flood of them costs little."""
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _take_no_descriptors(sock: socket.socket) -> None:
    """Where the kernel can, a client that sends some gets EPERM; elsewhere they are dropped."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def _turn_away(sock: socket.socket, error: OSError) -> None:
    """Say why, and hang up."""
    with contextlib.suppress(OSError):
        sock.send(msgpack.packb(failure(None, error)), socket.MSG_NOSIGNAL)
    sock.close()
