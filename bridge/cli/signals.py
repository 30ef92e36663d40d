# SPDX-License-Identifier: BSD-3-Clause
"""Signals of verbs that have something to take down before they end."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def ends_on_signals() -> None:
    """Make SIGTERM and SIGHUP unwind this process, as Ctrl-C does: it leaves nothing behind."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
            signal.signal(number, end)
