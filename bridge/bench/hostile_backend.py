# SPDX-License-Identifier: BSD-3-Clause
"""Back-ends of links for bench attack: one that blocks, and firmware that lies.

Firmware is the device's side of virtio-rpmsg behind a vhost-user socket, with what it takes to be
taken for a controller: of 16 lines, with CONFIG, TAG, CREDITS and TIMESTAMP (docs/protocol.md).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bridge.bench.ring_indexes import RingIndexes

HEADER = struct.Struct("=III")
VERSION, REPLY, NEED_REPLY = 1, 4, 8
GET_FEATURES, SET_MEM_TABLE, SET_NUM, SET_ADDR, SET_KICK, SET_CALL = 1, 5, 8, 9, 12, 13
GET_PROTOCOL, GET_QUEUE_NUM = 15, 17
FEATURES = 1 << 32 | 1 << 30 | 1

_TO_LINUX, _FROM_LINUX = 0, 1  # virtqueues
_DESC, _ELEMENT = struct.Struct("<QIHH"), struct.Struct("<II")
_MESSAGE = struct.Struct("<IIIHH")  # of rpmsg: source, destination, reserved, length, flags
_NAME_SERVICE, _ADDRESS = 53, 0x400
_REQUEST = struct.Struct("<HHI")
# docs/protocol.md, 4 and 11
_GET_FEATURES, _GET_CONFIG, _GRANT_CREDITS, _GET_TIME = 0x8000, 0x8002, 0x8010, 0x8020
_CONFIG, _TAG, _CREDITS, _TIMESTAMP = 1 << 0, 1 << 2, 1 << 4, 1 << 5
_NEVER = (1 << 32) - 1


class _Queue:
    def __init__(self) -> None:
        self.num = self.desc = self.avail = self.used = self.taken = 0
        self.kick = self.call = -1


class Backend:
    """The words of vhost-user on one connection."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.queues = [_Queue(), _Queue()]
        self.memory: mmap.mmap | None = None
        self.indexes: RingIndexes | None = None
        self._fds: list[int] = []
        self._guest = self._user = 0

    def close(self) -> None:
        """Let go of what the link gave."""
        if self.memory is not None and self.indexes is not None:
            self.indexes.close()
            self.memory.close()
        for fd in self._fds:
            os.close(fd)

    def message(self) -> bool:
        """Read and answer one; False: the front-end has gone."""
        head, fds, _, _ = socket.recv_fds(self.link, HEADER.size, 8)
        if len(head) < HEADER.size:
            return False
        self._fds += fds
        request, flags, size = HEADER.unpack(head)
        body = self.link.recv(size, socket.MSG_WAITALL) if size else b""
        if request == SET_MEM_TABLE:
            self._guest, length, self._user, _ = struct.unpack_from("=QQQQ", body, 8)
            self.memory = mmap.mmap(fds[0], length)
            self.indexes = RingIndexes(self.memory)
        elif request in (SET_NUM, SET_ADDR, SET_KICK, SET_CALL):
            self.set(request, body, fds)
        answers = {GET_FEATURES: FEATURES, GET_PROTOCOL: 9, GET_QUEUE_NUM: 2}
        if request in answers or flags & NEED_REPLY:
            value = struct.pack("=Q", answers.get(request, 0))
            self.link.send(HEADER.pack(request, VERSION | REPLY, len(value)) + value)
        return True

    def set(self, request: int, body: bytes, fds: list[int]) -> None:
        """Part of a queue."""
        queue = self.queues[body[0] & 1]
        if request == SET_NUM:
            queue.num = struct.unpack_from("=I", body, 4)[0]
        elif request == SET_ADDR:
            desc, used, avail = struct.unpack_from("=QQQ", body, 8)
            queue.desc, queue.used, queue.avail = (at - self._user for at in (desc, used, avail))
        elif request == SET_KICK:
            queue.kick = fds[0]
        else:
            queue.call = fds[0]

    def offset(self, address: int) -> int:
        """The place in the memory of a guest address."""
        return address - self._guest


class Blocking(Backend):
    """Fills the kick descriptors and makes them block."""

    def set(self, request: int, body: bytes, fds: list[int]) -> None:
        """Part of a queue, and the kick descriptor is full."""
        super().set(request, body, fds)
        if request == SET_KICK:
            with suppress(BlockingIOError):
                os.eventfd_write(fds[0], (1 << 64) - 2)
            fcntl.fcntl(fds[0], fcntl.F_SETFL, 0)


class LyingFirmware(Backend):
    """One link's firmware, for as long as the link holds."""

    def __init__(self, link: socket.socket) -> None:
        super().__init__(link)
        self._announced = False

    def serve(self, timeout_s: float) -> Iterator[int]:
        """Answer; yields how many lies it has told since, 0 when nobody asks for so long."""
        while True:
            kick = self.queues[_FROM_LINUX].kick
            watched: list[Any] = [self.link, *([kick] if kick >= 0 else [])]
            ready = select.select(watched, [], [], timeout_s)[0]
            if self.link in ready and not self.message():
                return
            if kick in ready:
                os.eventfd_read(kick)
                yield self._requests()
            elif not ready:
                self._announce()
                yield 0

    # ---- rings ---------------------------------------------------------------------

    def _take(self, queue: _Queue) -> tuple[int, int, int] | None:
        """(head, place, bytes) of the next buffer."""
        assert self.memory is not None and self.indexes is not None
        if queue.taken == self.indexes[queue.avail]:
            return None
        at = queue.avail + 4 + 2 * (queue.taken % queue.num)
        head = struct.unpack_from("<H", self.memory, at)[0]
        address, length, _, _ = _DESC.unpack_from(self.memory, queue.desc + _DESC.size * head)
        return head, self.offset(address), length

    def _return(self, queue: _Queue, head: int, length: int) -> None:
        assert self.memory is not None and self.indexes is not None
        at = queue.used + 4 + _ELEMENT.size * (queue.taken % queue.num)
        _ELEMENT.pack_into(self.memory, at, head, length)
        queue.taken = (queue.taken + 1) & 0xFFFF
        self.indexes[queue.used] = queue.taken
        os.eventfd_write(queue.call, 1)

    def _send(self, source: int, destination: int, payload: bytes) -> None:
        assert self.memory is not None
        found = self._take(self.queues[_TO_LINUX])
        if found is None:
            return
        head, at, _ = found
        message = _MESSAGE.pack(source, destination, 0, len(payload), 0) + payload
        self.memory[at : at + len(message)] = message
        self._return(self.queues[_TO_LINUX], head, len(message))

    # ---- the controller ----------------------------------------------------------------

    def _announce(self) -> None:
        if not self._announced and self.queues[_TO_LINUX].call >= 0:
            name = b"rpmsg-io-0".ljust(32, b"\0")
            self._send(_ADDRESS, _NAME_SERVICE, name + struct.pack("<II", _ADDRESS, 0))
            self._announced = True

    def _requests(self) -> int:
        lies, queue = 0, self.queues[_FROM_LINUX]
        while (found := self._take(queue)) is not None:
            assert self.memory is not None
            head, at, _ = found
            source, _, _, length, _ = _MESSAGE.unpack_from(self.memory, at)
            at += _MESSAGE.size
            request = self.memory[at : at + length]
            self._return(queue, head, 0)
            lie, answer = self._answer(request)
            self._send(_ADDRESS, source, answer)
            lies += lie
        return lies

    def _answer(self, request: bytes) -> tuple[bool, bytes]:
        """Whether it is a lie, and the answer."""
        kind, _, _ = _REQUEST.unpack_from(request)
        extended = len(request) > _REQUEST.size or kind == _GET_FEATURES
        tag = request[8:10].ljust(2, b"\0")
        body, lie = b"", False
        if kind == _GET_FEATURES:
            offered = _CONFIG | _TAG | _CREDITS | _TIMESTAMP
            body = struct.pack("<II", offered, 0)
        elif kind == _GET_CONFIG:
            body = struct.pack("<HxxI32s", 16, 0, b"lies")
        elif kind == _GRANT_CREDITS:
            body, lie = struct.pack("<II", _NEVER, _NEVER), True
        elif kind == _GET_TIME:
            body, lie = random.randbytes(8), True
        return lie, bytes(4) + (tag + bytes(2) + body if extended else b"")
