# SPDX-License-Identifier: BSD-3-Clause
"""The client's end of a ring in shared memory and its doorbell (event_ring.h)."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from bridge.shim.ffi import ffi, lib
from bridge.waiting import wait_readable

__all__ = ["RingReader"]


class RingReader:
    """What all rings have in common: mapping, doorbell, end."""

    def __init__(self, map_ring: Callable[[int], Any], what: str, ring_fd: int, doorbell: int):
        """Map `ring_fd` (and close it) and own `doorbell`, the pollable descriptor.

        `map_ring` is the mapping function of event_ring.h, `what` how errors call the ring.
        Raises OSError when the ring is not what event_ring.h says.
        """
        ring = map_ring(ring_fd)
        error = ffi.errno
        os.close(ring_fd)
        if ring == ffi.NULL:
            os.close(doorbell)
            raise OSError(error, f"the service's {what} ring is malformed: {os.strerror(error)}")
        # A reader in another thread may still use the ring while close() runs: the
        # last reference frees it.
        self._ring = ffi.gc(ring, lib.gb_event_ring_free)
        self._doorbell = doorbell
        self._guard = threading.Lock()
        self._users = 0  # calls that have passed the doorbell's number on
        self._closed = False

    @property
    def fd(self) -> int:
        """The doorbell: readable while events wait, HUP when the chip is gone."""
        return -1 if self._closed else self._doorbell

    def _enter(self) -> int:
        """Return the doorbell, which keeps its number until _leave(). Raises OSError ENODEV."""
        with self._guard:
            if self._closed:
                raise OSError(errno.ENODEV, "the lines are released, or the chip is closed")
            self._users += 1
            return self._doorbell

    def _leave(self) -> None:
        with self._guard:
            self._users -= 1
            last = self._closed and not self._users
        if last:
            os.close(self._doorbell)

    def wait(self, timeout: timedelta | float | None) -> bool:
        """Wait until an event can be read, or the chip is gone; as `wait_readable`."""
        doorbell = self._enter()
        try:
            return wait_readable(doorbell, timeout)
        finally:
            self._leave()

    def close(self, wake: bool = True) -> None:
        """Close the doorbell and let go of the ring.

        `wake` ends what other threads read, and what a forked process shares with us; the
        last of them closes the doorbell, so that none reads from what gets its number.
        """
        if not wake:  # nobody reads; in a forked process somebody may have had the guard
            closed, self._closed = self._closed, True
            if not closed:
                os.close(self._doorbell)
            return
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._users += 1
        bell = socket.socket(fileno=self._doorbell)
        with suppress(OSError):  # the service closed its end first
            bell.shutdown(socket.SHUT_RDWR)
        bell.detach()
        self._leave()
