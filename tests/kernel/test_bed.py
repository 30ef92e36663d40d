# SPDX-License-Identifier: BSD-3-Clause
"""The test bed itself: a failing test inside must fail outside."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import pytest

from firmware_stub import Stub

from .guest import Guest
from .uml import Machine, check, in_kernel


def fails(guest: Guest) -> None:
    guest.say("about to fail")
    raise ValueError("as it should")


def adds(guest: Guest, one: int, other: int) -> int:
    return one + other


def panics(guest: Guest) -> None:
    Path("/proc/sysrq-trigger").exists()
    os._exit(3)  # the end of init is the end of the kernel


def hangs(guest: Guest) -> None:
    os.read(os.pipe()[0], 1)


def test_result_and_status_come_back(kernel: Path) -> None:
    outcome = Machine(kernel).run(adds, (40, 2))
    assert outcome.status == 0
    assert check(outcome) == 42


def test_failure_inside_fails_outside(kernel: Path) -> None:
    outcome = Machine(kernel).run(fails)
    with pytest.raises(AssertionError, match=r"ValueError: as it should(?s:.*)about to fail"):
        check(outcome)


def test_panic_fails(kernel: Path) -> None:
    outcome = Machine(kernel).run(panics)
    assert outcome.result is None
    assert outcome.status == 134
    with pytest.raises(AssertionError, match=r"no result(?s:.*)Kernel panic"):
        check(outcome)


def test_hang_is_ended(kernel: Path) -> None:
    outcome = Machine(kernel).run(hangs, timeout_s=3)
    assert outcome.result is None
    assert outcome.status != 0


@in_kernel("demo")
def test_host_is_read_only_and_devices_are_here(guest: Guest) -> None:
    with pytest.raises(OSError, match="Read-only"):
        Path(__file__).touch()
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.geteuid() == 0
    assert guest.stub("read LED_GREEN") == "0"
    with pytest.raises(OSError, match="no line"):
        guest.stub("read NO_SUCH_LINE")


def test_stub_is_attached_again(kernel: Path) -> None:
    with Stub("demo") as stub:
        machine = Machine(kernel, [stub])
        check(machine.run(sees_restarts, (6,)), [stub])


def sees_restarts(guest: Guest, rounds: int) -> None:
    devices = Path("/sys/bus/virtio/devices")

    def there() -> set[int]:
        return {entry.stat().st_ino for entry in devices.iterdir()}

    def new(before: set[int]) -> set[int]:
        return there() - before

    before = guest.until(there, "the stub's virtio device")
    for _ in range(rounds):
        guest.host("restart", 0)
        before = guest.until(partial(new, before), "a new virtio device")
