# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge remoteproc on a tree like sysfs; tests/kernel has it on the kernel's own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import remoteproc
from tests.processes import LATE_S

ROOT = Path(__file__).parents[2]
Verb = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    add(tmp_path, 0, "m4_0", "offline")
    add(tmp_path, 1, "dsp", "running")
    return tmp_path


def add(root: Path, number: int, name: str, state: str) -> None:
    folder = root / f"class/remoteproc/remoteproc{number}"
    folder.mkdir(parents=True)
    for attribute, value in {
        "name": name, "state": state, "firmware": f"{name}.elf", "recovery": "enabled"
    }.items():  # fmt: skip
        (folder / attribute).write_text(f"{value}\n")


@pytest.fixture
def verb(sysfs: Path) -> Verb:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bridge.cli", "remoteproc", *arguments],
            cwd=ROOT,
            env={**os.environ, remoteproc.SYSFS_VARIABLE: str(sysfs)},
            capture_output=True,
            text=True,
            timeout=LATE_S,
        )

    return run


def test_list_and_status(verb: Verb) -> None:
    assert verb("list").stdout == "dsp   running    dsp.elf\nm4_0  offline    m4_0.elf\n"
    assert verb("status", "dsp").returncode == 0
    assert verb("status", "m4_0").returncode == 1


def test_json(verb: Verb) -> None:
    dsp, m4 = json.loads(verb("list", "--json").stdout)["processors"]
    assert (dsp["name"], dsp["state"], dsp["firmware"]) == ("dsp", "running", "dsp.elf")
    run = verb("status", "--json", "m4_0")
    assert (run.returncode, json.loads(run.stdout)) == (1, m4)


def test_unknown_name_lists_those_there_are(verb: Verb) -> None:
    run = verb("start", "remoteproc0")
    assert run.returncode == 1
    assert run.stderr == (
        "gpio-bridge remoteproc: no remote processor is called remoteproc0; there is dsp, m4_0\n"
    )


def test_two_of_a_name_and_none(sysfs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    add(sysfs, 2, "dsp", "offline")
    with pytest.raises(OSError, match="2 processors are called dsp") as error:
        remoteproc.find("dsp", str(sysfs))
    assert error.value.errno == errno.ENOTUNIQ
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(OSError, match="there is none: gpio-bridge doctor says why"):
        remoteproc.find("dsp", str(empty))


def test_already_running_is_not_started_again(verb: Verb, sysfs: Path) -> None:
    assert verb("start", "dsp").stdout == "dsp is running already\n"
    assert (sysfs / "class/remoteproc/remoteproc1/state").read_text() == "running\n"


def test_crashed_must_be_stopped_first(sysfs: Path) -> None:
    (sysfs / "class/remoteproc/remoteproc0/state").write_text("crashed\n")
    with pytest.raises(OSError, match="stop it first: gpio-bridge remoteproc stop m4_0"):
        remoteproc.find("m4_0", str(sysfs)).start()


def test_load_takes_what_lies_where_the_kernel_looks(sysfs: Path, tmp_path: Path) -> None:
    firmware = tmp_path / "firmware"
    (firmware / "vendor").mkdir(parents=True)
    (firmware / "vendor/gpio.elf").write_bytes(b"elf")
    parameters = sysfs / "module/firmware_class/parameters"
    parameters.mkdir(parents=True)
    (parameters / "path").write_text(f"{firmware}\n")
    processor = remoteproc.find("m4_0", str(sysfs))
    assert processor.load(str(firmware / "vendor/gpio.elf")) == "vendor/gpio.elf"
    assert processor.firmware == "vendor/gpio.elf"
    stray = tmp_path / "gpio.elf"
    stray.write_bytes(b"elf")
    with pytest.raises(OSError, match=f"copy it there first: cp {stray}"):
        processor.load(str(stray))
    with pytest.raises(OSError, match=r"there is no nothing\.elf, here or in"):
        processor.load("nothing.elf")


def test_load_of_compressed_firmware(sysfs: Path, tmp_path: Path) -> None:
    """The kernel is told the name without .zst or .xz, which it appends itself."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    (folder / "gpio.elf.zst").touch()
    (folder / "other.elf.xz").touch()
    parameters = sysfs / "module/firmware_class/parameters"
    parameters.mkdir(parents=True)
    (parameters / "path").write_text(f"{folder}\n")
    processor = remoteproc.find("m4_0", str(sysfs))
    assert processor.load("gpio.elf") == "gpio.elf"
    assert processor.load(str(folder / "gpio.elf.zst")) == "gpio.elf"
    assert processor.load(str(folder / "other.elf")) == "other.elf"
    stray = tmp_path / "stray.elf.zst"
    stray.touch()
    with pytest.raises(OSError, match=f"copy it there first: cp {stray}"):
        processor.load(str(stray))


def test_load_of_links_and_of_names_with_folders(sysfs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "firmware"
    (folder / "vendor").mkdir(parents=True)
    (folder / "vendor/gpio.elf").touch()
    (tmp_path / "elsewhere.elf").touch()
    (folder / "current.elf").symlink_to(tmp_path / "elsewhere.elf")
    parameters = sysfs / "module/firmware_class/parameters"
    parameters.mkdir(parents=True)
    (parameters / "path").write_text(f"{folder}\n")
    processor = remoteproc.find("m4_0", str(sysfs))
    # The kernel follows links, wherever they lead.
    assert processor.load(str(folder / "current.elf")) == "current.elf"
    assert processor.load("current.elf") == "current.elf"
    # As `status` shows it.
    assert processor.load("vendor/gpio.elf") == "vendor/gpio.elf"
    assert processor.load(str(folder / "vendor/../vendor/gpio.elf")) == "vendor/gpio.elf"
    with pytest.raises(OSError, match="copy it there first") as error:
        processor.load(str(tmp_path / "elsewhere.elf"))
    assert error.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="copy it there first"):
        processor.load(f"{folder}/../elsewhere.elf")


def test_without_permission_it_says_what_to_do(sysfs: Path) -> None:
    """As the kernel refuses whoever is not root."""
    processor = remoteproc.find("m4_0", str(sysfs))
    explained = processor._explained(errno.EACCES, "start")
    assert explained.errno == errno.EACCES
    assert "become root (sudo)" in str(explained)


def test_no_character_device(sysfs: Path) -> None:
    with pytest.raises(OSError, match="needs a kernel with CONFIG_REMOTEPROC_CDEV"):
        remoteproc.find("m4_0", str(sysfs), str(sysfs)).hold()


def test_trace(sysfs: Path, verb: Verb) -> None:
    debug = sysfs / "kernel/debug"
    run = verb("trace", "dsp")
    assert (run.returncode, f"mount -t debugfs none {debug}" in run.stderr) == (1, True), run
    folder = debug / "remoteproc/remoteproc1"
    folder.mkdir(parents=True)
    run = verb("trace", "dsp")
    assert "dsp has no trace: it is running, or the resource table" in run.stderr
    (folder / "trace0").write_text("[0.1] started\n\x1b[2Jclever\n")
    (folder / "trace1").write_text("of the other core")
    (folder / "resource_table").write_text("no trace")
    run = verb("trace", "dsp")
    assert run.stdout == "[0.1] started\n\\x1b[2Jclever\nof the other core\n"
    assert "m4_0 has no trace: it is offline" in verb("trace", "m4_0").stderr
