# SPDX-License-Identifier: BSD-3-Clause
"""A firmware stub and a service in a temporary directory, gone when the block ends."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.direct import Direct
from firmware_stub import Stub
from firmware_stub.signals import SignalsWait

__all__ = ["Rig", "Serve", "direct_chip"]

_DEADLINE_S = 90.0
# The firmware is a process of this machine: when it is silent, it most often only waits for its
# turn.
_TIMEOUT_MS = 10_000


class Serve:
    """A `gpio-bridge serve` process on links, as a context manager."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        """Prepare a service whose control socket and log are in `directory`.

        `arguments` go to `gpio-bridge serve`, such as ``--link URL``. Requests to the
        firmware end after 10 s where they do not say ``--timeout-ms``.
        """
        self.socket = str(directory / "control.sock")
        self._log = directory / "serve.log"
        self._arguments = ("--timeout-ms", str(_TIMEOUT_MS), *arguments)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Serve:
        """Start it and wait until its control socket listens.

        Raises OSError ECHILD with what it said when it ended at once, ETIMEDOUT.
        """
        try:
            self._begin()
        except BaseException:  # a signal may come when all but the return is done
            self.stop()
            raise
        return self

    def _begin(self) -> None:
        ready, ready_w = os.pipe()
        try:
            with open(self._log, "ab") as log, SignalsWait():
                self.process = self._start(ready_w, log)
            os.close(ready_w)
            ready_w = -1
            if not select.select([ready], [], [], _DEADLINE_S)[0]:
                raise OSError(errno.ETIMEDOUT, f"the service was not ready in {_DEADLINE_S:g} s")
            if not os.read(ready, 1):
                raise OSError(errno.ECHILD, f"the service did not start: {self.log.strip()}")
        finally:
            os.close(ready)
            if ready_w >= 0:
                os.close(ready_w)

    def _start(self, ready_fd: int, log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "serve"),
                *("--socket", self.socket, "--ready-fd", str(ready_fd)),
                *self._arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(ready_fd,),
        )

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the service."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What the service wrote to standard error."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> int:
        """End it as SIGTERM does, or kill it after 90 s; return its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def wait_for_chips(self, count: int, timeout_s: float = _DEADLINE_S) -> list[str]:
        """Return the names of the chips when there are `count` of them.

        Raises OSError ETIMEDOUT with the service's log when that takes longer than
        `timeout_s`.
        """
        connection = Connection.open(self.socket)
        try:
            try:
                connection.wait(timeout_s, count=count)
            except TimeoutError as error:
                raise OSError(
                    errno.ETIMEDOUT,
                    f"{error.strerror}; the service says: {self.log.strip() or 'nothing'}",
                ) from None
            return [chip["name"] for chip in connection.chips()]
        finally:
            connection.close()


class Rig:
    """A board, its firmware, and a service on it."""

    def __init__(
        self,
        features: str = "all",
        dialect: str = "rpmsg-gpio-padded",
        board: str = "demo",
        arguments: tuple[str, ...] = (),
        strict: bool = False,
        aggregates: int = 0,
        service: Callable[..., Serve] = Serve,
    ) -> None:
        """Say which firmware and board, in the words of firmware_stub.Stub.

        `arguments` go to `gpio-bridge serve`, which makes so many `aggregates` of
        the board's chips; `service` is called as the class Serve is.
        """
        self._service = service
        self._aggregates = aggregates
        self._features = features
        self._dialect = dialect
        self._board = board
        self._arguments = arguments
        self._strict = strict
        self._stack = ExitStack()
        self.stub: Stub
        self.serve: Serve

    def __enter__(self) -> Rig:
        """Start both and wait until the board's two chips are there.

        Raises OSError when one of them does not start in 90 s.
        """
        with self._stack as stack:
            directory = Path(tempfile.mkdtemp(prefix="gpio-bridge-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            self.stub = stack.enter_context(
                Stub(
                    self._board,
                    socket=directory / "fw.sock",
                    features=self._features,
                    dialect=self._dialect,
                    strict=self._strict,
                )
            )
            self.serve = stack.enter_context(
                self._service(directory, "--link", self.stub.url, *self._arguments)
            )
            count = len(self.stub.channels()) + self._aggregates
            self.chips = self.serve.wait_for_chips(count)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both and remove the directory."""
        self._stack.close()

    def chip(self, index: int = 0) -> Chip:
        """Open the chip of a controller of the board."""
        return Chip(f"{self.serve.socket}#{self.chips[index]}")


@contextmanager
def direct_chip(url: str) -> Iterator[Chip]:
    """Open the first chip of a link that lives in this process, as patiently as a `Rig`.

    `url` is the link's. Raises OSError when no chip comes up in 90 s.
    """
    user = Direct(url, _TIMEOUT_MS)
    try:
        user.open("", _DEADLINE_S)[0].close()
        with Chip(url) as chip:  # on the same link
            yield chip
    finally:
        user.close()
