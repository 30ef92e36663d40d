# SPDX-License-Identifier: BSD-3-Clause
"""A service whose descriptors are kept while it is started anew, as systemd does it."""

from __future__ import annotations

import functools
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from bridge.bench.rig import Serve

#: In the memory that is kept for a guest (bridge/shim/export/export.h).
SESSION_AT, STATES_AT = 40, 48
NONE, CHANGING, WHOLE = range(3)

#: Puts what was kept at descriptor 3 and on, which may be in use, and becomes the program.
LAUNCH = """
import fcntl, os, sys
numbers, *command = sys.argv[1:]
high, *fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in numbers.split()]
for fd in numbers.split():
    os.close(int(fd))
for number, fd in enumerate(fds, 3):
    os.dup2(fd, number)
os.set_inheritable(high, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(sys.executable, [sys.executable, *command, "--ready-fd", str(high)])
"""


class Manager:
    """The part of a service manager that services send their descriptors to.

    Attributes:
        kept: what it has, by name.
        most: as many descriptors it had at once.
        dropped: names of those that it was told to close.
    """

    def __init__(self, path: Path) -> None:
        self.kept: dict[str, int] = {}
        self.most = 0
        self.dropped: set[str] = set()
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._said = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            text, fds, _, _ = socket.recv_fds(self._socket, 4096, 8)
            said = dict(line.partition("=")[::2] for line in text.decode().splitlines())
            if "FDSTORE" in said:
                self._drop(said["FDNAME"])
                (self.kept[said["FDNAME"]],) = fds
                self.most = max(self.most, len(self.kept))
            elif "FDSTOREREMOVE" in said:
                if said["FDNAME"] in self.kept:
                    self.dropped.add(said["FDNAME"])
                self._drop(said["FDNAME"])
            elif "TEST" in said:
                self._said.set()

    def _drop(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))

    def settle(self) -> None:
        """Until everything that services have sent so far is in `kept`."""
        self._said.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"TEST=1", self.path)
        assert self._said.wait(30)

    def has_guest(self) -> bool:
        """Whether the service may crash: its guest is kept as it is now."""
        self.settle()
        lines = [fd for name, fd in self.kept.items() if name.endswith("-lines")]
        words = [struct.unpack("=I", os.pread(fd, 4, SESSION_AT))[0] for fd in lines]
        return words == [WHOLE] and any(name.endswith("-connection") for name in self.kept)

    def forget(self) -> None:
        """Let go of everything, as for a service that is stopped for good."""
        self.settle()
        for fd in self.kept.values():
            os.close(fd)
        self.kept.clear()


class ManagedServe(Serve):
    """A service under a manager, which gives it what it kept before."""

    def __init__(self, manager: Manager, directory: Path, *arguments: str) -> None:
        super().__init__(directory, *arguments)
        self._manager = manager

    def _start(self, ready_fd: int, log: BinaryIO) -> subprocess.Popen[bytes]:
        self._manager.settle()
        kept = self._manager.kept
        fds = (ready_fd, *kept.values())
        return subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCH, " ".join(map(str, fds))),
                *("-m", "bridge.cli", "serve", "--socket", self.socket, *self._arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=fds,
            env={
                **os.environ,
                "NOTIFY_SOCKET": self._manager.path,
                "LISTEN_FDNAMES": ":".join(kept),
            },
        )


def managed(manager: Manager) -> Callable[..., Serve]:
    """What `bridge.bench.rig.Rig` takes as service."""
    return functools.partial(ManagedServe, manager)
