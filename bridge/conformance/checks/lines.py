# SPDX-License-Identifier: BSD-3-Clause
"""Directions and values. Needs lines that may be driven."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bridge.conformance.check import Failed, Skipped, check
from bridge.conformance.driver import (
    BOTH,
    FALLING,
    GET_LINE_CAPS,
    GET_VALUE,
    IN,
    IRQ_NONE,
    NONE,
    OUT,
    SET_DIRECTION,
    SET_IRQ_TYPE,
    SET_LINE_CONFIG,
    SET_VALUE,
    Driver,
    hexed,
)
from bridge.shim.ffi import lib

_WRONG = {
    SET_DIRECTION: (3, 0x100, 0x101, 0x10001, 0xFFFFFFFF),
    SET_VALUE: (2, 0x100, 0x101, 0x10001, 0xFFFFFFFF),
    SET_IRQ_TYPE: (5, 6, 7, 9, 0x10, 0x100, 0x103, 0xFFFFFFFF),
}


@check("direction-kept", "GET_DIRECTION tells what SET_DIRECTION set", "V 5.18.6", needs="drive")
def _direction_kept(d: Driver) -> None:
    for gpio in d.driven:
        d.set_value(gpio, 0)
        for direction in (IN, OUT, IN, NONE):
            if direction == OUT:
                d.set_value(gpio, 0)
            d.set_direction(gpio, direction)
            got = d.direction(gpio)
            if got != direction:
                raise Failed(f"line {gpio} was set to direction {direction} and tells {got}")


@check("set-reply", "The value of an OK to SET_* is 0", "P 3.1, V 5.18.6", needs="drive")
def _set_reply(d: Driver) -> None:
    gpio = d.driven[0]
    for kind, value in (
        (SET_DIRECTION, IN),
        (SET_IRQ_TYPE, IRQ_NONE),
        (SET_VALUE, 1),
        (SET_VALUE, 0),
        (SET_DIRECTION, OUT),
        (SET_VALUE, 1),
        (SET_DIRECTION, NONE),
    ):
        reply = d.line(kind, gpio, value)
        if reply.status or reply.value:
            raise Failed(f"the reply to type {kind}, value {value} is `{hexed(reply.data)}`")


@check(
    "value-32-bit", "A value that is not in the table is refused, as 32 bits", "P 3.4",
    needs="drive",
)  # fmt: skip
def _value_32_bit(d: Driver) -> None:
    gpio = d.driven[0]
    d.output(gpio, 0)
    _refused(d, gpio, SET_DIRECTION)
    if d.direction(gpio) != OUT:
        raise Failed("a SET_DIRECTION that was refused has changed the direction")
    _refused(d, gpio, SET_VALUE)
    d.expect_value(gpio, 0, "after a SET_VALUE that was refused")
    d.set_direction(gpio, IN)
    _refused(d, gpio, SET_IRQ_TYPE)


def _refused(d: Driver, gpio: int, kind: int) -> None:
    for value in _WRONG[kind]:
        if not d.line(kind, gpio, value).status:
            raise Failed(f"type {kind} with the value {value:#x} is answered by OK")


@check("output-level", "An output has the level of its value", "P 4, V 5.18.6", needs="drive")
def _output_level(d: Driver) -> None:
    for gpio in d.driven:
        d.output(gpio, 0)
        for value in (0, 1, 0, 1, 1, 0):
            d.set_value(gpio, value)
            d.expect_value(gpio, value, f"set to {value},")
        d.set_direction(gpio, NONE)
    for out, into in d.loops:
        d.output(out, 0)
        d.set_direction(into, IN)
        for value in (0, 1, 0, 1):
            d.set_value(out, value)
            d.expect_value(into, value, f"with line {out}, wired to it, at {value}")


@check(
    "value-kept", "SET_VALUE of a line that is no output is driven later", "P 4.2, V 5.18.6",
    needs="drive",
)  # fmt: skip
def _value_kept(d: Driver) -> None:
    for gpio in d.driven:
        for value in (1, 0, 1):
            d.set_value(gpio, value)
            d.set_direction(gpio, OUT)
            d.expect_value(gpio, value, f"set to {value}, then made an output,")
            d.set_direction(gpio, IN)
        d.set_direction(gpio, NONE)


@check("in-keeps-value", "Direction IN keeps the value that OUT then drives", "P 4.2, P 4.3",
       needs="drive")  # fmt: skip
def _in_keeps_value(d: Driver) -> None:
    for gpio in d.driven:
        d.output(gpio, 0)
        d.set_value(gpio, 1)
        d.set_direction(gpio, IN)
        d.set_direction(gpio, OUT)
        d.expect_value(gpio, 1, "an output at 1, made an input, then an output again,")
        d.set_direction(gpio, NONE)


@check("out-glitch", "OUT drives the value from the first instant on", "P 4.3", needs="loop")
def _out_glitch(d: Driver) -> None:
    for out, into in d.loops:
        for value in (1, 0):
            d.output(out, value)
            d.set_direction(into, IN)
            _no_edge_at_out(d, out, into, f"an output at {value} already,")
            d.set_direction(out, NONE)
            if d.offers("LINE_CONFIG") and pulled(d, into, value) and d.value(into) == value:
                d.set_value(out, value)
                _no_edge_at_out(d, out, into, f"which is pulled to {value}, its value,")
                d.set_direction(out, NONE)
            d.set_direction(into, NONE)


def _no_edge_at_out(d: Driver, out: int, into: int, what: str) -> None:
    level = d.value(into)
    d.set_irq(into, BOTH)
    d.set_direction(out, OUT)
    if d.value(into) == level:
        d.no_event(f"at the direction OUT of line {out}, {what}")
    d.forget_events()  # of a value that was not kept, which another check finds
    d.set_irq(into, IRQ_NONE)


@check(
    "none-forgets-value", "Direction NONE forgets the value; OUT then drives 0",
    "P 4.3, V 5.18.6", needs="drive",
)  # fmt: skip
def _none_forgets_value(d: Driver) -> None:
    for gpio in d.driven:
        d.output(gpio, 0)
        d.set_value(gpio, 1)
        d.set_direction(gpio, NONE)
        if d.line(SET_DIRECTION, gpio, OUT).status:
            continue  # strict
        d.expect_value(gpio, 0, "made an output without a value,")
        d.set_direction(gpio, NONE)


@check(
    "leniency", "What virtio forbids a driver is served by all of section 5, or by none",
    "P 5", needs="drive",
)  # fmt: skip
def _leniency(d: Driver) -> None:
    gpio = d.driven[0]
    for direction in (NONE, IN):
        d.set_direction(gpio, direction)
        d.set_irq(gpio, IRQ_NONE)
        d.set_value(gpio, 0)
    if d.line(SET_IRQ_TYPE, gpio, BOTH).status:
        raise Skipped(f"line {gpio} has no interrupt for both edges")
    strict = {title: bool(d.line(*row).status) for title, row in _rows(d, gpio)}
    if len(set(strict.values())) > 1:
        refused = "; ".join(title for title, status in strict.items() if status)
        served = "; ".join(title for title, status in strict.items() if not status)
        raise Failed(f"refused as if strict: {refused}. Served as if lenient: {served}")
    d.kind = "strict" if any(strict.values()) else "lenient"


def _rows(d: Driver, gpio: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The rows of section 5 that differ: prepare, then yield the request to look at."""
    d.set_irq(gpio, IRQ_NONE)
    d.set_direction(gpio, NONE)
    yield "OUT without a value", (SET_DIRECTION, gpio, OUT)
    d.set_direction(gpio, NONE)
    yield "GET_VALUE with direction NONE", (GET_VALUE, gpio)
    yield "SET_IRQ_TYPE with direction NONE", (SET_IRQ_TYPE, gpio, BOTH)
    d.line(SET_IRQ_TYPE, gpio, IRQ_NONE)
    d.set_direction(gpio, IN)
    d.set_irq(gpio, BOTH)
    yield "the same irq type, not masked", (SET_IRQ_TYPE, gpio, BOTH)
    yield "another irq type, not through NONE", (SET_IRQ_TYPE, gpio, FALLING)
    d.set_irq(gpio, IRQ_NONE)
    d.set_irq(gpio, BOTH)
    d.set_value(gpio, 0)
    yield "OUT with an interrupt", (SET_DIRECTION, gpio, OUT)
    d.line(SET_IRQ_TYPE, gpio, IRQ_NONE)
    d.set_direction(gpio, NONE)
    d.output(gpio, 0)
    yield "SET_IRQ_TYPE of an output", (SET_IRQ_TYPE, gpio, BOTH)
    yield "SET_IRQ_TYPE NONE of an output", (SET_IRQ_TYPE, gpio, IRQ_NONE)
    d.forget_events()


def pulled(d: Driver, gpio: int, value: int) -> bool:
    """Make a line an input with a pull. False when it has none. Accepts LINE_CONFIG alone."""
    d.accept("LINE_CONFIG")
    flag = lib.RPMSG_GPIO_LINE_PULL_UP if value else lib.RPMSG_GPIO_LINE_PULL_DOWN
    (caps,) = struct.unpack_from("<I", d.call(GET_LINE_CAPS, gpio).body)
    if not caps & flag:
        return False
    d.set_direction(gpio, IN)
    d.call(SET_LINE_CONFIG, gpio, 0, struct.pack("<II", flag, 0))
    return True


@check("output-read", "GET_VALUE of an output reads the pin", "P 4.5", needs="loop LINE_CONFIG")
def _output_read(d: Driver) -> None:
    d.accept("LINE_CONFIG")
    drain = lib.RPMSG_GPIO_LINE_OPEN_DRAIN
    for out, into in d.loops:
        (caps,) = struct.unpack_from("<I", d.call(GET_LINE_CAPS, out).body)
        if not caps & drain:
            raise Skipped(f"line {out} has no open drain, and two outputs must not fight")
        d.call(SET_LINE_CONFIG, out, 0, struct.pack("<II", drain, 0))
        d.output(out, 1)
        d.output(into, 0)
        d.expect_value(out, 0, f"open drain, let go, but held low by line {into},")
