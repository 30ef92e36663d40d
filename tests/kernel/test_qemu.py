# SPDX-License-Identifier: BSD-3-Clause
"""An exported chip in a PC of QEMU's; inside is what runs inside User-Mode Linux too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.export.handover import CRASHES_MAX
from tests.manager import Manager, managed

from . import qemu
from .conftest import lacks
from .gpio_bed import Bed, board, chip, read_line, start
from .guest import Guest
from .test_gpio_virtio import (
    LED,
    LOOP_IN,
    binds,
    edges,
    firmware_restarts,
    is_killed,
    service_crashes,
    service_restarts,
    tools,
)

NAMES = [
    *("LED_GREEN", "LED_RED", "LED_BLUE", "RELAY"),
    *("LOOP_OUT", "LOOP_IN", "BUTTON_USER", "BUTTON_POWER"),
]


@pytest.fixture
def bed(pc_kernel: Path, tmp_path: Path) -> Iterator[Bed]:
    """A PC with the first lines of fw-0."""
    version = qemu.version()
    if version is None or version < (9, 0):
        found = "none is installed" if version is None else f"this is {version[0]}.{version[1]}"
        lacks(
            f"QEMU offers guests the interrupts of vhost-user-gpio from 9.0 on; {found}: make deps"
        )
    path = tmp_path / "guest.sock"
    lines = f"vhost-user-gpio:{path},chip=fw-0,lines={','.join(NAMES)}"
    manager = Manager(tmp_path / "notify")
    with Rig(arguments=("-v", "--export", lines), service=managed(manager)) as rig:
        machine = qemu.QemuMachine(pc_kernel, path)

        def pause_edge_resume() -> None:
            rig.stub.command("drive LOOP_IN 0", 10)
            machine.qmp("stop")
            assert rig.stub.command("read LED_GREEN", 10) == "1"
            rig.stub.command("drive LOOP_IN 1", 10)
            machine.qmp("cont")

        bed = Bed(machine, rig)
        machine.calls.update(
            pause_edge_resume=pause_edge_resume,
            has_guest=manager.has_guest,
            forget_guest=manager.forget,
        )
        yield bed


# ---- inside -----------------------------------------------------------------------


def whole_life(guest: Guest) -> None:
    """One boot serves all tests: without KVM a boot is what takes the time."""
    for step in (
        *(tools, edges, binds_twice, is_paused, firmware_restarts_twice),
        *(service_restarts_thrice, service_crashes_twice, service_restarts_without_a_manager),
    ):
        guest.say(f"== {step.__name__}")
        step(guest)
    guest.say("== is_killed")
    is_killed(guest)


def binds_twice(guest: Guest) -> None:
    binds(guest, 2, False)


def firmware_restarts_twice(guest: Guest) -> None:
    firmware_restarts(guest, 2)


def service_restarts_thrice(guest: Guest) -> None:
    service_restarts(guest, 3)


def service_crashes_twice(guest: Guest) -> None:
    """Once more and the guest is let go: the service had gone on with it before the first."""
    service_crashes(guest, CRASHES_MAX - 1)


def is_paused(guest: Guest) -> None:
    """Lines stay as they are meanwhile, and an edge in that time is not lost."""
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    watching = start("gpiomon", "--rising-edge", "--format=%e", chip(), str(LOOP_IN))
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    board(guest, "wait-armed LOOP_IN")
    for _ in range(3):
        guest.host("pause_edge_resume")
        assert read_line(watching).strip() == "1"
        board(guest, "wait-armed LOOP_IN")
    for process in (holding, watching):
        process.kill()
        process.wait(30)
    guest.until(lambda: "direction none" in board(guest, "state LED_GREEN"), "the release")


def service_restarts_without_a_manager(guest: Guest) -> None:
    """The device is unplugged and plugged in: QEMU 10 cannot go on by another connection."""
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    guest.host("stop_service")
    guest.host("forget_guest")
    assert board(guest, "read LED_GREEN") == "1", "pins stay as they are"
    guest.host("start_service")
    # The holder stays until its chip is gone: the driver waits for an answer for ever.
    guest.host("replug")
    holding.kill()
    holding.wait(30)
    guest.until(lambda: list(Path("/sys/bus/gpio/devices").glob("gpiochip*")), "the chip")
    guest.until(lambda: Path("/dev", chip()).exists(), "the chip's node")
    tools(guest)
    edges(guest)


# ---- the test -----------------------------------------------------------------------


@pytest.mark.slow
def test_machine(bed: Bed, eventually: Callable[..., None]) -> None:
    """Probe, toggle, interrupts, pause and resume, restarts of both sides, and the end."""
    bed.run_to_death(whole_life)
    eventually(lambda: bed.rig.stub.state("LED_GREEN").direction == "none", "the LED's release")
    eventually(lambda: bed.rig.stub.state("LOOP_IN").irq == "none", "the interrupt's end")
    assert bed.status["interrupts"]
    assert bed.status["faults"] == 0
