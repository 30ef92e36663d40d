# SPDX-License-Identifier: BSD-3-Clause
"""The attackers of bench attack, a process each: ``python -m bridge.bench.attackers NAME FOLDER``.

FOLDER has the service's control socket and whatever else the attack aims at, under the names below.
An attacker says "ready", runs until SIGTERM, and then prints how often it did its work.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack

CONTROL, GUEST, BACKEND, HOSTILE = "control.sock", "guest.sock", "backend.sock", "hostile.sock"
MISSING = "missing"
"""A folder with the socket of a link that is not there."""
CHIP = "hostile-0"
"""A chip of the firmware that is the attackers'."""
IDLE = "idle"
"""Not an attack: what one of these processes costs the machine by computing."""

_HEADER = struct.Struct("=III")
_VERSION, _REPLY, _NEED_REPLY = 1, 4, 8
_GET_FEATURES, _SET_FEATURES, _SET_OWNER, _SET_MEM_TABLE = 1, 2, 3, 5
_SET_NUM, _SET_ADDR, _SET_BASE, _SET_KICK, _SET_CALL = 8, 9, 10, 12, 13
_GET_PROTOCOL, _SET_PROTOCOL, _GET_QUEUE_NUM, _SET_ENABLE = 15, 16, 17, 18
_FEATURES = 1 << 32 | 1 << 30 | 1


def _control(folder: Path, hello: bool = True) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(5)
    try:
        client.connect(str(folder / CONTROL))
        if hello:
            _say(client, "hello", version=1, client="attack")
            client.recv(65536)
    except OSError:
        client.close()
        raise
    return client


def _say(to: socket.socket, op: str, **arguments: object) -> None:
    to.send(msgpack.packb({"seq": 1, "op": op, **arguments}))


def idle(folder: Path) -> Iterator[int]:
    """Compute, and leave the service alone."""
    while True:
        yield sum(range(1000)) and 0


def connect_flood(folder: Path) -> Iterator[int]:
    """Open 100 connections at once that say nothing, again and again."""
    while True:
        crowd = []
        for _ in range(100):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.setblocking(False)
            with suppress(OSError):
                client.connect(str(folder / CONTROL))
            crowd.append(client)
        for client in crowd:
            client.close()
        yield len(crowd)


def hoard(folder: Path) -> Iterator[int]:
    """Take as many connections, open chips and requests as there are, and try one more."""
    clients: list[socket.socket] = []
    kept: list[int] = []
    while True:
        with suppress(OSError):
            client = _control(folder)
            clients.append(client)
            for _ in range(256):
                _say(client, "open", chip=CHIP)
                _, fds, _, _ = socket.recv_fds(client, 65536, 3)
                kept += fds
                yield 1
                if not fds:
                    break
        yield 1


def packets(folder: Path) -> Iterator[int]:
    """Send nonsense as fast as it is taken, and read no answer."""
    while True:
        with suppress(OSError):
            client = _control(folder)
            client.setblocking(False)
            for number in range(2000):
                try:
                    _say(client, ("chips", "lines", "nothing", "find")[number % 4], after="x" * 99)
                    yield 1
                except BlockingIOError:
                    select.select([], [client], [], 0.1)
            client.setblocking(True)
            client.send(b"\xc1")
            client.close()


def operations(folder: Path) -> Iterator[int]:
    """Send operations on a line request that are too short, too long or unknown."""
    from bridge import uapi

    client = _control(folder)
    config = uapi.pack_line_config(uapi.GPIO_V2_LINE_FLAG_INPUT)
    _say(client, "request", chip=CHIP, offsets=[1], config=config)
    _, fds, _, _ = socket.recv_fds(client, 65536, 3)
    with socket.socket(fileno=fds[0]) as operation:
        operation.settimeout(5)
        while True:
            for record in (b"x", bytes(600), struct.pack("=IIQQ", 99, 1, 1, 1)):
                operation.send(record)
                operation.recv(1024)
                yield 1


def edges_unread(folder: Path) -> Iterator[int]:
    """Make 100,000 edges a second, for a client that reads none."""
    from bridge.client.chip import Chip
    from bridge.client.line_settings import LineSettings
    from bridge.line import Edge

    board = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    board.connect(f"{folder / HOSTILE}.ctl")
    settings = LineSettings(edge_detection=Edge.BOTH)
    seen = 0
    with (
        Chip(f"{folder / CONTROL}#{CHIP}") as chip,
        chip.request_lines({8: settings}, "attack", 1024),
    ):
        board.send(b"clock SENSOR_IRQ hz 50000")
        board.recv(4096)
        try:
            while True:
                time.sleep(0.05)
                board.send(b"count SENSOR_IRQ")
                edges = int(board.recv(4096).split()[2])  # ok edges N ...
                yield edges - seen
                seen = edges
        finally:
            board.send(b"clock SENSOR_IRQ off")


def files(folder: Path) -> Iterator[int]:
    """Make and remove files beside the socket of a link that is not there."""
    number = 0
    while True:
        for _ in range(100):
            path = folder / MISSING / f"x{number % 50}"
            path.touch()
            path.unlink()
            number += 1
        yield 100


def guest_floods(folder: Path) -> Iterator[int]:
    """Be a guest that sets lines as fast as they can be set."""
    from bridge.bench.guest import Guest

    with Guest(str(folder / GUEST)) as guest:
        for line in range(8):
            guest.request(3, line, 1)
        while True:
            guest.set_values(8, 50)
            yield 400


class _Vmm:
    """A front-end with one queue, whose call descriptor it fills and makes block."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        memfd = os.memfd_create("guest")
        os.ftruncate(memfd, 1 << 16)
        self.memory = mmap.mmap(memfd, 1 << 16)
        self.kick, self.call = os.eventfd(0), os.eventfd(0, os.EFD_NONBLOCK)
        self.index = 0
        self._say(_SET_OWNER)
        self._say(_SET_FEATURES, struct.pack("=Q", _FEATURES))
        self._say(_SET_MEM_TABLE, struct.pack("=IIQQQQ", 1, 0, 0, 1 << 16, 0, 0), memfd)
        for queue in (0, 1):
            base = 0x4000 * queue
            self._say(_SET_NUM, struct.pack("=II", queue, 64))
            self._say(_SET_BASE, struct.pack("=II", queue, 0))
            address = struct.pack("=IIQQQQ", queue, 0, base, base + 0x2000, base + 0x1000, 0)
            self._say(_SET_ADDR, address)
            self._say(_SET_CALL, struct.pack("=Q", queue), self.call)
            self._say(_SET_KICK, struct.pack("=Q", queue), self.kick)
            self._say(_SET_ENABLE, struct.pack("=II", queue, 1))
        os.close(memfd)
        os.eventfd_write(self.call, (1 << 64) - 2)
        fcntl.fcntl(self.call, fcntl.F_SETFL, 0)

    def _say(self, request: int, payload: bytes = b"", *fds: int) -> None:
        message = _HEADER.pack(request, _VERSION, len(payload)) + payload
        socket.send_fds(self.socket, [message], list(fds))

    def ask(self) -> None:
        """Put one request into the ring, and kick."""
        struct.pack_into("<QIHHQIHH", self.memory, 0, 0x8000, 8, 1, 1, 0x8100, 2, 2, 0)
        struct.pack_into("<HHI", self.memory, 0x8000, 4, 0, 0)
        struct.pack_into("<H", self.memory, 0x1004 + 2 * (self.index % 64), 0)
        self.index = self.index + 1 & 0xFFFF
        struct.pack_into("<H", self.memory, 0x1002, self.index)
        os.eventfd_write(self.kick, 1)

    def wait(self, timeout_s: float) -> None:
        """Wait until the request was answered."""
        end = time.monotonic() + timeout_s
        while struct.unpack_from("<H", self.memory, 0x2002)[0] != self.index:
            if time.monotonic() > end:
                return
            time.sleep(0.0002)

    def close(self) -> None:
        """Disconnect."""
        self.socket.close()
        self.memory.close()
        os.close(self.kick)
        os.close(self.call)


def guest_blocks(folder: Path) -> Iterator[int]:
    """Be a VMM that fills its call descriptor, makes it block, and kicks."""
    while True:
        vmm = _Vmm(folder / GUEST)
        with suppress(OSError):
            for _ in range(1000):
                vmm.ask()
                vmm.wait(1)
                yield 1
        vmm.close()


def backend_blocks(folder: Path) -> Iterator[int]:
    """Be a firmware's back-end that fills the kick descriptors and makes them block."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / BACKEND))
    listener.listen(8)
    while True:
        link, _ = listener.accept()
        kept: list[int] = []
        with link, suppress(OSError, struct.error):
            link.settimeout(0.5)
            while _answer(link, kept):
                pass
        for fd in kept:
            os.close(fd)
        yield 1


def _answer(link: socket.socket, kept: list[int]) -> bool:
    head, fds, _, _ = socket.recv_fds(link, _HEADER.size, 8)
    if len(head) < _HEADER.size:
        return False
    request, flags, size = _HEADER.unpack(head)
    if size:
        link.recv(size, socket.MSG_WAITALL)
    kept += fds
    if request == _SET_KICK:
        with suppress(BlockingIOError):
            os.eventfd_write(fds[0], (1 << 64) - 2)
        fcntl.fcntl(fds[0], fcntl.F_SETFL, 0)
    answers = {_GET_FEATURES: _FEATURES, _GET_PROTOCOL: 9, _GET_QUEUE_NUM: 2}
    if request in answers or flags & _NEED_REPLY:
        value = struct.pack("=Q", answers.get(request, 0))
        link.send(_HEADER.pack(request, _VERSION | _REPLY, len(value)) + value)
    return True


ATTACKS: dict[str, Callable[[Path], Iterator[int]]] = {
    "connect-flood": connect_flood,
    "hoard": hoard,
    "packets": packets,
    "operations": operations,
    "edges-unread": edges_unread,
    "files": files,
    "guest-floods": guest_floods,
    "guest-blocks": guest_blocks,
    "backend-blocks": backend_blocks,
}


def main(name: str, folder: str) -> None:
    """Attack until SIGTERM; print how often."""
    count = 0

    def end(*_: Any) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    attack = idle if name == IDLE else ATTACKS[name]
    try:
        for done in attack(Path(folder)):
            count += done
    finally:
        print(count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
