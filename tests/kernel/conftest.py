# SPDX-License-Identifier: BSD-3-Clause
"""The kernel that these tests run in; tools/build-uml-kernel builds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kernel() -> Path:
    """The executable of a User-Mode Linux kernel; without one, skip, but in CI fail."""
    return _built("User-Mode Linux kernel", "make kernel")


@pytest.fixture(scope="session")
def pc_kernel() -> Path:
    """The kernel for QEMU's PC, as `kernel`."""
    return _built("kernel for QEMU", "make qemu", "--x86-64")


def _built(what: str, builds: str, *options: str) -> Path:
    found = subprocess.run(
        [_ROOT / "tools/build-uml-kernel", *options, "--path"], stdout=subprocess.PIPE, text=True
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    lacks(f"no {what}; {builds} builds it, with what make deps installs")


def lacks(why: str) -> NoReturn:
    """Skip a test for which something is missing; fail in CI."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(why)
    pytest.skip(why)
