# SPDX-License-Identifier: BSD-3-Clause
"""Packages of the extras that are not installed: only what needs them says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import LATE_S

# None in sys.modules makes an import fail as that of a package that is not there. Python reads this
# at its start, and so does every Python that it starts.
_SITECUSTOMIZE = """
import sys
for name in (
    "cobs", "dbus_fast", "gpiod", "gpiozero", "grpc", "jumpstarter", "junitparser", "labgrid",
    "pytest", "pyudev", "serial",
):
    sys.modules[name] = None
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run Python where nothing but the dependencies is installed."""
    (tmp_path / "sitecustomize.py").write_text(_SITECUSTOMIZE)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )

    return run


def test_service_and_client_of_a_vhost_user_link_need_none(python: Run) -> None:
    done = python("-m", "bridge.cli", "demo", "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("attempt", "package"),
    [
        ("from bridge.link.uevents import monitor; monitor('rpmsg')", "pyudev"),
        ("from bridge.link.serial import connect; connect('/dev/null', 1000)", "pyserial"),
    ],
)
def test_a_link_names_its_package(attempt: str, package: str, python: Run) -> None:
    done = python("-c", attempt)
    assert re.search(
        rf"OSError: \[Errno \d+\] \w+ links need the Python package {package}: "
        f"pip install {package}\n$",
        done.stderr,
    ), done.stderr


def test_conformance_of_a_serial_link_names_its_package(python: Run) -> None:
    done = python("-m", "bridge.cli", "conformance", "--link", "serial:/dev/null")
    assert done.returncode == 2
    assert done.stderr == (
        "gpio-bridge conformance: the checks of a serial link need the Python package cobs: "
        "pip install cobs\n"
    )


def test_a_junit_file_names_its_package_before_the_checks(python: Run) -> None:
    done = python(
        *("-m", "bridge.cli", "conformance"), "--link", "vhost-user:/none", "--junit", "/none/x"
    )
    assert done.returncode == 2
    assert "JUnit files need the Python package junitparser: pip install junitparser" in done.stderr
