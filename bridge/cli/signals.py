# SPDX-License-Identifier: BSD-3-Clause
"""Signals of verbs that have something to take down before they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_S = 0.02


def ends_on_signals() -> None:
    """Make SIGTERM and SIGHUP unwind this process, as Ctrl-C does: it leaves nothing behind."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
            signal.signal(number, end)
    sys.unraisablehook = _unraisable


def _unraisable(lost: UnraisableHookArgs) -> None:
    """Have a signal come again whose exception was lost, as in the callback of a weak reference.

    An import has such callbacks, and verbs import as they go.
    """
    error = lost.exc_value
    if isinstance(error, KeyboardInterrupt):
        _again(signal.SIGINT)
    elif isinstance(error, SystemExit) and isinstance(error.code, int):
        _again(error.code - 128)
    else:
        sys.__unraisablehook__(lost)


def _again(number: int) -> None:
    """Send this process a signal when what runs now has ended."""
    threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
