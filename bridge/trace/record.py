# SPDX-License-Identifier: BSD-3-Clause
"""What goes over links, as the pump records it (trace.h): records, and the reader of a tap."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from bridge.shim.ffi import ffi, lib
from bridge.shim.ring_reader import RingReader

__all__ = ["ALL_LINKS", "RING_BYTES", "Records", "TraceKind", "TraceReader", "TraceRecord"]

ALL_LINKS: int = lib.GB_TRACE_ALL
"""Instead of the number of a link: all of them."""
RING_BYTES: int = lib.GB_TRACE_CAPACITY * lib.GB_TRACE_SLOT_SIZE
"""Memory of a tap."""

_SLOT: int = lib.GB_TRACE_SLOT_SIZE
_DATA_MAX: int = lib.GB_TRACE_DATA_MAX
_HEAD = struct.Struct("=QIIIHHHH")  # struct gb_trace_record without its data


class TraceKind(enum.IntEnum):
    """``enum gb_trace_kind``."""

    SENT = lib.GB_TRACE_SENT
    RECEIVED = lib.GB_TRACE_RECEIVED
    SENT_AGAIN = lib.GB_TRACE_SENT_AGAIN
    REPEATED = lib.GB_TRACE_REPEATED
    DAMAGED = lib.GB_TRACE_DAMAGED
    TIMEOUT = lib.GB_TRACE_TIMEOUT
    CHANNEL = lib.GB_TRACE_CHANNEL
    CHANNEL_GONE = lib.GB_TRACE_CHANNEL_GONE
    UP = lib.GB_TRACE_UP
    DOWN = lib.GB_TRACE_DOWN


class TraceRecord(NamedTuple):
    """``struct gb_trace_record``.

    Attributes:
        time_ns: of CLOCK_MONOTONIC.
        number: of the link's records; a gap is a loss.
        source: our rpmsg address, 0 where none is known.
        address: the firmware's.
        link: the link's number in the service.
        kind: a `TraceKind`.
        features: RPMSG_GPIO_F_* that were accepted on the endpoint.
        length: of the message, which may be longer than `data`.
        data: what is kept of the message.
    """

    time_ns: int
    number: int
    source: int
    address: int
    link: int
    kind: int
    features: int
    length: int
    data: bytes


class Records:
    """Records out of slots, which come in pieces of any number of slots."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, slots: bytes) -> Iterator[TraceRecord]:
        """The records that are whole with these slots."""
        slots = self._left + slots
        at, end = 0, len(slots)
        while at < end:
            head = _HEAD.unpack_from(slots, at)
            kept = min(head[7], _DATA_MAX)
            data_at = at + _HEAD.size
            size = -(-(_HEAD.size + kept) // _SLOT) * _SLOT
            if at + size > end:
                break
            yield TraceRecord._make((*head, slots[data_at : data_at + kept]))
            at += size
        self._left = slots[at:]


class TraceReader(RingReader):
    """The client's end of a tap."""

    def __init__(self, ring_fd: int, doorbell: int) -> None:
        """Map `ring_fd` and own `doorbell`; raises as RingReader."""
        super().__init__(lib.gb_trace_ring_map, "trace", ring_fd, doorbell)
        self._slots = ffi.new("uint8_t[]", lib.GB_EVENT_READ_MAX * _SLOT)
        self._records = Records()

    def read(self) -> list[TraceRecord]:
        """Take the records that wait, up to 1024, without waiting.

        Raises OSError ENODEV when the service is gone.
        """
        doorbell = self._enter()
        try:
            taken = lib.gb_trace_ring_take(self._ring, doorbell, self._slots, lib.GB_EVENT_READ_MAX)
        finally:
            self._leave()
        if taken < 0:
            raise OSError(-taken, "the service has ended the trace")
        return list(self._records.feed(bytes(ffi.buffer(self._slots, taken * _SLOT))))

    @property
    def lost(self) -> int:
        """Records that found the ring full so far."""
        return int(lib.gb_trace_ring_lost(self._ring))
