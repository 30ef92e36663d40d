# SPDX-License-Identifier: BSD-3-Clause
"""The firmware that the tests of this folder run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def image() -> str:
    """The firmware of this tree, or the one that FIRMWARE_MCU names."""
    path = os.environ.get("FIRMWARE_MCU")
    needed = ["qemu-system-arm"] if path else ["qemu-system-arm", "arm-none-eabi-gcc"]
    for program in needed:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if not path:
        subprocess.run(["make", "-s", "-C", ROOT, "mcu"], check=True, timeout=100)
        path = str(ROOT / "build" / "mcu" / "firmware.elf")
    return path
