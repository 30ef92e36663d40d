# SPDX-License-Identifier: BSD-3-Clause
"""libgpiod's own Python tests, unchanged, against this package.

The suite comes with the source distribution of `gpiod` (LGPL), which is fetched once
and kept outside the tree. Its two helper packages, a kernel simulator and a kernel
check, are replaced by `tests/sim.py` and by nothing; `import gpiod` gives `bridge`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

VERSION = "2.5.0"
TESTS = 162
ROOT = Path(__file__).resolve().parents[3]

GPIOSIM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("sim", {sim!r})
sim = importlib.util.module_from_spec(spec)
sys.modules["sim"] = sim
spec.loader.exec_module(sim)
Chip = sim.Chip
"""

RUN = """
import importlib, sys, unittest
import bridge
sys.modules["gpiod"] = bridge
sys.modules["gpiod.line"] = importlib.import_module("bridge.line")
unittest.main(module=None, argv=["unittest", "discover", "-s", "tests", "-t", ".", "-p", "tests_*"])
"""


@pytest.fixture(scope="module")
def source() -> Path:
    """The unpacked source distribution of gpiod."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rpmsg-gpio-bridge"
    unpacked = cache / f"gpiod-{VERSION}"
    if unpacked.is_dir():
        return unpacked
    cache.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", ":all:", "--dest", str(cache), f"gpiod=={VERSION}"),
        ],
        capture_output=True,
        text=True,
        timeout=500,
    )
    if fetched.returncode:
        why = f"gpiod {VERSION} cannot be fetched: {fetched.stderr.strip()[-200:]}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(why)
        pytest.skip(why)
    archive = cache / f"gpiod-{VERSION}.tar.gz"
    subprocess.run(["tar", "-xf", archive, "-C", cache], check=True)
    return unpacked


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    """One run of the suite; with the stub as built for users, since it is timed."""
    env = {name: value for name, value in os.environ.items() if name != "FIRMWARE_STUB"}
    return subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=directory,
        env={**env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1000,  # seconds that only a suite which hangs needs
    )


@pytest.mark.timeout(2100)
def test_the_suite_of_libgpiod_passes(source: Path, tmp_path: Path) -> None:
    package = tmp_path / "tests"
    package.mkdir()
    for file in (*(source / "tests").glob("tests_*.py"), source / "tests/helpers.py"):
        (package / file.name).symlink_to(file)
    for name, text in (
        ("__init__", ""),
        ("gpiosim/__init__", GPIOSIM.format(sim=str(ROOT / "tests/sim.py"))),
        ("system/__init__", "def set_process_name(name): pass\n"),
    ):
        (package / f"{name}.py").parent.mkdir(exist_ok=True)
        (package / f"{name}.py").write_text(text)
    ran = run(tmp_path)
    if ran.returncode:
        # Some of its tests give themselves 2 s, or wait 10 ms: a busy machine may need a
        # second try. What is wrong fails twice.
        ran = run(tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert re.search(rf"^Ran {TESTS} tests", ran.stdout, re.MULTILINE), ran.stdout[-500:]
