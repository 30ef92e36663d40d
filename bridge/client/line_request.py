# SPDX-License-Identifier: BSD-3-Clause
"""Requested lines: their values and their edge events."""

from __future__ import annotations

import errno
import threading
import warnings
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING

from bridge import errors
from bridge.client import line_config
from bridge.client.control import request_timeout_s
from bridge.client.edge_event import EdgeEvent
from bridge.client.exception import RequestReleasedError
from bridge.client.line_settings import LineConfig, LineSettings
from bridge.line import Value
from bridge.shim.client import EventRing, OperationDescriptor, OperationFailed
from bridge.shim.ffi import lib

if TYPE_CHECKING:
    from bridge.client.direct import Direct

__all__ = ["LineRequest"]

#: For `bridge.aio`, which does its own input and output.
GET: int = lib.GB_OPERATION_GET
SET: int = lib.GB_OPERATION_SET
RELEASED: int = lib.GB_REASON_RELEASED

_ACTIVE = Value.ACTIVE
_INACTIVE = Value.INACTIVE

# The client waits a little longer than the service, whose answer says what happened.
_GRACE_MS = 500

_BUFFER_MAX = 1 << 18

_UNTOUCHED = LineSettings()


class _Turn:
    """The lock of a request's operations: one at a time is under way."""

    def __init__(self, patience_s: float, lock: threading.Lock | None = None) -> None:
        self._lock = threading.Lock() if lock is None else lock
        self._patience_s = patience_s
        # These are methods of the lock itself, since a get counts nanoseconds: take() says whether
        # the turn was free and is the caller's now, give() ends it.
        self.take = partial(self._lock.acquire, False)
        self.give = self._lock.release

    def __enter__(self) -> None:
        self.wait()

    def wait(self) -> None:
        """Wait for the turn, no longer than the operation itself may take."""
        if not self._lock.acquire(True, self._patience_s):
            raise TimeoutError(
                errno.ETIMEDOUT,
                "another thread has an operation on these lines under way (reconfigure_lines may "
                f"take long), and did not end it in {self._patience_s:g} s",
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def within(self, patience_s: float) -> _Turn:
        """Return the same lock, for a caller that may wait longer."""
        return _Turn(patience_s, self._lock)


class LineRequest:
    """An exclusive hold on lines of one chip, until it is released or collected.

    Get one from Chip.request_lines(). get and set may be called from several threads;
    release() waits for them.
    """

    _operations: OperationDescriptor | None = None
    _ring: EventRing | None = None
    _direct: Direct | None = None

    def __init__(
        self,
        chip_name: str,
        lines: list[int | str],
        offsets: list[int],
        names: dict[str, int],
        fds: list[int],
        timeout_ms: int,
        buffer_size: int,
        direct: Direct | None,
    ) -> None:
        """Take over the descriptors of a granted request; for Chip.request_lines() only."""
        self._direct = direct
        operation, event, ring = fds
        self._timeout_ms = timeout_ms + _GRACE_MS
        self._reconfigure_ms = round(request_timeout_s(timeout_ms, len(offsets)) * 1000)
        descriptor = direct.operations if direct is not None else OperationDescriptor
        self._operations = descriptor(operation, self._timeout_ms)
        try:
            self._ring = EventRing(ring, event)
        except BaseException:
            self._close()
            raise
        self._chip_name = chip_name
        self._lines = lines
        self._offsets = offsets
        self._buffer_size = min(buffer_size, _BUFFER_MAX)
        self._turn = _Turn(self._timeout_ms / 1000)
        self._ring_lock = threading.Lock()
        # The mask of a line, by offset and by name: what get_value() looks up.
        self._masks: dict[int | str, int] = {
            offset: 1 << index for index, offset in enumerate(offsets)
        }
        self._masks.update({name: self._masks[offset] for name, offset in names.items()})

    def __bool__(self) -> bool:
        """Whether the lines still are held."""
        return self._operations is not None

    def __enter__(self) -> LineRequest:
        """Return the request. Raises RequestReleasedError when it is released."""
        self._held()
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lines."""
        self.release()

    def __del__(self) -> None:
        """Close the descriptors, which releases the lines without waiting for it."""
        direct, self._direct = self._direct, None
        self._close(wake=False)  # nobody reads, and a forked process may have the lines now
        if direct is not None:
            direct.abandon()

    def _held(self) -> OperationDescriptor:
        if self._operations is None:
            raise RequestReleasedError
        return self._operations

    def _events(self) -> EventRing:
        ring = self._ring  # read once: another thread may release the lines meanwhile
        if ring is None:
            raise RequestReleasedError
        return ring

    def _close(self, wake: bool = True) -> None:
        operations, self._operations = self._operations, None
        if operations is not None:
            operations.close()
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close(wake)
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()

    def release(self) -> None:
        """Release the lines and return when that is done. May be called again.

        Raises nothing: the lines of a service or chip that is gone are free anyway.
        """
        if self._operations is None:
            return
        try:
            with self._turn.within(self._reconfigure_ms / 1000):
                operations = self._operations
                if operations is not None:
                    with suppress(OperationFailed):
                        operations.exchange(lib.GB_OPERATION_RELEASE)
                self._close()
        except TimeoutError:  # in a forked process the thread that held the lock is not there
            self._close()

    @property
    def chip_name(self) -> str:
        """The name of the chip, valid after the chip is closed."""
        self._held()
        return self._chip_name

    @property
    def num_lines(self) -> int:
        """How many lines are held."""
        self._held()
        return len(self._offsets)

    @property
    def offsets(self) -> list[int]:
        """The offsets, in the order of the request."""
        self._held()
        return list(self._offsets)

    @property
    def lines(self) -> list[int | str]:
        """The lines as they were named in the request, in its order."""
        self._held()
        return list(self._lines)

    @property
    def fd(self) -> int:
        """The descriptor of the edge events: readable while one waits.

        HUP and ERR say that the chip or the service is gone. O_NONBLOCK, set by
        fcntl(2), is honoured by read_edge_events().
        """
        return self._events().fd

    def fileno(self) -> int:
        """Return fd, for select and its kin."""
        return self.fd

    def get_value(self, line: int | str) -> Value:
        """Return the logical value of one line; raises as get_values()."""
        operations = self._operations
        if operations is None:
            raise RequestReleasedError
        mask = self._masks.get(line) or self._mask(line)
        turn = self._turn
        if not turn.take():
            turn.wait()
        try:
            return _ACTIVE if operations.get(mask) else _INACTIVE
        except OperationFailed as failure:
            raise self._error(failure) from None
        finally:
            turn.give()

    def get_values(self, lines: Collection[int | str] | None = None) -> list[Value]:
        """Return the logical values of `lines`, in that order.

        Args:
            lines: offsets or names; None or empty means all lines of the request.

        Raises:
            ValueError: a line is not in the request.
            OverflowError: an offset is negative.
            TimeoutError: the firmware did not answer in the service's timeout.
            OSError: EIO, the firmware refused; ENODEV, chip or service are gone.
            RequestReleasedError: the lines are released.
        """
        operations = self._held()
        masks = self.masks_of(lines)
        try:
            with self._turn:
                bits = operations.get(union(masks))
        except OperationFailed as failure:
            raise self._error(failure) from None
        return [_ACTIVE if bits & one else _INACTIVE for one in masks]

    def set_value(self, line: int | str, value: Value) -> None:
        """Set the logical value of one line; raises as set_values()."""
        operations = self._operations
        if operations is None:
            raise RequestReleasedError
        mask = self._masks.get(line) or self._mask(line)
        bits = mask if value.value else 0
        turn = self._turn
        if not turn.take():
            turn.wait()
        try:
            operations.set(mask, bits)
        except OperationFailed as failure:
            raise self._error(failure) from None
        finally:
            turn.give()

    def set_values(self, values: Mapping[int | str, Value]) -> None:
        """Set the logical values of the lines in `values`.

        Args:
            values: maps lines, offsets or names, to logical values.

        Raises:
            ValueError: `values` is empty.
            PermissionError: one of the lines is no output; nothing is set then.
            Exception: as get_values().
        """
        operations = self._held()
        mask, bits = self.bits_of(values)
        try:
            with self._turn:
                operations.set(mask, bits)
        except OperationFailed as failure:
            raise self._error(failure) from None

    def reconfigure_lines(self, config: LineConfig) -> None:
        """Give lines of the request other settings (GPIO_V2_LINE_SET_CONFIG_IOCTL).

        A line stays as it is where `config` lacks it or maps it to None, or where its new
        settings have the direction AS_IS. An output is driven to the output value of its new
        settings. Events that wait, and their numbers, stay. Lines that are not in the request
        give a UserWarning.

        Args:
            config: as for Chip.request_lines().

        Raises:
            ValueError: settings exclude each other.
            OSError, TimeoutError: ENXIO, ENODEV, E2BIG, ETIMEDOUT as of
                Chip.request_lines(); lines before the one that failed are changed then.
            RequestReleasedError: the lines are released.
        """
        operations = self._held()
        settings: dict[int, LineSettings] = {}
        for key, wanted in config.items():
            for line in (key,) if isinstance(key, int | str) else key:
                mask = self._masks.get(line)
                if mask is None:
                    _warn_of_stranger(line)
                else:
                    settings[mask.bit_length() - 1] = wanted or LineSettings()
        packed = line_config.pack(
            [
                line_config.config_of(settings.get(index, _UNTOUCHED))
                for index in range(len(self._offsets))
            ]
        )
        try:
            with self._turn:
                operations.exchange(lib.GB_OPERATION_RECONFIGURE, packed, self._reconfigure_ms)
        except OperationFailed as failure:
            raise self._error(failure) from None

    def wait_edge_events(self, timeout: timedelta | float | None = None) -> bool:
        """Wait until an edge event can be read; return whether one can.

        Args:
            timeout: a timedelta or seconds; None waits for ever, 0 does not wait.

        Raises:
            ValueError: `timeout` is negative.
            TypeError: `timeout` is something else.
            RequestReleasedError: the lines are released.
        """
        return self._events().wait(timeout)

    def read_edge_events(self, max_events: int | None = None) -> list[EdgeEvent]:
        """Return the events that wait, oldest first.

        It blocks only when none waits, unless fd is O_NONBLOCK.

        Args:
            max_events: the most events to return; None is 64.

        Raises:
            BlockingIOError: no event waits, and fd is O_NONBLOCK.
            OverflowError: `max_events` is negative.
            OSError: ENODEV, the chip is gone.
            RequestReleasedError: the lines are released.
        """
        ring = self._events()
        count = 64 if max_events is None else max_events
        if count < 0:
            raise OverflowError("max_events is negative: it is a number of events")
        count = min(count, self._buffer_size)
        if count == 0:
            return []
        with self._ring_lock:
            records = ring.read(count)
        return [
            EdgeEvent(kind, timestamp_ns, offset, seqno, line_seqno)
            for timestamp_ns, kind, offset, seqno, line_seqno in records
        ]

    def read_edge_event_array(self, max_events: int | None = None) -> memoryview:
        """Return the events that wait as one buffer, without an object for each.

        It blocks and raises as read_edge_events(). libgpiod does not have it.

        Args:
            max_events: the most events to return, at most 1024; None is so many, 0 none.

        Returns:
            A read-only buffer, the caller's to keep, of records of 48 bytes, laid out as
            ``struct gpio_v2_line_event`` of linux/gpio.h in the machine's byte order:
            u64 timestamp_ns, u32 id (1 rising, 2 falling), u32 offset, u32 seqno,
            u32 line_seqno, 24 bytes of padding.
        """
        ring = self._events()
        count = ring.capacity if max_events is None else max_events
        if count < 0:
            raise OverflowError("max_events is negative: it is a number of events")
        if count == 0:
            return memoryview(b"")
        with self._ring_lock:
            return memoryview(ring.read_records(count))

    # ---- for bridge.aio ----------------------------------------------------

    @property
    def operation_fd(self) -> int:
        """The operation descriptor (docs/control.md). Raises RequestReleasedError."""
        return self._held().fileno()

    @property
    def timeout_ms(self) -> int:
        """How long to wait for the answer to an operation, in milliseconds."""
        return self._timeout_ms

    def masks_of(self, lines: Collection[int | str] | None) -> list[int]:
        """Return the mask of each of `lines` (None or empty: of all); see get_values()."""
        self._held()
        masks = [self._mask(line) for line in lines or self._offsets]
        if len(masks) > len(self._offsets):
            raise ValueError(
                f"{len(masks)} values of a request of {len(self._offsets)} lines: each line once"
            )
        return masks

    def bits_of(self, values: Mapping[int | str, Value]) -> tuple[int, int]:
        """Return mask and bits of `values`; see set_values()."""
        self._held()
        mask = bits = 0
        for line, value in values.items():
            one = self._mask(line)
            mask |= one
            bits = bits | one if value.value else bits & ~one
        if not mask:
            raise ValueError("no values to set: name at least one line")
        return mask, bits

    def failure(self, error: int, reason: int, line: int) -> Exception:
        """Return the exception for the answer to an operation."""
        return self._error(OperationFailed(error, reason, line))

    def _mask(self, line: int | str) -> int:
        """Return the mask of a line. Raises ValueError when it is not in the request."""
        mask = self._masks.get(line)
        if mask is not None:
            return mask
        if isinstance(line, str):
            raise ValueError(f"unknown line name: {line}")
        if not isinstance(line, int):
            raise TypeError(f"a line is named by str or int, not {type(line).__name__}")
        if line < 0:
            raise OverflowError(f"line offset {line} is negative: offsets start at 0")
        raise ValueError(
            f"line {line} of chip {self._chip_name} is not in this request, which holds "
            f"{', '.join(map(str, self._offsets))}"
        )

    def _error(self, failure: OperationFailed) -> Exception:
        """Return the exception for a failed operation, with a sentence."""
        if self._operations is None:  # released by another thread meanwhile
            return RequestReleasedError()
        if failure.why:
            return errors.exception(failure.error, failure.why)
        where = f"chip {self._chip_name}"
        if failure.error == errno.ETIMEDOUT and failure.reason == lib.GB_REASON_NONE:
            return TimeoutError(failure.error, f"{where}: the service does not answer")
        if failure.line < len(self._offsets):
            where = f"line {self._offsets[failure.line]} of {where}"
        return errors.exception(
            failure.error, f"{where}: {errors.sentence(failure.reason, failure.error)}"
        )

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        if not self:
            return "<LineRequest RELEASED>"
        return (
            f'<LineRequest chip="{self._chip_name}" num_lines={len(self._offsets)} '
            f"offsets={self._offsets} fd={self.fd}>"
        )


def union(masks: Iterable[int]) -> int:
    """Return the bits that are in any of `masks`."""
    return reduce(or_, masks, 0)


def _warn_of_stranger(line: int | str) -> None:
    """Warn the caller of reconfigure_lines() in libgpiod's words."""
    kind = "name" if isinstance(line, str) else "offset"
    warnings.warn(f"Line {kind} '{line}' was not included in original request.", stacklevel=3)
