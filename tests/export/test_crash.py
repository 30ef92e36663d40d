# SPDX-License-Identifier: BSD-3-Clause
"""The service is killed under guests whose front-end keeps a log of what is in flight."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.client.control import Connection

from . import frontend as vu
from .frontend import F_IRQ, INDIRECT, NUM, PROTOCOL_FEATURES, VERSION_1, Frontend

Eventually = Callable[..., None]

LED, OTHER, LOOPED = 0, 1, 5
VERSION_AT, BATCH_AT, USED_AT, DESCS_AT = 8, 12, 14, 16
EVENTQ_AT = 16 + 16 * NUM + 48  # aligned to 64 bytes


class Guest(Frontend):
    """A front-end with a log, on a service that can be killed."""

    def __init__(self, rig: Rig, path: str, features: int) -> None:
        super().__init__(path, features)
        self.rig = rig
        self.negotiate()
        assert self.share() == 0
        self.log_fd, self.log_length = self.get_log()
        assert self.set_log(self.log_fd, self.log_length) == 0
        self.start()
        self.log = mmap.mmap(self.log_fd, self.log_length)

    def kill_service(self) -> None:
        self.kill_process()
        assert self.hung_up()

    def kill_process(self) -> None:
        os.kill(self.rig.serve.pid, signal.SIGKILL)
        assert self.rig.serve.process is not None
        self.rig.serve.process.wait()

    @property
    def connected(self) -> bool:
        with contextlib.closing(Connection.open(self.rig.serve.socket)) as connection:
            return bool(connection.call("status")["exports"][0]["connected"])

    def start_service(self) -> None:
        self.rig.serve.__enter__()
        self.rig.serve.wait_for_chips(2)

    def go_on(self) -> None:
        self.reconnect(self.log_fd, self.log_length)

    def crash(self) -> None:
        self.kill_service()
        self.start_service()
        self.go_on()

    def in_flight(self, queue: int = vu.REQUESTQ) -> list[int]:
        at = DESCS_AT + queue * EVENTQ_AT
        return [head for head in range(NUM) if self.log[at + 16 * head]]

    def close(self) -> None:
        if self.memfd >= 0:
            self.log.close()
            os.close(self.log_fd)
        super().close()


@pytest.fixture
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """With INDIRECT where a test asks for it."""
    path = tmp_path / "guest.sock"
    export = f"vhost-user-gpio:{path},chip=fw-0,name=car"
    features = VERSION_1 | PROTOCOL_FEATURES | F_IRQ | getattr(request, "param", 0)
    with Rig(arguments=("-v", "--export", export)) as rig, Guest(rig, str(path), features) as up:
        yield up


@pytest.mark.parametrize("guest", [0, INDIRECT], ids=["plain", "indirect"], indirect=True)
def test_requests_in_flight_are_answered_by_the_next_service(
    guest: Guest, eventually: Eventually
) -> None:
    """Each request is answered exactly once, and those of one line in their order."""
    guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
    guest.rig.stub.fault("stall", "on")
    queue = guest.queues[vu.REQUESTQ]
    mine = [guest.begin(vu.SET_VALUE, LED, number % 2) for number in range(1, 8)]
    mine.append(guest.begin(vu.GET_VALUE, LED))
    queue.notify()
    eventually(lambda: len(guest.in_flight()) == 8, "the requests to be taken")
    guest.kill_service()
    guest.rig.stub.fault("stall", "off")
    guest.start_service()
    guest.go_on()
    assert [queue.wait() for _ in mine] == [(head, 2) for head in mine]
    assert [queue.answer(head, 2)[0] for head in mine] == [vu.OK] * 8
    assert queue.answer(mine[-1], 2)[1] == 1
    assert guest.rig.stub.read("LED_GREEN") == 1
    guest.no_event()
    assert queue.pop() is None and guest.in_flight() == []


def test_a_line_that_the_firmware_has_not_let_go_is_let_go_by_the_next_service(
    guest: Guest, eventually: Eventually
) -> None:
    guest.ok(vu.SET_VALUE, LED, 1)
    guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
    guest.rig.stub.fault("drop", "rx", 10_000)
    guest.socket.close()
    eventually(lambda: not guest.connected, "the service to see that it left")
    guest.kill_process()
    guest.rig.stub.fault("clear")
    assert guest.rig.stub.read("LED_GREEN") == 1
    guest.start_service()
    eventually(lambda: guest.rig.stub.state("LED_GREEN").direction == "none", "the release")


def test_requests_that_nobody_took_are_taken_once(guest: Guest) -> None:
    guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
    guest.kill_service()
    queue = guest.queues[vu.REQUESTQ]
    mine = [guest.begin(vu.SET_VALUE, LED, 1), guest.begin(vu.GET_VALUE, LED)]
    guest.start_service()
    guest.go_on()
    assert [queue.wait()[0] for _ in mine] == mine
    assert queue.answer(mine[1], 2) == bytes((vu.OK, 1))
    guest.ok(vu.GET_VALUE, LED)


@pytest.mark.parametrize("guest", [0, INDIRECT], ids=["plain", "indirect"], indirect=True)
def test_event_buffers_are_those_of_before(guest: Guest) -> None:
    guest.ok(vu.SET_DIRECTION, LOOPED, vu.IN)
    guest.ok(vu.SET_IRQ_TYPE, LOOPED, vu.BOTH)
    level = 0
    mine = guest.buffer(LOOPED)
    for _ in range(2):
        guest.rig.stub.wait_armed("LOOP_IN")
        guest.crash()
        guest.rig.stub.wait_armed("LOOP_IN")
        guest.no_event()
        level ^= 1
        guest.rig.stub.drive("LOOP_IN", level)
        assert guest.event() == (mine, vu.VALID)
        guest.no_event()
        mine = guest.buffer(LOOPED)
    guest.ok(vu.SET_IRQ_TYPE, LOOPED, vu.NONE)
    assert guest.event() == (mine, vu.INVALID)


@pytest.mark.parametrize("guest", [0, INDIRECT], ids=["plain", "indirect"], indirect=True)
def test_killed_again_and_again_under_load(guest: Guest) -> None:
    """Wherever the kill hits, all that was asked is answered, and nothing else."""
    guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
    guest.ok(vu.SET_DIRECTION, OTHER, vu.OUT)
    queue = guest.queues[vu.REQUESTQ]
    asked: set[int] = set()
    answered = 0

    def ask() -> None:
        while queue.free:
            asked.add(guest.begin(vu.SET_VALUE, answered % 2, answered % 3 % 2))
        queue.notify()

    def take(most: int) -> None:
        nonlocal answered
        for _ in range(most):
            head, length = queue.wait()
            assert length == 2 and queue.answer(head, 2)[0] == vu.OK
            asked.remove(head)
            answered += 1

    for number in range(4):
        ask()
        for _ in range(number):
            take(7)
            ask()
        guest.crash()
    take(len(asked))
    assert queue.pop() is None
    assert guest.ok(vu.GET_DIRECTION, LED) == vu.OUT


def test_a_kill_between_the_ring_and_the_log(guest: Guest) -> None:
    """The answer was shown; that it is no longer in flight was not written down."""
    guest.ok(vu.SET_DIRECTION, LED, vu.OUT)
    guest.kill_service()
    used = struct.unpack_from("=H", guest.log, USED_AT)[0]
    head = struct.unpack_from("=H", guest.log, BATCH_AT)[0]
    struct.pack_into("=H", guest.log, USED_AT, used - 1)
    guest.log[DESCS_AT + 16 * head] = 1
    guest.start_service()
    guest.go_on()
    assert guest.ok(vu.GET_DIRECTION, LED) == vu.OUT
    assert guest.queues[vu.REQUESTQ].pop() is None


def test_a_driver_that_begins_anew_with_an_old_log(guest: Guest, eventually: Eventually) -> None:
    """The driver was bound while there was no service: the log is about an earlier life."""
    guest.rig.stub.fault("stall", "on")
    guest.begin(vu.GET_VALUE, LED)
    guest.queues[vu.REQUESTQ].notify()
    eventually(lambda: len(guest.in_flight()) == 1, "the request to be taken")
    guest.kill_service()
    guest.rig.stub.fault("stall", "off")
    guest.start_service()
    guest.socket.close()
    guest.connect()
    guest.negotiate()
    assert guest.share() == 0
    assert guest.set_log(guest.log_fd, guest.log_length) == 0
    for queue in guest.queues:
        guest.memory[queue.base : queue.base + vu._RING] = bytes(vu._RING)
    guest.start()
    assert guest.ok(vu.GET_DIRECTION, LED) == vu.NONE
    assert guest.queues[vu.REQUESTQ].pop() is None


def test_a_service_that_stops_hands_nothing_in_flight_over(guest: Guest) -> None:
    mine = guest.buffer(LOOPED)
    assert guest.rig.serve.stop() == 0
    assert guest.event() == (mine, vu.INVALID)
    assert guest.in_flight(vu.EVENTQ) == []
    guest.start_service()
    guest.go_on()
    guest.ok(vu.GET_VALUE, LED)


# ---- a log that lies ------------------------------------------------------------------


def spoil_count(guest: Guest) -> None:
    for head in range(NUM):
        guest.log[DESCS_AT + 16 * head] = 1


def spoil_version(guest: Guest) -> None:
    struct.pack_into("=H", guest.log, VERSION_AT, 2)


def spoil_size(guest: Guest) -> None:
    struct.pack_into("=H", guest.log, VERSION_AT + 2, NUM * 2)


@pytest.mark.parametrize(
    "spoil, why",
    [
        (spoil_count, "virtqueue 0: 64 descriptors are in flight by the log, 0 by the indexes"),
        (spoil_version, "virtqueue 0: its in-flight log: its version is not 1"),
        (spoil_size, "virtqueue 0: its in-flight log: it is of another size"),
    ],
)
def test_a_log_that_cannot_be_is_refused(
    guest: Guest,
    spoil: Callable[[Guest], None],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    def say(kind: int, payload: bytes = b"", fds: tuple[int, ...] = ()) -> int:
        guest.send(kind, payload, fds)  # with a reply the guest would go on
        return 0

    guest.ok(vu.GET_VALUE, LED)
    guest.kill_service()
    spoil(guest)
    guest.start_service()
    monkeypatch.setattr(guest, "tell", say)
    with contextlib.suppress(ConnectionError):
        guest.go_on()
    assert guest.hung_up()
    eventually(lambda: f"the guest was cut off: {why}" in guest.rig.serve.log, "the reason")
    with Frontend(guest.path) as another:
        another.up().ok(vu.GET_VALUE, LED)


def test_a_log_in_the_wrong_place_is_refused(guest: Guest) -> None:
    for offset, length, queues, size in [
        (0, 1, 2, NUM),
        (1 << 40, 1 << 20, 2, NUM),
        (64, 1 << 20, 2, NUM),
        (8, 1 << 20, 2, NUM),
        ((1 << 64) - 64, 1 << 20, 2, NUM),
        (0, 1 << 20, 0, NUM),
        (0, 1 << 20, 3, NUM),
        (0, 1 << 20, 2, 0),
        (0, 1 << 63, 2, 0xFFFF),
    ]:
        assert guest.set_log(guest.log_fd, length, offset, queues, size) == 1
        guest.ok(vu.GET_VALUE, LED)
    assert guest.set_log(guest.socket.fileno(), guest.log_length) == 1
    guest.ok(vu.GET_VALUE, LED)


def test_a_log_that_vanishes_ends_its_guest_alone(guest: Guest, eventually: Eventually) -> None:
    own = os.memfd_create("log")
    os.ftruncate(own, guest.log_length)
    assert guest.set_log(own, guest.log_length) == 0
    guest.ok(vu.GET_VALUE, LED)
    os.ftruncate(own, 0)
    os.close(own)
    guest.begin(vu.GET_VALUE, LED)
    guest.queues[vu.REQUESTQ].notify()
    assert guest.hung_up()
    eventually(lambda: "the guest truncated its memory" in guest.rig.serve.log, "the reason")
    with Frontend(guest.path) as another:
        another.up().ok(vu.GET_VALUE, LED)
