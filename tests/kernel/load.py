# SPDX-License-Identifier: BSD-3-Clause
"""Inside the kernel: clients that go on working while firmware comes and goes."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

from bridge.client.chip import Chip
from bridge.client.control import Connection
from bridge.client.line_request import LineRequest
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value

from .guest import Guest

CLIENTS = 8
# Inside the kernel its command line is the environment.
RESTARTS = int(os.environ.get("KERNEL_TEST_RESTARTS", "20"))
DEADLINE_S = 1.0
"""Deadline of one request to the firmware."""
GRACE_S = 5.0
"""What a busy host may add to it; a call that waits for the kernel would take 15 s."""
# A wait for a state may take this long: the machine may have other things to do.
PATIENCE_S = 60.0


def epochs(connection: Connection) -> dict[str, Any]:
    """Boot of the firmware by chip, as far as chips are there."""
    return {chip["name"]: chip["epoch"] for chip in connection.call("chips")["chips"]}


def another_boot(connection: Connection, before: dict[str, Any]) -> bool:
    """Whether all chips are there again, on a firmware that has started since."""
    now = epochs(connection)
    return now.keys() == before.keys() and all(now[name] != before[name] for name in now)


def descriptors(pid: int) -> collections.Counter[str]:
    """Return what a process has open, and how often."""
    found: collections.Counter[str] = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[os.readlink(f"/proc/{pid}/fd/{fd}").partition(":[")[0]] += 1
    return found


def wait_for_descriptors(pid: int, before: collections.Counter[str]) -> None:
    """Wait until a process has no more open than before."""
    deadline = time.monotonic() + PATIENCE_S
    while (now := descriptors(pid)).total() > before.total():
        assert time.monotonic() < deadline, f"left open: {dict(now - before)}, of {dict(now)}"
        time.sleep(0.05)


class Client(threading.Thread):
    """Requests a line and uses it; when the chip goes, waits for it and starts again.

    Args:
        socket: the service's.
        chip: name.
        line: offset on it.

    Attributes:
        operations: that succeeded.
        errors: of operations, by errno.
        longest: duration of the longest operation in seconds.
        failure: what should not have happened.
    """

    def __init__(self, socket: str, chip: str, line: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket
        self._chip = chip
        self._line = line
        self.stopping = False
        self.operations = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.longest = 0.0
        self.failure: str | None = None

    def run(self) -> None:
        """Work until `stopping`."""
        while not self.stopping and self.failure is None:
            try:
                # Between two boots the chip is not there, or goes away again.
                with contextlib.suppress(OSError):
                    self._use()
            except BaseException as error:
                self.failure = repr(error)

    def _use(self) -> None:
        connection = Connection.open(self._socket)
        try:
            connection.call("wait", chip=self._chip, online=True, timeout_ms=9_000)
        finally:
            connection.close()
        settings = {self._line: LineSettings(direction=Direction.OUTPUT)}
        with (
            Chip(f"{self._socket}#{self._chip}") as chip,
            chip.request_lines(settings) as request,
        ):
            value = Value.INACTIVE
            while not self.stopping:
                value = Value.ACTIVE if value == Value.INACTIVE else Value.INACTIVE
                if not self._set(request, value):
                    return

    def _set(self, request: LineRequest, value: Value) -> bool:
        """Set the line; False when the chip is gone, which its descriptor must show."""
        start = time.monotonic()
        try:
            request.set_value(self._line, value)
        except OSError as error:
            self.errors[errno.errorcode.get(error.errno or 0, repr(error))] += 1
            gone = error.errno == errno.ENODEV
        else:
            self.operations += 1
            gone = False
        finally:
            self.longest = max(self.longest, time.monotonic() - start)
        if gone:
            poll = select.poll()
            poll.register(request.fd, 0)
            shown = poll.poll(PATIENCE_S * 1000)
            assert shown and shown[0][1] & select.POLLHUP, "a chip that is gone, and no HUP"
        return not gone


class Load:
    """`CLIENTS` clients on the lines of one chip.

    Args:
        guest: to wait with.
        socket: the service's.
        chip: name of a chip with that many lines.

    Attributes:
        summary: of what was done and measured, when it has ended.
    """

    summary = ""

    def __init__(self, guest: Guest, socket: str, chip: str) -> None:
        self._guest = guest
        self.clients = [Client(socket, chip, line) for line in range(CLIENTS)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have them work; they have ended, and ended well, afterwards."""
        for client in self.clients:
            client.start()
        try:
            yield
        finally:
            for client in self.clients:
                client.stopping = True
            for client in self.clients:
                client.join(PATIENCE_S)
        self._check()

    def wait_for_work(self, when: str) -> None:
        """Wait until every client has done something since."""
        done = [client.operations for client in self.clients]
        self._guest.until(
            lambda: all(c.operations > d for c, d in zip(self.clients, done, strict=True)),
            f"all clients to work {when}; {[(c.operations, c.failure) for c in self.clients]}",
            PATIENCE_S,
        )

    def _check(self) -> None:
        """No call hung, none failed otherwise than on a chip that is removed."""
        errors: collections.Counter[str] = collections.Counter()
        for client in self.clients:
            assert not client.is_alive(), "a client hangs"
            assert client.failure is None, client.failure
            errors.update(client.errors)
        longest = max(client.longest for client in self.clients)
        self.summary = (
            f"{sum(c.operations for c in self.clients)} operations, errors {dict(errors)}, "
            f"longest call {longest:.3f} s"
        )
        self._guest.say(self.summary)
        assert longest < DEADLINE_S + GRACE_S, "a call outlived its deadline"
        assert errors["ENODEV"] > 0, "no client noticed a restart"
        assert errors.keys() <= {"ENODEV", "ETIMEDOUT"}, errors
