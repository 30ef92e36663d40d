# SPDX-License-Identifier: BSD-3-Clause
"""A driver that takes nothing for granted, with which checks speak to firmware."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.conformance.check import Failed, Silent
from bridge.conformance.wait import Wait
from bridge.conformance.wire import Wire
from bridge.shim.ffi import lib

GET_LINE_NAMES = lib.VIRTIO_GPIO_MSG_GET_LINE_NAMES
GET_DIRECTION = lib.VIRTIO_GPIO_MSG_GET_DIRECTION
SET_DIRECTION = lib.VIRTIO_GPIO_MSG_SET_DIRECTION
GET_VALUE = lib.VIRTIO_GPIO_MSG_GET_VALUE
SET_VALUE = lib.VIRTIO_GPIO_MSG_SET_VALUE
SET_IRQ_TYPE = lib.VIRTIO_GPIO_MSG_SET_IRQ_TYPE
GET_FEATURES = lib.RPMSG_GPIO_MSG_GET_FEATURES
SET_FEATURES = lib.RPMSG_GPIO_MSG_SET_FEATURES
GET_CONFIG = lib.RPMSG_GPIO_MSG_GET_CONFIG
GET_EPOCH = lib.RPMSG_GPIO_MSG_GET_EPOCH
GRANT_CREDITS = lib.RPMSG_GPIO_MSG_GRANT_CREDITS
GET_TIME = lib.RPMSG_GPIO_MSG_GET_TIME
GET_VALUES = lib.RPMSG_GPIO_MSG_GET_VALUES
SET_VALUES = lib.RPMSG_GPIO_MSG_SET_VALUES
GET_LINE_CAPS = lib.RPMSG_GPIO_MSG_GET_LINE_CAPS
SET_LINE_CONFIG = lib.RPMSG_GPIO_MSG_SET_LINE_CONFIG
GET_COUNTERS = lib.RPMSG_GPIO_MSG_GET_COUNTERS

NONE, OUT, IN = (
    lib.VIRTIO_GPIO_DIRECTION_NONE,
    lib.VIRTIO_GPIO_DIRECTION_OUT,
    lib.VIRTIO_GPIO_DIRECTION_IN,
)
IRQ_NONE = lib.VIRTIO_GPIO_IRQ_TYPE_NONE
RISING, FALLING = lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING, lib.VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING
BOTH, HIGH, LOW = RISING | FALLING, 4, 8  # virtio 5.18.6

UNKNOWN = 0x7FFF
"""The type that nobody defines (docs/protocol.md 6.2)."""

FEATURES = {
    name: getattr(lib, f"RPMSG_GPIO_F_{name}")
    for name in (
        *("CONFIG", "NAMES", "TAG", "EPOCH"),
        *("CREDITS", "TIMESTAMP", "BULK", "LINE_CONFIG", "COUNTERS"),
    )
}

TYPES = {
    number: name
    for name, number in {
        "GET_LINE_NAMES": GET_LINE_NAMES,
        "GET_DIRECTION": GET_DIRECTION,
        "SET_DIRECTION": SET_DIRECTION,
        "GET_VALUE": GET_VALUE,
        "SET_VALUE": SET_VALUE,
        "SET_IRQ_TYPE": SET_IRQ_TYPE,
        "GET_FEATURES": GET_FEATURES,
        "SET_FEATURES": SET_FEATURES,
        "GET_CONFIG": GET_CONFIG,
        "GET_EPOCH": GET_EPOCH,
        "GRANT_CREDITS": GRANT_CREDITS,
        "GET_TIME": GET_TIME,
        "GET_VALUES": GET_VALUES,
        "SET_VALUES": SET_VALUES,
        "GET_LINE_CAPS": GET_LINE_CAPS,
        "SET_LINE_CONFIG": SET_LINE_CONFIG,
        "GET_COUNTERS": GET_COUNTERS,
    }.items()
}

REQUEST = struct.Struct("<HHI")
_EXTENDED = struct.Struct("<HHIHH")
_HEAD = struct.Struct("<BBBBHH")
_RECORD = struct.Struct("<BBHI")
_ROUNDS = 5
_PATIENCE = 3  # in timeouts: the wait for the answer to what is asked after silence


class Reply(NamedTuple):
    """A reply, taken apart; `form` is 3 or 4 (baseline) or 8 (extended)."""

    data: bytes
    form: int
    status: int
    value: int
    tag: int
    epoch: int
    body: bytes
    took_ns: int


class Event(NamedTuple):
    """An event; all but `gpio` is 0 or None in the baseline's form."""

    gpio: int
    high: bool | None = None
    sequence: int = 0
    timestamp: int = 0


@dataclass
class Firmware:
    """What is known of the firmware before the checks run."""

    channel: str = ""
    features: int = 0
    """RPMSG_GPIO_F_* that it offers and we know."""
    epoch: int = 0
    ngpio: int = 0
    label: str = ""
    names: list[str] = field(default_factory=list)
    form: int = 0
    early: list[bytes] = field(default_factory=list)
    """Messages that came before our first one."""
    strays: int = 0
    """Messages that came before we had an endpoint for them."""


def hexed(data: bytes) -> str:
    """Bytes as the document writes them."""
    return data[:24].hex(" ") + (" ..." if len(data) > 24 else "")


def request(kind: int, gpio: int = 0, value: int = 0) -> bytes:
    """A request of 8 bytes."""
    return REQUEST.pack(kind, gpio, value)


def extended(kind: int, gpio: int = 0, value: int = 0, body: bytes = b"", tag: int = 0) -> bytes:
    """A request of 12 bytes and a body."""
    return _EXTENDED.pack(kind, gpio, value, tag, 0) + body


_WORD = (request(GET_DIRECTION), request(UNKNOWN), request(UNKNOWN))
"""Probes of 6.2, answered OK, ERR, ERR by any firmware."""


def parse_reply(data: bytes, took_ns: int = 0) -> Reply:
    """Take a reply apart. Raises Failed for a length that no reply has."""
    if len(data) in (3, 4):
        status, value = data[-2:]
        return Reply(data, len(data), status, value, 0, 0, b"", took_ns)
    if len(data) >= _HEAD.size:
        _, _, status, value, tag, epoch = _HEAD.unpack_from(data)
        return Reply(data, 8, status, value, tag, epoch, data[_HEAD.size :], took_ns)
    raise Failed(
        f"the reply `{hexed(data)}` has {len(data)} bytes; 3, 4, or 8 and more are possible"
    )


class Driver:
    """The driver's side of one controller, for checks.

    Args:
        wire: where it is.
        timeout_ms: of a reply, and of an event that must come.
        settle_ms: how long to watch that nothing comes.

    Attributes:
        firmware: what is known of it.
        driven: lines that may be driven, their direction, value and interrupt changed.
        loops: pairs of them, output and input, with a wire in between.
        events: those that came and were not looked at.
        kind: "lenient" or "strict" as section 5 means it, once it is known.
    """

    def __init__(self, wire: Wire, timeout_ms: int, settle_ms: int) -> None:
        self.firmware = Firmware(wire.channel)
        self.driven: Sequence[int] = ()
        self.loops: Sequence[tuple[int, int]] = ()
        self.events: deque[Event] = deque()
        self.kind = "unknown"
        self.timeout_ms = timeout_ms
        self._wire = wire
        self._settle_s = settle_ms / 1000
        self._replies: deque[tuple[bytes, int]] = deque()
        self._accepted = 0
        self._touched: set[int] = set()

    # ---- messages -------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """Send a message as it is. Raises OSError EMSGSIZE when the link has no such length."""
        self._wire.send(message, self._timeout())

    def _timeout(self) -> Wait:
        return Wait(self.timeout_ms / 1000)

    def _read(self, wait: Wait) -> bool:
        """Take one message in; False when the time passes."""
        message = self._wire.receive(wait)
        if message is None:
            return False
        data = message.data
        if data[:1] == b"\0":
            self._replies.append((data, message.arrival_ns))
        elif data[:1] == b"\1":
            self.events.extend(self._parse_events(data))
        else:
            raise Failed(f"the message `{hexed(data)}` begins with neither 0 nor 1")
        return True

    def _parse_events(self, data: bytes) -> list[Event]:
        if not self._accepted & (FEATURES["CREDITS"] | FEATURES["TIMESTAMP"]):
            if len(data) not in (3, 4):
                raise Failed(f"the event `{hexed(data)}` has {len(data)} bytes, not 3 or 4")
            events = [Event(int.from_bytes(data[-2:], "little"))]
        else:
            events = self._parse_records(data)
        for event in events:
            if self.firmware.ngpio and event.gpio >= self.firmware.ngpio:
                raise Failed(
                    f"an event names line {event.gpio}; there are {self.firmware.ngpio} lines"
                )
        return events

    def _parse_records(self, data: bytes) -> list[Event]:
        timed = bool(self._accepted & FEATURES["TIMESTAMP"])
        size = 16 if timed else 8
        if len(data) % size or len(data) > lib.RPMSG_GPIO_MESSAGE_MAX:
            raise Failed(
                f"a message of events has {len(data)} bytes; a record has {size}, "
                f"a message at most {lib.RPMSG_GPIO_MESSAGE_MAX}"
            )
        events = []
        for at in range(0, len(data), size):
            queue, flags, gpio, sequence = _RECORD.unpack_from(data, at)
            if queue != 1 or flags & ~3:
                raise Failed(f"the event `{hexed(data[at : at + size])}` has queue or flags wrong")
            stamp = int.from_bytes(data[at + 8 : at + size], "little") if timed else 0
            events.append(Event(gpio, bool(flags & 1), sequence, stamp))
        return events

    def reply(self, what: str, sent_ns: int = 0) -> Reply:
        """The next reply. Raises Silent when it does not come within the timeout."""
        wait = self._timeout()
        while not self._replies:
            if not self._read(wait):
                raise Silent(f"no reply to {what} within {self.timeout_ms} ms{wait.excuse}")
        data, arrival_ns = self._replies.popleft()
        return parse_reply(data, arrival_ns - sent_ns)

    def ask(self, message: bytes, what: str = "", once: bool = False) -> Reply:
        """Send a message and return its reply.

        Args:
            message: the request.
            what: what a complaint calls it.
            once: do not ask again after silence.

        Raises:
            Failed: no reply, a senseless one, or one too many before.
        """
        self._take_in()
        if self._replies:
            raise Failed(f"`{hexed(self._replies[0][0])}` came, a reply to no request")
        sent_ns = time.monotonic_ns()
        self.send(message)
        what = what or f"`{hexed(message)}`"
        try:
            reply = self.reply(what, sent_ns)
        except Silent as silence:
            if once:
                raise
            reply = self._late_reply(what, sent_ns, silence)
        if reply.status not in (0, 1):
            raise Failed(f"the reply `{hexed(reply.data)}` has a status that is neither 0 nor 1")
        return reply

    def _late_reply(self, what: str, sent_ns: int, silence: Silent) -> Reply:
        """Ask once more (docs/protocol.md 6.2), to tell a late reply from none.

        Replies come in order, so a later request is answered later. The reply of a busy host is
        found here, and a request that got none fails for a reason that does not depend on any
        clock.
        """
        replies: list[tuple[bytes, int]] = []
        wait = Wait(_PATIENCE * self.timeout_ms / 1000)
        for probe in _WORD:
            self.send(probe)
            self._take_reply(replies, wait, silence)
        while not self._is_word(replies):
            if len(replies) > len(_WORD):
                raise silence
            self._take_reply(replies, wait, silence)
        if len(replies) == len(_WORD):
            raise Failed(f"no reply to {what}, though what was asked after it is answered")
        data, arrival_ns = replies[0]
        return parse_reply(data, arrival_ns - sent_ns)

    def _take_reply(self, replies: list[tuple[bytes, int]], wait: Wait, silence: Silent) -> None:
        while not self._replies:
            if not self._read(wait):
                raise Silent(f"{silence}, and none to what was asked after it{wait.excuse}")
        replies.append(self._replies.popleft())

    @staticmethod
    def _is_word(replies: Sequence[tuple[bytes, int]]) -> bool:
        """Whether the last ones are those to `_WORD`: OK, ERR, ERR."""
        return [parse_reply(data).status for data, _ in replies[-len(_WORD) :]] == [0, 1, 1]

    def _take_in(self) -> None:
        while self._read(Wait(0)):
            pass

    def expect_ok(self, message: bytes, what: str) -> Reply:
        """Ask; raises Failed unless the status is OK."""
        reply = self.ask(message, what)
        if reply.status:
            raise Failed(f"{what} is answered by ERR (`{hexed(reply.data)}`), not by OK")
        return reply

    def expect_error(self, message: bytes, what: str) -> Reply:
        """Ask; raises Failed unless the status is ERR."""
        reply = self.ask(message, what)
        if not reply.status:
            raise Failed(f"{what} is answered by OK (`{hexed(reply.data)}`), not by ERR")
        return reply

    def expect_baseline_error(self, message: bytes, what: str) -> None:
        """Ask; raises Failed unless the reply is ERR in the baseline's form."""
        reply = self.expect_error(message, what)
        if reply.form == 8:
            raise Failed(f"the ERR to {what} has the extended form, `{hexed(reply.data)}`")

    def no_reply(self, what: str) -> None:
        """Watch for a while; raises Failed when a reply comes."""
        self._settle()
        if self._replies:
            raise Failed(f"`{hexed(self._replies[0][0])}` came as a reply to {what}")

    # ---- requests, which must go well --------------------------------------------

    def line(self, kind: int, gpio: int, value: int = 0) -> Reply:
        """A request of 8 bytes for a line, whatever its status."""
        if kind in (SET_DIRECTION, SET_VALUE, SET_IRQ_TYPE):
            self._touched.add(gpio)
        return self.ask(request(kind, gpio, value), self._name(kind, gpio, value))

    def _ok(self, kind: int, gpio: int, value: int = 0) -> int:
        reply = self.line(kind, gpio, value)
        if reply.status:
            raise Failed(f"{self._name(kind, gpio, value)} is answered by ERR, not by OK")
        return reply.value

    @staticmethod
    def _name(kind: int, gpio: int, value: int) -> str:
        name = TYPES.get(kind, f"type {kind:#06x}")
        return f"{name} of line {gpio}" + (f" to {value:#x}" if name.startswith("SET") else "")

    def set_direction(self, gpio: int, direction: int) -> None:
        """SET_DIRECTION, which must be OK."""
        self._ok(SET_DIRECTION, gpio, direction)

    def set_value(self, gpio: int, value: int) -> None:
        """SET_VALUE, which must be OK."""
        self._ok(SET_VALUE, gpio, value)

    def set_irq(self, gpio: int, kind: int) -> None:
        """SET_IRQ_TYPE, which must be OK."""
        self._ok(SET_IRQ_TYPE, gpio, kind)

    def output(self, gpio: int, value: int) -> None:
        """Make a line an output, in the order that strict firmware wants."""
        self.set_value(gpio, value)
        self.set_direction(gpio, OUT)

    def direction(self, gpio: int) -> int:
        """GET_DIRECTION, which must be OK."""
        return self._ok(GET_DIRECTION, gpio)

    def value(self, gpio: int) -> int:
        """GET_VALUE, which must be OK."""
        return self._ok(GET_VALUE, gpio)

    def expect_value(self, gpio: int, value: int, when: str) -> None:
        """GET_VALUE; raises Failed when it is another one."""
        got = self.value(gpio)
        if got != value:
            raise Failed(f"{when} line {gpio} reads {got}, not {value}")

    def call(self, kind: int, gpio: int = 0, value: int = 0, body: bytes = b"") -> Reply:
        """A request in extended form, which must be OK and answered in that form."""
        if kind in (SET_VALUES, SET_LINE_CONFIG):
            self._touched.add(gpio)
        what = self._name(kind, gpio, value)
        reply = self.expect_ok(extended(kind, gpio, value, body), what)
        if reply.form != 8:
            raise Failed(f"the reply to {what} has the baseline form, `{hexed(reply.data)}`")
        return reply

    # ---- features ------------------------------------------------------------------

    def offers(self, name: str) -> bool:
        """Whether the firmware offers a feature; `name` may be A|B."""
        return any(self.firmware.features & FEATURES[word] for word in name.split("|"))

    def accept(self, *names: str) -> None:
        """Accept features and no others; must be OK."""
        features = 0
        for name in names:
            features |= FEATURES[name]
        self.expect_ok(request(SET_FEATURES, 0, features), f"SET_FEATURES {' '.join(names) or 0}")
        self._accepted = features

    # ---- events ---------------------------------------------------------------------

    def event(self, gpio: int, when: str) -> Event:
        """The next event, of this line. Raises Failed when none or another one comes."""
        wait = self._timeout()
        while not self.events and self._read(wait):
            pass
        if not self.events:
            self.ask(request(GET_DIRECTION))  # however late it is: what was sent before came
        if not self.events:
            raise Failed(f"no event {when} within {self.timeout_ms} ms{wait.excuse}")
        event = self.events.popleft()
        if event.gpio != gpio:
            raise Failed(f"an event of line {event.gpio} {when}, not of line {gpio}")
        return event

    def no_event(self, when: str) -> None:
        """Watch for a while; raises Failed when an event comes."""
        wait = Wait(self._settle_s)
        while not self.events and self._read(wait):
            pass
        # However late the reply to this is, what was sent before it comes before it.
        self.ask(request(GET_DIRECTION))
        if self.events:
            raise Failed(f"an event of line {self.events[0].gpio} {when}")

    def forget_events(self) -> None:
        """Watch for a while and drop what comes."""
        self._settle()
        self.events.clear()

    def _settle(self) -> None:
        wait = Wait(self._settle_s)
        while self._read(wait):
            pass

    # ---- between checks --------------------------------------------------------------

    def listen(self) -> list[bytes]:
        """Messages that come before we said anything."""
        early: list[bytes] = []
        self.firmware.strays = self._wire.strays
        wait = Wait(self._settle_s)
        while (message := self._wire.receive(wait)) is not None:
            early.append(message.data)
        return early

    def resync(self) -> None:
        """Get in step (docs/protocol.md 6.2): a reply to each of the probes, no more.

        Raises:
            Failed: not after several rounds.
        """
        for _ in range(_ROUNDS):
            self._drop()
            try:
                word = [self.ask(probe, once=True).status for probe in _WORD]
            except Failed:
                continue
            if word == [0, 1, 1]:
                return
        raise Failed(
            "the firmware does not answer GET_DIRECTION of line 0 by OK and type 0x7fff by ERR"
        )

    def _drop(self) -> None:
        wait = Wait(self._settle_s)
        while self._wire.receive(wait) is not None:
            pass
        self._replies.clear()
        self.events.clear()

    def reset(self, failed: bool = False) -> None:
        """No features accepted, the lines that were used NONE, nothing under way.

        Args:
            failed: after a check that failed, replies may be missing or be too many.

        Raises:
            Failed: the firmware cannot be brought there.
        """
        if failed:
            self.resync()
        if self.firmware.features:
            self.ask(request(GET_FEATURES))
            self.ask(request(SET_FEATURES))
        self._accepted = 0
        for gpio in sorted(self._touched):
            # A strict device refuses this for an output; NONE then ends the interrupt.
            self.ask(request(SET_IRQ_TYPE, gpio, IRQ_NONE))
            self.ask(request(SET_DIRECTION, gpio, NONE))
        self._touched.clear()
        self._take_in()
        self.events.clear()

    @property
    def touched(self) -> bool:
        """Whether there are lines that a reset would bring to NONE."""
        return bool(self._touched)

    def touch(self, lines: Sequence[int]) -> None:
        """Let the next reset bring these lines to NONE."""
        self._touched.update(lines)
