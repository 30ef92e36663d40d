# SPDX-License-Identifier: BSD-3-Clause
"""The pytest plug-in: what a project that has nothing but the package gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[2]

Pytest = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Pytest:
    """Run pytest on one file of tests, in a project of its own."""

    def run(text: str, *options: str, ini: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}")
        (tmp_path / "test_it.py").write_text(text)
        return in_folder(tmp_path, *options)

    return run


def in_folder(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    environment.pop("GPIO_BRIDGE_SOCKET", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=LATE_S,
    )  # fmt: skip


def test_the_example_project(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(
        ROOT / "examples/pytest_project", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    done = in_folder(folder)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_three_lines_are_a_test(project: Pytest) -> None:
    done = project(
        "import bridge\n"
        "def test_it(gpio_service, gpio_line):\n"
        "    gpio_line('DIP_0').drive(0)\n"
        "    with bridge.request_lines('fw-0', {'DIP_0': None}) as lines:\n"
        "        assert not lines.get_value('DIP_0')\n"
        "def test_next_board_is_a_new_one(gpio_line):\n"
        "    assert gpio_line('DIP_0').level == 1\n"
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_marker_gives_one_test_a_board(project: Pytest) -> None:
    done = project(
        "import pytest\n"
        "@pytest.mark.gpio_board('controller 0 lines 1\\nline 0/0 ONLY\\n')\n"
        "def test_it(gpio_line):\n"
        "    assert gpio_line('ONLY').level == 0\n",
        "--strict-markers",
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_board_that_is_not_there_is_named(project: Pytest) -> None:
    done = project("def test_it(gpio_stub):\n    pass\n", ini="gpio_board = nowhere.board\n")
    assert "no board 'nowhere.board'; give a board file or one of" in done.stdout, done.stdout


def test_a_line_that_is_not_there_is_named(project: Pytest) -> None:
    done = project("def test_it(gpio_line):\n    gpio_line('LED_GREN')\n")
    assert "OSError" in done.stdout
    assert "LED_GREN" in done.stdout.rpartition("OSError")[2], done.stdout


def test_help_lists_the_fixtures(project: Pytest) -> None:
    done = project("", "--fixtures")
    for fixture in ("gpio_board", "gpio_stub", "gpio_service", "gpio_line"):
        assert f"\n{fixture} --" in done.stdout, done.stdout


def test_a_pytest_that_does_not_use_it_loads_nothing(project: Pytest) -> None:
    done = project(
        "import sys\n"
        "def test_it():\n"
        "    ours = {n for n in sys.modules if n.split('.')[0] in ('bridge', 'firmware_stub')}\n"
        "    assert ours == {\n"
        "        'bridge', 'bridge.integrations', 'bridge.integrations.pytest_plugin'\n"
        "    }\n"
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
