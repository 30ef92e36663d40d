# SPDX-License-Identifier: BSD-3-Clause
"""Firmware whose vdev is virtio-gpio: remoteproc and gpio-virtio make a gpiochip of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .gpio_bed import chip, out, read_line, start
from .guest import Guest
from .remote_mcu import RemoteMcu, powered_off, run_inside, with_image

LED, LOOP_OUT, BUTTON = 0, 4, 6


@pytest.fixture
def mcu(mcu_programs: None) -> Iterator[RemoteMcu]:
    with powered_off("virtio_gpio.elf") as processor:
        yield processor


# ---- inside ---------------------------------------------------------------------------


def there(guest: Guest) -> None:
    guest.until(lambda: list(Path("/dev").glob("gpiochip*")), "the chip")


def gone(guest: Guest) -> None:
    guest.until(lambda: not list(Path("/dev").glob("gpiochip*")), "the chip to go")


def tools(guest: Guest) -> None:
    """Names, values and edges, by Debian's tools, each seen at the MCU's pins."""
    there(guest)
    assert "(10 lines)" in out("gpiodetect")
    assert out("gpiofind", "BUTTON").split() == [chip(), str(BUTTON)]
    for level in (1, 0, 1):
        guest.host("drive", "BUTTON", level)
        assert out("gpioget", chip(), str(BUTTON)).strip() == str(level)
        holding = start("gpioset", "--mode=wait", chip(), f"{LED}={level}", f"{LOOP_OUT}=1")
        guest.until(lambda level=level: guest.host("level", "LED") == level, "the level")
        holding.communicate("\n", timeout=30)
    watching = start("gpiomon", "--format=%e %o", chip(), str(BUTTON))
    for level in (0, 1) * 5:
        guest.host("wait_armed", "BUTTON")
        guest.host("drive", "BUTTON", level)
        assert read_line(watching).split() == [str(level), str(BUTTON)]
    watching.send_signal(signal.SIGTERM)
    watching.wait(30)
    one_direction(guest, "--falling-edge", 0)
    one_direction(guest, "--rising-edge", 1)


def one_direction(guest: Guest, option: str, level: int) -> None:
    guest.host("drive", "BUTTON", 1 - level)
    watching = start("gpiomon", option, "--format=%e", chip(), str(BUTTON))
    for _ in range(2):
        guest.host("wait_armed", "BUTTON")
        guest.host("drive", "BUTTON", level)
        assert read_line(watching).strip() == str(level)
        guest.host("drive", "BUTTON", 1 - level)
    watching.send_signal(signal.SIGTERM)
    watching.wait(30)


def life(guest: Guest, image: str) -> None:
    processor = with_image(image)
    (processor.path / "firmware").write_text("gpio.elf")
    (processor.path / "state").write_text("start")
    tools(guest)
    holding = start("gpioset", "--mode=wait", chip(), f"{LED}=1")
    guest.until(lambda: guest.host("level", "LED") == 1, "the LED")
    guest.host("kill_mcu")
    gone(guest)
    holding.kill()
    holding.wait(30)
    guest.until(lambda: processor.state == "running", "the recovery")
    there(guest)
    assert guest.host("level", "LED") == 0
    tools(guest)
    (processor.path / "state").write_text("stop")
    gone(guest)
    (processor.path / "state").write_text("start")
    tools(guest)


def attached_life(guest: Guest, image: str) -> None:
    processor = with_image(image)
    for _ in range(2):
        (processor.path / "state").write_text("start")
        tools(guest)
        (processor.path / "state").write_text("detach")
        gone(guest)
    assert processor.state == "detached"


# ---- outside --------------------------------------------------------------------------


def test_a_gpiochip_comes_with_the_firmware_and_after_its_crash(
    kernel: Path, mcu: RemoteMcu
) -> None:
    run_inside(kernel, mcu, life)


def test_a_gpiochip_of_firmware_that_runs_already(kernel: Path, mcu: RemoteMcu) -> None:
    run_inside(kernel, mcu, attached_life, ":on")
