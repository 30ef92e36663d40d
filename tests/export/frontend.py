# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user front-end with a virtio-gpio driver, which can misbehave.

Guest addresses and user addresses differ on purpose: a back-end that mixes them
up fails here, though User-Mode Linux would not notice.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import time

from bridge.bench.ring_indexes import RingIndexes

GET_FEATURES, SET_FEATURES, SET_OWNER = 1, 2, 3
SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 5, 8, 9, 10
GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 11, 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 15, 16, 17
SET_VRING_ENABLE, GET_CONFIG, SET_CONFIG, RESET_DEVICE = 18, 24, 25, 34
GET_INFLIGHT_FD, SET_INFLIGHT_FD = 31, 32

VERSION_1, PROTOCOL_FEATURES, F_IRQ = 1 << 32, 1 << 30, 1 << 0
INDIRECT = 1 << 28
REPLY_ACK = 1 << 3
PROTOCOL = 0x3229  # MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE

NEXT, WRITE, IN_TABLE = 1, 2, 4
REQUESTQ, EVENTQ = 0, 1

GET_LINE_NAMES, GET_DIRECTION, SET_DIRECTION, GET_VALUE, SET_VALUE, SET_IRQ_TYPE = range(1, 7)
NONE, OUT, IN = 0, 1, 2
RISING, FALLING, BOTH, HIGH, LOW = 1, 2, 3, 4, 8
OK, ERR = 0, 1
INVALID, VALID = 0, 1

GUEST, USER = 0x4000_0000, 0x7000_0000_0000
SIZE = 1 << 20
NUM = 64
TIMEOUT_S = 30.0

_RING = 0x4000  # bytes for each queue's ring
_BUFFERS = 0x10000
_BUFFER = 0x1000  # bytes for the buffer of each head


class Queue:
    """The driver's side of one virtqueue; buffers have fixed places by head."""

    def __init__(self, frontend: Frontend, index: int) -> None:
        self.frontend, self.index = frontend, index
        self.base = index * _RING
        self.desc, self.avail = self.base, self.base + 16 * NUM
        self.used = self.base + 0x2000
        self.avail_idx = self.used_idx = 0
        self.kick, self.call = os.eventfd(0), os.eventfd(0, os.EFD_NONBLOCK)
        self.free = self.heads()

    def heads(self) -> list[int]:
        """Free heads of an empty ring: a chain takes two descriptors, or one with a table."""
        return list(range(0, NUM, 1 if self.frontend.features & INDIRECT else 2))

    def buffer(self, head: int) -> int:
        """Offset of the buffer of a head in the memory."""
        return _BUFFERS + (self.index * NUM + head) * _BUFFER // 2

    def descriptor(self, number: int, addr: int, length: int, flags: int, next_: int) -> None:
        self.frontend.put("<QIHH", self.desc + 16 * number, addr, length, flags, next_)

    def post(self, readable: bytes, writable: int) -> int:
        """Make one chain available without a kick; its head."""
        head = self.free.pop()
        at = self.buffer(head)
        self.frontend.memory[at : at + len(readable)] = readable
        self.frontend.put("<2s", at + 64, b"\xee\xee")
        if self.frontend.features & INDIRECT:
            table = at + 1024
            self.frontend.put("<QIHH", table, GUEST + at, len(readable), NEXT, 1)
            self.frontend.put("<QIHH", table + 16, GUEST + at + 64, writable, WRITE, 0)
            self.descriptor(head, GUEST + table, 32, IN_TABLE, 0)
        else:
            self.descriptor(head, GUEST + at, len(readable), NEXT, head + 1)
            self.descriptor(head + 1, GUEST + at + 64, writable, WRITE, 0)
        self.offer(head)
        return head

    def offer(self, head: int, step: int = 1) -> None:
        self.frontend.put("<H", self.avail + 4 + 2 * (self.avail_idx % NUM), head)
        self.avail_idx = (self.avail_idx + step) & 0xFFFF
        self.frontend.indexes[self.avail] = self.avail_idx

    def notify(self) -> None:
        os.eventfd_write(self.kick, 1)

    def pop(self) -> tuple[int, int] | None:
        """(head, length) of a used chain, if there is one."""
        if self.frontend.indexes[self.used] == self.used_idx:
            return None
        at = self.used + 4 + 8 * (self.used_idx % NUM)
        head, length = self.frontend.get("<II", at)
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        self.free.append(head)
        return head, length

    def wait(self, timeout_s: float = TIMEOUT_S) -> tuple[int, int]:
        """The next used chain; TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            got = self.pop()
            if got is not None:
                return got
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.call], [], [], left)[0]:
                raise TimeoutError(f"queue {self.index}: nothing used in {timeout_s:g} s")
            os.eventfd_read(self.call)

    def answer(self, head: int, length: int) -> bytes:
        at = self.buffer(head) + 64
        return bytes(self.frontend.memory[at : at + length])


class Frontend:
    """Connects, negotiates and runs both queues."""

    def __init__(self, path: str, features: int = VERSION_1 | PROTOCOL_FEATURES | F_IRQ) -> None:
        self.path = path
        self.connect()
        self.memfd = os.memfd_create("guest")
        os.ftruncate(self.memfd, SIZE)
        self.memory = mmap.mmap(self.memfd, SIZE)
        self.indexes = RingIndexes(self.memory)
        self.features = features
        self.queues = [Queue(self, REQUESTQ), Queue(self, EVENTQ)]

    def connect(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(self.path)

    def __enter__(self) -> Frontend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.memfd >= 0:
            self.socket.close()
            self.indexes.close()
            self.memory.close()
            os.close(self.memfd)
            self.memfd = -1
            for queue in self.queues:
                os.close(queue.kick)
                os.close(queue.call)

    def put(self, form: str, at: int, *values: object) -> None:
        struct.pack_into(form, self.memory, at, *values)

    def get(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self.memory, at)

    # ---- messages -------------------------------------------------------------

    def send(
        self, kind: int, payload: bytes = b"", fds: tuple[int, ...] = (), ack: int = 0
    ) -> None:
        head = struct.pack("=III", kind, 1 | (8 if ack else 0), len(payload))
        socket.send_fds(self.socket, [head + payload], list(fds))

    def receive(self) -> tuple[int, bytes]:
        data = b""
        while len(data) < 12 or len(data) < 12 + struct.unpack_from("=I", data, 8)[0]:
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionResetError("the back-end hung up")
            data += more
        kind, flags, _ = struct.unpack_from("=III", data)
        assert flags == 5
        return kind, data[12:]

    def ask(self, kind: int, payload: bytes = b"") -> bytes:
        self.send(kind, payload)
        replied, answer = self.receive()
        assert replied == kind
        return answer

    def tell(self, kind: int, payload: bytes = b"", fds: tuple[int, ...] = ()) -> int:
        """Send with need_reply; 0 is accepted."""
        self.send(kind, payload, fds, ack=1)
        replied, answer = self.receive()
        assert replied == kind
        return int(struct.unpack("=Q", answer)[0])

    # ---- bring-up ----------------------------------------------------------------

    def negotiate(self) -> None:
        self.send(SET_OWNER)
        (self.offered,) = struct.unpack("=Q", self.ask(GET_FEATURES))
        (self.protocol,) = struct.unpack("=Q", self.ask(GET_PROTOCOL_FEATURES))
        self.send(SET_PROTOCOL_FEATURES, struct.pack("=Q", PROTOCOL))
        assert self.tell(SET_FEATURES, struct.pack("=Q", self.features)) == 0

    def config(self, offset: int, size: int) -> bytes:
        answer = self.ask(GET_CONFIG, struct.pack("=III", offset, size, 0) + bytes(size))
        return answer[12:]

    def share(self) -> int:
        table = struct.pack("=IIQQQQ", 1, 0, GUEST, SIZE, USER, 0)
        return self.tell(SET_MEM_TABLE, table, (self.memfd,))

    def start(self, base: int | None = 0) -> None:
        """Set both rings up and enable them; `base` None goes on where they stopped."""
        for queue in self.queues:
            index = queue.index
            if base is not None:
                queue.avail_idx = queue.used_idx = base
                queue.free = queue.heads()
                self.put("<HH", queue.avail, 0, base)
                self.put("<HH", queue.used, 0, base)
            self.tell(SET_VRING_NUM, struct.pack("=II", index, NUM))
            at = base if base is not None else self.bases[index]
            assert self.tell(SET_VRING_BASE, struct.pack("=II", index, at)) == 0
            parts = (USER + queue.desc, USER + queue.used, USER + queue.avail, 0)
            self.tell(SET_VRING_ADDR, struct.pack("=IIQQQQ", index, 0, *parts))
            self.tell(SET_VRING_CALL, struct.pack("=Q", index), (queue.call,))
            assert self.tell(SET_VRING_KICK, struct.pack("=Q", index), (queue.kick,)) == 0
        for queue in self.queues:
            assert self.tell(SET_VRING_ENABLE, struct.pack("=II", queue.index, 1)) == 0

    def stop(self) -> None:
        """As QEMU does when the machine is paused."""
        for index in (0, 1):
            self.tell(SET_VRING_ENABLE, struct.pack("=II", index, 0))
        self.bases = [
            struct.unpack("=II", self.ask(GET_VRING_BASE, struct.pack("=II", index, 0)))[1]
            for index in (0, 1)
        ]

    def up(self) -> Frontend:
        self.negotiate()
        assert self.share() == 0
        self.start()
        return self

    # ---- after a crash of the back-end ------------------------------------------------

    def get_log(self, queues: int = 2, size: int = NUM) -> tuple[int, int]:
        """GET_INFLIGHT_FD: descriptor and length of the log."""
        self.send(GET_INFLIGHT_FD, struct.pack("=QQHH4x", 0, 0, queues, size))
        data, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
        kind, flags, size, length, offset = struct.unpack_from("=IIIQQ", data)
        assert (kind, flags, size, offset) == (GET_INFLIGHT_FD, 5, 24, 0)
        return fds[0], length

    def set_log(
        self, fd: int, length: int, offset: int = 0, queues: int = 2, size: int = NUM
    ) -> int:
        log = struct.pack("=QQHH4x", length, offset, queues, size)
        return self.tell(SET_INFLIGHT_FD, log, (fd,))

    def reconnect(self, fd: int, length: int) -> None:
        """As QEMU does: with the log, and from where the used ring ends."""
        self.socket.close()
        self.connect()
        self.negotiate()
        assert self.share() == 0
        assert self.set_log(fd, length) == 0
        self.bases = [self.indexes[queue.used] for queue in self.queues]
        self.start(None)

    # ---- the driver -----------------------------------------------------------------

    def begin(self, kind: int, gpio: int, value: int = 0, room: int = 2) -> int:
        return self.queues[REQUESTQ].post(struct.pack("<HHI", kind, gpio, value), room)

    def request(self, kind: int, gpio: int, value: int = 0) -> tuple[int, int]:
        """One request: (status, value)."""
        queue = self.queues[REQUESTQ]
        mine = self.begin(kind, gpio, value)
        queue.notify()
        head, length = queue.wait()
        assert (head, length) == (mine, 2)
        status, answer = queue.answer(head, 2)
        return status, answer

    def ok(self, kind: int, gpio: int, value: int = 0) -> int:
        status, answer = self.request(kind, gpio, value)
        assert status == OK, (kind, gpio, value)
        return answer

    def names(self, size: int) -> tuple[int, bytes]:
        """GET_LINE_NAMES with room for `size`: used length, status and names."""
        queue = self.queues[REQUESTQ]
        self.begin(GET_LINE_NAMES, 0, 0, 1 + size)
        queue.notify()
        head, length = queue.wait()
        return length, queue.answer(head, max(length, 1))

    def buffer(self, gpio: int) -> int:
        """Queue the event buffer of a line; its head."""
        queue = self.queues[EVENTQ]
        head = queue.post(struct.pack("<H", gpio), 1)
        queue.notify()
        return head

    def event(self, timeout_s: float = TIMEOUT_S) -> tuple[int, int]:
        """The next event: (head, status)."""
        head, length = self.queues[EVENTQ].wait(timeout_s)
        assert length == 1
        return head, self.queues[EVENTQ].answer(head, 1)[0]

    def no_event(self) -> None:
        """No event is there once a round trip of a request is over."""
        self.ok(GET_DIRECTION, 0)
        assert self.queues[EVENTQ].pop() is None

    def hung_up(self) -> bool:
        """Wait until the back-end closes the connection."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionResetError:
            return True
        return True
