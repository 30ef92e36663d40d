# SPDX-License-Identifier: BSD-3-Clause
"""The firmware a second time, written from docs/protocol.md and from nothing else.

The sections named here are that document's. It shares no line, and on purpose no
constant, with `firmware_stub/core`: where the two differ, one of them or the text is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.firmware_stub.second.pins import FLOAT, Pins

GET_LINE_NAMES = 0x0001
GET_DIRECTION = 0x0002
SET_DIRECTION = 0x0003
GET_VALUE = 0x0004
SET_VALUE = 0x0005
SET_IRQ_TYPE = 0x0006
GET_FEATURES = 0x8000
SET_FEATURES = 0x8001
GET_CONFIG = 0x8002
GET_EPOCH = 0x8003
GRANT_CREDITS = 0x8010
GET_TIME = 0x8020
GET_VALUES = 0x8030
SET_VALUES = 0x8031
GET_LINE_CAPS = 0x8040
SET_LINE_CONFIG = 0x8041
GET_COUNTERS = 0x8050

CONFIG, NAMES, TAG, EPOCH, CREDITS, TIMESTAMP, BULK, LINE_CONFIG, COUNTERS = (
    1 << bit for bit in range(9)
)

NONE, OUT, IN = 0, 1, 2
RISING, FALLING, BOTH, HIGH, LOW = 1, 2, 3, 4, 8
_EDGES, _LEVELS = (RISING, FALLING, BOTH), (HIGH, LOW)

_DEBOUNCE = 1 << 5
_PULLS, _DRIVES = (1, 2, 4), (8, 16)
_PIECE = 488

#: 8.3: the feature of each type, and the lengths that can be OK.
TYPES: dict[int, tuple[int, int]] = {
    GET_LINE_NAMES: (NAMES, 12),
    GET_CONFIG: (CONFIG, 12),
    GET_EPOCH: (EPOCH, 12),
    GRANT_CREDITS: (CREDITS, 12),
    GET_TIME: (TIMESTAMP, 12),
    GET_VALUES: (BULK, 20),
    SET_VALUES: (BULK, 28),
    GET_LINE_CAPS: (LINE_CONFIG, 12),
    SET_LINE_CONFIG: (LINE_CONFIG, 20),
    GET_COUNTERS: (COUNTERS, 12),
}


@dataclass(frozen=True)
class Build:
    """What a firmware is built as: fixed for its life."""

    ngpio: int
    padded: bool
    strict: bool
    features: int
    epoch: int
    label: bytes
    names: bytes
    caps: Sequence[int]
    debounce_max_us: int
    wires: Sequence[tuple[int, int]]
    pulls: Sequence[int]
    now: int
    """What its clock shows at the start, in ns."""


@dataclass
class Edge:
    """An edge, or the firing of a level."""

    line: int
    level: int
    sequence: int
    time: int
    late: bool = False


@dataclass
class Line:
    """What 4, 4.1 and 11 say of a line."""

    direction: int = NONE
    value: int = 0
    value_set: bool = False
    irq: int = NONE
    masked: bool = False
    kept: Edge | None = None
    """The latched edge of 4.1, or the latest one without credits of 11.2."""
    sequence: int = 0
    granted: int = 0
    sent: int = 0


class Refused(Exception):
    """The answer is ERR (3.4)."""


def _ahead(a: int, b: int) -> bool:
    """Whether a is ahead of b as a signed difference of 32 bits (11.2)."""
    return 0 < (a - b) & 0xFFFFFFFF < 1 << 31


def request_check(body: bytes) -> int:
    """8.5, in requests."""
    check = 0
    for (word,) in struct.iter_unpack("<I", body):
        check ^= word
    return check or 0x55


def reply_check(body: bytes) -> int:
    """8.5, in replies."""
    check = 0
    for byte in body:
        check ^= byte
    return check or 0x55


@dataclass
class Request:
    """A request in either form, taken apart."""

    kind: int
    gpio: int
    value: int
    tag: int = 0
    body: bytes = b""


@dataclass
class Said:
    """What came of one thing that happened: replies, then events."""

    replies: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)


class Firmware:
    """A device (docs/protocol.md 1), whose messages are collected by `said`.

    Attributes:
        accepted: features that the last SET_FEATURES named.
        pins: around it.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self.accepted = 0
        self._lines = [Line() for _ in range(build.ngpio)]
        self._replies: list[bytes] = []
        self._requests = self._refused = self._sent = 0  # 11.6
        self._due: list[Edge] = []
        self.pins = Pins(build.ngpio, build.wires, build.pulls, build.now, self._edge)

    def said(self) -> Said:
        """What it sent since it was asked last."""
        said = Said(self._replies, [self._event(edge) for edge in self._due])
        self._sent += len(self._replies) + len(self._due)
        self._replies, self._due = [], []
        return said

    # ---- messages -------------------------------------------------------------------

    def receive(self, message: bytes) -> None:
        """A message of the driver (3.4)."""
        if not message:
            return
        self._requests += 1
        if len(message) < 8:
            self._refused += 1
            self._replies.append(self._baseline(1, 0))
            return
        kind, gpio, value = struct.unpack_from("<HHI", message)
        tag = int.from_bytes(message[8:10], "little") if len(message) >= 12 else 0
        request = Request(kind, gpio, value, tag, message[12:])
        extended = len(message) >= 12 and self._is_extended(kind)
        try:
            answer = self._serve(request, len(message))
        except Refused:
            self._refused += 1
            self._replies.append(self._head(1, 0, tag) if extended else self._baseline(1, 0))
            return
        if kind == GET_FEATURES:
            self._replies.append(bytes(8) + answer[1])
        elif extended:
            self._replies.append(self._head(0, answer[0], tag) + answer[1])
        else:
            self._replies.append(self._baseline(0, answer[0]))

    def _is_extended(self, kind: int) -> bool:
        """8.3, for 12 bytes or more."""
        feature = TYPES[kind][0] if kind in TYPES else 0
        return bool(self.accepted & (TAG | feature))

    def _baseline(self, status: int, value: int) -> bytes:
        if self._build.padded:
            return bytes([0, 0, status, value])
        return bytes([0, status, value])

    def _head(self, status: int, value: int, tag: int) -> bytes:
        return struct.pack(
            "<BBBBHH",
            *(0, 0, status, value),
            tag if self.accepted & TAG else 0,
            self._build.epoch & 0xFFFF if self.accepted & EPOCH else 0,
        )

    def _serve(self, request: Request, length: int) -> tuple[int, bytes]:
        """Value and body of an OK; raises Refused."""
        if request.kind in (GET_FEATURES, SET_FEATURES):
            self._need(length == 8 and self._build.features != 0)
            return self._negotiate(request)
        if GET_DIRECTION <= request.kind <= SET_IRQ_TYPE:
            self._need(length == 8 or (length == 12 and bool(self.accepted & TAG)))
            return self._serve_line(request), b""
        self._need(request.kind in TYPES)
        feature, right = TYPES[request.kind]
        self._need(length == right and bool(self.accepted & feature))
        return self._serve_extension(request)

    @staticmethod
    def _need(condition: bool) -> None:
        if not condition:
            raise Refused

    def _negotiate(self, request: Request) -> tuple[int, bytes]:
        offered = self._build.features
        good = request.kind == SET_FEATURES and not request.value & ~offered
        self._accept(request.value if good else 0)
        if request.kind == GET_FEATURES:
            return 0, struct.pack("<II", offered, self._build.epoch if offered & EPOCH else 0)
        self._need(good)
        return 0, b""

    def _accept(self, features: int) -> None:
        """7, rule 7, and 11.2, rule 8."""
        changed = (self.accepted ^ features) & CREDITS
        self.accepted = features
        if not changed:
            return
        for line in self._lines:
            if line.irq not in _EDGES:
                continue
            line.masked = False
            kept, line.kept = line.kept, None
            if kept:
                self._send_or_keep(line, kept)

    # ---- lines ------------------------------------------------------------------------

    def _line(self, gpio: int) -> Line:
        self._need(gpio < self._build.ngpio)
        return self._lines[gpio]

    def _serve_line(self, request: Request) -> int:
        line, gpio, value = self._line(request.gpio), request.gpio, request.value
        if request.kind == GET_DIRECTION:
            return line.direction
        if request.kind == GET_VALUE:
            self._readable(line)
            return self.pins.read(gpio)
        if request.kind == SET_VALUE:
            self._need(value <= 1)
            self._set_values({gpio: value})
        elif request.kind == SET_DIRECTION:
            self._need(value <= 2)
            self._set_direction(line, gpio, value)
        else:
            self._need(value in (NONE, *_EDGES, *_LEVELS))
            self._set_irq(line, gpio, value)
        return 0

    def _readable(self, line: Line) -> None:
        self._need(not (self._build.strict and line.direction == NONE))

    def _set_values(self, values: dict[int, int]) -> None:
        """4.2 and 11.4: kept, and driven where the line is an output."""
        for gpio, value in values.items():
            self._lines[gpio].value = value
            self._lines[gpio].value_set = True
        self.pins.outputs(
            {gpio: value for gpio, value in values.items() if self._lines[gpio].direction == OUT}
        )

    def _set_direction(self, line: Line, gpio: int, direction: int) -> None:
        if direction == OUT and self._build.strict:
            self._need(line.value_set and line.irq == NONE)
        if direction == NONE:
            self._lines[gpio] = Line()
            self._forget_event(gpio)
            self.pins.output(gpio, FLOAT)
            self.pins.configure(gpio, 0, 0)
            return
        line.direction = direction
        self.pins.output(gpio, line.value if direction == OUT else FLOAT)

    def _forget_event(self, gpio: int) -> None:
        """4.1.6: an event that was not sent yet."""
        self._due = [edge for edge in self._due if edge.line != gpio]

    # ---- interrupts -----------------------------------------------------------------------

    def _streams(self, line: Line) -> bool:
        """11.2: credits instead of the re-arm."""
        return bool(self.accepted & CREDITS) and line.irq in _EDGES

    def _set_irq(self, line: Line, gpio: int, kind: int) -> None:
        if self._build.strict:
            self._need(line.direction != OUT)
            self._need(kind == NONE or line.direction == IN)
            self._need(kind == NONE or line.irq in (NONE, kind))
            if kind == line.irq != NONE:
                self._need(line.masked and not self._streams(line))
        if kind == line.irq:
            if kind != NONE and line.masked and not self._streams(line):
                self._rearm(line, gpio)
            return
        line.irq, line.masked, line.kept = kind, False, None
        line.sequence = line.granted = line.sent = 0
        self._forget_event(gpio)
        self._look(line, gpio)

    def _rearm(self, line: Line, gpio: int) -> None:
        line.masked = False
        kept, line.kept = line.kept, None
        if kept:
            self._send_or_keep(line, kept)
        self._look(line, gpio)

    def _look(self, line: Line, gpio: int) -> None:
        """4.1.5: a level type looks at the pin."""
        level = self.pins.read(gpio)
        if line.irq == (HIGH if level else LOW) and not line.masked:
            self._fire(line, Edge(gpio, level, 0, self.pins.now, late=True))

    def _edge(self, gpio: int, level: int, time: int) -> None:
        """The pin has a new level."""
        line = self._lines[gpio]
        if line.irq in _LEVELS:
            self._look(line, gpio)
        elif line.irq & (RISING if level else FALLING):
            self._fire(line, Edge(gpio, level, 0, time))

    def _fire(self, line: Line, edge: Edge) -> None:
        line.sequence = edge.sequence = (line.sequence + 1) & 0xFFFFFFFF
        if not self.accepted & (CREDITS | TIMESTAMP):
            edge.late = True
        self._send_or_keep(line, edge)

    def _send_or_keep(self, line: Line, edge: Edge) -> None:
        if self._streams(line):
            may = line.kept is None and _ahead(line.granted, line.sent)
            line.sent = (line.sent + may) & 0xFFFFFFFF
        else:
            may = not line.masked
            line.masked = True
        if may:
            self._due.append(edge)
        else:
            line.kept = edge

    def _event(self, edge: Edge) -> bytes:
        """3.2, 3.3 and 11.1, rules 3 and 4: what is late is told as it is when looked at."""
        if edge.late:
            edge.level, edge.time = self.pins.read(edge.line), self.pins.now
            edge.sequence = self._lines[edge.line].sequence
        if not self.accepted & (CREDITS | TIMESTAMP):
            return struct.pack("<BxH" if self._build.padded else "<BH", 1, edge.line)
        record = struct.pack("<BBHI", 1, edge.level | edge.late << 1, edge.line, edge.sequence)
        return record + (struct.pack("<Q", edge.time) if self.accepted & TIMESTAMP else b"")

    # ---- extensions -------------------------------------------------------------------------

    def _serve_extension(self, request: Request) -> tuple[int, bytes]:
        build = self._build
        if request.kind == GET_LINE_NAMES:
            self._need(request.value <= len(build.names))
            return 0, build.names[request.value :][:_PIECE]
        if request.kind == GET_CONFIG:
            size = len(build.names) if build.features & NAMES else 0
            return 0, struct.pack("<HHI32s", build.ngpio, 0, size, build.label)
        if request.kind == GET_EPOCH:
            return 0, struct.pack("<I", build.epoch)
        if request.kind == GET_COUNTERS:
            return 0, struct.pack("<5I", self._requests, self._refused, self._sent, 0, 0)
        if request.kind == GET_TIME:
            return 0, struct.pack("<Q", self.pins.now)
        if request.kind == GRANT_CREDITS:
            return 0, self._grant(request)
        if request.kind == GET_LINE_CAPS:
            self._line(request.gpio)
            body = struct.pack("<II", *self._caps(request.gpio))
            return reply_check(body), body
        self._need(request.value in (0, request_check(request.body)))
        if request.kind == GET_VALUES:
            body = self._get_values(request)
            return reply_check(body), body
        if request.kind == SET_VALUES:
            self._set_bulk(request)
        else:
            self._configure(request)
        return 0, b""

    def _grant(self, request: Request) -> bytes:
        line = self._line(request.gpio)
        self._need(line.irq in _EDGES)
        if _ahead(request.value, line.granted):
            line.granted = request.value
        body = struct.pack("<II", line.granted, line.sent)
        kept, line.kept = line.kept, None
        if kept:
            self._send_or_keep(line, kept)
        return body

    def _window(self, request: Request) -> dict[int, int]:
        """The lines of a mask and their bits in the window; all must exist."""
        self._line(request.gpio)
        (mask,) = struct.unpack_from("<Q", request.body)
        lines = {request.gpio + bit: bit for bit in range(64) if mask >> bit & 1}
        for gpio in lines:
            self._line(gpio)
        return lines

    def _get_values(self, request: Request) -> bytes:
        bits = 0
        for gpio, bit in self._window(request).items():
            self._readable(self._lines[gpio])
            bits |= self.pins.read(gpio) << bit
        return struct.pack("<Q", bits)

    def _set_bulk(self, request: Request) -> None:
        (bits,) = struct.unpack_from("<Q", request.body, 8)
        self._set_values({gpio: bits >> bit & 1 for gpio, bit in self._window(request).items()})

    def _caps(self, gpio: int) -> tuple[int, int]:
        caps = self._build.caps[gpio]
        return caps, self._build.debounce_max_us if caps & _DEBOUNCE else 0

    def _configure(self, request: Request) -> None:
        self._line(request.gpio)
        flags, debounce_us = struct.unpack("<II", request.body)
        caps, longest = self._caps(request.gpio)
        self._need(not flags & ~(caps & ~_DEBOUNCE) and debounce_us <= longest)
        for group in (_PULLS, _DRIVES):
            self._need(sum(bool(flags & flag) for flag in group) <= 1)
        self.pins.configure(request.gpio, flags, debounce_us)
