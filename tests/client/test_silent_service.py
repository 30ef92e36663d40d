# SPDX-License-Identifier: BSD-3-Clause
"""A service that is there and says nothing: whoever waits for it learns of that after a second."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.client import control
from bridge.doctor.examination import examine
from bridge.doctor.findings import Place

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def stopped(fresh_rig: Rig) -> Iterator[Rig]:
    """A service whose process is stopped, as by Ctrl-Z."""
    os.kill(fresh_rig.serve.pid, signal.SIGSTOP)
    yield fresh_rig
    os.kill(fresh_rig.serve.pid, signal.SIGCONT)


def test_tools_say_it_and_wait_on(cli: Cli, stopped: Rig) -> None:
    run = cli("detect", socket=stopped.serve.socket)
    assert run.returncode == 1
    first, last = run.stderr.splitlines()
    pid = stopped.serve.pid
    stopping = f"its process {pid} is stopped (kill -CONT {pid} lets it go on)"
    who = f"gpio-bridge detect: the service on {stopped.serve.socket}"
    assert first == f"{who} does not answer: {stopping}"
    assert last == f"{who} did not answer hello in 10 s: {stopping}"


def test_it_is_said_once_and_nothing_is_lost(stopped: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def resume(sentence: str) -> None:
        said.append(sentence)
        os.kill(stopped.serve.pid, signal.SIGCONT)

    monkeypatch.setattr(control, "on_silence", resume)
    connection = control.Connection.open(stopped.serve.socket)
    assert len(connection.chips()) == 2
    connection.close()
    assert len(said) == 1


def test_doctor_says_what_to_do(stopped: Rig) -> None:
    (silent,) = [f for f in examine(Place(socket=stopped.serve.socket)) if f.check == "service"]
    assert silent.failure == "service-silent"
    assert f"kill -CONT {stopped.serve.pid}" in silent.what
    assert "kill -CONT PID" in silent.remedy


def test_one_that_accepts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's queue is full, and the kernel would have the client try again."""
    path = str(tmp_path / "control.sock")
    said: list[str] = []
    monkeypatch.setattr(control, "on_silence", said.append)
    monkeypatch.setattr(control, "CONNECT_TIMEOUT_S", 1.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(path)
            start = time.monotonic()
            with pytest.raises(TimeoutError, match=r"accepted no connection in 1\.5 s"):
                control.Connection.open(path)
            assert time.monotonic() - start >= 1.5
    assert said == [f"the service on {path} accepts no connection: it hangs, or is stopped"]
