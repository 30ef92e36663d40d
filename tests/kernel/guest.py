# SPDX-License-Identifier: BSD-3-Clause
"""The inside of a kernel test: runs one function as the first process.

The function and its arguments are in the file $GB_WORK/call; what became of it
goes to $GB_WORK/result, since the exit status of User-Mode Linux never tells.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import termios
import threading
import time
import traceback
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

_POWER_OFF = 0x4321FEDC  # LINUX_REBOOT_CMD_POWER_OFF, reboot(2)
_HOST = "/dev/ttyS0"


class Guest:
    """What a test inside the kernel has: the host's side, and waiting.

    Attributes:
        work: a folder that the host sees too.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self._lock = threading.Lock()
        fd = os.open(_HOST, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        tty.setraw(fd)
        termios.tcflush(fd, termios.TCIOFLUSH)
        self._host = os.fdopen(fd, "r+b", buffering=0)

    def host(self, name: str, *arguments: Any) -> Any:
        """Call a function of the host's side (`uml.Machine`) and return its value.

        Raises OSError with its errno and sentence when the host's did.
        """
        with self._lock:
            self._host.write(json.dumps([name, *arguments]).encode() + b"\n")
            reply = b""
            while not reply.endswith(b"\n"):
                reply += self._host.read(4096)
        kind, value = json.loads(reply)
        if kind == "error":
            raise OSError(*value)
        return value

    def stub(self, command: str, index: int = 0) -> str:
        """Give a command of docs/stub.md to a stub and return its answer."""
        return str(self.host("stub", index, command))

    def say(self, text: object) -> None:
        """Write a line to the kernel's console, which a failed test shows."""
        print(text, flush=True)

    @staticmethod
    def until(
        state: Callable[[], Any], what: str, timeout_s: float = 60.0, pause_s: float = 0.005
    ) -> Any:
        """Wait for a true value of `state` that has no event to wait on, and return it."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = state()
            if value:
                return value
            assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
            time.sleep(pause_s)


def _call(work: Path) -> dict[str, Any]:
    call = json.loads((work / "call").read_text())
    try:
        function = getattr(importlib.import_module(call["module"]), call["function"])
        function = getattr(function, "inside", function)
        value = function(Guest(work), *call["arguments"])
    except BaseException as error:
        if type(error).__name__ == "Skipped":  # pytest's, which only some insides import
            return {"skipped": str(error)}
        return {"failed": "".join(traceback.format_exception(error))}
    return {"value": value}


def main() -> None:
    """Run the call, leave its result, and end the kernel."""
    work = Path(os.environ["GB_WORK"])
    with contextlib.suppress(OSError):
        os.symlink("/proc/self/fd", "/dev/fd")
    result = _call(work)
    fresh = work / "result.new"
    fresh.write_text(json.dumps(result))
    fresh.rename(work / "result")
    # Processes that still run would keep hostfs and the devices busy.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(-1, signal.SIGKILL)
    ctypes.CDLL(None).reboot(ctypes.c_uint(_POWER_OFF))


if __name__ == "__main__":
    main()
