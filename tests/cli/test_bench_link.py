# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench link: its figures on each kind of link, and what it cannot measure.

How fast anything is, no test says. tests/kernel has the same on /dev/rpmsgN.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.histogram import Histogram
from bridge.bench.rig import Rig
from firmware_stub import Stub
from tests.processes import LATE_S

FIGURES = ("min_us", "p50_us", "p99_us", "p999_us", "max_us")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "bench", "link", "--seconds", "0.2", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )


def measured(*arguments: str) -> dict[str, Any]:
    told = bench("--json", *arguments)
    assert told.returncode == 0, told.stderr
    result: dict[str, Any] = json.loads(told.stdout)
    for what in ("node", "direct", "service", "direct_edge", "service_edge"):
        if result.get(what) is not None:
            times = [result[what][key] for key in FIGURES]
            assert times == sorted(times) and times[0] > 0 and result[what]["rounds"] > 0
    return result


def test_node_direct_and_service_of_a_simulated_board() -> None:
    result = measured("--stub", "demo", "--loop", "LOOP_OUT:LOOP_IN", "--load", "1")
    assert {"node", "direct", "service", "direct_edge", "service_edge"} <= result.keys()
    for what in ("direct", "service"):
        ratio = result[what]["p50_us"] / result["node"]["p50_us"]
        assert result["ratio"][what] == pytest.approx(ratio, abs=0.01)
    assert result["load"] == 1 and result["why"] == {}


def test_with_real_time_options_beside() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: real-time priorities")
    result = measured("--stub", "demo", "--realtime", "20")
    ratio = result["service_realtime"]["p999_us"] / result["service"]["p999_us"]
    assert result["ratio"]["realtime_p999"] == pytest.approx(ratio, abs=0.01)


def test_a_serial_link() -> None:
    with Stub("demo", transport="serial") as stub:
        result = measured("--link", stub.serial_url, "--line", "BUTTON_USER")
    assert result["line"] == {"chip": result["line"]["chip"], "offset": 6, "name": "BUTTON_USER"}
    assert result["node"] and result["ratio"].keys() == {"direct", "service"}


def test_a_strict_firmware_without_extensions() -> None:
    with Stub("demo", features="none", strict=True, dialect="rpmsg-gpio") as stub:
        told = bench("--link", stub.url)
        assert told.returncode == 1 and "could not be read as it is" in told.stderr
        result = measured("--link", stub.url, "--input", "--line", "5", "--loop", "4:5")
    assert result["node"] and result["service_edge"]


def test_of_a_link_that_a_service_has_only_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rig() as rig:
        monkeypatch.setenv("GPIO_BRIDGE_SOCKET", rig.serve.socket)
        result = measured("--link", rig.stub.url)
        beside = measured("--socket", rig.serve.socket, "--line", "LOOP_IN")
    assert result["service"] and result["node"] is None and result["direct"] is None
    assert rig.serve.socket in result["why"]["node"]
    assert beside["line"]["name"] == "LOOP_IN" and beside["ratio"] == {}


def test_the_line_that_is_measured_keeps_its_direction() -> None:
    with Stub("demo") as stub:
        before = stub.state("LED_GREEN")
        measured("--link", stub.url, "--line", "LED_GREEN")
        assert stub.state("LED_GREEN") == before


def test_tables_and_plots(tmp_path: Path) -> None:
    told = bench("--stub", "demo", "--histogram", str(tmp_path / "found.csv"))
    assert told.returncode == 0, told.stderr
    assert "node\n" in told.stdout and "#" in told.stdout
    with open(tmp_path / "found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and rows[0].keys() == {"us", "node", "direct", "service"}
    for name, magic in (("found.svg", b"<?xml"), ("found.png", b"\x89PNG")):
        told = bench("--stub", "demo", "--histogram", str(tmp_path / name))
        assert told.returncode == 0, told.stderr
        assert (tmp_path / name).read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "one of --link, --stub and --socket"),
        (("--stub", "demo", "--link", "rpmsg:"), "one of --link, --stub and --socket"),
        (("--stub", "demo", "--loop", "LOOP_OUT"), "is not OUT:IN"),
        (("--stub", "demo", "--line", "NOWHERE"), "no line is called 'NOWHERE'"),
        (("--stub", "demo", "--histogram", "found.doc"), "ends in one of .csv, .png, .svg"),
        (("--stub", "demo", "--histogram", "/nowhere/found.csv"), "/nowhere/found.csv"),
        (("--socket", "/nowhere/gpio.sock"), "/nowhere/gpio.sock"),
        (("--link", "vhost-user:/nowhere/fw.sock"), "/nowhere/fw.sock"),
    ],
)
def test_what_it_cannot_do_it_says(arguments: tuple[str, ...], sentence: str) -> None:
    told = bench(*arguments)
    assert told.returncode != 0 and sentence in told.stderr
    assert "Traceback" not in told.stderr


def test_percentiles_are_those_of_the_samples() -> None:
    found = Histogram()
    found.add(range(1000, 101_000, 1000))  # 1 to 100 us
    found.add([5_000_000])
    assert found.figures() == {
        "min_us": 1.0, "p50_us": 51.0, "p99_us": 100.0, "p999_us": 5000.0, "max_us": 5000.0,
        "rounds": 101,
    }  # fmt: skip
    bars = list(found.bars())
    assert sum(int(bar.split()[4]) for bar in bars) == 101
    assert bars[-1].split()[4] == "0"
    assert found.per_us()[5000] == 1
