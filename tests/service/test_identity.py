# SPDX-License-Identifier: BSD-3-Clause
"""A controller is who its firmware says it is, whatever the order of announcements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.chips.controller import Controller, Setup
from bridge.service import numbering
from bridge.service.config import ConfigError, LinkConfig, link_from_flag
from bridge.service.link_context import LinkContext
from bridge.service.roster import KNOWN_MAX, Roster
from bridge.service.seen import KEPT_MAX, Seen
from bridge.shim.ffi import lib
from firmware_stub import Stub

from .conftest import RawClient, Running
from .test_control import INPUT, OUTPUT, line

Eventually = Callable[[Callable[[], bool], str], None]

TWO = """
controller 0 channel rpmsg-raw lines 4
controller 1 channel rpmsg-raw lines 4
"""
LABELLED = TWO.replace("lines", 'label "port-A" lines', 1).replace(
    "raw lines", 'raw label "B" lines'
)
ADDRESSES = (0x400, 0x401)


@contextmanager
def serving(tmp_path: Path, board: str, features: str = "all", **options: Any) -> Iterator[Running]:
    with (
        Stub(board, features=features) as stub,
        Running(stub, tmp_path / "control.sock", **options) as running,
    ):
        yield running


def chips(client: RawClient) -> dict[str, int]:
    """Addresses by name."""
    return {chip["name"]: chip["address"] for chip in client.ok("chips")["chips"]}


def announce_again(running: Running, client: RawClient, *order: int) -> None:
    """Both controllers' channels go, and come again in this order."""
    for controller in order:
        running.stub.fault("announce", controller, "destroyed")
    client.ok("wait", count=0, timeout_ms=15_000)
    for number, controller in enumerate(order, start=1):
        running.stub.fault("announce", controller, "created")
        client.ok("wait", count=number, timeout_ms=15_000)


def pin(running: Running, controller: int, offset: int) -> tuple[str, int]:
    where = f"{controller}/{offset}"
    return running.stub.state(where).direction, running.stub.read(where)


@pytest.mark.parametrize("features", ["all", "none"])
@pytest.mark.parametrize("board", [TWO, LABELLED], ids=["address", "label"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["same", "other"])
def test_lines_are_restored_on_their_controller(
    tmp_path: Path, board: str, features: str, order: tuple[int, int]
) -> None:
    """The one that nobody requested is not driven, in whichever order both come again."""
    with serving(tmp_path, board, features, on_restart="restore") as running:
        client = running.client()
        client.ok("wait", count=2, timeout_ms=15_000)
        before = chips(client)
        assert before == {"fw-0": 0x400, "fw-1": 0x401}
        held = client.request("fw-1", line(1, OUTPUT, 1))
        for _ in range(2):
            announce_again(running, client, *order)
            assert chips(client) == before
            assert pin(running, 1, 1) == ("out", 1)
            assert pin(running, 0, 1) == ("none", 0)
        held.close()


def test_lines_are_kept_on_their_controller(tmp_path: Path) -> None:
    with serving(tmp_path, TWO, on_restart="hold") as running:
        client = running.client()
        client.ok("wait", count=2, timeout_ms=15_000)
        held = client.request("fw-0", line(2, OUTPUT, 1), consumer="me")
        announce_again(running, client, 1, 0)
        assert client.ok("lines", chip="fw-0")["lines"][2]["consumer"] == "me"
        assert not client.ok("lines", chip="fw-1")["lines"][2]["used"]
        held.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who told who he is; the first controller does not until "go" is in it."""
    told: list[str] = []
    negotiate = Controller.negotiate

    async def slow(controller: Controller, *arguments: Any) -> Setup:
        setup = await negotiate(controller, *arguments)
        while "0x400" in controller.title and "go" not in told:
            await asyncio.sleep(0.01)
        told.append(controller.title)
        return setup

    monkeypatch.setattr(Controller, "negotiate", slow)
    return told


def test_numbers_go_by_address_and_not_by_who_answers_first(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """The second controller has told all that it tells before the first one does."""
    monkeypatch.setattr(numbering, "_TELLING_S", 600)
    with serving(tmp_path, TWO) as running:
        client = running.client()
        eventually(lambda: told == ["chip fw-raw@0x401"], "the second one")
        assert chips(client) == {}
        told.append("go")
        client.ok("wait", count=2, timeout_ms=15_000)
        assert chips(client) == {"fw-0": 0x400, "fw-1": 0x401}


def test_one_that_is_mute_stops_nobody(tmp_path: Path, told: list[str]) -> None:
    with serving(tmp_path, TWO) as running:
        client = running.client()
        client.ok("wait", count=1, timeout_ms=15_000)
        assert chips(client) == {"fw-0": 0x401}
        told.append("go")
        client.ok("wait", count=2, timeout_ms=15_000)
        assert chips(client) == {"fw-0": 0x401, "fw-1": 0x400}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_numbers_by_configuration(tmp_path: Path, order: tuple[int, int]) -> None:
    """By address or label, from the first one on."""
    with Stub(LABELLED) as stub:
        stub.fault("announce-late", "60s")
        raw = {"7": str(0x401), "3": "port-A"}
        with Running(stub, tmp_path / "control.sock", raw=raw) as running:
            client = running.client()
            stub.wait_attached()
            for number, controller in enumerate(order, start=1):
                stub.fault("announce", controller, "created")
                client.ok("wait", count=number, timeout_ms=15_000)
            assert chips(client) == {"fw-3": 0x400, "fw-7": 0x401}


def test_a_channel_with_an_index_has_the_number(tmp_path: Path) -> None:
    """Whoever had it on rpmsg-raw gets another one, and its lines are not restored."""
    board = "controller 0 lines 4\ncontroller 1 channel rpmsg-raw lines 4\n"
    with Stub(board) as stub:
        stub.fault("announce-late", "60s")
        with Running(stub, tmp_path / "control.sock", on_restart="restore") as running:
            client = running.client()
            stub.wait_attached()
            stub.fault("announce", 1, "created")
            client.wait("fw-0")
            held = client.request("fw-0", line(1, OUTPUT, 1))
            stub.fault("announce", 0, "created")
            client.ok("wait", chip="fw-1", timeout_ms=15_000)
            client.wait("fw-0")
            assert chips(client) == {"fw-0": 0x400, "fw-1": 0x401}
            assert pin(running, 0, 1) == ("none", 0)
            held.close()


def test_who_is_not_known_for_certain_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of two goes, another one comes: nothing says that it is not the one that went."""
    with Stub(TWO) as stub:
        stub.fault("announce-late", "60s")
        with Running(stub, tmp_path / "control.sock", on_restart="restore") as running:
            client = running.client()
            stub.wait_attached()
            stub.fault("announce", 0, "created")
            client.wait("fw-0")
            held = client.request("fw-0", line(1, OUTPUT, 1))
            stub.fault("announce", 0, "destroyed")
            client.wait("fw-0", online=False)
            stub.fault("announce", 1, "created")
            client.wait("fw-1")
            assert client.ok("chip", chip="fw-1")["known_by"] == "nothing"
            (doubt,) = client.ok("status")["links"][0]["doubts"]
            assert "fw-1: rpmsg-raw at 0x401 may be what was fw-0 (at 0x400)" in doubt
            assert doubt in caplog.text
            assert pin(running, 1, 1) == ("none", 0)
            stub.fault("announce", 0, "created")
            client.wait("fw-0")
            assert client.ok("chip", chip="fw-0")["known_by"] == "address"
            assert pin(running, 0, 1) == ("out", 1)
            held.close()


def test_same_name_at_the_same_address_twice_is_a_restart_without_epoch(tmp_path: Path) -> None:
    with serving(tmp_path, TWO, "none", on_restart="restore") as running:
        client = running.client()
        client.ok("wait", count=2, timeout_ms=15_000)
        held = client.request("fw-1", line(1, OUTPUT, 1), line(2, INPUT))
        with client.goes_and_comes("fw-1"):
            running.stub.fault("announce", 1, "created")
        assert chips(client) == {"fw-0": 0x400, "fw-1": 0x401}
        assert pin(running, 1, 1) == ("out", 1)
        assert pin(running, 0, 1) == ("none", 0)
        held.close()


def test_same_name_at_the_same_address_twice_is_none_with_the_same_epoch(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with serving(tmp_path, TWO) as running:
        client = running.client()
        client.ok("wait", count=2, timeout_ms=15_000)
        held = client.request("fw-1", line(1, OUTPUT, 1))
        running.stub.fault("announce", 1, "created")
        eventually(lambda: "fw-1: its channel is announced again" in caplog.text, "a word")
        assert held.operate(lib.GB_OPERATION_GET) == (0, 1)
        held.close()


def test_configuration_of_numbers() -> None:
    link = link_from_flag("rpmsg:,raw.0=0x400,raw.1=port B,raw.2=30", {})
    assert dict(link.raw) == {"0": "1024", "1": "port B", "2": "30"}
    for wrong, why in (
        ("raw.00=1", "decimal without leading zeros"),
        ("raw.x=1", "decimal without leading zeros"),
        ("raw.0=0x100000000", "an address from 0 to 0xffffffff for 0"),
        ("raw.0=5,raw.1=0x5", "another controller for 1: this one has a number"),
        ("raw.0=", "an address, or a label of 1 to 31 bytes, for 0"),
    ):
        with pytest.raises(ConfigError, match=why):
            link_from_flag(f"rpmsg:,{wrong}", {})


# ---- the roster alone: what the stub's firmware does not do ---------------------------


class Board:
    """Controllers that come to a roster, one at a time or all away."""

    def __init__(self, **pinned: str) -> None:
        self.forgotten: list[str] = []
        self.roster = Roster("fw", pinned, self.forgotten.append)

    def comes(self, address: int, label: str = "", present: tuple[str, ...] = ()) -> str:
        """Its number, with ? where it may be another one."""
        for moved in (False, True):
            found = self.roster.recognize(address, label, present, moved=moved)
            if found is not None:
                return found.number
        place = self.roster.admit(address, label, present, ())
        self.roster.forget_some({*present, place.number})
        return f"{place.number}{'?' if place.doubt else ''}"


def test_a_label_counts_more_than_an_address() -> None:
    board = Board()
    assert (board.comes(0x400, "a"), board.comes(0x401, "b", ("0",))) == ("0", "1")
    assert (board.comes(0x400, "b"), board.comes(0x401, "a", ("1",))) == ("1", "0")


def test_a_label_that_two_have_leaves_it_to_their_addresses() -> None:
    board = Board()
    assert (board.comes(0x400, "x"), board.comes(0x401, "x", ("0",))) == ("0", "1")
    assert (board.comes(0x401, "x"), board.comes(0x400, "x", ("1",))) == ("1", "0")
    assert board.comes(0x402, "x") == "2?"


def test_another_label_at_a_known_address_is_another_controller() -> None:
    board = Board()
    assert (board.comes(0x400, "a"), board.comes(0x400, "b")) == ("0", "1")
    assert board.comes(0x400, "a") == "0"


def test_a_label_that_was_not_told_this_time_contradicts_nothing() -> None:
    board = Board()
    assert (board.comes(0x400, "a"), board.comes(0x400), board.comes(0x405, "a")) == (
        "0",
        "0",
        "0",
    )


def test_addresses_that_never_come_again_are_forgotten_in_the_end() -> None:
    board = Board()
    numbers = [board.comes(address) for address in range(KNOWN_MAX + 10)]
    assert len(set(numbers)) == len(numbers), "no name meant two"
    assert board.forgotten == [str(number) for number in range(10)]


def test_indexes_that_come_and_go_are_not_remembered_without_end() -> None:
    nothing = cast(Any, None)
    context = LinkContext(nothing, nothing, LinkConfig("serial:/dev/null"), "m4", 1000, nothing)
    context.claim("first", ())
    context.disputed["first"] = context.disputed["1"] = 0x400
    for index in range(5000):
        context.claim(str(index), ("first",))
    assert "first" in context.indexes
    assert "4999" in context.indexes
    assert len(context.indexes) <= 1024
    assert context.disputed == {"first": 0x400}


def test_names_that_come_and_go_are_not_remembered_without_end() -> None:
    config = LinkConfig(
        "serial:/dev/null", labels={"99999": "x"}, lines_on_restart={"reset": "hold"}
    )
    seen = Seen(config, "m4")
    for index in range(2 * KEPT_MAX):
        lines = [f"{index}-{line}" for line in range(2)]
        seen.add(str(index), cast(Any, SimpleNamespace(line_names=lines)))
    assert len(seen._numbers) <= KEPT_MAX
    assert len(seen._lines) <= KEPT_MAX
    assert len(seen.mistakes()) == 2
    seen.add("99999", cast(Any, SimpleNamespace(line_names=["reset"])))
    assert seen.mistakes() == []
