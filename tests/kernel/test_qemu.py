# SPDX-License-Identifier: BSD-3-Clause
"""An exported chip in a PC of QEMU's; inside is what runs inside User-Mode Linux too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig

from . import qemu
from .conftest import lacks
from .gpio_bed import Bed, board, chip, read_line, start
from .guest import Guest
from .test_gpio_virtio import LED, LOOP_IN, binds, edges, firmware_restarts, is_killed, tools

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
    with Rig(arguments=("-v", "--export", lines)) as rig:
        bed = Bed(qemu.QemuMachine(pc_kernel, path), rig)
        bed.machine.calls.update(
            stop_service=rig.serve.stop,
            start_service=lambda: rig.serve.__enter__().wait_for_chips(2),
        )
        yield bed


# ---- inside -----------------------------------------------------------------------


def probe_and_use(guest: Guest) -> None:
    tools(guest)
    edges(guest)
    binds(guest, 2, False)


def is_paused(guest: Guest, rounds: int) -> None:
    """Lines stay as they are meanwhile, and an edge of that time is not lost."""
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    watching = start("gpiomon", "--rising-edge", "--format=%e", chip(), str(LOOP_IN))
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    board(guest, "wait-armed LOOP_IN")
    for _ in range(rounds):
        guest.host("pause_edge_resume")
        assert read_line(watching).strip() == "1"
        board(guest, "wait-armed LOOP_IN")
    for process in (holding, watching):
        process.kill()
        process.wait(10)
    guest.until(lambda: "direction none" in board(guest, "state LED_GREEN"), "the release")


def service_restarts(guest: Guest, rounds: int) -> None:
    """The device is unplugged and plugged in: QEMU 10 cannot go on with another back-end."""
    for _ in range(rounds):
        holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
        guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
        guest.host("stop_service")
        assert board(guest, "read LED_GREEN") == "1", "pins stay as they are"
        holding.kill()
        holding.wait(10)
        guest.host("start_service")
        guest.host("replug")
        guest.until(lambda: list(Path("/sys/bus/gpio/devices").glob("gpiochip*")), "the chip")
        guest.until(lambda: Path("/dev", chip()).exists(), "the chip's node")
        tools(guest)
        edges(guest)


# ---- the tests ----------------------------------------------------------------------


def test_probe_toggle_interrupt(bed: Bed) -> None:
    bed.run(probe_and_use)
    assert bed.status["interrupts"]


def test_pause_and_resume(bed: Bed) -> None:
    machine, stub = bed.machine, bed.rig.stub
    assert isinstance(machine, qemu.QemuMachine)

    def pause_edge_resume() -> None:
        stub.command("drive LOOP_IN 0", 10)
        machine.qmp("stop")
        assert stub.command("read LED_GREEN", 10) == "1"
        stub.command("drive LOOP_IN 1", 10)
        machine.qmp("cont")

    machine.calls["pause_edge_resume"] = pause_edge_resume
    bed.run(is_paused, 3)


def test_service_restarts_under_a_live_guest(bed: Bed) -> None:
    bed.run(service_restarts, 3)


def test_firmware_restarts_under_a_live_guest(bed: Bed) -> None:
    bed.run(firmware_restarts, 2)


def test_machine_is_killed(bed: Bed, eventually: Callable[..., None]) -> None:
    bed.run_to_death(is_killed)
    eventually(lambda: bed.rig.stub.state("LED_GREEN").direction == "none", "the LED's release")
    eventually(lambda: bed.rig.stub.state("LOOP_IN").irq == "none", "the interrupt's end")
    assert bed.status["faults"] == 0
