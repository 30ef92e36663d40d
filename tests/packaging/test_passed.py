# SPDX-License-Identifier: BSD-3-Clause
"""What .ci/run leaves out on one machine is what passed on each of the others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import os
import pytest

@pytest.mark.parametrize("a", ["x", "x y::[z]"])
def test_of(a): pass
def test_of_a(): pass
def test_skips(): pytest.skip("not here") if os.environ.get("SKIPS") else None
def test_fails(): assert "FAILS" not in os.environ
"""


def outcomes(folder: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """What became of each test, side by side as in CI."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n2", "-rA", "-p", "tests.passed", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done
    return {
        m[2]: m[1]
        for m in re.finditer(r"^(PASSED|FAILED) .*?::(.*?)(?: - .*)?$", done.stdout, re.M)
    }


def test_only_what_passed_everywhere_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    outcomes(tmp_path, f"--passed-to={first}", SKIPS="1")
    outcomes(tmp_path, f"--passed-to={second}", FAILS="1")
    assert len(Path(first).read_text().splitlines()) == 4
    assert outcomes(tmp_path, f"--passed={first}", f"--passed={second}") == {
        "test_skips": "PASSED",
        "test_fails": "PASSED",
    }
