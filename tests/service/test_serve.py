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
    _, errors = process.communicate(timeout=30)
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
        finally:
            os.close(reading)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        assert manager.recv(100) == b"STOPPING=1"
    assert process.returncode == 0
    assert errors == ""
    assert not path.exists()


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
        process.communicate(timeout=30)
