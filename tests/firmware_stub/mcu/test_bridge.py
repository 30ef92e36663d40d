# SPDX-License-Identifier: BSD-3-Clause
"""Service and client against the Cortex-M port in QEMU, over its UART."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Serve
from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge, Value
from firmware_stub.emulated.lm3s6965 import Mcu

DEADLINE = 30.0  # s; QEMU looks once a second whether its terminal is open


@pytest.fixture
def mcu(image: str) -> Iterator[Mcu]:
    with Mcu(image) as machine:
        yield machine


@pytest.fixture
def serve(mcu: Mcu, tmp_path: Path) -> Iterator[Serve]:
    with Serve(tmp_path, "--link", mcu.url) as service:
        service.wait_for_chips(2)
        yield service


def chips(serve: Serve) -> list[dict[str, Any]]:
    connection = Connection.open(serve.socket)
    try:
        found: list[dict[str, Any]] = connection.call("chips")["chips"]
        return found
    finally:
        connection.close()


def open_chip(serve: Serve, index: int = 0) -> Chip:
    return Chip(f"{serve.socket}#{chips(serve)[index]['name']}")


def test_chips_and_lines(serve: Serve) -> None:
    assert [(chip["label"], chip["num_lines"]) for chip in chips(serve)] == [
        ("lm3s6965 gpio", 32),
        ("lm3s6965 aux", 3),
    ]
    with open_chip(serve) as chip:
        assert chip.line_offset_from_id("BUTTON_UP") == 2


def test_values(mcu: Mcu, serve: Serve) -> None:
    config = {
        "LED": LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE),
        "PB0": LineSettings(direction=Direction.INPUT),
    }
    with open_chip(serve) as chip, chip.request_lines(config, consumer="test") as lines:
        assert (mcu.is_output("LED"), mcu.level("LED")) == (True, 1)
        lines.set_value("LED", Value.INACTIVE)
        assert mcu.level("LED") == 0
        for level in (1, 0, 1):
            mcu.drive("PB0", level)
            assert lines.get_value("PB0").value == level


def test_every_press_of_a_button_arrives(mcu: Mcu, serve: Serve) -> None:
    seen = []
    config = {"BUTTON_UP": LineSettings(edge_detection=Edge.BOTH)}
    with open_chip(serve) as chip, chip.request_lines(config, consumer="test") as lines:
        for act in (mcu.press, mcu.release) * 50:
            act("BUTTON_UP")
            assert lines.wait_edge_events(DEADLINE)
            seen += lines.read_edge_events()
    assert [event.event_type.value for event in seen] == [2, 1] * 50
    assert [event.line_seqno for event in seen] == list(range(1, 101))


def test_two_controllers_at_once(mcu: Mcu, serve: Serve) -> None:
    led = {"LED": LineSettings(direction=Direction.OUTPUT)}
    aux = {"PG0": LineSettings(direction=Direction.OUTPUT)}
    with (
        open_chip(serve) as one,
        open_chip(serve, 1) as other,
        one.request_lines(led, consumer="test") as leds,
        other.request_lines(aux, consumer="test") as auxes,
    ):
        for level in (1, 0) * 5:
            leds.set_value("LED", Value(level))
            auxes.set_value("PG0", Value(1 - level))
            assert (mcu.level("LED"), mcu.level("PG0")) == (level, 1 - level)


def test_a_reset_of_the_chip_is_a_new_epoch(mcu: Mcu, serve: Serve) -> None:
    before = {chip["epoch"] for chip in chips(serve)}
    mcu.reset()
    deadline = time.monotonic() + DEADLINE
    while {chip["epoch"] for chip in chips(serve)} & before or len(chips(serve)) < 2:
        assert time.monotonic() < deadline, serve.log
        time.sleep(0.02)
    with (
        open_chip(serve) as chip,
        chip.request_lines(
            {"LED": LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)},
            consumer="test",
        ),
    ):
        assert mcu.level("LED") == 1
