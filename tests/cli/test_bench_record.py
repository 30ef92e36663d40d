# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench record: its figures, and that they are not made up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [("--lines", "2"), ("--rate", "2000", "--format", "sr")])
def test_figures(arguments: tuple[str, ...]) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "bridge.cli", "bench", "record"),
            *("--json", "--seconds", "0.5", *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    assert figures["count"] > 100
    assert figures["lost"] >= figures["loss_in_buffer"] >= 0
    assert figures["per_s"] > 0
    assert all(cost > 0 for cost in figures["cpu_us_per_edge"].values())
