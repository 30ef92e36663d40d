# SPDX-License-Identifier: BSD-3-Clause
"""Bodies that firmware sends: well-formed and hostile."""

from __future__ import annotations

import errno

import pytest

from bridge import wire


def test_features_body() -> None:
    assert wire.parse_features(bytes.fromhex("0f00000078563412")) == (0xF, 0x12345678)


@pytest.mark.parametrize("length", range(8))
def test_short_features_body_is_eproto(length: int) -> None:
    with pytest.raises(OSError, match=f"{length} bytes, not 8") as caught:
        wire.parse_features(bytes(length))
    assert caught.value.errno == errno.EPROTO


def test_config_body() -> None:
    body = bytes.fromhex("1000 0000 2a000000") + b"m4-gpioa".ljust(32, b"\0")
    assert wire.parse_config(body) == (16, 42, "m4-gpioa")


def test_config_label_fills_its_field() -> None:
    assert wire.parse_config(bytes.fromhex("0100000000000000") + b"x" * 32).label == "x" * 32


@pytest.mark.parametrize("label", [b"\xc3\xa9", b"a\nb", b"\x1b[2J", b"\x7f", b""])
def test_config_label_that_is_no_text_is_dropped(label: bytes) -> None:
    body = bytes.fromhex("0100000000000000") + label.ljust(32, b"\0")
    assert wire.parse_config(body).label == ""


def test_config_without_lines_is_eproto() -> None:
    with pytest.raises(OSError, match="0 lines") as caught:
        wire.parse_config(bytes(40))
    assert caught.value.errno == errno.EPROTO
    with pytest.raises(OSError, match="39 bytes, not 40"):
        wire.parse_config(bytes(39))


def test_names() -> None:
    assert wire.parse_names(b"A\0\0C C\0", 3) == (["A", None, "C C"], [])


@pytest.mark.parametrize(
    ("block", "names", "complaint"),
    [
        (b"A\0B", ["A", "B"], "terminating NUL"),
        (b"A\0", ["A", None], "1 line names for 2 lines"),
        (b"", [None, None], "0 line names for 2 lines"),
        (b"A\0B\0C\0", ["A", "B"], "3 line names for 2 lines"),
        (b"A\0A\0", ["A", None], 'line 1 has the name "A" of line 0'),
        (b"\xff\0B\0", [None, "B"], "line 0 is not printable"),
        (b"A\0\x1b[2J\0", ["A", None], "line 1 is not printable"),
        (b"x" * 40 + b"\0" + b"x" * 31 + b"\0", ["x" * 31, None], "line 1 has the name"),
    ],
)
def test_bad_names_leave_lines_unnamed(
    block: bytes, names: list[str | None], complaint: str
) -> None:
    found, complaints = wire.parse_names(block, 2)
    assert found == names
    assert any(complaint in one for one in complaints)


def test_feature_names_both_ways() -> None:
    assert wire.feature_mask(["tag", "config"]) == wire.F_TAG | wire.F_CONFIG
    assert wire.feature_names(wire.ALL_FEATURES | 1 << 31) == list(wire.FEATURES)
    with pytest.raises(KeyError):
        wire.feature_mask(["debts"])


def test_wire_numbers_are_those_of_the_specification() -> None:
    # virtio 1.3, 5.18.6.
    assert (wire.MSG_GET_LINE_NAMES, wire.MSG_SET_IRQ_TYPE) == (1, 6)
    assert (wire.DIRECTION_NONE, wire.DIRECTION_OUT, wire.DIRECTION_IN) == (0, 1, 2)
    assert wire.message_name(3) == "SET_DIRECTION"
    assert wire.message_name(0x7FFF) == "message type 0x7fff"


def test_line_caps() -> None:
    body = bytes.fromhex("25000000 10270000")
    assert wire.parse_line_caps(body, 0x12) == (0x25, 10000)
    assert wire.parse_line_caps(body, 0) == (0x25, 10000)  # there is no check
    assert wire.parse_line_caps(bytes.fromhex("ff000000 00000000"), 0).flags == 0x3F
    for wrong in (0x11, 0xFF):
        with pytest.raises(OSError, match="does not fit its check") as caught:
            wire.parse_line_caps(body, wrong)
        assert caught.value.errno == errno.EPROTO
    with pytest.raises(OSError, match="7 bytes, not 8"):
        wire.parse_line_caps(body[:7], 0)


def test_pin_config_and_its_check() -> None:
    packed = wire.pack_pin_config(wire.PinConfig(wire.LINE_PULL_UP, 5000))
    assert packed == (bytes.fromhex("01000000 88130000"), 0x1389)
    assert wire.pack_pin_config(wire.PinConfig()) == (bytes(8), 0x55)
