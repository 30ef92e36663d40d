# SPDX-License-Identifier: BSD-3-Clause
"""remoteproc loads our firmware into an emulated MCU: ELF, resource table, trace, core dump."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import remoteproc
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Edge, Value
from bridge.link.rpmsg_sysfs import Sysfs

from .guest import Guest
from .remote_mcu import DRAM, RemoteMcu, powered_off, run_inside, with_image

IMAGE = "remoteproc.elf"
CARVEOUT_BASE, CARVEOUT_SIZE = DRAM + 0x8000000, 0x100000
DUMPS = Path("/sys/class/devcoredump")


@pytest.fixture
def mcu(mcu_programs: None) -> Iterator[RemoteMcu]:
    with powered_off(IMAGE) as processor:
        yield processor


# ---- inside ---------------------------------------------------------------------------


def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", "remoteproc", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def announced(guest: Guest) -> str:
    """The name of the channel's device, once the firmware has announced it."""
    devices = Path("/sys/bus/rpmsg/devices")

    def found() -> str | None:
        return next((path.name for path in devices.glob("*.rpmsg-io-0.*")), None)

    return str(guest.until(found, "the announcement"))


def toggles(guest: Guest) -> None:
    """An output, an input and an edge, each seen at the MCU's pins."""
    guest.host("drive", "BUTTON", 1)
    config = {
        "LED": LineSettings(direction=Direction.OUTPUT),
        "BUTTON": LineSettings(edge_detection=Edge.BOTH),
    }
    with Chip("rpmsg:") as chip, chip.request_lines(config, consumer="test") as lines:
        for level in (1, 0, 1):
            lines.set_value("LED", Value(level))
            assert guest.host("level", "LED") == level
        guest.host("wait_armed", "BUTTON")
        for level in (0, 1):
            guest.host("drive", "BUTTON", level)
            assert lines.get_value("BUTTON").value == level
            assert lines.wait_edge_events(60)
            (event,) = lines.read_edge_events()
            assert event.event_type.value == 2 - level


def life(guest: Guest, image: str) -> None:
    processor = with_image(image)
    run = verb("trace", "mcu")
    assert (run.returncode, "has no trace: it is offline" in run.stderr) == (1, True), run
    assert verb("load", "mcu", "gpio.elf").returncode == 0
    assert verb("start", "mcu").stdout == "mcu is running\n"
    announced(guest)
    (bus,) = Sysfs().processors()
    assert bus.title == "mcu"
    toggles(guest)
    trace = verb("trace", "mcu").stdout.splitlines()
    assert [line.partition("] ")[2] for line in trace] == [
        "started", "attached", "announced rpmsg-io-0",
    ]  # fmt: skip
    crash(guest, processor)
    toggles(guest)
    assert verb("stop", "mcu").stdout == "mcu is offline\n"
    assert not Sysfs().processors()
    assert verb("start", "mcu").returncode == 0
    announced(guest)
    assert verb("stop", "mcu").returncode == 0


def crash(guest: Guest, processor: remoteproc.RemoteProcessor) -> None:
    """The machine is killed: the kernel keeps its memory, and starts it again."""
    (processor.path / "coredump").write_text("enabled")
    guest.host("kill_mcu")
    guest.until(lambda: any(DUMPS.glob("devcd*/data")), "the core dump")
    guest.until(lambda: processor.state == "running", "the recovery")
    announced(guest)
    (data,) = DUMPS.glob("devcd*/data")
    dump = data.read_bytes()
    assert dump[:5] == b"\x7fELF\x02"
    table, count = struct.unpack_from("<Q", dump, 32)[0], struct.unpack_from("<H", dump, 56)[0]
    assert count == 1
    segment = struct.unpack_from("<IIQQQQQ", dump, table)
    assert segment[4:7] == (CARVEOUT_BASE, CARVEOUT_SIZE, CARVEOUT_SIZE)
    assert b"announced rpmsg-io-0\n" in dump[segment[2] :]
    data.write_text("0")  # it is not kept any longer


def attached_life(guest: Guest, image: str) -> None:
    processor = with_image(image)
    assert processor.state == "detached"
    assert not Sysfs().processors()
    for _ in range(2):
        assert verb("start", "mcu").stdout == "mcu is attached\n"
        announced(guest)
        toggles(guest)
        with (
            Chip("rpmsg:") as chip,
            chip.request_lines({"P1": LineSettings(direction=Direction.INPUT)}) as lines,
        ):
            lines.get_value("P1")
        (processor.path / "state").write_text("detach")
        assert processor.state == "detached"
        assert not Sysfs().processors()
    assert verb("start", "mcu").returncode == 0
    announced(guest)
    trace = [line.partition("] ")[2] for line in verb("trace", "mcu").stdout.splitlines()]
    assert trace.count("started") == 1 and trace.count("attached") == 3, trace
    assert verb("stop", "mcu").stdout == "mcu is offline\n"


# ---- outside --------------------------------------------------------------------------


def test_load_start_crash_recover_dump_stop(kernel: Path, mcu: RemoteMcu) -> None:
    run_inside(kernel, mcu, life)


def test_attach_and_detach(kernel: Path, mcu: RemoteMcu) -> None:
    run_inside(kernel, mcu, attached_life, ":on")
