# SPDX-License-Identifier: BSD-3-Clause
"""Programs that import gpiod, and nobody changes, on our chips."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import as_gpiod
from firmware_stub import Stub
from tests.processes import LATE_S

# What libgpiod's own examples do, by every import that they use.
_BLINK = """
import sys
import gpiod
from gpiod.line import Direction, Edge, Value
from gpiod.line_settings import LineSettings
assert gpiod.LineSettings is LineSettings and gpiod.line.Value is Value
assert int(gpiod.__version__.split(".")[0]) >= 2
path = sys.argv[1]
assert gpiod.is_gpiochip_device(path)
with gpiod.Chip(path) as chip:
    assert isinstance(chip, gpiod.Chip) and not isinstance(3, gpiod.Chip)
    print(chip.get_info().label)
with gpiod.request_lines(
    path, consumer="blink",
    config={"LED_GREEN": LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)},
) as request:
    print(request.get_value("LED_GREEN"))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(socket_path: str, tmp_path: Path) -> Run:
    (tmp_path / "blink.py").write_text(_BLINK)

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "GPIO_BRIDGE_SOCKET": socket_path, **environment},
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )

    return start


def test_a_program_finds_our_chip_by_its_name(run: Run) -> None:
    done = run("-m", "bridge.as_gpiod", "blink.py", "fw-0")
    assert done.stdout == "m4-gpioa\nValue.ACTIVE\n", done.stderr


def test_a_path_that_a_program_has_built_in_leads_to_our_chip(run: Run) -> None:
    path = "/dev/gpiochip0"
    done = run("-m", "bridge.as_gpiod", "--chip", f"{path}=fw-0", "blink.py", path)
    assert done.stdout == "m4-gpioa\nValue.ACTIVE\n", done.stderr


def test_programs_that_it_starts_get_it_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, 'blink.py', '/dev/gpiochip7'], check=True)\n"
    )
    done = run("-m", "bridge.as_gpiod", "--chip", "/dev/gpiochip7=fw-0", "parent.py")
    assert done.stdout == "m4-gpioa\nValue.ACTIVE\n", done.stderr


def test_the_environment_is_enough(run: Run) -> None:
    added = as_gpiod.environment({"/dev/gpiochip0": "fw-0"}, {"PYTHONPATH": "/somewhere"})
    assert added["PYTHONPATH"].endswith(":/somewhere")
    assert as_gpiod.environment(environ=added) == added
    done = run("blink.py", "/dev/gpiochip0", **added)
    assert done.stdout == "m4-gpioa\nValue.ACTIVE\n", done.stderr


@pytest.mark.parametrize("mapped", [{"/dev/gpiochip0": ""}, {"": "fw-0"}, {"a=b": "fw-0"}])
def test_a_mapping_that_means_nothing_is_refused(mapped: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="write PATH=CHIP"):
        as_gpiod.environment(mapped, {})


def test_a_module_runs_as_a_program(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text("import gpiod, sys; print(sys.argv[1:], gpiod.Chip)\n")
    done = run("-m", "bridge.as_gpiod", "-m", "tool", "-v", "--help")
    assert done.stdout == "['-v', '--help'] <class 'bridge.as_gpiod.Chip'>\n", done.stderr


def test_edges_come_as_events_of_the_module(run: Run, tmp_path: Path, stub: Stub) -> None:
    (tmp_path / "edges.py").write_text(
        "import gpiod\n"
        "config = {'LOOP_IN': gpiod.LineSettings(edge_detection=gpiod.line.Edge.BOTH),\n"
        "          'LOOP_OUT': gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT)}\n"
        "with gpiod.request_lines('fw-0', config) as request:\n"
        "    request.set_value('LOOP_OUT', gpiod.line.Value.ACTIVE)\n"
        "    assert request.wait_edge_events(30)\n"
        "    (event,) = request.read_edge_events()\n"
        "    assert isinstance(event, gpiod.EdgeEvent)\n"
        "    print(event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE)\n"
    )
    done = run("-m", "bridge.as_gpiod", "edges.py")
    assert done.stdout == "True\n", done.stderr


def test_errors_are_those_of_the_package(run: Run, tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text(
        "import gpiod\n"
        "for path in ('/dev/gpiochip63', '/dev/null', 'no-such-chip'):\n"
        "    try:\n"
        "        gpiod.Chip(path)\n"
        "    except OSError as error:\n"
        "        print(type(error).__name__, error.errno, gpiod.is_gpiochip_device(path))\n"
        "chip = gpiod.Chip('fw-0')\n"
        "chip.close()\n"
        "try:\n"
        "    chip.get_info()\n"
        "except gpiod.ChipClosedError as error:\n"
        "    print(error)\n"
    )
    done = run("-m", "bridge.as_gpiod", "errors.py")
    assert done.stdout.splitlines() == [
        "FileNotFoundError 2 False",
        "OSError 19 False",  # the package itself answers ENODEV, since it is a character device
        "FileNotFoundError 2 False",
        "I/O operation on closed chip",
    ], done.stderr


def test_without_the_package_a_chip_of_the_kernel_says_what_it_needs(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(
        "from bridge import as_gpiod\n"
        "as_gpiod._package = lambda: None\n"
        "as_gpiod.install()\n"
        "import gpiod\n"
        "gpiod.Chip('/dev/null')\n"
    )
    done = run("kernel.py")
    assert done.stderr.endswith(
        "chips of the kernel need the Python package gpiod: pip install gpiod\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--chip", "fw-0", "blink.py"), "write PATH=CHIP, as in /dev/gpiochip0=fw-0"),
        (("nowhere.py",), "nowhere.py: there is no such file"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run("-m", "bridge.as_gpiod", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
