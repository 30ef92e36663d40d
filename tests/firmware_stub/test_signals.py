# SPDX-License-Identifier: BSD-3-Clause
"""A signal that comes while a process is started does not lose it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.guest import _python_backend
from bridge.bench.rig import Serve
from firmware_stub import Stub
from firmware_stub.signals import SignalsWait


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """As in the foreground: a runner in the background of a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("what", ["stub", "service", "back-end"])
def test_a_process_that_is_just_started_is_ended(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[Any]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    made = {
        "stub": lambda: Stub("demo"),
        "service": lambda: Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/fw.sock"),
        "back-end": lambda: _python_backend(f"{tmp_path}/socket"),
    }[what]()
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), made:  # type: ignore[attr-defined]
            pass
        assert [process.poll() is None for process in started] == [False]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("what", ["stub", "service"])
def test_a_process_that_has_all_but_started_is_ended(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes in the last call before the start returns."""
    started: list[subprocess.Popen[Any]] = []
    pipes: list[tuple[int, int]] = []
    pipe, close_fd = os.pipe, os.close

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    def noted() -> tuple[int, int]:
        pipes.append(pipe())
        return pipes[-1]

    def close(fd: int) -> None:
        close_fd(fd)
        if fd == pipes[0][0]:  # by which the process said that it is ready
            monkeypatch.undo()
            signal.raise_signal(signal.SIGINT)

    made: Any = {
        "stub": lambda: Stub("demo"),
        "service": lambda: Serve(tmp_path, "--link", f"vhost-user:{tmp_path}/fw.sock"),
    }[what]()
    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr(os, "pipe", noted)
    monkeypatch.setattr(os, "close", close)
    with pytest.raises(KeyboardInterrupt), made:
        pass
    assert [process.poll() is None for process in started] == [False]


def test_handlers_come_when_the_block_ends() -> None:
    with pytest.raises(KeyboardInterrupt), SignalsWait():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
