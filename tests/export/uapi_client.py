# SPDX-License-Identifier: BSD-3-Clause
"""A client of docs/cdev.md, written from that page: ioctls as bytes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgpack

from tests.processes import LATE_S

CHIPINFO = 0x8044B401
LINEINFO = 0xC100B405
WATCH = 0xC100B406
GET_LINE = 0xC250B407
UNWATCH = 0xC004B40C
SET_CONFIG = 0xC110B40D
GET_VALUES = 0xC010B40E
SET_VALUES = 0xC010B40F
V1_LINEINFO = 0xC048B402
V1_HANDLE = 0xC16CB403
V1_EVENT = 0xC030B404
V1_GET = 0xC040B408
V1_SET = 0xC040B409
V1_SET_CONFIG = 0xC054B40A
V1_WATCH = 0xC048B40B
CLOSED = 0

ACTIVE_LOW, INPUT, OUTPUT, RISING, FALLING = 2, 4, 8, 16, 32


class Event(NamedTuple):
    """``struct gpio_v2_line_event``."""

    timestamp_ns: int
    id: int
    offset: int
    seqno: int
    line_seqno: int


def events_in(data: bytes) -> list[Event]:
    """What a read of a line's descriptor gave."""
    assert len(data) % 48 == 0
    return [Event(*struct.unpack_from("=QIIII", data, at)) for at in range(0, len(data), 48)]


def open_chip(control: str, chip: str) -> int:
    """The descriptor of a chip. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(control)
        hello = {"seq": 1, "op": "hello", "version": 1, "client": "test"}
        for message in (hello, {"seq": 2, "op": "cdev", "chip": chip}):
            connection.send(msgpack.packb(message))
            packet, fds, _, _ = socket.recv_fds(connection, 65536, 1)
            answer = msgpack.unpackb(packet)
            if "error" in answer:
                raise OSError(answer["error"]["errno"], answer["error"]["message"])
    return fds[0]


class Channel:
    """A channel for the ioctls of a descriptor."""

    def __init__(self, fd: int, packed: bool = False, late_s: float | None = LATE_S) -> None:
        """Make a channel; with `packed`, as a program of i386 does.

        An answer that comes later than `late_s` seconds is a TimeoutError; None: wait for ever.
        """
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(late_s)
        with socket.socket(fileno=os.dup(fd)) as stream, theirs:
            offer = struct.pack("=IIIIB", 0x4F495047, 1, packed, 0, 0)
            socket.send_fds(stream, [offer], [theirs.fileno()])
        self._sequence = 0

    def send(self, command: int, argument: bytes = b"") -> None:
        """Ask, and do not wait."""
        self._sequence += 1
        self._socket.send(struct.pack("=II", command, self._sequence) + argument)

    def receive(self) -> tuple[bytes, list[int]]:
        """Return an answer and its descriptors. Raises OSError; EOFError when hung up."""
        data, fds, _, _ = socket.recv_fds(self._socket, 1024, 1)
        if not data:
            raise EOFError
        error, sequence = struct.unpack_from("=iI", data)
        assert sequence == self._sequence
        if error:
            raise OSError(error, os.strerror(error))
        return data[8:], fds

    def ioctl(self, command: int, argument: bytes = b"") -> bytes:
        """Ask and wait."""
        self.send(command, argument)
        return self.receive()[0]

    def make(self, command: int, argument: bytes) -> int:
        """Ask for a descriptor."""
        self.send(command, argument)
        (fd,) = self.receive()[1]
        return fd

    def request(
        self,
        offsets: Sequence[int],
        flags: int,
        size: int = 0,
        consumer: bytes = b"test",
        attributes: Sequence[tuple[int, int, int]] = (),
        padding: bytes = b"",
    ) -> int:
        """GPIO_V2_GET_LINE_IOCTL."""
        places = [*offsets, *[0] * (64 - len(offsets))]
        packed = struct.pack(
            "=64I32s272sII20si",
            *(*places, consumer, config(flags, attributes), len(offsets), size, padding, 0),
        )
        return self.make(GET_LINE, packed)

    def get(self, mask: int) -> int:
        """GPIO_V2_LINE_GET_VALUES_IOCTL."""
        bits, back = struct.unpack("=QQ", self.ioctl(GET_VALUES, struct.pack("=QQ", 0, mask)))
        assert back == mask
        return int(bits)

    def set(self, bits: int, mask: int) -> None:
        """GPIO_V2_LINE_SET_VALUES_IOCTL."""
        self.ioctl(SET_VALUES, struct.pack("=QQ", bits, mask))

    def line_info(self, offset: int, command: int = LINEINFO) -> dict[str, object]:
        """A line info, or with WATCH the start of a watch."""
        return info_in(self.ioctl(command, struct.pack("=64xI188x", offset)))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def config(flags: int, attributes: Sequence[tuple[int, int, int]] = ()) -> bytes:
    """``struct gpio_v2_line_config``: flags, and id, value, mask of attributes."""
    packed = struct.pack("=QI20x", flags, len(attributes))
    for identity, value, mask in attributes:
        packed += struct.pack("=IIQQ", identity, 0, value, mask)
    return packed.ljust(272, b"\0")


def info_in(data: bytes) -> dict[str, object]:
    """What matters of a ``struct gpio_v2_line_info``."""
    name, consumer, offset, count, flags = struct.unpack_from("=32s32sIIQ", data)
    debounce = struct.unpack_from("=II8xI", data, 80) if count else None
    return {
        "name": name.rstrip(b"\0").decode(),
        "consumer": consumer.rstrip(b"\0").decode(),
        "offset": offset,
        "flags": flags,
        "attributes": debounce,
    }


def waits(fd: int, timeout_s: float = LATE_S) -> int:
    """What poll(2) says of a descriptor, 0 when nothing."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    found = poll.poll(timeout_s * 1000)
    return found[0][1] if found else 0


def read_events(fd: int, count: int) -> list[Event]:
    """So many events, with as many reads as it takes."""
    found: list[Event] = []
    while len(found) < count:
        assert waits(fd), f"{len(found)} events instead of {count}"
        found += events_in(os.read(fd, 48 * 64))
    return found


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close a descriptor at the end of a block, if it is still open."""
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
