# SPDX-License-Identifier: BSD-3-Clause
"""The checks find nothing wrong with firmware that shares no code with the core."""

from __future__ import annotations

import pytest

from bridge.conformance import Options, Run, run
from bridge.conformance.check import all_checks
from bridge.conformance.runner import FAILED, SKIPPED
from tests.firmware_stub.second import firmware as second
from tests.firmware_stub.second.firmware import Build
from tests.firmware_stub.second.pins import FLOAT
from tests.firmware_stub.second.serial_line import SerialLine

CHECKS = [check.id for check in all_checks() if "serial" not in check.needs]


def build(padded: bool = True, strict: bool = False, features: int = 0x1FF) -> Build:
    return Build(
        ngpio=16,
        padded=padded,
        strict=strict,
        features=features,
        epoch=0xA1B2C3D4,
        label=b"second",
        names=b"".join(b"LINE_%d\0" % n for n in range(16)) if features & second.NAMES else b"",
        caps=[0x3F] * 16,
        debounce_max_us=1_000_000,
        wires=[(4, 5)],
        pulls=[FLOAT] * 16,
        now=1 << 40,
    )


def checked(firmware: Build) -> Run:
    with SerialLine(firmware) as line:
        options = Options(line.url, loops=[("4", "5")], drive=["0", "1"], only=CHECKS)
        return run(options)


def complaints(done: Run) -> dict[str, str]:
    return {r.check.id: r.message for r in done.results if r.outcome == FAILED}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_every_check_passes(padded: bool, strict: bool) -> None:
    done = checked(build(padded, strict))
    assert not complaints(done)
    assert not [r.check.id for r in done.results if r.outcome == SKIPPED]
    assert done.kind == ("strict" if strict else "lenient")


@pytest.mark.parametrize("features", [0, *(1 << bit for bit in range(9))])
def test_each_extension_alone(features: int) -> None:
    assert not complaints(checked(build(features=features)))
