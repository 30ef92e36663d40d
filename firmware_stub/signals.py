# SPDX-License-Identifier: BSD-3-Clause
"""Signals, and processes that must not be lost to them."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["SignalsWait"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalsWait:
    """Keeps signals back until the block ends: to start a process, and note that it runs.

    A handler that raises, as that of Ctrl-C does, would else come between the two, and
    nobody would end the process.
    """

    def __enter__(self) -> None:
        """Note signals from now on, where a handler in Python has them."""
        self._came: list[int] = []
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # handlers run in no other thread
            for number in _SIGNALS:
                if callable(signal.getsignal(number)):
                    self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self._came.append(number)

    def __exit__(self, *error: object) -> None:
        """Let the handlers have what came."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._came:
            signal.raise_signal(number)
