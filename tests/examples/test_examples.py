# SPDX-License-Identifier: BSD-3-Clause
"""Every file of examples/ does what it says, on the demo board or on a stub of its own."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Rig, Serve
from firmware_stub import Stub
from tests import labs
from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

Start = Callable[..., "Example"]


class Example:
    """A running example, and what it prints."""

    def __init__(self, name: str, *arguments: str, socket: str, **environment: str) -> None:
        """Start examples/`name`; chips are looked for on `socket`."""
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env={
                **os.environ,
                "GPIO_BRIDGE_SOCKET": socket,
                "PYTHONPATH": str(ROOT),
                **environment,
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._pending = b""

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LATE_S
        while b"\n" not in self._pending:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self.process.stdout], [], [], left)[0], "it prints nothing"
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, f"it ended: {self._pending.decode()}"
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def rest(self) -> list[str]:
        """The lines until its end, which must be a good one."""
        output, _ = self.process.communicate(timeout=LATE_S)
        text = (self._pending + output).decode()
        assert self.process.returncode == 0, text
        return text.splitlines()


@pytest.fixture
def start(socket_path: str) -> Iterator[Start]:
    """Start an example, with the service of `rig` for those that need one."""
    started: list[Example] = []

    def run(name: str, *arguments: str, **environment: str) -> Example:
        started.append(Example(name, *arguments, socket=socket_path, **environment))
        return started[-1]

    yield run
    for example in started:
        example.process.kill()
        example.process.communicate()


def test_toggle_led(start: Start) -> None:
    assert start("toggle_led.py").rest() == ["LED_GREEN ACTIVE", "LED_GREEN INACTIVE"] * 3


def test_wait_for_button(start: Start, stub: Stub) -> None:
    example = start("wait_for_button.py")
    assert example.line() == "Press BUTTON_USER, or Enter to stop"
    for command, word in ((stub.press, "pressed"), (stub.release, "released")):
        stub.wait_armed("BUTTON_USER", LATE_S)
        command("BUTTON_USER")
        assert re.fullmatch(rf"{word} at \d+\.\d{{6}} s", example.line())
    assert example.process.stdin is not None
    example.process.stdin.write(b"\n")
    example.process.stdin.flush()
    assert example.rest() == []


def test_edges_asyncio(start: Start, stub: Stub) -> None:
    example = start("edges_asyncio.py")
    for number in (1, 2, 3):
        stub.wait_armed("BUTTON_USER", LATE_S)
        stub.press("BUTTON_USER")
        stub.release("BUTTON_USER")
        lit = number % 2
        assert example.line() == f"press {number}: LED_GREEN {'on' if lit else 'off'}"
        assert stub.read("LED_GREEN") == lit
    stub.wait_armed("BUTTON_POWER", LATE_S)
    stub.press("BUTTON_POWER")
    assert example.rest() == []
    stub.release("BUTTON_POWER")


def test_burst_as_array(start: Start, stub: Stub) -> None:
    example = start("burst_as_array.py")
    assert example.line() == "Waiting for 2000 edges of PWM_TACHO"
    stub.wait_armed("PWM_TACHO", LATE_S)
    stub.pulse("PWM_TACHO", 1000, hz=0)  # as fast as the firmware can tell them
    (line,) = example.rest()
    assert re.fullmatch(r"2000 edges in \d\.\d{6} s, \d+ lost", line)


def test_many_lines(start: Start, stub: Stub) -> None:
    before = [stub.count(led).edges for led in ("LED_GREEN", "LED_RED", "LED_BLUE")]
    levels = dict(line.split() for line in start("many_lines.py").rest())
    assert levels == {
        **dict.fromkeys(("LED_GREEN", "LED_RED", "LED_BLUE", "DIP_0"), "ACTIVE"),
        "DIP_1": "INACTIVE",
    }
    edges = [stub.count(led).edges for led in ("LED_GREEN", "LED_RED", "LED_BLUE")]
    assert all(now > then for now, then in zip(edges, before, strict=True))


def test_debounce_and_bias(start: Start) -> None:
    with Stub("demo", step=True) as stub:  # whose bounces and filter no busy host can part
        example = start("debounce_and_bias.py", stub.url)
        expected = "BUTTON_POWER: bias PULL_UP, debounced for 0:00:00.005000"
        assert example.line() == expected
        for command, edge in ((stub.press, "RISING_EDGE 1"), (stub.release, "FALLING_EDGE 2")):
            stub.wait_armed("BUTTON_POWER", LATE_S)
            command("BUTTON_POWER")
            stub.advance(0.02)
            assert example.line() == edge
        assert example.rest() == []
        assert stub.count("BUTTON_POWER").edges > 2


def test_follow_a_chip(start: Start, fresh_rig: Rig) -> None:
    path = f"{fresh_rig.serve.socket}#fw-0"
    example = start("follow_a_chip.py", path)
    for _ in range(3):
        assert example.line() == f"{path} is there"
        fresh_rig.stub.wait_armed("BUTTON_USER", LATE_S)
        fresh_rig.stub.press("BUTTON_USER")
        assert example.line() == "press 1"
        fresh_rig.stub.release("BUTTON_USER")
        fresh_rig.stub.restart()
        assert example.line() == f"{path} went away"


def test_direct_link(start: Start) -> None:
    with Stub("demo") as stub:
        first, second, level = start("direct_link.py", stub.url).rest()
    assert "m4-gpioa" in first
    assert "m4-gpiob" in second
    assert level == "DIP_0 ACTIVE"


def test_power_up_sensor(start: Start) -> None:
    assert start("power_up_sensor.py").rest() == ["the sensor is ready"]


def test_test_power_up_sensor(tmp_path: Path) -> None:
    """Run it as somebody would who has copied the two files."""
    for name in ("power_up_sensor.py", "test_power_up_sensor.py"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_power_up_sensor.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def test_gpiozero_button(start: Start, stub: Stub) -> None:
    pytest.importorskip("gpiozero")
    example = start("gpiozero_button.py", GPIOZERO_PIN_FACTORY="rpmsg")
    assert example.line() == "Press the button"
    for number in (1, 2, 3):
        stub.wait_armed("BUTTON_USER", LATE_S)
        stub.press("BUTTON_USER")
        assert example.line() == f"pressed: LED_GREEN {'on' if number % 2 else 'off'}"
        stub.release("BUTTON_USER")
    assert example.rest() == []


def test_blinka_button(start: Start, stub: Stub) -> None:
    path = labs.need("adafruit_blinka")["PYTHONPATH"]
    example = start("blinka_button.py", PYTHONPATH=f"{ROOT}:{path}")
    assert example.line() == "Press the button"
    for _ in range(3):
        stub.press("BUTTON_USER")
        stub.wait_level("LED_GREEN", 1, LATE_S)
        stub.release("BUTTON_USER")
        assert example.line() == "pressed, released"
    assert example.rest() == []


def test_pytest_project() -> None:
    """tests/integrations/test_pytest_plugin.py runs it."""
    assert (EXAMPLES / "pytest_project/README.md").is_file()


def test_labgrid(socket_path: str, tmp_path: Path) -> None:
    """As at a desk, by labgrid's plug-in for pytest."""
    for file in (EXAMPLES / "labgrid").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--lg-env", "desk.yaml", "test_board.py"],
        cwd=tmp_path,
        env={**labs.need("labgrid"), "GPIO_BRIDGE_SOCKET": socket_path},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def test_jumpstarter() -> None:
    """tests/integrations/test_jumpstarter.py runs it."""
    assert (EXAMPLES / "jumpstarter/exporter.yaml").is_file()


def test_guest_export(tmp_path_factory: pytest.TempPathFactory, eventually: Any) -> None:
    directory = tmp_path_factory.mktemp("x")  # a name that is short enough for sockets
    text = (EXAMPLES / "guest_export.toml").read_text()
    config = directory / "guest_export.toml"
    config.write_text(text.replace("/tmp/", f"{directory}/"))
    with Stub("demo", socket=directory / "fw.sock"), Serve(directory, "-c", str(config)) as serve:
        assert serve.wait_for_chips(2) == ["m4-0", "m4-1"]
        eventually((directory / "guest.sock").exists, "the socket of the guest", LATE_S)
        assert "ERROR" not in serve.log


def test_every_example_is_run_here_and_told_of() -> None:
    files = {file.name for file in EXAMPLES.glob("*.*") if file.suffix != ".md"}
    readme = (EXAMPLES / "README.md").read_text()
    files |= {f"{page.parent.name}/" for page in EXAMPLES.glob("*/README.md")}
    files -= {"yocto/", "buildroot/"}  # for images: test_layers.py
    assert set(re.findall(r"^\| \[(\S+)\]", readme, re.MULTILINE)) == files
    run = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {Path(file).stem for file in files} <= run
