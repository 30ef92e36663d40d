# SPDX-License-Identifier: BSD-3-Clause
"""The client's end of a ring in shared memory and its doorbell (event_ring.h)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridge.shim.ffi import ffi, lib

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

    @property
    def fd(self) -> int:
        """The doorbell: readable while events wait, HUP when the chip is gone."""
        return self._doorbell

    def close(self, wake: bool = True) -> None:
        """Close the doorbell and let go of the ring.

        `wake` ends what other threads read, and what a forked process shares with us.
        """
        doorbell, self._doorbell = self._doorbell, -1
        if doorbell < 0:
            return
        if wake:
            # The shutdown fails when the service closed its end first.
            with socket.socket(fileno=doorbell) as bell, suppress(OSError):
                bell.shutdown(socket.SHUT_RDWR)
        else:
            os.close(doorbell)
