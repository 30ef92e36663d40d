# SPDX-License-Identifier: BSD-3-Clause
"""The packages of labs, which are not in the environment that the tests run in."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def folder() -> Path | None:
    """Where tools/labs installed them; None where it did not."""
    found = subprocess.run(
        [sys.executable, ROOT / "tools/labs", "--check"], capture_output=True, text=True
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def lacks(sentence: str) -> NoReturn:
    """Skip a test that cannot run; in CI, where `make deps labs` ran, it fails."""
    if os.environ.get("CI") and sys.version_info >= (3, 11):  # what jumpstarter needs
        pytest.fail(sentence)
    pytest.skip(sentence)


def need(*packages: str) -> dict[str, str]:
    """Return the environment of a process that imports these; lacks() where they are not."""
    place = folder()
    path = [str(place)] if place else []
    for package in packages:
        if importlib.util.find_spec(package) is None and not PathFinder.find_spec(package, path):
            lacks(f"{package} is not installed (make labs)")
    paths = [*path, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"
    }  # fmt: skip
    if place:
        # Each of these programs would compile them again, for longer than it then runs.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(place.with_name("labs-pycache"))
    return environment
