# SPDX-License-Identifier: BSD-3-Clause
"""The Cortex-M port in QEMU: its pins driven from outside, its UART spoken to for real.

The driver here is independent of the bridge: COBS comes from the package `cobs`, the
rest is section 12 of docs/protocol.md again.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from firmware_stub.emulated.lm3s6965 import Mcu, Transition
from tests.frames import decode, encode
from tests.processes import cpu_seconds

DEADLINE = 30.0  # s

GET_DIRECTION, SET_DIRECTION, GET_VALUE, SET_VALUE, SET_IRQ_TYPE = range(2, 7)
GET_LINE_NAMES, GET_FEATURES, SET_FEATURES, GET_CONFIG = 1, 0x8000, 0x8001, 0x8002
GET_TIME, SET_LINE_CONFIG = 0x8020, 0x8041
TIMESTAMP, LINE_CONFIG = 1 << 5, 1 << 7
PULL_UP, PULL_DOWN, BIAS_DISABLE, OPEN_DRAIN, OPEN_SOURCE = 1, 2, 4, 8, 16
NONE, OUT, IN = 0, 1, 2
RISING, FALLING, BOTH, HIGH, LOW = 1, 2, 3, 4, 8
OK, ERR = bytes(4), bytes((0, 0, 1, 0))

DATA, HELLO, WELCOME, ACK, NAK, POLL, RESET = 0x80, 1, 2, 3, 4, 5, 6
NS_ENDPOINT = 0xFF

LED, BUTTON_SELECT, BUTTON_UP, BUTTON_DOWN = 0, 1, 2, 3
PB0 = 6


class Driver:
    """The driver's side of one wire: a session, requests one at a time, events."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self.received = b""
        self.session = int.from_bytes(os.urandom(4), "little")
        self.next = 0  # sequence number to send
        self.expected = 0
        self.replies: deque[tuple[int, bytes]] = deque()
        self.events: deque[tuple[int, int]] = deque()  # endpoint, line
        self.channels: dict[str, int] = {}
        self.extended_events = False
        self.records: deque[bytes] = deque()
        self.naks = 0
        self.resets: list[int] = []
        self.epoch = 0

    def frame(self, timeout: float = DEADLINE) -> bytes | None:
        """The next good frame without its CRC; None when there is none in time."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\0" in self.received:
                raw, _, self.received = self.received.partition(b"\0")
                if raw:
                    return decode(raw)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.wire.settimeout(left)
            try:
                piece = self.wire.recv(4096)
            except TimeoutError:
                return None
            assert piece, "QEMU closed the wire"
            self.received += piece

    def open(self) -> None:
        hello = struct.pack("<BBIHBBIHH", HELLO, 1, self.session, 496, 8, 0, 0, 20, 200)
        self.wire.sendall(b"\0" + encode(hello))
        frame = self.wait_kind(WELCOME)
        kind, version, session, mru, window, _, self.epoch = struct.unpack("<BBIHBBI", frame)
        assert (kind, version, session) == (WELCOME, 1, self.session)
        assert mru >= 20 and window >= 1
        self.until(lambda: len(self.channels) == 2)

    def wait_kind(self, wanted: int) -> bytes:
        while True:
            frame = self.frame()
            assert frame is not None, f"no frame of kind {wanted}"
            if frame[0] == wanted:
                return frame
            self.handle(frame)

    def until(self, done: Callable[[], object]) -> None:
        while not done():
            frame = self.frame()
            assert frame is not None, "the firmware fell silent"
            self.handle(frame)

    def handle(self, frame: bytes) -> None:
        if frame[0] & DATA:
            self.data(frame)
        elif frame[0] == NAK:
            self.naks += 1
        elif frame[0] == RESET:
            self.resets.append(int.from_bytes(frame[2:6], "little"))

    def data(self, frame: bytes) -> None:
        sequence, endpoint, port, message = frame[0] & 0x7F, frame[2], frame[3], frame[4:]
        if sequence != self.expected:
            return
        self.expected = (self.expected + 1) & 0x7F
        self.wire.sendall(encode(bytes((ACK, self.expected))))
        if endpoint == NS_ENDPOINT:
            assert message[0] == 0
            self.channels[message[2:].decode()] = message[1]
            return
        assert port == 0x40 + endpoint
        if message[0] and self.extended_events:
            self.records.append(message)
        elif message[0]:
            self.events.append((endpoint, int.from_bytes(message[2:4], "little")))
        else:
            self.replies.append((endpoint, message))

    def send(self, message: bytes, controller: int = 0) -> bytes:
        """Queue a message; returns its frame, to be sent again where a test wants to."""
        endpoint = self.channels[f"rpmsg-io-{controller}"]
        head = bytes((DATA | self.next, self.expected, endpoint, 0x40 + endpoint))
        frame = encode(head + message)
        self.next = (self.next + 1) & 0x7F
        self.wire.sendall(frame)
        return frame

    def reply(self, controller: int = 0) -> bytes:
        self.until(lambda: self.replies)
        endpoint, message = self.replies.popleft()
        assert endpoint == self.channels[f"rpmsg-io-{controller}"]
        return message

    def request(self, kind: int, line: int = 0, value: int = 0, controller: int = 0) -> bytes:
        self.send(struct.pack("<HHI", kind, line, value), controller)
        return self.reply(controller)

    def extended(self, kind: int, line: int = 0, value: int = 0, controller: int = 0) -> bytes:
        self.send(struct.pack("<HHIHH", kind, line, value, 0, 0), controller)
        return self.reply(controller)

    def names(self, controller: int = 0) -> list[str]:
        assert self.request(GET_FEATURES, 0, 3, controller)[8] & 3 == 3
        assert self.request(SET_FEATURES, 0, 3, controller) == OK
        block = self.extended(GET_LINE_NAMES, 0, 0, controller)[8:]
        return [name.decode() for name in block[:-1].split(b"\0")]

    def event(self) -> tuple[int, int]:
        self.until(lambda: self.events)
        return self.events.popleft()

    def settle(self) -> None:
        """Whatever the firmware had to say before this has come after it."""
        assert self.request(GET_VALUE, LED)[:3] == bytes(3)


@pytest.fixture
def mcu(image: str) -> Iterator[Mcu]:
    with Mcu(image, pty=False) as machine:
        yield machine


@pytest.fixture
def driver(mcu: Mcu) -> Driver:
    return connect(mcu)


def connect(mcu: Mcu) -> Driver:
    """A session with a machine that just started; the firmware says so before anyone asks."""
    assert mcu.socket is not None
    driver = Driver(mcu.socket)
    driver.until(lambda: driver.resets)
    driver.open()
    return driver


def test_announces_its_channels(driver: Driver) -> None:
    assert sorted(driver.channels) == ["rpmsg-io-0", "rpmsg-io-1"]
    assert driver.epoch
    assert driver.resets == [driver.epoch]


def test_names_and_labels(driver: Driver) -> None:
    names = driver.names()
    assert names[:4] == ["LED", "BUTTON_SELECT", "BUTTON_UP", "BUTTON_DOWN"]
    assert (len(names), len(set(names))) == (32, 32)
    assert driver.names(1) == ["PF3", "PG0", "PG1"]
    config = driver.extended(GET_CONFIG)[8:]
    assert int.from_bytes(config[:2], "little") == 32
    assert config[8:].rstrip(b"\0") == b"lm3s6965 gpio"


def test_output_reaches_the_pin(mcu: Mcu, driver: Driver) -> None:
    mcu.watch("F")
    assert driver.request(SET_VALUE, LED, 1) == OK
    assert not mcu.is_output("LED")
    assert driver.request(SET_DIRECTION, LED, OUT) == OK
    assert (mcu.is_output("LED"), mcu.level("LED")) == (True, 1)
    assert driver.request(GET_VALUE, LED) == bytes((0, 0, 0, 1))
    for level in (0, 1, 0):
        assert driver.request(SET_VALUE, LED, level) == OK
        assert mcu.level("LED") == level
    assert mcu.transitions() == [Transition("PF0", level) for level in (1, 0, 1, 0)]
    assert driver.request(SET_DIRECTION, LED, NONE) == OK
    assert not mcu.is_output("LED")


def test_every_pin_is_the_one_it_is_named_after(mcu: Mcu, driver: Driver) -> None:
    for controller in (0, 1):
        for line, pin in enumerate(driver.names(controller)):
            driver.request(SET_DIRECTION, line, IN, controller)
            for level in (1, 0, 1):
                mcu.drive(pin, level)
                reply = driver.request(GET_VALUE, line, 0, controller)
                assert reply == bytes((0, 0, 0, level)), pin
            driver.request(SET_VALUE, line, 0, controller)
            driver.request(SET_DIRECTION, line, OUT, controller)
            for level in (1, 0):
                driver.request(SET_VALUE, line, level, controller)
                assert (mcu.is_output(pin), mcu.level(pin)) == (True, level), pin
            driver.request(SET_DIRECTION, line, NONE, controller)


def test_edges_of_a_button(mcu: Mcu, driver: Driver) -> None:
    endpoint = driver.channels["rpmsg-io-0"]
    assert driver.request(SET_DIRECTION, BUTTON_UP, IN) == OK
    assert driver.request(SET_IRQ_TYPE, BUTTON_UP, BOTH) == OK
    assert mcu.irq_enabled("BUTTON_UP")
    for act in (mcu.press, mcu.release) * 5:
        act("BUTTON_UP")
        assert driver.event() == (endpoint, BUTTON_UP)
        assert driver.request(SET_IRQ_TYPE, BUTTON_UP, BOTH) == OK
    assert driver.request(SET_IRQ_TYPE, BUTTON_UP, NONE) == OK
    assert not mcu.irq_enabled("BUTTON_UP")
    mcu.press("BUTTON_UP")
    driver.settle()
    assert not driver.events


@pytest.mark.parametrize(("kind", "heard"), [(RISING, 1), (FALLING, 0)])
def test_one_kind_of_edge(mcu: Mcu, driver: Driver, kind: int, heard: int) -> None:
    driver.request(SET_DIRECTION, PB0, IN)
    mcu.drive("PB0", heard)
    driver.request(SET_IRQ_TYPE, PB0, kind)
    mcu.drive("PB0", 1 - heard)
    driver.settle()
    assert not driver.events
    mcu.drive("PB0", heard)
    assert driver.event()[1] == PB0


def test_a_masked_edge_is_latched_once(mcu: Mcu, driver: Driver) -> None:
    driver.request(SET_DIRECTION, BUTTON_SELECT, IN)
    driver.request(SET_IRQ_TYPE, BUTTON_SELECT, BOTH)
    for _ in range(10):
        mcu.press("BUTTON_SELECT")
        mcu.release("BUTTON_SELECT")
        driver.settle()
    assert len(driver.events) == 1
    driver.events.clear()
    assert driver.request(SET_IRQ_TYPE, BUTTON_SELECT, BOTH) == OK
    assert driver.event()[1] == BUTTON_SELECT
    assert driver.request(SET_IRQ_TYPE, BUTTON_SELECT, BOTH) == OK
    driver.settle()
    assert not driver.events


def test_a_level_is_silent_until_the_rearm(mcu: Mcu, driver: Driver) -> None:
    driver.request(SET_DIRECTION, BUTTON_DOWN, IN)
    assert driver.request(SET_IRQ_TYPE, BUTTON_DOWN, LOW) == OK
    mcu.press("BUTTON_DOWN")
    assert driver.event()[1] == BUTTON_DOWN
    assert not mcu.irq_enabled("BUTTON_DOWN")
    driver.settle()
    assert not driver.events
    # Still low: fires again at once.
    assert driver.request(SET_IRQ_TYPE, BUTTON_DOWN, LOW) == OK
    assert driver.event()[1] == BUTTON_DOWN
    mcu.release("BUTTON_DOWN")
    assert driver.request(SET_IRQ_TYPE, BUTTON_DOWN, LOW) == OK
    assert mcu.irq_enabled("BUTTON_DOWN")
    driver.settle()
    assert not driver.events


def test_edges_on_many_lines_at_once(mcu: Mcu, driver: Driver) -> None:
    lines = range(PB0, PB0 + 15)
    pins = driver.names()
    for line in lines:
        mcu.drive(pins[line], 0)
        driver.request(SET_DIRECTION, line, IN)
        assert driver.request(SET_IRQ_TYPE, line, RISING) == OK
    driver.request(SET_DIRECTION, 2, IN, 1)
    mcu.drive("PG1", 0)
    driver.request(SET_IRQ_TYPE, 2, RISING, 1)
    for line in lines:
        mcu.drive(pins[line], 1)
    mcu.drive("PG1", 1)
    events = sorted(driver.event() for _ in range(len(lines) + 1))
    wanted = [(driver.channels["rpmsg-io-0"], line) for line in lines]
    assert events == sorted([*wanted, (driver.channels["rpmsg-io-1"], 2)])


def test_edges_carry_the_time_of_the_chip(mcu: Mcu, driver: Driver) -> None:
    def chip_time() -> int:
        return int.from_bytes(driver.extended(GET_TIME)[8:16], "little")

    assert driver.request(SET_FEATURES, 0, TIMESTAMP) == OK
    driver.extended_events = True
    driver.request(SET_DIRECTION, BUTTON_UP, IN)
    driver.request(SET_IRQ_TYPE, BUTTON_UP, BOTH)
    for sequence, act in enumerate((mcu.press, mcu.release) * 3, 1):
        before = chip_time()
        act("BUTTON_UP")
        driver.until(lambda: driver.records)
        after = chip_time()
        record = driver.records.popleft()
        assert record[:8] == struct.pack("<BBHI", 1, 1 - sequence % 2, BUTTON_UP, sequence)
        assert before < int.from_bytes(record[8:], "little") < after
        driver.request(SET_IRQ_TYPE, BUTTON_UP, BOTH)


def test_the_clock_of_the_chip_is_true(driver: Driver) -> None:
    """Over more than one wrap of SysTick, which takes 336 ms; never back."""
    assert driver.request(SET_FEATURES, 0, TIMESTAMP) == OK
    # A machine that stood still for more than a wrap counts one wrap for two, but not every time.
    assert any(clock_is_true(driver) for _ in range(20))


def clock_is_true(driver: Driver) -> bool:
    """Whether a second of the chip is one of ours; its clock never goes back."""
    times: list[tuple[int, int, int]] = []
    while not times or times[-1][0] - times[0][0] < 1_000_000_000:
        before = time.monotonic_ns()
        told = int.from_bytes(driver.extended(GET_TIME)[8:16], "little")
        times.append((before, told, time.monotonic_ns()))
    told_ns = [told for _, told, _ in times]
    assert told_ns == sorted(told_ns)
    took = told_ns[-1] - told_ns[0]
    least, most = times[-1][0] - times[0][2], times[-1][2] - times[0][0]
    return least - 100_000_000 < took < most + 100_000_000


def test_bias_and_drive(mcu: Mcu, driver: Driver) -> None:
    """Only the registers can be seen: QEMU's PL061 does not pull its inputs."""

    def configure(line: int, flags: int) -> bytes:
        head = struct.pack("<HHIHH", SET_LINE_CONFIG, line, 0, 0, 0)
        driver.send(head + struct.pack("<II", flags, 0))
        return driver.reply()[2:3]

    assert driver.request(SET_FEATURES, 0, LINE_CONFIG) == OK
    assert mcu.pulls("BUTTON_UP") == (True, False)
    assert mcu.pulls("PB0") == (False, False)
    assert configure(PB0, PULL_UP) == b"\0"
    assert mcu.pulls("PB0") == (True, False)
    assert configure(PB0, PULL_DOWN | OPEN_DRAIN) == b"\0"
    assert (mcu.pulls("PB0"), mcu.is_open_drain("PB0")) == ((False, True), True)
    assert configure(PB0, 0) == b"\0"
    assert (mcu.pulls("PB0"), mcu.is_open_drain("PB0")) == ((False, False), False)
    assert configure(BUTTON_UP, BIAS_DISABLE) == b"\0"
    assert mcu.pulls("BUTTON_UP") == (False, False)
    assert configure(PB0, OPEN_SOURCE) == b"\1"


def test_two_endpoints_at_once(driver: Driver) -> None:
    """Requests for both controllers in flight; each is answered on its own."""
    for controller in (0, 1, 0, 1):
        driver.send(struct.pack("<HHI", GET_DIRECTION, 2, 0), controller)
    driver.until(lambda: len(driver.replies) == 4)
    ends = [driver.channels[f"rpmsg-io-{controller}"] for controller in (0, 1)]
    assert sorted(end for end, _ in driver.replies) == sorted(ends * 2)
    driver.replies.clear()
    assert driver.names(1) == ["PF3", "PG0", "PG1"]


def test_what_is_wrong_is_answered_with_err(driver: Driver) -> None:
    assert driver.request(GET_VALUE, 32) == ERR
    assert driver.request(SET_VALUE, LED, 2) == ERR
    assert driver.request(0x1234) == ERR
    driver.send(b"\x04")
    assert driver.reply() == ERR


def test_garbage_on_the_wire(driver: Driver) -> None:
    """A frame lost in noise is asked for again, once the noise has ended."""
    for garbage in (b"\xff" * 700, bytes(range(1, 256)), b"\0" * 40, os.urandom(1000)):
        driver.wire.sendall(garbage)
        naks = driver.naks
        frame = driver.send(struct.pack("<HHI", GET_DIRECTION, LED, 0))
        deadline = time.monotonic() + DEADLINE
        while not driver.replies:
            assert time.monotonic() < deadline
            answer = driver.frame(0.3)
            if answer:
                driver.handle(answer)
            if answer is None or driver.naks > naks:
                naks = driver.naks
                driver.wire.sendall(b"\0" + frame)
        assert driver.replies.popleft()[1] == OK


def test_a_lost_acknowledgement_brings_the_message_again(driver: Driver) -> None:
    head = bytes((DATA | driver.next, driver.expected, driver.channels["rpmsg-io-0"], 0x40))
    driver.next += 1
    driver.wire.sendall(encode(head + struct.pack("<HHI", GET_DIRECTION, LED, 0)))
    first = second = None
    while not second:
        frame = driver.frame()
        assert frame is not None, "the reply was not sent again"
        if frame[0] & DATA:
            first, second = frame, first
    assert (first[0], first[2:]) == (second[0], second[2:])


def test_a_reset_is_noticed_and_changes_the_epoch(mcu: Mcu, driver: Driver) -> None:
    driver.request(SET_VALUE, LED, 1)
    driver.request(SET_DIRECTION, LED, OUT)
    before = driver.epoch
    mcu.reset()
    again = connect(mcu)
    assert again.epoch not in (0, before)
    assert again.resets == [again.epoch]
    assert not mcu.is_output("LED")
    # The inputs are still driven from outside.
    assert again.request(GET_VALUE, BUTTON_UP) == bytes((0, 0, 0, 1))


def test_a_pin_has_one_level_whatever_it_is_called(mcu: Mcu, driver: Driver) -> None:
    mcu.drive("PE0", 0)
    mcu.release("BUTTON_UP")
    assert driver.request(GET_VALUE, BUTTON_UP) == bytes((0, 0, 0, 1))
    mcu.reset()
    assert connect(mcu).request(GET_VALUE, BUTTON_UP) == bytes((0, 0, 0, 1))


def test_epochs_of_power_ups_differ(image: str) -> None:
    epochs = set()
    for _ in range(5):
        with Mcu(image, pty=False) as machine:
            epochs.add(connect(machine).epoch)
    assert len(epochs) == 5


def test_sleeps_when_idle(mcu: Mcu, driver: Driver) -> None:
    driver.settle()
    deadline = time.monotonic() + DEADLINE
    before = cpu_seconds(mcu.pid)
    while driver.frame(2.0) is not None:  # the last acknowledgements
        assert time.monotonic() < deadline, "the firmware speaks without a reason"
        before = cpu_seconds(mcu.pid)
    assert cpu_seconds(mcu.pid) - before < 0.2


def test_the_uart_is_a_terminal(image: str) -> None:
    """The way the bridge's serial link takes: a pseudo-terminal."""
    import serial

    with Mcu(image) as machine, serial.Serial(machine.serial, 115200, timeout=DEADLINE) as port:
        assert machine.url == f"serial:{machine.serial}"
        hello = struct.pack("<BBIHBBIHH", HELLO, 1, 1, 496, 8, 0, 0, 20, 200)
        # QEMU looks once a second whether someone has opened the terminal, and
        # drops what the firmware says before.
        deadline = time.monotonic() + DEADLINE
        port.timeout = 0.5
        answer = b""
        while bytes((WELCOME,)) not in (frame[:1] for frame in frames(answer)):
            assert time.monotonic() < deadline
            port.write(b"\0" + encode(hello))
            answer += port.read_until(b"\0")


def frames(received: bytes) -> list[bytes]:
    return [decode(raw) for raw in received.split(b"\0")[:-1] if raw]


def test_pins_that_do_not_exist(mcu: Mcu) -> None:
    with pytest.raises(OSError, match="PA0 to PG7"):
        mcu.level("PH0")
    with pytest.raises(OSError, match="A to G"):
        mcu.watch("H")
