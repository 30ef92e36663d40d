# SPDX-License-Identifier: BSD-3-Clause
"""Records as lines of text: what each message says, which request a reply answers, what is wrong.

The messages are those of docs/protocol.md; what a decoder finds wrong breaks a rule of it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge import wire
from bridge.trace.record import TraceKind, TraceRecord

__all__ = ["Chip", "Decoder", "Message"]

_REQUEST = struct.Struct("<HHI")
_TAG = struct.Struct("<H")
_LONG = struct.Struct("<Q")
_WORDS = struct.Struct("<II")
_EVENT = struct.Struct("<BBHI")
_EXTENDED_REQUEST = 12
_EXTENDED_REPLY = 8
_PROBE = 0x7FFF
_HIGH, _LATE = 1, 2
_EXTENDED_EVENTS = wire.F_CREDITS | wire.F_TIMESTAMP
# After the beginning, or a loss, for so long a reply may be to a request that was not seen.
_BLIND_NS = 2_000_000_000
_SHOWN_EVENTS = 3

_LEVELS = ("low", "high")
_DIRECTIONS = {wire.DIRECTION_NONE: "none", wire.DIRECTION_OUT: "out", wire.DIRECTION_IN: "in"}
_IRQ_TYPES = {
    wire.IRQ_TYPE_NONE: "none",
    wire.IRQ_TYPE_EDGE_RISING: "rising edge",
    wire.IRQ_TYPE_EDGE_FALLING: "falling edge",
    wire.IRQ_TYPE_EDGE_BOTH: "both edges",
    wire.IRQ_TYPE_LEVEL_HIGH: "level high",
    wire.IRQ_TYPE_LEVEL_LOW: "level low",
}
_SETTINGS = {
    wire.LINE_PULL_UP: "pull-up",
    wire.LINE_PULL_DOWN: "pull-down",
    wire.LINE_BIAS_DISABLE: "bias-disable",
    wire.LINE_OPEN_DRAIN: "open-drain",
    wire.LINE_OPEN_SOURCE: "open-source",
    wire.LINE_DEBOUNCE: "debounce",
}
_OF_LINE = {
    wire.MSG_GET_DIRECTION,
    wire.MSG_SET_DIRECTION,
    wire.MSG_GET_VALUE,
    wire.MSG_SET_VALUE,
    wire.MSG_SET_IRQ_TYPE,
    wire.MSG_GRANT_CREDITS,
    wire.MSG_GET_LINE_CAPS,
    wire.MSG_SET_LINE_CONFIG,
}


class Message(NamedTuple):
    """One line of a trace.

    Attributes:
        time_ns: as the record has it.
        where: the controller, as its chip is called, or the link.
        direction: ``>`` to the firmware, ``<`` from it, ``-`` for what is no message.
        text: what it says.
        tag: of the request or the reply, None without.
        latency_ns: of a reply.
        faults: what is wrong with it, a sentence each.
        again: it was on its way before.
    """

    time_ns: int
    where: str
    direction: str
    text: str
    tag: int | None = None
    latency_ns: int | None = None
    faults: tuple[str, ...] = ()
    again: bool = False


class Chip(NamedTuple):
    """What is behind an address: its name, and those of its lines."""

    name: str
    lines: Sequence[str | None]


class _Request(NamedTuple):
    kind: int
    gpio: int
    value: int
    tag: int
    extended: bool
    time_ns: int
    text: str
    short: str


@dataclass
class _Controller:
    """What is known of one endpoint."""

    tagged: dict[int, _Request] = field(default_factory=dict)
    waiting: deque[_Request] = field(default_factory=deque)
    given_up: dict[int, _Request] = field(default_factory=dict)  # by tag
    lost: bool = False  # finding its place in the stream of replies again
    features: int = 0
    ngpio: int | None = None
    masked: set[int] = field(default_factory=set)
    sequences: dict[int, int] = field(default_factory=dict)
    irq_types: dict[int, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Forget what depends on having seen every message."""
        self.tagged.clear()
        self.waiting.clear()
        self.masked.clear()
        self.sequences.clear()
        self.irq_types.clear()


class Decoder:
    """Decodes the records of any number of links, each in its order.

    Args:
        links: names of the links by number.
        chips: by the name of the link and the address, where they are known; may grow.
    """

    def __init__(
        self, links: Mapping[int, str], chips: Mapping[tuple[str, int], Chip] | None = None
    ) -> None:
        self._links = links
        self._chips = {} if chips is None else chips
        self._channels: dict[tuple[int, int], str] = {}
        self._controllers: dict[tuple[int, int], _Controller] = {}
        self._numbers: dict[int, int] = {}
        self._blind_until: dict[int, int] = {}

    def decode(self, record: TraceRecord) -> Iterator[Message]:
        """The line of a record, after one about what was lost before it."""
        link = self._links.get(record.link, f"link {record.link}")
        yield from self._losses(record, link)
        kind = record.kind
        if kind in (TraceKind.CHANNEL, TraceKind.CHANNEL_GONE):
            yield self._channel(record, link)
        elif kind in (TraceKind.UP, TraceKind.DOWN):
            self._forget(record.link)
            why = record.data.decode("utf-8", "replace")
            down = kind == TraceKind.DOWN
            text = "the link is down" if down else "the link is up"
            yield Message(record.time_ns, link, "-", text, faults=(why,) if down else ())
        elif kind == TraceKind.DAMAGED:
            yield Message(record.time_ns, link, "<", "a frame", faults=("damaged on the line",))
        else:
            yield self._message(record)

    def _losses(self, record: TraceRecord, link: str) -> Iterator[Message]:
        """A line where records are missing; those of channels from before have no number."""
        expected = self._numbers.get(record.link)
        if record.number == 0 and record.kind == TraceKind.CHANNEL:
            return
        if expected is None and record.number:
            self._blind_until[record.link] = record.time_ns + _BLIND_NS
        self._numbers[record.link] = record.number + 1 & 0xFFFFFFFF
        if expected in (None, record.number):
            return
        count = record.number - (expected or 0) & 0xFFFFFFFF
        self._blind_until[record.link] = record.time_ns + _BLIND_NS
        self._forget(record.link)
        text = f"{count} messages were not read in time, and are missing here"
        yield Message(record.time_ns, link, "-", text, faults=("lost",))

    def _forget(self, link: int) -> None:
        """Forget what depends on having seen every message of a link."""
        for (number, _), controller in self._controllers.items():
            if number == link:
                controller.forget()

    def _channel(self, record: TraceRecord, link: str) -> Message:
        name = record.data.decode("ascii", "backslashreplace")
        key = record.link, record.address
        if record.kind == TraceKind.CHANNEL:
            self._channels[key] = name
            text = f"channel {name} is at {record.address:#x}"
        else:
            self._channels.pop(key, None)
            text = f"channel {name} is gone from {record.address:#x}"
        self._controllers.pop(key, None)
        return Message(record.time_ns, link, "-", text)

    def _where(self, record: TraceRecord) -> str:
        """The chip that is behind an address, as far as its channel's name tells."""
        link = self._links.get(record.link, f"link {record.link}")
        chip = self._chips.get((link, record.address))
        if chip is not None:
            return chip.name
        name = self._channels.get((record.link, record.address))
        index = wire.channel_index(name) if name is not None else None
        return f"{link}@{record.address:#x}" if index is None else f"{link}-{index}"

    def _message(self, record: TraceRecord) -> Message:
        controller = self._controllers.setdefault((record.link, record.address), _Controller())
        where = self._where(record)
        if record.kind in (TraceKind.SENT, TraceKind.RECEIVED):
            controller.features = record.features
        if record.kind in (TraceKind.SENT, TraceKind.SENT_AGAIN):
            return self._sent(record, controller, where)
        if record.kind == TraceKind.TIMEOUT:
            return self._timeout(record, controller, where)
        if record.kind == TraceKind.REPEATED:
            text = "a message that had come already" + _hex(record.data)
            return Message(record.time_ns, where, "<", text, again=True)
        return self._received(record, controller, where)

    # ---- requests -----------------------------------------------------------

    def _request(self, record: TraceRecord) -> _Request | None:
        data = record.data
        if len(data) < _REQUEST.size:
            return None
        kind, gpio, value = _REQUEST.unpack_from(data)
        extended = len(data) >= _EXTENDED_REQUEST
        tag = _TAG.unpack_from(data, _REQUEST.size)[0] if extended else 0
        text = self._says(kind, gpio, value, data[_EXTENDED_REQUEST:], record)
        line = f" {self._line(gpio, record)}" if kind in _OF_LINE else ""
        short = "probe" if kind == _PROBE else f"{wire.message_name(kind)}{line}"
        return _Request(kind, gpio, value, tag, extended, record.time_ns, text, short)

    def _line(self, gpio: int, record: TraceRecord) -> str:
        chip = self._chips.get((self._links.get(record.link, ""), record.address))
        name = chip.lines[gpio] if chip is not None and gpio < len(chip.lines) else None
        return f'line {gpio} "{name}"' if name else f"line {gpio}"

    def _says(self, kind: int, gpio: int, value: int, body: bytes, record: TraceRecord) -> str:
        """A request in words."""
        if kind == _PROBE:
            return "probe: a type that nobody knows"
        text = wire.message_name(kind)
        if kind in _OF_LINE:
            text += f" {self._line(gpio, record)}"
        if kind == wire.MSG_SET_VALUE:
            text += f" {_word(_LEVELS, value)}"
        elif kind == wire.MSG_SET_DIRECTION:
            text += f" {_DIRECTIONS.get(value, value)}"
        elif kind == wire.MSG_SET_IRQ_TYPE:
            text += f" {_IRQ_TYPES.get(value, value)}"
        elif kind in (wire.MSG_GET_FEATURES, wire.MSG_SET_FEATURES):
            text += f" {_features(value)}"
        elif kind == wire.MSG_GET_LINE_NAMES:
            text += f" from byte {value}"
        elif kind == wire.MSG_GRANT_CREDITS:
            text += f" {value} in all"
        elif kind == wire.MSG_GET_VALUES and len(body) >= _LONG.size:
            text += f" of lines {_masked(gpio, body)}"
        elif kind == wire.MSG_SET_VALUES and len(body) >= 2 * _LONG.size:
            text += f" {_masked(gpio, body, body[_LONG.size :])}"
        elif kind == wire.MSG_SET_LINE_CONFIG and len(body) >= _WORDS.size:
            flags, debounce_us = _WORDS.unpack_from(body)
            text += f" {_settings(flags)}" + (f", debounce {debounce_us} us" if debounce_us else "")
        return text

    def _sent(self, record: TraceRecord, controller: _Controller, where: str) -> Message:
        request = self._request(record)
        again = record.kind == TraceKind.SENT_AGAIN
        if request is None:
            return Message(record.time_ns, where, ">", "raw" + _hex(record.data), again=again)
        if not again:
            self._expect(request, controller)
        tag = request.tag if request.extended and record.features & wire.F_TAG else None
        return Message(record.time_ns, where, ">", request.text, tag, again=again)

    @staticmethod
    def _expect(request: _Request, controller: _Controller) -> None:
        if request.kind == wire.MSG_GET_FEATURES:
            controller.forget()
        if controller.lost and request.kind not in (_PROBE, wire.MSG_GET_DIRECTION):
            controller.lost = False
            controller.waiting.clear()
        if request.tag:
            controller.given_up.pop(request.tag, None)
            controller.tagged[request.tag] = request
        else:
            controller.waiting.append(request)

    def _timeout(self, record: TraceRecord, controller: _Controller, where: str) -> Message:
        request = self._request(record)
        text, latency, tag = "no reply", None, None
        if request is not None:
            text = f"no reply to {request.text}"
            sent = controller.tagged.pop(request.tag, None)
            if request.tag:
                controller.given_up[request.tag] = request
                tag = request.tag
            elif controller.waiting:
                sent = controller.waiting.popleft()
                controller.waiting.clear()
                controller.lost = True
            latency = record.time_ns - sent.time_ns if sent is not None else None
        return Message(record.time_ns, where, "-", text, tag, latency, ("timeout",))

    # ---- what the firmware says ----------------------------------------------

    def _received(self, record: TraceRecord, controller: _Controller, where: str) -> Message:
        data = record.data
        queue = data[0] if data else None
        if queue == wire.QUEUE_REQUEST:
            return self._reply(record, controller, where)
        if queue == wire.QUEUE_EVENT:
            return self._events(record, controller, where)
        what = f"byte 0 is {queue}, no queue" if data else "an empty message"
        return Message(record.time_ns, where, "<", "raw" + _hex(data), faults=(what,))

    def _reply(self, record: TraceRecord, controller: _Controller, where: str) -> Message:
        data = record.data
        extended = len(data) >= _EXTENDED_REPLY
        if not extended and len(data) not in (3, 4):
            fault = f"a reply of {len(data)} bytes: it has 3, 4, or 8 and more"
            return Message(record.time_ns, where, "<", "reply" + _hex(data), faults=(fault,))
        status, value = data[-2:] if not extended else data[2:4]
        tag = _TAG.unpack_from(data, 4)[0] if extended else 0
        body = data[_EXTENDED_REPLY:] if extended else b""
        faults: list[str] = []
        request = self._answered(record, controller, tag, extended, faults)
        word = "OK" if status == wire.STATUS_OK else "ERR"
        if status not in (wire.STATUS_OK, wire.STATUS_ERR):
            faults.append(f"status {status} is neither OK nor ERR")
        if status != wire.STATUS_OK and body:
            faults.append("a reply with ERR has no body")
        if request is None:
            text = f"{word}, value {value}"
            return Message(record.time_ns, where, "<", text, tag or None, None, tuple(faults))
        if request.extended and not extended and controller.features & wire.F_TAG:
            faults.append("in baseline form: the firmware has forgotten what was negotiated")
        if status == wire.STATUS_OK:
            word += self._answer(request, value, body, controller, faults)
        elif status == wire.STATUS_ERR and request.kind != _PROBE:
            faults.append("refused")
        latency = record.time_ns - request.time_ns
        text = f"{word} ({request.short})"
        return Message(record.time_ns, where, "<", text, tag or None, latency, tuple(faults))

    def _answered(
        self,
        record: TraceRecord,
        controller: _Controller,
        tag: int,
        extended: bool,
        faults: list[str],
    ) -> _Request | None:
        """The request that a reply answers."""
        if tag:
            request = controller.tagged.pop(tag, None)
            if request is None and tag in controller.given_up:
                late = controller.given_up.pop(tag)
                faults.append("late: the request was given up")
                return late
        elif controller.waiting:
            request = controller.waiting.popleft()
        elif not extended and controller.tagged:
            # A request with a tag, answered as if there were none.
            request = controller.tagged.pop(next(iter(controller.tagged)))
        else:
            request = None
        seen = record.time_ns >= self._blind_until.get(record.link, 0)
        if request is None and seen and not controller.lost:
            faults.append("answers no request")
        return request

    def _answer(
        self,
        request: _Request,
        value: int,
        body: bytes,
        controller: _Controller,
        faults: list[str],
    ) -> str:
        """What an OK says, in words that follow it."""
        kind = request.kind
        if kind == wire.MSG_GET_VALUE:
            if value > 1:
                faults.append(f"value {value} is neither low nor high")
            return f" {_word(_LEVELS, value)}"
        if kind == wire.MSG_GET_DIRECTION:
            if value not in _DIRECTIONS:
                faults.append(f"value {value} is no direction")
            return f" {_DIRECTIONS.get(value, value)}"
        if kind == wire.MSG_SET_IRQ_TYPE:
            controller.masked.discard(request.gpio)
            if controller.irq_types.get(request.gpio) != request.value:
                controller.sequences.pop(request.gpio, None)
            controller.irq_types[request.gpio] = request.value
        elif kind == wire.MSG_SET_DIRECTION and request.value == wire.DIRECTION_NONE:
            controller.irq_types.pop(request.gpio, None)
        elif kind == wire.MSG_SET_FEATURES:
            controller.sequences.clear()
        return self._body(request, value, body, controller, faults)

    @staticmethod
    def _body(
        request: _Request,
        value: int,
        body: bytes,
        controller: _Controller,
        faults: list[str],
    ) -> str:
        kind = request.kind
        if kind in (wire.MSG_GET_VALUES, wire.MSG_GET_LINE_CAPS) and not wire.fits_check(
            body, value
        ):
            faults.append("the body does not fit its check")
        try:
            if kind == wire.MSG_GET_FEATURES:
                offered, epoch = wire.parse_features(body)
                return f" offers {_features(offered)}, epoch {epoch:#x}"
            if kind == wire.MSG_GET_CONFIG:
                config = wire.parse_config(body)
                controller.ngpio = config.ngpio
                return f' {config.ngpio} lines, label "{config.label}"'
            if kind == wire.MSG_GET_EPOCH:
                return f" epoch {struct.unpack_from('<I', body)[0]:#x}"
            if kind == wire.MSG_GRANT_CREDITS:
                granted, sent = _WORDS.unpack_from(body)
                return f" granted {granted}, sent {sent}"
            if kind == wire.MSG_GET_TIME:
                return f" {_LONG.unpack_from(body)[0] / 1e9:.9f} s"
            if kind == wire.MSG_GET_COUNTERS:
                counters = wire.parse_counters(body)
                return f" {', '.join(f'{name} {count}' for name, count in counters.items())}"
            if kind == wire.MSG_GET_VALUES:
                return f" high: {_masked(request.gpio, body) or 'none'}"
            if kind == wire.MSG_GET_LINE_CAPS:
                flags, longest = wire.parse_line_caps(body, 0)  # the check is above
                return f" {_settings(flags)}, at most {longest} us"
        except struct.error:
            faults.append(f"a body of {len(body)} bytes is too short")
        except OSError as error:
            faults.append(str(error.strerror))
        return f" {len(body)} bytes" if body else ""

    def _events(self, record: TraceRecord, controller: _Controller, where: str) -> Message:
        data = record.data
        faults: list[str] = []
        extended = record.features & _EXTENDED_EVENTS
        size = 16 if record.features & wire.F_TIMESTAMP else 8
        if not extended and len(data) in (3, 4):
            gpio = _TAG.unpack_from(data, len(data) - 2)[0]
            self._check_line(gpio, controller, faults)
            if gpio in controller.masked:
                faults.append("a second event before the line was armed again")
            controller.masked.add(gpio)
            text = f"EVENT {self._line(gpio, record)}"
            return Message(record.time_ns, where, "<", text, faults=tuple(faults))
        if not extended or len(data) % size:
            form = f"records of {size} bytes" if extended else "3 or 4 bytes"
            faults.append(f"an event of {len(data)} bytes: it has {form}")
            return Message(record.time_ns, where, "<", "EVENT" + _hex(data), faults=tuple(faults))
        shown: list[str] = []
        for at in range(0, len(data), size):
            _, flags, gpio, sequence = _EVENT.unpack_from(data, at)
            self._check_event(flags, gpio, sequence, controller, faults)
            if len(shown) < _SHOWN_EVENTS:
                level, late = _LEVELS[flags & _HIGH], " late" if flags & _LATE else ""
                time = f" at {_LONG.unpack_from(data, at + 8)[0] / 1e9:.9f} s" if size == 16 else ""
                shown.append(f"{self._line(gpio, record)} {level} #{sequence}{time}{late}")
        count = len(data) // size
        more = f"; and {count - len(shown)} more" if count > len(shown) else ""
        text = f"{'EVENT' if count == 1 else f'{count} EVENTS'} {'; '.join(shown)}{more}"
        return Message(record.time_ns, where, "<", text, faults=tuple(dict.fromkeys(faults)))

    @staticmethod
    def _check_line(gpio: int, controller: _Controller, faults: list[str]) -> None:
        if controller.ngpio is not None and gpio >= controller.ngpio:
            faults.append(f"line {gpio} is not there: there are {controller.ngpio}")

    def _check_event(
        self, flags: int, gpio: int, sequence: int, controller: _Controller, faults: list[str]
    ) -> None:
        self._check_line(gpio, controller, faults)
        if flags & ~(_HIGH | _LATE):
            faults.append(f"flags {flags:#x} of line {gpio} are not defined")
        last = controller.sequences.get(gpio)
        if last is not None and not 0 < (sequence - last & 0xFFFFFFFF) < 1 << 31:
            faults.append(f"number {sequence} of line {gpio} is not ahead of {last}")
        elif last is not None and sequence - last & 0xFFFFFFFF > 1:
            faults.append(f"{(sequence - last & 0xFFFFFFFF) - 1} edges of line {gpio} are missing")
        controller.sequences[gpio] = sequence


def _hex(data: bytes) -> str:
    """Bytes for people, after a colon."""
    return f": {data[:32].hex(' ')}{' ...' if len(data) > 32 else ''}" if data else ""


def _word(words: Sequence[str], value: int) -> str:
    return words[value] if value < len(words) else str(value)


def _features(mask: int) -> str:
    unknown = mask & ~wire.ALL_FEATURES
    names = wire.feature_names(mask) + ([f"{unknown:#x}"] if unknown else [])
    return "+".join(names) or "none"


def _settings(flags: int) -> str:
    return "+".join(word for bit, word in _SETTINGS.items() if flags & bit) or "none"


def _masked(first: int, mask: bytes, bits: bytes | None = None) -> str:
    """The lines of a mask, with their values where there are some."""
    chosen = _LONG.unpack_from(mask)[0]
    lines = [at for at in range(64) if chosen >> at & 1]
    if bits is None:
        return ",".join(str(first + at) for at in lines)
    values = _LONG.unpack_from(bits)[0]
    return " ".join(f"{first + at}={values >> at & 1}" for at in lines)
