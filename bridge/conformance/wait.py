# SPDX-License-Identifier: BSD-3-Clause
"""Deadlines that tell a busy host from silent firmware."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable

_SLICE_S = 0.02
_WORTH_TELLING_S = 0.05


class Wait:
    """Waits for so much time in which this process came to run when it wanted to.

    It sleeps in short slices, and a slice that ends late counts as if it had ended in time: while
    this host had no time for us, it had none for firmware on it either, or for the driver of its
    link.

    Args:
        seconds: how long; 0 takes what is there already.
    """

    worst_s = 0.0
    """How late a slice ended at worst, of all waits since the last `forget`."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._last = time.monotonic()
        self._late = 0.0

    @classmethod
    def forget(cls) -> None:
        """Measure anew how late this host is."""
        cls.worst_s = 0.0

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        self._left -= min(passed, _SLICE_S)
        self._was_late(passed - _SLICE_S)
        return self._left <= 0

    def readable(self, *fds: int) -> bool:
        """Sleep for at most a slice; return whether a descriptor can be read."""
        return self._select(fds, ())[0]

    def writable(self, fd: int, or_readable: Iterable[int] = ()) -> bool:
        """The same until it can be written, or one of some others be read."""
        return self._select(or_readable, (fd,))[1]

    def _select(self, readable: Iterable[int], writable: Iterable[int]) -> tuple[bool, bool]:
        """Sleep for a slice. What comes at its end does not hide that it ended late."""
        began, slice_s = time.monotonic(), max(0.0, min(self._left, _SLICE_S))
        can_be_read, can_be_written, _ = select.select(readable, writable, (), slice_s)
        self._was_late(time.monotonic() - began - slice_s)
        return bool(can_be_read), bool(can_be_written)

    def _was_late(self, seconds: float) -> None:
        self._late = max(self._late, seconds)
        Wait.worst_s = max(Wait.worst_s, self._late)

    @property
    def excuse(self) -> str:
        """The end of a complaint: that the host was busy, if it was."""
        if self._late < _WORTH_TELLING_S:
            return ""
        return f" (a busy host: its own timers were up to {self._late * 1000:.0f} ms late)"
