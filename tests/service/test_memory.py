# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of held lines when the firmware restarts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge import wire
from bridge.chips import reservation
from bridge.chips.chip import Chip
from bridge.chips.line import Line
from bridge.service import memory
from bridge.service.config import ConfigError, LinkConfig, from_table, link_from_flag
from bridge.shim.ffi import lib
from firmware_stub import Stub
from tests.users import ALICE, BOB, needs_root, user

from .conftest import PATIENT_MS, TIMEOUT_MS, RawClient, Running
from .test_control import INPUT, OUTPUT, RISING, hung_up, line

ACTIVE_LOW = 1 << 1  # GPIO_V2_LINE_FLAG_ACTIVE_LOW
OPEN_DRAIN = 1 << 6  # GPIO_V2_LINE_FLAG_OPEN_DRAIN
GREEN, RED, BLUE, BUTTON = 0, 1, 2, 6
NAMES = {GREEN: "LED_GREEN", RED: "LED_RED", BLUE: "LED_BLUE", BUTTON: "BUTTON_USER"}
Eventually = Callable[[Callable[[], bool], str], None]


@pytest.fixture
def policies(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """LED_GREEN is restored, LED_RED kept, LED_BLUE forgotten; all others are restored."""
    timeout_ms = getattr(request, "param", PATIENT_MS)
    own = {"LED_RED": "hold", "LED_BLUE": "release"}
    with (
        Stub("demo") as stub,
        Running(
            stub,
            tmp_path / "control.sock",
            timeout_ms,
            on_restart="restore",
            lines_on_restart=own,
        ) as running,
    ):
        running.client().wait("fw-0")
        yield running


def restart(running: Running, client: RawClient) -> None:
    """The firmware starts anew, and its chip is back."""
    before = client.ok("chip", chip="fw-0")["epoch"]
    with client.goes_and_comes("fw-0"):
        running.stub.restart()
    assert client.ok("chip", chip="fw-0")["epoch"] != before


def direction(running: Running, offset: int) -> str:
    return running.stub.state(NAMES[offset]).direction


def info(client: RawClient, offset: int) -> tuple[bool, str | None]:
    found = client.ok("lines", chip="fw-0")["lines"][offset]
    return found["used"], found["consumer"]


@needs_root
def test_line_is_kept_for_a_user_and_not_for_a_name_that_anybody_can_say(
    policies: Running,
) -> None:
    def client_of(uid: int) -> RawClient:
        with user(uid):
            return RawClient(policies.thread.connect())

    alice, bob = client_of(ALICE), client_of(BOB)
    held = alice.request("fw-0", line(RED), consumer="me")
    restart(policies, alice)
    held.close()
    number, message = bob.fails("request", chip="fw-0", lines=[line(RED)], consumer="me")
    assert number == errno.EBUSY
    assert f'is kept for "me" of user id {ALICE}' in message
    alice.request("fw-0", line(RED), consumer="me").close()


def test_each_line_by_its_policy(policies: Running) -> None:
    client = policies.client()
    lines = [line(offset, OUTPUT, 1) for offset in (GREEN, RED, BLUE)]
    held = client.request("fw-0", *lines, consumer="me")
    restart(policies, client)
    assert hung_up(held.event)
    assert (direction(policies, GREEN), policies.stub.read("LED_GREEN")) == ("out", 1)
    assert direction(policies, RED) == "none"
    assert direction(policies, BLUE) == "none"
    assert info(client, GREEN) == (False, None)
    assert info(client, RED) == (True, "me")
    assert info(client, BLUE) == (False, None)
    held.close()
    number, message = client.fails("request", chip="fw-0", lines=[line(RED)], consumer="you")
    assert number == errno.EBUSY
    assert 'is kept for "me"' in message
    again = client.request("fw-0", *lines, consumer="me")
    assert policies.stub.read("LED_RED") == 1
    again.close()


@pytest.mark.parametrize("flags", [OUTPUT, OUTPUT | ACTIVE_LOW])
def test_the_last_value_is_restored(policies: Running, flags: int) -> None:
    client = policies.client()
    held = client.request("fw-0", line(GREEN, flags, 0))
    assert held.operate(lib.GB_OPERATION_SET, 1, 1)[0] == 0
    before = policies.stub.read("LED_GREEN")
    restart(policies, client)
    assert direction(policies, GREEN) == "out"
    assert policies.stub.read("LED_GREEN") == before == (0 if flags & ACTIVE_LOW else 1)
    held.close()


@pytest.mark.parametrize("policies", [TIMEOUT_MS], indirect=True, ids=["impatient"])
def test_a_value_that_the_firmware_did_not_take_is_not_restored(policies: Running) -> None:
    client = policies.client()
    held = client.request("fw-0", line(GREEN, OUTPUT, 0))
    policies.stub.fault("stall", "on")
    assert held.operate(lib.GB_OPERATION_SET, 1, 1)[0] == errno.ETIMEDOUT
    restart(policies, client)
    assert (direction(policies, GREEN), policies.stub.read("LED_GREEN")) == ("out", 0)
    held.close()


@pytest.mark.parametrize("caps", [("bias", "drive", "debounce"), ()], ids=["pin", "emulated"])
def test_open_drain_is_restored_as_it_floats(policies: Running, caps: tuple[str, ...]) -> None:
    client = policies.client()
    policies.stub.caps("LED_GREEN", *caps)
    restart(policies, client)  # capabilities are asked for once
    floating = ("out", wire.LINE_OPEN_DRAIN) if caps else ("in", 0)
    held = client.request("fw-0", line(GREEN, OUTPUT | OPEN_DRAIN, 0))
    assert direction(policies, GREEN) == "out"
    assert held.operate(lib.GB_OPERATION_SET, 1, 1)[0] == 0
    for _ in range(2):
        config = policies.stub.config("LED_GREEN")
        assert (direction(policies, GREEN), config.flags) == floating
        restart(policies, client)
    held.close()


def test_restored_until_somebody_takes_it(policies: Running) -> None:
    client = policies.client()
    client.request("fw-0", line(GREEN, OUTPUT, 1), line(BUTTON, INPUT | RISING)).close()
    restart(policies, client)
    assert direction(policies, GREEN) == "none", "it was released before"
    held = client.request("fw-0", line(GREEN, OUTPUT, 1), line(BUTTON, INPUT | RISING))
    for _ in range(3):  # the client is gone, and nobody else takes it
        restart(policies, client)
        held.close()
        assert policies.stub.read("LED_GREEN") == 1
        assert direction(policies, BUTTON) == "in"
    client.request("fw-0", line(GREEN, OUTPUT, 0), consumer="other").close()
    client.request("fw-0", line(BUTTON)).close()
    restart(policies, client)
    assert direction(policies, GREEN) == "none"


def test_reservation_ends(
    policies: Running, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(reservation, "HOLD_S", 0.2)
    client = policies.client()
    held = client.request("fw-0", line(RED, OUTPUT, 1), consumer="me")
    restart(policies, client)
    held.close()
    eventually(lambda: info(client, RED) == (False, None), "the line to be free")
    client.request("fw-0", line(RED), consumer="you").close()
    restart(policies, client)
    assert info(client, RED) == (False, None)


def test_reservation_lasts_over_further_restarts(policies: Running) -> None:
    client = policies.client()
    held = client.request("fw-0", line(RED, OUTPUT, 1), consumer="me")
    for _ in range(3):
        restart(policies, client)
        assert info(client, RED) == (True, "me")
    held.close()


def test_a_dead_stub_that_comes_back_is_a_restart_too(policies: Running) -> None:
    client = policies.client()
    held = client.request("fw-0", line(GREEN, OUTPUT, 1), line(RED, OUTPUT, 1), consumer="me")
    policies.stub.kill()
    client.wait("fw-0", online=False)
    held.close()
    policies.stub.start()
    client.wait("fw-0")
    assert policies.stub.read("LED_GREEN") == 1
    assert info(client, RED) == (True, "me")


def test_configuration() -> None:
    table = {
        "on_restart": "hold",
        "link": [
            {"url": "vhost-user:/a", "lines_on_restart": {"RESET": "restore"}},
            {"url": "vhost-user:/b", "on_restart": "release"},
        ],
    }
    first, second = from_table(table, "file").links
    assert (first.on_restart, dict(first.lines_on_restart)) == ("hold", {"RESET": "restore"})
    assert (second.on_restart, dict(second.lines_on_restart)) == ("release", {})
    link = link_from_flag("vhost-user:/a,on_restart=hold,on_restart.A B=release,lines=3", {})
    assert (link.url, link.on_restart, link.lines) == ("vhost-user:/a", "hold", 3)
    assert dict(link.lines_on_restart) == {"A B": "release"}
    assert LinkConfig("vhost-user:/a").on_restart == "release"
    for wrong in ("on_restart=keep", "on_restart.LED=none"):
        with pytest.raises(ConfigError, match='expected "release" or "restore" or "hold"'):
            link_from_flag(f"vhost-user:/a,{wrong}", {})


def test_of_two_lines_with_one_name_the_right_one_is_restored(tmp_path: Path) -> None:
    names = {"0": ("TWIN", "TWIN")}
    with (
        Stub("demo") as stub,
        Running(stub, tmp_path / "control.sock", on_restart="restore", names=names) as running,
    ):
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(RED, OUTPUT, 1))
        restart(running, client)
        held.close()
        assert (direction(running, RED), stub.read("LED_RED")) == ("out", 1)
        assert direction(running, GREEN) == "none"


def test_lines_are_kept_though_the_firmware_does_not_let_others_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifteen lines to restore, one to keep; the firmware is silent on the first ones."""
    kept = "SENSOR_IRQ"
    with (
        Stub("demo") as stub,
        Running(
            stub, tmp_path / "control.sock", on_restart="restore", lines_on_restart={kept: "hold"}
        ) as running,
    ):
        client = running.client()
        client.wait("fw-0")
        at = client.ok("find", name=kept, chip="fw-0")["found"][0][1]
        lines = [line(offset, INPUT) for offset in range(16) if offset != at]
        held = [client.request("fw-0", *lines), client.request("fw-0", line(at), consumer="me")]

        async def silent(*_: object) -> None:
            raise OSError(errno.ETIMEDOUT, "silent")

        monkeypatch.setattr(memory, "set_pin", silent)
        restart(running, client)
        assert info(client, at) == (True, "me")
        monkeypatch.undo()
        restart(running, client)  # what was not restored this time is the next time
        assert running.stub.state("LED_GREEN").direction == "in"
        for request in held:
            request.close()


def test_a_kept_line_is_not_lost_to_others_while_a_line_beside_it_is_released(
    policies: Running,
) -> None:
    client, other = policies.client(), policies.client()
    held = client.request("fw-0", line(RED, OUTPUT), consumer="me")
    restart(policies, client)
    held.close()
    beside = client.request("fw-0", line(GREEN, OUTPUT))
    policies.stub.fault("stall", "on")
    beside.close()  # its release takes as long as the firmware is silent
    client.send("request", chip="fw-0", lines=[line(RED), line(GREEN)], consumer="me")
    number, message = other.fails("request", chip="fw-0", lines=[line(RED)], consumer="you")
    assert number == errno.EBUSY
    assert 'kept for "me"' in message
    policies.stub.fault("stall", "off")
    reply, fds = client.receive()
    assert reply is not None
    assert "ok" in reply, reply
    for fd in fds:
        os.close(fd)


def test_a_line_whose_name_moved_and_that_two_have_is_none() -> None:
    """Configured names may be twins: which of them it was nobody can say."""

    def chip(*names: str | None) -> Chip:
        made = object.__new__(Chip)
        made.lines = [Line(offset, name, wire.DIRECTION_NONE) for offset, name in enumerate(names)]
        made._by_name = {name: offset for offset, name in enumerate(names) if name is not None}
        return made

    found = [
        memory.find_again(chip(*names), 0, "TWIN")
        for names in (("TWIN", "TWIN"), ("A", "TWIN"), ("A", "TWIN", "TWIN"), ("A", None))
    ]
    assert [line and line.offset for line in found] == [0, 1, None, None]
