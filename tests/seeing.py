# SPDX-License-Identifier: BSD-3-Clause
"""record, watch and trace of a service, whatever its link is."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bridge.recording import formats
from bridge.screen.board import Board
from tests.processes import LATE_S


def sees_everything(
    socket: str,
    chip: str,
    command: Callable[[str], str],
    directory: Path,
    timeout_s: float = LATE_S,
) -> None:
    """Look at the demo board behind a service in each way.

    Args:
        socket: the service's.
        chip: name of the board's first chip.
        command: gives a command of docs/stub.md to the board.
        directory: for a recording.
        timeout_s: how long to wait for the recorder, in s.
    """
    _watch(socket, chip, command)
    _record(socket, chip, command, directory / "button.vcd", timeout_s)
    _trace(socket)


def _watch(socket: str, chip: str, command: Callable[[str], str]) -> None:
    """Levels of lines that nobody holds, and that stay so."""
    for level in (False, True):
        command(f"drive DIP_1 {int(level)}")
        board = Board(socket, lambda name, line: name == chip)
        try:
            board.refresh()
            (row,) = (row for row in board.rows.values() if row.name == "DIP_1")
            assert row.level is level
            assert row.info is not None and not row.info.used
        finally:
            board.close()


def _record(
    socket: str, chip: str, command: Callable[[str], str], path: Path, timeout_s: float
) -> None:
    """A press and a release, with the coprocessor's time."""
    verb = [sys.executable, "-m", "bridge.cli", "record", "--banner", "-o", str(path)]
    recorder = subprocess.Popen(
        [*verb, "-c", chip, "BUTTON_USER"],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert recorder.stderr is not None
        assert select.select([recorder.stderr], [], [], timeout_s)[0], "it says nothing"
        assert recorder.stderr.readline().startswith("Recording BUTTON_USER")
        for act in ("press", "release"):
            command("wait-armed BUTTON_USER")
            command(f"{act} BUTTON_USER")
        deadline = time.monotonic() + timeout_s
        while formats.read(str(path)).wave("BUTTON_USER").levels != [1, 0, 1]:
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.02)
        recorder.send_signal(signal.SIGINT)
        said = recorder.communicate(timeout=timeout_s)[1]
    finally:
        recorder.kill()
        recorder.wait()
    assert re.search(r"\b2 edges, 0 lost", said), said
    notes = formats.read(str(path)).notes
    assert any("times are the coprocessor's" in note for note in notes)


def _trace(socket: str) -> None:
    """The last messages, in words."""
    verb = [sys.executable, "-m", "bridge.cli", "trace", "--last", "--socket", socket]
    run = subprocess.run(verb, capture_output=True, text=True, timeout=LATE_S)
    assert run.returncode == 0, run.stderr
    assert 'EVENT line 6 "BUTTON_USER" low' in run.stdout
    assert "> SET_IRQ_TYPE" in run.stdout
