# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge bench run gives its figures; their size is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys


def test_figures() -> None:
    words = ["bench", "run", "--json", "--seconds", "0.1", "--edges", "4000"]
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *words], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["get"]["ratio_p50"] > 0
    assert result["edges"]["count"] == 4000 - result["edges"]["lost"]
    assert result["edges"]["unannounced"] == 0
