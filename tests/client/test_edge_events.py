# SPDX-License-Identifier: BSD-3-Clause
"""Edge events: order, numbers, waiting, overflow."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import bridge as gpiod
from bridge import LineSettings
from bridge.bench.rig import Rig
from bridge.line import Bias, Clock, Direction, Edge
from bridge.shim import client as shim_client
from bridge.shim.ffi import lib
from firmware_stub import Stub

BOTH = LineSettings(edge_detection=Edge.BOTH)
RISING, FALLING = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE
SENSOR, TACHO, BUTTON = 8, 9, 6

Eventually = Callable[[Callable[[], bool], str], None]


def drive(stub: Stub, line: str, value: int) -> None:
    """Make one edge when the line is ready for it."""
    stub.wait_armed(line)
    stub.drive(line, value)


@pytest.fixture(autouse=True)
def quiet_board(stub: Stub) -> None:
    """Every test starts with its lines low."""
    stub.float_("SENSOR_IRQ")
    stub.float_("PWM_TACHO")


@pytest.mark.every_firmware
def test_both_edges(rig: Rig) -> None:
    with rig.chip() as chip, chip.request_lines({SENSOR: BOTH}) as request:
        stamps = [time.monotonic_ns()]
        for value, kind in ((1, RISING), (0, FALLING), (1, RISING)):
            drive(rig.stub, "SENSOR_IRQ", value)
            assert request.wait_edge_events(30)
            (event,) = request.read_edge_events()
            assert (event.event_type, event.line_offset) == (kind, SENSOR)
            assert stamps[-1] < event.timestamp_ns < time.monotonic_ns()
            stamps.append(event.timestamp_ns)
        assert request.wait_edge_events(timedelta()) is False
    rig.stub.float_("SENSOR_IRQ")


@pytest.mark.every_firmware
def test_one_edge_active_low(rig: Rig) -> None:
    settings = LineSettings(edge_detection=Edge.RISING, bias=Bias.PULL_UP, active_low=True)
    with rig.chip() as chip, chip.request_lines({BUTTON: settings}) as request:
        for number in (1, 2):
            rig.stub.wait_armed("BUTTON_USER")
            rig.stub.press("BUTTON_USER")
            assert request.wait_edge_events(30)
            (event,) = request.read_edge_events()
            assert (event.event_type, event.line_seqno) == (RISING, number)
            rig.stub.release("BUTTON_USER")
        assert not request.wait_edge_events(0)


def test_sequence_numbers(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({(SENSOR, TACHO): BOTH}) as request:
        seen = []
        for line in ("SENSOR_IRQ", "PWM_TACHO", "SENSOR_IRQ"):
            drive(stub, line, 1 - stub.read(line))
            assert request.wait_edge_events(30)
            seen += request.read_edge_events()
        numbers = [(e.line_offset, e.global_seqno, e.line_seqno) for e in seen]
        assert numbers == [(SENSOR, 1, 1), (TACHO, 2, 1), (SENSOR, 3, 2)]


@pytest.mark.every_firmware
def test_fast_bursts_lose_nothing(rig: Rig) -> None:
    """A burst is as long as the buffer, so it does not matter when it is read."""
    edges = 1024
    with rig.chip() as chip, chip.request_lines({SENSOR: BOTH}, None, edges) as request:
        events: list[gpiod.EdgeEvent] = []
        for burst in (1, 2, 3, 4):
            rig.stub.wait_armed("SENSOR_IRQ")
            rig.stub.pulse("SENSOR_IRQ", edges // 2, 0)
            while len(events) < burst * edges:
                assert request.wait_edge_events(30), f"only {len(events)} edges in burst {burst}"
                events += request.read_edge_events()
        assert [event.line_seqno for event in events] == list(range(1, 4 * edges + 1))
        assert [event.event_type for event in events] == [RISING, FALLING] * (2 * edges)
        stamps = [event.timestamp_ns for event in events]
        assert stamps == sorted(stamps)


def test_overflow_drops_the_oldest(chip: gpiod.Chip, stub: Stub) -> None:
    edges = 100
    with chip.request_lines({SENSOR: BOTH}, event_buffer_size=10) as request:
        stub.wait_armed("SENSOR_IRQ")
        before = stub.count("SENSOR_IRQ").interrupts
        stub.pulse("SENSOR_IRQ", edges // 2, 0)
        deadline = time.monotonic() + 30
        while stub.count("SENSOR_IRQ").interrupts - before < edges:
            assert time.monotonic() < deadline
        stub.wait_armed("SENSOR_IRQ")  # the firmware has the answer to the last event
        request.get_value(SENSOR)  # this comes after it, so the pump has recorded that event
        numbers = [event.line_seqno for event in request.read_edge_events()]
        numbers += [event.line_seqno for event in request.read_edge_events()]
        assert numbers == list(range(85, 101))  # 10 is rounded up to 16
        assert not request.wait_edge_events(0)


def test_select_poll_and_epoll(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: BOTH}) as request:
        assert select.select([request], [], [], 0)[0] == []
        drive(stub, "SENSOR_IRQ", 1)
        assert select.select([request], [], [], 30)[0] == [request]
        poller = select.poll()
        poller.register(request, select.POLLIN)
        assert poller.poll(30_000) == [(request.fd, select.POLLIN)]
        with select.epoll() as epoll:
            epoll.register(request, select.EPOLLIN)
            assert epoll.poll(30) == [(request.fd, select.EPOLLIN)]
        assert len(request.read_edge_events()) == 1
        assert poller.poll(0) == []


def test_o_nonblock(chip: gpiod.Chip) -> None:
    with chip.request_lines({SENSOR: BOTH}) as request:
        flags = fcntl.fcntl(request.fd, fcntl.F_GETFL)
        assert not flags & os.O_NONBLOCK
        assert fcntl.fcntl(request.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        fcntl.fcntl(request.fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError) as error:
            request.read_edge_events()
        assert error.value.errno == errno.EAGAIN


def test_a_blocked_read_gets_the_event(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: BOTH}) as request:
        got: list[gpiod.EdgeEvent] = []
        reader = threading.Thread(target=lambda: got.extend(request.read_edge_events()))
        reader.start()
        drive(stub, "SENSOR_IRQ", 1)
        reader.join(30)
        assert [event.event_type for event in got] == [RISING]


def test_release_wakes_a_blocked_reader(chip: gpiod.Chip, eventually: Eventually) -> None:
    request = chip.request_lines({SENSOR: BOTH})
    ends: list[Exception] = []

    def read() -> None:
        try:
            request.read_edge_events()
        except Exception as error:
            ends.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    eventually(request._ring_lock.locked, "the reader reads")
    request.release()
    reader.join(30)
    assert not reader.is_alive()
    assert len(ends) == 1


def test_max_events(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: BOTH}) as request:
        assert request.read_edge_events(0) == []
        with pytest.raises(OverflowError):
            request.read_edge_events(-1)
        before = stub.count("SENSOR_IRQ").interrupts
        for value in (1, 0, 1):
            drive(stub, "SENSOR_IRQ", value)
        stub.wait_armed("SENSOR_IRQ")
        assert stub.count("SENSOR_IRQ").interrupts - before == 3
        # The firmware has sent three; how many of them are here is the host's affair.
        numbers: list[int] = []
        while len(numbers) < 3:
            assert request.wait_edge_events(30)
            events = request.read_edge_events(2)
            assert len(events) <= 2
            numbers += [event.line_seqno for event in events]
        assert numbers == [1, 2, 3]


def test_wait_timeouts(chip: gpiod.Chip) -> None:
    with chip.request_lines({SENSOR: BOTH}) as request:
        for timeout in (timedelta(milliseconds=10), 0.01, 0):
            assert request.wait_edge_events(timeout) is False
        with pytest.raises(ValueError):
            request.wait_edge_events(-1)
        with pytest.raises(TypeError):
            request.wait_edge_events("1")  # type: ignore[arg-type]


def test_realtime_clock(chip: gpiod.Chip, stub: Stub) -> None:
    settings = LineSettings(edge_detection=Edge.BOTH, event_clock=Clock.REALTIME)
    with chip.request_lines({SENSOR: settings}) as request:
        before = time.time_ns()
        drive(stub, "SENSOR_IRQ", 1)
        assert request.wait_edge_events(30)
        (event,) = request.read_edge_events()
        assert before <= event.timestamp_ns <= time.time_ns()
        assert chip.get_line_info(SENSOR).event_clock is Clock.REALTIME


def test_no_edge_detection_is_never_readable(chip: gpiod.Chip, stub: Stub) -> None:
    with chip.request_lines({SENSOR: LineSettings(direction=Direction.INPUT)}) as request:
        stub.drive("SENSOR_IRQ", 1)
        request.get_value(SENSOR)
        assert not request.wait_edge_events(0)


def test_release_while_a_reader_has_passed_the_doorbell_s_number_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the reader would take a byte from whatever gets the number next."""
    read = lib.gb_event_ring_read
    strangers: list[socket.socket] = []

    class Between:
        """Run what another thread does after Python and before the first system call of C."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lib, name)

        @staticmethod
        def gb_event_ring_read(ring: Any, doorbell: int, events: Any, count: int) -> int:
            request.release()
            for _ in range(8):
                pair = socket.socketpair()
                pair[1].send(b"a stranger's")
                strangers.extend(pair)
            assert doorbell not in [one.fileno() for one in strangers]
            return int(read(ring, doorbell, events, count))

    with rig.chip() as chip:
        request = chip.request_lines({SENSOR: BOTH})
        number = request.fd
        monkeypatch.setattr(shim_client, "lib", Between())
        with pytest.raises(OSError, match="gone") as caught:
            request.read_edge_events()
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
    for one in strangers:
        one.close()
