# SPDX-License-Identifier: BSD-3-Clause
"""The sdist and the wheel; .ci/fresh installs them where there is no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import bridge

ROOT = Path(__file__).resolve().parents[2]
_SDIST = "from setuptools.build_meta import build_sdist; import sys; build_sdist(sys.argv[1])"


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, timeout=500,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this tree."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", _SDIST, folder)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist makes; of the tree itself nothing goes in."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder, sdist,
    )  # fmt: skip
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files as pip lays them out."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, folder))
            path.chmod(member.external_attr >> 16)
    return folder


def elves(folder: Path) -> list[Path]:
    """The compiled files."""
    return [p for p in folder.rglob("*") if p.is_file() and p.read_bytes()[:4] == b"\x7fELF"]


def test_the_sdist_is_the_tree(sdist: Path) -> None:
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("no git, or not its tree")
    tree = set(run("git", "ls-files", "-co", "--exclude-standard").split()) - {".gitignore"}
    with tarfile.open(sdist) as archive:
        packed = {m.name.partition("/")[2] for m in archive if m.isfile()}
    assert tree - packed == set()
    made = {name for name in packed - tree if "egg-info" not in name}
    assert made == {"PKG-INFO", "setup.cfg"}


def test_one_wheel_a_platform(wheel: Path) -> None:
    version = re.escape(bridge.__version__)
    assert re.fullmatch(rf"rpmsg_gpio_bridge-{version}-cp310-abi3-linux_\w+\.whl", wheel.name), (
        wheel.name
    )


def test_what_is_in_the_wheel(unpacked: Path) -> None:
    files = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    assert {
        "bridge/py.typed",
        "bridge/shim/_shim.abi3.so",
        "firmware_stub/bin/firmware-stub",
        "firmware_stub/boards/demo.board",
        "firmware_stub/core/rpmsg_gpio_device.c",
    } <= files
    assert {name.partition("/")[0].partition("-")[0] for name in files} == {
        "bridge", "firmware_stub", "rpmsg_gpio_bridge",
    }  # fmt: skip
    sources = {name for name in files if name.endswith((".c", ".h"))}
    copied = ("firmware_stub/core/", "firmware_stub/remote/")
    assert all(name.startswith(copied) for name in sources), sources


def test_nothing_but_libc_behind_it_and_no_symbols_in_it(unpacked: Path) -> None:
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    found = elves(unpacked)
    assert {p.name for p in found} == {
        "_native.abi3.so", "_shim.abi3.so", "firmware-stub", "gpio-bridge-plug", "libgpio-cdev.so",
    }  # fmt: skip
    for file in found:
        needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", run("readelf", "--dynamic", file))
        assert needed, file
        libc = r"libc\.so|ld-linux|libpthread\.so|libdl\.so"
        assert all(re.match(libc, name) for name in needed), needed
        sections = run("readelf", "--sections", "--wide", file)
        assert not re.search(r" \.(symtab|debug_)", sections), sections


def test_it_runs_without_the_tree(unpacked: Path, tmp_path: Path) -> None:
    where = run(
        sys.executable, "-c", "import bridge; print(bridge.__file__)",
        cwd=tmp_path, PYTHONPATH=str(unpacked),
    )  # fmt: skip
    assert where.strip() == str(unpacked / "bridge" / "__init__.py")
    said = run(
        sys.executable, "-m", "bridge.cli", "demo", cwd=tmp_path, PYTHONPATH=str(unpacked)
    )  # fmt: skip
    assert "everything is stopped and removed" in said


def test_it_brings_the_files_of_the_system(unpacked: Path, tmp_path: Path) -> None:
    run(
        sys.executable, "-m", "bridge.cli", "system", "install", "--root", tmp_path,
        cwd=tmp_path, PYTHONPATH=str(unpacked),
    )  # fmt: skip
    rules = "60-rpmsg-gpio-bridge.rules"
    installed = tmp_path / "usr/local/lib/udev/rules.d" / rules
    assert installed.read_bytes() == (ROOT / "udev" / rules).read_bytes()
    assert (tmp_path / "usr/local/share/man/man1/gpio-bridge.1").exists()


def test_one_version(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    assert Parser().parsestr(metadata.read_text())["Version"] == bridge.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] in (bridge.__version__, "Unreleased")
