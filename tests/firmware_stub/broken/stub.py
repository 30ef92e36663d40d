# SPDX-License-Identifier: BSD-3-Clause
"""The stub of the tests, whose firmware can break one rule of the protocol."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import firmware_stub

ROOT = Path(__file__).resolve().parents[3]
_BUILT = "build/asan/firmware-stub"


def executable() -> Path:
    """The program: the one that FIRMWARE_STUB names, as `make pytest` does, or of this tree."""
    named = os.environ.get("FIRMWARE_STUB")
    if not named:
        subprocess.run(["make", "-s", "-C", ROOT, _BUILT], check=True, timeout=300)
    return Path(named or ROOT / _BUILT)


class Stub(firmware_stub.Stub):
    """A Stub whose firmware breaks the rule that ``breakage`` names; none without."""

    def __init__(self, board: str = "demo", *, breakage: str | None = None, **options: Any) -> None:
        options.setdefault("features", "all,counters")
        super().__init__(board, executable=executable() if breakage else None, **options)
        self._options += ["--break", breakage] if breakage else []
