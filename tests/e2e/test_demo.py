# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge demo: every firmware, no trace left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import LATE_S

Eventually = Callable[[Callable[[], bool], str], None]
FIRMWARES = [
    ("all", "rpmsg-gpio-padded"),
    ("none", "rpmsg-gpio-padded"),
    ("all", "rpmsg-gpio"),
    ("none", "rpmsg-gpio"),
]


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is short enough for sockets below it, whoever the user is."""
    return tmp_path_factory.mktemp("x")


def signals_as_at_login() -> None:
    """A test runner in the background, or under nohup, passes on that it ignores these signals."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def demo(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a demo in a session of its own, whose temporary files are in `directory`."""
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=signals_as_at_login,
    )


def session_of(pid: int) -> list[int]:
    """The processes of the session that `pid` leads, zombies not counted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(session) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(("features", "dialect"), FIRMWARES)
def test_json(tmp_path: Path, features: str, dialect: str) -> None:
    process = demo(tmp_path, "--json", "--features", features, "--dialect", dialect)
    out, err = process.communicate(timeout=LATE_S)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert [chip["num_lines"] for chip in result["chips"]] == [16, 8]
    assert len(result["lines"]) == 24
    assert (result["lines"][0]["name"] == "LED_GREEN") == (features == "all")
    assert result["loop"]["in"] == result["loop"]["out"] == [1, 0, 1, 0]
    assert (result["events"]["count"], result["events"]["lost"]) == (6, 0)
    stamps = [event["timestamp_ns"] for event in result["events"]["seen"]]
    assert stamps == sorted(stamps)
    assert 0 < result["round_trip_us"]["p50"] <= result["round_trip_us"]["p99"]
    assert list(tmp_path.iterdir()) == []
    assert session_of(process.pid) == []


def test_for_people(tmp_path: Path) -> None:
    process = demo(tmp_path)
    out, err = process.communicate(timeout=LATE_S)
    assert process.returncode == 0, err
    for words in ("LED_GREEN", "BUTTON_USER", "RISING_EDGE", "round trips", "p99"):
        assert words in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(tmp_path: Path, number: signal.Signals, eventually: Eventually) -> None:
    # The demo ends within a second, in which this process may not have run at all.
    assert any(is_ended_by(number, tmp_path, eventually) for _ in range(20))


def is_ended_by(number: signal.Signals, tmp_path: Path, eventually: Eventually) -> bool:
    """Whether the signal found it at work; nothing is left either way."""
    process = demo(tmp_path)
    eventually(
        lambda: len(session_of(process.pid)) == 3 or process.poll() is not None,
        "stub and service run",
    )
    process.send_signal(number)
    process.communicate(timeout=LATE_S)
    assert process.returncode in (0, 128 + number)
    eventually(lambda: session_of(process.pid) == [], "no process is left")
    assert list(tmp_path.iterdir()) == []
    return process.returncode != 0


def test_without_a_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRMWARE_STUB", "/nonexistent")
    process = demo(tmp_path)
    _, err = process.communicate(timeout=LATE_S)
    assert process.returncode == 1
    assert err.startswith("gpio-bridge demo: no firmware-stub at /nonexistent")
    assert list(tmp_path.iterdir()) == []


def test_on_rings_of_an_emulated_mcu(tmp_path: Path, mcu_programs: None) -> None:
    process = demo(tmp_path, "--mcu=rings", "--json")
    out, err = process.communicate(timeout=LATE_S)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert [chip["label"] for chip in result["chips"]] == ["fu540 gpio"]
    assert result["led"]["pin"] == [1, 0, 1]
    assert (result["events"]["count"], result["events"]["lost"]) == (6, 0)
    assert result["recovery_s"] > 0
    assert list(tmp_path.iterdir()) == []
    assert session_of(process.pid) == []
