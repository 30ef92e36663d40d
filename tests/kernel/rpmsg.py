# SPDX-License-Identifier: BSD-3-Clause
"""Inside the kernel: its rpmsg bus, and a service on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Bias, Direction, Edge, Value
from bridge.link.rpmsg_sysfs import BusChannel, Processor, Sysfs

from .guest import Guest
from .load import DEADLINE_S, PATIENCE_S

RAW = """
controller 0 channel rpmsg-raw label "raw" lines 8
line 0/0 LED_GREEN
line 0/4 LOOP_OUT
line 0/5 LOOP_IN
line 0/6 BUTTON_USER
wire LOOP_OUT LOOP_IN
button BUTTON_USER active-low
"""
LED_GREEN, LOOP_OUT, LOOP_IN, BUTTON_USER = 0, 4, 5, 6


def the_processor(guest: Guest, sysfs: Sysfs, channels: int) -> Processor:
    """The one processor, when so many channels are announced."""

    def ready() -> Processor | None:
        found = sysfs.processors()
        return found[0] if found and len(controllers(sysfs, found[0])) == channels else None

    processor = guest.until(ready, f"{channels} channels announced")
    assert isinstance(processor, Processor)
    return processor


def controllers(sysfs: Sysfs, processor: Processor) -> list[BusChannel]:
    return [c for c in sysfs.channels(processor) if c.name.startswith("rpmsg-")]


@contextmanager
def serving(*urls: str, arguments: tuple[str, ...] = ()) -> Iterator[Serve]:
    directory = Path("/run/tmp/serve")
    directory.mkdir(exist_ok=True)
    links = [word for url in urls for word in ("--link", url)]
    deadline = ("--timeout-ms", str(int(DEADLINE_S * 1000)))
    with Serve(directory, *links, *deadline, *arguments) as serve:
        try:
            yield serve
        finally:
            print(serve.log, flush=True)


def scenario(guest: Guest, serve: Serve, name: str, index: int = 0) -> None:
    """The demo's: an LED, a loop, a button, on the demo board or RAW."""
    with Chip(f"{serve.socket}#{name}") as chip:
        output = LineSettings(direction=Direction.OUTPUT)
        with chip.request_lines({LED_GREEN: output}) as led:
            for value in (Value.ACTIVE, Value.INACTIVE, Value.ACTIVE):
                led.set_value(LED_GREEN, value)
                assert guest.stub("read LED_GREEN", index) == str(value.value)
        lines = {LOOP_OUT: output, LOOP_IN: LineSettings(direction=Direction.INPUT)}
        with chip.request_lines(lines) as loop:
            for value in (Value.ACTIVE, Value.INACTIVE) * 20:
                loop.set_value(LOOP_OUT, value)
                assert loop.get_value(LOOP_IN) == value
        settings = LineSettings(edge_detection=Edge.BOTH, bias=Bias.PULL_UP, active_low=True)
        with chip.request_lines({BUTTON_USER: settings}) as button:
            for number, act in enumerate(("press", "release") * 3):
                guest.stub("wait-armed BUTTON_USER", index)
                guest.stub(f"{act} BUTTON_USER", index)
                assert button.wait_edge_events(PATIENCE_S), f"edge {number} did not come"
                (event,) = button.read_edge_events()
                assert event.event_type.value == 1 + number % 2
                assert event.line_seqno == number + 1


def second_controller(serve: Serve, chip: str) -> None:
    """The demo board's other controller is another chip, whose lines work."""
    with Chip(f"{serve.socket}#{chip}") as other:
        assert other.get_info().label == "m4-gpiob"
        lines = {
            1: LineSettings(direction=Direction.OUTPUT),
            2: LineSettings(direction=Direction.INPUT),
        }
        with other.request_lines(lines) as sensor:
            sensor.set_value(1, Value.ACTIVE)
            assert sensor.get_value(2) == Value.ACTIVE
