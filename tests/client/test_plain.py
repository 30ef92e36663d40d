# SPDX-License-Identifier: BSD-3-Clause
"""The client's data classes and addresses: what needs no service."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path

import pytest

import bridge as gpiod
from bridge import control_protocol, uapi
from bridge.client import address
from bridge.client.line_settings import debounce_us, flags_of
from bridge.line import Bias, Clock, Direction, Drive, Edge, Value


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys; import bridge; print([m for m in sys.modules if m.startswith('bridge.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    for name in gpiod.__all__:
        assert getattr(gpiod, name) is not None
        assert name in dir(gpiod)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gpiod.nothing


def test_enum_numbers_are_those_of_libgpiod() -> None:
    assert [m.value for m in Value] == [0, 1]
    assert [m.value for m in Direction] == [1, 2, 3]
    assert [m.value for m in Bias] == [1, 2, 3, 4, 5]
    assert [m.value for m in Drive] == [1, 2, 3]
    assert [m.value for m in Edge] == [1, 2, 3, 4]
    assert [m.value for m in Clock] == [1, 2, 3]
    assert Value.ACTIVE
    assert not Value.INACTIVE
    assert str(Value.ACTIVE) == "Value.ACTIVE"


def test_settings_defaults() -> None:
    settings = gpiod.LineSettings()
    assert settings.direction is Direction.AS_IS
    assert settings.edge_detection is Edge.NONE
    assert settings.bias is Bias.AS_IS
    assert settings.drive is Drive.PUSH_PULL
    assert settings.active_low is False
    assert settings.debounce_period == timedelta()
    assert settings.event_clock is Clock.MONOTONIC
    assert settings.output_value is Value.INACTIVE
    assert flags_of(settings) == 0


def test_settings_repr_evaluates_to_an_equal_object() -> None:
    settings = gpiod.LineSettings(
        direction=Direction.OUTPUT, active_low=True, debounce_period=timedelta(microseconds=3000)
    )
    assert eval(repr(settings), {"gpiod": gpiod, "datetime": datetime}) == settings
    assert repr(gpiod.LineSettings(direction=Direction.OUTPUT)) == (
        "gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT, "
        "edge_detection=gpiod.line.Edge.NONE, bias=gpiod.line.Bias.AS_IS, "
        "drive=gpiod.line.Drive.PUSH_PULL, active_low=False, "
        "debounce_period=datetime.timedelta(0), event_clock=gpiod.line.Clock.MONOTONIC, "
        "output_value=gpiod.line.Value.INACTIVE)"
    )


def test_settings_str() -> None:
    assert str(gpiod.LineSettings(direction=Direction.OUTPUT, active_low=True)) == (
        "<LineSettings direction=Direction.OUTPUT edge_detection=Edge.NONE bias=Bias.AS_IS "
        "drive=Drive.PUSH_PULL active_low=True debounce_period=0:00:00 "
        "event_clock=Clock.MONOTONIC output_value=Value.INACTIVE>"
    )


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({"direction": Direction.INPUT}, uapi.GPIO_V2_LINE_FLAG_INPUT),
        (
            {"direction": Direction.OUTPUT, "drive": Drive.OPEN_DRAIN, "active_low": True},
            uapi.GPIO_V2_LINE_FLAG_OUTPUT
            | uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN
            | uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW,
        ),
        (  # an edge implies the direction
            {"edge_detection": Edge.BOTH, "event_clock": Clock.REALTIME, "bias": Bias.PULL_UP},
            uapi.GPIO_V2_LINE_FLAG_INPUT
            | uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
            | uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
            | uapi.GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME
            | uapi.GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
        ),
    ],
)
def test_settings_as_kernel_flags(settings: dict[str, object], flags: int) -> None:
    assert flags_of(gpiod.LineSettings(**settings)) == flags  # type: ignore[arg-type]


def test_settings_that_can_not_be_asked_for() -> None:
    with pytest.raises(ValueError, match="UNKNOWN can not be requested"):
        flags_of(gpiod.LineSettings(bias=Bias.UNKNOWN))
    with pytest.raises(AttributeError, match="no member of the enum"):
        flags_of(gpiod.LineSettings(direction=2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        debounce_us(gpiod.LineSettings(debounce_period=timedelta(seconds=-1)))
    with pytest.raises(ValueError, match="too long"):
        debounce_us(gpiod.LineSettings(debounce_period=timedelta(hours=2)))
    longest = timedelta(microseconds=2**32 - 1)
    assert debounce_us(gpiod.LineSettings(debounce_period=longest)) == 2**32 - 1


def test_edge_event() -> None:
    event = gpiod.EdgeEvent(1, 123456789, 3, 7, 2)
    assert event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE
    assert str(event) == (
        "<EdgeEvent type=Type.RISING_EDGE timestamp_ns=123456789 line_offset=3 "
        "global_seqno=7 line_seqno=2>"
    )
    assert event == gpiod.EdgeEvent(1, 123456789, 3, 7, 2)
    assert len({event, gpiod.EdgeEvent(1, 123456789, 3, 7, 2)}) == 1
    with pytest.raises(FrozenInstanceError):
        event.line_offset = 4  # type: ignore[misc]


def test_line_info() -> None:
    info = gpiod.LineInfo(0, "foo", True, "hogger", 3, False, 2, 1, 1, 1, False, 0)
    assert str(info) == (
        '<LineInfo offset=0 name="foo" used=True consumer="hogger" direction=Direction.OUTPUT '
        "active_low=False bias=Bias.UNKNOWN drive=Drive.PUSH_PULL edge_detection=Edge.NONE "
        "event_clock=Clock.MONOTONIC debounced=False debounce_period=0:00:00>"
    )
    assert hash(info) == hash(
        gpiod.LineInfo(0, "foo", True, "hogger", 3, False, 2, 1, 1, 1, False, 0)
    )
    with pytest.raises(FrozenInstanceError):
        info.name = "bar"  # type: ignore[misc]
    free = gpiod.LineInfo(1, "", False, "", 2, False, 2, 1, 1, 1, False, 0)
    assert free.name is None
    assert free.consumer is None


def test_chip_info_str() -> None:
    info = gpiod.ChipInfo("fw-0", "m4", 16)
    assert str(info) == '<ChipInfo name="fw-0" label="m4" num_lines=16>'
    with pytest.raises(FrozenInstanceError):
        info.label = "x"  # type: ignore[misc]


def test_state_errors_have_libgpiods_words() -> None:
    assert str(gpiod.ChipClosedError()) == "I/O operation on closed chip"
    assert str(gpiod.RequestReleasedError()) == "GPIO lines have been released"


def test_a_path_that_exists_is_no_socket_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbolic link may have a # in its name, as one to a chip may have."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "x.sock"))
        (tmp_path / "fw-0").symlink_to("x.sock")
        (tmp_path / "gpio#1").symlink_to("fw-0")
        at = str(tmp_path / "x.sock")
        assert address.parse(str(tmp_path / "gpio#1")) == (at, None, "fw-0")
        assert address.parse(f"{at}#fw-0") == (at, None, "fw-0")
        (tmp_path / "fw#1.sock").touch()
        link = f"vhost-user:{tmp_path}/fw#1.sock"
        assert address.parse(link) == (None, link, "")
        assert address.parse(f"{link}#1") == (None, link, "1")
        monkeypatch.chdir(tmp_path)
        assert address.parse("gpio#1") == ("x.sock", None, "fw-0")
        assert address.parse("x.sock#fw-0") == ("x.sock", None, "fw-0")


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIO_BRIDGE_SOCKET", "/tmp/x.sock")
    assert address.parse("fw-0") == ("/tmp/x.sock", None, "fw-0")
    assert address.parse("fw-0", "/tmp/y.sock") == ("/tmp/y.sock", None, "fw-0")
    assert address.parse("/a#b/c.sock#fw-0") == ("/a#b/c.sock", None, "fw-0")
    assert address.parse("#fw-0") == ("/tmp/x.sock", None, "fw-0")
    assert address.parse("vhost-user:/run/fw.sock") == (None, "vhost-user:/run/fw.sock", "")
    assert address.parse("vhost-user:/fw.sock#1") == (None, "vhost-user:/fw.sock", "1")
    monkeypatch.delenv("GPIO_BRIDGE_SOCKET")
    assert address.parse("fw-0").socket == control_protocol.DEFAULT_SOCKET
