# SPDX-License-Identifier: BSD-3-Clause
"""Log lines that peers cause: not too many, and never waited for.

A peer can make the service log something as often as it likes, and a reader of stderr's pipe may
stop reading. Neither may cost the other clients anything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable

BURST = 100
"""Lines of one kind that may come at once."""
EVERY_S = 1.0
"""Seconds after which there may be another one."""
WAITING_MAX = 1000
"""Lines that wait for their reader; more are counted, and lost."""

_KINDS_MAX = 256
_END_S = 1.0


class RateLimit(logging.Filter):
    """Lets so many lines of a kind through, and says with the next one how many it left out.

    Lines are of one kind when one statement of the source made them, whatever they are about.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may pass."""
        now = self._clock()
        key = record.name, str(record.msg)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _KINDS_MAX:
                self._kinds.pop(next(iter(self._kinds)))
            kind = self._kinds[key] = _Kind(now)
        kind.credit = min(BURST, kind.credit + (now - kind.at) / EVERY_S)
        kind.at = now
        if kind.credit < 1:
            kind.held_back += 1
            return False
        kind.credit -= 1
        if kind.held_back:
            more, kind.held_back = kind.held_back, 0
            record.msg, record.args = f"{record.getMessage()} ({more} more like it before)", None
        return True


class _Kind:
    def __init__(self, now: float) -> None:
        self.at = now
        self.credit = float(BURST)
        self.held_back = 0


class Writer(logging.Handler):
    """Writes lines in a thread of its own, to a descriptor whose reader may be slow or gone.

    Args:
        fd: where to; it is others', too, and stays as it is.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Let the thread write a line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            with self._changed:
                self._put(line)
        except Exception:  # as all handlers of logging do
            self.handleError(record)

    def _put(self, line: bytes) -> None:
        if len(self._lines) >= WAITING_MAX:
            self._lost += 1
            return
        self._lines.append(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="gpio-bridge log", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line, lost = self._lines[0], self._lost
            if lost:
                line = b"(%d lines lost: nobody read them)\n" % lost + line
            self._write_all(line)
            with self._changed:
                self._lines.popleft()  # only now: flush() waits for it
                self._lost -= lost
                self._changed.notify_all()

    def _write_all(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody is there to hear of it
            while line:
                line = line[os.write(self._fd, line) :]

    def flush(self) -> None:
        """Wait until everything is written, 1 s at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, _END_S)
