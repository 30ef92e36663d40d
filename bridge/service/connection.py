# SPDX-License-Identifier: BSD-3-Clause
"""One connection of the control socket: packets in, packets out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import termios
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import msgpack

from bridge.chips.tasks import Tasks
from bridge.control_protocol import (
    HELLO,
    OUTSTANDING_MAX,
    PACKET_MAX,
    UNSENT_MAX,
    failure,
    success,
)
from bridge.service.client import Client
from bridge.service.operations import Operations

log = logging.getLogger(__name__)

# The most memory that Python needs for a byte of a packet: an empty map, and its place in a list.
_OBJECT_BYTES = 72


class Server(Protocol):
    """The owner of connections: `bridge.service.control.ControlServer`."""

    operations: Operations
    tasks: Tasks
    buffer: bytearray

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""


class Connection:
    """One client."""

    def __init__(self, server: Server, sock: socket.socket, client: Client) -> None:
        self._server = server
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._greeted = False
        self._closed = False
        self._closing = False  # after what is unsent
        self._held = False  # a packet waits for its turn
        self._client = client
        self._running: set[asyncio.Task[None]] = set()
        self._hangup: select.epoll | None = None  # while nothing is read
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._unsent_bytes = 0
        self._unread = 0  # bytes that count as the user's: unsent, or sent and not read
        client.account.relieve.add(self._relieve)
        self._loop.add_reader(sock, self._readable)

    @property
    def peer(self) -> tuple[int, int, str]:
        """Process and user id of the client, and what it calls itself."""
        return self._client.peer.pid, self._client.peer.uid, self._client.name

    @property
    def chips(self) -> int:
        """Number of chips that it has open."""
        return len(self._client)

    def close(self) -> None:
        """Close at once; what the client requested stays until it lets go of it."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._forget_hangup()
        for _, fds in self._unsent:
            _close_all(fds)
        self._unsent.clear()
        self._client.account.relieve.discard(self._relieve)
        self._client.account.move_memory(-self._unread)
        # Nobody waits for the answers; a request that is half done is undone.
        for task in self._running:
            task.cancel()
        self._client.close()
        self._socket.close()
        self._server.discard(self)

    # ---- in -----------------------------------------------------------------

    def _readable(self) -> None:
        """Take one packet when it is our turn, and ask for no other turn until then."""
        if not self._server.operations.turns.ask(self._client.peer, self._speak):
            self._loop.remove_reader(self._socket)
            self._held = True

    def _speak(self) -> None:
        if self._closed:
            return
        if self._held:
            self._loop.add_reader(self._socket, self._readable)
            self._held = False
        self._take_packet()

    def _take_packet(self) -> None:
        buffer = self._server.buffer
        try:
            # The kernel drops descriptors that a client sends along, since no room is offered for
            # them.
            length = self._socket.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            length = 0
        if length == 0:
            self.close()
        elif length > PACKET_MAX:
            self._refuse(errno.EMSGSIZE, f"a packet holds at most {PACKET_MAX} bytes")
        else:
            try:
                self._packet(memoryview(buffer)[:length], length * _OBJECT_BYTES)
            except MemoryError:
                self._out_of_memory(None)

    def _packet(self, packet: memoryview, cost: int) -> None:
        try:
            message = msgpack.unpackb(packet, raw=False, strict_map_key=True)
        except MemoryError:
            raise
        except Exception:  # the decoder may raise anything for a hostile packet
            self._refuse(errno.EBADMSG, "the packet is not valid msgpack")
            return
        if not isinstance(message, dict):
            self._refuse(errno.EBADMSG, "a request is a map with seq and op")
            return
        seq = message.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool):
            self._refuse(errno.EBADMSG, "a request needs an integer seq")
            return
        op = message.get("op")
        if not isinstance(op, str):
            self._fail(seq, OSError(errno.EINVAL, "a request needs op, the name of an operation"))
        elif not self._greeted and op != HELLO:
            self._fail(seq, OSError(errno.EPROTO, f'the first op must be hello, not "{op[:32]}"'))
        else:
            self._start(seq, op, message, cost)

    def _start(self, seq: int, op: str, message: dict[str, Any], cost: int) -> None:
        try:
            self._client.account.move_memory(cost)
        except OSError as error:
            self._fail(seq, error)
            return
        task = self._server.tasks.spawn(self._run(seq, op, message), f"control {op[:32]}")
        self._running.add(task)
        task.add_done_callback(lambda task: self._finished(task, cost))
        if len(self._running) >= OUTSTANDING_MAX:
            self._pause()

    async def _run(self, seq: int, op: str, message: dict[str, Any]) -> None:
        try:
            await self._do(seq, op, message)
        except MemoryError:
            self._out_of_memory(seq)

    async def _do(self, seq: int, op: str, message: dict[str, Any]) -> None:
        try:
            answer, fds = await self._server.operations.run(self._client, op, message)
        except OSError as error:
            self._fail(seq, error)
        except MemoryError:
            raise
        except Exception:
            log.exception("control socket: %s failed", op[:32])
            self._fail(seq, OSError(errno.EIO, "internal error in the service; see its log"))
        else:
            self._greeted = True
            self._send(success(seq, answer), fds)

    def _out_of_memory(self, seq: int | None) -> None:
        try:
            self._fail(seq, OSError(errno.ENOMEM, "the service has no memory for this"))
        except MemoryError:  # a hangup is an answer, too
            self.close()

    def _finished(self, task: asyncio.Task[None], cost: int) -> None:
        self._running.discard(task)
        self._client.account.move_memory(-cost)
        room = len(self._running) == OUTSTANDING_MAX - 1
        if room and not self._closed and not self._closing:
            self._resume()

    def _pause(self) -> None:
        """Read no more for now, but notice when the client hangs up."""
        self._loop.remove_reader(self._socket)
        with contextlib.suppress(OSError):  # no descriptor for it: noticed later, then
            self._hangup = select.epoll()
            self._hangup.register(self._socket, 0)  # HUP is reported, asked for or not
            self._loop.add_reader(self._hangup, self.close)

    def _resume(self) -> None:
        self._forget_hangup()
        self._loop.add_reader(self._socket, self._readable)

    def _forget_hangup(self) -> None:
        hangup, self._hangup = self._hangup, None
        if hangup is not None:
            self._loop.remove_reader(hangup)
            hangup.close()

    # ---- out ----------------------------------------------------------------

    def _fail(self, seq: int | None, error: OSError) -> None:
        self._send(failure(seq, error))

    def _refuse(self, number: int, sentence: str) -> None:
        """Answer a packet that cannot be read, and hang up."""
        self._loop.remove_reader(self._socket)
        self._fail(None, OSError(number, sentence))
        if self._unsent:
            self._closing = True
        else:
            self.close()

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a packet and give up the descriptors that go with it."""
        try:
            packet = msgpack.packb(message)
        except BaseException:
            _close_all(fds)
            raise
        if self._closed or self._closing:
            _close_all(fds)
        elif len(packet) > PACKET_MAX:
            _close_all(fds)
            self._fail(message["seq"], OSError(errno.EMSGSIZE, "the reply does not fit a packet"))
        elif self._unsent:
            self._queue(packet, fds)
        else:
            self._transmit(packet, fds)

    def _transmit(self, packet: bytes, fds: Sequence[int]) -> None:
        try:
            socket.send_fds(self._socket, [packet], fds, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._socket, self._writable)
            self._queue(packet, fds)
        except OSError:
            _close_all(fds)
            self.close()
        except MemoryError:
            _close_all(fds)
            raise
        else:
            _close_all(fds)
            self._check_unread()

    def _queue(self, packet: bytes, fds: Sequence[int]) -> None:
        self._unsent.append((packet, fds))
        self._unsent_bytes += len(packet)
        if len(self._unsent) > UNSENT_MAX:
            self._cut_off(f"more than {UNSENT_MAX} replies wait")
        else:
            self._check_unread()

    def _cut_off(self, why: str) -> None:
        uid = self._client.account.uid
        log.warning("control socket: a client of user id %d does not read: %s; cut off", uid, why)
        self.close()

    def _check_unread(self) -> None:
        """Count what a client does not read for its user."""
        try:
            self._count_unread()
        except OSError as error:
            self._cut_off(error.strerror or str(error))

    def _count_unread(self) -> None:
        """Count again. Raises OSError ENOBUFS when it has become more than the limit."""
        now = self._unsent_bytes + _unread_bytes(self._socket)
        more, self._unread = now - self._unread, now
        try:
            self._client.account.move_memory(more)
        except OSError:
            self._unread -= more
            raise

    def _relieve(self) -> None:
        """Count again, since the client may have read some of it."""
        now = self._unsent_bytes + _unread_bytes(self._socket)
        if now < self._unread:
            self._client.account.move_memory(now - self._unread)
            self._unread = now

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        while self._unsent and not self._closed:
            before = len(self._unsent)
            packet, fds = self._unsent.popleft()
            self._unsent_bytes -= len(packet)
            self._transmit(packet, fds)
            if len(self._unsent) >= before:
                self._unsent.rotate(1)  # it did not fit, and goes back to the front
                return
        if self._closing:
            self.close()


def _unread_bytes(sock: socket.socket) -> int:
    """The bytes that lie in the kernel, sent and not read, as the kernel counts them."""
    raw = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("=i", raw)[0])


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
