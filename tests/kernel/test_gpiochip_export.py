# SPDX-License-Identifier: BSD-3-Clause
"""Lines as chips of this Linux, by USB/IP, as its own programs see them.

The kernel's drivers wait for 200 ms. So its clock stands still while anybody computes
(time-travel=inf-cpu), and no verdict depends on the host.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import gpiod
import pytest
from gpiod.line import Direction, Edge, Value

import bridge
from bridge.bench.rig import Rig
from bridge.export.gpiochip import _chips

from .gpio_bed import out, read_line, start
from .guest import Guest
from .system import install, owner, settle, udevd
from .uml import in_kernel

HELPER = "/run/plug.sock"
OWN_TIME = ("time-travel=inf-cpu",)
PATIENT_MS = 60_000  # a service that waits for its turn is no fault here


@contextlib.contextmanager
def helper(patience_ms: int = PATIENT_MS) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge.cli", "plug", "--user", "root"),
            *("--socket", HELPER, "--patience-ms", str(patience_ms)),
        ]
    )
    try:
        Guest.until(lambda: os.path.exists(HELPER), "the helper listens")
        yield process
    finally:
        process.kill()
        process.wait()


def chip_of(serial: str) -> str:
    """``gpiochipN`` of an export."""
    path = Guest.until(lambda: _chips().get(serial), f"the chip of {serial}")
    Guest.until(lambda: os.path.exists(path), path)
    return str(path).removeprefix("/dev/")


@contextlib.contextmanager
def plugged(guest: Guest, *exports: str, patience_ms: int = PATIENT_MS) -> Iterator[Rig]:
    """The demo board, a service with exports such as ``chip=fw-0``, and the helper."""
    arguments = [
        word for export in exports for word in ("--export", f"gpiochip:dln2:{HELPER},{export}")
    ]
    with helper(patience_ms), Rig(arguments=tuple(arguments)) as rig:
        try:
            yield rig
        finally:
            guest.say(rig.serve.log)


@in_kernel(parameters=OWN_TIME)
def test_lines_are_a_chip_of_this_linux(guest: Guest) -> None:
    with plugged(guest, "chip=fw-0,name=m4") as rig:
        chip = chip_of("m4")
        assert f"{chip} [dln2] (16 lines)" in out("gpiodetect")
        tools_are_right(guest, rig, chip)


@in_kernel(parameters=OWN_TIME)
def test_two_chips_and_a_library_of_libgpiod_2(guest: Guest) -> None:
    with plugged(guest, "chip=fw-0,name=a", "chip=fw-1,name=b") as rig:
        first, second = chip_of("a"), chip_of("b")
        assert f"{second} [dln2] (8 lines)" in out("gpiodetect")
        with gpiod.Chip(f"/dev/{first}") as chip:
            assert chip.get_info().num_lines == 16
            values_are_right(chip)
            edges_are_right(rig, chip)
            debounced_edges_are_right(rig, chip)
        with gpiod.Chip(f"/dev/{second}") as chip:
            sensor_is_enabled(rig, chip)


@in_kernel(parameters=OWN_TIME)
def test_the_kernel_gives_names_to_lines_by_its_aggregator(guest: Guest) -> None:
    with plugged(guest, "chip=fw-0,name=m4") as rig:
        chip_of("m4")
        folder = Path("/sys/kernel/config/gpio-aggregator/m4")
        for number, (offset, name) in enumerate(((4, "out"), (5, "in"), (9, "tacho"))):
            line = folder / f"line{number}"
            line.mkdir(parents=True)
            for file, text in (("key", "dln2"), ("offset", str(offset)), ("name", name)):
                (line / file).write_text(text)
        before = set(os.listdir("/sys/bus/gpio/devices"))
        (folder / "live").write_text("1")
        (made,) = set(os.listdir("/sys/bus/gpio/devices")) - before
        with gpiod.Chip(f"/dev/{made}") as chip:
            aggregated_lines_are_right(rig, chip)
        (folder / "live").write_text("0")


@in_kernel(parameters=OWN_TIME)
def test_the_chip_has_a_name_in_dev(guest: Guest) -> None:
    install()
    with udevd(), plugged(guest, "chip=fw-1,name=m4") as _:
        chip = chip_of("m4")
        settle()
        assert os.path.realpath("/dev/gpio/by-name/m4") == f"/dev/{chip}"
        assert owner(f"/dev/{chip}") == ("root", "gpio", "0660")


@in_kernel(parameters=OWN_TIME)
def test_the_chip_stays_while_the_firmware_restarts(guest: Guest) -> None:
    with plugged(guest, "chip=fw-0,name=m4") as rig, gpiod.Chip(f"/dev/{chip_of('m4')}") as chip:
        driven = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        watched = gpiod.LineSettings(edge_detection=Edge.BOTH)
        with chip.request_lines({4: driven, 9: watched}) as lines:
            rig.stub.kill()
            with pytest.raises(OSError) as caught:
                lines.get_value(9)
            assert caught.value.errno in (errno.ENODEV, errno.ETIMEDOUT)
            rig.stub.start()
            guest.until(lambda: rig.stub.read("LOOP_OUT") == 1, "it is driven again")
            guest.until(lambda: not failed(lines, 9), "lines answer again")
            rig.stub.pulse("PWM_TACHO", 1, 1000)
            assert edges_of(lines, 2) == [RISING, FALLING]


@in_kernel(parameters=OWN_TIME)
def test_a_service_that_is_killed_takes_its_chip_along(guest: Guest) -> None:
    kills(guest, 3)


@pytest.mark.slow
@in_kernel(timeout_s=900, parameters=OWN_TIME)
def test_fifty_kills(guest: Guest) -> None:
    kills(guest, 50)


@in_kernel(parameters=OWN_TIME)
def test_no_task_waits_long_for_a_service_that_stands_still_or_dies(guest: Guest) -> None:
    """A task in state D cannot be ended by anything."""
    with plugged(guest, "chip=fw-0,name=m4", patience_ms=120) as rig:
        for number in (signal.SIGSTOP, signal.SIGKILL) * 3:
            no_task_waits_long(guest, rig, number)
        get_until_ok(chip_of("m4"))


# ---- inside -----------------------------------------------------------------------

RISING, FALLING = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE


def no_task_waits_long(guest: Guest, rig: Rig, number: signal.Signals) -> None:
    """Send the service a signal, use the chip, and let the service go on or start again."""
    chip = chip_of("m4")
    get_until_ok(chip)
    os.kill(rig.serve.pid, number)
    with subprocess.Popen(["gpioget", chip, "5"], stderr=subprocess.DEVNULL) as process:
        longest_ms, task = longest_in_state_d(process, chip)
        assert process.wait() == 1
    if number is signal.SIGSTOP:
        os.kill(rig.serve.pid, signal.SIGCONT)
    else:
        assert rig.serve.process is not None
        rig.serve.process.wait()
        rig.serve.__enter__()
    guest.say(f"{number.name}: {longest_ms:.0f} ms, task {task}")
    assert longest_ms <= 200, task


def longest_in_state_d(process: subprocess.Popen[bytes], chip: str) -> tuple[float, str]:
    """Watch a process and the kernel's workers until it has ended and the chip is gone.

    Returns for how many ms one of them slept so that nothing could end it, at worst, and which.
    Between two looks 20 ms pass at most: what it is late beyond that, this machine stood still.
    """
    with contextlib.ExitStack() as files:
        stats = {}
        for task in [*workers(), str(process.pid)]:
            with contextlib.suppress(FileNotFoundError):  # workers come and go
                stat = open(f"/proc/{task}/stat", "rb", buffering=0)  # noqa: SIM115
                stats[task] = files.enter_context(stat)
        asleep_ms = dict.fromkeys(stats, 0.0)
        longest = 0.0, ""
        before = time.monotonic()
        while process.poll() is None or os.path.exists(f"/sys/bus/gpio/devices/{chip}"):
            time.sleep(0.002)
            now = time.monotonic()
            for task, stat in stats.items():
                passed_ms = min(20, (now - before) * 1000) if b") D " in read_anew(stat) else 0
                asleep_ms[task] = (asleep_ms[task] + passed_ms) if passed_ms else 0
                longest = max(longest, (asleep_ms[task], task))
            before = now
    return longest


def workers() -> Iterator[str]:
    """The kernel's threads that do what others leave to them."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if "worker" in path.read_text():
                yield path.parent.name


def read_anew(stat: io.FileIO) -> bytes:
    try:
        return os.pread(stat.fileno(), 256, 0)
    except ProcessLookupError:  # it has ended
        return b""


def tools_are_right(guest: Guest, rig: Rig, chip: str) -> None:
    """libgpiod 1.6, which knows the first version of the uAPI."""
    assert out("gpioget", chip, "10", "11") == "1 0\n"
    setter = start("gpioset", "--mode=signal", chip, "4=1")
    try:
        guest.until(lambda: out("gpioget", chip, "5") == "1\n", "LOOP_IN follows LOOP_OUT")
        with rig.chip() as ours:
            info = ours.get_line_info(4)
        assert (info.direction, info.consumer) == (bridge.line.Direction.OUTPUT, "gpiochip:m4")
        busy = subprocess.run(["gpioget", chip, "4"], capture_output=True, text=True, check=False)
        assert "Device or resource busy" in busy.stderr
    finally:
        setter.terminate()
        setter.wait()
    monitor = start("gpiomon", "-n", "6", "--format=%e", chip, "6")
    try:
        rig.stub.command("wait-armed BUTTON_USER timeout 10s", 20)
        for _ in range(3):
            rig.stub.press("BUTTON_USER")
            rig.stub.release("BUTTON_USER")
        assert [read_line(monitor, 10) for _ in range(6)] == ["0\n", "1\n"] * 3
    finally:
        monitor.terminate()
        monitor.wait()


def values_are_right(chip: gpiod.Chip) -> None:
    loop = {
        5: gpiod.LineSettings(direction=Direction.INPUT),
        4: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE),
    }
    with chip.request_lines(loop, consumer="two") as lines:
        assert lines.get_values([4, 5]) == [Value.ACTIVE, Value.ACTIVE]
        lines.set_value(4, Value.INACTIVE)
        assert lines.get_value(5) == Value.INACTIVE
        with pytest.raises(OSError) as caught:
            chip.request_lines({4: gpiod.LineSettings()})
        assert caught.value.errno == errno.EBUSY


def aggregated_lines_are_right(rig: Rig, chip: gpiod.Chip) -> None:
    driven = {"out": gpiod.LineSettings(direction=Direction.OUTPUT)}
    watched = {"in": None, "tacho": gpiod.LineSettings(edge_detection=Edge.RISING)}
    with chip.request_lines(driven) as outputs, chip.request_lines(watched) as inputs:
        for value in (Value.ACTIVE, Value.INACTIVE):
            outputs.set_value("out", value)
            assert inputs.get_value("in") == value
        rig.stub.pulse("PWM_TACHO", 20, 1000)
        assert edges_of(inputs, 20) == [RISING] * 20


def edges_are_right(rig: Rig, chip: gpiod.Chip) -> None:
    both = {9: gpiod.LineSettings(edge_detection=Edge.BOTH)}
    with chip.request_lines(both, event_buffer_size=1024) as lines:
        rig.stub.pulse("PWM_TACHO", 100, 10_000)
        assert edges_of(lines, 200) == [RISING, FALLING] * 100
    rising = {9: gpiod.LineSettings(edge_detection=Edge.RISING)}
    with chip.request_lines(rising, event_buffer_size=1024) as lines:
        rig.stub.pulse("PWM_TACHO", 100, 10_000)
        assert edges_of(lines, 100) == [RISING] * 100


def debounced_edges_are_right(rig: Rig, chip: gpiod.Chip) -> None:
    settled = gpiod.LineSettings(
        edge_detection=Edge.BOTH, debounce_period=timedelta(milliseconds=100)
    )
    with chip.request_lines({7: settled}) as lines:
        rig.stub.press("BUTTON_POWER")  # it bounces
        assert edges_of(lines, 1) == [FALLING]
        rig.stub.release("BUTTON_POWER")
        assert edges_of(lines, 1) == [RISING]


def sensor_is_enabled(rig: Rig, chip: gpiod.Chip) -> None:
    output = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
    with chip.request_lines({1: output}):
        assert rig.stub.read("EN_SENSOR") == 1


def edges_of(lines: gpiod.LineRequest, count: int) -> list[gpiod.EdgeEvent.Type]:
    """The next edges, no more and no less."""
    found: list[gpiod.EdgeEvent.Type] = []
    while len(found) < count:
        assert lines.wait_edge_events(timedelta(seconds=10)), f"{len(found)} of {count} edges"
        found += [event.event_type for event in lines.read_edge_events()]
    return found


def failed(lines: gpiod.LineRequest, offset: int) -> bool:
    try:
        lines.get_value(offset)
    except OSError:
        return True
    return False


def get_until_ok(chip: str) -> None:
    """The helper may have lost its patience with a service that only waits for its turn."""
    Guest.until(
        lambda: subprocess.run(["gpioget", chip, "5"], check=False).returncode == 0, "a value"
    )


def kills(guest: Guest, count: int) -> None:
    """Kill the service with a line driven and one watched; its next one has a chip again."""
    with plugged(guest, "chip=fw-0,name=m4") as rig:
        for _ in range(count):
            with gpiod.Chip(f"/dev/{chip_of('m4')}") as chip:
                driven = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
                watched = gpiod.LineSettings(edge_detection=Edge.BOTH)
                with chip.request_lines({4: driven}), chip.request_lines({9: watched}) as lines:
                    os.kill(rig.serve.pid, signal.SIGKILL)
                    assert rig.serve.process is not None
                    rig.serve.process.wait()
                    with pytest.raises(OSError) as caught:
                        lines.wait_edge_events(timedelta(seconds=60))
                        lines.read_edge_events()
                    assert caught.value.errno == errno.ENODEV
            guest.until(lambda: not _chips(), "the chip goes")
            rig.serve.__enter__()
