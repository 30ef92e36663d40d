# SPDX-License-Identifier: BSD-3-Clause
"""Every extension refused alone, none, and all: the lines work, and say what they can."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

import pytest

import bridge as gpiod
from bridge import wire
from bridge.bench.rig import Rig
from bridge.client.control import Connection
from bridge.clock_info import ClockInfo
from bridge.line import Bias, Clock, Direction, Drive, Edge, Value
from firmware_stub import Stub
from tests.processes import LATE_S

ACTIVE, INACTIVE = Value.ACTIVE, Value.INACTIVE
RISING, FALLING = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE
BOTH = gpiod.LineSettings(edge_detection=Edge.BOTH)
INPUT = gpiod.LineSettings(direction=Direction.INPUT)
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)

OFFSET_NS, DRIFT = 7 * 3600 * 10**9, 100e-6
BOARD = """
controller 0 label "matrix" lines 70
line 0/0 OUT_A
wire 0/0 0/1
wire 0/2 0/3
wire 0/64 0/65
clock-offset 7h
clock-drift 100ppm
"""
OUT_A, IN_A, OUT_B, IN_B, SENSOR, FREE, OUT_C, IN_C = 0, 1, 2, 3, 4, 5, 64, 65

# RPMSG_GPIO_LINE_* as `Stub.config` tells them.
PULL_UP, OPEN_DRAIN = 1 << 0, 1 << 3


class Case(NamedTuple):
    """Which extensions are left, in which dialect, and who refuses the others."""

    names: tuple[str, ...]
    dialect: str
    by_service: bool

    def __str__(self) -> str:
        """The id of a test."""
        missing = [name for name in wire.FEATURES if name not in self.names]
        what = "all" if not missing else "none" if not self.names else f"no-{'-'.join(missing)}"
        return f"{what}-{self.dialect}{'-by-service' if self.by_service else ''}"


def cases() -> Iterator[Case]:
    """The matrix."""
    every = tuple(wire.FEATURES)
    sets = [every, (), *(tuple(n for n in every if n != refused) for refused in every)]
    for names in sets:
        for dialect in ("rpmsg-gpio", "rpmsg-gpio-padded"):
            yield Case(names, dialect, False)
        if names != every:
            yield Case(names, "rpmsg-gpio", True)


def start(case: Case) -> Rig:
    """A board of `case` and a service on it."""
    names = ",".join(case.names) or "none"
    if case.by_service:
        offered = "all,counters"
        arguments = ("--extensions", names)
        return Rig(board=BOARD, dialect=case.dialect, features=offered, arguments=arguments)
    return Rig(board=BOARD, dialect=case.dialect, features=names)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_matrix(case: Case) -> None:
    with start(case) as rig, rig.chip() as chip:
        assert negotiated(rig) == list(case.names)
        values_one_by_one(chip)
        many_values(rig.stub, chip, "bulk" in case.names)
        edges(rig.stub, chip, "timestamp" in case.names)
        a_burst_shows_its_gaps(rig.stub, chip)
        if "timestamp" in case.names:
            source_clock(rig.stub, chip)
        else:
            no_source_clock(chip)
        configuration(rig.stub, chip, "line-config" in case.names)


def negotiated(rig: Rig) -> list[str]:
    """The accepted extensions, as the service shows them."""
    connection = Connection.open(rig.serve.socket)
    try:
        (chip,) = connection.call("chips")["chips"]
        features: list[str] = chip["features"]
        return features
    finally:
        connection.close()


def values_one_by_one(chip: gpiod.Chip) -> None:
    with chip.request_lines({OUT_A: OUTPUT, IN_A: INPUT}) as request:
        for value in (ACTIVE, INACTIVE, ACTIVE):
            request.set_value(OUT_A, value)
            assert request.get_value(IN_A) is value


def many_values(stub: Stub, chip: gpiod.Chip, at_once: bool) -> None:
    """Read and write lines that do not fit one message."""
    outputs, inputs = (OUT_A, OUT_B, OUT_C), (IN_A, IN_B, IN_C)
    low = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=True)
    with chip.request_lines({(OUT_A, OUT_B): OUTPUT, OUT_C: low, inputs: INPUT}) as request:
        for pattern in (0b000, 0b111, 0b010, 0b101, 0b111):
            values = [Value(pattern >> n & 1) for n in range(3)]
            request.set_values(dict(zip(outputs, values, strict=True)))
            assert request.get_values(inputs)[:2] == values[:2]
            assert request.get_value(IN_C) is not values[2]
            assert request.get_values(outputs) == values
        request.set_values({OUT_A: INACTIVE, OUT_B: INACTIVE})
        together = stub.edge(f"0/{OUT_A}").step == stub.edge(f"0/{OUT_B}").step
        # Without BULK there is a message for each line: the same step is possible, but not certain.
        assert together or not at_once


def edges(stub: Stub, chip: gpiod.Chip, stamped: bool) -> None:
    """Edges as fast as the firmware can send them: all come, in order, with their time."""
    count, line = 200, f"0/{SENSOR}"
    if stamped:
        learn_clock(stub, chip)
    arrivals = chip.clock().by_arrival if stamped else 0
    with chip.request_lines({SENSOR: BOTH}, event_buffer_size=2 * count) as request:
        stub.wait_armed(line)
        stub.trace(line, 2 * count)
        before = time.monotonic_ns()
        stub.pulse(line, count, 0)
        seen: list[gpiod.EdgeEvent] = []
        while len(seen) < 2 * count:
            assert request.wait_edge_events(30), f"{len(seen)} edges of {2 * count}"
            seen += request.read_edge_events()
        after = time.monotonic_ns()
        bound = chip.clock().edges_bound_ns if stamped else 0
        arrivals = chip.clock().by_arrival - arrivals if stamped else 0
    assert [event.line_seqno for event in seen] == list(range(1, 2 * count + 1))
    assert [event.global_seqno for event in seen] == list(range(1, 2 * count + 1))
    assert {event.line_offset for event in seen} == {SENSOR}
    assert [event.event_type for event in seen] == [RISING, FALLING] * count
    stamps = [event.timestamp_ns for event in seen]
    assert before <= stamps[0] + bound
    assert stamps == sorted(stamps)
    assert stamps[-1] <= after
    truth = stub.times(line)
    if not stamped:  # an arrival is never before its edge
        assert all(stamp > true for stamp, true in zip(stamps, truth, strict=True))
        return
    errors = [abs(stamp - true) for stamp, true in zip(stamps, truth, strict=True)]
    # On a busy host the clock may be known too badly: such edges are counted.
    assert sum(error > bound for error in errors) <= arrivals


def _well(clock: ClockInfo) -> bool:
    return clock.bound_ns < 200_000 and clock.samples > 12


def learn_clock(stub: Stub, chip: gpiod.Chip, known: Callable[[ClockInfo], bool] = _well) -> None:
    """Edges make the service learn the coprocessor's clock (docs/timing.md)."""
    line, deadline = f"0/{SENSOR}", time.monotonic() + 60
    with chip.request_lines({SENSOR: BOTH}) as request:
        for level in itertools.cycle((1, 0)):
            stub.wait_armed(line)
            stub.drive(line, level)
            assert request.wait_edge_events(30)
            request.read_edge_event_array()
            clock = chip.clock()
            if not level and clock.known and known(clock):
                break
            assert time.monotonic() < deadline, clock
    stub.float_(line)


def a_burst_shows_its_gaps(stub: Stub, chip: gpiod.Chip) -> None:
    """More edges than may be sent: the last level is right, and the numbers never lie."""
    line = f"0/{SENSOR}"
    with chip.request_lines({SENSOR: BOTH}) as request:  # a buffer of 16
        stub.wait_armed(line)
        made = stub.count(line).edges + 800
        stub.pulse(line, 400, 1_000_000)
        stub.wait_edges(line, made, timeout=LATE_S)
        stub.wait_armed(line)  # everything is sent, and comes before the answer to the next request
        assert request.get_value(SENSOR) is INACTIVE
        seen: list[gpiod.EdgeEvent] = []
        while request.wait_edge_events(0):
            seen += request.read_edge_events()
        assert seen
        numbers = [event.line_seqno for event in seen]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] <= 800
        assert seen[-1].event_type is FALLING
        assert request.get_value(SENSOR) is INACTIVE
        stub.wait_armed(line)
        stub.drive(line, 1)
        assert request.wait_edge_events(30)
        (event,) = request.read_edge_events()
        assert (event.event_type, event.line_seqno) == (RISING, numbers[-1] + 1)
    stub.float_(line)


def source_clock(stub: Stub, chip: gpiod.Chip) -> None:
    """The HTE clock is the coprocessor's own."""
    line = f"0/{SENSOR}"
    settings = gpiod.LineSettings(edge_detection=Edge.BOTH, event_clock=Clock.HTE)
    with chip.request_lines({SENSOR: settings}) as request:
        assert chip.get_line_info(SENSOR).event_clock is Clock.HTE
        stub.wait_armed(line)
        stub.drive(line, 1)
        assert request.wait_edge_events(30)
        (event,) = request.read_edge_events()
        now = stub.clock_read()
        since = (now.board - stub.edge(line).time) * (1 + DRIFT)
        assert abs(event.timestamp_ns - (now.device - since)) < 1000
    stub.float_(line)
    clock = chip.clock()
    assert clock.known
    assert abs(clock.device_ns - clock.host_ns - OFFSET_NS) < 10**9
    assert clock.samples >= 3
    # On a busy host it takes longer until only few answers are late.
    learn_clock(stub, chip, lambda clock: abs(clock.drift_ppb - 100_000) < 1_000_000)


def no_source_clock(chip: gpiod.Chip) -> None:
    settings = gpiod.LineSettings(edge_detection=Edge.BOTH, event_clock=Clock.HTE)
    with pytest.raises(NotImplementedError, match="TIMESTAMP"):
        chip.request_lines({SENSOR: settings})
    with pytest.raises(NotImplementedError, match="TIMESTAMP"):
        chip.clock()
    assert not chip.get_line_info(SENSOR).used


def configuration(stub: Stub, chip: gpiod.Chip, hardware: bool) -> None:
    """The pin does it where it can; otherwise it is done as the kernel does it."""
    line = f"0/{FREE}"
    pulled = gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_UP)
    with chip.request_lines({FREE: pulled}) as request:
        assert request.get_value(FREE) is (ACTIVE if hardware else INACTIVE)
        assert stub.config(line).flags == (PULL_UP if hardware else 0)
        assert chip.get_line_info(FREE).bias is Bias.PULL_UP  # as the kernel shows it
    assert stub.config(line).flags == 0  # forgotten with the direction

    drain = gpiod.LineSettings(direction=Direction.OUTPUT, drive=Drive.OPEN_DRAIN)
    stub.pull(line, "up")
    with chip.request_lines({FREE: drain}) as request:
        for value in (ACTIVE, INACTIVE, ACTIVE):
            request.set_value(FREE, value)
            assert request.get_value(FREE) is value
        assert stub.config(line).flags == (OPEN_DRAIN if hardware else 0)
        assert stub.state(line).direction == ("out" if hardware else "in")
        stub.drive(line, 0)  # somebody else may pull it down
        assert request.get_value(FREE) is INACTIVE
    stub.float_(line)
    stub.pull(line, "none")

    calm = gpiod.LineSettings(
        edge_detection=Edge.RISING, debounce_period=timedelta(milliseconds=20)
    )
    with chip.request_lines({FREE: calm}) as request:
        assert stub.config(line).debounce == (20_000 if hardware else 0)
        assert chip.get_line_info(FREE).debounce_period == timedelta(milliseconds=20)
        stub.trace(line, 1)
        for level in (1, 0, 1, 0, 1):
            stub.drive(line, level)
        assert request.wait_edge_events(30)
        (event,) = request.read_edge_events(1)
        assert (event.event_type, event.line_seqno) == (RISING, 1)
        # Not that of the last one: on a busy host the first level may last longer than the filter.
        assert event.timestamp_ns >= stub.times(line)[0] + 19_000_000
        # The pin's filter has a maximum; beyond it the pump debounces.
        longer = gpiod.LineSettings(edge_detection=Edge.RISING, debounce_period=timedelta(hours=1))
        request.reconfigure_lines({FREE: longer})
        assert stub.config(line).debounce == 0
    stub.float_(line)


def test_pins_that_cannot_are_emulated() -> None:
    with Rig(board=BOARD) as rig, rig.chip() as chip:
        rig.stub.caps(f"0/{FREE}")
        configuration(rig.stub, chip, False)


def test_a_pin_of_an_earlier_session_is_set_anew() -> None:
    """A service that was killed leaves a pull behind; the next one takes it away."""
    board = BOARD
    with Rig(board=board, arguments=("--on-release", "keep")) as rig:
        with rig.chip() as chip:
            settings = gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_UP)
            chip.request_lines({FREE: settings}).release()
        assert rig.stub.config(f"0/{FREE}").flags == PULL_UP
        rig.serve.stop()
        with rig.serve:
            rig.serve.wait_for_chips(1)
            with rig.chip() as chip, chip.request_lines({FREE: INPUT}) as request:
                assert request.get_value(FREE) is INACTIVE
                assert rig.stub.config(f"0/{FREE}").flags == 0
