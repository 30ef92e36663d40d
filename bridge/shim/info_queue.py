# SPDX-License-Identifier: BSD-3-Clause
"""Info events of one open chip, both ends (event_ring.h, the info ring).

The records are struct gpio_v2_line_info_changed of <linux/gpio.h>; see `bridge.uapi`.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from bridge.shim.ffi import ffi, lib
from bridge.shim.ring_reader import RingReader

__all__ = ["InfoQueue", "InfoReader"]


class InfoQueue:
    """The service's end: a ring of 32 records that drops the newest, and a doorbell."""

    def __init__(self) -> None:
        """Make the ring and its descriptors. Raises OSError (EMFILE, ENOMEM)."""
        memfd = ffi.new("int *")
        ring = lib.gb_info_ring_create(memfd)
        if ring == ffi.NULL:
            raise OSError(ffi.errno, f"no queue for info events: {os.strerror(ffi.errno)}")
        self._ring = ffi.gc(ring, lib.gb_event_ring_free)
        self._memfd: int | None = memfd[0]
        try:
            self._bell, self._theirs = socket.socketpair()
        except OSError:
            os.close(memfd[0])
            raise
        # A byte that we never read: when we close our end, the kernel reports ERR
        # beside HUP to the client, as for a removed gpiochip.
        self._theirs.send(b"\0")

    def take_fds(self) -> tuple[int, int]:
        """The client's descriptors, doorbell and ring; once."""
        assert self._memfd is not None
        memfd, self._memfd = self._memfd, None
        return self._theirs.detach(), memfd

    def push(self, record: bytes) -> None:
        """Queue a record of GB_INFO_RECORD_SIZE bytes, unless the queue is full."""
        if lib.gb_info_ring_push(self._ring, record):
            # A full socket is a bell that rings; a client that is gone needs none.
            with suppress(OSError):
                self._bell.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """Hang up: the client sees HUP and ERR, and ENODEV from reads. May be repeated."""
        lib.gb_event_ring_retire(self._ring)
        self._bell.close()
        self._theirs.close()
        memfd, self._memfd = self._memfd, None
        if memfd is not None:
            os.close(memfd)


class InfoReader(RingReader):
    """The client's end."""

    def __init__(self, ring_fd: int, doorbell: int) -> None:
        """Map `ring_fd` and own `doorbell`; raises as RingReader."""
        super().__init__(lib.gb_info_ring_map, "info", ring_fd, doorbell)

    def read(self) -> bytes:
        """Return one record; several threads may read.

        Blocks unless O_NONBLOCK is set on the doorbell. Raises OSError: EAGAIN, EINTR,
        ENODEV (the chip or the service is gone).
        """
        record = ffi.new("uint8_t[]", lib.GB_INFO_RECORD_SIZE)
        doorbell = self._enter()
        try:
            taken: int = lib.gb_info_ring_read(self._ring, doorbell, record)
        finally:
            self._leave()
        if taken < 0:
            raise OSError(-taken, _SENTENCES.get(-taken, os.strerror(-taken)))
        return bytes(ffi.buffer(record))


_SENTENCES = {
    errno.EAGAIN: "no info event waits",
    errno.ENODEV: "the chip is gone",
}
