# SPDX-License-Identifier: BSD-3-Clause
"""GET_FEATURES, SET_FEATURES, and the extended form with its tags. Changes no line."""

from __future__ import annotations

from bridge.conformance.check import Failed, Skipped, check
from bridge.conformance.driver import (
    BOTH,
    FEATURES,
    GET_CONFIG,
    GET_COUNTERS,
    GET_DIRECTION,
    GET_EPOCH,
    GET_FEATURES,
    GET_LINE_CAPS,
    GET_LINE_NAMES,
    GET_TIME,
    GET_VALUE,
    GET_VALUES,
    GRANT_CREDITS,
    IN,
    IRQ_NONE,
    SET_FEATURES,
    SET_LINE_CONFIG,
    SET_VALUES,
    TYPES,
    UNKNOWN,
    Driver,
    extended,
    hexed,
    request,
)

_DEFINED = 0x1FF
_NOBODYS = 1 << 30
_TAGS = (1, 0x1234, 0xFFFF)
_IN_FLIGHT = 32

# These requests change nothing, whatever the firmware makes of them.
_HARMLESS = {
    GET_LINE_NAMES: b"",
    GET_CONFIG: b"",
    GET_EPOCH: b"",
    GRANT_CREDITS: b"",
    GET_TIME: b"",
    GET_VALUES: bytes(8),
    SET_VALUES: bytes(16),
    GET_LINE_CAPS: b"",
    GET_COUNTERS: b"",
}

# For these features, a request without a body shows whether they are accepted.
_TELLING = {
    "EPOCH": GET_EPOCH,
    "CONFIG": GET_CONFIG,
    "TIMESTAMP": GET_TIME,
    "LINE_CONFIG": GET_LINE_CAPS,
    "COUNTERS": GET_COUNTERS,
}


def _telling(d: Driver) -> tuple[str, bytes]:
    for name, kind in _TELLING.items():
        if d.offers(name):
            return name, extended(kind)
    raise Skipped("no feature is offered whose acceptance shows in a request")


def _need_any(d: Driver) -> None:
    if not d.firmware.features:
        raise Skipped("the firmware offers no extensions")


@check("features-offer", "GET_FEATURES tells defined features only, or is an ERR", "P 7")
def _features_offer(d: Driver) -> None:
    reply = d.ask(request(GET_FEATURES, 0, _DEFINED), "GET_FEATURES")
    if reply.status:
        if reply.form == 8:
            raise Failed("the ERR to GET_FEATURES has the extended form")
        d.expect_baseline_error(request(SET_FEATURES), "SET_FEATURES without any offer")
        return
    if len(reply.data) != 16:
        raise Failed(f"the OK to GET_FEATURES has {len(reply.data)} bytes, not 16")
    if reply.tag or reply.epoch or reply.data[1] or reply.value:
        raise Failed(f"the head of `{hexed(reply.data)}` is not all 0")
    features = int.from_bytes(reply.body[:4], "little")
    if features & ~_DEFINED:
        raise Failed(f"the offer {features:#x} has bits beyond 8, which nobody defined")
    if not features:
        raise Failed("GET_FEATURES is answered by OK, though nothing is offered")
    if not features & FEATURES["EPOCH"] and any(reply.body[4:]):
        raise Failed("an epoch is told, though EPOCH is not offered")


@check("features-reset", "GET_FEATURES forgets what was accepted, and touches no line", "P 7")
def _features_reset(d: Driver) -> None:
    name, message = _telling(d)
    lines = range(min(d.firmware.ngpio, 64))
    before = [d.line(GET_DIRECTION, gpio).value for gpio in lines]
    d.accept(name)
    d.expect_ok(message, f"a request of {name}, which is accepted,")
    d.expect_ok(request(GET_FEATURES), "GET_FEATURES")
    d.expect_baseline_error(message, f"a request of {name} after GET_FEATURES")
    d.accept(name)
    d.accept()
    d.expect_baseline_error(message, f"a request of {name} after SET_FEATURES 0")
    if [d.line(GET_DIRECTION, gpio).value for gpio in lines] != before:
        raise Failed("the directions of lines have changed")


@check("features-irq", "GET_FEATURES leaves an interrupt enabled", "P 7", needs="loop")
def _features_irq(d: Driver) -> None:
    for out, into in d.loops:
        d.output(out, 0)
        d.set_direction(into, IN)
        d.set_irq(into, BOTH)
        d.ask(request(GET_FEATURES), "GET_FEATURES")
        d.set_value(out, 1)
        d.event(into, "at an edge after GET_FEATURES")
        d.set_irq(into, IRQ_NONE)


@check("features-refuse", "SET_FEATURES with a bit not offered is an ERR, nothing accepted", "P 7")
def _features_refuse(d: Driver) -> None:
    _need_any(d)
    message = request(SET_FEATURES, 0, d.firmware.features | _NOBODYS)
    d.expect_baseline_error(message, "SET_FEATURES with bit 30")
    name, telling = _telling(d)
    d.expect_baseline_error(telling, "a request of a feature, after SET_FEATURES was refused,")
    d.accept(name)
    d.expect_baseline_error(message, f"SET_FEATURES with bit 30, after {name} was accepted,")
    d.expect_baseline_error(telling, f"a request of {name}, after another SET_FEATURES was refused")


@check("features-form", "Negotiation has 8 bytes; the OK to SET_FEATURES the baseline form", "P 7")
def _features_form(d: Driver) -> None:
    d.expect_baseline_error(extended(GET_FEATURES), "GET_FEATURES of 12 bytes")
    d.expect_baseline_error(extended(SET_FEATURES), "SET_FEATURES of 12 bytes")
    if d.firmware.features:
        reply = d.expect_ok(request(SET_FEATURES, 0, d.firmware.features), "SET_FEATURES")
        if reply.form == 8 or reply.value:
            raise Failed(f"the OK to SET_FEATURES is `{hexed(reply.data)}`")
        d.ask(extended(GET_FEATURES))
        d.expect_ok(request(SET_FEATURES), "SET_FEATURES 0")


@check("features-needed", "A type of a feature that is not accepted is an ERR", "P 3.4, P 8.3")
def _features_needed(d: Driver) -> None:
    for kind, body in _HARMLESS.items():
        d.expect_baseline_error(extended(kind, 0, 0, body), f"{TYPES[kind]}, not accepted,")
    if d.driven:
        message = extended(SET_LINE_CONFIG, d.driven[0], 0, bytes(8))
        d.expect_baseline_error(message, "SET_LINE_CONFIG, not accepted,")


@check("extended-form", "The form of a reply follows the form of its request", "P 8.3")
def _extended_form(d: Driver) -> None:
    message = extended(GET_DIRECTION, 0, 0, b"", 0x1234)
    d.expect_baseline_error(message, "GET_DIRECTION of 12 bytes without TAG")
    if not d.offers("TAG"):
        return
    d.accept("TAG")
    if d.ask(message).form != 8:
        raise Failed("with TAG, GET_DIRECTION of 12 bytes is answered in baseline form")
    if d.ask(request(GET_DIRECTION)).form == 8:
        raise Failed("with TAG, GET_DIRECTION of 8 bytes is answered in extended form")


@check("reserved-extended", "Fields without a meaning are ignored in the extended form, too",
       "P 2.2, P 8.1")  # fmt: skip
def _reserved_extended(d: Driver) -> None:
    name, message = _telling(d)
    d.accept(name)
    plain = d.expect_ok(message, f"a request of {name}")
    reserved = message[:10] + b"\xff\xff" + message[12:]
    d.expect_ok(reserved, f"a request of {name} whose reserved word is not 0")
    tagged = d.expect_ok(message[:8] + b"\x34\x12" + message[10:], "a tag, TAG not accepted,")
    if plain.tag or tagged.tag:
        raise Failed(f"the reply `{hexed(tagged.data)}` has a tag, though TAG is not accepted")
    if d.offers("TAG"):
        d.accept("TAG")
        message = extended(GET_DIRECTION, 0, 0, b"", 1)[:10] + b"\xff\xff"
        d.expect_ok(message, "a tagged GET_DIRECTION whose reserved word is not 0")


@check("tag-returned", "A tag comes back, with ERR as with OK", "P 8.4", needs="TAG")
def _tag_returned(d: Driver) -> None:
    d.accept("TAG")
    for tag in _TAGS:
        for kind, gpio in ((GET_DIRECTION, 0), (GET_DIRECTION, d.firmware.ngpio), (UNKNOWN, 0)):
            reply = d.ask(extended(kind, gpio, 0, b"", tag))
            if reply.form != 8 or reply.tag != tag:
                raise Failed(
                    f"type {kind:#06x} with tag {tag:#06x} is answered by `{hexed(reply.data)}`"
                )


@check("error-body", "An ERR in extended form has no body", "P 8.2", needs="TAG")
def _error_body(d: Driver) -> None:
    d.accept("TAG")
    for kind, gpio in ((UNKNOWN, 0), (GET_DIRECTION, d.firmware.ngpio)):
        reply = d.expect_error(extended(kind, gpio, 0, b"", 1), f"type {kind:#06x}")
        if reply.body:
            raise Failed(f"the ERR `{hexed(reply.data)}` has a body of {len(reply.body)} bytes")


@check(
    "tag-order", "Requests in flight for a line are answered in order, each once",
    "P 8.4, V 5.18.6", needs="TAG",
)  # fmt: skip
def _tag_order(d: Driver) -> None:
    d.accept("TAG")
    tags = [0x100 + n for n in range(_IN_FLIGHT)]
    for tag in tags:
        d.send(extended(GET_VALUE, 0, 0, b"", tag))
    got = [d.reply(f"request {n} of {_IN_FLIGHT} in flight").tag for n in range(_IN_FLIGHT)]
    d.no_reply(f"{_IN_FLIGHT} requests that were answered")
    if got != tags:
        n = next(n for n in range(_IN_FLIGHT) if got[n] != tags[n])
        raise Failed(f"reply {n} has tag {got[n]:#06x}, not {tags[n]:#06x}")
