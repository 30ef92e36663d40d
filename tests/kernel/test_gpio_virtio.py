# SPDX-License-Identifier: BSD-3-Clause
"""An exported chip as the kernel's own gpio-virtio driver and Debian's tools see it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Rig
from bridge.export.handover import CRASHES_MAX
from tests.manager import Manager, managed

from .gpio_bed import GPIO, Bed, board, chip, out, read_line, start
from .guest import Guest
from .uml import Machine

DRIVER = Path("/sys/bus/virtio/drivers/gpio_virtio")

LED, RELAY, LOOP_OUT, LOOP_IN = 0, 3, 4, 5


@pytest.fixture(params=["all", "none"])
def bed(kernel: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """All of fw-0, from firmware with every extension and with none."""
    path = tmp_path / "guest.sock"
    names = [
        "LED_GREEN",
        "LED_RED",
        "LED_BLUE",
        "RELAY",
        "LOOP_OUT",
        "LOOP_IN",
        "BUTTON_USER",
        "BUTTON_POWER",
    ]
    lines = ",".join(f"{n}={name}" for n, name in enumerate(names))
    arguments = ("-v", "--export", f"vhost-user-gpio:{path},chip=fw-0,lines={lines}")
    manager = Manager(tmp_path / "notify")
    with Rig(request.param, arguments=arguments, service=managed(manager)) as rig:
        machine = Machine(kernel, (), (f"virtio_uml.device={path}:{GPIO}",))
        machine.calls.update(has_guest=manager.has_guest)
        yield Bed(machine, rig)


# ---- inside -----------------------------------------------------------------------


def tools(guest: Guest) -> None:
    assert "(8 lines)" in out("gpiodetect")
    info = out("gpioinfo", chip())
    assert '"LED_GREEN"' in info
    assert '"BUTTON_POWER"' in info
    assert out("gpiofind", "LOOP_IN").split() == [chip(), str(LOOP_IN)]
    for level in "101":
        board(guest, f"drive LOOP_IN {level}")
        assert out("gpioget", chip(), str(LOOP_IN)).strip() == level
    board(guest, "float LOOP_IN")
    for level in "10":
        holding = start("gpioset", "--mode=wait", chip(), f"{LOOP_OUT}={level}", f"{RELAY}=1")
        guest.until(lambda level=level: board(guest, "read LOOP_IN") == level, "the level")
        guest.until(lambda: board(guest, "read RELAY") == "1", "the relay")
        assert '"gpioset"' in out("gpioinfo", chip())
        holding.communicate("\n", timeout=30)
        guest.until(
            lambda: "direction none" in board(guest, "state LOOP_OUT"), "the line's release"
        )


def edges(guest: Guest) -> None:
    board(guest, "drive LOOP_IN 0")
    watching = start("gpiomon", "--format=%e %o", chip(), str(LOOP_IN), "0")
    guest.until(lambda: "irq edge-both armed yes" in board(guest, "state LOOP_IN"), "to be armed")
    for level in (1, 0, 1, 0, 1):
        board(guest, f"drive LOOP_IN {level}")
        assert read_line(watching).split() == [str(level), str(LOOP_IN)]
        board(guest, "wait-armed LOOP_IN")
    watching.send_signal(signal.SIGTERM)
    watching.wait(30)
    guest.until(lambda: "irq none" in board(guest, "state LOOP_IN"), "the interrupt's end")
    for option, level, other in (("--rising-edge", 1, 0), ("--falling-edge", 0, 1)):
        board(guest, f"drive LOOP_IN {other}")
        watching = start("gpiomon", option, "--format=%e", chip(), str(LOOP_IN))
        board(guest, "wait-armed LOOP_IN")
        for _ in range(2):
            board(guest, f"drive LOOP_IN {level}")
            assert read_line(watching).strip() == str(level)
            board(guest, "wait-armed LOOP_IN")
            board(guest, f"drive LOOP_IN {other}")
        watching.send_signal(signal.SIGTERM)
        watching.wait(30)


def binds(guest: Guest, rounds: int, tells: bool) -> None:
    """`tells`: the machine says when a driver lets go, not only when the next one begins."""
    (device,) = DRIVER.glob("virtio*")
    for _ in range(rounds):
        # The line is held, but not by an interrupt: the kernel warns when that goes away in use.
        holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
        guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
        (DRIVER / "unbind").write_text(device.name)
        if tells:
            guest.until(lambda: "direction none" in board(guest, "state LED_GREEN"), "the release")
        holding.kill()
        holding.wait(30)
        (DRIVER / "bind").write_text(device.name)
        guest.until(lambda: Path("/dev", chip()).exists(), "the chip")
        assert "direction none" in board(guest, "state LED_GREEN")
        edges(guest)


def firmware_restarts(guest: Guest, rounds: int) -> None:
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    watching = start("gpiomon", "--rising-edge", "--format=%e", chip(), str(LOOP_IN))
    # Otherwise the tool may run while the firmware is absent, and give up.
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    board(guest, "wait-armed LOOP_IN")
    for _ in range(rounds):
        board(guest, "drive LOOP_IN 0")  # the board outlives its firmware
        guest.host("board_restart")
        guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
        board(guest, "wait-armed LOOP_IN")
        board(guest, "drive LOOP_IN 1")
        assert read_line(watching).strip() == "1"
    for process in (holding, watching):
        process.kill()
        process.wait(30)


def service_restarts(guest: Guest, rounds: int, end: str = "stop_service") -> None:
    """Under a manager that keeps the guest for the next one: its programs go on."""
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    watching = start("gpiomon", "--rising-edge", "--format=%e", chip(), str(LOOP_IN))
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    board(guest, "wait-armed LOOP_IN")
    for _ in range(rounds):
        guest.until(lambda: guest.host("has_guest"), "the guest to be kept")
        guest.host(end)
        assert board(guest, "read LED_GREEN") == "1", "pins stay as they are"
        board(guest, "drive LOOP_IN 0")
        # This is asked while there is no service, and the next one answers.
        asking = start("gpioget", chip(), str(LOOP_OUT))
        guest.host("start_service")
        assert read_line(asking).strip() == "0"
        asking.wait(30)
        board(guest, "wait-armed LOOP_IN")
        board(guest, "drive LOOP_IN 1")
        assert read_line(watching).strip() == "1"
        board(guest, "wait-armed LOOP_IN")
    for process in (holding, watching):
        assert process.poll() is None
        process.kill()
        process.wait(30)
    guest.until(lambda: "direction none" in board(guest, "state LED_GREEN"), "the release")


def service_crashes(guest: Guest, rounds: int) -> None:
    service_restarts(guest, rounds, "kill_service")


def service_crashes_at_work(guest: Guest, rounds: int) -> None:
    """In the middle of what a program asks, which goes on as if nothing was."""
    turn = f"gpioset {chip()} {LOOP_OUT}=1 && gpioget {chip()} {LOOP_IN} && gpioget {chip()} {LED}"
    asking = start("sh", "-c", f"while {turn}; do :; done; echo failed")
    for number in range(rounds):
        guest.until(lambda: guest.host("has_guest"), "the guest to be kept")
        for _ in range(20 + number):
            assert read_line(asking).strip() in ("0", "1")
        guest.host("kill_service")
        guest.host("start_service")
    for _ in range(50):
        assert read_line(asking).strip() in ("0", "1")
    asking.kill()
    asking.wait(30)


def is_killed(guest: Guest) -> None:
    start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    start("gpiomon", chip(), str(LOOP_IN))
    guest.until(lambda: board(guest, "read LED_GREEN") == "1", "the LED")
    board(guest, "wait-armed LOOP_IN")
    guest.host("kill_guest")
    signal.pause()


# ---- the tests ----------------------------------------------------------------------


def test_tools(bed: Bed) -> None:
    bed.run(tools)


def test_edges(bed: Bed) -> None:
    bed.run(edges)


def test_unbind_and_bind(bed: Bed) -> None:
    bed.run(binds, 5, True)


def test_firmware_restarts_under_a_live_guest(bed: Bed) -> None:
    bed.run(firmware_restarts, 3)


def test_service_restarts_under_a_live_guest(bed: Bed) -> None:
    bed.run(service_restarts, 5)


def test_service_crashes_under_a_live_guest(bed: Bed) -> None:
    bed.run(service_crashes, CRASHES_MAX)


@pytest.mark.parametrize("bed", ["all"], indirect=True)
def test_service_crashes_in_the_middle_of_work(bed: Bed) -> None:
    bed.run(service_crashes_at_work, CRASHES_MAX)


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(5, id="5"),
        pytest.param(50, id="50", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
)
@pytest.mark.parametrize("bed", ["all"], indirect=True)
def test_guest_is_killed_and_started_again(
    bed: Bed, rounds: int, eventually: Callable[..., None]
) -> None:
    stub = bed.rig.stub
    for number in range(1, rounds + 1):
        bed.run_to_death(is_killed)
        eventually(lambda: stub.state("LED_GREEN").direction == "none", "the LED's release")
        eventually(lambda: stub.state("LOOP_IN").irq == "none", "the interrupt's end")
        assert bed.status["guests"] == number
        assert bed.status["faults"] == 0
    bed.run(tools)
