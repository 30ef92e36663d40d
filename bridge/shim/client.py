# SPDX-License-Identifier: BSD-3-Clause
"""The descriptors of a line request: operations and edge events (client.h, event_ring.h)."""

from __future__ import annotations

import errno
import os
import struct
import weakref

from bridge.shim.ffi import ffi, lib
from bridge.shim.ring_reader import RingReader

TYPE_CHECKING = False  # as in typing, which tools that run for milliseconds do without
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["LINE_EVENT", "DirectOperations", "EventRing", "OperationDescriptor", "OperationFailed"]

_GET: int = lib.GB_OPERATION_GET
_SET: int = lib.GB_OPERATION_SET

LINE_EVENT = struct.Struct("=QIIII24x")
"""struct gb_line_event, which is struct gpio_v2_line_event of <linux/gpio.h>."""


class OperationFailed(Exception):
    """The pump refused or could not do an operation; the caller makes the sentence."""

    def __init__(self, error: int, reason: int, line: int, why: str = "") -> None:
        """`error` is an errno, `reason` an enum gb_reason, `line` an index in the request.

        `why` is the service's sentence, "" when there is none.
        """
        super().__init__(error, reason, line)
        self.error = error
        self.reason = reason
        self.line = line
        self.why = why


class OperationDescriptor:
    """The operation descriptor of a request. Not thread safe; the caller locks.

    One operation is one call into C: its structs are made once and used again, since
    this is the path whose time the benchmark counts.
    """

    def __init__(self, fd: int, timeout_ms: int) -> None:
        """Own `fd`; every operation ends within `timeout_ms`. Raises OSError."""
        self._fd = fd
        self._timeout_ms = timeout_ms
        self._exchange = ffi.new("struct gb_exchange *")
        self._reply = ffi.addressof(self._exchange, "reply")
        self._operate: Callable[[Any, int, Any, int, int, int], int] = lib.gb_client_exchange
        self._way: Any = fd  # what `_operate` takes first
        self._prepare(timeout_ms)

    def _prepare(self, timeout_ms: int) -> None:
        error = lib.gb_client_prepare(self._fd, timeout_ms)
        if error:
            raise OSError(-error, f"no deadline for operations: {os.strerror(-error)}")

    def fileno(self) -> int:
        """Return the descriptor, for a caller that does its own input and output."""
        return self._fd

    def get(self, mask: int) -> int:
        """Return the values of the lines of `mask` as bits. Raises OperationFailed."""
        if self._operate(self._way, self._timeout_ms, self._exchange, _GET, mask, 0):
            raise self._failure()
        bits: int = self._reply.bits
        return bits

    def set(self, mask: int, bits: int) -> None:
        """Set the lines of `mask` to `bits`. Raises OperationFailed."""
        if self._operate(self._way, self._timeout_ms, self._exchange, _SET, mask, bits):
            raise self._failure()

    def exchange(self, code: int, body: bytes = b"", timeout_ms: int | None = None) -> bytes:
        """Do an operation that the service answers, with a body either way.

        It ends within `timeout_ms` (None: that of the constructor). Raises
        OperationFailed.
        """
        operation = lib.gb_exchange_next(self._exchange, code, 0, 0)
        answer = ffi.new("uint8_t[]", lib.GB_OPERATION_BODY_MAX)
        length = ffi.new("size_t *", lib.GB_OPERATION_BODY_MAX)
        limit = self._timeout_ms if timeout_ms is None else timeout_ms
        self._prepare(limit)
        try:
            failed = lib.gb_client_operate_body(
                self._fd, limit, operation, body, len(body), self._reply, answer, length
            )
        finally:
            self._prepare(self._timeout_ms)
        # What came without an answer of the service's has no body.
        text = bytes(ffi.buffer(answer, length[0])) if length[0] < len(answer) else b""
        if failed:
            raise self._failure(text.decode("utf-8", "replace"))
        return text

    def close(self) -> None:
        """Close the descriptor, which releases the lines if they still are held."""
        fd, self._fd = self._fd, -1
        self._operate, self._way = lib.gb_client_exchange, -1
        if fd >= 0:
            os.close(fd)

    def _failure(self, why: str = "") -> OperationFailed:
        reply = self._reply
        return OperationFailed(reply.error, reply.reason, reply.line, why)


class DirectOperations(OperationDescriptor):
    """The same where the pump is in this process: its loop is run by the thread that waits."""

    def __init__(self, handle: Any, fd: int, timeout_ms: int) -> None:
        """Own `handle`, a ``struct gb_direct`` of `fd`, None is none; as OperationDescriptor."""
        super().__init__(fd, timeout_ms)
        self.handle = handle
        if handle is not None:
            self._operate, self._way = lib.gb_direct_exchange, handle
            _direct.add(self)

    def close(self) -> None:
        """As of OperationDescriptor; the pump must still be there."""
        handle, self.handle = self.handle, None
        super().close()
        if handle is not None:
            lib.gb_direct_close(handle)

    def forked(self) -> None:
        """Ask the pump of the other process, of which there is only a copy here."""
        self.handle = None
        self._operate, self._way = lib.gb_client_exchange, self._fd


_direct: weakref.WeakSet[DirectOperations] = weakref.WeakSet()


def _forked() -> None:
    for operations in tuple(_direct):
        operations.forked()


os.register_at_fork(after_in_child=_forked)


class EventRing(RingReader):
    """The edge events of a request: a ring in shared memory and its doorbell."""

    def __init__(self, ring_fd: int, doorbell: int) -> None:
        """Map `ring_fd` and own `doorbell`; raises as RingReader."""
        super().__init__(lib.gb_event_ring_map, "event", ring_fd, doorbell)
        self._events = ffi.new("struct gb_line_event[]", lib.GB_EVENT_READ_MAX)

    @property
    def capacity(self) -> int:
        """How many events the ring holds before it drops the oldest."""
        capacity: int = lib.gb_event_ring_capacity(self._ring)
        return capacity

    def read(self, count: int) -> list[tuple[int, int, int, int, int]]:
        """Return 1 to `count` events: (timestamp_ns, id, offset, seqno, line_seqno).

        Blocks for the first one unless O_NONBLOCK is set on the doorbell. Raises
        OSError: EAGAIN, EINTR, ENODEV (the chip or the service is gone).
        """
        return list(LINE_EVENT.iter_unpack(self.read_records(count)))

    def read_records(self, count: int) -> bytes:
        """Return 1 to `count` events as they are in memory, 48 bytes each; as read()."""
        events = self._events
        count = min(count, lib.GB_EVENT_READ_MAX)
        doorbell = self._enter()
        try:
            taken: int = lib.gb_event_ring_read(self._ring, doorbell, events, count)
        finally:
            self._leave()
        if taken < 0:
            raise OSError(-taken, _READ_SENTENCES.get(-taken, os.strerror(-taken)))
        records: bytes = ffi.buffer(events, taken * LINE_EVENT.size)[:]
        return records


_READ_SENTENCES = {
    errno.EAGAIN: "no edge event waits",
    errno.ENODEV: "the chip is gone",
}
