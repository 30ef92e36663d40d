# SPDX-License-Identifier: BSD-3-Clause
"""CONFIG, NAMES, EPOCH, and section 11. Some need lines to drive, or a loop."""

from __future__ import annotations

import struct

from bridge.conformance.check import Failed, check
from bridge.conformance.driver import (
    BOTH,
    GET_CONFIG,
    GET_DIRECTION,
    GET_EPOCH,
    GET_LINE_CAPS,
    GET_LINE_NAMES,
    GET_TIME,
    GET_VALUE,
    GET_VALUES,
    GRANT_CREDITS,
    HIGH,
    IN,
    IRQ_NONE,
    NONE,
    SET_LINE_CONFIG,
    SET_VALUES,
    Driver,
    Reply,
    extended,
)
from bridge.shim.ffi import lib

_CONFIG = struct.Struct("<HHI32s")
_WINDOW = 64  # RPMSG_GPIO_BULK_LINES
_CAPS = 0x3F
_PULL_UP, _PULL_DOWN = lib.RPMSG_GPIO_LINE_PULL_UP, lib.RPMSG_GPIO_LINE_PULL_DOWN
_DEBOUNCE = lib.RPMSG_GPIO_LINE_DEBOUNCE
_SINGLE = (1, 2, 4, 8, 16)


def _body(reply: Reply, size: int, what: str) -> bytes:
    if len(reply.body) != size:
        raise Failed(f"the body of the reply to {what} has {len(reply.body)} bytes, not {size}")
    return reply.body


# ---- CONFIG, NAMES, EPOCH ------------------------------------------------------------


@check("config", "GET_CONFIG has all its fields, and they are true", "P 9.1, V 5.18.6",
       needs="CONFIG")  # fmt: skip
def _config(d: Driver) -> None:
    d.accept("CONFIG")
    body = _body(d.call(GET_CONFIG), _CONFIG.size, "GET_CONFIG")
    ngpio, padding, names_size, label = _CONFIG.unpack(body)
    if padding:
        raise Failed(f"the padding is {padding:#06x}, not 0")
    if not ngpio:
        raise Failed("ngpio is 0; at least 1 line is needed")
    if bool(names_size) != d.offers("NAMES"):
        raise Failed(f"gpio_names_size is {names_size}, NAMES is offered: {d.offers('NAMES')}")
    text, _, rest = label.partition(b"\0")
    if any(rest) or not text.isascii():
        raise Failed(f"the label {label!r} is not 7-bit ASCII filled up with NUL")
    if d.line(GET_DIRECTION, ngpio - 1).status:
        raise Failed(f"ngpio is {ngpio}, but there is no line {ngpio - 1}")


def _names_block(d: Driver) -> bytes:
    block = b""
    while len(block) < 1 << 20:
        piece = d.call(GET_LINE_NAMES, 0, len(block)).body
        block += piece
        if len(piece) < lib.RPMSG_GPIO_NAMES_PIECE:
            break
    return block


@check("names", "The names are complete, closed by NUL, ASCII, unique, and stay",
       "P 9.2, V 5.18.6", needs="NAMES")  # fmt: skip
def _names(d: Driver) -> None:
    d.accept("NAMES")
    block = _names_block(d)
    strings = block.split(b"\0")
    if strings.pop():
        raise Failed("the last name has no NUL")
    if len(strings) != d.firmware.ngpio:
        raise Failed(f"there are {len(strings)} names for {d.firmware.ngpio} lines")
    named = [string for string in strings if string]
    for string in named:
        if not string.isascii():
            raise Failed(f"the name {string!r} is not 7-bit ASCII")
        if named.count(string) > 1:
            raise Failed(f"the name {string!r} is there {named.count(string)} times")
    if d.offers("CONFIG"):
        d.accept("NAMES", "CONFIG")
        size = _CONFIG.unpack(_body(d.call(GET_CONFIG), _CONFIG.size, "GET_CONFIG"))[2]
        if size != len(block):
            raise Failed(f"gpio_names_size is {size}; the names have {len(block)} bytes")
    if d.call(GET_LINE_NAMES, 0, len(block)).body:
        raise Failed("an offset equal to the size of the names is not answered by no bytes")
    d.expect_error(extended(GET_LINE_NAMES, 0, len(block) + 1), "an offset beyond the names")
    if _names_block(d) != block:
        raise Failed("the names have changed from one reading to the next")


@check("epoch", "The epoch is the same everywhere", "P 9.3", needs="EPOCH")
def _epoch(d: Driver) -> None:
    d.accept("EPOCH")
    reply = d.call(GET_EPOCH)
    epoch = int.from_bytes(_body(reply, 4, "GET_EPOCH"), "little")
    if epoch != d.firmware.epoch:
        raise Failed(f"GET_EPOCH tells {epoch:#x}, GET_FEATURES {d.firmware.epoch:#x}")
    if reply.epoch != epoch & 0xFFFF:
        raise Failed(f"the head has epoch {reply.epoch:#06x}, not {epoch & 0xFFFF:#06x}")
    if d.offers("CONFIG"):
        d.accept("CONFIG")
        if d.call(GET_CONFIG).epoch:
            raise Failed("the head has an epoch, though EPOCH is not accepted")


# ---- TIMESTAMP and CREDITS ---------------------------------------------------------------


def _time(d: Driver) -> int:
    return int.from_bytes(_body(d.call(GET_TIME), 8, "GET_TIME"), "little")


def _grant(d: Driver, gpio: int, granted: int) -> tuple[int, int]:
    """Granted and sent, as the device has them."""
    body = _body(d.call(GRANT_CREDITS, gpio, granted), 8, "GRANT_CREDITS")
    granted, sent = struct.unpack("<II", body)
    return granted, sent


@check("time", "The clock does not go back", "P 11.3", needs="TIMESTAMP")
def _clock(d: Driver) -> None:
    d.accept("TIMESTAMP")
    times = [_time(d) for _ in range(50)]
    if times != sorted(times):
        raise Failed(f"GET_TIME told {max(times)} ns, then less")
    if times[0] == times[-1]:
        raise Failed(f"50 times GET_TIME told {times[0]} ns; the clock stands still")


@check("event-time", "An event has the time of its edge", "P 11.3", needs="TIMESTAMP loop")
def _event_time(d: Driver) -> None:
    d.accept("TIMESTAMP")
    for out, into in d.loops:
        d.output(out, 0)
        d.set_direction(into, IN)
        d.set_irq(into, BOTH)
        for value in (1, 0, 1):
            before = _time(d)
            d.set_value(out, value)
            event = d.event(into, f"at an edge to {value}")
            after = _time(d)
            if not before <= event.timestamp <= after:
                raise Failed(
                    f"the event has timestamp {event.timestamp}; it was {before} before, "
                    f"{after} after the edge"
                )
            d.set_irq(into, BOTH)
        d.set_irq(into, IRQ_NONE)


@check("event-sequence", "Events count the edges from 1, and tell the level", "P 11.1",
       needs="CREDITS|TIMESTAMP loop")  # fmt: skip
def _event_sequence(d: Driver) -> None:
    credits = d.offers("CREDITS")
    d.accept("CREDITS" if credits else "TIMESTAMP")
    for out, into in d.loops:
        d.output(out, 0)
        d.set_direction(into, IN)
        for _ in range(2):  # enabling starts anew
            d.set_value(out, 0)
            d.set_irq(into, BOTH)
            if credits:
                _grant(d, into, 8)
            for number, value in enumerate((1, 0, 1, 0), 1):
                d.set_value(out, value)
                event = d.event(into, f"at an edge to {value}")
                if (event.sequence, event.high) != (number, bool(value)):
                    raise Failed(
                        f"edge {number}, to {value}, is told as number {event.sequence}, "
                        f"{'high' if event.high else 'low'}"
                    )
                if not credits:
                    d.set_irq(into, BOTH)
            d.set_irq(into, IRQ_NONE)


@check("credits", "Events come while there are credits; without, the latest is kept", "P 11.2",
       needs="CREDITS loop")  # fmt: skip
def _credits(d: Driver) -> None:
    d.accept("CREDITS")
    for out, into in d.loops:
        d.output(out, 0)
        d.set_direction(into, IN)
        d.expect_error(extended(GRANT_CREDITS, into, 1), "GRANT_CREDITS without interrupt")
        d.set_irq(into, HIGH)
        d.expect_error(extended(GRANT_CREDITS, into, 1), "GRANT_CREDITS with a level type")
        d.set_irq(into, IRQ_NONE)
        d.set_irq(into, BOTH)
        for value in (1, 0, 1):
            d.set_value(out, value)
        d.no_event("without credits")
        _grant(d, into, 1)
        first = d.event(into, "kept, when credits came")
        d.no_event("beyond the one that was granted")
        for value in (0, 1):
            d.set_value(out, value)
        _grant(d, into, 3)
        kept = d.event(into, "kept, when more credits came")
        if (kept.sequence - first.sequence) & 0xFFFFFFFF != 2:
            raise Failed(f"after number {first.sequence} and 2 edges comes {kept.sequence}")
        d.set_value(out, 0)
        d.event(into, "with a credit left")
        d.set_value(out, 1)
        d.no_event("with all credits used")
        granted, sent = _grant(d, into, 1)
        if (granted, sent) != (3, 3):
            raise Failed(f"a stale grant is answered by granted {granted}, sent {sent}, not 3, 3")
        d.no_event("at a stale grant")
        d.set_irq(into, IRQ_NONE)


# ---- BULK and LINE_CONFIG -----------------------------------------------------------------


def _beyond(d: Driver, first: int) -> int | None:
    """A mask with the line behind the last; None when the window does not reach it."""
    bit = d.firmware.ngpio - first
    return 1 << bit if bit < _WINDOW else None


@check("bulk-read", "GET_VALUES reads as GET_VALUE does, and refuses lines beyond", "P 11.4",
       needs="BULK")  # fmt: skip
def _bulk_read(d: Driver) -> None:
    d.accept("BULK")
    lines = range(min(d.firmware.ngpio, _WINDOW))
    before = [d.line(GET_VALUE, gpio) for gpio in lines]
    # A strict device reads no inactive lines, and some may not be readable at all.
    mask = sum(1 << gpio for gpio in lines if not before[gpio].status)
    reply = d.call(GET_VALUES, 0, 0, struct.pack("<Q", mask))
    bits = int.from_bytes(_body(reply, 8, "GET_VALUES"), "little")
    after = [d.line(GET_VALUE, gpio) for gpio in lines]
    if bits & ~mask:
        raise Failed(f"GET_VALUES tells {bits:#x}, with lines outside the mask {mask:#x}")
    for gpio in lines:
        steady = before[gpio].value == after[gpio].value <= 1
        if mask >> gpio & 1 and steady and bits >> gpio & 1 != before[gpio].value:
            raise Failed(f"GET_VALUES tells {bits >> gpio & 1} for line {gpio}, GET_VALUE does not")
    first = d.firmware.ngpio - 1
    body = struct.pack("<Q", 2)
    d.expect_error(extended(GET_VALUES, first, 0, body), "GET_VALUES of the line behind the last")


@check("bulk-write", "SET_VALUES sets all lines, or none when one is refused", "P 11.4",
       needs="BULK drive")  # fmt: skip
def _bulk_write(d: Driver) -> None:
    d.accept("BULK")
    first = min(d.driven)
    loops = {into for _, into in d.loops}
    lines = [gpio for gpio in d.driven if gpio - first < _WINDOW and gpio not in loops]
    d.touch(lines)
    for gpio in lines:
        d.output(gpio, 0)
    mask = sum(1 << gpio - first for gpio in lines)
    for bits in (mask, 0, mask & 0x5555555555555555, mask & 0xAAAAAAAAAAAAAAAA):
        d.call(SET_VALUES, first, 0, struct.pack("<QQ", mask, bits))
        for gpio in lines:
            d.expect_value(gpio, bits >> gpio - first & 1, f"after SET_VALUES to {bits:#x}")
    d.call(SET_VALUES, first, 0, struct.pack("<QQ", mask, 0))
    beyond = _beyond(d, first)
    if beyond is None:
        return
    body = struct.pack("<QQ", mask | beyond, mask | beyond)
    d.expect_error(extended(SET_VALUES, first, 0, body), "SET_VALUES with a line behind the last")
    for gpio in lines:
        d.expect_value(gpio, 0, "after a SET_VALUES that was refused")


@check("line-caps", "GET_LINE_CAPS tells defined capabilities", "P 11.5", needs="LINE_CONFIG")
def _line_caps(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for gpio in range(min(d.firmware.ngpio, _WINDOW)):
        caps, longest = struct.unpack("<II", _body(d.call(GET_LINE_CAPS, gpio), 8, "GET_LINE_CAPS"))
        if caps & ~_CAPS:
            raise Failed(f"line {gpio} has capabilities {caps:#x}; bits beyond 5 mean nothing")
        if bool(longest) != bool(caps & _DEBOUNCE):
            raise Failed(f"line {gpio} has capabilities {caps:#x} and debounces {longest} us")


@check("line-config", "SET_LINE_CONFIG takes what the line can do and nothing else", "P 11.5",
       needs="LINE_CONFIG drive")  # fmt: skip
def _line_config(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for gpio in d.driven:
        caps, longest = struct.unpack("<II", _body(d.call(GET_LINE_CAPS, gpio), 8, "GET_LINE_CAPS"))
        d.set_direction(gpio, IN)
        for flag in _SINGLE:
            _configure(d, gpio, flag, 0, bool(caps & flag))
        _configure(d, gpio, _PULL_UP | _PULL_DOWN, 0, False)
        _configure(d, gpio, 8 | 16, 0, False)
        _configure(d, gpio, _DEBOUNCE, 0, False)
        _configure(d, gpio, 1 << 30, 0, False)
        _configure(d, gpio, 0, longest, True)
        if longest < 0xFFFFFFFF:
            _configure(d, gpio, 0, longest + 1, False)
        _configure(d, gpio, 0, 0, True)
        d.set_direction(gpio, NONE)


def _configure(d: Driver, gpio: int, flags: int, debounce_us: int, good: bool) -> None:
    message = extended(SET_LINE_CONFIG, gpio, 0, struct.pack("<II", flags, debounce_us))
    what = f"SET_LINE_CONFIG of line {gpio}, flags {flags:#x}, debounce {debounce_us} us,"
    d.touch([gpio])
    if good:
        d.expect_ok(message, what)
    else:
        d.expect_error(message, what)
