# SPDX-License-Identifier: BSD-3-Clause
"""Direct use of a link URL: the service's own code in a thread of this process."""

from __future__ import annotations

import _thread
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from bridge.client.control import Connection

if TYPE_CHECKING:
    from bridge.service import ServiceThread
    from bridge.shim.client import DirectOperations

__all__ = ["Direct"]

# A channel of the baseline protocol, so that `URL#1` means its controller 1.
_CHANNEL = "rpmsg-io-"


class _Running:
    """The service thread of one URL and how many chips and requests use it."""

    def __init__(self, thread: ServiceThread) -> None:
        self.thread = thread
        self.users = 0


# A firmware serves one driver, so all users in a process share one link to it. The process id is
# part of the key because threads do not survive fork().
_running: dict[tuple[int, str], _Running] = {}
# Held while a thread starts and stops. A finalizer may run in any thread, the service's
# included, and must not take it: see abandon().
_lock = threading.Lock()


def _renew_lock() -> None:
    """Make new locks in a forked process: the thread that held one is not there to release it."""
    global _lock  # noqa: PLW0603 - all links of the process share it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class Direct:
    """One user of the service thread of a URL; the last close() stops the thread."""

    def __init__(self, url: str, timeout_ms: int | None = None) -> None:
        """Start the thread unless it runs. Raises ValueError or OSError for a bad URL.

        Who starts it says how long a request to the firmware may take, in milliseconds;
        None is the service's default.
        """
        self._key: tuple[int, str] | None = (os.getpid(), url)
        self._url = url
        with _lock:
            running = _running.get(self._key)
            if running is None:
                from bridge.service import Config, LinkConfig, ServiceThread

                config = Config(
                    socket=None,
                    links=(LinkConfig(url),),
                    timeout_ms=timeout_ms or Config.timeout_ms,
                )
                running = _Running(ServiceThread(config))
                _running[self._key] = running
            running.users += 1
            self._thread = running.thread

    def open(self, name: str, timeout_s: float = 5.0) -> tuple[Connection, str]:
        """Return a connection and the name of a chip, waiting at most `timeout_s` for it.

        `name` is that of the chip or its channel, or the number of an rpmsg-io-
        channel; "" takes the first chip. Raises OSError ETIMEDOUT, with the reason.
        """
        wanted = f"{_CHANNEL}{name}" if name.isascii() and name.isdigit() else name
        chip = self._thread.wait_chip(wanted or None, timeout_s)
        return Connection(self._thread.connect(), self._url), chip

    def operations(self, fd: int, timeout_ms: int) -> DirectOperations:
        """Own an operation descriptor of this link's, as OperationDescriptor does.

        The calling thread then does itself what the link's thread would do for it.
        """
        from bridge.shim.client import DirectOperations

        try:
            handle = self._thread.pump.open_direct(fd)
        except OSError:  # the chip is gone, which the descriptor says, too
            handle = None
        return DirectOperations(handle, fd, timeout_ms)

    def share(self) -> Direct:
        """Return one more user of the same thread."""
        return Direct(self._url)

    def close(self) -> None:
        """Stop being a user; the last one waits for the thread's end. May be repeated."""
        with _lock:
            key, self._key = self._key, None
            if key is None or key[0] != os.getpid():
                return
            running = _running[key]
            running.users -= 1
            if not running.users:
                del _running[key]
                running.thread.close()

    def abandon(self) -> None:
        """Do what close() does, for finalizers: in a thread of its own, without waiting."""
        with suppress(RuntimeError):  # the interpreter ends, and the thread with it
            _thread.start_new_thread(self.close, ())
