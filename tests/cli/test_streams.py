# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of a verb whose streams are closed or full, or that gets a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bridge as gpiod
from bridge.bench.rig import Serve
from bridge.client.control import Connection
from firmware_stub import Stub
from tests.processes import LATE_S

Eventually = Callable[[Callable[[], bool], str], None]

VERBS = [
    ["detect"],
    ["info"],
    ["get", "DIP_0"],
    ["get", "--help"],
    ["mon", "-I", "--idle-timeout", "1ms", "DIP_0"],
    ["notify", "--banner", "--idle-timeout", "1ms", "DIP_0"],
    ["set", "--banner", "-t0", "RELAY=0"],
    ["--help"],
    ["doctor", "--json"],
    ["remoteproc", "list"],
]


def shell(
    arguments: list[str], redirections: str, socket: str, unbuffered: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run gpio-bridge from a shell with these redirections."""
    return subprocess.run(
        [
            *("sh", "-c", f'exec "$@" {redirections}', "sh"),
            *(sys.executable, "-m", "bridge.cli", *arguments),
        ],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket, "PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LATE_S,
    )


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_closed_streams_are_no_error(verb: list[str], socket_path: str) -> None:
    for closed in (">&-", "<&-", "<&- >&-"):
        run = shell(verb, closed, socket_path)
        assert run.stderr == "", closed
        assert run.returncode == (1 if verb[0] == "doctor" and run.returncode else 0)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_full_disk_behind_stdout(verb: list[str], socket_path: str) -> None:
    run = shell(verb, ">/dev/full", socket_path)
    name = " ".join(["gpio-bridge", *verb[:1]]) if verb != ["--help"] else "gpio-bridge"
    sentence = "cannot write to standard output: No space left on device"
    assert (run.returncode, run.stderr) == (1, f"{name}: {sentence}\n")
    assert shell(verb, ">/dev/full 2>&1", socket_path).returncode == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_reader_that_has_enough(verb: list[str], unbuffered: str, socket_path: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *verb],
        env={
            **os.environ,
            "GPIO_BRIDGE_SOCKET": socket_path,
            "PYTHONUNBUFFERED": unbuffered,
        },
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LATE_S,
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (1, "")


def test_a_daemon_without_streams_holds_its_lines(
    socket_path: str, stub: Stub, chip: gpiod.Chip, eventually: Eventually
) -> None:
    run = shell(["set", "--daemonize", "--toggle", "3s,0", "RELAY=1"], "<&- >&- 2>&-", socket_path)
    assert run.returncode == 0
    assert stub.read("RELAY") == 1
    assert chip.get_line_info(3).used
    eventually(lambda: not chip.get_line_info(3).used, "the daemon ends")


def test_an_ignored_interrupt_stays_ignored(socket_path: str) -> None:
    """A tool that a script starts with `&` is not for Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "set", "--banner", "RELAY=0"],
        env={**os.environ, "GPIO_BRIDGE_SOCKET": socket_path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process, process.stdout:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LATE_S) == -signal.SIGTERM


@pytest.fixture
def hangup() -> Iterator[Callable[[signal.Handlers], None]]:
    """Say what SIGHUP does to the processes that this test starts."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_service_ends_in_order(
    number: int, tmp_path: Path, hangup: Callable[[signal.Handlers], None]
) -> None:
    hangup(signal.SIG_DFL)
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/fw.sock") as serve:
        assert serve.process is not None
        serve.process.send_signal(number)
        assert serve.process.wait(LATE_S) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["serve.log"]


def test_the_service_outlives_its_terminal_with_nohup(
    tmp_path: Path, hangup: Callable[[signal.Handlers], None]
) -> None:
    hangup(signal.SIG_IGN)
    with Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/fw.sock") as serve:
        assert serve.process is not None
        serve.process.send_signal(signal.SIGHUP)
        Connection.open(serve.socket).close()
        assert serve.process.poll() is None


_LOST = """
import os, signal, sys, weakref
from bridge.cli.signals import ends_on_signals

class Thing: pass

ends_on_signals()
try:
    thing = Thing()
    seen = weakref.ref(thing, lambda _: signal.raise_signal(int(sys.argv[1])))
    del thing  # what the callback raises goes nowhere
    signal.pause()
finally:
    print("taken down", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_not_lost_in_a_callback(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOST, str(int(number))],
        capture_output=True,
        text=True,
        timeout=LATE_S,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert done.stdout == "taken down\n"
    assert "ignored" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", ["demo", "bench --seconds 60", "bench serial --seconds 60"])
def test_a_signal_leaves_nothing_behind(verb: str, number: int, tmp_path: Path) -> None:
    # A demo ends within a second, in which this process may not have run at all.
    assert any(is_ended_by(number, verb, tmp_path) for _ in range(20))


def is_ended_by(number: int, verb: str, tmp_path: Path) -> bool:
    """Whether the signal found it at work; nothing is left either way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", *verb.split()],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test runner in the background, or under nohup, passes on that it ignores these signals.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    # The firmware runs when its socket, or its tty, is there.
    deadline = time.monotonic() + LATE_S
    while not any(path.name in ("fw.sock", "tty") for path in tmp_path.glob("*/*")):
        if process.poll() is not None:
            break
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    _, said = process.communicate(timeout=LATE_S)
    # Python dies of Ctrl-C, whoever caught it, when it came into an eval(), as imports have them.
    died = {-number} if number == signal.SIGINT else set()
    assert process.returncode in {0, 128 + number, *died}
    assert said.strip() == ""
    assert list(tmp_path.iterdir()) == []
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(tmp_path) not in stat.read_text(errors="replace")
        except OSError:
            continue
    return process.returncode != 0
