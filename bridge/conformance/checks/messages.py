# SPDX-License-Identifier: BSD-3-Clause
"""Channel, form of messages, and which requests must be refused. Changes nothing."""

from __future__ import annotations

import errno

from bridge import wire
from bridge.conformance.check import SHOULD, Failed, Skipped, check
from bridge.conformance.driver import (
    GET_DIRECTION,
    GET_LINE_NAMES,
    GET_VALUE,
    REQUEST,
    UNKNOWN,
    Driver,
    hexed,
    request,
)
from bridge.conformance.wire import index_of

_LATENCY_MS = 100
_LINES_TIMED = 64
_TIMES = 10
_EMPTY = (errno.EINVAL, errno.EMSGSIZE)


@check("channel-name", "The channel is rpmsg-io-<index> or rpmsg-raw", "P 2.1")
def _channel_name(d: Driver) -> None:
    name = d.firmware.channel
    if name != wire.CHANNEL_RAW and index_of(name) is None:
        raise Failed(f"the channel is called {name!r}; the index is decimal, without leading 0")


@check("speaks-second", "Nothing is sent before the first request", "P 2.1")
def _speaks_second(d: Driver) -> None:
    if d.firmware.early:
        raise Failed(f"`{hexed(d.firmware.early[0])}` came before the first request")
    if d.firmware.strays:
        raise Failed(f"{d.firmware.strays} messages came before anybody listened")


@check("message-empty", "An empty message is ignored and not answered", "P 2.2")
def _message_empty(d: Driver) -> None:
    try:
        d.send(b"")
    except OSError as error:
        if error.errno in _EMPTY:
            raise Skipped("this link carries no empty messages") from None
        raise
    d.no_reply("an empty message")
    d.direction(0)


@check("reserved-ignored", "Fields without a meaning are ignored", "P 2.2")
def _reserved_ignored(d: Driver) -> None:
    for value in (1, 0xFFFFFFFF):
        d.expect_ok(
            request(GET_DIRECTION, 0, value), f"GET_DIRECTION of line 0 with value {value:#x}"
        )
    plain = d.line(GET_VALUE, 0).status
    if d.line(GET_VALUE, 0, 0xFFFFFFFF).status != plain:
        raise Failed("GET_VALUE of line 0 has another status with value 0xffffffff than with 0")


@check("reply-form", "All baseline replies have 3 bytes, or all have 4", "P 3.3")
def _reply_form(d: Driver) -> None:
    for message in (request(GET_DIRECTION), request(GET_VALUE), request(UNKNOWN)):
        reply = d.ask(message)
        if reply.form != d.firmware.form:
            raise Failed(
                f"the reply to `{hexed(message)}` has {len(reply.data)} bytes; "
                f"the first one had {d.firmware.form}"
            )
        if reply.form == 4 and reply.data[1]:
            raise Failed(f"the padding of `{hexed(reply.data)}` is not 0")


@check("error-value", "The value of an ERR is 0", "P 3.2")
def _error_value(d: Driver) -> None:
    for message in (request(UNKNOWN), request(0xFFFF), request(GET_LINE_NAMES)):
        reply = d.expect_error(message, f"`{hexed(message)}`")
        if reply.value:
            raise Failed(f"the ERR `{hexed(reply.data)}` has the value {reply.value}")


@check("type-unknown", "An unknown type is answered by ERR", "P 3.4")
def _type_unknown(d: Driver) -> None:
    for kind in (0, 7, 0x10, 0xFF, 0x102, UNKNOWN, 0x8FFF, 0xFFFF):
        d.expect_baseline_error(request(kind), f"type {kind:#06x}")


@check("length-short", "A request of 1 to 7 bytes is answered by ERR", "P 3.4")
def _length_short(d: Driver) -> None:
    for length in range(1, REQUEST.size):
        d.expect_baseline_error(request(GET_DIRECTION)[:length], f"a request of {length} bytes")


@check("length-long", "A request of a length that no type has is answered by ERR", "P 3.4")
def _length_long(d: Driver) -> None:
    for length in (9, 10, 11, 13, 16, 64, 496):
        message = request(GET_DIRECTION).ljust(length, b"\0")
        try:
            d.expect_baseline_error(message, f"a request of {length} bytes")
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise


@check("line-beyond", "A line at or beyond ngpio is answered by ERR", "P 3.4, V 5.18.6")
def _line_beyond(d: Driver) -> None:
    ngpio = d.firmware.ngpio
    for gpio in sorted({ngpio, ngpio + 1, max(ngpio, 0x7FFF), 0xFFFF} - {0x10000, 0x10001}):
        for kind, name in ((GET_DIRECTION, "GET_DIRECTION"), (GET_VALUE, "GET_VALUE")):
            d.expect_baseline_error(request(kind, gpio), f"{name} of line {gpio} of {ngpio}")


@check("line-directions", "Every line has a direction: 0, 1 or 2", "P 3.1, V 5.18.6")
def _line_directions(d: Driver) -> None:
    for gpio in range(d.firmware.ngpio):
        direction = d.direction(gpio)
        if direction > 2:
            raise Failed(f"line {gpio} has direction {direction}; 0, 1 and 2 exist")


@check("line-values", "GET_VALUE tells 0 or 1, or ERR", "P 3.1, V 5.18.6")
def _line_values(d: Driver) -> None:
    for gpio in range(d.firmware.ngpio):
        reply = d.line(GET_VALUE, gpio)
        if reply.value > 1:
            raise Failed(f"line {gpio} has value {reply.value}; 0 and 1 exist")


@check("latency", "A reply comes within 100 ms", "P 3.4", SHOULD)
def _latency(d: Driver) -> None:
    for gpio in range(max(0, d.firmware.ngpio - _LINES_TIMED), d.firmware.ngpio):
        # Slow firmware is slow each time; a busy machine on this side is not.
        fastest = d.line(GET_VALUE, gpio).took_ns
        for _ in range(_TIMES):
            if fastest <= _LATENCY_MS * 1_000_000:
                break
            fastest = min(fastest, d.line(GET_VALUE, gpio).took_ns)
        else:
            raise Failed(
                f"GET_VALUE of line {gpio} took {fastest / 1e6:.0f} ms, and {_TIMES} times more"
            )
