# SPDX-License-Identifier: BSD-3-Clause
"""tools/setup where something is missing: one sentence, and what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import LATE_S

ROOT = Path(__file__).resolve().parents[2]
_NO_VENV = "import sys; sys.modules['ensurepip'] = None"
_NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": "/dev/null",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As much of the project as tools/setup looks at before it compiles."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/setup", tmp_path / "tools")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def setup(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it by the Python that .venv was made with."""
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [python, "tools/setup", "build"], cwd=tree, env={**own, **environment}, timeout=LATE_S,
        capture_output=True, text=True,
    )  # fmt: skip


def test_no_compiler_and_no_venv(tree: Path) -> None:
    (tree / "sitecustomize.py").write_text(_NO_VENV)
    done = setup(tree, CC="/none/gcc", PYTHONPATH=str(tree))
    assert done.returncode == 1
    assert done.stderr == (
        "setup: not installed: gcc, python3-venv; sudo apt install gcc python3-venv "
        "(or what your system calls them)\n"
    )
    assert not (tree / ".venv").exists()


def test_a_broken_environment_is_made_anew_and_no_network_is_said(tree: Path) -> None:
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/python").symlink_to("/none/python3")
    done = setup(tree, **_NO_INDEX)
    assert "RM      .venv (it does not work" in done.stdout
    assert (tree / ".venv/bin/python").exists()
    assert done.returncode == 1
    assert "setup: pip got no packages: is there a network?" in done.stderr
    again = setup(tree, **_NO_INDEX)
    assert "RM " not in again.stdout, "what was made is not taken for one that works"
