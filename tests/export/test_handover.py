# SPDX-License-Identifier: BSD-3-Clause
"""The service is started anew, or killed, under a manager that keeps descriptors: guests go on."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.export.handover import CRASHES_MAX, Handover
from bridge.service.fd_store import FdStore
from bridge.shim.export import Kept
from firmware_stub import Stub
from tests.manager import CHANGING, NONE, SESSION_AT, STATES_AT, WHOLE, ManagedServe, Manager

from . import frontend as vu
from .frontend import F_IRQ, INDIRECT, PROTOCOL_FEATURES, VERSION_1, Frontend

Eventually = Callable[..., None]

LED, OTHER, LOOPED = 0, 1, 5
PARTS = {"guest-car-lines", "guest-car-read", "guest-car-write"}


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

    def session(self) -> int:
        """What the memory says of the session in the socket pair."""
        self.manager.settle()
        at = os.pread(self.manager.kept["guest-car-lines"], 4, SESSION_AT)
        return int(struct.unpack("=I", at)[0])

    def poke(self, at: int, what: bytes) -> None:
        os.pwrite(self.manager.kept["guest-car-lines"], what, at)

    def taken(self) -> int:
        """How many requests the service has taken and not returned, by its log."""
        for fd in Path(f"/proc/{self.serve.pid}/fd").iterdir():
            if os.readlink(fd).startswith("/memfd:inflight"):
                with open(fd, "rb") as log:
                    return log.read(16 + 16 * vu.NUM)[16::16].count(1)
        return 0

    def kill(self) -> None:
        os.kill(self.serve.pid, signal.SIGKILL)
        assert self.serve.process is not None
        self.serve.process.wait()

    def crash(self) -> None:
        self.kill()
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
    assert restarts.manager.most == len(restarts.manager.kept) == 4


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
    restarts: Restarts, driver: Frontend, export: str, eventually: Eventually
) -> None:
    assert restarts.serve.stop() == 0
    restarts.serve = restarts.service(export)
    restarts.start()
    assert driver.hung_up()
    why = "export car: it was another one before; its guest is let go"
    eventually(lambda: why in restarts.serve.log, why)
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


def test_a_guest_that_leaves_is_not_kept(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Nor are its memory and its queues."""
    eventually(restarts.manager.has_guest, "the guest to be kept")
    driver.close()
    eventually(lambda: restarts.session() == NONE, "the end of the guest")
    eventually(lambda: restarts.manager.kept.keys() == PARTS, "its connection to be closed")
    assert content(restarts.manager) == 0


def test_chips_that_are_not_there_yet(restarts: Restarts, driver: Frontend) -> None:
    """Until the chips are there, the guest waits, for the service after the next one if need be."""
    assert restarts.serve.stop() == 0
    restarts.stub.kill()
    restarts.serve.__enter__()
    assert restarts.serve.stop() == 0
    restarts.manager.settle()
    assert len(restarts.manager.kept) == 4
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
def test_a_state_that_is_garbage(
    restarts: Restarts, driver: Frontend, garbage: bytes, eventually: Eventually
) -> None:
    """The guest is cut off, or what it says next tells; the service and its next guest go on."""
    assert restarts.serve.stop() == 0
    restarts.manager.settle()
    replace_content(restarts.manager, garbage)
    restarts.start()
    if garbage:
        assert driver.hung_up()
        told = "the guest was cut off: what the service before says of it"
        eventually(lambda: told in restarts.serve.log, told)
    driver.close()
    with Frontend(restarts.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


def test_states_of_lines_that_are_garbage(restarts: Restarts, driver: Frontend) -> None:
    assert restarts.serve.stop() == 0
    restarts.poke(STATES_AT, b"\xff" * 64)
    restarts.start()
    assert driver.ok(vu.GET_DIRECTION, LED) == vu.NONE
    driver.ok(vu.SET_DIRECTION, LED, vu.OUT)


def memory(length: int, seals: bool) -> int:
    fd = os.memfd_create("kept", os.MFD_ALLOW_SEALING if seals else 0)
    os.ftruncate(fd, length)
    return fd


@pytest.mark.parametrize(
    "make",
    [lambda: memory(0, True), lambda: memory(48 + 64, True), lambda: os.eventfd(0)],
    ids=["empty", "unsealed", "no memory"],
)
def test_memory_that_is_another_is_not_used(
    restarts: Restarts, driver: Frontend, make: Callable[[], int]
) -> None:
    """It could end under the service, or say what its pins are."""
    assert restarts.serve.stop() == 0
    restarts.manager.settle()
    other = make()
    if os.fstat(other).st_size:
        os.pwrite(other, os.pread(restarts.manager.kept["guest-car-lines"], 112, 0), 0)
    os.close(restarts.manager.kept["guest-car-lines"])
    restarts.manager.kept["guest-car-lines"] = other
    restarts.start()
    assert driver.hung_up()
    with Frontend(restarts.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


def test_a_service_without_descriptors_keeps_no_guest(
    restarts: Restarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 32

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", none_left)
    before = os.listdir("/proc/self/fd")
    for _ in range(times):
        handover = Handover(FdStore({"NOTIFY_SOCKET": restarts.manager.path}), "other", [])
        assert handover.kept is None
        assert not handover.give(1, lambda: pytest.fail("it was called"))
    # The manager is in this process, and has a few more of the service meanwhile.
    assert len(os.listdir("/proc/self/fd")) < len(before) + times


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """What it has not taken is told it again later."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        store = FdStore({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        handover = Handover(store, "car", [])
        while store.put("more", 0):
            pass
        assert not handover.keep(1, lambda: os.dup(0))
        while b"FDNAME=more" not in manager.recv(4096):
            pass
        assert handover.keep(1, lambda: os.dup(0))
        handover.close()


def content(manager: Manager) -> int:
    """Bytes of the messages in the socket pair."""
    size = fcntl.ioctl(manager.kept["guest-car-read"], termios.FIONREAD, bytes(4))
    return int.from_bytes(size, sys.byteorder)


def replace_content(manager: Manager, text: bytes) -> None:
    """Put other words in the place of those that the guest was left with."""
    for name in ("read", "write"):
        os.close(manager.kept[f"guest-car-{name}"])
    read, write = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if text:
        write.send(text)
    manager.kept |= {"guest-car-read": read.detach(), "guest-car-write": write.detach()}


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


# ---- the service is killed --------------------------------------------------------------


def test_after_a_kill_the_guest_goes_on(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Not even its event buffer comes back: it is the one in which the next edge comes."""
    mine = driver.buffer(LOOPED)
    level = 0
    for _ in range(2):
        restarts.stub.wait_armed("LOOP_IN")
        eventually(restarts.manager.has_guest, "the guest to be kept")
        restarts.crash()
        assert driver.ok(vu.GET_VALUE, LED) == 1
        assert driver.ok(vu.GET_DIRECTION, LED) == vu.OUT
        restarts.stub.wait_armed("LOOP_IN")
        driver.no_event()
        level ^= 1
        restarts.stub.drive("LOOP_IN", level)
        assert driver.event() == (mine, vu.VALID)
        driver.no_event()
        mine = driver.buffer(LOOPED)
    driver.ok(vu.SET_IRQ_TYPE, LOOPED, vu.NONE)
    assert driver.event() == (mine, vu.INVALID)
    assert restarts.stub.read("LED_GREEN") == 1
    assert restarts.manager.most == 4


def test_what_was_in_flight_at_a_kill_is_done_and_answered_once(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.stub.fault("stall", "on")
    queue = driver.queues[vu.REQUESTQ]
    mine = [driver.begin(vu.SET_VALUE, LED, number % 2) for number in range(1, 8)]
    mine.append(driver.begin(vu.GET_VALUE, LED))
    queue.notify()
    eventually(lambda: restarts.taken() == 8, "the requests to be taken")
    restarts.kill()
    waiting = driver.begin(vu.GET_DIRECTION, LED)
    restarts.stub.fault("stall", "off")
    restarts.start()
    assert [queue.wait() for _ in mine] == [(head, 2) for head in mine]
    assert [queue.answer(head, 2)[0] for head in mine] == [vu.OK] * 8
    assert queue.answer(mine[-1], 2)[1] == 1
    assert queue.wait() == (waiting, 2)
    assert restarts.stub.read("LED_GREEN") == 1
    driver.no_event()
    assert queue.pop() is None


def test_killed_at_any_moment_of_work(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """What was asked is answered, once, and nothing else is; the last value is on the pin."""
    pick = random.Random(11)
    driver.ok(vu.SET_DIRECTION, OTHER, vu.OUT)
    eventually(restarts.manager.has_guest, "the guest to be kept")
    queue = driver.queues[vu.REQUESTQ]
    asked: set[int] = set()
    answered = 0

    def ask() -> None:
        while queue.free:
            asked.add(driver.begin(vu.SET_VALUE, (LED, OTHER)[len(asked) % 2], pick.randint(0, 1)))
        queue.notify()

    def take(most: int) -> None:
        nonlocal answered
        for _ in range(most):
            head, length = queue.wait()
            assert length == 2 and queue.answer(head, 2)[0] == vu.OK
            asked.remove(head)
            answered += 1

    for _ in range(CRASHES_MAX * 2):
        ask()
        for _ in range(pick.randint(0, 40)):
            take(pick.randint(1, len(asked)))
            ask()
        restarts.crash()
        restarts.poke(SESSION_AT + 4, bytes(4))  # a minute is over
        eventually(restarts.manager.has_guest, "the guest to be kept")
    take(len(asked))
    assert queue.pop() is None
    for line, name in ((LED, "LED_GREEN"), (OTHER, "LED_RED")):
        driver.ok(vu.SET_VALUE, line, 1)
        assert restarts.stub.read(name) == 1
        assert driver.ok(vu.GET_DIRECTION, line) == vu.OUT


def test_the_connection_is_kept_at_each_moment(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Closed and kept again, it would be lost by a kill in between."""
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.crash()
    driver.ok(vu.GET_VALUE, LED)
    restarts.restart()
    assert restarts.serve.stop() == 0
    restarts.manager.settle()
    assert restarts.manager.dropped == set()


def test_going_on_with_a_guest_changes_nothing_that_is_kept(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Written anew, it would not be whole for a moment. What is written here comes to `spy`."""
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.kill()
    spy, instead = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.dup2(instead.fileno(), restarts.manager.kept["guest-car-write"])
    before = content(restarts.manager)
    restarts.start()
    driver.ok(vu.GET_VALUE, LED)
    restarts.kill()
    assert (restarts.session(), content(restarts.manager)) == (WHOLE, before)
    with spy, instead, pytest.raises(BlockingIOError):
        spy.recv(1, socket.MSG_DONTWAIT)
    restarts.start()
    driver.ok(vu.GET_VALUE, LED)


def test_killed_while_the_machine_is_paused(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    driver.ok(vu.GET_VALUE, LED)
    driver.stop()
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.crash()
    restarts.stub.wait_armed("LOOP_IN")
    restarts.stub.drive("LOOP_IN", 1)
    driver.start(None)
    mine = driver.buffer(LOOPED)
    assert driver.event() == (mine, vu.VALID)
    assert driver.ok(vu.GET_VALUE, LED) == 1


def test_killed_in_the_middle_of_a_change(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Nobody knows what the front-end has been answered: the guest is cut off, and told so."""
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.kill()
    restarts.poke(SESSION_AT, struct.pack("=I", CHANGING))
    restarts.start()
    assert driver.hung_up()
    why = "in the middle of changing its queues or memory"
    eventually(lambda: why in restarts.serve.log, why)
    with Frontend(restarts.path) as another:
        assert another.up().ok(vu.GET_DIRECTION, LED) == vu.NONE
        eventually(restarts.manager.has_guest, "the guest to be kept")
        restarts.crash()
        another.ok(vu.GET_VALUE, LED)


def test_a_front_end_that_was_killed_too(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Its lines are let go."""
    eventually(restarts.manager.has_guest, "the guest to be kept")
    restarts.kill()
    driver.close()
    assert restarts.stub.state("LED_GREEN").direction == "out"
    restarts.start()
    eventually(lambda: restarts.stub.state("LED_GREEN").direction == "none", "the LED's release")


def test_a_guest_that_crashes_the_service_again_and_again(
    restarts: Restarts, driver: Frontend, eventually: Eventually
) -> None:
    """Others need the service: it goes on without the guest."""
    for _ in range(CRASHES_MAX):
        eventually(restarts.manager.has_guest, "the guest to be kept")
        restarts.crash()
        driver.ok(vu.GET_VALUE, LED)
    restarts.crash()
    assert driver.hung_up()
    why = f"has ended {CRASHES_MAX} times soon after it had gone on"
    eventually(lambda: why in restarts.serve.log, why)
    eventually(lambda: restarts.stub.state("LED_GREEN").direction == "none", "the LED's release")


def test_a_restart_is_no_crash(restarts: Restarts, driver: Frontend) -> None:
    for _ in range(CRASHES_MAX + 1):
        restarts.restart()
    assert driver.ok(vu.GET_VALUE, LED) == 1


def test_a_log_of_the_front_end_is_used(restarts: Restarts, eventually: Eventually) -> None:
    with Frontend(restarts.path) as guest:
        guest.negotiate()
        assert guest.share() == 0
        fd, length = guest.get_log()
        assert guest.set_log(fd, length) == 0
        guest.start()
        mine = guest.buffer(LOOPED)
        guest.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
        guest.ok(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)
        eventually(restarts.manager.has_guest, "the guest to be kept")
        restarts.crash()
        restarts.stub.wait_armed("LOOP_IN")
        restarts.stub.drive("LOOP_IN", 1)
        assert guest.event() == (mine, vu.VALID)
        os.close(fd)


def test_a_log_that_lacks_a_queue_keeps_no_guest(
    restarts: Restarts, eventually: Eventually
) -> None:
    """It would be unknown which buffers the device has."""
    with Frontend(restarts.path) as guest:
        guest.negotiate()
        assert guest.share() == 0
        fd, length = guest.get_log(queues=1)
        assert guest.set_log(fd, length, queues=1) == 0
        guest.start()
        guest.ok(vu.GET_VALUE, LED)
        why = "the guest would not outlive a crash of the service: Operation not supported"
        eventually(lambda: why in restarts.serve.log, "the warning")
        restarts.crash()
        assert guest.hung_up()
        os.close(fd)


def test_a_hostile_front_end_does_not_fill_the_store(
    restarts: Restarts, eventually: Eventually
) -> None:
    """However often it comes, and whatever it says."""
    for _ in range(100):
        with Frontend(restarts.path) as guest:
            guest.negotiate()
    with Frontend(restarts.path) as guest:
        guest.up()
        eventually(restarts.manager.has_guest, "the guest to be kept")
        before = content(restarts.manager)
        for _ in range(300):
            assert guest.share() == 0
            guest.tell(vu.SET_VRING_CALL, struct.pack("=Q", 0), (guest.queues[0].call,))
        eventually(restarts.manager.has_guest, "the guest to be kept")
        assert content(restarts.manager) == before > 0
        assert restarts.manager.most == 4
        restarts.crash()
        guest.ok(vu.GET_VALUE, LED)


def test_without_a_manager_nothing_is_kept() -> None:
    handover = Handover(FdStore({}), "car", [])
    assert handover.kept is None and handover.take() is None
    assert not handover.give(1, lambda: pytest.fail("it was called"))


def test_what_is_kept_is_all_named() -> None:
    assert {f"guest-car-{name}" for name in Kept._fields} == PARTS
