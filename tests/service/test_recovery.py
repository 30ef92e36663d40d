# SPDX-License-Identifier: BSD-3-Clause
"""Firmware that stalls, dies, restarts or is not there yet."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from bridge import wire
from bridge.chips.controller import AUTO, EXTENDED, Controller
from bridge.link import vhost_user
from bridge.service import Config, LinkConfig, ServiceThread, supervisor
from bridge.service.channel import Channel
from bridge.service.watch import PathWatch
from bridge.shim.ffi import lib
from firmware_stub import Stub

from .conftest import TIMEOUT_MS, RawClient, Running
from .test_control import FALLING, INPUT, OUTPUT, RISING, hung_up, line

IMPATIENT = pytest.mark.parametrize("running", [TIMEOUT_MS], indirect=True, ids=["impatient"])


@IMPATIENT
def test_stall_ends_at_the_deadline_and_the_next_request_works(
    running: Running, client: RawClient
) -> None:
    held = client.request("fw-0", line(0))
    running.stub.fault("stall", "on")
    start = time.monotonic()
    assert held.operate(lib.GB_OPERATION_GET)[0] == errno.ETIMEDOUT
    number, message = client.fails("request", chip="fw-0", lines=[line(1)])
    took = time.monotonic() - start
    assert number == errno.ETIMEDOUT
    assert "did not answer" in message
    assert took >= TIMEOUT_MS * 2 / 1000
    running.stub.fault("stall", "off")
    assert held.operate(lib.GB_OPERATION_GET)[0] == 0
    client.request("fw-0", line(1)).close()
    held.close()


@IMPATIENT
def test_a_message_that_cannot_be_read_is_a_stray(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(0))
    before = client.ok("status")["links"][0]["strays"]
    running.stub.fault("lie", 1, 500, "-")  # more than its buffer holds
    assert held.operate(lib.GB_OPERATION_GET)[0] == errno.ETIMEDOUT
    assert held.operate(lib.GB_OPERATION_GET)[0] == 0  # what came before it was looked at
    assert client.ok("status")["links"][0]["strays"] == before + 1
    held.close()


def test_stub_killed_and_started_again(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(0), line(8, INPUT | RISING))
    running.stub.kill()
    assert hung_up(held.event)
    assert held.operate(lib.GB_OPERATION_GET)[0] == errno.ENODEV
    client.wait("fw-0", online=False)
    assert client.ok("chips") == {"chips": [], "next": None}
    (link,) = client.ok("status")["links"]
    assert link["state"] != "up"
    assert link["why"]
    running.stub.start()
    client.wait("fw-0")
    again = client.request("fw-0", line(0, OUTPUT, 1))
    assert running.stub.read("LED_GREEN") == 1
    again.close()
    held.close()


def test_channel_announced_twice(
    running: Running,
    client: RawClient,
    eventually: Callable[[Callable[[], bool], str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Firmware that can say that it is the same one as before costs nobody his lines."""
    caplog.set_level(logging.INFO)
    held = client.request("fw-0", line(0, OUTPUT, 1))
    running.stub.fault("announce", 0, "created")
    eventually(lambda: "fw-0: its channel is announced again" in caplog.text, "the announcement")
    assert held.operate(lib.GB_OPERATION_GET) == (0, 1)
    held.close()


def test_announced_twice_without_tags(
    tmp_path: Path,
    eventually: Callable[[Callable[[], bool], str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same: it is asked in a way that tells."""
    caplog.set_level(logging.INFO)
    with Stub("demo", features="config,epoch") as stub:
        running = Running(stub, tmp_path / "control.sock")
        try:
            client = running.client()
            client.wait("fw-0")
            held = client.request("fw-0", line(0, OUTPUT, 1))
            stub.fault("announce", 0, "created")
            eventually(lambda: "its channel is announced again" in caplog.text, "the announcement")
            assert held.operate(lib.GB_OPERATION_GET) == (0, 1)
            held.close()
        finally:
            running.thread.close()


def test_question_after_an_announcement_tells_a_restart() -> None:
    """Without TAG no other reply than one in extended form says who gave it."""
    asked: list[tuple[int, int]] = []

    class Asked:
        async def ask(self, kind: int, form: int = AUTO) -> None:
            asked.append((kind, form))

    asyncio.run(Channel._ask(cast(Controller, Asked())))
    assert asked == [(wire.MSG_GET_EPOCH, EXTENDED)]


def test_baseline_firmware_announced_twice_starts_anew(tmp_path: Path) -> None:
    """It has no other way to say that it has started again."""
    with Stub("demo", features="none") as stub, Running(stub, tmp_path / "control.sock") as running:
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(0, OUTPUT, 1))
        stub.fault("announce", 0, "created")
        assert hung_up(held.event)
        client.wait("fw-0")
        held.close()


def test_channel_taken_back(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(0))
    other = client.request("fw-1", line(0))
    running.stub.fault("announce", 0, "destroyed")
    assert hung_up(held.event)
    client.wait("fw-0", online=False)
    assert other.operate(lib.GB_OPERATION_GET)[0] == 0
    running.stub.fault("announce", 0, "created")
    client.wait("fw-0")
    held.close()
    other.close()


def test_firmware_restart_gives_a_fresh_chip(running: Running, client: RawClient) -> None:
    before = client.ok("chip", chip="fw-0")["epoch"]
    held = client.request("fw-0", line(0))
    running.stub.restart()
    assert hung_up(held.event)
    client.wait("fw-0")
    after = client.ok("chip", chip="fw-0")["epoch"]
    assert after != before
    held.close()


def test_link_comes_up_when_the_firmware_appears_later(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    link = LinkConfig(f"vhost-user:{directory / 'fw.sock'}")
    thread = ServiceThread(Config(links=(link,), socket=str(tmp_path / "control.sock")))
    try:
        client = RawClient.connect(tmp_path / "control.sock")
        assert client.ok("status")["links"][0]["name"] == "fw"
        directory.mkdir()
        with Stub("demo", socket=str(directory / "fw.sock")):
            client.wait("fw-0")
        client.wait("fw-0", online=False)
    finally:
        thread.close()


def test_files_beside_a_missing_socket_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In /tmp they come and go without end; the link is looked at now and then.

    One inotify instance does: the kernel takes 8 ms to close one.
    """
    attempts: list[float] = []
    connect = vhost_user.connect
    watches: list[PathWatch] = []

    class CountedWatch(PathWatch):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            watches.append(self)

    def counted(rest: str, timeout_ms: int) -> object:
        attempts.append(time.monotonic())
        return connect(rest, timeout_ms)

    monkeypatch.setattr(vhost_user, "connect", counted)
    monkeypatch.setattr(supervisor, "PathWatch", CountedWatch)
    link = LinkConfig(f"vhost-user:{tmp_path / 'fw.sock'}")
    thread = ServiceThread(Config(links=(link,), socket=None))
    try:
        start = time.monotonic()
        while len(attempts) < 10 and time.monotonic() < start + 60:
            (tmp_path / "other").touch()
            (tmp_path / "other").unlink()
        took = time.monotonic() - start
        assert 10 <= len(attempts) <= took / 0.05 + 2
        assert len(watches) == 1
        with Stub("demo", socket=str(tmp_path / "fw.sock")):
            thread.wait_chip("fw-0", 30)
    finally:
        thread.close()


def test_link_that_always_breaks_is_not_tried_all_the_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def told(what: str) -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        return [message for message in messages if what in message]

    with caplog.at_level(logging.INFO, "bridge.service"), Stub("demo") as stub:
        stub.command("fault lie 10000 - 65535")
        start = time.monotonic()
        thread = ServiceThread(Config(links=(LinkConfig(stub.url),), socket=None))
        while len(told(": up")) < 5 and time.monotonic() < start + 60:
            time.sleep(0.01)
        thread.close()
        took = time.monotonic() - start
    assert 5 <= len(told(": up")) <= took / 0.2 + 1
    (down,) = told(": down: ")
    assert "broke virtqueue 0" in down


@pytest.mark.parametrize("dialect", ["rpmsg-gpio", "rpmsg-gpio-padded"])
def test_baseline_firmware(tmp_path: Path, dialect: str) -> None:
    with (
        Stub("demo", features="none", dialect=dialect) as stub,
        Running(stub, tmp_path / "control.sock") as running,
    ):
        client = running.client()
        client.wait("fw-0")
        info = client.ok("chip", chip="fw-0")
        assert (info["features"], info["epoch"]) == ([], None)
        assert info["dialect"] == dialect
        assert info["num_lines"] == 16  # probed: GET_DIRECTION of line 16 says ERR
        assert info["label"] == "rpmsg-io-0"
        held = client.request("fw-0", line(4, OUTPUT, 1), line(5, INPUT))
        assert held.operate(lib.GB_OPERATION_GET, 0b11) == (0, 0b11)
        held.close()


def test_configuration_can_forbid_extensions_and_say_lines_and_labels(tmp_path: Path) -> None:
    with (
        Stub("demo") as stub,
        Running(
            stub,
            tmp_path / "control.sock",
            extensions=0,
            lines=5,
            labels={"0": "mine"},
            names={"0": ("LED", "", "DOOR")},
        ) as running,
    ):
        client = running.client()
        client.wait("fw-0")
        info = client.ok("chip", chip="fw-0")
        assert info["features"] == []
        assert (info["num_lines"], info["label"]) == (5, "mine")
        lines = client.ok("lines", chip="fw-0")["lines"]
        assert [one["name"] for one in lines] == ["LED", None, "DOOR", None, None]


def test_lost_message_during_negotiation_costs_time_only(tmp_path: Path) -> None:
    with Stub("demo") as stub:
        stub.fault("drop", "rx", 1)
        with Running(stub, tmp_path / "control.sock", TIMEOUT_MS) as running:
            client = running.client()
            client.wait("fw-0")
            client.wait("fw-1")
            for chip in client.ok("chips")["chips"]:
                assert "tag" in chip["features"]


def test_firmware_that_is_silent_on_unknown_messages_is_baseline(tmp_path: Path) -> None:
    with Stub("controller 0 lines 4\n") as stub:
        # GET_FEATURES twice, and the probe of resynchronisation between them.
        stub.fault("drop", "rx", 3)
        running = Running(stub, tmp_path / "control.sock", TIMEOUT_MS)
        try:
            client = running.client()
            client.wait("fw-0")
            info = client.ok("chip", chip="fw-0")
            assert (info["features"], info["num_lines"]) == ([], 4)
            held = client.request("fw-0", line(0, OUTPUT, 1))
            assert held.operate(lib.GB_OPERATION_GET) == (0, 1)
            held.close()
        finally:
            running.thread.close()


def test_stall_during_negotiation_is_got_over(tmp_path: Path) -> None:
    with Stub("demo") as stub:
        stub.fault("stall", "on")
        with Running(stub, tmp_path / "control.sock", TIMEOUT_MS) as running:
            client = running.client()
            with pytest.raises(OSError, match="no chip came up"):
                running.thread.wait_chip(timeout_s=3 * TIMEOUT_MS / 1000)
            stub.fault("stall", "off")
            client.wait("fw-0")
            held = client.request("fw-0", line(0, OUTPUT, 1))
            assert stub.read("LED_GREEN") == 1
            held.close()


@pytest.mark.parametrize(("policy", "direction"), [("none", "none"), ("keep", "out")])
def test_release_policy(tmp_path: Path, policy: str, direction: str) -> None:
    with (
        Stub("demo") as stub,
        Running(stub, tmp_path / "control.sock", on_release=policy) as running,
    ):
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(0, OUTPUT, 1))
        assert held.operate(lib.GB_OPERATION_RELEASE)[0] == 0
        assert stub.state("LED_GREEN").direction == direction
        held.close()


def test_release_policy_of_single_lines(tmp_path: Path) -> None:
    """The line's own name comes before the first pattern that fits, and that before the link's."""
    policies = {"LED_*": "keep", "LED_R*": "none", "LED_GREEN": "none"}
    with (
        Stub("demo") as stub,
        Running(stub, tmp_path / "control.sock", lines_on_release=policies) as running,
    ):
        client = running.client()
        client.wait("fw-0")
        told = {one["name"]: one for one in client.ok("lines", chip="fw-0")["lines"]}
        names = ("LED_GREEN", "LED_RED", "LOOP_OUT")
        assert [told[name]["on_release"] for name in names] == ["none", "keep", "none"]
        (link,) = client.ok("status")["links"]
        assert (link["on_release"], link["lines_on_release"]) == ("none", policies)
        held = client.request("fw-0", *(line(told[name]["offset"], OUTPUT, 1) for name in names))
        assert held.operate(lib.GB_OPERATION_RELEASE)[0] == 0
        assert [stub.state(name).direction for name in names] == ["none", "out", "none"]
        held.close()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_line_is_let_go_though_messages_are_lost(
    tmp_path: Path, eventually: Callable[..., None], lost: int
) -> None:
    """The output would stay driven, and be shown free."""
    with Stub("demo") as stub, Running(stub, tmp_path / "control.sock", TIMEOUT_MS) as running:
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(0, OUTPUT, 1))
        stub.fault("drop", "rx", lost)
        held.close()
        eventually(lambda: stub.state("LED_GREEN").direction == "none", "the line is let go")


def test_line_that_is_taken_again_is_not_let_go(tmp_path: Path) -> None:
    with Stub("demo") as stub, Running(stub, tmp_path / "control.sock", TIMEOUT_MS) as running:
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(0, OUTPUT, 1))
        stub.fault("drop", "rx", 1)
        held.close()
        again = client.request("fw-0", line(0, OUTPUT, 1))
        for _ in range(3):
            assert again.operate(lib.GB_OPERATION_GET, mask=1)[0] == 0
        assert stub.state("LED_GREEN").direction == "out"
        again.close()


def test_direction_is_let_go_though_the_interrupt_is_not_answered(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    with Stub("demo") as stub, Running(stub, tmp_path / "control.sock", TIMEOUT_MS) as running:
        client = running.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(6, INPUT | RISING))
        assert stub.state("BUTTON_USER").direction == "in"
        stub.fault("drop", "rx", 1)
        held.close()
        eventually(lambda: stub.state("BUTTON_USER").direction == "none", "it is let go")


def test_service_restart_leaves_pins_and_the_next_one_copes(tmp_path: Path) -> None:
    with Stub("demo", strict=True) as stub:
        first = Running(stub, tmp_path / "control.sock")
        client = first.client()
        client.wait("fw-0")
        held = client.request("fw-0", line(0, OUTPUT, 1), line(8, INPUT | RISING))
        first.thread.close()
        assert hung_up(held.operation)
        held.close()
        assert stub.read("LED_GREEN") == 1
        second = Running(stub, tmp_path / "control.sock")
        try:
            client = second.client()
            client.wait("fw-0")
            lines = client.ok("lines", chip="fw-0")["lines"]
            assert lines[0]["flags"] == OUTPUT
            assert stub.read("LED_GREEN") == 1
            # Strict firmware refuses another irq type over the one left enabled.
            client.request("fw-0", line(8, INPUT | FALLING)).close()
        finally:
            second.thread.close()


def test_nothing_is_left_open(tmp_path: Path) -> None:
    with Stub("demo") as stub:
        use_once(stub, tmp_path)  # what a process keeps is open now
        before = descriptors()
        for _ in range(3):
            use_once(stub, tmp_path)
        # Others of this process may end meanwhile.
        assert not {number: name for number, name in descriptors().items() if number not in before}


def use_once(stub: Stub, tmp_path: Path) -> None:
    running = Running(stub, tmp_path / "control.sock")
    client = running.client()
    client.wait("fw-0")
    held = client.request("fw-0", line(0))
    running.thread.close()
    client.socket.close()
    held.close()


def descriptors() -> dict[int, str]:
    """What this process has open: numbers, and what they are."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
    return found


def test_request_that_waits_for_a_release_is_answered_when_the_chip_goes(
    running: Running, client: RawClient
) -> None:
    held = client.request("fw-0", line(0))
    running.stub.fault("stall", "on")
    held.close()  # its release takes as long as the firmware is silent
    client.send("request", chip="fw-0", lines=[line(0)])
    running.stub.kill()
    reply, _ = client.receive()
    assert reply is not None
    assert reply["error"]["errno"] == errno.ENODEV


def test_link_comes_up_when_the_firmware_appears_behind_a_symbolic_link(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "fw.sock").symlink_to(there / "socket")
    link = LinkConfig(f"vhost-user:{here / 'fw.sock'}")
    thread = ServiceThread(Config(links=(link,), socket=str(tmp_path / "control.sock")))
    try:
        with pytest.raises(OSError, match="no socket"):
            thread.wait_chip(timeout_s=0.2)
        there.mkdir()
        with Stub("demo", socket=str(there / "socket")):
            assert thread.wait_chip(timeout_s=60) == "fw-0"
    finally:
        thread.close()
