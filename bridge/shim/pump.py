# SPDX-License-Identifier: BSD-3-Clause
"""Typed face of the pump (bridge/shim/pump).

Every object is closed once by its owner; a closed object raises ENODEV. None of
these calls blocks. What the pump has to say comes back as `Report` objects,
behind the descriptor `Pump.report_fd`.
"""

from __future__ import annotations

import enum
import errno
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.clock_info import ClockInfo
from bridge.shim.ffi import ffi, lib


class ReportKind(enum.IntEnum):
    """``enum gb_report_kind``."""

    REPLY = lib.GB_REPORT_REPLY
    ANNOUNCED = lib.GB_REPORT_ANNOUNCED
    LINK_DOWN = lib.GB_REPORT_LINK_DOWN
    HANGUP = lib.GB_REPORT_HANGUP
    OPERATION = lib.GB_REPORT_OPERATION
    LINE_FAULT = lib.GB_REPORT_LINE_FAULT
    RESTARTED = lib.GB_REPORT_RESTARTED
    NONSENSE = lib.GB_REPORT_NONSENSE
    EXPORT = lib.GB_REPORT_EXPORT
    LINK_NOTE = lib.GB_REPORT_LINK_NOTE


class Report(NamedTuple):
    """``struct gb_report``; which fields mean something depends on the kind."""

    kind: int
    error: int
    reason: int
    number: int
    id: int
    sequence: int
    status: int
    value: int
    body: bytes


@dataclass(frozen=True)
class LinePlan:
    """``struct gb_line_plan``: what the pump must know of a requested line."""

    controller: Controller
    offset: int
    gpio: int
    irq_type: int
    flags: int
    debounce_us: int = 0


class RequestFds(NamedTuple):
    """The client's ends of a request; whoever holds them closes them."""

    operation: int
    event: int
    ring: int

    def close(self) -> None:
        """Close all three (to be called once)."""
        for fd in self:
            os.close(fd)


class LineForm(enum.IntEnum):
    """``enum gb_line_form``: what kind of line descriptor of the character device."""

    V2 = lib.GB_LINE_V2
    HANDLE = lib.GB_LINE_HANDLE
    EVENT = lib.GB_LINE_EVENT
    EVENT_32 = lib.GB_LINE_EVENT_32


class LineFds(NamedTuple):
    """The one descriptor of a request as the GPIO character device has it."""

    line: int

    def close(self) -> None:
        """Close it (to be called once)."""
        os.close(self.line)


class _Owned:
    """A C object with one owner; closed with the one it was opened on, its `parent`."""

    def __init__(self, handle: Any, what: str, parent: _Owned | None = None) -> None:
        self._owned = handle
        self._what = what
        self._children: weakref.WeakSet[_Owned] = weakref.WeakSet()
        if parent is not None:
            parent._children.add(self)

    @property
    def _handle(self) -> Any:
        if self._owned is None:
            raise OSError(errno.ENODEV, f"the {self._what} is closed")
        return self._owned

    def _take(self) -> Any:
        """The handle, to be freed: nobody has it, or one of a child, any more."""
        for child in list(self._children):
            child._take()
        handle, self._owned = self._owned, None
        return handle

    def _indexes(self, next_from: Callable[[Any, int], int]) -> list[int]:
        """All that `next_from` the handle and an index finds, up to -1."""
        found: list[int] = []
        index = -1
        while self._owned is not None:
            index = next_from(self._owned, index + 1)
            if index < 0:
                break
            found.append(index)
        return found

    @property
    def closed(self) -> bool:
        """Whether the object was closed."""
        return self._owned is None


class Request(_Owned):
    """A line request in the pump: operations and edges of one client."""

    def __init__(self, handle: Any, pump: Pump) -> None:
        super().__init__(handle, "line request", pump)

    @property
    def alive(self) -> bool:
        """Whether the client still holds its end."""
        return self._owned is not None and bool(lib.gb_request_alive(self._owned))

    def replan(self, lines: Sequence[LinePlan]) -> None:
        """Replace the plans: same lines, same order. Raises OSError."""
        result = lib.gb_request_replan(self._handle, _plans(lines), len(lines))
        if result < 0:
            raise OSError(-result, "the pump refused the new plan of a line request")

    def settle(self, index: int, high: bool) -> None:
        """Say which physical level the debouncing of a line starts from."""
        lib.gb_request_settle(self._handle, index, high)

    def count(self) -> dict[str, int]:
        """``struct gb_request_counters``."""
        counters = ffi.new("struct gb_request_counters *")
        lib.gb_request_count(self._handle, counters)
        return {
            "operations": counters.operations,
            "failed": counters.failed,
            "p50_ns": counters.p50_ns,
            "p99_ns": counters.p99_ns,
            "edges": counters.edges,
            "overwritten": counters.overwritten,
        }

    def note_driven(self, index: int, high: bool) -> None:
        """Say to which physical level a line was driven by calls of our own."""
        lib.gb_request_note_driven(self._handle, index, high)

    def driven(self) -> dict[int, int]:
        """The physical levels that lines were last driven to, by index, if the firmware agreed."""
        levels = ffi.new("uint64_t *")
        mask = int(lib.gb_request_driven(self._handle, levels))
        return {i: levels[0] >> i & 1 for i in range(lib.GB_LINES_MAX) if mask >> i & 1}

    def answer(self, sequence: int, error: int = 0, reason: int = 0, body: bytes = b"") -> None:
        """Answer a reported operation; a client that is gone is no error.

        Args:
            sequence: of the report.
            error: errno or 0.
            reason: ``GB_REASON_*``.
            body: payload, at most GB_OPERATION_BODY_MAX bytes.
        """
        lib.gb_request_answer(self._handle, sequence, error, reason, body, len(body))

    def close(self) -> None:
        """Hang up: the client sees HUP and ENODEV."""
        handle = self._take()
        if handle is not None:
            lib.gb_request_close(handle)


class Controller(_Owned):
    """A virtio-gpio device behind one endpoint."""

    def __init__(self, handle: Any, link: Link) -> None:
        super().__init__(handle, "controller", link)

    def accept(self, features: int, epoch: int) -> None:
        """Frame and check messages by these RPMSG_GPIO_F_* from now on."""
        lib.gb_controller_accept(self._handle, features, epoch)

    def mute(self, mute: bool) -> None:
        """Say that the firmware is silent on message types it does not know."""
        lib.gb_controller_mute(self._handle, mute)

    def call(
        self, kind: int, gpio: int, value: int, form: int, timeout_ms: int, cookie: int
    ) -> None:
        """Queue a request; the outcome is a REPLY report with `cookie`.

        Args:
            kind: message type of firmware_stub/core/rpmsg_gpio.h.
            gpio: line of the controller.
            value: the request's value field.
            form: ``GB_CALL_*``.
            timeout_ms: deadline in milliseconds.
            cookie: comes back as the report's id.

        Raises:
            OSError: the pump cannot take the request (errno of gb_controller_call).
        """
        result = lib.gb_controller_call(self._handle, kind, gpio, value, form, timeout_ms, cookie)
        if result < 0:
            raise OSError(-result, f"the request could not be queued: {os.strerror(-result)}")

    def call_body(
        self, kind: int, gpio: int, value: int, body: bytes, timeout_ms: int, cookie: int
    ) -> None:
        """As `call`, for types with a body of at most GB_CALL_BODY_MAX bytes."""
        result = lib.gb_controller_call_body(
            self._handle, kind, gpio, value, body, len(body), timeout_ms, cookie
        )
        if result < 0:
            raise OSError(-result, f"the request could not be queued: {os.strerror(-result)}")

    def count(self) -> dict[str, int]:
        """``struct gb_controller_counters``."""
        counters = ffi.new("struct gb_controller_counters *")
        lib.gb_controller_count(self._handle, counters)
        return {
            "answered": counters.answered,
            "refused": counters.refused,
            "timeouts": counters.timeouts,
            "p50_ns": counters.p50_ns,
            "p99_ns": counters.p99_ns,
        }

    def count_lines(self, lines: int) -> list[tuple[int, int]]:
        """Edges and lost edges of the first lines, as far as any had some."""
        counters = ffi.new("struct gb_line_counters[]", lines)
        found = lib.gb_controller_count_lines(self._handle, counters, lines)
        return [(one.edges, one.lost) for one in counters[0:found]]

    def clock(self) -> ClockInfo:
        """What is known of the coprocessor's clock, with TIMESTAMP."""
        state = ffi.new("struct gb_clock_state *")
        lib.gb_controller_clock(self._handle, state)
        return ClockInfo(
            bool(state.known),
            state.samples,
            state.drift_ppb,
            state.bound_ns,
            state.edges_bound_ns,
            state.device_ns,
            state.host_ns,
            state.error_ns,
            state.by_arrival,
        )

    def close(self) -> None:
        """Close; requests on the way end."""
        handle = self._take()
        if handle is not None:
            lib.gb_controller_close(handle)


class Message(NamedTuple):
    """What came to an `Endpoint`: when, in ns of CLOCK_MONOTONIC, and the bytes."""

    arrival_ns: int
    data: bytes


class Endpoint(_Owned):
    """An endpoint without a controller: messages as they are (endpoint.h)."""

    def __init__(self, handle: Any, link: Link) -> None:
        super().__init__(handle, "endpoint", link)
        self._message = ffi.new("struct gb_message *")

    def fileno(self) -> int:
        """Readable when a message waits, or a send may be tried again; not to be closed."""
        return lib.gb_endpoint_fd(self._handle)

    def send(self, message: bytes) -> None:
        """Send one message without waiting.

        Raises:
            OSError: EAGAIN no buffer is free, EMSGSIZE too long for the link, ENODEV
                the link is down.
        """
        result = lib.gb_endpoint_send(self._handle, message, len(message))
        if result < 0:
            raise OSError(-result, f"message not sent: {os.strerror(-result)}")

    def receive(self) -> Message | None:
        """Take the oldest message; None when there is none."""
        message = self._message
        if not lib.gb_endpoint_receive(self._handle, message):
            return None
        data = bytes(ffi.buffer(message.bytes, message.length)) if message.length else b""
        return Message(message.arrival_ns, data)

    @property
    def lost(self) -> int:
        """Messages that were too many or too long for us."""
        return lib.gb_endpoint_lost(self._handle)

    def close(self) -> None:
        """Close; what still waits is gone."""
        handle = self._take()
        if handle is not None:
            lib.gb_endpoint_close(handle)


class Trace(_Owned):
    """The last records of one link (trace.h); ends with the pump."""

    def last(self) -> bytes:
        """The slots of the last records, for `bridge.trace.record.Records`."""
        slots = ffi.new("uint8_t[]", lib.GB_TRACE_LAST * lib.GB_TRACE_SLOT_SIZE)
        count = lib.gb_trace_last(self._handle, slots)
        return bytes(ffi.buffer(slots, count * lib.GB_TRACE_SLOT_SIZE))


class TapFds(NamedTuple):
    """The client's ends of a tap; whoever holds them closes them."""

    bell: int
    ring: int


class Tap(_Owned):
    """One who reads along on links."""

    def close(self) -> None:
        """End it: the client sees HUP, and ENODEV from reads."""
        handle = self._take()
        if handle is not None:
            lib.gb_tap_close(handle)


class Link(_Owned):
    """An attachment to one coprocessor, owned by the pump."""

    def __init__(self, handle: Any, pump: Pump) -> None:
        super().__init__(handle, "link", pump)

    def count(self) -> dict[str, int]:
        """``struct gb_link_counters``; nothing of a link that is closed."""
        counters = ffi.new("struct gb_link_counters *")
        if self._owned is not None:
            lib.gb_link_count(self._owned, counters)
        return {"sent": counters.sent, "received": counters.received}

    @property
    def strays(self) -> int:
        """Messages that went nowhere so far: no endpoint, bad form."""
        return 0 if self._owned is None else int(lib.gb_link_strays(self._owned))

    def open_controller(self, identity: int, source: int, address: int) -> Controller:
        """Open the endpoint `source` (ours) that talks to `address` (theirs).

        Args:
            identity: comes back as the id of RESTARTED and NONSENSE reports.
            source: our rpmsg address.
            address: the firmware's rpmsg address.

        Raises:
            OSError: ENODEV, ENOMEM or EADDRINUSE of gb_controller_open.
        """
        handle = lib.gb_controller_open(self._handle, identity, source, address)
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"endpoint {source:#x} not opened: {os.strerror(number)}")
        return Controller(handle, self)

    def open_endpoint(self, source: int, address: int) -> Endpoint:
        """Open a raw endpoint `source` (ours) that talks to `address` (theirs).

        Raises:
            OSError: EADDRINUSE, EMFILE, ENODEV or ENOMEM of gb_endpoint_open.
        """
        handle = lib.gb_endpoint_open(self._handle, source, address)
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"endpoint {source:#x} not opened: {os.strerror(number)}")
        return Endpoint(handle, self)

    def close(self) -> None:
        """Close the link and what is open on it."""
        handle = self._take()
        if handle is not None:
            lib.gb_link_close(handle)


class Pump(_Owned):
    """The data plane: a thread of its own without the GIL.

    Args:
        realtime: make its lock lend its owner the priority of whoever waits for it.
    """

    def __init__(self, realtime: bool = False) -> None:
        handle = lib.gb_pump_new_realtime() if realtime else lib.gb_pump_new()
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"the pump did not start: {os.strerror(number)}")
        super().__init__(handle, "pump")
        self._report = ffi.new("struct gb_report *")

    @property
    def report_fd(self) -> int:
        """Readable while reports wait; owned by the pump."""
        return lib.gb_pump_report_fd(self._handle)

    def schedule(self, priority: int, cpus: Sequence[int]) -> None:
        """Schedule its thread, and those that it starts from here on.

        Args:
            priority: of SCHED_FIFO, 0 leaves it as it is.
            cpus: where they may run, () leaves that as it is.

        Raises:
            OSError: EPERM, EINVAL as sched_setscheduler(2) and sched_setaffinity(2).
        """
        error = lib.gb_pump_schedule(self._handle, priority, ffi.new("int[]", cpus), len(cpus))
        if error:
            raise OSError(-error, os.strerror(-error))

    def reports(self, limit: int = 256) -> Iterator[Report]:
        """Take the waiting reports, at most `limit`."""
        report = self._report
        for _ in range(limit):
            if self._owned is None or lib.gb_pump_next_report(self._owned, report) != 1:
                return
            yield Report(
                report.kind,
                report.error,
                report.reason,
                report.number,
                report.id,
                report.sequence,
                report.status,
                report.value,
                bytes(ffi.buffer(report.body, report.length)) if report.length else b"",
            )

    def open_trace(self, number: int) -> Trace:
        """Open the trace of the link `number`. Raises OSError ENOMEM."""
        handle = lib.gb_trace_open(self._handle, number)
        if handle == ffi.NULL:
            raise OSError(ffi.errno, f"no trace of a link: {os.strerror(ffi.errno)}")
        return Trace(handle, "trace", self)

    def open_tap(self, number: int) -> tuple[Tap, TapFds]:
        """Read along on the link `number`, or on `bridge.trace.record.ALL_LINKS`.

        Raises:
            OSError: EMFILE or ENOMEM of gb_tap_open.
        """
        fds = ffi.new("struct gb_tap_fds *")
        handle = lib.gb_tap_open(self._handle, number, fds)
        if handle == ffi.NULL:
            raise OSError(ffi.errno, f"no trace can be made: {os.strerror(ffi.errno)}")
        return Tap(handle, "trace", self), TapFds(fds.bell, fds.ring)

    def add_link(self, opened: Any, identity: int, trace: Trace | None = None) -> Link:
        """Hand an opened ``struct gb_link`` over; the pump owns it from here on.

        Args:
            opened: what a module of `bridge.link` returned from ``connect``.
            identity: comes back in the link's reports.
            trace: where what goes over it is recorded.

        Raises:
            OSError: the pump could not take it; the link is destroyed then.
        """
        if trace is not None:
            lib.gb_link_record(opened, trace._handle)
        result = lib.gb_pump_add_link(self._handle, opened, identity)
        if result < 0:
            raise OSError(-result, f"the pump refused the link: {os.strerror(-result)}")
        return Link(opened, self)

    def discard_link(self, opened: Any) -> None:
        """Close an opened link that nobody wants any more."""
        if lib.gb_pump_add_link(self._handle, opened, 0) == 0:
            lib.gb_link_close(opened)

    def open_request(
        self, identity: int, lines: Sequence[LinePlan], capacity: int, timeout_ms: int
    ) -> tuple[Request, RequestFds]:
        """Open a line request and the client's descriptors for it.

        Args:
            identity: comes back in the request's reports.
            lines: 1 to 64 plans.
            capacity: event records, a power of two from 2 to 262144.
            timeout_ms: deadline of one operation in milliseconds.

        Raises:
            OSError: errno of gb_request_open (EMFILE, ENOMEM...).
        """
        fds = ffi.new("struct gb_request_fds *")
        plans = _plans(lines)
        handle = lib.gb_request_open(
            self._handle, identity, plans, len(lines), capacity, timeout_ms, fds
        )
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"no line request could be made: {os.strerror(number)}")
        return Request(handle, self), RequestFds(fds.operation, fds.event, fds.ring)

    def open_line(
        self,
        identity: int,
        lines: Sequence[LinePlan],
        capacity: int,
        timeout_ms: int,
        form: LineForm,
    ) -> tuple[Request, LineFds]:
        """Open a line request with a descriptor as the GPIO character device's.

        Args:
            identity: comes back in the request's reports.
            lines: 1 to 64 plans.
            capacity: event records, at least 2.
            timeout_ms: deadline of one operation in milliseconds.
            form: which ioctls and events it has.

        Raises:
            OSError: errno of gb_cdev_open_line (EMFILE, ENOMEM...).
        """
        fd = ffi.new("int *")
        handle = lib.gb_cdev_open_line(
            self._handle, identity, _plans(lines), len(lines), capacity, timeout_ms, form, fd
        )
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"no line request could be made: {os.strerror(number)}")
        return Request(handle, self), LineFds(fd[0])

    def open_direct(self, fd: int) -> Any:
        """Find the request of an operation descriptor: a ``struct gb_direct``, to be closed.

        Raises:
            OSError: ENODEV, the request is closed; EMFILE or ENOMEM of gb_direct_open.
        """
        handle = lib.gb_direct_open(self._handle, fd)
        if handle == ffi.NULL:
            raise OSError(ffi.errno, f"no way past descriptor {fd}: {os.strerror(ffi.errno)}")
        return handle

    def close(self) -> None:
        """Stop the thread and close everything that is open on it."""
        handle = self._take()
        if handle is not None:
            lib.gb_pump_free(handle)


def _plans(lines: Sequence[LinePlan]) -> Any:
    """A C array of the plans."""
    array = ffi.new("struct gb_line_plan[]", len(lines))
    for entry, plan in zip(array, lines, strict=True):
        entry.controller = plan.controller._handle
        entry.offset = plan.offset
        entry.gpio = plan.gpio
        entry.irq_type = plan.irq_type
        entry.flags = plan.flags
        entry.debounce_us = plan.debounce_us
    return array
