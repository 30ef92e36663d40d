# SPDX-License-Identifier: BSD-3-Clause
"""What other clients and firmware call things, on the terminal of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import bridge as gpiod
from bridge.line import Direction
from tests.processes import LATE_S

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Background = Callable[..., "subprocess.Popen[str]"]

HOSTILE = "T\u00fcr\x1b[2J\a\nfw-9 - 1 lines"
SHOWN = r"T\u00fcr\x1b[2J\x07\nfw-9 - 1 lines".replace(r"\u00fc", "\u00fc")


@pytest.fixture
def neighbour(chip: gpiod.Chip) -> Iterator[None]:
    """A client that holds LED_RED, and whose name would command a terminal."""
    settings = gpiod.LineSettings(direction=Direction.OUTPUT)
    with chip.request_lines({"LED_RED": settings}, consumer=HOSTILE):
        yield


@pytest.mark.parametrize("options", [[], ["--unquoted"]])
def test_consumers_do_not_command_the_terminal(
    neighbour: None, cli: Cli, options: list[str]
) -> None:
    for run in (cli("info", *options), cli("info", *options, "LED_RED")):
        assert (run.returncode, run.stderr) == (0, "")
        assert SHOWN in run.stdout
        assert all(line.isprintable() for line in run.stdout.replace("\t", "").splitlines())
        assert not any(line.startswith("fw-9") for line in run.stdout.splitlines())


def test_nor_by_a_sentence(neighbour: None, cli: Cli) -> None:
    run = cli("get", "LED_RED")
    assert run.returncode == 1
    assert f'is held by "{SHOWN}"' in run.stderr
    assert run.stderr.count("\n") == 1


def test_nor_by_a_format(chip: gpiod.Chip, background: Background) -> None:
    watching = background("notify", "--banner", "-n1", "--format", "<%C>", "LED_RED")
    assert watching.stdout is not None
    assert "Watching" in watching.stdout.readline()
    settings = gpiod.LineSettings(direction=Direction.OUTPUT)
    with chip.request_lines({"LED_RED": settings}, consumer=HOSTILE):
        assert watching.communicate(timeout=LATE_S)[0] == f"<{SHOWN}>\n"


def test_terminal_without_the_characters(neighbour: None, socket_path: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "info"],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket_path, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert r'consumer="T\xfcr' in run.stdout
    assert "LED_GREEN" in run.stdout
