# SPDX-License-Identifier: BSD-3-Clause
"""The fuzz targets in Python on inputs that are the same each time; make fuzz has more."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
import fuzz_config
import fuzz_control


@pytest.fixture(scope="module")
def service() -> Iterator[None]:
    """The service of fuzz_control, ended."""
    yield
    fuzz_control.stop()


def test_make_fuzz_runs_each_target() -> None:
    folder = Path(__file__).parent
    in_c = {path.stem.removeprefix("target_") for path in folder.glob("target_*.c")}
    in_python = {path.stem.removeprefix("fuzz_") for path in folder.glob("fuzz_*.py")}
    assert set(fuzz.C_TARGETS) == in_c
    assert set(fuzz.PYTHON_TARGETS) == in_python


def test_a_configuration_is_taken_or_refused_with_a_sentence() -> None:
    for seed in range(1000):
        fuzz_config.refused_at_most(random.Random(seed))


def test_the_service_answers_whatever_a_client_sends(service: None) -> None:
    for seed in range(30):
        assert fuzz_control.one_client(random.Random(seed))
