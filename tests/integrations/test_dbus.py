# SPDX-License-Identifier: BSD-3-Clause
"""io.gpiod1 on a private bus, by GLib's and systemd's tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Rig
from firmware_stub import Stub
from tests import labs
from tests.integrations.programs import Program
from tests.processes import LATE_S

CHIPS = "/io/gpiod1/chips"
CHIP = f"{CHIPS}/gpiochip0"
OTHER = "other.sock"
PROPERTIES = "org.freedesktop.DBus.Properties"


class Bus:
    """A dbus-daemon, the service of a rig, and the manager between both."""

    def __init__(self, rig: Rig, directory: Path) -> None:
        self.rig = rig
        self.directory = directory
        self._daemon = Program(
            ["dbus-daemon", "--session", "--print-address", "--nofork", "--nopidfile",
             f"--address=unix:path={directory}/bus"],
            r"(?m)^unix:.*\n", directory, dict(os.environ),
        )  # fmt: skip
        self._daemon.ready()
        # It may say beside that it could not raise its limits.
        self.address = next(
            line for line in self._daemon.log.splitlines() if line.startswith("unix:")
        )
        self.manager = Program(
            [
                *(sys.executable, "-m", "bridge.integrations.dbus"),
                *("--bus", self.address, "--socket", rig.serve.socket),
            ],
            "io.gpiod1 is served", directory, dict(os.environ),
        )  # fmt: skip
        self.manager.ready()
        self.signals = Program(
            ["gdbus", "monitor", "--address", self.address, "-d", "io.gpiod1"],
            "is owned by", directory, dict(os.environ),
        )  # fmt: skip
        self.signals.ready()

    def stop(self) -> None:
        for program in (self.signals, self.manager, self._daemon):
            program.stop()

    def _busctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["busctl", f"--address={self.address}", "--json=short", *words],
            capture_output=True, text=True, timeout=LATE_S,
        )  # fmt: skip

    def call(self, path: str, interface: str, method: str, *arguments: str) -> Any:
        """Call a method: what it returns."""
        done = self._busctl("call", "io.gpiod1", path, interface, method, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["data"] if done.stdout.strip() else None

    def refused(self, path: str, interface: str, method: str, *arguments: str) -> str:
        """Call a method that must fail: the sentence."""
        done = self._busctl("call", "io.gpiod1", path, interface, method, *arguments)
        assert done.returncode, done.stdout
        return done.stderr

    def properties(self, path: str, interface: str) -> dict[str, Any]:
        (all_,) = self.call(path, PROPERTIES, "GetAll", "s", interface)
        return {name: value["data"] for name, value in all_.items()}

    def request(self, words: str) -> str:
        """RequestLines in busctl's words; the path of the request."""
        (path,) = self.call(
            CHIP, "io.gpiod1.Chip", "RequestLines", "(a(aua{sv})ai)a{sv}", *words.split()
        )
        return str(path)

    def release(self, path: str) -> None:
        self.call(path, "io.gpiod1.Request", "Release")


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    pytest.importorskip("dbus_fast")
    for tool in ("dbus-daemon", "gdbus", "busctl"):
        if not shutil.which(tool):
            labs.lacks(f"{tool} is not installed (make deps)")
    directory = tmp_path_factory.mktemp("b")
    other = f"vhost-user:{directory}/{OTHER},name=other"
    with Rig(arguments=("--link", other)) as rig:
        running = Bus(rig, directory)
        try:
            yield running
        finally:
            running.stop()


def test_chips_and_lines(bus: Bus) -> None:
    chip = bus.properties(CHIP, "io.gpiod1.Chip")
    assert bytes(chip.pop("Path")).decode() == f"{bus.rig.serve.socket}#fw-0\0"
    assert chip == {"Name": "fw-0", "Label": "m4-gpioa", "NumLines": 16}
    assert bus.properties(f"{CHIP}/line6", "io.gpiod1.Line") == {
        "Offset": 6, "Name": "BUTTON_USER", "Used": False, "Consumer": "", "Direction": "input",
        "EdgeDetection": "none", "Bias": "unknown", "Drive": "push-pull", "ActiveLow": False,
        "Debounced": False, "DebouncePeriodUs": 0, "EventClock": "monotonic", "Managed": False,
        "RequestPath": "/",
    }  # fmt: skip
    (objects,) = bus.call(CHIP, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    assert sorted(objects) == sorted(f"{CHIP}/line{offset}" for offset in range(16))
    # gpiocli dies of a manager that tells of objects below its own.
    (chips,) = bus.call(CHIPS, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    assert {path: list(faces) for path, faces in chips.items()} == {
        f"{CHIPS}/gpiochip0": ["io.gpiod1.Chip"],
        f"{CHIPS}/gpiochip1": ["io.gpiod1.Chip"],
    }


def test_the_interface_has_libgpiods_members(bus: Bus) -> None:
    (text,) = bus.call(f"{CHIP}/line0", "org.freedesktop.DBus.Introspectable", "Introspect")
    found = {
        f"{one.get('name')}": [arg.get("type") for arg in one.iter("arg")] or one.get("type")
        for interface in xml.etree.ElementTree.fromstring(text)
        if interface.get("name") == "io.gpiod1.Line"
        for one in interface
    }
    assert found == {
        "ActiveLow": "b", "Bias": "s", "Consumer": "s", "DebouncePeriodUs": "t", "Debounced": "b",
        "Direction": "s", "Drive": "s", "EdgeDetection": "s", "EdgeEvent": ["(ittt)"],
        "EventClock": "s", "Managed": "b", "Name": "s", "Offset": "u", "RequestPath": "o",
        "Used": "b",
    }  # fmt: skip


def test_an_output_lives_until_it_is_released(bus: Bus) -> None:
    path = bus.request("1 2 0 1 1 direction s output 2 1 0 1 consumer s blinky")
    assert path == "/io/gpiod1/requests/request0"
    assert bus.rig.stub.read("LED_GREEN") == 1
    line = bus.properties(f"{CHIP}/line0", "io.gpiod1.Line")
    assert (line["Managed"], line["RequestPath"], line["Consumer"]) == (True, path, "blinky")
    assert bus.properties(path, "io.gpiod1.Request") == {
        "ChipPath": CHIP, "LinePaths": [f"{CHIP}/line0", f"{CHIP}/line1"]
    }  # fmt: skip
    bus.call(path, "io.gpiod1.Request", "SetValues", "a{ui}", "2", "0", "0", "1", "1")
    assert (bus.rig.stub.read("LED_GREEN"), bus.rig.stub.read("LED_RED")) == (0, 1)
    assert bus.call(path, "io.gpiod1.Request", "GetValues", "au", "0") == [[0, 1]]
    assert bus.call(path, "io.gpiod1.Request", "GetValues", "au", "1", "1") == [[1]]
    bus.call(
        path, "io.gpiod1.Request", "ReconfigureLines", "(a(aua{sv})ai)",
        "1", "1", "0", "2", "direction", "s", "output", "active-low", "b", "true", "1", "1",
    )  # fmt: skip
    assert bus.rig.stub.read("LED_GREEN") == 0  # active, by a low level
    assert bus.properties(f"{CHIP}/line0", "io.gpiod1.Line")["ActiveLow"] is True
    bus.release(path)
    assert not bus.properties(f"{CHIP}/line0", "io.gpiod1.Line")["Managed"]
    assert bus.request("1 1 0 1 direction s input 0 0") == path  # the number is free
    bus.release(path)


def test_edges_are_signals_of_their_line(bus: Bus) -> None:
    path = bus.request("1 1 6 2 edge s both active-low b true 0 0")
    bus.rig.stub.wait_armed("BUTTON_USER")
    bus.rig.stub.press("BUTTON_USER")
    bus.signals.wait_for(rf"{CHIP}/line6: io.gpiod1.Line.EdgeEvent \(\(1, .*?1, .*?1\),\)")
    bus.rig.stub.release("BUTTON_USER")
    bus.signals.wait_for(rf"{CHIP}/line6: io.gpiod1.Line.EdgeEvent \(\(0, .*?2, .*?2\),\)")
    bus.release(path)


def test_what_others_do_with_a_line_is_told(bus: Bus) -> None:
    said = len(bus.signals.log)
    with bus.rig.chip() as chip, chip.request_lines({"LED_BLUE": None}, consumer="somebody"):
        bus.signals.wait_for(rf"{CHIP}/line2: .*PropertiesChanged .*'somebody'", said)
        said_no = bus.refused(
            CHIP, "io.gpiod1.Chip", "RequestLines", "(a(aua{sv})ai)a{sv}",
            "1", "1", "2", "0", "0", "0",
        )  # fmt: skip
        assert 'held by "somebody"' in said_no


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("1 1 0 1 color s red 0 0", "no setting 'color'"),
        ("1 1 0 1 direction s sideways 0 0", "write one of input, output, as-is"),
        ("1 1 0 1 direction b true 0 0", "direction must be of type s"),
        ("2 1 0 0 1 0 0 0 0", "line 0 is there twice"),
        ("1 1 0 1 direction s output 2 1 1 0", "2 values for 1 lines"),
        ("1 1 0 0 0 1 consumer u 3", "consumer of type u"),
        ("1 1 99 0 0 0", "99"),
        ("0 0 0", "line"),
    ],
)
def test_what_makes_no_sense_is_refused(bus: Bus, words: str, sentence: str) -> None:
    said = bus.refused(
        CHIP, "io.gpiod1.Chip", "RequestLines", "(a(aua{sv})ai)a{sv}", *words.split()
    )
    assert sentence in said


def test_a_chip_that_goes_takes_its_requests_and_comes_again(bus: Bus) -> None:
    path = bus.request("1 1 0 1 direction s output 1 1 0")
    said, told = len(bus.signals.log), len(bus.manager.log)
    bus.rig.stub.restart()
    bus.signals.wait_for(rf"InterfacesRemoved \(objectpath '{path}'", said)
    bus.signals.wait_for(rf"InterfacesRemoved \(objectpath '{CHIP}'", said)
    bus.manager.wait_for(f"chip fw-0 is {CHIP}", told)
    bus.signals.wait_for(rf"InterfacesAdded \(objectpath '{CHIP}'", said)
    assert bus.request("1 1 0 1 direction s output 1 1 0") == path
    assert bus.rig.stub.read("LED_GREEN") == 1
    bus.release(path)


def test_a_chip_that_comes_while_others_are_away(bus: Bus) -> None:
    said, told = len(bus.signals.log), len(bus.manager.log)
    bus.rig.stub.kill()
    bus.signals.wait_for(rf"InterfacesRemoved \(objectpath '{CHIP}'", said)
    board = "".join(f"controller {one} label o{one} lines 1\n" for one in range(2))
    with Stub(board, socket=bus.directory / OTHER):
        for number in (2, 3):
            bus.manager.wait_for(f"chip other-. is {CHIPS}/gpiochip{number}", told)
    bus.rig.stub.start()
    bus.manager.wait_for(f"chip fw-0 is {CHIP}", told)


def test_the_name_is_one_managers(bus: Bus) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bridge.integrations.dbus"),
            *("--bus", bus.address, "--socket", bus.rig.serve.socket),
        ],
        capture_output=True, text=True, timeout=LATE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert "somebody else has the name io.gpiod1 on this bus" in done.stderr


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("nowhere", "nowhere"), ("unix:path=/nowhere", "No such file")],
)
def test_a_bus_that_is_not_there_is_named(bus: Bus, address: str, sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge.integrations.dbus", "--bus", address],
        capture_output=True, text=True, timeout=LATE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("io.gpiod1: ")
    assert sentence in done.stderr


def test_it_ends_with_the_service(bus: Bus) -> None:
    bus.rig.serve.stop()
    assert bus.manager.process.wait(60) == 1
    bus.manager.wait_for("io.gpiod1: .*")
