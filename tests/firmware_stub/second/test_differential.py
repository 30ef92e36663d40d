# SPDX-License-Identifier: BSD-3-Clause
"""The core and a second firmware, written from docs/protocol.md alone, are one protocol."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.firmware_stub.second import differential
from tests.firmware_stub.second.firmware import Firmware
from tests.processes import LATE_S

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
STUB = ROOT / "firmware_stub"
CC = shlex.split(os.environ.get("CC", "cc"))
STEPS = 2000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("core") / "core"
    command = [
        *(*CC, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(f"-I{STUB / folder}" for folder in ("core", "host", "ports/host")),
        *(HERE / "core.c", *sorted((STUB / "core").glob("*.c"))),
        *sorted((STUB / "host/loop").glob("*.c")),
        *(STUB / "ports" / "host" / name for name in ("board.c", "stub_loop.c")),
        *("-o", program),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=LATE_S)
    assert done.returncode == 0, done.stderr
    return program


def compare_many(program: Path, first_seed: int, requests: int) -> None:
    seed = first_seed
    while requests > 0:
        requests -= differential.compare(program, seed, STEPS)
        seed += 1


def test_the_same_sequences(program: Path) -> None:
    compare_many(program, 1, 12_000)


def test_sequences_that_nobody_saw_before(program: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"first seed {seed}")
    compare_many(program, seed, 12_000)


def test_a_difference_is_told_with_the_steps_that_it_needs(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Firmware, "_look", lambda *_: None)  # no level ever fires
    with pytest.raises(differential.Difference) as told:
        compare_many(program, 1, 12_000)
    steps = [line for line in str(told.value).splitlines() if line.startswith("  message")]
    assert 1 <= len(steps) <= 4, told.value


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_requests(program: Path) -> None:
    compare_many(program, 1_000_000, 1_000_000)
