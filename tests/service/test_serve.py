# SPDX-License-Identifier: BSD-3-Clause
"""``gpio-bridge serve`` as a process: readiness, signals, messages, memory."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_stub import Stub
from tests.processes import LATE_S

from .conftest import RawClient

ROOT = Path(__file__).parents[2]


def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
    """The process and the reading end of its --ready-fd."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "serve", *arguments, "--ready-fd", str(writing)],
        pass_fds=(writing,),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    os.close(writing)
    return process, reading


def run(*arguments: str) -> tuple[int, str]:
    """Status and messages of a serve that cannot start."""
    process, reading = start(*arguments)
    os.close(reading)
    _, errors = process.communicate(timeout=LATE_S)
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_life_and_memory(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "control.sock"
    told = tmp_path / "notify"
    with Stub("demo") as stub, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(told))
        manager.settimeout(15)
        process, reading = start(
            *("--link", f"{stub.url},name=m4", "--socket", str(path), "--log-level", "warning"),
            NOTIFY_SOCKET=str(told),
        )
        try:
            assert os.read(reading, 100) == b"ready\n"
            assert manager.recv(100) == b"READY=1"
            client = RawClient.connect(path)
            client.wait("m4-0")
            client.wait("m4-1")
            assert client.ok("status")["pid"] == process.pid
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+) kB", status)
            assert peak is not None
            assert int(peak[1]) < 48 * 1024
            mapped = Path(f"/proc/{process.pid}/maps").read_text()
            for large in ("libcrypto", "/_lzma", "/_csv"):  # what a service has no use for
                assert large not in mapped
        finally:
            os.close(reading)
            process.send_signal(number)
            _, errors = process.communicate(timeout=LATE_S)
        assert manager.recv(100) == b"STOPPING=1"
    assert process.returncode == 0
    assert errors == ""
    assert not path.exists()


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    told = tmp_path / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
        Stub("demo") as stub,
    ):
        manager.bind(str(told))
        other.connect(str(told))
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.send(b"STATUS=full")
        path = tmp_path / "control.sock"
        process, reading = start(
            *("--link", f"{stub.url},name=m4", "--socket", str(path)),
            NOTIFY_SOCKET=str(told),
            WATCHDOG_USEC="100000",
        )
        try:
            assert os.read(reading, 100) == b"ready\n"
            client = RawClient.connect(path)
            client.wait("m4-0")
            assert client.ok("status")["pid"] == process.pid
        finally:
            os.close(reading)
            process.terminate()
            _, errors = process.communicate(timeout=LATE_S)
    assert process.returncode == 0
    assert "the service manager does not read its socket" in errors


def test_without_links_it_says_what_to_do() -> None:
    status, errors = run()
    assert status == 1
    assert "gpio-bridge serve: no link" in errors
    assert "--link" in errors and "--config" in errors


def test_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("timeout = 5\n")
    status, errors = run("--config", str(path))
    assert status == 1
    assert errors.startswith(f"gpio-bridge serve: {path}: timeout: unknown key")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "rw"], "--mode rw"),
        (["--extensions", "fancy"], "extensions: expected"),
        (["--on-release", "drop"], "on_release: expected"),
        (["--group", "no-such-group-here"], "no group"),
        (["--timeout-ms", "0"], "timeout-ms"),
    ],
)
def test_wrong_flags(tmp_path: Path, arguments: list[str], words: str) -> None:
    where = ["--link", "vhost-user:/none", "--socket", str(tmp_path / "s")]
    status, errors = run(*where, *arguments)
    assert status == 1
    assert words in errors
    assert not (tmp_path / "s").exists()


def test_socket_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    process, reading = start("--link", "vhost-user:/none", "--socket", path)
    try:
        assert os.read(reading, 100) == b"ready\n"
        status, errors = run("--link", "vhost-user:/none", "--socket", path)
        assert status == 1
        assert f"{path}: another process listens there" in errors
        assert RawClient.connect(path).ok("chips") == {"chips": [], "next": None}
    finally:
        os.close(reading)
        process.terminate()
        process.communicate(timeout=LATE_S)


# ---- real time ----------------------------------------------------------------


def scheduled(process: int) -> set[tuple[int, int]]:
    """Policy and priority of each thread."""
    threads = [int(thread.name) for thread in Path(f"/proc/{process}/task").iterdir()]
    return {(os.sched_getscheduler(t), os.sched_getparam(t).sched_priority) for t in threads}


def test_the_pump_alone_gets_the_priority(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: real-time priorities")
    path = tmp_path / "control.sock"
    cpu = max(os.sched_getaffinity(0))
    with Stub("demo") as stub:
        process, reading = start(
            *("--link", stub.url, "--socket", str(path)),
            *("--realtime", f"20,cpus={cpu},lock-memory,required"),
        )
        try:
            assert os.read(reading, 100) == b"ready\n"
            client = RawClient.connect(path)
            client.wait("fw-0")
            told = client.ok("status")["realtime"]
            assert told == {"priority": 20, "cpus": [cpu], "lock_memory": True, "refused": []}
            assert scheduled(process.pid) == {(os.SCHED_OTHER, 0), (os.SCHED_FIFO, 20)}
            locked = re.search(r"VmLck:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            assert locked is not None and int(locked[1]) > 0
        finally:
            os.close(reading)
            process.terminate()
            process.communicate(timeout=LATE_S)


@pytest.mark.parametrize("required", ["", ",required"])
def test_refused_real_time_is_said_or_ends_the_service(tmp_path: Path, required: str) -> None:
    """Without the right to a priority, as in a unit that was not told."""
    path = tmp_path / "control.sock"
    words = ["serve", "--link", f"vhost-user:{tmp_path}/fw.sock", "--socket", str(path)]
    drop = ["setpriv", "--bounding-set=-sys_nice,-ipc_lock", "--inh-caps=-all"]
    limits = ["prlimit", "--rtprio=0", "--memlock=65536"]
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [
            *(limits + drop if os.geteuid() == 0 else limits),
            *(sys.executable, "-m", "bridge.cli", *words, "--ready-fd", str(writing)),
            *("--realtime", f"20,lock-memory{required}"),
        ],
        pass_fds=(writing,),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    os.close(writing)
    ready = os.read(reading, 100)
    os.close(reading)
    if not required:
        assert ready == b"ready\n"
        priority, memory = RawClient.connect(path).ok("status")["realtime"]["refused"]
        assert "set LimitRTPRIO=20 and RestrictRealtime=no" in priority
        assert "set LimitMEMLOCK=infinity" in memory
        process.terminate()
    _, errors = process.communicate(timeout=LATE_S)
    assert "real-time priority (Operation not permitted): set LimitRTPRIO=20" in errors
    assert process.returncode == (1 if required else 0)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("high", "a priority of SCHED_FIFO from 0 to 99"),
        ("100", "a priority of SCHED_FIFO from 0 to 99"),
        ("50,cpus=1-2", "a list of CPUs, each from 0 to 1023"),
        ("50,fast", '"fast" is no option; there are cpus=N+N, lock-memory and required'),
    ],
)
def test_wrong_real_time_options(argument: str, sentence: str) -> None:
    status, errors = run("--link", "vhost-user:/tmp/fw.sock", "--realtime", argument)
    assert (status, sentence in errors) == (1, True), errors


def test_no_such_cpu(tmp_path: Path) -> None:
    status, errors = run(
        *("--link", f"vhost-user:{tmp_path}/fw.sock", "--socket", str(tmp_path / "control.sock")),
        *("--realtime", "0,cpus=1023,required"),
    )
    assert status == 1 and "the pump has no CPUs 1023 (Invalid argument)" in errors
