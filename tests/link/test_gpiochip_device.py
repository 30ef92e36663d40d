# SPDX-License-Identifier: BSD-3-Clause
"""What cannot be brought about with a real chip at will; see tests/kernel for those."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

gpiod = pytest.importorskip("gpiod", reason="needs the gpiod package")

from bridge import wire  # noqa: E402
from bridge.link import gpiochip  # noqa: E402
from bridge.link.gpiochip_device import Device  # noqa: E402

LINE = 0
TIMEOUT_S = 30.0
OK_REPLY = bytes(2)  # queue and status; a value follows


class Request:
    """A line request as the kernel's: its descriptor blocks, an event is a byte."""

    def __init__(self) -> None:
        self.fd, self.edge = os.pipe()
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def wait_edge_events(self, timeout: timedelta) -> bool:
        return bool(select.select([self.fd], [], [], timeout.total_seconds())[0])

    def read_edge_events(self) -> list[int]:
        return list(os.read(self.fd, 1))

    def reconfigure_lines(self, config: Any) -> None:
        pass

    def get_value(self, line: int) -> Any:
        self.asked.set()
        assert self.may_answer.wait(TIMEOUT_S)
        return gpiod.line.Value.INACTIVE

    def release(self) -> None:
        os.close(self.fd)
        os.close(self.edge)


class Chip:
    path = "/dev/gpiochip-of-the-test"

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.request = Request()

    def get_info(self) -> Any:
        return SimpleNamespace(label="test", num_lines=1)

    def get_line_info(self, line: int) -> Any:
        return SimpleNamespace(name="")

    def request_lines(self, config: Any, consumer: str) -> Request:
        return self.request

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture
def served() -> Iterator[tuple[socket.socket, Request]]:
    """Our end of the endpoint, and the request that the device makes of its only line."""
    data, endpoint = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    endpoint.settimeout(TIMEOUT_S)
    chip = Chip()
    with endpoint, link:
        Device(chip, data, control).start()
        yield endpoint, chip.request


def ask(endpoint: socket.socket, kind: int, value: int = 0) -> None:
    endpoint.send(struct.pack("<HHI", kind, LINE, value))


def answer(endpoint: socket.socket) -> int:
    reply = endpoint.recv(16)
    assert reply[:2] == OK_REPLY
    return reply[2]


def test_an_edge_that_comes_with_the_message_that_ends_it(
    served: tuple[socket.socket, Request],
) -> None:
    """Both are seen in one poll; the message drops the edge, and nobody waits for it."""
    endpoint, request = served
    ask(endpoint, wire.MSG_SET_DIRECTION, wire.DIRECTION_IN)
    answer(endpoint)
    ask(endpoint, wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_EDGE_RISING)
    answer(endpoint)
    ask(endpoint, wire.MSG_GET_VALUE)
    assert request.asked.wait(TIMEOUT_S)
    ask(endpoint, wire.MSG_SET_IRQ_TYPE, wire.IRQ_TYPE_NONE)
    os.write(request.edge, b"!")
    request.may_answer.set()
    answer(endpoint)
    answer(endpoint)
    ask(endpoint, wire.MSG_GET_DIRECTION)
    assert answer(endpoint) == wire.DIRECTION_IN


@pytest.mark.parametrize("part", ["get_line_info", "start"])
def test_link_that_cannot_be_served_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    chip = Chip()
    monkeypatch.setattr(gpiochip, "_open", lambda rest: chip)
    before = len(os.listdir("/proc/self/fd"))

    def fail(*arguments: Any) -> Any:
        if part == "start":
            raise RuntimeError("can't start new thread")
        raise OSError(errno.ENODEV, "the chip is gone")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread if part == "start" else chip, part, fail)
        with pytest.raises(OSError, match=r"can't start new thread|the chip is gone") as error:
            gpiochip.connect("/dev/gpiochip0", 1000)
    assert error.value.errno in (errno.EAGAIN, errno.ENODEV)
    assert len(os.listdir("/proc/self/fd")) <= before - 1  # the chip, too, is closed
