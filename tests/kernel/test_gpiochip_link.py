# SPDX-License-Identifier: BSD-3-Clause
"""Pins of a Linux as a link: gpio-sim's chips, in a kernel that has them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import bridge
from bridge.bench.rig import Serve
from bridge.line import Bias, Direction, Drive, Edge, Value

from .guest import Guest
from .uml import in_kernel

CONFIG = Path("/sys/kernel/config/gpio-sim")
BOUND_NS = 1_000_000
"""Twenty times what mapping the coprocessor's clock to ours has to be good for here."""
NAMES = ["LED", "KEY", "", "SENSOR", "TWICE", "TWICE", "", "HELD"]


class Sim:
    """One chip of gpio-sim (Documentation/admin-guide/gpio/gpio-sim.rst)."""

    def __init__(self, name: str = "sim") -> None:
        self._device = CONFIG / name
        bank = self._device / "bank"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text(str(len(NAMES)))
        (bank / "label").write_text("pins of this Linux")
        for offset, line in enumerate(NAMES):
            if line:
                (bank / f"line{offset}").mkdir()
                (bank / f"line{offset}/name").write_text(line)
        self.live = True

    @property
    def chip(self) -> str:
        """``gpiochipN``; another one each time it comes."""
        return (self._device / "bank/chip_name").read_text().strip()

    @property
    def path(self) -> str:
        return f"/dev/{self.chip}"

    def _line(self, offset: int) -> Path:
        device = (self._device / "dev_name").read_text().strip()
        return Path(f"/sys/devices/platform/{device}/{self.chip}/sim_gpio{offset}")

    @property
    def live(self) -> bool:
        """Whether the chip is there."""
        return (self._device / "live").read_text().strip() == "1"

    @live.setter
    def live(self, wanted: bool) -> None:
        (self._device / "live").write_text(str(int(wanted)))

    def drive(self, offset: int, level: int) -> None:
        """Pull a line from outside."""
        pull = "pull-up" if level else "pull-down"
        (self._line(offset) / "pull").write_text(pull)

    def read(self, offset: int) -> str:
        """The level at a pin."""
        return (self._line(offset) / "value").read_text().strip()


@contextlib.contextmanager
def served(guest: Guest, url: str, *arguments: str) -> Iterator[Serve]:
    """A service on the link; its log goes to the console."""
    with Serve(Path("/run"), "-v", "--link", f"{url},name=host", *arguments) as serve:
        try:
            serve.wait_for_chips(1)
            yield serve
        finally:
            guest.say(serve.log)


@in_kernel()
def test_local_lines_are_a_chip(guest: Guest) -> None:
    sim = Sim()
    with (
        served(guest, f"gpiochip:{sim.path}") as serve,
        bridge.Chip(f"{serve.socket}#host-0") as chip,
    ):
        info = chip.get_info()
        assert (info.num_lines, info.label) == (len(NAMES), "pins of this Linux")
        shown = [chip.get_line_info(offset).name for offset in range(len(NAMES))]
        assert shown == ["LED", "KEY", None, "SENSOR", "TWICE", None, None, "HELD"]
        output = bridge.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
        edges = bridge.LineSettings(edge_detection=Edge.BOTH)
        with chip.request_lines({"LED": output, "KEY": edges}) as request:
            assert sim.read(0) == "1"
            assert 'consumer="gpio-bridge"' in _kernel_info(sim, 0)
            request.set_value("LED", Value.INACTIVE)
            assert sim.read(0) == "0"
            for level in (1, 0, 1):
                sim.drive(1, level)
                assert request.wait_edge_events(30)
                (event,) = request.read_edge_events()
                rising = event.event_type is bridge.EdgeEvent.Type.RISING_EDGE
                assert (event.line_offset, rising) == (1, bool(level))
                assert request.get_value("KEY") is (Value.ACTIVE if level else Value.INACTIVE)
        guest.until(lambda: _kernel_info(sim, 0) == "free", "the kernel to have it back")


def _kernel_info(sim: Sim, offset: int) -> str:
    import gpiod

    with gpiod.Chip(sim.path) as chip:
        info = chip.get_line_info(offset)
        return f'consumer="{info.consumer}"' if info.used else "free"


@in_kernel()
def test_local_lines_have_what_firmware_has(guest: Guest) -> None:
    """Settings are the kernel's, edges come as records with its time, many lines at once."""
    import gpiod

    sim = Sim()
    pull_up = bridge.LineSettings(bias=Bias.PULL_UP, edge_detection=Edge.BOTH)
    drain = bridge.LineSettings(direction=Direction.OUTPUT, drive=Drive.OPEN_DRAIN)
    settled = bridge.LineSettings(
        edge_detection=Edge.RISING, debounce_period=timedelta(milliseconds=1)
    )
    output = bridge.LineSettings(direction=Direction.OUTPUT)
    with (
        served(guest, f"gpiochip:{sim.path}") as serve,
        bridge.Chip(f"{serve.socket}#host-0") as chip,
    ):
        config = {"LED": drain, "KEY": pull_up, 2: output, "SENSOR": settled, 4: output}
        with chip.request_lines(config) as request, gpiod.Chip(sim.path) as kernels:
            assert kernels.get_line_info(0).drive is gpiod.line.Drive.OPEN_DRAIN
            assert kernels.get_line_info(1).bias is gpiod.line.Bias.PULL_UP
            assert kernels.get_line_info(3).debounce_period == timedelta(milliseconds=1)
            request.set_values({2: Value.ACTIVE, 4: Value.ACTIVE})
            assert (sim.read(2), sim.read(4)) == ("1", "1")
            assert request.get_values([2, 4]) == [Value.ACTIVE, Value.ACTIVE]
            sim.drive(3, 1)
            assert request.wait_edge_events(30)
            assert [event.line_offset for event in request.read_edge_events()] == [3]
            before = time.monotonic_ns()
            events: list[bridge.EdgeEvent] = []
            for level in (0, 1, 0, 1):  # gpio-sim makes one edge of two that follow at once
                sim.drive(1, level)
                assert request.wait_edge_events(30)
                events += request.read_edge_events()
            after = time.monotonic_ns()
        assert [event.line_seqno for event in events] == [1, 2, 3, 4]
        stamps = [event.timestamp_ns for event in events]
        assert stamps == sorted(stamps)
        assert before - BOUND_NS <= stamps[0] and stamps[-1] <= after + BOUND_NS


@in_kernel()
def test_local_lines_conform(guest: Guest) -> None:
    """The whole of our protocol, but for what needs to see a pin change."""
    sim = Sim()
    ended = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "conformance", "--link", f"gpiochip:{sim.path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    guest.say(ended.stdout + ended.stderr)
    assert ended.returncode == 0


@in_kernel()
def test_line_that_another_program_has_is_refused(guest: Guest) -> None:
    import gpiod

    sim = Sim()
    with served(guest, "gpiochip:label=pins of this Linux") as serve:
        with (
            gpiod.request_lines(sim.path, {7: None}, "somebody"),
            bridge.Chip(f"{serve.socket}#host-0") as chip,
        ):
            with pytest.raises(OSError):
                chip.request_lines({7: bridge.LineSettings(direction=Direction.OUTPUT)})
            # The others do not mind.
            chip.request_lines({0: bridge.LineSettings(direction=Direction.OUTPUT)}).release()
        guest.until(lambda: "SET_" in serve.log and "busy" in serve.log, "why it was refused")


@in_kernel()
def test_chip_goes_and_comes_back(guest: Guest) -> None:
    sim = Sim()
    with served(guest, "gpiochip:label=pins of this Linux") as serve:
        sim.live = False
        guest.until(lambda: "the chip is gone" in serve.log, "the loss to be seen")
        sim.live = True
        guest.until(lambda: serve.log.count("chip host-0: 8 lines") == 2, "the chip's return")
        with bridge.Chip(f"{serve.socket}#host-0") as chip:
            settings = bridge.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
            with chip.request_lines({"LED": settings}):
                assert sim.read(0) == "1"


@in_kernel()
def test_local_lines_for_a_guest(guest: Guest) -> None:
    """The same export as for firmware, both kinds of interrupts included."""
    from tests.export import frontend as fe  # a name that only the inside has

    sim = Sim()
    path = "/run/guest.sock"
    lines = f"vhost-user-gpio:{path},chip=host-0,lines=LED,KEY,SENSOR=level"
    with served(guest, f"gpiochip:{sim.path}", "--export", lines):
        guest.until(Path(path).exists, "the export's socket")
        with fe.Frontend(path).up() as driver:
            assert driver.names(14)[1].endswith(b"LED\0KEY\0level\0")
            driver.ok(fe.SET_VALUE, 0, 1)
            driver.ok(fe.SET_DIRECTION, 0, fe.OUT)
            assert sim.read(0) == "1"
            driver.ok(fe.SET_DIRECTION, 1, fe.IN)
            driver.ok(fe.SET_IRQ_TYPE, 1, fe.BOTH)
            for level in (1, 0, 1):
                driver.buffer(1)
                sim.drive(1, level)
                assert driver.event()[1] == fe.VALID
                assert driver.ok(fe.GET_VALUE, 1) == level
            driver.ok(fe.SET_DIRECTION, 2, fe.IN)
            driver.ok(fe.SET_IRQ_TYPE, 2, fe.HIGH)
            sim.drive(3, 1)
            for _ in range(3):  # for as long as it lasts
                driver.buffer(2)
                assert driver.event()[1] == fe.VALID
            sim.drive(3, 0)
            driver.buffer(2)
            before = time.monotonic()
            with pytest.raises(TimeoutError):
                driver.event(0.2)
            assert time.monotonic() - before >= 0.2
            sim.drive(3, 1)
            assert driver.event()[1] == fe.VALID
        guest.until(lambda: _kernel_info(sim, 0) == "free", "the guest's lines to be free")


@in_kernel()
def test_an_output_keeps_its_interrupt_for_later(guest: Guest) -> None:
    """As open drain needs, whose lines Linux makes outputs and inputs in turn."""
    from tests.export import frontend as fe  # a name that only the inside has

    sim = Sim()
    path = "/run/guest.sock"
    lines = f"vhost-user-gpio:{path},chip=host-0,lines=KEY,SENSOR"
    with served(guest, f"gpiochip:{sim.path}", "--export", lines):
        guest.until(Path(path).exists, "the export's socket")
        with fe.Frontend(path).up() as driver:
            for line, offset, irq_type in ((0, 1, fe.RISING), (1, 3, fe.HIGH)):
                driver.ok(fe.SET_VALUE, line, 0)
                driver.ok(fe.SET_DIRECTION, line, fe.OUT)
                driver.ok(fe.SET_IRQ_TYPE, line, irq_type)
                driver.buffer(line)
                driver.ok(fe.SET_DIRECTION, line, fe.IN)
                sim.drive(offset, 1)
                assert driver.event()[1] == fe.VALID
