# SPDX-License-Identifier: BSD-3-Clause
"""Link URLs: the service's code inside this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

import bridge as gpiod
from bridge.client.control import Connection
from bridge.line import Direction, Edge, Value
from firmware_stub import Stub

Eventually = Callable[[Callable[[], bool], str], None]


def threads() -> set[str]:
    """The names of this process's threads, those of C too."""
    task = "/proc/self/task"
    return {f"{id} {open(f'{task}/{id}/comm').read().strip()}" for id in os.listdir(task)}


def test_a_link_in_this_process_and_nothing_left(eventually: Eventually) -> None:
    before = threads(), set(os.listdir("/proc/self/fd"))
    with Stub("demo") as stub:
        with gpiod.Chip(stub.url) as chip, gpiod.Chip(f"{stub.url}#1") as second:
            assert chip.get_info().label == "m4-gpioa"
            assert second.get_info().label == "m4-gpiob"
            with gpiod.Chip(f"{stub.url}#{second.get_info().name}") as third:
                assert third.get_info() == second.get_info()
            request = chip.request_lines({0: gpiod.LineSettings(direction=Direction.OUTPUT)})
        request.set_value(0, Value.ACTIVE)  # the link lives as long as the request
        assert stub.read("LED_GREEN") == 1
        request.release()
    # What an earlier test left to the collector may go meanwhile; nothing may come.
    eventually(lambda: threads() <= before[0], "the threads to be gone")
    assert set(os.listdir("/proc/self/fd")) <= before[1]


def test_edges_without_a_service_process() -> None:
    settings = gpiod.LineSettings(edge_detection=Edge.RISING)
    with Stub("demo") as stub, gpiod.request_lines(stub.url, {"SENSOR_IRQ": settings}) as request:
        stub.wait_armed("SENSOR_IRQ")
        stub.drive("SENSOR_IRQ", 1)
        assert request.wait_edge_events(30)
        assert [event.line_seqno for event in request.read_edge_events()] == [1]


def test_errors_say_why(eventually: Eventually) -> None:
    alive, descriptors = threads(), set(os.listdir("/proc/self/fd"))
    with Stub("demo") as stub, pytest.raises(OSError, match=r"no chip .nothing. .*fw-0"):
        gpiod.Chip(f"{stub.url}#nothing")
    with pytest.raises(OSError, match=r"no chip came up .*nothing\.sock"):
        gpiod.Chip("vhost-user:/tmp/nothing.sock")
    with pytest.raises((OSError, ValueError), match="nonsense"):
        gpiod.Chip("nonsense:/tmp/nothing.sock")
    # The kernel may still be at it when a thread is joined.
    eventually(lambda: threads() <= alive, "the threads to be gone")
    assert set(os.listdir("/proc/self/fd")) <= descriptors


def test_interrupted_request_lets_go_of_its_lines(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Ctrl-C comes while the answer is on its way, with descriptors that hold the line."""
    original = Connection._receive

    def interrupted(self: Connection, *arguments: Any) -> Any:
        monkeypatch.setattr(Connection, "_receive", original)
        raise KeyboardInterrupt

    with Stub("demo") as stub, gpiod.Chip(stub.url) as chip, gpiod.Chip(stub.url) as other:
        chip.line_offset_from_id(0)
        monkeypatch.setattr(Connection, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chip.request_lines({0: None})
        eventually(lambda: not other.get_line_info(0).used, "the line to be free")
        assert chip.request_lines({0: None}).offsets == [0]


def test_requests_have_time_for_long_deadlines_of_the_firmware() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        for answer in ({}, {"timeout_ms": 300}, {"timeout_ms": 60_000}):
            theirs.send(msgpack.packb({"seq": 1, "ok": answer}))
        short = [Connection(ours.dup(), "here")._request_timeout_s for _ in range(2)]
        assert short[0] == short[1] >= 64 * 2
        assert Connection(ours, "here")._request_timeout_s == 60 * short[0]
