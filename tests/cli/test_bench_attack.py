# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench attack runs, and each attack does something. Its figures are no verdict."""

from __future__ import annotations

import json
import subprocess
import sys
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
    assert result["failed"] == 0
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
