# SPDX-License-Identifier: BSD-3-Clause
"""What every emulated machine has: QMP, QEMU's machine protocol, and qtest, its test protocol."""

from __future__ import annotations

import errno
import json
import shutil
import socket as sockets
import time
from collections.abc import Callable
from typing import Any

#: s; QEMU starts and answers well within a second, if it gets any time.
TIMEOUT = 60.0


def emulator(program: str, package: str) -> str:
    """Return the path of one of QEMU's programs.

    Raises OSError(ENOENT) with the name of Debian's ``package`` when there is none.
    """
    path = shutil.which(program)
    if path is None:
        raise OSError(errno.ENOENT, f"no program {program}; Debian has it in the package {package}")
    return path


class Controls:
    """Commands to a QEMU that runs; who starts it sets ``_qmp`` and ``_qtest``.

    Methods raise OSError with an errno and a sentence: EIO when QEMU refuses, EPIPE or
    ETIMEDOUT when it is gone or stuck.
    """

    _qmp: Stream
    _qtest: Stream

    def _why(self) -> str:
        """Say why QEMU does not answer."""
        return "QEMU ended or does not answer"

    def _note(self, rest: str) -> None:
        """Note a transition that qtest tells of: raise or lower, and a number."""

    def _greet(self) -> None:
        """Begin with QMP."""
        self._qmp.read_line()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: object) -> Any:
        """Execute a command of QMP, QEMU's machine protocol; returns its result."""
        request = {"execute": name, "arguments": arguments}
        self._qmp.write_line(json.dumps(request))
        while True:
            answer: dict[str, Any] = json.loads(self._qmp.read_line())
            if "error" in answer:
                raise OSError(errno.EIO, f"QEMU refused {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def qtest(self, line: str) -> str:
        """Execute a command of the qtest protocol; returns what follows its OK."""
        self._qtest.write_line(line)
        while True:
            word, _, rest = self._qtest.read_line().partition(" ")
            if word == "IRQ":
                self._note(rest)
            elif word == "OK":
                return rest
            else:
                raise OSError(errno.EIO, f"QEMU refused {line!r}: {word} {rest}")

    def peek(self, address: int) -> int:
        """Read 32 bits of the machine's memory or registers."""
        return int(self.qtest(f"readl {address:#x}"), 0)

    def poke(self, address: int, value: int) -> None:
        """Write 32 bits of the machine's memory or registers."""
        self.qtest(f"writel {address:#x} {value:#x}")

    def _wait(
        self, done: Callable[[], bool], what: str, timeout: float, pause: float = 0.005
    ) -> None:
        """QEMU tells no one when a register changes: it is read every ``pause`` s."""
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, f"{what} within {timeout:g} s")
            time.sleep(pause)


class Stream:
    """Lines over a connected socket, each read and write with a deadline.

    ``why`` gives the sentence of the OSError when the other end is gone or stuck.
    """

    def __init__(self, socket: sockets.socket, why: Callable[[], str]) -> None:
        socket.settimeout(TIMEOUT)
        self._socket = socket
        self._why = why
        self._received = b""

    def write_line(self, line: str) -> None:
        """Send one line. Raises OSError(EPIPE)."""
        try:
            self._socket.sendall(line.encode() + b"\n")
        except OSError as error:
            raise OSError(errno.EPIPE, self._why()) from error

    def read_line(self) -> str:
        """Return the next line. Raises OSError(EPIPE) or OSError(ETIMEDOUT)."""
        while b"\n" not in self._received:
            try:
                piece = self._socket.recv(65536)
            except TimeoutError as error:
                raise OSError(errno.ETIMEDOUT, self._why()) from error
            except OSError:
                piece = b""
            if not piece:
                raise OSError(errno.EPIPE, self._why())
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line.decode().strip()
