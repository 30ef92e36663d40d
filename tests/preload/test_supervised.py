# SPDX-License-Identifier: BSD-3-Clause
"""Programs that load no library, under the seccomp supervisor of gpio-bridge run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.cli.elf import read_program
from tests.preload.test_preload import BOARD, FIRST, HERE, LATE_S, compiled

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(board=BOARD) as running:
        yield running


@pytest.fixture(scope="module")
def words(rig: Rig) -> list[str]:
    """The beginning of a command; skips where the kernel has no such filters."""
    command = [sys.executable, "-m", "bridge.cli", "run", "--socket", rig.serve.socket]
    tried = subprocess.run(
        [*command, "--seccomp", "--", "true"], capture_output=True, text=True, timeout=LATE_S
    )
    if "seccomp filters with a supervisor" in tried.stderr:
        pytest.skip(f"the kernel has no seccomp supervisors: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    return command


@pytest.fixture
def run(words: list[str]) -> Run:
    def go(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], capture_output=True, text=True, timeout=LATE_S)

    return go


@pytest.mark.parametrize("source", ["uapi_v2.c", "uapi_v1.c"])
def test_static_programs_are_found_out(run: Run, tmp_path: Path, source: str) -> None:
    program = compiled(tmp_path, source, "-static", "-DSUPERVISED")
    (tmp_path / "script").write_text(f"#!{program}\n")
    (tmp_path / "script").chmod(0o755)
    assert read_program(str(tmp_path / "script")).loads_nothing
    for chip in (f"/dev/gpiochip{FIRST}", "/dev/fw-0"):
        done = run("--", program, chip)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("all is as in the kernel\n")


def test_a_program_of_go(run: Run, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed (golang-go)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rpmsg-gpio-bridge"
    program = str(tmp_path / "program")
    subprocess.run(
        ["go", "build", "-o", program, str(HERE / "uapi_v2.go")],
        env={**os.environ, "GOCACHE": str(cache / "go"), "GOFLAGS": "-mod=mod"},
        check=True,
        timeout=300,
    )
    assert read_program(program).loads_nothing
    done = run("--", program, "/dev/fw-0")
    assert (done.stdout, done.returncode) == ("1 48 <nil> 1\n0 48 <nil> 2\n", 0), done.stderr


def test_the_gpiod_package_of_pypi(run: Run) -> None:
    program = """
import gpiod, threading
from gpiod.line import Direction, Value
assert gpiod.is_gpiochip_device("/dev/fw-0") and not gpiod.is_gpiochip_device("/dev/null")
config = {"out": gpiod.LineSettings(direction=Direction.OUTPUT)}
with gpiod.request_lines("/dev/fw-0", config) as request:
    def toggle():
        for _ in range(50):
            request.set_value("out", Value.ACTIVE)
    threads = [threading.Thread(target=toggle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(request.get_value("out").name)
"""
    done = run("--seccomp", "--", sys.executable, "-c", program)
    assert (done.stdout, done.returncode) == ("ACTIVE\n", 0), done.stderr


def test_status_and_signals_are_the_programs(run: Run, words: list[str]) -> None:
    assert run("--seccomp", "--", "sh", "-c", "exit 7").returncode == 7
    assert run("--seccomp", "--", "sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL
    assert run("--seccomp", "--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    process = subprocess.Popen(
        [
            *words,
            "--seccomp",
            "--",
            "sh",
            "-c",
            "trap 'exit 3' INT; echo; while :; do sleep 1; done",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(LATE_S) == 3


def test_a_file_that_cannot_be_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nothing").write_bytes(b"\x7fELF" + bytes(60))
    (tmp_path / "nothing").chmod(0o755)
    done = run("--seccomp", "--", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert done.stderr.startswith("gpio-bridge run: ")
