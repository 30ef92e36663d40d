# SPDX-License-Identifier: BSD-3-Clause
"""Edges, buffers and debounce (libgpiod's tests_edge_event, and the kernel's rules)."""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

import bridge as gpiod
from bridge.line import Clock, Direction, Edge, Value
from tests.client.libgpiod.conftest import MakeSim
from tests.sim import Chip as Sim

UP, DOWN = Sim.Pull.UP, Sim.Pull.DOWN
RISING, FALLING = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE
PERIOD_MS = 30
LONG_MS = 300  # even a busy machine finds time for something else meanwhile

Eventually = Callable[[Callable[[], bool], str], None]


def edges(edge: Edge, debounce_ms: float = 0, **more: object) -> gpiod.LineSettings:
    period = timedelta(milliseconds=debounce_ms)
    return gpiod.LineSettings(edge_detection=edge, debounce_period=period, **more)  # type: ignore[arg-type]


def events_of(request: gpiod.LineRequest, count: int) -> list[gpiod.EdgeEvent]:
    found: list[gpiod.EdgeEvent] = []
    while len(found) < count:
        assert request.wait_edge_events(30), f"only {len(found)} of {count} events"
        found += request.read_edge_events()
    return found


def taken(sim: Sim, request: gpiod.LineRequest, line: int) -> None:
    """Return when every edge of a line that the firmware reported is an event."""
    sim.stub.wait_armed(f"0/{line}")
    request.get_value(line)  # this comes after them


def test_no_event_in_time(chip: gpiod.Chip) -> None:
    with chip.request_lines({0: edges(Edge.BOTH)}) as request:
        assert request.wait_edge_events(timedelta(milliseconds=10)) is False
        assert request.wait_edge_events(0.01) is False


def test_both_edges(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({2: edges(Edge.BOTH)}) as request:
        sim.set_pull(2, UP)
        (first,) = events_of(request, 1)
        sim.set_pull(2, DOWN)
        (second,) = events_of(request, 1)
        assert (first.event_type, first.line_offset) == (RISING, 2)
        assert (second.event_type, second.line_offset) == (FALLING, 2)
        assert first.timestamp_ns < second.timestamp_ns


@pytest.mark.parametrize(("edge", "kind"), [(Edge.RISING, RISING), (Edge.FALLING, FALLING)])
@pytest.mark.parametrize("active_low", [False, True])
def test_one_edge(chip: gpiod.Chip, sim: Sim, edge: Edge, kind: object, active_low: bool) -> None:
    with chip.request_lines({6: edges(edge, active_low=active_low)}) as request:
        sim.set_pull(6, UP)
        sim.set_pull(6, DOWN)
        (event,) = events_of(request, 1)
        assert event.event_type is kind
        assert not request.wait_edge_events(0.01)


def test_sequence_numbers(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({(2, 4): edges(Edge.BOTH)}) as request:
        sim.set_pull(2, UP)
        sim.set_pull(4, UP)
        sim.set_pull(2, DOWN)
        numbers = [(e.line_offset, e.global_seqno, e.line_seqno) for e in events_of(request, 3)]
        assert numbers == [(2, 1, 1), (4, 2, 1), (2, 3, 2)]


def test_several_events_in_one_read(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({3: edges(Edge.BOTH)}) as request:
        for pull in (UP, DOWN, UP):
            sim.set_pull(3, pull)
        taken(sim, request, 3)
        events = request.read_edge_events()
        assert [(e.global_seqno, e.line_seqno) for e in events] == [(1, 1), (2, 2), (3, 3)]


def test_select(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({2: edges(Edge.BOTH)}) as request:
        sim.set_pull(2, UP)
        assert select.select([request], [], [], 30)[0] == [request]
        assert len(request.read_edge_events()) == 1


def test_string_form(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.BOTH)}) as request:
        sim.set_pull(0, UP)
        event = request.read_edge_events()[0]  # blocks until it is there
    assert re.fullmatch(
        r"<EdgeEvent type=Type\.RISING_EDGE timestamp_ns=[0-9]+ line_offset=0 "
        r"global_seqno=1 line_seqno=1>",
        str(event),
    )


def test_the_same_pull_is_no_edge(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.BOTH)}) as request:
        sim.set_pull(0, DOWN)
        assert not request.wait_edge_events(0.01)


@pytest.mark.parametrize(
    ("size", "lines", "kept"), [(None, 1, 16), (None, 3, 64), (2, 1, 2), (5, 1, 8), (64, 1, 64)]
)
def test_the_buffer_keeps_the_newest(
    chip: gpiod.Chip, sim: Sim, size: int | None, lines: int, kept: int
) -> None:
    """A power of two of events; the numbers show what was lost."""
    config = {tuple(range(lines)): edges(Edge.BOTH)}
    count = 2 * kept
    with chip.request_lines(config, None, size) as request:
        before = sim.stub.count("0/0").interrupts
        sim.stub.wait_armed("0/0")
        sim.stub.pulse("0/0", count // 2, 0)
        deadline = time.monotonic() + 30
        while sim.stub.count("0/0").interrupts - before < count:
            assert time.monotonic() < deadline
        taken(sim, request, 0)
        numbers: list[int] = []
        while request.wait_edge_events(0):
            numbers += [event.line_seqno for event in request.read_edge_events()]
        assert numbers == list(range(count - kept + 1, count + 1))


def test_what_a_slow_reader_misses_is_a_gap(chip: gpiod.Chip, sim: Sim) -> None:
    """Every edge that the firmware reported was read, or is missing in the numbers."""
    count = 400
    with chip.request_lines({0: edges(Edge.BOTH)}, None, 32) as request:
        before = sim.stub.count("0/0").interrupts
        sim.stub.wait_armed("0/0")
        sim.stub.pulse("0/0", count // 2, 0)
        numbers: list[int] = []
        while not numbers or numbers[-1] < count:
            assert request.wait_edge_events(30), f"nothing behind {numbers[-1:]}"
            numbers += [event.line_seqno for event in request.read_edge_events(1)]
        assert sim.stub.count("0/0").interrupts - before == count
        assert numbers == sorted(set(numbers))
        assert set(range(count - 31, count + 1)) <= set(numbers)
        assert not request.wait_edge_events(0)


def test_a_client_that_never_reads_delays_nobody(
    chip: gpiod.Chip, sim: Sim, eventually: Eventually
) -> None:
    with (
        chip.request_lines({0: edges(Edge.BOTH)}, "lazy", 4) as lazy,
        chip.request_lines({1: edges(Edge.BOTH)}, "keen") as keen,
    ):
        for level in 20 * (UP, DOWN):
            sim.set_pull(0, level)
            sim.set_pull(1, level)
            (event,) = events_of(keen, 1)
            assert event.event_type is (RISING if level is UP else FALLING)
        assert [event.line_seqno for event in lazy.read_edge_events()] == [37, 38, 39, 40]


# ---- debounce ----------------------------------------------------------------------


@pytest.mark.parametrize("features", ["all", "none"])
def test_a_stable_level_is_an_edge(make_sim: MakeSim, features: str) -> None:
    sim = make_sim(num_lines=1, features=features)
    with gpiod.request_lines(sim.dev_path, {0: edges(Edge.BOTH, LONG_MS)}) as request:
        before = time.monotonic_ns()
        sim.set_pull(0, UP)
        assert request.get_value(0) is Value.INACTIVE  # not yet
        (event,) = events_of(request, 1)
        assert (event.event_type, event.line_seqno) == (RISING, 1)
        # The event has the time at which the level had been stable for the period.
        assert event.timestamp_ns - before >= LONG_MS * 1_000_000
        assert request.get_value(0) is Value.ACTIVE


def test_bounces_are_no_edges(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.BOTH, LONG_MS)}) as request:
        for pull in 10 * (UP, DOWN):
            sim.set_pull(0, pull)
        assert not request.wait_edge_events(2 * LONG_MS / 1000)
        for pull in (UP, DOWN, UP):
            sim.set_pull(0, pull)
        (event,) = events_of(request, 1)
        assert (event.event_type, event.line_seqno) == (RISING, 1)
        assert not request.wait_edge_events(2 * LONG_MS / 1000)


def test_debounce_reports_the_edge_that_is_asked_for(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.FALLING, 1, active_low=True)}) as request:
        sim.set_pull(0, UP)
        (event,) = events_of(request, 1)
        assert event.event_type is FALLING
        sim.set_pull(0, DOWN)
        assert not request.wait_edge_events(0.05)


def test_debounce_without_edges_filters_values(
    chip: gpiod.Chip, sim: Sim, eventually: Eventually
) -> None:
    settings = gpiod.LineSettings(Direction.INPUT, debounce_period=timedelta(milliseconds=LONG_MS))
    with chip.request_lines({0: settings, 1: None}) as request:
        sim.set_pull(0, UP)
        assert request.get_values() == [Value.INACTIVE, Value.INACTIVE]
        eventually(lambda: request.get_value(0) is Value.ACTIVE, "the level settles")
        assert not request.wait_edge_events(0)


def test_debounce_is_reconfigured(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.BOTH, 60_000)}) as request:
        request.reconfigure_lines({0: edges(Edge.BOTH, 1)})
        assert chip.get_line_info(0).debounce_period == timedelta(milliseconds=1)
        sim.set_pull(0, UP)
        assert events_of(request, 1)[0].event_type is RISING
        request.reconfigure_lines({0: edges(Edge.BOTH)})
        assert not chip.get_line_info(0).debounced
        sim.set_pull(0, DOWN)
        assert events_of(request, 1)[0].event_type is FALLING
        request.reconfigure_lines({0: edges(Edge.RISING, 1)})
        sim.set_pull(0, UP)
        assert [e.line_seqno for e in events_of(request, 1)] == [3]


def test_a_request_that_goes_while_it_debounces(chip: gpiod.Chip, sim: Sim) -> None:
    for _ in range(3):
        with chip.request_lines({0: edges(Edge.BOTH, PERIOD_MS)}):
            sim.set_pull(0, UP)
            sim.set_pull(0, DOWN)
    with chip.request_lines({0: edges(Edge.BOTH)}) as request:
        assert not request.wait_edge_events(2 * PERIOD_MS / 1000)


def test_realtime_debounce(chip: gpiod.Chip, sim: Sim) -> None:
    with chip.request_lines({0: edges(Edge.BOTH, 1, event_clock=Clock.REALTIME)}) as request:
        before = time.time_ns()
        sim.set_pull(0, UP)
        (event,) = events_of(request, 1)
        assert before <= event.timestamp_ns <= time.time_ns()


def test_readers_in_several_threads(chip: gpiod.Chip, sim: Sim) -> None:
    """Each event goes to one of them."""
    count = 100
    with chip.request_lines({0: edges(Edge.BOTH)}, None, 256) as request:
        seen: list[int] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                if request.wait_edge_events(0.1):
                    seen.extend(event.line_seqno for event in request.read_edge_events(1))
                if len(seen) >= count:
                    done.set()

        readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
        for reader in readers:
            reader.start()
        sim.stub.wait_armed("0/0")
        sim.stub.pulse("0/0", count // 2, 0)
        assert done.wait(30)
        # A reader that lost the race for the last event blocks, so there is one more edge for each.
        for pull in (UP, DOWN):
            sim.set_pull(0, pull)
        for reader in readers:
            reader.join(30)
        assert sorted(seen)[:count] == list(range(1, count + 1))
