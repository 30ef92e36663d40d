# SPDX-License-Identifier: BSD-3-Clause
"""[[chip]]: one chip out of lines of two controllers, for local clients and guests."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bridge
from bridge import Chip, InfoEvent, LineSettings, wire
from bridge.bench.rig import Rig
from bridge.line import Direction, Drive, Edge, Value

from .frontend import BOTH, IN, OUT, SET_DIRECTION, SET_IRQ_TYPE, SET_VALUE, VALID, Frontend

CONFIG = """
[[chip]]
name = "car"
label = "the car"
lines = ["fw-1:STATUS_LED=brake", "fw-0:LOOP_OUT", "fw-0:LOOP_IN", "fw-1:SENSOR_READY=ready",
         "fw-1:EN_SENSOR=enable", "fw-0:0"]
"""
NAMES = ["brake", "LOOP_OUT", "LOOP_IN", "ready", "enable", "LED_GREEN"]


def serve(path: Path, *arguments: str, features: str = "all") -> Rig:
    path.write_text(CONFIG)
    arguments = ("-v", "--config", str(path), *arguments)
    return Rig(features, arguments=arguments, aggregates=1)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with serve(tmp_path / "config.toml") as running:
        yield running


def car(rig: Rig) -> Chip:
    return Chip(f"{rig.serve.socket}#car")


def test_names_and_order(rig: Rig) -> None:
    with car(rig) as chip:
        assert (chip.get_info().num_lines, chip.get_info().label) == (6, "the car")
        assert [chip.get_line_info(offset).name for offset in range(6)] == NAMES
        assert chip.line_offset_from_id("enable") == 4


def test_values_and_edges_of_both_controllers(rig: Rig) -> None:
    outputs = LineSettings(direction=Direction.OUTPUT)
    edges = LineSettings(edge_detection=Edge.BOTH)
    config = {("enable", "LOOP_OUT"): outputs, ("LOOP_IN", "ready"): edges}
    with car(rig) as chip, chip.request_lines(config, consumer="dashboard") as request:
        for name, heard in (("enable", 3), ("LOOP_OUT", 2)):
            for level in (Value.ACTIVE, Value.INACTIVE):
                request.set_value(name, level)
                assert request.wait_edge_events(30)
                (event,) = request.read_edge_events()
                rising = event.event_type is bridge.EdgeEvent.Type.RISING_EDGE
                assert (event.line_offset, rising) == (heard, level is Value.ACTIVE)
        request.set_values({"enable": Value.ACTIVE, "LOOP_OUT": Value.ACTIVE})
        assert request.get_values(["ready", "LOOP_IN"]) == [Value.ACTIVE, Value.ACTIVE]
        assert rig.stub.read("SENSOR_READY") == 1
        request.reconfigure_lines({"enable": LineSettings(direction=Direction.INPUT)})
        assert rig.stub.state("EN_SENSOR").direction == "in"
    assert rig.stub.state("LOOP_OUT").direction == "none"
    assert rig.stub.state("EN_SENSOR").direction == "none"


def test_its_lines_are_held_on_their_own_chips(rig: Rig) -> None:
    with Chip(f"{rig.serve.socket}#fw-0") as chip:
        assert chip.get_line_info("LOOP_OUT").consumer == "chip:car"
        with pytest.raises(OSError, match="chip:car") as refused:
            chip.request_lines({"LOOP_OUT": LineSettings(direction=Direction.OUTPUT)})
        assert refused.value.errno == errno.EBUSY
        chip.request_lines({"RELAY": LineSettings(direction=Direction.OUTPUT)}).release()


def test_watchers_of_their_own_chips_see_them_used(rig: Rig) -> None:
    with Chip(f"{rig.serve.socket}#fw-0") as source, car(rig) as chip:
        source.watch_line_info("LOOP_OUT")

        def told() -> Direction:
            assert source.wait_info_event(30)
            event = source.read_info_event()
            assert event.event_type is InfoEvent.Type.LINE_CONFIG_CHANGED
            return event.line_info.direction

        output = LineSettings(direction=Direction.OUTPUT)
        with chip.request_lines({"LOOP_OUT": output}) as request:
            assert told() is Direction.OUTPUT
            assert source.get_line_info("LOOP_OUT").direction is Direction.OUTPUT
            request.reconfigure_lines({"LOOP_OUT": LineSettings(direction=Direction.INPUT)})
            assert told() is Direction.INPUT


def test_settings_and_clocks_are_those_of_each_controller(rig: Rig) -> None:
    drain = LineSettings(direction=Direction.OUTPUT, drive=Drive.OPEN_DRAIN)
    with car(rig) as chip:
        with chip.request_lines({"enable": drain}) as request:
            # With LINE_CONFIG the pin does it, and the line's direction does not change.
            request.set_value("enable", Value.ACTIVE)
            assert rig.stub.config("EN_SENSOR").flags == wire.LINE_OPEN_DRAIN
            assert rig.stub.state("EN_SENSOR").direction == "out"
        with pytest.raises(NotImplementedError, match="several controllers"):
            chip.clock()


def test_it_goes_and_comes_with_its_chips(rig: Rig, eventually: Callable[..., None]) -> None:
    settings = LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
    with car(rig) as chip:
        request = chip.request_lines({"brake": settings})
        rig.stub.restart()

        def gone() -> bool:
            try:
                request.get_value("brake")
            except OSError as error:
                return error.errno == errno.ENODEV
            return False

        eventually(gone, "the request's end")
    rig.serve.wait_for_chips(3)
    with car(rig) as chip, chip.request_lines({"brake": settings}):
        assert rig.stub.read("STATUS_LED") == 1


def test_it_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "guest.sock"
    arguments = ("--export", f"vhost-user-gpio:{path},chip=car,lines=enable,ready,LOOP_OUT")
    with serve(tmp_path / "config.toml", *arguments) as rig, Frontend(str(path)).up() as driver:
        assert driver.names(22)[1][1:] == b"enable\0ready\0LOOP_OUT\0"
        driver.ok(SET_DIRECTION, 1, IN)
        driver.ok(SET_IRQ_TYPE, 1, BOTH)
        driver.buffer(1)
        driver.ok(SET_VALUE, 0, 1)
        driver.ok(SET_DIRECTION, 0, OUT)
        assert driver.event()[1] == VALID
        assert rig.stub.read("SENSOR_READY") == 1


def test_names_of_a_links_chips_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[[chip]]\nname = "fw-2"\nlines = ["fw-0:1"]\n')
    with (
        pytest.raises(OSError, match='names that begin with "fw-" belong to chips of link fw'),
        Rig(arguments=("--config", str(path))),
    ):
        pass


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ('name = "car"', "lines: missing"),
        ('lines = ["fw-0:1"]', "name: missing"),
        ('name = "car"\nlines = ["LED"]', "names no chip"),
        ('name = "car"\nlines = ["fw-0:1", "fw-0:1"]', "chosen twice"),
        ('name = "car"\nlines = ["car:1"]', "takes lines from itself"),
        ('name = "car"\nlines = ["fw-0:1"]\nnam = 1', "unknown key"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, table: str, wrong: str) -> None:
    from bridge.service.config import ConfigError, load

    path = tmp_path / "config.toml"
    path.write_text(f"[[chip]]\n{table}\n")
    with pytest.raises(ConfigError, match=wrong):
        load(str(path))
