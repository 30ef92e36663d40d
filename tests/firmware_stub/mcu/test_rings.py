# SPDX-License-Identifier: BSD-3-Clause
"""Firmware on an emulated MCU whose RAM is its driver's memory: rings, mailbox, pins, crashes."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Serve, direct_chip
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.edge_event import EdgeEvent
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.conformance import Options, run
from bridge.conformance.runner import FAILED, PASSED, WARNED
from bridge.control_protocol import METRICS
from bridge.line import Direction, Edge, Value
from firmware_stub.emulated.rings import RingMcu

DEADLINE = 60.0  # s

INPUT = LineSettings(direction=Direction.INPUT)
OUTPUT = LineSettings(direction=Direction.OUTPUT)
BOTH_EDGES = LineSettings(edge_detection=Edge.BOTH)


def edges(lines: LineRequest, count: int) -> list[EdgeEvent]:
    """The next edges, `count` of them or all that come within the deadline."""
    seen: list[EdgeEvent] = []
    while len(seen) < count and lines.wait_edge_events(DEADLINE):
        seen += lines.read_edge_events()
    return seen


@contextmanager
def watched(mcu: RingMcu, size: int) -> Iterator[LineRequest]:
    """BUTTON, released, with both its edges; the firmware has all that the request told it."""
    with direct_chip(mcu.url) as chip:
        mcu.wait_attached()
        with chip.request_lines({"BUTTON": BOTH_EDGES}, event_buffer_size=size) as lines:
            mcu.wait_armed("BUTTON")
            lines.get_value("BUTTON")
            yield lines


def test_pins(ring_mcu: RingMcu) -> None:
    with direct_chip(ring_mcu.url) as chip:
        assert chip.get_info().num_lines == 10
        with chip.request_lines({"LED": OUTPUT, "P1": INPUT}, consumer="test") as lines:
            assert ring_mcu.is_output("LED") and not ring_mcu.is_output("P1")
            for level in (1, 0, 1):
                lines.set_value("LED", Value(level))
                assert ring_mcu.level("LED") == level
                ring_mcu.drive("P1", level)
                assert lines.get_value("P1").value == level
        assert not ring_mcu.is_output("LED")


def test_edges_have_the_time_of_the_mcu(ring_mcu: RingMcu) -> None:
    with watched(ring_mcu, 256) as lines:
        before = time.monotonic_ns()
        for level in (0, 1) * 100:
            ring_mcu.drive("BUTTON", level)
        after = time.monotonic_ns()
        seen = edges(lines, 200)
    assert [event.event_type.value for event in seen] == [2, 1] * 100
    assert [event.line_seqno for event in seen] == list(range(1, 201))
    times = [event.timestamp_ns for event in seen]
    assert times == sorted(times)
    # The clocks of two processes: what the offset's bound allows, and a margin.
    assert before - 50_000_000 < times[0] and times[-1] < after + 50_000_000


@pytest.mark.parametrize("level", ["strict", "lenient"])
def test_conformance(ring_mcu: RingMcu, level: str) -> None:
    wired = ring_mcu.machine != "sifive_u"  # of which pins in RAM have a wire
    loops = [("LOOP_OUT", "LOOP_IN")] if wired else []
    done = run(Options(ring_mcu.url, drive=["P1", "P2"], loops=loops, level=level))
    faults = [result for result in done.results if result.outcome in (FAILED, WARNED)]
    assert not faults, faults
    assert done.count(PASSED) >= (46 if wired else 39)


def test_firmware_that_checks_its_pins_as_it_starts(mcu_programs: None, tmp_path: Path) -> None:
    with RingMcu("mps2-an385", debug=True) as mcu, Serve(tmp_path, "--link", mcu.url) as serve:
        serve.wait_for_chips(1)
        assert "self-test: no fault\n" in mcu.console
        chip = chips(serve)[0]["name"]
        connection = Connection.open(serve.socket)
        try:
            told = connection.call(METRICS, chip=chip)["firmware"]
        finally:
            connection.close()
        assert told["self_test_faults"] == 0
        assert not mcu.is_output("LED") and not mcu.is_output("LOOP_OUT")


def test_the_next_driver_meets_firmware_that_has_just_started(ring_mcu: RingMcu) -> None:
    for _ in range(3):
        with direct_chip(ring_mcu.url) as chip, chip.request_lines({"LED": OUTPUT}) as lines:
            assert ring_mcu.level("LED") == 0
            lines.set_value("LED", Value.ACTIVE)
    assert ring_mcu.log.count("attached") == 3


def chips(serve: Serve) -> list[dict[str, Any]]:
    connection = Connection.open(serve.socket)
    try:
        return list(connection.chips())
    finally:
        connection.close()


def open_chip(serve: Serve) -> Chip:
    """Raises OSError(ENODEV) while there is none."""
    for chip in chips(serve):
        return Chip(f"{serve.socket}#{chip['name']}")
    raise OSError(errno.ENODEV, "no chip")


def epoch(serve: Serve) -> int | None:
    return next((int(chip["epoch"]) for chip in chips(serve)), None)


def crash(mcu: RingMcu, serve: Serve) -> None:
    """Kill QEMU, and wait until its firmware is there again."""
    before = epoch(serve)
    mcu.kill()
    deadline = time.monotonic() + DEADLINE
    while epoch(serve) in (None, before):
        assert time.monotonic() < deadline, serve.log + mcu.log
        time.sleep(0.005)


def use_until(serve: Serve, stop: threading.Event, wrong: list[str]) -> None:
    """Set and read the wire's ends as long as there is a chip to ask."""
    while not stop.is_set():
        try:
            with (
                open_chip(serve) as chip,
                chip.request_lines({"LED": OUTPUT, "P1": INPUT}, consumer="load") as lines,
            ):
                for value in (1, 0) * 1000:
                    lines.set_value("LED", Value(value))
                    if lines.get_value("LED").value != value:
                        wrong.append(f"set {value}, read another")
                    if stop.is_set():
                        break
        except OSError:
            pass  # it has crashed: that is what the test does


def crashes(mcu: RingMcu, folder: Path, count: int) -> None:
    """Crash under load; each time a new firmware serves, and no value is ever wrong."""
    wrong: list[str] = []
    stop = threading.Event()
    with Serve(folder, "--link", mcu.url) as serve:
        serve.wait_for_chips(1)
        load = threading.Thread(target=use_until, args=(serve, stop, wrong))
        load.start()
        try:
            for _ in range(count):
                crash(mcu, serve)
        finally:
            stop.set()
            load.join(DEADLINE)
        with open_chip(serve) as chip, chip.request_lines({"P1": INPUT}) as lines:
            mcu.drive("P1", 1)
            assert lines.get_value("P1").value == 1
    assert not load.is_alive() and not wrong


def test_a_killed_qemu_is_firmware_that_crashed(ring_mcu: RingMcu, tmp_path: Path) -> None:
    crashes(ring_mcu, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_crashes_under_load(ring_mcu: RingMcu, tmp_path: Path) -> None:
    crashes(ring_mcu, tmp_path, 50)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_operations(ring_mcu: RingMcu) -> None:
    with (
        direct_chip(ring_mcu.url) as chip,
        chip.request_lines({"LED": OUTPUT, "P1": INPUT}) as lines,
    ):
        for number in range(50_000):
            value = Value(number % 3 % 2)
            lines.set_value("LED", value)
            assert lines.get_value("LED") == value


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_edges(ring_mcu: RingMcu) -> None:
    count = 100_000
    with watched(ring_mcu, 1024) as lines:
        driver = threading.Thread(
            target=lambda: [ring_mcu.drive("BUTTON", number & 1) for number in range(count)]
        )
        driver.start()
        seen = 0
        last = 0
        while last < count and lines.wait_edge_events(DEADLINE):
            for event in lines.read_edge_events():
                assert event.event_type.value == 2 - (event.line_seqno - 1) % 2
                assert event.line_seqno > last
                last = event.line_seqno
                seen += 1
        driver.join(DEADLINE)
    # A gap in the numbers is a loss that is told; here there is none.
    assert (seen, last) == (count, count)
