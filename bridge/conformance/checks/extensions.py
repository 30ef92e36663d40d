# SPDX-License-Identifier: BSD-3-Clause
"""CONFIG, NAMES, EPOCH, and section 11. Some need lines to drive, or a loop."""

from __future__ import annotations

import struct
import time

from bridge.conformance.check import Failed, check
from bridge.conformance.checks.lines import pulled
from bridge.conformance.driver import (
    BOTH,
    GET_CONFIG,
    GET_COUNTERS,
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
    UNKNOWN,
    Driver,
    Event,
    Reply,
    extended,
    hexed,
    request,
)
from bridge.conformance.wait import Wait
from bridge.shim.ffi import lib

_CONFIG = struct.Struct("<HHI32s")
_WINDOW = 64  # RPMSG_GPIO_BULK_LINES
_COUNTERS = struct.Struct("<5I")
_CAPS = 0x3F
_PULL_UP, _PULL_DOWN = lib.RPMSG_GPIO_LINE_PULL_UP, lib.RPMSG_GPIO_LINE_PULL_DOWN
_DEBOUNCE = lib.RPMSG_GPIO_LINE_DEBOUNCE
_OPEN_DRAIN, _OPEN_SOURCE = lib.RPMSG_GPIO_LINE_OPEN_DRAIN, lib.RPMSG_GPIO_LINE_OPEN_SOURCE
_TICKS = 50
_DEBOUNCE_US = 200_000
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
    """The credits granted and the events sent, as the device counts them."""
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


@check("event-held", "What is latched or kept has the time of its edge", "P 11.3",
       needs="TIMESTAMP loop")  # fmt: skip
def _event_held(d: Driver) -> None:
    for out, into in d.loops:
        d.accept("TIMESTAMP")
        _listen(d, out, into)
        d.set_value(out, 1)
        d.event(into, "at an edge")
        after = _edge_timed(d, out, 0)
        d.set_irq(into, BOTH)
        _expect_time(d.event(into, "latched, at the re-arm"), after)
        d.set_irq(into, IRQ_NONE)
        if not d.offers("CREDITS"):
            continue
        d.accept("TIMESTAMP", "CREDITS")
        _listen(d, out, into)
        after = _edge_timed(d, out, 1)
        _grant(d, into, 1)
        _expect_time(d.event(into, "kept, when a credit came"), after)
        d.set_irq(into, IRQ_NONE)


def _listen(d: Driver, out: int, into: int) -> None:
    """Make `out` drive 0, and enable both edges of `into`."""
    d.output(out, 0)
    d.set_value(out, 0)
    d.set_direction(into, IN)
    d.set_irq(into, BOTH)


def _edge_timed(d: Driver, out: int, value: int) -> int:
    """Make an edge that waits, and return the clock some time after it."""
    d.set_value(out, value)
    after = _time(d)
    for _ in range(_TICKS):  # with a coarse clock a late time stamp must still show
        if _time(d) != after:
            break
    return after


def _expect_time(event: Event, after: int) -> None:
    if event.timestamp > after:
        raise Failed(
            f"the event has timestamp {event.timestamp}, though its edge was before {after}"
        )


@check("latch-latest", "Of the edges of a masked line the latest is told", "P 11.3",
       needs="TIMESTAMP loop")  # fmt: skip
def _latch_latest(d: Driver) -> None:
    d.accept("TIMESTAMP")
    for out, into in d.loops:
        _listen(d, out, into)
        d.set_value(out, 1)
        first = d.event(into, "at an edge")
        for value in (0, 1, 0):
            d.set_value(out, value)
        d.set_irq(into, BOTH)
        event = d.event(into, "latched, at the re-arm")
        if (event.sequence - first.sequence, event.high) != (3, False):
            raise Failed(
                f"number {first.sequence} was told, then came three edges, the last one falling; "
                f"told is number {event.sequence}, {'high' if event.high else 'low'}"
            )
        d.set_irq(into, IRQ_NONE)


@check("event-level", "Level types have records, too, which count the firings", "P 11.1",
       needs="CREDITS|TIMESTAMP loop")  # fmt: skip
def _event_level(d: Driver) -> None:
    for name in ("CREDITS", "TIMESTAMP"):
        if not d.offers(name):
            continue
        d.accept(name)
        for out, into in d.loops:
            d.output(out, 0)
            d.set_direction(into, IN)
            d.set_irq(into, HIGH)
            d.set_value(out, 1)
            first = d.event(into, f"when the level is high, with {name}")
            for number in range(1, 4):
                for value in (0, 1, 0, 1):  # these came while it was masked: no firings
                    d.set_value(out, value)
                d.set_irq(into, HIGH)
                event = d.event(into, f"at a re-arm, the level being high, with {name}")
                if (event.sequence - first.sequence, event.high) != (number, True):
                    raise Failed(
                        f"after number {first.sequence} of a high level and {number} re-arms "
                        f"comes {event.sequence}, {'high' if event.high else 'low'}"
                    )
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
        granted, _ = _grant(d, into, 1)
        if granted != 3:
            raise Failed(f"a stale grant is answered by granted {granted}, not 3")
        d.no_event("at a stale grant")
        d.set_irq(into, IRQ_NONE)


@check("credits-sent", "GRANT_CREDITS tells how many events were sent before its reply", "P 11.2",
       needs="CREDITS loop")  # fmt: skip
def _credits_sent(d: Driver) -> None:
    d.accept("CREDITS")
    for out, into in d.loops:
        _listen(d, out, into)
        received = 0
        for granted in (2, 4):
            _grant(d, into, granted)
            for value in (1, 0, 1):
                d.set_value(out, value)
            d.ask(request(GET_DIRECTION))  # what was sent before this reply has come
            received += len(d.events)
            d.events.clear()
            _, sent = _grant(d, into, granted)
            if sent != received:
                raise Failed(
                    f"GRANT_CREDITS tells {sent} events as sent; {received} came before its reply"
                )
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
    for bit in (1, 31, 32, 63):
        first = max(0, d.firmware.ngpio - bit)
        message = extended(GET_VALUES, first, 0, struct.pack("<Q", 1 << bit))
        d.expect_error(message, f"GET_VALUES of line {first + bit} of {d.firmware.ngpio}")


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


@check("body-check", "A request whose check does not fit its body is an ERR", "P 8.5",
       needs="BULK|LINE_CONFIG")  # fmt: skip
def _body_check(d: Driver) -> None:
    if d.offers("BULK"):
        d.accept("BULK")
        for mask, right in ((0, 0x55), (1, 1)):
            body = struct.pack("<Q", mask)
            plain = d.ask(extended(GET_VALUES, 0, 0, body)).status
            if d.ask(extended(GET_VALUES, 0, right, body)).status != plain:
                raise Failed(f"GET_VALUES of mask {mask:#x} has another status with its check")
            for wrong in (right ^ 2, right << 16, right ^ 0x80000000):
                message = extended(GET_VALUES, 0, wrong, body)
                d.expect_error(message, f"GET_VALUES with a check of {wrong:#x}, not {right:#x},")
    if not d.driven:
        return
    gpio = d.driven[0]
    if d.offers("BULK"):
        d.output(gpio, 0)
        message = extended(SET_VALUES, gpio, 3, struct.pack("<QQ", 1, 1))
        d.expect_error(message, "SET_VALUES with a check of 3, not 0x55,")
        d.expect_value(gpio, 0, "after a SET_VALUES whose check did not fit")
        d.call(SET_VALUES, gpio, 0x55, struct.pack("<QQ", 1, 1))
    if d.offers("LINE_CONFIG"):
        d.accept("LINE_CONFIG")
        message = extended(SET_LINE_CONFIG, gpio, 1, bytes(8))
        d.expect_error(message, "SET_LINE_CONFIG with a check of 1, not 0x55,")
        d.call(SET_LINE_CONFIG, gpio, 0x55, bytes(8))


@check("reply-check", "The check in a reply fits its body", "P 8.5", needs="BULK|LINE_CONFIG")
def _reply_check(d: Driver) -> None:
    if d.offers("BULK"):
        d.accept("BULK")
        lines = range(min(d.firmware.ngpio, _WINDOW))
        readable = [gpio for gpio in lines if not d.line(GET_VALUE, gpio).status]
        for mask in (0, sum(1 << gpio for gpio in readable)):
            _expect_check(d.call(GET_VALUES, 0, 0, struct.pack("<Q", mask)), "GET_VALUES")
    if d.offers("LINE_CONFIG"):
        d.accept("LINE_CONFIG")
        for gpio in range(min(d.firmware.ngpio, _WINDOW)):
            _expect_check(d.call(GET_LINE_CAPS, gpio), f"GET_LINE_CAPS of line {gpio}")


def _expect_check(reply: Reply, what: str) -> None:
    right = 0
    for byte in reply.body:
        right ^= byte
    if reply.value not in (0, right or 0x55):
        raise Failed(
            f"the reply to {what}, `{hexed(reply.data)}`, has the check {reply.value:#04x}; "
            f"right is {right or 0x55:#04x}"
        )


def _caps(d: Driver, gpio: int) -> tuple[int, int]:
    """Capabilities, and the longest debounce in us."""
    body = _body(d.call(GET_LINE_CAPS, gpio), 8, "GET_LINE_CAPS")
    caps, longest = struct.unpack("<II", body)
    return caps, longest


@check("line-caps", "GET_LINE_CAPS tells defined capabilities", "P 11.5", needs="LINE_CONFIG")
def _line_caps(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for gpio in range(min(d.firmware.ngpio, _WINDOW)):
        caps, longest = _caps(d, gpio)
        if caps & ~_CAPS:
            raise Failed(f"line {gpio} has capabilities {caps:#x}; bits beyond 5 mean nothing")
        if bool(longest) != bool(caps & _DEBOUNCE):
            raise Failed(f"line {gpio} has capabilities {caps:#x} and debounces {longest} us")


@check("line-config", "SET_LINE_CONFIG takes what the line can do and nothing else", "P 11.5",
       needs="LINE_CONFIG drive")  # fmt: skip
def _line_config(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for gpio in d.driven:
        caps, longest = _caps(d, gpio)
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


@check("line-bias", "A pull decides the level of a wire that nobody drives", "P 11.5",
       needs="LINE_CONFIG loop")  # fmt: skip
def _line_bias(d: Driver) -> None:
    for out, into in d.loops:
        for level in (1, 0, 1):
            if pulled(d, into, level):
                d.expect_value(into, level, f"pulled to {level}, with line {out} not driven,")
        d.set_direction(into, NONE)


@check("line-drive", "Open drain lets go of high, open source of low", "P 11.5",
       needs="LINE_CONFIG loop")  # fmt: skip
def _line_drive(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for out, into in d.loops:
        for name, flag, value in (("open drain", _OPEN_DRAIN, 1), ("open source", _OPEN_SOURCE, 0)):
            able = _caps(d, out)[0] & flag and pulled(d, into, 1 - value)
            if not able or d.value(into) == value:
                continue
            d.call(SET_LINE_CONFIG, out, 0, struct.pack("<II", flag, 0))
            d.output(out, 1 - value)
            d.expect_value(into, 1 - value, f"with line {out}, {name}, at {1 - value}")
            d.set_value(out, value)
            d.expect_value(into, 1 - value, f"pulled so, with line {out}, {name}, let go,")
            d.set_direction(out, NONE)


@check("line-debounce", "A debounced line has a new level after its time, not before", "P 11.5",
       needs="LINE_CONFIG loop")  # fmt: skip
def _line_debounce(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    for out, into in d.loops:
        debounce_us = min(_caps(d, into)[1], _DEBOUNCE_US)
        if not debounce_us:
            continue
        d.output(out, 0)
        d.set_direction(into, IN)
        d.call(SET_LINE_CONFIG, into, 0, struct.pack("<II", 0, debounce_us))
        began_ns = time.monotonic_ns()
        d.set_value(out, 1)
        early = d.value(into)
        passed_us = (time.monotonic_ns() - began_ns) // 1000
        if early and passed_us < debounce_us:
            raise Failed(f"debounced for {debounce_us} us, it has a new level within {passed_us}")
        wait = Wait(debounce_us / 1e6 + d.timeout_ms / 1000)
        while not d.value(into):
            if wait.over:
                raise Failed(f"debounced for {debounce_us} us, it still has the old level")
            d.forget_events()
        d.set_direction(into, NONE)


@check("line-refused", "A SET_LINE_CONFIG that is refused changes nothing", "P 11.5",
       needs="LINE_CONFIG loop")  # fmt: skip
def _line_refused(d: Driver) -> None:
    for _, into in d.loops:
        for level, other in ((1, _PULL_DOWN), (0, _PULL_UP)):
            if not pulled(d, into, level) or d.value(into) != level:
                continue
            for flags in (1 << 30 | other, _DEBOUNCE | other):
                _configure(d, into, flags, 0, False)
                d.expect_value(into, level, f"after a refused SET_LINE_CONFIG {flags:#x}")
        d.set_direction(into, NONE)


# ---- COUNTERS ---------------------------------------------------------------------------


@check("counters", "GET_COUNTERS counts what was asked and refused, and what was sent", "P 11.6",
       needs="COUNTERS")  # fmt: skip
def _counters(d: Driver) -> None:
    d.accept("COUNTERS")
    before = _counted(d)
    d.expect_error(request(UNKNOWN), "a request of a type that nobody defined")
    d.line(GET_DIRECTION, 0)
    after = _counted(d)
    told = [(new - old) % (1 << 32) for old, new in zip(before, after, strict=True)]
    for name, change, least in zip(("requests", "refused", "sent"), told, (3, 1, 3), strict=False):
        if not least <= change < 1 << 31:
            raise Failed(f"`{name}` grew by {change} over 3 requests, 1 of them refused")


def _counted(d: Driver) -> tuple[int, ...]:
    body = d.call(GET_COUNTERS).body
    if len(body) not in (_COUNTERS.size, _COUNTERS.size + 4):  # with the result of a self-test
        raise Failed(f"the body of the reply to GET_COUNTERS has {len(body)} bytes, not 20 or 24")
    return _COUNTERS.unpack_from(body)
