# SPDX-License-Identifier: BSD-3-Clause
"""The long run of test_hostile_guest.c: a million mutated ring states under ASan."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = _ROOT / "build/asan/tests/export/test_hostile_guest"
STATES = 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_states() -> None:
    if not _PROGRAM.exists():
        pytest.skip(f"{_PROGRAM} is not built; make ctest builds it")
    done = subprocess.run(
        [_PROGRAM, str(STATES), "77"], cwd=_ROOT, capture_output=True, text=True, timeout=1700
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    assert f"{STATES} states" in done.stdout
