# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge run: chips for programs that nobody changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from bridge.bench.rig import Rig
from bridge.cli.run import first_number
from tests.processes import LATE_S

NAMES = "import os; print(*sorted(n for n in os.listdir('/dev') if n.startswith(('fw-', 'gpio'))))"
FIRST = first_number()


def run(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run gpio-bridge run to its end."""
    environment = {**os.environ, "GPIO_BRIDGE_SOCKET": "/nonexistent/control.sock"}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "bridge.cli", "run", *words],
        **{"env": environment, "capture_output": True, "text": True, "timeout": LATE_S, **more},
    )


def says(*words: str) -> str:
    """What it prints; it must end well."""
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def chips(*names: str) -> list[str]:
    """What a listing of /dev has of a run with these chips, and of this Linux."""
    own = [name for name in os.listdir("/dev") if name.startswith("gpio")]
    return sorted([*own, *names, *(f"gpiochip{FIRST + n}" for n in range(len(names)))])


def test_on_a_service(rig: Rig) -> None:
    socket = ["--socket", rig.serve.socket]
    program = ["--", sys.executable, "-c", NAMES]
    assert says(*socket, *program).split() == chips("fw-0", "fw-1")
    assert says(*socket, "--chip", "fw-1", *program).split() == chips("fw-1")
    done = run(*socket, "-c", "fw-7", *program)
    assert (done.returncode, done.stderr) == (
        1,
        'gpio-bridge run: there is no chip "fw-7"; chips online: fw-0, fw-1\n',
    )


def test_on_a_link(rig: Rig) -> None:
    """The link is another's: the service of the run waits in vain, and ends with it."""
    done = run("--link", "vhost-user:/nonexistent/fw.sock", "--", "true")
    assert done.returncode == 1
    assert "no chip is online" in done.stderr


def test_on_a_simulated_board_that_a_test_can_touch() -> None:
    program = """
import os, gpiod
from firmware_stub import Stub
board = Stub(socket=os.environ["FIRMWARE_STUB_SOCKET"])
board.press("BUTTON_USER")
print(gpiod.request_lines("/dev/fw-0", {"BUTTON_USER": None}).get_value("BUTTON_USER").name)
print(os.path.dirname(os.environ["GPIO_BRIDGE_SOCKET"]))
"""
    value, directory = says("--stub", "demo", "--", sys.executable, "-c", program).split()
    assert value == "INACTIVE"
    check_end(directory)


def check_end(directory: str) -> None:
    """Firmware and service of a run end, and their directory goes."""
    deadline = time.monotonic() + LATE_S
    while os.path.exists(directory):
        assert time.monotonic() < deadline, "firmware and service stay"
        time.sleep(0.01)


def test_what_finds_the_program_by_its_command_line_leaves_nothing_behind() -> None:
    """As `pkill -f PROGRAM` does, which finds who keeps firmware and service up, too."""
    program = """
import glob, os, signal
others = 0
for path in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        found = b"a-program-to-find" in open(path, "rb").read()
    except OSError:
        continue
    pid = int(path.split("/")[2])
    if found and pid != os.getpid():
        os.kill(pid, signal.SIGTERM)
        others += 1
print(others, os.path.dirname(os.environ["GPIO_BRIDGE_SOCKET"]))
"""
    words = (sys.executable, "-c", program, "a-program-to-find")
    others, directory = says("--stub", "demo", "--", *words).split()
    assert int(others) >= 1
    check_end(directory)


@pytest.mark.parametrize("path", ["/dev/fw-0", "first", "fw-0"])
def test_python_with_a_module_gpiod_of_ours(rig: Rig, path: str) -> None:
    """Under the same paths as without --gpiod; nothing is preloaded."""
    path = f"/dev/gpiochip{FIRST}" if path == "first" else path
    program = """
import os, sys, gpiod
print(gpiod.Chip.__module__, os.environ.get("LD_PRELOAD"))
print(gpiod.request_lines(sys.argv[1], {"DIP_0": None}).get_value("DIP_0").name)
"""
    socket = ["--socket", rig.serve.socket, "--gpiod", "--"]
    before = os.environ.get("LD_PRELOAD")
    said = says(*socket, sys.executable, "-c", program, path)
    assert said == f"bridge.as_gpiod {before}\nACTIVE\n"


def test_status_and_signals_are_the_programs(rig: Rig) -> None:
    socket = ["--socket", rig.serve.socket, "--"]
    assert run(*socket, "sh", "-c", "exit 7").returncode == 7
    assert run(*socket, "sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "run", *socket, "sh", "-c", "echo $$; exec sleep 99"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(LATE_S) == -signal.SIGINT


def test_a_shell(rig: Rig) -> None:
    done = run(
        *("--socket", rig.serve.socket, "--shell"),
        input=f"{sys.executable} -m bridge.cli get --numeric DIP_0 && exit 3",
        env={**os.environ, "SHELL": "/bin/sh"},
    )
    assert (done.stdout, done.returncode) == ("1\n", 3), done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to run"),
        (["--shell", "ls"], "say what to run"),
        (["--gpiod", "--seccomp", "ls"], "--gpiod needs no supervisor"),
        (["--stub", "demo", "--link", "x:", "ls"], "only one of --stub, --link and --socket"),
        (["--", "nope"], "there is no program nope in the PATH"),
        (["--", "/nope"], "/nope: No such file or directory"),
        (["--", "ls"], "no service listens on /nonexistent/control.sock"),
        (["--stub", "nope", "--", "ls"], "no board 'nope'"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], sentence: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"gpio-bridge run: {sentence}")
