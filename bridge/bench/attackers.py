# SPDX-License-Identifier: BSD-3-Clause
"""The attackers of bench attack, a process each: ``python -m bridge.bench.attackers NAME FOLDER``.

FOLDER has the service's control socket and what else the attack is aimed at, under the names
below. An attacker says "ready" when it has begun, runs until SIGTERM, and then prints how often
it did what it does.
"""

from __future__ import annotations

import ctypes
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack

from bridge import uapi
from bridge.bench.hostile_backend import (
    FEATURES,
    HEADER,
    SET_ADDR,
    SET_CALL,
    SET_KICK,
    SET_MEM_TABLE,
    SET_NUM,
    VERSION,
    Blocking,
    LyingFirmware,
)
from bridge.bench.ring_indexes import RingIndexes

if TYPE_CHECKING:
    from bridge.client.line_request import LineRequest

CONTROL, GUEST, BACKEND, HOSTILE = "control.sock", "guest.sock", "backend.sock", "hostile.sock"
CHIPS = "control.chips"
MISSING = "missing"
"""A folder with the socket of a link that is not there."""
CHIP = "hostile-0"
"""A chip of the firmware that is the attackers'."""
LYING = "backend-0"
"""A chip of firmware that lies."""

_PR_SET_PDEATHSIG = 1
_SET_FEATURES, _SET_OWNER, _SET_BASE, _SET_ENABLE = 2, 3, 10, 18
_EDGES = (
    uapi.GPIO_V2_LINE_FLAG_INPUT
    | uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
    | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
)
_AFTER = ("x" * 99, "\u00b2", "\x1b[2J\n")


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


def _request(to: socket.socket, chip: str, offset: int, flags: int) -> None:
    _say(to, "request", chip=chip, offsets=[offset], config=uapi.pack_line_config(flags))


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
                    _say(
                        client,
                        ("chips", "lines", "nothing", "find")[number % 4],
                        after=_AFTER[number % 3],
                    )
                    yield 1
                except BlockingIOError:
                    select.select([], [client], [], 0.1)
            client.setblocking(True)
            client.send(b"\xc1")
            client.close()


def calls(folder: Path) -> Iterator[int]:
    """Ask for the status, which takes longest, by 200 connections at once."""
    crowd = {client.fileno(): client for client in (_control(folder) for _ in range(200))}
    answered = select.epoll()
    for fd, client in crowd.items():
        answered.register(fd, select.EPOLLIN)
        _say(client, "status")
    while True:
        for fd, _ in answered.poll():
            crowd[fd].recv(65536)
            _say(crowd[fd], "status")
            yield 1


def operations(folder: Path) -> Iterator[int]:
    """Send operations on a line request that are too short, too long or unknown."""
    client = _control(folder)
    _request(client, CHIP, 1, uapi.GPIO_V2_LINE_FLAG_INPUT)
    _, fds, _, _ = socket.recv_fds(client, 65536, 3)
    with socket.socket(fileno=fds[0]) as operation:
        operation.settimeout(5)
        while True:
            for record in (b"x", bytes(600), struct.pack("=IIQQ", 99, 1, 1, 1)):
                operation.send(record)
                operation.recv(1024)
                yield 1


@contextmanager
def _many_edges(folder: Path) -> Iterator[tuple[LineRequest, Callable[[], int]]]:
    """A request of a line that has 100,000 edges a second, and what counts them."""
    from bridge.client.chip import Chip
    from bridge.client.line_settings import LineSettings
    from bridge.line import Edge

    board = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    board.connect(f"{folder / HOSTILE}.ctl")

    def count() -> int:
        board.send(b"count SENSOR_IRQ")
        return int(board.recv(4096).split()[2])  # ok edges N ...

    settings = LineSettings(edge_detection=Edge.BOTH)
    with (
        Chip(f"{folder / CONTROL}#{CHIP}") as chip,
        chip.request_lines({8: settings}, "attack", 1024) as request,
    ):
        board.send(b"clock SENSOR_IRQ hz 50000")
        board.recv(4096)
        try:
            yield request, count
        finally:
            board.send(b"clock SENSOR_IRQ off")


def edges_unread(folder: Path) -> Iterator[int]:
    """Make 100,000 edges a second, for a client that reads none."""
    with _many_edges(folder) as (_, count):
        seen = count()
        while True:
            time.sleep(0.05)
            edges = count()
            yield edges - seen
            seen = edges


def bell(folder: Path) -> Iterator[int]:
    """Wake the service by the bell of a client that reads no edges.

    The service looks for free places when the bell's byte is taken; to shut down one direction,
    again and again, wakes it as well.
    """
    with _many_edges(folder) as (request, _):
        end = socket.socket(fileno=os.dup(request.fd))
        while True:
            for _ in range(1000):
                end.shutdown(socket.SHUT_RD)
                with suppress(OSError):
                    end.recv(1, socket.MSG_DONTWAIT)
            yield 1000


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
        self.indexes = RingIndexes(self.memory)
        self.kick, self.call = os.eventfd(0), os.eventfd(0, os.EFD_NONBLOCK)
        self.index = 0
        self._say(_SET_OWNER)
        self._say(_SET_FEATURES, struct.pack("=Q", FEATURES))
        self._say(SET_MEM_TABLE, struct.pack("=IIQQQQ", 1, 0, 0, 1 << 16, 0, 0), memfd)
        for queue in (0, 1):
            base = 0x4000 * queue
            self._say(SET_NUM, struct.pack("=II", queue, 64))
            self._say(_SET_BASE, struct.pack("=II", queue, 0))
            address = struct.pack("=IIQQQQ", queue, 0, base, base + 0x2000, base + 0x1000, 0)
            self._say(SET_ADDR, address)
            self._say(SET_CALL, struct.pack("=Q", queue), self.call)
            self._say(SET_KICK, struct.pack("=Q", queue), self.kick)
            self._say(_SET_ENABLE, struct.pack("=II", queue, 1))
        os.close(memfd)
        os.eventfd_write(self.call, (1 << 64) - 2)
        fcntl.fcntl(self.call, fcntl.F_SETFL, 0)

    def _say(self, request: int, payload: bytes = b"", *fds: int) -> None:
        message = HEADER.pack(request, VERSION, len(payload)) + payload
        socket.send_fds(self.socket, [message], list(fds))

    def ask(self) -> None:
        """Put one request into the ring, and kick."""
        struct.pack_into("<QIHHQIHH", self.memory, 0, 0x8000, 8, 1, 1, 0x8100, 2, 2, 0)
        struct.pack_into("<HHI", self.memory, 0x8000, 4, 0, 0)
        struct.pack_into("<H", self.memory, 0x1004 + 2 * (self.index % 64), 0)
        self.index = self.index + 1 & 0xFFFF
        self.indexes[0x1000] = self.index
        os.eventfd_write(self.kick, 1)

    def wait(self, timeout_s: float) -> None:
        """Wait until the request was answered."""
        end = time.monotonic() + timeout_s
        while self.indexes[0x2000] != self.index:
            if time.monotonic() > end:
                return
            time.sleep(0.0002)

    def close(self) -> None:
        """Disconnect."""
        self.socket.close()
        self.indexes.close()
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


@contextmanager
def _backend(folder: Path) -> Iterator[socket.socket]:
    """Where a link of the service looks for its firmware."""
    with suppress(FileNotFoundError):
        (folder / BACKEND).unlink()  # of the attacker before
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / BACKEND))
        listener.listen(8)
        yield listener


def backend_blocks(folder: Path) -> Iterator[int]:
    """Be a firmware's back-end that fills the kick descriptors and makes them block."""
    with _backend(folder) as listener:
        while True:
            link, _ = listener.accept()
            backend = Blocking(link)
            with link, suppress(OSError, struct.error):
                link.settimeout(0.5)
                while backend.message():
                    pass
            backend.close()
            yield 1


def firmware_lies(folder: Path) -> Iterator[int]:
    """Be firmware that says anything of its clock, and of a line that it has endless credits."""
    with _backend(folder) as listener:
        while True:
            link, _ = listener.accept()
            firmware = LyingFirmware(link)
            asked = 0.0  # again and again, until the chip is there, and the line is ours
            got: list[int] = []
            with link, suppress(OSError, struct.error), _control(folder) as client:
                client.setblocking(False)
                for lies in firmware.serve(0.1):
                    if not got and time.monotonic() - asked > 0.3:
                        _request(client, LYING, 1, _EDGES)
                        asked = time.monotonic()
                    with suppress(BlockingIOError):
                        got += socket.recv_fds(client, 65536, 3)[1]
                    yield lies
            firmware.close()
            for fd in got:
                os.close(fd)


def state_file(folder: Path) -> Iterator[int]:
    """Truncate and swap the file with what a guest has set up, while the guest works."""
    from bridge.bench.guest import Guest

    path, other = folder / f"{GUEST}.lines", folder / "other.lines"
    with Guest(str(folder / GUEST)) as guest:
        try:
            while True:
                for line in range(8):
                    os.truncate(path, 0)
                    guest.request(3, line, 1)
                    os.truncate(path, 1 << 16)
                    guest.request(3, line, 0)
                    other.unlink(missing_ok=True)
                    path.rename(other)
                    path.symlink_to(other)
                    guest.request(3, line, 1)
                    path.unlink()
                    os.link(other, path)
                    yield 3
        finally:  # the next attacker finds a file again
            path.unlink(missing_ok=True)
            path.touch()


def chip_links(folder: Path) -> Iterator[int]:
    """Swap the folder of chip paths for a link while chips come and go."""
    chips, away = folder / CHIPS, folder / "away"
    board = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    board.connect(f"{folder / HOSTILE}.ctl")
    while True:
        try:
            chips.rename(away)
            chips.symlink_to(folder / MISSING)
            board.send(b"restart")
            board.recv(4096)
            time.sleep(0.1)
        finally:  # also for the next attacker
            if away.exists():
                chips.unlink(missing_ok=True)
                away.rename(chips)
        yield 1


ATTACKS: dict[str, Callable[[Path], Iterator[int]]] = {
    "connect-flood": connect_flood,
    "hoard": hoard,
    "packets": packets,
    "calls": calls,
    "operations": operations,
    "edges-unread": edges_unread,
    "bell": bell,
    "files": files,
    "guest-floods": guest_floods,
    "guest-blocks": guest_blocks,
    "backend-blocks": backend_blocks,
    "firmware-lies": firmware_lies,
    "state-file": state_file,
    "chip-links": chip_links,
}


def main(name: str, folder: str) -> None:
    """Attack until SIGTERM; print how often."""
    count = 0

    def end(*_: Any) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    # Also when who measures is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        for done in _attacks(name, Path(folder)):
            count += done
    finally:
        print(count, flush=True)


def _attacks(name: str, folder: Path) -> Iterator[int]:
    """How often each turn attacked; says once that it has begun.

    main() has its `finally` apart from this loop: Python 3.13 compiles a jump from an `if` back to
    the loop's head that the exception table leaves out, and a signal then skips the `finally`.
    """
    is_ready = False
    for done in ATTACKS[name](folder):
        if not is_ready and done:
            print("ready", flush=True)
            is_ready = True
        yield done


if __name__ == "__main__":
    main(*sys.argv[1:])
