# SPDX-License-Identifier: BSD-3-Clause
"""A chip as one client has it open: its watches and the queue of its info events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge.shim.info_queue import InfoQueue

if TYPE_CHECKING:
    from bridge.chips.chip import Chip


class Watching(Protocol):
    """Whoever has a chip open, and watches lines of it."""

    def push(self, record: bytes) -> None:
        """Queue an info event, a ``struct gpio_v2_line_info_changed``."""

    def hang_up(self) -> None:
        """The chip is gone."""


class Watcher:
    """What a descriptor of the GPIO character device is in the kernel.

    Args:
        chip: that is open.

    Raises:
        OSError: no descriptors or memory are left.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
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
        self.chip.forget(self)
