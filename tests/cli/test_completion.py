# SPDX-License-Identifier: BSD-3-Clause
"""What bash and zsh complete, and the manual pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli.verbs import VERBS
from tests.processes import LATE_S

ROOT = Path(__file__).parents[2]


class Shell:
    """bash, which completes the command gpio-bridge."""

    def __init__(self, directory: Path, socket: str) -> None:
        self._command = directory / "gpio-bridge"
        self._command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge.cli "$@"\n')
        self._command.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{directory}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GPIO_BRIDGE_SOCKET": socket,
        }

    def complete(self, *words: str) -> list[str]:
        """The words that may stand in the place of the last one."""
        quoted = " ".join(f"'{word}'" for word in ("gpio-bridge", *words))
        code = (
            "source <(gpio-bridge completion bash); compopt() { :; }; "
            f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; "
            '_gpio_bridge_completion gpio-bridge; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        run = subprocess.run(
            ["bash", "-c", code],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout.split()


@pytest.fixture
def shell(tmp_path: Path, socket_path: str) -> Shell:
    return Shell(tmp_path, socket_path)


def test_verbs_and_options(shell: Shell) -> None:
    assert shell.complete("") == list(VERBS)
    assert shell.complete("d") == ["demo", "detect", "doctor"]
    assert shell.complete("bench", "s") == ["scale", "serial"]
    assert shell.complete("get", "--a") == ["--as-is", "--active-low"]
    assert shell.complete("serve", "--lo") == ["--log-level"]
    assert shell.complete("serve", "--log-level", "") == ["error", "warning", "info", "debug"]
    assert shell.complete("get", "--bias", "pull") == ["pull-down", "pull-up"]


def test_chips_and_lines(shell: Shell) -> None:
    assert shell.complete("detect", "") == ["fw-0", "fw-1"]
    assert shell.complete("get", "-c", "fw") == ["fw-0", "fw-1"]
    assert shell.complete("get", "LED_") == ["LED_GREEN", "LED_RED", "LED_BLUE"]
    assert shell.complete("get", "-c", "fw-1", "RESET_PHY", "M") == ["MUX_SEL"]
    assert shell.complete("mon", "--banner", "BUTTON_U") == ["BUTTON_USER"]


def test_values(shell: Shell) -> None:
    """In bash `LED_GREEN=on` is three words."""
    assert shell.complete("set", "LED_G") == ["LED_GREEN="]
    assert shell.complete("set", "LED_GREEN", "=")[:2] == ["on", "off"]
    assert shell.complete("set", "LED_GREEN", "=", "in") == ["inactive"]
    assert shell.complete("set", "LED_GREEN", "=", "1", "LED_R") == ["LED_RED="]


def test_without_a_service_the_rest_is_completed(tmp_path: Path) -> None:
    shell = Shell(tmp_path, str(tmp_path / "none"))
    assert shell.complete("get", "") == []
    assert shell.complete("get", "--num") == ["--numeric"]


def test_zsh(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "completion", "zsh"],
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )
    assert run.stdout.startswith("#compdef gpio-bridge\n")
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=run.stdout, text=True, check=True, timeout=LATE_S)


def test_manual_pages_are_what_help_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools/man-pages", tmp_path], cwd=ROOT, check=True)
    pages = {page.name for page in tmp_path.iterdir()}
    assert pages == {"gpio-bridge.1", *(f"gpio-bridge-{verb}.1" for verb in VERBS)}
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("man-db and groff are not installed")
    for page in tmp_path.iterdir():
        shown = subprocess.run(
            ["man", "--warnings", "-l", page],
            env={**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )
        assert (shown.returncode, shown.stderr) == (0, ""), page.name
    get = subprocess.run(
        ["man", "-l", tmp_path / "gpio-bridge-get.1"],
        env={**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=LATE_S,
    ).stdout
    assert "gpio-bridge-get - Read lines (as gpioget)" in get
    assert "--hold-period PERIOD" in get
    assert "gpio-bridge get --numeric --active-low --bias pull-up BUTTON_USER" in get
