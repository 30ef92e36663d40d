# SPDX-License-Identifier: BSD-3-Clause
"""The service is started anew under a manager that keeps descriptors: guests go on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.export.handover import Handover
from bridge.service.fd_store import FdStore
from firmware_stub import Stub
from tests.manager import ManagedServe, Manager

from . import frontend as vu
from .frontend import F_IRQ, INDIRECT, PROTOCOL_FEATURES, VERSION_1, Frontend

Eventually = Callable[..., None]

LED, LOOPED = 0, 5


class Restarts:
    """A board, and services one after the other with an export."""

    def __init__(self, directory: Path, stub: Stub) -> None:
        self.stub = stub
        self.manager = Manager(directory / "notify")
        self.path = str(directory / "guest.sock")
        self.serve = self.service("chip=fw-0")

    def service(self, export: str, *more: str) -> ManagedServe:
        directory = Path(self.path).parent
        spec = f"vhost-user-gpio:{self.path},{export},name=car"
        arguments = ("-v", "--link", self.stub.url, "--export", spec, *more)
        return ManagedServe(self.manager, directory, *arguments)

    def start(self) -> None:
        self.serve.__enter__()
        self.serve.wait_for_chips(2)

    def restart(self) -> None:
        assert self.serve.stop() == 0
        self.start()


@pytest.fixture
def restarts(tmp_path: Path) -> Iterator[Restarts]:
    with Stub("demo", socket=tmp_path / "fw.sock") as stub:
        restarts = Restarts(tmp_path, stub)
        restarts.start()
        yield restarts
        restarts.serve.stop()
        restarts.manager.forget()


@pytest.fixture(params=["plain", "indirect"])
def driver(restarts: Restarts, request: pytest.FixtureRequest) -> Iterator[Frontend]:
    """A guest that has LED driven and waits for an edge of LOOPED."""
    features = VERSION_1 | PROTOCOL_FEATURES | F_IRQ
    with Frontend(restarts.path, features | (INDIRECT if request.param == "indirect" else 0)) as up:
        up.up()
        up.ok(vu.SET_VALUE, LED, 1)
        up.ok(vu.SET_DIRECTION, LED, vu.OUT)
        up.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
        up.ok(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)
        yield up


def test_the_guest_notices_nothing(restarts: Restarts, driver: Frontend) -> None:
    """No vhost-user message is sent; buffers come back to be queued again."""
    mine = driver.buffer(LOOPED)
    level = 0
    for _ in range(3):
        restarts.restart()
        assert driver.event() == (mine, vu.INVALID)
        mine = driver.buffer(LOOPED)
        assert driver.ok(vu.GET_VALUE, LED) == 1
        assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT
        restarts.stub.wait_armed("LOOP_IN")
        level ^= 1
        restarts.stub.command(f"drive LOOP_IN {level}")
        assert driver.event() == (mine, vu.VALID)
        mine = driver.buffer(LOOPED)
        driver.no_event()
    assert restarts.stub.read("LED_GREEN") == 1
    restarts.manager.settle()
    assert restarts.manager.kept == {}


def test_requests_wait_for_the_next_service(restarts: Restarts, driver: Frontend) -> None:
    assert restarts.serve.stop() == 0
    queue = driver.queues[vu.REQUESTQ]
    mine = driver.begin(vu.SET_VALUE, LED, 0)
    queue.notify()
    assert restarts.stub.read("LED_GREEN") == 1
    restarts.start()
    assert queue.wait() == (mine, 2)
    assert queue.answer(mine, 2)[0] == vu.OK
    assert restarts.stub.read("LED_GREEN") == 0


def test_requests_under_way_are_answered_first(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    restarts.stub.fault("delay", "tx", 1, "300ms")
    queue = driver.queues[vu.REQUESTQ]
    mine = driver.begin(vu.SET_VALUE, LED, 0)
    queue.notify()
    eventually(lambda: restarts.stub.read("LED_GREEN") == 0, "the firmware to have it")
    assert restarts.serve.stop() == 0
    assert queue.wait() == (mine, 2)
    assert queue.answer(mine, 2)[0] == vu.OK


def test_firmware_that_is_silent_does_not_hold_up_the_end(
    restarts: Restarts, driver: Frontend
) -> None:
    restarts.stub.fault("stall", "on")
    queue = driver.queues[vu.REQUESTQ]
    mine = driver.begin(vu.GET_VALUE, LED)
    queue.notify()
    assert restarts.serve.stop() == 0
    assert queue.wait() == (mine, 2)
    assert queue.answer(mine, 2)[0] == vu.ERR
    restarts.stub.fault("stall", "off")
    restarts.start()
    assert driver.ok(vu.GET_VALUE, LED) == 1


def test_an_interrupt_that_was_not_asked_for_again(restarts: Restarts, driver: Frontend) -> None:
    """The firmware has the credit that the service before gave to a stream, and that is spent."""
    for level in (1, 0, 1):
        mine = driver.buffer(LOOPED)
        restarts.stub.wait_armed("LOOP_IN")
        restarts.stub.drive("LOOP_IN", level)
        assert driver.event() == (mine, vu.VALID)
        restarts.restart()


def test_an_edge_that_found_no_buffer(restarts: Restarts, driver: Frontend) -> None:
    """The event is kept for the next service."""
    restarts.stub.drive("LOOP_IN", 1)
    driver.ok(vu.GET_VALUE, LOOPED)  # the event came before its answer
    restarts.restart()
    mine = driver.buffer(LOOPED)
    assert driver.event() == (mine, vu.VALID)
    driver.buffer(LOOPED)
    restarts.stub.wait_armed("LOOP_IN")
    driver.no_event()


def test_the_guest_brings_its_lines_with_it(restarts: Restarts, driver: Frontend) -> None:
    """The file is for guests that connect again; this one goes on without it."""
    driver.buffer(LOOPED)
    assert restarts.serve.stop() == 0
    os.unlink(restarts.path + ".lines")
    restarts.start()
    assert driver.event()[1] == vu.INVALID
    mine = driver.buffer(LOOPED)
    restarts.stub.wait_armed("LOOP_IN")
    restarts.stub.drive("LOOP_IN", 1)
    assert driver.event() == (mine, vu.VALID)


def test_an_edge_while_the_machine_is_paused(restarts: Restarts, driver: Frontend) -> None:
    driver.stop()
    restarts.restart()
    restarts.stub.wait_armed("LOOP_IN")
    restarts.stub.drive("LOOP_IN", 1)
    driver.start(None)
    mine = driver.buffer(LOOPED)
    assert driver.event() == (mine, vu.VALID)


@pytest.mark.parametrize("lines", ["LED_RED=a", "fw-1:STATUS_LED=a"])
def test_another_pin_of_the_same_name_lets_the_guest_go(restarts: Restarts, lines: str) -> None:
    assert restarts.serve.stop() == 0
    restarts.serve = restarts.service("chip=fw-0,lines=LED_GREEN=a")
    restarts.start()
    with Frontend(restarts.path) as driver:
        driver.up()
        driver.ok(vu.SET_VALUE, 0, 1)
        driver.ok(vu.SET_DIRECTION, 0, vu.OUT)
        assert restarts.serve.stop() == 0
        restarts.serve = restarts.service(f"chip=fw-0,lines={lines}")
        restarts.start()
        assert driver.hung_up()


@pytest.mark.parametrize("dropped", [False, True], ids=["kept", "dropped"])
def test_a_guest_that_left_meanwhile(
    restarts: Restarts, driver: Frontend, dropped: bool, eventually: Eventually
) -> None:
    """This is so even when the manager has noticed it and has dropped the connection."""
    assert restarts.serve.stop() == 0
    driver.close()
    if dropped:
        restarts.manager.settle()
        os.close(restarts.manager.kept.pop("guest-car-connection"))
    assert restarts.stub.state("LED_GREEN").direction == "out"
    restarts.start()
    eventually(lambda: restarts.stub.state("LED_GREEN").direction == "none", "the LED's release")
    with Frontend(restarts.path) as another:
        assert another.up().ok(vu.GET_VALUE, LED) == 0


def test_a_guest_that_sets_up_slowly(restarts: Restarts) -> None:
    """A guest is handed over half way; the next service hears what it says next."""
    with Frontend(restarts.path) as slow:
        slow.negotiate()
        assert slow.share() == 0
        restarts.restart()
        slow.start()
        slow.ok(vu.SET_VALUE, LED, 1)
        restarts.restart()
        assert slow.ok(vu.GET_DIRECTION, LED) == vu.NONE


@pytest.mark.parametrize("export", ["chip=fw-0,lines=LED_GREEN,LOOP_IN", "chip=fw-1"])
def test_another_export_lets_the_guest_go(
    restarts: Restarts, driver: Frontend, export: str
) -> None:
    assert restarts.serve.stop() == 0
    restarts.serve = restarts.service(export)
    restarts.start()
    assert driver.hung_up()
    assert "export car: it was another one before; its guest is let go" in restarts.serve.log
    with Frontend(restarts.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


def test_an_export_that_is_gone_lets_the_guest_go(restarts: Restarts, driver: Frontend) -> None:
    assert restarts.serve.stop() == 0
    restarts.serve = restarts.service("chip=fw-0")
    restarts.serve._arguments = ("-v", "--link", restarts.stub.url)
    restarts.start()
    assert driver.hung_up()
    restarts.manager.settle()
    assert restarts.manager.kept == {}


def test_chips_that_are_not_there_yet(restarts: Restarts, driver: Frontend) -> None:
    """Until the chips are there, the guest waits, for the service after the next one if need be."""
    assert restarts.serve.stop() == 0
    restarts.stub.kill()
    restarts.serve.__enter__()
    assert restarts.serve.stop() == 0
    restarts.manager.settle()
    assert len(restarts.manager.kept) == 3
    restarts.stub.start()
    restarts.start()
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0" * 64,
        bytes((11, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0)) + b"\xff" * 8,  # GET_VRING_BASE of no ring
        bytes((8, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0)) + b"\xff" * 8,  # SET_VRING_NUM
    ],
)
def test_a_state_that_is_garbage(restarts: Restarts, driver: Frontend, garbage: bytes) -> None:
    """The guest is cut off, or what it says next tells; the service and its next guest go on."""
    assert restarts.serve.stop() == 0
    tamper(restarts.manager, lambda header: header + garbage)
    restarts.start()
    if garbage:
        assert driver.hung_up()
        assert "the guest was cut off: what the service before says of it" in restarts.serve.log
    driver.close()
    with Frontend(restarts.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


@pytest.mark.parametrize("states", [b"", b"\xff" * 63, b"\xff" * 64])
def test_states_of_lines_that_are_garbage(
    restarts: Restarts, driver: Frontend, states: bytes
) -> None:
    assert restarts.serve.stop() == 0
    tamper(restarts.manager, lambda header: header[:-64] + states)
    restarts.start()
    if len(states) < 64:
        assert driver.hung_up()
    driver.close()
    with Frontend(restarts.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


def test_a_hand_over_without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest is let go, and the service goes on with its end."""

    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", none_left)
    assert not Handover(FdStore({}), "car", []).give(lambda _: pytest.fail("it was called"))


def tamper(manager: Manager, change: Callable[[bytes], bytes]) -> None:
    """Replace the messages that the guest's session was left with."""
    manager.settle()
    kept = manager.kept
    text = change(read_header(kept["guest-car-read"]))
    for name in ("read", "write"):
        os.close(kept[f"guest-car-{name}"])
    read, write = socket.socketpair()
    write.send(text)
    kept["guest-car-read"], kept["guest-car-write"] = read.detach(), write.detach()


def read_header(fd: int) -> bytes:
    """The header and the states of 16 lines; vhost-user's first message is SET_FEATURES."""
    with socket.socket(fileno=os.dup(fd)) as state:
        everything = state.recv(1 << 16, socket.MSG_PEEK)
    return everything[: everything.index(bytes((2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0)))]


def test_nothing_is_left_open(restarts: Restarts, driver: Frontend, eventually: Eventually) -> None:
    def count() -> int:
        return len(os.listdir(f"/proc/{restarts.serve.pid}/fd"))

    restarts.restart()
    driver.ok(vu.GET_VALUE, LED)
    before = count()
    for _ in range(3):
        restarts.restart()
        driver.ok(vu.GET_VALUE, LED)
    eventually(lambda: count() <= before, "as few descriptors as before")
