# SPDX-License-Identifier: BSD-3-Clause
"""The serial link: framing against an independent codec, and use over a pty."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import struct
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import serial
from cobs import cobs

import bridge as gpiod
from bridge.bench.rig import Serve, direct_chip
from bridge.client.control import Connection
from bridge.conformance import framing
from bridge.conformance.check import Failed
from bridge.conformance.driver import FEATURES, GET_LINE_NAMES, SET_FEATURES, extended, request
from bridge.line import Direction, Edge, Value
from bridge.link import resolve
from bridge.link.serial import connect, open_port, parse, short_name, watch_path
from bridge.shim.pump import Pump, Report, ReportKind
from firmware_stub import Stub
from tests.frames import decode, encode

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
DEADLINE_S = 30.0
SESSION = 0x12345678
#: Line errors of each kind (flips, losses, insertions) in a million bytes.
NOISE = 1000

LOOP = """\
controller 0 lines 4
line 0/0 OUT
line 0/1 IN
line 0/2 TICK
wire OUT IN
"""


# ---- a driver frame by frame ---------------------------------------------------


def hello(session: int = SESSION, version: int = 1) -> bytes:
    """A HELLO as in the document."""
    return struct.pack("<BBIHBBIHH", 1, version, session, 496, 32, 0, 115200, 5, 50)


class Driver:
    """A driver in Python, frame by frame, on the stub's pty."""

    def __init__(self, stub: Stub) -> None:
        self.port = serial.Serial(parse(stub.serial_url.partition(":")[2]).port, timeout=0)
        self._rest = b""

    def begin(self, frame: bytes) -> bytes:
        """Send a HELLO and return the answer; what was said before is dropped."""
        self.send(frame)
        while (answer := self.receive())[0] == 6:
            pass
        return answer

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        self.port.write(encode(frame))

    def receive(self) -> bytes:
        """The next frame."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            wire, delimiter, rest = self._rest.partition(b"\0")
            if delimiter:
                self._rest = rest
                if wire:
                    return decode(wire)
                continue
            assert select.select([self.port], [], [], max(0, deadline - time.monotonic()))[0]
            self._rest += self.port.read(4096)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A stub on a pty."""
    with Stub(LOOP, transport="serial") as running:
        yield running


@pytest.fixture
def driver(stub: Stub) -> Iterator[Driver]:
    """A driver of `stub`."""
    opened = Driver(stub)
    yield opened
    opened.port.close()


def test_the_document_and_a_foreign_codec_agree() -> None:
    text = PROTOCOL.read_text()
    text = text[text.index("### 12.7") : text.index("## 13.")]
    examples = re.findall(r"\| `([0-9a-f ]+)` \| `([0-9a-f ]+)` \|", text)
    assert len(examples) >= 12
    for frame, wire in examples:
        assert encode(bytes.fromhex(frame)).hex(" ") == wire


def test_the_codec_of_the_conformance_checks_and_a_foreign_one_agree() -> None:
    for length in (1, 5, 253, 254, 255, 504):
        for frame in (bytes(length), bytes([7]) * length, bytes(range(1, 252)) * 2 + bytes(length)):
            assert cobs.decode(framing.encode(frame)[:-1]) == cobs.decode(encode(frame)[:-1])
            assert framing.decode(encode(frame)[:-1]) == frame
            with pytest.raises(Failed):
                framing.decode(cobs.encode(frame + b"12345"))


def test_handshake_and_requests_by_hand(driver: Driver) -> None:
    answer = driver.begin(hello())
    kind, version, session, mru, window, _, _epoch = struct.unpack("<BBIHBBI", answer)
    assert (kind, version, session) == (2, 1, SESSION)
    assert mru >= 16 and 1 <= window <= 64
    assert driver.receive() == b"\x80\x00\xff\x00\x00\x00rpmsg-io-0"
    driver.send(b"\x80\x01\x00\x07" + struct.pack("<HHI", 4, 1, 0))
    answered = b"\x81\x01\x00\x07\x00\x00\x00\x00"
    assert driver.receive() == answered
    driver.send(b"\x05\x02")  # POLL
    # Until then the answer is not acknowledged: on a busy host it has been sent again.
    while (told := driver.receive()) == answered:
        pass
    assert told == b"\x03\x01"
    driver.port.write(b"\x11\x22\x33\x00")
    assert driver.receive() == b"\x04\x01"  # NAK
    driver.send(struct.pack("<BBI", 6, 0, SESSION))
    driver.send(b"\x05\x02")
    assert driver.receive()[0] == 6  # RESET: the session is over


def test_another_version_is_told(driver: Driver) -> None:
    assert driver.begin(hello(version=9))[:6] == struct.pack("<BBI", 2, 1, SESSION)
    driver.send(b"\x05\x00")
    assert driver.receive()[0] == 6


def test_a_message_longer_than_the_uart_takes_at_a_time() -> None:
    """The message comes as a whole, without waiting for the time to send it again."""
    names = "".join(f"line 0/{n} A_NAME_OF_{n:02}\n" for n in range(32))
    with Stub(f"controller 0 lines 32\n{names}", transport="serial", baud=921600) as stub:
        line = framing.Framing(open_port(stub.serial_url.partition(":")[2], 5000), 5000)
        try:
            line.begin()
            line.post(request(SET_FEATURES, 0, FEATURES["NAMES"]))
            assert line.reply("to SET_FEATURES")[1] == 0
            for _ in range(50):
                line.post(extended(GET_LINE_NAMES))
                assert b"A_NAME_OF_31" in line.reply("to GET_LINE_NAMES")
        finally:
            line.close()


def test_an_rpmsg_tty_carries_it() -> None:
    """Pieces of at most 496 bytes, cut at any place; tests/kernel has Linux's own driver."""
    with Stub(LOOP, transport="rpmsg-tty") as stub:
        pump = Pump()
        try:
            backend, rest = resolve(stub.url)
            link = pump.add_link(backend.connect(rest, 2000), 1)
            (report,) = _reports(pump)
            assert (report.kind, report.body) == (ReportKind.ANNOUNCED, b"rpmsg-tty")
            endpoint = link.open_endpoint(1024, report.number)
            stream = encode(hello())
            endpoint.send(stream[:7])
            endpoint.send(stream[7:])
            got = b""
            while got.count(b"\0") < 2:
                assert select.select([endpoint.fileno()], [], [], DEADLINE_S)[0]
                message = endpoint.receive()
                got += message.data if message else b""
            welcome, announcement = (decode(wire) for wire in got.split(b"\0") if wire)
            assert welcome[:6] == struct.pack("<BBI", 2, 1, SESSION)
            assert announcement[6:] == b"rpmsg-io-0"
            stub.fault("cable", "out")
            (report,) = _reports(pump)
            assert (report.kind, report.value) == (ReportKind.ANNOUNCED, 0)
        finally:
            pump.close()


def _reports(pump: Pump) -> list[Report]:
    while not (found := list(pump.reports())):
        assert select.select([pump.report_fd], [], [], DEADLINE_S)[0]
    return found


# ---- URLs ------------------------------------------------------------------------


def test_urls() -> None:
    assert parse("/dev/ttyUSB0").options["baud"] == 115200
    assert parse("/dev/ttyUSB0?baud=921600&rtscts=1").options["rtscts"] == 1
    target = parse("socket://localhost:5000?logging=debug&retry=7")
    assert target.port == "socket://localhost:5000?logging=debug"
    assert target.options["retry"] == 7
    assert watch_path("/dev/ttyACM3?baud=9600") == "/dev/ttyACM3"
    assert watch_path("socket://localhost:5000") is None
    assert short_name("/dev/ttyACM3?baud=9600") == "ttyACM3"
    assert parse("rpmsg-tty?remoteproc=m4_0&ack=0").processor == {"remoteproc": "m4_0"}
    assert watch_path("rpmsg-tty") == "/dev/ttyRPMSG0"
    assert short_name("rpmsg-tty?remoteproc=m4_0") == "m4_0"


@pytest.mark.parametrize(
    "rest",
    [
        *("/dev/x?baud=fast", "/dev/x?baud=1", "/dev/x?speed=9600", "?baud=9600"),
        *("/dev/x?remoteproc=m4_0", "rpmsg-tty?device=a&device=b"),
    ],
)
def test_bad_urls_are_refused(rest: str) -> None:
    with pytest.raises(OSError, match=r"give|there is no|no port") as caught:
        parse(rest)
    assert caught.value.errno == errno.EINVAL


def test_ports_that_cannot_be_opened() -> None:
    for rest, number, sentence in (
        ("/nonexistent/tty", errno.ENOENT, "No such file"),
        ("loop://", errno.EOPNOTSUPP, "no file descriptor"),
        ("nonsense://x", errno.EINVAL, "nonsense"),
        ("rpmsg-tty?device=nonexistent", errno.ENOENT, "called nonexistent has rpmsg"),
        ("socket://localhost", errno.EINVAL, "HOST:PORT"),
        ("socket://[::1:7000", errno.EINVAL, "Invalid IPv6"),
        (f"socket://{'x' * 64}.net:7000", errno.EINVAL, "HOST:PORT"),
    ):
        with pytest.raises(OSError, match=sentence) as caught:
            connect(rest, 500)
        assert caught.value.errno == number


def test_a_host_that_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's numbers are no errno."""

    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="Name or service not known") as caught:
        connect("socket://nowhere.invalid:7000", 500)
    assert caught.value.errno == errno.EHOSTUNREACH


def test_a_port_unplugged_while_it_is_opened(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """termios.error is no OSError; the service would otherwise not try again."""

    def gone(*_: object) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(termios, "tcflush", gone)
    with pytest.raises(OSError, match=r"/.*: Input/output error") as caught:
        connect(stub.serial_url.partition(":")[2], 500)
    assert caught.value.errno == errno.EIO


def test_no_descriptor_left(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no fault of the kind of port."""

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", none_left)
    with pytest.raises(OSError, match="Too many open files") as caught:
        connect(stub.serial_url.partition(":")[2], 500)
    assert caught.value.errno == errno.EMFILE


def test_silence_and_garbage_have_their_own_sentences() -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(OSError, match="no firmware answers") as caught:
            connect(os.ttyname(slave), 200)
        assert caught.value.errno == errno.ETIMEDOUT
        noise = threading.Timer(0.05, lambda: os.write(master, b"login: \xff\x00\xfe\x00" * 8))
        noise.start()
        with pytest.raises(OSError, match="serial framing, at the baud rate of this side, 115200"):
            connect(os.ttyname(slave), 300)
        noise.join()
    finally:
        os.close(master)
        os.close(slave)


def test_one_program_at_a_time(stub: Stub) -> None:
    with direct_chip(stub.serial_url):
        with pytest.raises(OSError, match="in use by another program") as caught:
            connect(stub.serial_url.partition(":")[2], 500)
        assert caught.value.errno == errno.EBUSY


# ---- the link and its end -----------------------------------------------------------


@contextmanager
def pumped(url: str) -> Iterator[Callable[[], Report]]:
    """A link in a pump; what is yielded returns the next report."""
    pump = Pump()
    try:
        backend, rest = resolve(url)
        pump.add_link(backend.connect(rest, 2000), 1)

        def next_report() -> Report:
            deadline = time.monotonic() + DEADLINE_S
            while True:
                for report in pump.reports():
                    return report
                left = deadline - time.monotonic()
                assert left > 0 and select.select([pump.report_fd], [], [], left)[0]

        yield next_report
    finally:
        pump.close()


def expect_down(next_report: Callable[[], Report]) -> tuple[int, str]:
    """Errno and sentence of the link's end."""
    while True:
        report = next_report()
        if report.kind == ReportKind.LINK_DOWN:
            return report.error, report.body.decode()


def test_announcements(stub: Stub) -> None:
    with pumped(stub.serial_url) as next_report:
        report = next_report()
        assert (report.kind, report.value, report.number) == (ReportKind.ANNOUNCED, 1, 0)
        assert report.body == b"rpmsg-io-0"


def test_late_announcements(stub: Stub) -> None:
    stub.fault("announce-late", "100ms")
    before = time.monotonic()
    with pumped(stub.serial_url) as next_report:
        assert next_report().body == b"rpmsg-io-0"
    assert time.monotonic() - before >= 0.1


def test_a_restart_takes_the_link_down(stub: Stub) -> None:
    with pumped(stub.serial_url) as next_report:
        stub.restart()
        number, why = expect_down(next_report)
    assert number == errno.ECONNRESET and "started again" in why


def test_a_pulled_cable_takes_the_link_down(stub: Stub) -> None:
    with pumped(stub.serial_url) as next_report:
        stub.fault("cable", "out")
        number, why = expect_down(next_report)
    assert number == errno.ENODEV and "gone" in why


def test_keepalive_finds_a_firmware_that_hangs(stub: Stub) -> None:
    with pumped(f"{stub.serial_url}&keepalive=20&dead=2000") as next_report:
        assert next_report().kind == ReportKind.ANNOUNCED
        stub.fault("stall", "on")
        number, why = expect_down(next_report)
    assert number == errno.ETIMEDOUT and "2000 ms" in why


class Firmware(threading.Thread):
    """Firmware frame by frame on a pty; it says nothing but what a test has it say."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.url = f"serial:{os.ttyname(self._slave)}?keepalive=20&dead=2000"
        self.session = 0
        self.mru = 496
        self.polls = 0
        self.lost = 0  # answers to POLL that are still to be lost
        self.left = 0  # the session that the driver has ended
        self.start()

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        os.write(self._master, encode(frame))

    def welcome(self, epoch: int) -> None:
        """Send a WELCOME to the latest session."""
        self.send(struct.pack("<BBIHBBI", framing.WELCOME, 1, self.session, self.mru, 8, 0, epoch))

    def run(self) -> None:
        rest = b""
        with suppress(OSError):
            while True:
                rest += os.read(self._master, 4096)
                *wires, rest = rest.split(b"\0")
                for wire in filter(None, wires):
                    self._answer(decode(wire))

    def _answer(self, frame: bytes) -> None:
        if frame[0] == framing.HELLO:
            (self.session,) = struct.unpack_from("<I", frame, 2)
            self.welcome(epoch=1)
        elif frame[0] == framing.RESET:
            (self.left,) = struct.unpack_from("<I", frame, 2)
        elif frame[0] == framing.POLL:
            self.polls += 1
            if self.lost:
                self.lost -= 1
                os.write(self._master, b"\x03\x03\x00\x00")  # damaged
            else:
                self.send(b"\x03\x00")

    def close(self) -> None:
        """Let go of the line."""
        os.close(self._slave)
        self.join(DEADLINE_S)
        os.close(self._master)


@pytest.fixture
def firmware() -> Iterator[Firmware]:
    """A `Firmware`."""
    started = Firmware()
    yield started
    started.close()


def test_a_driver_that_leaves_ends_its_session(
    firmware: Firmware, eventually: Callable[..., None]
) -> None:
    """Otherwise the firmware would repeat to nobody what it has to say."""
    with pumped(firmware.url):
        assert not firmware.left
    eventually(lambda: firmware.left == firmware.session, "the driver says that it leaves")


def test_keepalive_asks_from_the_handshake_on(
    firmware: Firmware, eventually: Callable[..., None]
) -> None:
    with pumped(firmware.url):
        eventually(lambda: firmware.polls > 3, "a firmware that announces nothing is asked")


def test_keepalive_leaves_a_living_firmware_alone(
    firmware: Firmware, eventually: Callable[..., None]
) -> None:
    with pumped(firmware.url) as next_report:
        firmware.send(b"\x80\x00\xff\x00\x00\x00rpmsg-io-0")
        assert next_report().kind == ReportKind.ANNOUNCED
        eventually(lambda: firmware.polls > 110, "it is asked for longer than it may be silent")
        firmware.send(struct.pack("<BBI", framing.RESET, 0, 2))
        assert expect_down(next_report)[0] == errno.ECONNRESET


def test_keepalive_survives_the_loss_of_an_answer(
    firmware: Firmware, eventually: Callable[..., None]
) -> None:
    firmware.lost = 3
    with pumped(firmware.url) as next_report:
        firmware.send(b"\x80\x00\xff\x00\x00\x00rpmsg-io-0")
        assert next_report().kind == ReportKind.ANNOUNCED
        eventually(lambda: firmware.polls > 6, "it is asked again")
        firmware.send(struct.pack("<BBI", framing.RESET, 0, 2))
        assert expect_down(next_report)[0] == errno.ECONNRESET


def test_firmware_that_takes_no_requests_is_told_so(firmware: Firmware) -> None:
    firmware.mru = 8
    with pytest.raises(OSError, match="messages of 8 bytes, too short") as caught:
        connect(firmware.url.partition(":")[2], 5000)
    assert caught.value.errno == errno.EPROTO


def test_a_restart_behind_a_hello_that_was_repeated(firmware: Firmware) -> None:
    """The RESET was lost; the old HELLO began a session with numbers from 0 again."""
    with pumped(firmware.url) as next_report:
        firmware.send(b"\x80\x00\xff\x00\x00\x00rpmsg-io-0")
        assert next_report().kind == ReportKind.ANNOUNCED
        firmware.welcome(epoch=1)  # this is the same as before
        firmware.send(b"\x81\x00\xff\x00\x00\x01rpmsg-io-1")
        assert next_report().kind == ReportKind.ANNOUNCED
        firmware.welcome(epoch=2)
        number, why = expect_down(next_report)
    assert number == errno.ECONNRESET and "started again" in why


def test_a_tcp_stream_behind_a_pyserial_url(stub: Stub) -> None:
    """socket:// to a server of the sort of ser2net."""
    port = serial.Serial(parse(stub.serial_url.partition(":")[2]).port, timeout=0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = threading.Thread(target=_relay, args=(server, port))
        relay.start()
        with pumped(f"serial:socket://127.0.0.1:{server.getsockname()[1]}") as next_report:
            assert next_report().body == b"rpmsg-io-0"
        relay.join(DEADLINE_S)
        assert not relay.is_alive()
    port.close()


def _relay(server: socket.socket, port: Any) -> None:
    stream, _ = server.accept()
    with stream:
        while True:
            for ready in select.select([stream, port], [], [], DEADLINE_S)[0]:
                if ready is port:
                    stream.sendall(port.read(4096))
                    continue
                data = stream.recv(4096)
                if not data:
                    return
                port.write(data)


# ---- lines over it ----------------------------------------------------------------------


def test_lines_and_edges() -> None:
    edges = gpiod.LineSettings(edge_detection=Edge.BOTH)
    output = gpiod.LineSettings(direction=Direction.OUTPUT)
    with Stub("demo", transport="serial") as stub, direct_chip(stub.serial_url) as chip:
        assert chip.get_info().label == "m4-gpioa"
        with gpiod.Chip(f"{stub.serial_url}#1") as second:  # two endpoints on one wire
            assert second.get_info().label == "m4-gpiob"
        with chip.request_lines({"LED_GREEN": output, "SENSOR_IRQ": edges}) as request:
            request.set_value("LED_GREEN", Value.ACTIVE)
            assert stub.read("LED_GREEN") == 1
            stub.wait_armed("SENSOR_IRQ")
            stub.drive("SENSOR_IRQ", 1)
            assert request.wait_edge_events(DEADLINE_S)
            (event,) = request.read_edge_events()
            assert event.event_type == event.Type.RISING_EDGE


def test_both_transports_at_a_time() -> None:
    with Stub(LOOP, transport="both") as stub:
        with direct_chip(stub.url) as by_memory:
            assert by_memory.get_info().num_lines == 4
        with direct_chip(stub.serial_url) as by_wire:
            assert by_wire.get_info().num_lines == 4


def _get_until_it_breaks(request: Any) -> None:
    with pytest.raises(OSError):
        while True:
            request.get_value(1)


def test_the_service_comes_back_after_restart_and_cable(
    tmp_path: Path, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    with (
        Stub(LOOP, transport="serial") as stub,
        Serve(tmp_path, "--link", stub.serial_url) as service,
    ):
        service.wait_for_chips(1)
        stub.restart()
        eventually(lambda: "started again" in service.log, "the restart is noticed")
        (name,) = service.wait_for_chips(1)
        with (
            gpiod.Chip(f"{service.socket}#{name}") as chip,
            chip.request_lines({1: None}) as request,
        ):
            load = threading.Thread(target=_get_until_it_breaks, args=(request,))
            load.start()
            stub.fault("cable", "out")
            load.join(DEADLINE_S)
            assert not load.is_alive()
        service.wait_for_chips(0)
        stub.fault("cable", "in")
        (name,) = service.wait_for_chips(1)
        with (
            gpiod.Chip(f"{service.socket}#{name}") as chip,
            chip.request_lines({0: gpiod.LineSettings(direction=Direction.OUTPUT)}) as request,
        ):
            request.set_value(0, Value.ACTIVE)
            assert stub.read("IN") == 1


TWO = """\
controller 0 lines 2
controller 1 lines 2
wire 0/0 0/1
wire 1/0 1/1
"""


class Load(threading.Thread):
    """Sets one line and reads the other, wired to it, whenever the chip is there."""

    def __init__(self, socket_path: str, chip: str) -> None:
        super().__init__(daemon=True)
        self._socket, self._chip = socket_path, chip
        self.rounds = self.lost = 0
        self.wrong: list[str] = []
        self.stopping = False

    def run(self) -> None:
        while not self.stopping and not self.wrong:
            try:
                self._use()
            except OSError:
                self.lost += 1

    def _use(self) -> None:
        connection = Connection.open(self._socket)
        try:
            connection.call("wait", chip=self._chip, online=True, timeout_ms=9_000)
        finally:
            connection.close()
        lines = {0: gpiod.LineSettings(direction=Direction.OUTPUT), 1: gpiod.LineSettings()}
        path = f"{self._socket}#{self._chip}"
        with gpiod.Chip(path) as chip, chip.request_lines(lines) as request:
            while not self.stopping:
                value = Value(self.rounds & 1)
                request.set_value(0, value)
                if request.get_value(1) is not value:
                    self.wrong.append(f"{path}, round {self.rounds}")
                self.rounds += 1


def test_two_endpoints_on_one_wire_and_a_cable_pulled_under_load(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    with (
        Stub(TWO, transport="serial") as stub,
        Serve(tmp_path, "--link", stub.serial_url) as service,
    ):
        loads = [Load(service.socket, name) for name in service.wait_for_chips(2)]
        for load in loads:
            load.start()
        for _ in range(5):
            done, lost = [x.rounds for x in loads], [x.lost for x in loads]
            eventually(
                lambda done=done: all(x.rounds > n + 20 for x, n in zip(loads, done, strict=True)),
                "both endpoints are used",
                30,
            )
            stub.fault("cable", "out")
            eventually(
                lambda lost=lost: all(x.lost > n for x, n in zip(loads, lost, strict=True)),
                "both notice",
                30,
            )
            stub.fault("cable", "in")
        assert len(service.wait_for_chips(2)) == 2
        for load in loads:
            load.stopping = True
        for load in loads:
            load.join(30)
            assert not load.is_alive()
            assert not load.wrong


# ---- noise and time ----------------------------------------------------------------------


def _count_edges(request: Any, count: int, got: list[int]) -> None:
    """Read `count` edges; append the sequence numbers and types as they came."""
    while len(got) < count and request.wait_edge_events(DEADLINE_S):
        for event in request.read_edge_events(1024):
            rising = event.event_type == event.Type.RISING_EDGE
            got.append(2 * event.line_seqno + rising)


def _noisy(operations: int, edges: int, features: str) -> dict[str, float]:
    """Set, get and count edges over a line that damages a byte in about 330."""
    out = gpiod.LineSettings(direction=Direction.OUTPUT)
    both = gpiod.LineSettings(edge_detection=Edge.BOTH)
    got: list[int] = []
    wrong = 0
    with (
        Stub(LOOP, transport="serial", features=features) as stub,
        direct_chip(stub.serial_url) as chip,
        chip.request_lines({0: out, 1: gpiod.LineSettings()}) as lines,
        chip.request_lines({2: both}, event_buffer_size=1024) as ticks,
    ):
        stub.fault("noise", NOISE, 20240611)
        began = time.monotonic()
        stub.pulse("TICK", edges // 2, 0)
        reader = threading.Thread(target=_count_edges, args=(ticks, edges, got))
        reader.start()
        random = 1
        for _ in range(operations // 2):
            random = random * 1103515245 + 12345 & 0x7FFFFFFF
            value = Value(random >> 16 & 1)
            lines.set_value(0, value)
            wrong += lines.get_value(1) is not value
        operated = time.monotonic() - began
        reader.join()
        elapsed = time.monotonic() - began
        stub.fault("noise", 0)
        interrupts = stub.count("TICK").interrupts
        assert stub.read("TICK") == 0
    assert wrong == 0
    assert got == [2 * (i + 1) + (1 - i % 2) for i in range(edges)]
    assert interrupts >= edges
    return {"operations_per_s": operations / operated, "edges_per_s": edges / elapsed}


def _report(figures: dict[str, float]) -> None:
    """Show with -rP or -s."""
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")


@pytest.mark.parametrize("features", ["all", "none"])
def test_noise_costs_time_only(features: str) -> None:
    _report(_noisy(1000, 1000, features))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_noise_costs_time_only_for_long() -> None:
    _report(_noisy(100_000, 100_000, "all"))
