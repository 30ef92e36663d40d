# SPDX-License-Identifier: BSD-3-Clause
"""A recording becomes a test: played on a simulated board, or on outputs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bridge as gpiod
from bridge.line import Edge
from bridge.recording import formats
from bridge.recording.model import HIGH, LOW, UNKNOWN, Header, Signal, code_of
from firmware_stub import Stub
from tests.processes import LATE_S

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
IMAGES = Path(__file__).parents[2] / "docs/images"


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A trace from the field: an interrupt of 3 ms, unknown for a while, and one of 1 ms."""
    path = tmp_path / "field.vcd"
    writer = formats.writer("vcd", str(path), Header([Signal("SENSOR_IRQ")]), [LOW])
    changes = [(2, HIGH), (5, LOW), (6, UNKNOWN), (8, LOW), (9, HIGH), (10, LOW)]
    writer.write([ms * 1_000_000 for ms, _ in changes], [code_of(0, level) for _, level in changes])
    writer.close(12_000_000, [])
    return str(path)


def replay(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run gpio-bridge replay."""
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "replay", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )


def test_a_field_trace_becomes_a_test(file: str) -> None:
    """On a board whose time stands still, so that the pulses are exact."""
    edges = gpiod.LineSettings(edge_detection=Edge.BOTH)
    with (
        Stub("demo", step=True) as stub,
        gpiod.request_lines(stub.url, {"SENSOR_IRQ": edges}) as request,
    ):
        stub.wait_armed("SENSOR_IRQ", LATE_S)
        stub.trace("SENSOR_IRQ", 4)
        run = replay("--stub", str(stub.socket), file)
        assert run.returncode == 0, run
        times = stub.times("SENSOR_IRQ")
        assert [time - times[0] for time in times] == [0, 3_000_000, 7_000_000, 8_000_000]
        seen = []
        while len(seen) < 4:
            seen += [event.event_type.name for event in request.read_edge_events()]
        assert seen == ["RISING_EDGE", "FALLING_EDGE"] * 2


@pytest.mark.parametrize("speed", ["1", "max"])
def test_it_plays_in_real_time_and_faster(stub: Stub, file: str, speed: str) -> None:
    before = stub.count("SENSOR_IRQ").edges
    run = replay("--stub", str(stub.socket), "--speed", speed, file)
    assert stub.count("SENSOR_IRQ").edges == before + 4
    if speed == "1":
        assert re.search(r"\d changes; late by \d+ us \(median\)", run.stderr), run
    else:
        assert re.search(r"\d changes\n", run.stderr), run


def test_it_plays_step_by_step(stub: Stub, file: str) -> None:
    run = replay("--stub", str(stub.socket), "--step", file, typed="\n\n")
    assert run.stdout.splitlines()[:3] == [
        "0 ns: SENSOR_IRQ=0",
        "2 ms: SENSOR_IRQ=1",
        "5 ms: SENSOR_IRQ=0",
    ]
    assert run.returncode == 1
    assert "standard input ended: nothing more is played" in run.stderr
    assert stub.read("SENSOR_IRQ") == 0  # let go, and pulled down


def test_outputs_are_driven_from_a_recording(cli: Cli, stub: Stub, file: str) -> None:
    before = stub.count("LOOP_IN").edges
    run = cli("set", "--from", file, "LOOP_OUT=SENSOR_IRQ")
    assert run.returncode == 0, run
    assert re.search(
        r"changes; late by \d+ us \(median\), \d+ us \(p99\), \d+ us \(most\)", run.stderr
    )
    assert stub.count("LOOP_IN").edges == before + 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--stub", "/nowhere", "FILE"], "no stub listens on /nowhere.ctl"),
        (["FILE"], "--stub PATH must say which stub's board"),
        (["--stub", "/nowhere", "FILE", "SENSOR"], "no signal SENSOR in this recording"),
        (["--stub", "/nowhere", "--speed", "0", "FILE"], "invalid speed: 0"),
    ],
)
def test_what_can_not_be_played(file: str, arguments: list[str], sentence: str) -> None:
    run = replay(*(file if word == "FILE" else word for word in arguments))
    assert run.returncode == 1
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def test_a_line_that_the_board_does_not_have(stub: Stub) -> None:
    run = replay("--stub", str(stub.socket), str(IMAGES / "i2c.vcd"))
    assert run.returncode == 1
    assert "IN_0" in run.stderr
