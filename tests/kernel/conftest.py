# SPDX-License-Identifier: BSD-3-Clause
"""The kernel that these tests run in; tools/build-uml-kernel builds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kernel() -> Path:
    """The executable of a User-Mode Linux kernel; without one, skip, but in CI fail."""
    found = subprocess.run(
        [_ROOT / "tools/build-uml-kernel", "--path"], stdout=subprocess.PIPE, text=True
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    why = "no User-Mode Linux kernel; install what it needs: make deps (then make test builds it)"
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(why)
    pytest.skip(why)
