# SPDX-License-Identifier: BSD-3-Clause
"""Remote processors on the kernel's own remoteproc core (see rproc_uml.c)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import remoteproc
from bridge.link.rpmsg_sysfs import Sysfs

from .guest import Guest
from .uml import in_kernel

FIRMWARE = Path("/run/firmware")
CRASH = Path("/sys/kernel/debug/remoteproc/remoteproc0/crash")


def with_firmware(name: str = "m4_0") -> remoteproc.RemoteProcessor:
    """The processor, with a firmware file where this kernel looks for one."""
    FIRMWARE.mkdir(exist_ok=True)
    Path("/sys/module/firmware_class/parameters/path").write_text(str(FIRMWARE))
    (FIRMWARE / "gpio.elf").write_bytes(b"firmware")
    processor = remoteproc.find(name)
    processor.load(str(FIRMWARE / "gpio.elf"))
    return processor


def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "remoteproc", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


@in_kernel("demo", processors=("m4_0",))
def test_verbs(guest: Guest) -> None:
    run = verb("list")
    assert (run.returncode, run.stdout) == (0, "m4_0  offline    rproc-m4_0-fw\n")
    run = verb("start", "m4_0")
    assert run.returncode == 1
    assert "no firmware rproc-m4_0-fw in /" in run.stderr
    run = verb("load", "m4_0", "/nothing.elf")
    assert "there is no /nothing.elf" in run.stderr
    run = verb("load", "m4_0", sys.executable)
    assert "copy it there first" in run.stderr
    with_firmware()
    assert verb("load", "m4_0", "gpio.elf").stdout == "m4_0 will start gpio.elf\n"
    assert verb("start", "m4_0").stdout == "m4_0 is running\n"
    assert verb("start", "m4_0").stdout == "m4_0 is running already\n"
    run = verb("status", "m4_0")
    assert run.returncode == 0
    assert "state     running\n" in run.stdout
    run = verb("load", "m4_0", "gpio.elf")
    assert (run.returncode, "stop it first" in run.stderr) == (1, True), run
    guest.until(lambda: Sysfs().processors(), "the rpmsg bus")
    (processor,) = Sysfs().processors()
    assert processor.title == "m4_0"
    assert "/remoteproc/remoteproc0/" in processor.path
    assert verb("stop", "m4_0").stdout == "m4_0 is offline\n"
    assert verb("stop", "m4_0").stdout == "m4_0 is offline already\n"
    assert verb("status", "m4_0").returncode == 1
    assert not Sysfs().processors()
    run = verb("start", "m7")
    assert "no remote processor is called m7; there is m4_0" in run.stderr


@in_kernel("demo", processors=("m4_0",))
def test_starts_are_counted(guest: Guest) -> None:
    processor = with_firmware()
    assert processor.start()
    (processor.path / "state").write_text("start")
    with pytest.raises(OSError, match="more than once") as error:
        processor.stop()
    assert error.value.errno == errno.EBUSY
    assert processor.stop()


@in_kernel("demo", processors=("m4_0",))
def test_hold_stops_on_close(guest: Guest) -> None:
    processor = with_firmware()
    hold = processor.hold()
    assert processor.state == "running"
    hold.close()
    hold.close()
    assert processor.state == "offline"
    child = os.fork()
    if child == 0:
        processor.hold()
        os._exit(0)
    os.waitpid(child, 0)
    guest.until(lambda: processor.state == "offline", "the death of its holder to stop it")


@in_kernel("demo", processors=("m4_0",))
def test_crash_without_recovery_stays_crashed(guest: Guest) -> None:
    processor = with_firmware()
    (processor.path / "recovery").write_text("disabled")
    processor.start()
    guest.until(lambda: Sysfs().processors(), "the rpmsg bus")
    CRASH.write_text("0")
    guest.until(lambda: processor.state == "crashed", "the crash")
    assert Sysfs().processors(), "nothing but the state shows such a crash"
    with pytest.raises(OSError, match="stop it first"):
        processor.start()
    # The kernel counts such a start, and does nothing.
    with pytest.raises(OSError, match="stop it first"):
        processor.hold()
    assert processor.stop()
    assert processor.start()
