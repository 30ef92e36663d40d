# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what: [[access]] on the control socket, asked by several users."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.client import line_config
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service import config as configs
from bridge.service.config import ConfigError, tables
from bridge.shim.client import OperationDescriptor, OperationFailed
from bridge.shim.ffi import lib
from firmware_stub import Stub
from tests.users import ALICE, BOB, OPERATORS, needs_root, user

from .conftest import RawClient
from .test_control import INPUT, OUTPUT, RISING, line

RULES = f"""
[[access]]
chip = "fw-0"
lines = ["LED_*"]
users = [{ALICE}]
may = ["drive"]

[[access]]
lines = ["LED_GREEN", 8]
groups = [{OPERATORS}]
may = ["read", "watch"]

[[access]]
lines = ["LED_GREEN"]
may = ["see"]

[[access]]
chip = "fw-1"
users = [{ALICE}]
may = ["read"]
"""
GREEN, RED, RELAY, SENSOR = 0, 1, 3, 8

pytestmark = needs_root


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceThread]:
    with Stub("demo") as stub:
        config = configs.from_table(tables.tomllib.loads(RULES), "rules", Config(socket=None))
        thread = ServiceThread(replace(config, links=(LinkConfig(stub.url, name="fw"),)))
        thread.wait_chip("fw-0", 30)
        thread.wait_chip("fw-1", 30)
        yield thread
        thread.close()


@pytest.fixture
def connect(service: ServiceThread) -> Iterator[Callable[..., RawClient]]:
    clients = []

    def connect(uid: int, *groups: int) -> RawClient:
        with user(uid, groups=groups):
            clients.append(RawClient(service.connect()))
        return clients[-1]

    yield connect
    for client in clients:
        client.socket.close()


Connect = Callable[..., RawClient]


def refused(client: RawClient, chip: str, *lines: dict[str, int]) -> str:
    number, message = client.fails("request", chip=chip, lines=list(lines))
    assert number == errno.EACCES
    assert "[[access]]" in message
    return message


def names(client: RawClient, chip: str) -> list[str | None]:
    return [entry["name"] for entry in client.ok("lines", chip=chip)["lines"]]


def test_drive_is_for_those_who_may(connect: Connect) -> None:
    alice, bob, operator = connect(ALICE), connect(BOB), connect(BOB, OPERATORS)
    alice.request("fw-0", line(GREEN, OUTPUT), line(RED, OUTPUT)).close()
    message = refused(bob, "fw-0", line(GREEN, OUTPUT))
    assert f'user id {BOB} may not drive line 0 ("LED_GREEN") of chip fw-0' in message
    refused(bob, "fw-0", line(GREEN, INPUT))
    operator.request("fw-0", line(GREEN, INPUT | RISING)).close()
    refused(operator, "fw-0", line(GREEN, OUTPUT))


def test_one_line_of_a_request_that_may_not_be_had_is_enough(connect: Connect) -> None:
    bob = connect(BOB)
    refused(bob, "fw-0", line(RELAY, OUTPUT), line(RED, OUTPUT))
    bob.request("fw-0", line(RELAY, OUTPUT)).close()


def test_lines_without_a_rule_are_for_everybody(connect: Connect) -> None:
    bob = connect(BOB)
    bob.request("fw-0", line(RELAY, OUTPUT), line(9, INPUT)).close()


def test_levels_are_told_to_those_who_may_read(connect: Connect) -> None:
    bob, operator = connect(BOB), connect(BOB, OPERATORS)
    assert bob.ok("levels", chip="fw-0", count=4) == {"levels": "---0", "next": 4}
    assert operator.ok("levels", chip="fw-0", count=4) == {"levels": "0--0", "next": 4}
    assert bob.ok("levels", chip="fw-0", first=SENSOR)["levels"] == "-0101000"


def test_root_may_all(connect: Connect) -> None:
    root = connect(0)
    root.request("fw-0", line(GREEN, OUTPUT), line(SENSOR, INPUT)).close()
    assert len(root.ok("chips")["chips"]) == 2


def test_line_that_may_not_be_seen_is_in_use_and_has_no_name(connect: Connect) -> None:
    bob, alice = connect(BOB), connect(ALICE)
    assert names(bob, "fw-0")[: RED + 1] == ["LED_GREEN", None]
    assert names(alice, "fw-0")[: RED + 1] == ["LED_GREEN", "LED_RED"]
    hidden = bob.ok("lines", chip="fw-0", first=RED, count=1)["lines"][0]
    assert hidden["used"] and hidden["consumer"] is None
    assert bob.ok("find", name="LED_RED", chip=None)["found"] == []
    assert bob.ok("find", name="LED_GREEN", chip=None)["found"] == [["fw-0", GREEN]]
    assert '"LED_RED"' not in refused(bob, "fw-0", line(RED, INPUT))


def test_chip_of_which_nothing_may_be_seen_is_not_there(connect: Connect) -> None:
    bob, alice = connect(BOB), connect(ALICE)
    assert [chip["name"] for chip in bob.ok("chips", after="")["chips"]] == ["fw-0"]
    for op in ("chip", "open", "lines"):
        number, message = bob.fails(op, chip="fw-1")
        assert number == errno.ENOENT
        assert message.endswith("chips online: fw-0")
    assert bob.fails("request", chip="fw-1", lines=[line(0, INPUT)])[0] == errno.ENOENT
    bob.ok("wait", count=1, timeout_ms=20_000)
    assert bob.fails("wait", chip="fw-1", timeout_ms=1)[0] == errno.ETIMEDOUT
    alice.request("fw-1", line(0, INPUT)).close()
    refused(alice, "fw-1", line(0, OUTPUT))


def test_release_tells_nothing_of_a_line_that_may_not_be_seen(connect: Connect) -> None:
    alice, bob = connect(ALICE), connect(BOB)
    held = alice.request("fw-0", line(RED, OUTPUT), consumer="hers")
    number, message = bob.fails("release", chip="fw-0", offsets=[RED])
    assert number == errno.EACCES
    assert "LED_RED" not in message and "hers" not in message
    held.close()
    assert bob.fails("release", chip="fw-0", offsets=[GREEN])[0] == errno.EINVAL


def test_watch(connect: Connect) -> None:
    for client, allowed in ((connect(ALICE), False), (connect(BOB, OPERATORS), True)):
        client.send("open", chip="fw-0")
        reply, _ = client.receive()
        assert reply is not None
        arguments = {"handle": reply["ok"]["handle"], "offset": GREEN}
        if allowed:
            assert client.ok("watch", **arguments)["line"]["name"] == "LED_GREEN"
        else:
            assert client.fails("watch", **arguments)[0] == errno.EACCES


def test_other_settings_are_asked_for_again(connect: Connect) -> None:
    """An input must not become an output of who may only read."""
    held = connect(BOB, OPERATORS).request("fw-0", line(GREEN, INPUT))
    assert reconfigure(held.operation, OUTPUT) == errno.EACCES
    assert reconfigure(held.operation, INPUT | RISING) == 0
    held.close()
    held = connect(ALICE).request("fw-0", line(GREEN, INPUT))
    assert reconfigure(held.operation, OUTPUT) == 0
    held.close()


def reconfigure(operation: int, flags: int) -> int:
    """The errno of new settings for a request."""
    config = line_config.LineAttributes(flags, 0, 0)
    descriptor = OperationDescriptor(os.dup(operation), 20_000)
    try:
        descriptor.exchange(lib.GB_OPERATION_RECONFIGURE, line_config.pack([config]), 20_000)
    except OperationFailed as failure:
        assert "may not drive" in failure.why
        return failure.error
    finally:
        descriptor.close()
    return 0


def test_line_as_it_is_may_be_an_output(service: ServiceThread, connect: Connect) -> None:
    """Without a direction it could be set, so who may only read does not get it."""
    root = connect(0)
    kept = root.request("fw-0", line(GREEN, OUTPUT, 1))
    refused(connect(BOB, OPERATORS), "fw-0", line(GREEN, 0))
    kept.close()


def test_status_shows_the_rules(connect: Connect) -> None:
    rules = connect(BOB).ok("status")["access"]
    assert rules[0] == {
        "chip": "fw-0",
        "lines": ["LED_*"],
        "users": [ALICE],
        "groups": [],
        "may": ["drive"],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[access]]\nchip = "x"', "access 1: may: missing"),
        ('[[access]]\nmay = ["write"]', "see, read, drive, watch"),
        ('[[access]]\nmay = []\nusers = ["no-such-user"]', 'there is no user "no-such-user"'),
        ('[[access]]\nmay = []\ngroups = ["no-such-group"]', 'there is no group "no-such-group"'),
        ("[[access]]\nmay = []\nlines = [-1]", "offsets and names"),
        ("[[access]]\nmay = []\nline = [1]", "unknown key"),
        ("access = 3", "[[access]] tables"),
    ],
)
def test_wrong_rules(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        configs.load(str(path))
    assert words in str(caught.value)
