# SPDX-License-Identifier: BSD-3-Clause
"""Programs of labs that run beside a test."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

LATE = 120.0


def free_port() -> int:
    """A TCP port of loopback that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Program:
    """A process, its log, and the sentence by which it is ready."""

    def __init__(
        self, command: list[str], ready: str, directory: Path, environment: dict[str, str]
    ) -> None:
        self._command = command
        self._ready = ready
        self._directory = directory
        self._environment = environment
        self._lines: list[str] = []
        self.begin()

    def start(self) -> None:
        """Start it again, and wait until it is ready."""
        self._lines.clear()
        self.begin()
        self.ready()

    def ready(self) -> None:
        """Wait until it says that it is."""
        self.wait_for(self._ready)

    def begin(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            self._command,
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def log(self) -> str:
        """What it has said."""
        return "".join(self._lines)

    def wait_for(self, pattern: str, after: int = 0) -> None:
        """Wait until it has said this behind its first `after` characters."""
        deadline = time.monotonic() + LATE
        while not re.search(pattern, self.log[after:]):
            assert self._reader.is_alive() and time.monotonic() < deadline, (
                f"{self._command}: {pattern!r} is not in\n{self.log[after:][-3000:]}"
            )
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as no program can help."""
        self.process.kill()
        self._end()

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        self._end()

    def _end(self) -> None:
        try:
            self.process.wait(LATE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(LATE)
