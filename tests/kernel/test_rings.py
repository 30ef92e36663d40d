# SPDX-License-Identifier: BSD-3-Clause
"""Firmware on an emulated MCU behind the kernel's own rpmsg bus: it works Linux's vrings."""

from __future__ import annotations

import collections
import errno
import faulthandler
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.client.chip import Chip
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.conformance import Options, run
from bridge.conformance.runner import FAILED, PASSED
from bridge.line import Direction, Edge, Value
from firmware_stub.emulated.rings import RingMcu

from .guest import Guest
from .uml import LIFE_S, RPMSG, Machine, check

OUTPUT = LineSettings(direction=Direction.OUTPUT)
BOTH_EDGES = LineSettings(edge_detection=Edge.BOTH)
DEADLINE = 60.0  # s
BATCH = 200


def run_inside(
    kernel: Path,
    mcu: RingMcu,
    inside: Callable[..., Any],
    *arguments: object,
    timeout_s: int = LIFE_S,
) -> None:
    device = f"virtio_uml.device={mcu.socket}:{RPMSG}"
    machine = Machine(kernel, [], [device])

    turn = threading.Lock()  # the last edge of a batch may not be over when the next begins

    def drive(count: int) -> None:
        with turn:
            for number in range(count):
                mcu.drive("BUTTON", number & 1)

    def drive_edges(count: int) -> None:
        threading.Thread(target=drive, args=(count,)).start()

    def attach() -> None:
        answer = machine.mconsole(f"config {device}")
        if answer:
            raise OSError(errno.EIO, f"the kernel did not attach the MCU: {answer}")

    machine.calls["edges"] = drive_edges
    machine.calls["level"] = mcu.level
    machine.calls["drive"] = mcu.drive
    machine.calls["wait_armed"] = mcu.wait_armed
    machine.calls["kill_mcu"] = mcu.kill
    machine.calls["attach_mcu"] = attach
    try:
        check(machine.run(inside, arguments, timeout_s))
    except AssertionError as error:
        raise AssertionError(f"{error}\n---- mcu ----\n{mcu.log}") from error


# ---- inside ---------------------------------------------------------------------------


def the_channel(guest: Guest) -> None:
    devices = Path("/sys/bus/rpmsg/devices")
    guest.until(lambda: any(devices.glob("*.rpmsg-io-0.*")), "the announcement")


def take_edges(lines: LineRequest, last: int, until: int) -> None:
    """The edges after the last one, in turn, none of them missing."""
    while last < until:
        assert lines.wait_edge_events(DEADLINE), f"silence after {last} edges"
        for event in lines.read_edge_events():
            assert event.line_seqno == last + 1
            assert event.event_type.value == 2 - last % 2
            last = event.line_seqno


def use(guest: Guest, operations: int, edges: int) -> None:
    guest.host("drive", "BUTTON", 1)
    config = {"LED": OUTPUT, "BUTTON": BOTH_EDGES}
    with Chip("rpmsg:") as chip, chip.request_lines(config, event_buffer_size=1024) as lines:
        for number in range(operations // 2):
            value = Value(number % 3 % 2)
            lines.set_value("LED", value)
            assert lines.get_value("LED") == value
        assert guest.host("level", "LED") == value.value
        guest.say(f"{operations} operations, none wrong")
        guest.host("wait_armed", "BUTTON")
        lines.get_value("BUTTON")
        # As many at once as are on their way without a loss, which would be told.
        for taken in range(0, edges, BATCH):
            guest.host("edges", BATCH)
            take_edges(lines, taken, taken + BATCH)
            if not (taken + BATCH) % 10_000:
                guest.say(f"{taken + BATCH} edges, none lost")


def life(guest: Guest) -> None:
    the_channel(guest)
    use(guest, 200, 200)
    guest.host("kill_mcu")
    devices = Path("/sys/bus/rpmsg/devices")
    guest.until(lambda: not any(devices.glob("*.rpmsg-io-0.*")), "the channel's end")
    guest.host("attach_mcu")
    the_channel(guest)
    use(guest, 200, 200)


def work_until_gone(started: threading.Event, ended: list[int]) -> None:
    """Gets and sets until the firmware is gone; the errno that tells, at the end of `ended`."""
    with Chip("rpmsg:") as chip, chip.request_lines({"LED": OUTPUT}) as lines:
        for number in itertools.count():
            value = Value(number % 3 % 2)
            try:
                lines.set_value("LED", value)
                assert lines.get_value("LED") == value
            except OSError as gone:
                ended.append(gone.errno or 0)
                return
            if number == 20:
                started.set()


def crashes(guest: Guest, count: int) -> None:
    devices = Path("/sys/bus/rpmsg/devices")
    ended: list[int] = []
    for number in range(count):
        the_channel(guest)
        started = threading.Event()
        client = threading.Thread(target=work_until_gone, args=(started, ended))
        client.start()
        assert started.wait(DEADLINE), f"the client does not work after {number} kills"
        guest.host("kill_mcu")
        client.join(DEADLINE)
        if client.is_alive():
            faulthandler.dump_traceback()  # to the console, which a failed test shows
        assert not client.is_alive(), f"a call hangs after {number + 1} kills"
        guest.until(lambda: not any(devices.glob("*.rpmsg-io-0.*")), "the channel's end")
        guest.host("attach_mcu")
    assert len(ended) == count and set(ended) <= {errno.ENODEV, errno.ETIMEDOUT}, ended
    guest.say(f"{count} kills: {collections.Counter(map(errno.errorcode.get, ended))}")


def conform(guest: Guest, drive: list[str]) -> None:
    the_channel(guest)
    done = run(Options("rpmsg:", drive=drive))
    assert not {r.check.id: r.message for r in done.results if r.outcome == FAILED}
    assert done.count(PASSED) >= 39


def long(guest: Guest, operations: int, edges: int) -> None:
    the_channel(guest)
    use(guest, operations, edges)


# ---- outside --------------------------------------------------------------------------


def test_the_kernels_bus_and_a_crash(kernel: Path, ring_mcu: RingMcu) -> None:
    run_inside(kernel, ring_mcu, life)


def test_conformance_through_the_kernel(kernel: Path, ring_mcu: RingMcu) -> None:
    run_inside(kernel, ring_mcu, conform, ["P1", "P2"])


@pytest.mark.slow
@pytest.mark.timeout(3700)
def test_a_hundred_thousand_operations_and_edges(kernel: Path, ring_mcu: RingMcu) -> None:
    run_inside(kernel, ring_mcu, long, 100_000, 100_000, timeout_s=3600)


# The RAM of mps2-an385 is a window of 16 MB, and Linux places its rings anywhere in the long run.
@pytest.mark.slow
@pytest.mark.timeout(1900)
@pytest.mark.parametrize("ring_mcu", ["sifive_u", "mps3-an536"], indirect=True)
def test_fifty_kills_under_load(kernel: Path, ring_mcu: RingMcu) -> None:
    run_inside(kernel, ring_mcu, crashes, 50, timeout_s=1800)
