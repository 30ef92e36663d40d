# SPDX-License-Identifier: BSD-3-Clause
"""Watching lines (libgpiod's tests_info_event, and the kernel's queue)."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import time
from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

import bridge as gpiod
from bridge.line import Direction
from tests.client.libgpiod.conftest import MakeSim
from tests.sim import SILENT_MS
from tests.sim import Chip as Sim

REQUESTED = gpiod.InfoEvent.Type.LINE_REQUESTED
RELEASED = gpiod.InfoEvent.Type.LINE_RELEASED
CHANGED = gpiod.InfoEvent.Type.LINE_CONFIG_CHANGED
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)


def next_event(chip: gpiod.Chip) -> gpiod.InfoEvent:
    assert chip.wait_info_event(30)
    return chip.read_info_event()


def test_the_snapshot(chip: gpiod.Chip) -> None:
    assert chip.watch_line_info(7).offset == 7
    assert chip.watch_line_info(line=6).offset == 6
    assert chip.watch_line_info("foo").name == "foo"


def test_wrong_lines(chip: gpiod.Chip) -> None:
    for wrong in (8, -1):
        with pytest.raises(ValueError):
            chip.watch_line_info(wrong)
    for use in (chip.watch_line_info, chip.unwatch_line_info):
        with pytest.raises(TypeError):
            use()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            use(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        chip.unwatch_line_info(8)


def test_watched_twice_and_not_watched(chip: gpiod.Chip) -> None:
    chip.watch_line_info(3)
    with pytest.raises(OSError) as error:
        chip.watch_line_info(3)
    assert error.value.errno == errno.EBUSY
    with pytest.raises(OSError) as error:
        chip.unwatch_line_info(4)
    assert error.value.errno == errno.EBUSY


def test_no_event_in_time(chip: gpiod.Chip) -> None:
    chip.watch_line_info(7)
    assert not chip.wait_info_event(timedelta(milliseconds=10))
    assert not chip.wait_info_event(timeout=0.01)
    assert not chip.wait_info_event(0)
    with pytest.raises(ValueError):
        chip.wait_info_event(-1)


def test_request_reconfigure_release(sim: Sim, chip: gpiod.Chip) -> None:
    info = chip.watch_line_info(7)
    assert info.direction is Direction.INPUT
    with gpiod.request_lines(sim.dev_path, {7: None}) as request:
        stamps = [time.monotonic_ns()]
        first = next_event(chip)
        assert (first.event_type, first.line_info.direction) == (REQUESTED, Direction.INPUT)
        assert first.line_info.offset == 7
        request.reconfigure_lines({7: OUTPUT})
        second = next_event(chip)
        assert (second.event_type, second.line_info.direction) == (CHANGED, Direction.OUTPUT)
    third = next_event(chip)
    assert (third.event_type, third.line_info.direction) == (RELEASED, Direction.OUTPUT)
    assert not third.line_info.used
    assert not chip.wait_info_event(0)
    assert first.timestamp_ns < second.timestamp_ns < third.timestamp_ns < time.monotonic_ns()
    assert first.timestamp_ns < stamps[0]
    assert chip.get_line_info(7).direction is Direction.OUTPUT  # stale, as in the kernel


def test_the_chip_that_requests_sees_it_too(chip: gpiod.Chip) -> None:
    chip.watch_line_info(7)
    with chip.request_lines({7: None}):
        assert select.select([chip], [], [], 30)[0] == [chip]
        event = chip.read_info_event()
        assert (event.event_type, event.line_info.offset) == (REQUESTED, 7)


def test_unwatch(chip: gpiod.Chip) -> None:
    chip.watch_line_info(5)
    with chip.request_lines({5: None}):
        assert next_event(chip).event_type is REQUESTED
        chip.unwatch_line_info("foo")  # watched by offset
    assert not chip.wait_info_event(0)


def test_events_that_wait_outlive_the_watch(chip: gpiod.Chip) -> None:
    chip.watch_line_info(0)
    with chip.request_lines({0: None}):
        pass
    chip.unwatch_line_info(0)
    assert [next_event(chip).event_type for _ in range(2)] == [REQUESTED, RELEASED]


def test_lines_that_are_not_watched_are_silent(chip: gpiod.Chip, sim: Sim) -> None:
    chip.watch_line_info(0)
    with gpiod.Chip(sim.dev_path) as other, chip.request_lines({1: None}):
        assert not chip.wait_info_event(0)
        assert not other.wait_info_event(0)


def test_each_open_chip_has_its_own_watches(chip: gpiod.Chip, sim: Sim) -> None:
    with gpiod.Chip(sim.dev_path) as other:
        chip.watch_line_info(2)
        other.watch_line_info(2)
        with chip.request_lines({2: None}):
            assert next_event(chip) == next_event(other)
            other.unwatch_line_info(2)
        assert next_event(chip).event_type is RELEASED
        assert not other.wait_info_event(0)


def test_32_events_wait_and_the_newest_is_dropped(chip: gpiod.Chip) -> None:
    chip.watch_line_info(0)
    with chip.request_lines({0: None}) as request:
        for number in range(40):
            request.reconfigure_lines({0: gpiod.LineSettings(Direction.OUTPUT)})
            assert number >= 0
    kinds = []
    stamps = []
    while chip.wait_info_event(0):
        event = chip.read_info_event()
        kinds.append(event.event_type)
        stamps.append(event.timestamp_ns)
    assert kinds == [REQUESTED] + 31 * [CHANGED]
    assert stamps == sorted(stamps)
    with chip.request_lines({0: None}):  # there is room again
        assert next_event(chip).event_type is REQUESTED


def test_readable_exactly_while_events_wait(chip: gpiod.Chip) -> None:
    poller = select.poll()
    poller.register(chip, select.POLLIN)
    chip.watch_line_info(0)
    assert poller.poll(0) == []
    with chip.request_lines({0: None}):
        pass
    for _ in range(2):
        assert poller.poll(0) == [(chip.fd, select.POLLIN)]
        chip.read_info_event()
    assert poller.poll(0) == []


def test_o_nonblock(chip: gpiod.Chip) -> None:
    flags = fcntl.fcntl(chip.fd, fcntl.F_GETFL)
    assert not flags & os.O_NONBLOCK
    fcntl.fcntl(chip.fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        chip.read_info_event()


def test_a_failed_request_is_undone_in_sight(make_sim: MakeSim) -> None:
    """Lines that were taken before the request failed are reported as released."""
    sim = make_sim(timeout_ms=SILENT_MS)
    chip = gpiod.Chip(sim.dev_path)
    chip.watch_line_info(0)
    sim.stub.fault("stall", "on")
    with pytest.raises(TimeoutError):
        chip.request_lines({0: OUTPUT})
    sim.stub.fault("stall", "off")
    assert next_event(chip).event_type is RELEASED
    chip.close()


def test_the_string_form(chip: gpiod.Chip) -> None:
    chip.watch_line_info(0)
    with chip.request_lines({0: None}):
        event = next_event(chip)
    assert re.fullmatch(
        r"<InfoEvent type=Type\.LINE_REQUESTED timestamp_ns=\d+ line_info=<LineInfo offset=0 "
        r'name="None" used=True consumer="\?" direction=Direction\.INPUT active_low=False '
        r"bias=Bias\.UNKNOWN drive=Drive\.PUSH_PULL edge_detection=Edge\.NONE "
        r"event_clock=Clock\.MONOTONIC debounced=False debounce_period=0:00:00>>",
        str(event),
    )
    for name in ("event_type", "timestamp_ns", "line_info"):
        with pytest.raises(FrozenInstanceError):
            setattr(event, name, 0)
    assert len({event, event}) == 1


def test_the_attributes_of_a_line_travel_with_the_event(chip: gpiod.Chip) -> None:
    settings = gpiod.LineSettings(
        edge_detection=gpiod.line.Edge.FALLING,
        bias=gpiod.line.Bias.PULL_UP,
        active_low=True,
        debounce_period=timedelta(microseconds=123),
        event_clock=gpiod.line.Clock.REALTIME,
    )
    chip.watch_line_info("foo")
    with chip.request_lines({"foo": settings}, consumer="x" * 40):
        info = next_event(chip).line_info
        assert info == chip.get_line_info("foo")
    assert (info.consumer, info.name, info.active_low) == ("x" * 31, "foo", True)
    assert info.edge_detection is gpiod.line.Edge.FALLING
    assert info.bias is gpiod.line.Bias.PULL_UP
    assert info.event_clock is gpiod.line.Clock.REALTIME
    assert (info.debounced, info.debounce_period) == (True, timedelta(microseconds=123))
    assert chip.get_line_info("foo").event_clock is gpiod.line.Clock.REALTIME  # kept
    assert not chip.get_line_info("foo").debounced


def test_the_chip_goes(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=2)
    with gpiod.Chip(sim.dev_path) as chip, chip.request_lines({0: None}) as request:
        chip.watch_line_info(0)
        info = chip.get_info()
        request.reconfigure_lines({0: OUTPUT})  # an event that can not be read any more
        sim.stub.kill()
        poller = select.poll()
        for fd in (chip, request):
            poller.register(fd, 0)
        gone: dict[int, int] = {}
        while len(gone) < 2:
            ready = poller.poll(30_000)
            assert ready, "HUP"
            for fd, what in ready:
                gone[fd] = what
                poller.unregister(fd)
        assert gone == dict.fromkeys((chip.fd, request.fd), select.POLLHUP | select.POLLERR)
        assert chip.wait_info_event(0)
        assert request.wait_edge_events(0)
        for use in (
            chip.read_info_event,
            request.read_edge_events,
            request.get_values,
            lambda: request.set_value(0, gpiod.line.Value.ACTIVE),
            lambda: request.reconfigure_lines({0: OUTPUT}),
            lambda: chip.get_line_info(0),
            lambda: chip.watch_line_info(1),
            lambda: chip.unwatch_line_info(0),
            lambda: chip.request_lines({1: None}),
            lambda: chip.line_offset_from_id("x"),
        ):
            with pytest.raises(OSError) as error:
                use()
            assert error.value.errno == errno.ENODEV, use
        assert chip.get_info() == info


def test_a_chip_that_came_back_is_another_one(make_sim: MakeSim) -> None:
    sim = make_sim(num_lines=2)
    with gpiod.Chip(sim.dev_path) as before:
        sim.stub.kill()
        assert before.wait_info_event(30)
        sim.stub.start()
        assert sim._thread.wait_chip(sim.name) == sim.name
        with pytest.raises(OSError) as error:
            before.get_line_info(0)
        assert error.value.errno == errno.ENODEV
        with gpiod.Chip(sim.dev_path) as after:
            assert not after.get_line_info(0).used
