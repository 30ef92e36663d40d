# SPDX-License-Identifier: BSD-3-Clause
"""Clients that have a chip open: the lines that each watches, and the queue of its info events."""

from __future__ import annotations

import errno
import time
from typing import Protocol

from bridge import uapi
from bridge.chips.line import Line
from bridge.shim.info_queue import InfoQueue


class Watching(Protocol):
    """A client that has a chip open, and watches lines of it."""

    def push(self, record: bytes) -> None:
        """Queue an info event, a ``struct gpio_v2_line_info_changed``."""

    def hang_up(self) -> None:
        """The chip is gone."""


class Watcher:
    """A chip as one client has it open; the kernel has a descriptor of the character device for it.

    Args:
        watchers: of the chip.

    Raises:
        OSError: no descriptors or memory are left.
    """

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._queue = InfoQueue()

    def take_fds(self) -> tuple[int, int]:
        """The client's descriptors, event and ring; whoever takes them closes them."""
        return self._queue.take_fds()

    def push(self, record: bytes) -> None:
        """Queue an info event; with 32 waiting it is dropped, as in the kernel."""
        self._queue.push(record)

    def hang_up(self) -> None:
        """The chip is gone: the client sees HUP and ENODEV."""
        self._queue.close()

    def close(self) -> None:
        """The client let go. May be repeated."""
        self._queue.close()
        self._watchers.forget(self)


class Watchers:
    """All watchers of one chip."""

    def __init__(self) -> None:
        self._all: set[Watching] = set()
        self._by_line: dict[int, set[Watching]] = {}

    def __len__(self) -> int:
        """Number of clients that have the chip open."""
        return len(self._all)

    def open(self) -> Watcher:
        """Add a view of the chip; whoever gets it closes it. Raises OSError EMFILE."""
        watcher = Watcher(self)
        self.add(watcher)
        return watcher

    def add(self, watcher: Watching) -> None:
        """Add a watcher, until it is forgotten."""
        self._all.add(watcher)

    def watch(self, watcher: Watching, line: Line) -> None:
        """Report changes of a line. Raises OSError EBUSY, it is watched already."""
        watching = self._by_line.setdefault(line.offset, set())
        if watcher in watching:
            raise OSError(errno.EBUSY, f"line {line.describe()} is watched already")
        watching.add(watcher)

    def unwatch(self, watcher: Watching, line: Line) -> None:
        """End a watch; events that wait already stay. Raises OSError EBUSY, there is none."""
        if watcher not in self._by_line.get(line.offset, ()):
            raise OSError(errno.EBUSY, f"line {line.describe()} is not watched")
        self._end(watcher, line.offset)

    def forget(self, watcher: Watching) -> None:
        """Forget the watches of a client that closed its view of the chip."""
        self._all.discard(watcher)
        for offset in [at for at, watching in self._by_line.items() if watcher in watching]:
            self._end(watcher, offset)

    def _end(self, watcher: Watching, offset: int) -> None:
        watching = self._by_line[offset]
        watching.discard(watcher)
        if not watching:
            del self._by_line[offset]

    def changed(self, line: Line, event: int) -> None:
        """Tell the watchers of a line.

        Args:
            line: as it is now.
            event: GPIO_V2_LINE_CHANGED_*.
        """
        watching = self._by_line.get(line.offset)
        if watching:
            record = uapi.pack_line_change(line.change(event, time.monotonic_ns()))
            for watcher in watching:
                watcher.push(record)

    def hang_up(self) -> None:
        """The chip is gone: all see HUP and ENODEV."""
        for watcher in list(self._all):
            watcher.hang_up()
        self._by_line.clear()
