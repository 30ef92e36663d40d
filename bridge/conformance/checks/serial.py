# SPDX-License-Identifier: BSD-3-Clause
"""The serial framing, on serial links. Reads a direction; changes nothing."""

from __future__ import annotations

import struct
import time

from bridge.conformance.check import SHOULD, Failed, check
from bridge.conformance.driver import GET_DIRECTION, GET_FEATURES, hexed, request
from bridge.conformance.framing import (
    ACK,
    ANNOUNCEMENTS,
    DATA,
    NAK,
    NOBODY,
    POLL,
    RESET,
    VERSION,
    WELCOME,
    Frame,
    Framing,
    encode,
    stuff,
)

_ASK = request(GET_DIRECTION)
_LIST = b"\2"
_RETRY_MAX_MS = 10_000


def _works(f: Framing, when: str) -> None:
    """A request and its reply."""
    f.post(_ASK)
    f.reply(f"to a request {when}")


def _not_taken(f: Framing, what: str) -> None:
    """Check that nothing came in answer to what was sent."""
    frames = f.fence(f"after {what}")
    if frames[-1].ack != f.next:
        raise Failed(f"{what} was taken: {frames[-1].ack} is expected next, not {f.next}")
    if any(frame.kind == DATA for frame in frames):
        raise Failed(f"{what} was answered")


@check(
    "serial-welcome", "WELCOME has session, version, an mru and a window", "P 12.2", needs="serial"
)
def _welcome(f: Framing) -> None:
    f.begin()
    welcome = f.welcome
    if welcome.version != VERSION:
        raise Failed(f"WELCOME has version {welcome.version}, not {VERSION}")
    if welcome.mru < 16 or not 1 <= welcome.window <= 64 or welcome.reserved:
        raise Failed(
            f"WELCOME has mru {welcome.mru}, window {welcome.window}, reserved "
            f"{welcome.reserved}; right are 16 and more, 1 to 64, and 0"
        )


@check(
    "serial-version",
    "HELLO of another version gets WELCOME with our own, and no session",
    *("P 12.3", "MUST", "serial"),
)
def _version(f: Framing) -> None:
    f.begin()
    f.write(encode(struct.pack("<BBI", RESET, 0, f.session)))
    f.session ^= 1
    welcome = f.greet(f.hello(version=99))
    if welcome.version != VERSION:
        raise Failed(f"WELCOME to a HELLO of version 99 has version {welcome.version}")
    f.send(POLL, 0)
    if f.expect(ACK, RESET, after="to a POLL without session").kind != RESET:
        raise Failed("a HELLO of version 99 began a session")


@check("serial-hello-again", "HELLO of the session that is up changes nothing", "P 12.3",
       needs="serial")  # fmt: skip
def _hello_again(f: Framing) -> None:
    f.begin()
    _works(f, "after a HELLO")
    again = f.greet(f.hello())
    if again != f.welcome:
        raise Failed("the second WELCOME differs from the first one")
    _works(f, "after a second HELLO of the same session")


@check("serial-no-session", "Without a session DATA, ACK, NAK and POLL are answered by RESET",
       "P 12.3", needs="serial")  # fmt: skip
def _no_session(f: Framing) -> None:
    f.begin()
    f.write(encode(struct.pack("<BBI", RESET, 0, f.session)))
    for kind in (POLL, ACK, NAK):
        f.send(kind, 0)
        f.expect(RESET, after="to a frame without session")
    f.write(encode(f.data(_ASK, 0)))
    f.expect(RESET, after="to DATA without session")


@check("serial-reset-silent", "A RESET is never answered", "P 12.3", needs="serial")
def _reset_silent(f: Framing) -> None:
    f.begin()
    for _ in range(2):  # with a session, and without
        f.write(encode(struct.pack("<BBI", RESET, 0, f.session)))
    f.session ^= 1
    f.write(encode(f.hello()))
    while (frame := f.expect(WELCOME, RESET, after="to a HELLO")).kind == RESET:
        raise Failed("a RESET is answered by a RESET")
    if frame.data[2:6] != struct.pack("<I", f.session):
        raise Failed("WELCOME has another session than the HELLO")


@check("serial-epoch", "WELCOME, RESET and GET_FEATURES tell the same epoch", "P 12.2, P 9.3",
       needs="serial")  # fmt: skip
def _epoch(f: Framing) -> None:
    f.begin()
    f.post(request(GET_FEATURES))
    features = f.reply("to GET_FEATURES")
    first = f.welcome.epoch
    f.begin()
    if f.welcome.epoch != first:
        raise Failed(f"WELCOME tells epoch {f.welcome.epoch:#x}, the one before {first:#x}")
    if len(features) == 16 and (told := int.from_bytes(features[12:], "little")) not in (0, first):
        raise Failed(f"GET_FEATURES tells epoch {told:#x}, WELCOME {first:#x}")
    f.write(encode(struct.pack("<BBI", RESET, 0, f.session)))
    f.send(POLL, 0)
    told = int.from_bytes(f.expect(RESET, after="to a POLL without session").data[2:6], "little")
    if told != first:
        raise Failed(f"RESET tells epoch {told:#x}, WELCOME {first:#x}")


@check("serial-crc", "A frame whose CRC does not fit is dropped", "P 12.1", needs="serial")
def _crc(f: Framing) -> None:
    f.begin()
    f.write(stuff(f.data(_ASK) + b"\x12\x34\x56\x78"))
    _not_taken(f, "a frame with a wrong CRC")
    _works(f, "after a frame with a wrong CRC")


@check("serial-garbage", "The next frame is found behind the next delimiter", "P 12.1",
       needs="serial")  # fmt: skip
def _garbage(f: Framing) -> None:
    f.begin()
    for garbage in (b"\xff\x01\x02\x00", b"\x00\x00\x00", b"\x09login: \x00", encode(_ASK)[2:]):
        f.write(garbage)
        _works(f, f"behind `{hexed(garbage)}`")


@check("serial-oversized", "A frame longer than the mru allows is dropped", "P 12.1",
       needs="serial")  # fmt: skip
def _oversized(f: Framing) -> None:
    f.begin()
    length = f.welcome.mru + 1
    f.write(encode(f.data(_ASK.ljust(length, b"\0"))))
    _not_taken(f, f"a message of {length} bytes, one more than the mru,")
    _works(f, "after a frame that is too long")


@check("serial-unknown", "A frame of an unknown kind is ignored", "P 12.1", needs="serial")
def _unknown(f: Framing) -> None:
    f.begin()
    for kind in (0x00, 0x07, 0x42, 0x7F):
        f.write(encode(bytes([kind]) + bytes(17)))
        _not_taken(f, f"a frame of kind {kind:#04x}")
    _works(f, "after frames of unknown kinds")


@check("serial-repeated", "A frame that comes again is acknowledged and not taken again",
       "P 12.4", needs="serial")  # fmt: skip
def _repeated(f: Framing) -> None:
    f.begin()
    frame = encode(f.data(_ASK))
    _works(f, "after a HELLO")
    f.write(frame)
    _not_taken(f, "a frame that came again")


@check("serial-order", "Only the frame with the expected number is taken", "P 12.4",
       needs="serial")  # fmt: skip
def _order(f: Framing) -> None:
    f.begin()
    for ahead in (1, 63):
        f.write(encode(f.data(_ASK, f.next + ahead)))
        _not_taken(f, f"a frame {ahead} beyond the expected one")
    _works(f, "after frames beyond it")


@check("serial-nak", "A damaged or missing frame is answered by NAK at once", "P 12.4", SHOULD,
       "serial")  # fmt: skip
def _nak(f: Framing) -> None:
    for what, wire in (("damaged", b"\xff\x01\x00"), ("missing", encode(f.data(_ASK, 1)))):
        f.begin()
        f.write(wire)
        naks = [frame for frame in f.fence(f"after a {what} frame") if frame.kind == NAK]
        if not naks:
            raise Failed(f"no NAK after a {what} frame")
        if naks[0].ack:
            raise Failed(f"the NAK after a {what} frame expects {naks[0].ack}, not 0")


@check("serial-ack", "What has no reply is acknowledged by itself, also for no endpoint",
       "P 12.4, P 12.5", needs="serial")  # fmt: skip
def _ack(f: Framing) -> None:
    f.begin()
    f.post(_ASK, NOBODY)
    frame = f.expect(ACK, after="of a message to an endpoint that does not exist")
    if frame.ack != f.next:
        raise Failed(f"the ACK expects {frame.ack}, not {f.next}")


@check("serial-poll", "A POLL is answered by an ACK", "P 12.4", needs="serial")
def _poll(f: Framing) -> None:
    f.begin()
    for _ in range(5):
        f.send(POLL)
        f.expect(ACK, after="to a POLL")


@check("serial-quiet", "An ACK is not answered: an idle line carries nothing", "P 12.4",
       SHOULD, "serial")  # fmt: skip
def _quiet(f: Framing) -> None:
    f.begin()
    for _ in range(3):  # the answer to an ACK would come before the WELCOME to the second HELLO
        f.send(ACK)
        f.write(encode(f.hello()))
        if f.expect(ACK, WELCOME, after="to a HELLO").kind == ACK:
            raise Failed("an ACK is answered by an ACK")


@check("serial-window", "No more frames are unacknowledged than HELLO's window", "P 12.4",
       needs="serial")  # fmt: skip
def _window(f: Framing) -> None:
    f.begin(window=1)
    unacknowledged = f.expected
    f.expected = 0  # we acknowledge nothing of what we have
    f.post(_LIST, ANNOUNCEMENTS)
    f.post(_ASK)
    frames = f.fence("with a window of 1")
    numbers = {frame.number for frame in frames if frame.kind == DATA}
    if unacknowledged > 1 or numbers - {0}:
        raise Failed("more than one frame was unacknowledged, HELLO's window is 1")
    f.expected = 1
    f.send(ACK)
    _next_is(f, 1, "after the first of several frames is acknowledged")


def _next_is(f: Framing, number: int, when: str) -> Frame:
    frame = f.expect(DATA, after=when)
    if frame.number != number:
        raise Failed(f"DATA {frame.number} {when}, not {number}")
    return frame


@check("serial-again", "What is not acknowledged is sent again after retry_ms", "P 12.4",
       needs="serial")  # fmt: skip
def _again(f: Framing) -> None:
    f.begin(retry_ms=20)
    f.send(ACK)
    number = f.expected
    f.post(_ASK)
    first = _next_is(f, number, "in reply")
    for _ in range(2):
        again = _next_is(f, number, "when it was not acknowledged")
        if again.message != first.message:
            raise Failed("the frame that is sent again carries another message")


@check("serial-nak-heard", "After a NAK all unacknowledged frames are sent again, in order",
       "P 12.4", needs="serial")  # fmt: skip
def _nak_heard(f: Framing) -> None:
    f.begin(retry_ms=_RETRY_MAX_MS)
    number = f.expected
    began = time.monotonic()
    for _ in range(3):
        f.post(_ASK)
    for ahead in range(3):
        _next_is(f, (number + ahead) & 0x7F, "in reply")
    f.send(NAK, number)
    for ahead in range(3):
        _next_is(f, (number + ahead) & 0x7F, "after a NAK")
    took = time.monotonic() - began
    if took * 1000 >= _RETRY_MAX_MS:  # more than a busy host needs: the timer did it
        raise Failed(f"DATA came again after {took:.1f} s, at retry_ms and not at the NAK")


@check("serial-announced", "Channels are announced with a session, and when asked",
       "P 12.5", needs="serial")  # fmt: skip
def _announced(f: Framing) -> None:
    first = f.begin()
    if not first:
        raise Failed("no channel is announced with a session")
    for message in first:
        if len(message) < 3 or len(message) > 33 or message[0] or message[1] == ANNOUNCEMENTS:
            raise Failed(f"the announcement `{hexed(message)}` is no name of a channel")
    f.post(_LIST, ANNOUNCEMENTS)
    again = f.gather("after the request for announcements")
    if again != first:
        raise Failed(f"{len(again)} channels are announced when asked, {len(first)} before")
