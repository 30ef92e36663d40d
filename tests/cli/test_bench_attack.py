# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench attack runs, and each attack does something. Its figures are no verdict."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.bench import attack
from bridge.bench.attackers import ATTACKS


def test_every_attack_runs_and_the_victim_is_served() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bridge.cli", "bench", "attack"),
            *("--json", "--seconds", "0.4", "--rounds", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=500,
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failed"] == result["unserved"] == 0
    assert set(result["attacks"]) == set(ATTACKS)
    for name, figures in result["attacks"].items():
        assert figures["gets"] > 0, name
        assert figures["attacks"] > 0, name


def test_an_unknown_attack_is_told_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "bench", "attack", "flood"],
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert "'flood'" in done.stderr
    assert "connect-flood" in done.stderr


def test_an_attacker_that_does_not_begin_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures beside it would be those without an attack."""
    monkeypatch.setattr(attack, "_READY_S", 0.0)
    with (
        pytest.raises(OSError, match="attacker files had not begun after 0 s"),
        attack._attacker("files", tmp_path),
    ):
        pytest.fail("it was measured")


def test_a_client_that_is_not_served_at_all_has_no_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here since its firmware crashes."""
    folders: list[Path] = []

    @contextmanager
    def crash(name: str, folder: Path) -> Iterator[list[float]]:
        if folders:  # the first one is elsewhere
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as board:
                board.connect(f"{folder / 'victim.sock'}.ctl")
                board.send(b"crash")
                board.recv(4096)
        folders.append(folder)
        yield [1, 1]

    monkeypatch.setattr(attack, "_attacker", crash)
    result = attack.measure_attacks(0.2, ["files"], rounds=1)
    figures = result["attacks"]["files"]
    assert figures["unserved"] == result["unserved"] == 1
    assert figures["gets"] == 0
    assert figures["failed"] > 0
    assert figures["get_ratio"] is figures["control_p99_us"] is None
    assert result["get_ratio_worst"] is result["control_ratio_worst"] is None
