# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench attack runs, and each attack does something. Its figures are no verdict."""

from __future__ import annotations

import json
import subprocess
import sys

from bridge.bench.attackers import ATTACKS


def test_every_attack_runs_and_the_victim_is_served() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "bench", "attack", "--json", "--seconds", "0.4"],
        capture_output=True,
        text=True,
        timeout=500,
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failed"] == 0
    assert set(result["attacks"]) == set(ATTACKS)
    for name, attack in result["attacks"].items():
        assert attack["gets"] > 0, name
        assert attack["attacks"] > 0, name


def test_an_unknown_attack_is_told_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "bench", "attack", "flood"],
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert "'flood'" in done.stderr
    assert "connect-flood" in done.stderr
