# SPDX-License-Identifier: BSD-3-Clause
"""Records in words, and what is wrong with them: messages as in docs/protocol.md."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import wire
from bridge.trace.decode import Chip, Decoder, Message
from bridge.trace.record import TraceKind, TraceRecord

SENT, RECEIVED = TraceKind.SENT, TraceKind.RECEIVED


class Wire:
    """One endpoint of a link, message by message, 10 us apart."""

    def __init__(self, features: int = wire.F_TAG) -> None:
        self.features = features
        self.number = 0
        self.decoder = Decoder({0: "m4"})
        self.add(TraceKind.UP, b"")
        self.add(TraceKind.CHANNEL, b"rpmsg-io-0")

    def add(self, kind: int, data: bytes, **changes: Any) -> Message:
        """The last line that the record makes."""
        record = TraceRecord(
            self.number * 10_000, self.number, 1024, 1025, 0, kind, self.features, len(data), data
        )
        self.number += 1
        return list(self.decoder.decode(record._replace(**changes)))[-1]

    def sent(self, text: str) -> Message:
        return self.add(SENT, bytes.fromhex(text))

    def came(self, text: str) -> Message:
        return self.add(RECEIVED, bytes.fromhex(text))


def test_a_request_and_its_reply() -> None:
    link = Wire()
    sent = link.sent("04 00 04 00 00 00 00 00 34 12 00 00")
    assert sent[1:5] == ("m4-0", ">", "GET_VALUE line 4", 0x1234)
    came = link.came("00 00 00 01 34 12 00 00")
    assert came[1:] == ("m4-0", "<", "OK high (GET_VALUE line 4)", 0x1234, 10_000, (), False)


def test_replies_out_of_order_are_matched_by_their_tags() -> None:
    link = Wire()
    link.sent("04 00 01 00 00 00 00 00 01 00 00 00")
    link.sent("04 00 02 00 00 00 00 00 02 00 00 00")
    assert link.came("00 00 00 01 02 00 00 00").text == "OK high (GET_VALUE line 2)"
    assert link.came("00 00 00 00 01 00 00 00").text == "OK low (GET_VALUE line 1)"


@pytest.mark.parametrize("reply", ["00 00 01", "00 00 00 01"])
def test_without_tags_they_are_matched_by_their_order(reply: str) -> None:
    link = Wire(0)
    assert link.sent("04 00 04 00 00 00 00 00").tag is None
    assert link.came(reply).text == "OK high (GET_VALUE line 4)"


def test_lines_have_names_where_they_are_known() -> None:
    link = Wire()
    link.decoder = Decoder({0: "m4"}, {("m4", 1025): Chip("m4-3", [None, "LED"])})
    sent = link.sent("05 00 01 00 01 00 00 00 01 00 00 00")
    assert (sent.where, sent.text) == ("m4-3", 'SET_VALUE line 1 "LED" high')


@pytest.mark.parametrize(
    ("request_", "reply", "says", "answer"),
    [
        ("03 00 02 00 02 00 00 00", "00 00 00", "SET_DIRECTION line 2 in", "OK"),
        ("02 00 02 00 00 00 00 00", "00 00 02", "GET_DIRECTION line 2", "OK in"),
        ("06 00 02 00 03 00 00 00", "00 00 00", "SET_IRQ_TYPE line 2 both edges", "OK"),
        (
            "00 80 00 00 05 00 00 00",
            "00 00 00 00 00 00 00 00 05 00 00 00 d4 c3 b2 a1",
            "GET_FEATURES config+tag",
            "OK offers config+tag, epoch 0xa1b2c3d4",
        ),
        (
            "10 80 02 00 04 00 00 00 00 00 00 00",
            "00 00 00 00 00 00 00 00 04 00 00 00 01 00 00 00",
            "GRANT_CREDITS line 2 4 in all",
            "OK granted 4, sent 1",
        ),
        (
            "20 80 00 00 00 00 00 00 00 00 00 00",
            "00 00 00 00 00 00 00 00 00 ca 9a 3b 00 00 00 00",
            "GET_TIME",
            "OK 1.000000000 s",
        ),
        (
            "31 80 00 00 02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
            "00 00 00 00 00 00 00 00",
            "SET_VALUES 0=1 1=0",
            "OK",
        ),
        (
            "30 80 01 00 03 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00",
            "00 00 00 02 00 00 00 00 02 00 00 00 00 00 00 00",
            "GET_VALUES of lines 1,2",
            "OK high: 2",
        ),
        (
            "41 80 02 00 89 13 00 00 00 00 00 00 01 00 00 00 88 13 00 00",
            "00 00 00 00 00 00 00 00",
            "SET_LINE_CONFIG line 2 pull-up, debounce 5000 us",
            "OK",
        ),
        (
            "40 80 02 00 00 00 00 00 00 00 00 00",
            "00 00 00 12 00 00 00 00 25 00 00 00 10 27 00 00",
            "GET_LINE_CAPS line 2",
            "OK pull-up+bias-disable+debounce, at most 10000 us",
        ),
        (
            "50 80 00 00 00 00 00 00 00 00 00 00",
            "00 00 00 00 00 00 00 00 0c 00 00 00 01 00 00 00 00 01 00 00 02 00 00 00 03 00 00 00",
            "GET_COUNTERS",
            "OK requests 12, refused 1, sent 256, starved 2, overruns 3",
        ),
    ],
)
def test_messages_in_words(request_: str, reply: str, says: str, answer: str) -> None:
    link = Wire(0)
    assert link.sent(request_).text == says
    came = link.came(reply)
    assert came.text.startswith(f"{answer} (")
    assert came.faults == ()


def test_events() -> None:
    link = Wire(wire.F_CREDITS | wire.F_TIMESTAMP)
    one = "01 01 02 00 01 00 00 00 00 ca 9a 3b 00 00 00 00"
    two = "01 02 03 00 01 00 00 00 00 94 35 77 00 00 00 00"
    assert link.came(one + two).text == (
        "2 EVENTS line 2 high #1 at 1.000000000 s; line 3 low #1 at 2.000000000 s late"
    )


def faults(features: int, *messages: str) -> tuple[str, ...]:
    """What is wrong with the last one; those that begin with > are sent."""
    link = Wire(features)
    for message in messages:
        last = link.sent(message[1:]) if message.startswith(">") else link.came(message)
    return last.faults


GET = ">04 00 04 00 00 00 00 00"
TAGGED = GET + " 07 00 00 00"
ARM = ">06 00 02 00 03 00 00 00"


@pytest.mark.parametrize(
    ("features", "messages", "fault"),
    [
        (0, [GET, "00 01 00"], "refused"),
        (0, ["00 00 00"], "answers no request"),
        (0, [GET, "00 02 00"], "status 2 is neither OK nor ERR"),
        (0, [GET, "00 00 02"], "value 2 is neither low nor high"),
        (0, ["02 00 00"], "byte 0 is 2, no queue"),
        (0, [""], "an empty message"),
        (0, [GET, "00 00 00 00 00"], "a reply of 5 bytes: it has 3, 4, or 8 and more"),
        (0, ["01 00 00 00 00"], "an event of 5 bytes: it has 3 or 4 bytes"),
        (wire.F_TAG, [TAGGED, "00 00 00 01 08 00 00 00"], "answers no request"),
        (
            wire.F_TAG,
            [TAGGED, "00 01 00"],
            "in baseline form: the firmware has forgotten what was negotiated",
        ),
        (
            wire.F_BULK,
            [">30 80 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
             "00 00 00 07 00 00 00 00 01 00 00 00 00 00 00 00"],
            "the body does not fit its check",
        ),
        (wire.F_CREDITS, ["01 02 00"], "an event of 3 bytes: it has records of 8 bytes"),
        (wire.F_CREDITS, ["01 04 02 00 01 00 00 00"], "flags 0x4 of line 2 are not defined"),
        (
            wire.F_CREDITS,
            ["01 00 02 00 05 00 00 00", "01 00 02 00 05 00 00 00"],
            "number 5 of line 2 is not ahead of 5",
        ),
        (
            wire.F_CREDITS,
            ["01 00 02 00 05 00 00 00", "01 00 02 00 08 00 00 00"],
            "2 edges of line 2 are missing",
        ),
        (0, [ARM, "00 00 00", "01 02 00", "01 02 00"],
         "a second event before the line was armed again"),
    ],
)  # fmt: skip
def test_what_is_wrong(features: int, messages: list[str], fault: str) -> None:
    assert fault in faults(features, *messages)


def test_an_armed_line_may_fire_again() -> None:
    assert faults(0, ARM, "00 00 00", "01 02 00", ARM, "00 00 00", "01 02 00") == ()


def test_a_line_beyond_the_controller() -> None:
    config = "00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00" + 32 * " 00"
    assert faults(wire.F_CONFIG, ">02 80 00 00 00 00 00 00 00 00 00 00", config, "01 04 00") == (
        "line 4 is not there: there are 4",
    )


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (40 * " 00", "the firmware says it has 0 lines; at least 1 is needed"),
        (39 * " 01", "the GET_CONFIG reply has a body of 39 bytes, not 40"),
    ],
)
def test_a_configuration_that_cannot_be(config: str, fault: str) -> None:
    head = "00 00 00 00 00 00 00 00"
    found = faults(wire.F_CONFIG, ">02 80 00 00 00 00 00 00 00 00 00 00", head + config)
    assert found == (fault,)


def test_a_timeout_and_the_reply_that_comes_too_late() -> None:
    link = Wire()
    request = bytes.fromhex(TAGGED[1:])
    link.sent(TAGGED[1:])
    given_up = link.add(TraceKind.TIMEOUT, request)
    assert given_up[3:7] == ("no reply to GET_VALUE line 4", 7, 10_000, ("timeout",))
    assert link.came("00 00 00 01 07 00 00 00").faults == ("late: the request was given up",)


def test_after_a_loss_nobody_is_accused() -> None:
    link = Wire()
    link.number += 3
    lines = list(link.decoder.decode(
        TraceRecord(60_000, link.number, 1024, 1025, 0, RECEIVED, wire.F_TAG, 8,
                    bytes.fromhex("00 00 00 01 07 00 00 00"))
    ))  # fmt: skip
    assert [line.faults for line in lines] == [("lost",), ()]
    assert lines[0].text == "3 messages were not read in time, and are missing here"


def test_what_is_no_message() -> None:
    link = Wire()
    assert link.add(TraceKind.SENT_AGAIN, bytes.fromhex(GET[1:])).again
    assert link.add(TraceKind.REPEATED, b"\0\0\0").again
    assert link.add(TraceKind.DAMAGED, b"", address=0).faults == ("damaged on the line",)
    gone = link.add(TraceKind.DOWN, b"unplugged", address=0)
    assert gone[1:] == ("m4", "-", "the link is down", None, None, ("unplugged",), False)


def test_any_bytes_are_decoded_without_an_exception() -> None:
    link = Wire(wire.ALL_FEATURES)
    seed = 1
    for length in range(64):
        data = bytearray()
        for _ in range(length):
            seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
            data.append(seed >> 16 & 0xFF)
        for kind in TraceKind:
            for first in (b"", b"\0", b"\1"):
                link.add(kind, first + bytes(data), features=seed & 0xFF)
