# SPDX-License-Identifier: BSD-3-Clause
"""The stub as a process: its board, its control channel, its faults.

``Guest`` is a small vhost-user front-end of its own, so that the stub is not
only tested against the link that was written beside it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import mmap
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.bench.ring_indexes import RingIndexes
from firmware_stub import Stub, boards, executable

BOARD = """\
controller 0 label "m4 gpio" lines 8
line 0/0 OUT
line 0/1 IN
line 0/2 BUTTON
line 0/3 SENSOR
line 0/4 "A NAME"
wire OUT IN
button BUTTON active-low
controller 5 channel rpmsg-raw lines 2
line 5/0 OUT
"""

GET_DIRECTION, SET_DIRECTION, GET_VALUE, SET_VALUE, SET_IRQ_TYPE = range(2, 7)
DIRECTION_OUT, DIRECTION_IN = 1, 2
EDGE_RISING, EDGE_BOTH = 1, 3
OK, REPLY, EVENT = 0, 0, 1
ADDRESS = 0x400
OURS = 0x401
OTHER = 0x402
ROOT = Path(__file__).parents[2]
DEADLINE = 30.0


class Guest:
    """A vhost-user front-end with a virtio-rpmsg driver, as small as can be.

    Arguments: ``path`` of the socket; ``rings`` are the descriptors of the virtqueues,
    at most 32, of that from the firmware and that to it.
    """

    num = 16
    size = 512

    def __init__(self, path: Path, rings: tuple[int, int] = (num, num)) -> None:
        self.rings = rings
        self.buffers = 0x1000
        length = self.buffers + sum(rings) * self.size
        memory = os.memfd_create("guest")
        os.ftruncate(memory, length)
        self.ram = mmap.mmap(memory, length)
        self.indexes = RingIndexes(self.ram)
        self.kicks = [os.eventfd(0), os.eventfd(0)]
        self.calls = [os.eventfd(0), os.eventfd(0)]
        self.available = [0, 0]
        self.used = [0, 0]
        self.addressee = 0  # of the latest message
        self.announced: list[tuple[str, int]] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(str(path))
        self._request(3)  # SET_OWNER
        assert self._ask(1) & 1 << 32  # GET_FEATURES: VERSION_1
        self._request(2, struct.pack("<Q", 1 << 32 | 1 << 30 | 1))
        self._ask(15)  # GET_PROTOCOL_FEATURES
        self._request(16, struct.pack("<Q", 1 << 3))  # REPLY_ACK
        # Guest addresses differ from user addresses on purpose.
        region = struct.pack("<IIQQQQ", 1, 0, 0x10000, length, 0x80000, 0)
        self._request(5, region, [memory])
        os.close(memory)
        for index in range(2):
            ring = 0x80000 + index * 0x800
            self._request(8, struct.pack("<II", index, rings[index]))
            self._request(9, struct.pack("<IIQQQQ", index, 0, ring, ring + 0x400, ring + 0x200, 0))
            self._request(10, struct.pack("<II", index, 0))
            self._request(13, struct.pack("<Q", index), [self.calls[index]])
            self._request(12, struct.pack("<Q", index), [self.kicks[index]])
        for index in range(2):
            self._request(18, struct.pack("<II", index, 1))
        for slot in range(rings[0]):
            self._post(0, slot, self.size, writable=True)
        self._kick(0)

    def close(self) -> None:
        self.socket.close()
        for descriptor in self.kicks + self.calls:
            os.close(descriptor)

    def _request(self, request: int, body: bytes = b"", files: list[int] | None = None) -> None:
        message = struct.pack("<III", request, 1, len(body)) + body
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files or []))
        self.socket.sendmsg([message], [rights] if files else [])

    def _ask(self, request: int) -> int:
        self._request(request)
        (answer,) = struct.unpack("<12xQ", self.socket.recv(20))
        return int(answer)

    def _buffer(self, ring: int, slot: int) -> int:
        return self.buffers + (ring * self.rings[0] + slot) * self.size

    def _post(self, ring: int, slot: int, length: int, writable: bool) -> None:
        address = 0x10000 + self._buffer(ring, slot)
        base = ring * 0x800
        struct.pack_into(
            "<QIHH", self.ram, base + 16 * slot, address, length, 2 if writable else 0, 0
        )
        index = self.available[ring]
        struct.pack_into("<H", self.ram, base + 0x200 + 4 + 2 * (index % self.rings[ring]), slot)
        self.available[ring] = index + 1 & 0xFFFF
        self.indexes[base + 0x200] = self.available[ring]

    def _kick(self, ring: int) -> None:
        os.eventfd_write(self.kicks[ring], 1)

    def used_index(self, ring: int) -> int:
        return self.indexes[ring * 0x800 + 0x400]

    def has_room(self) -> bool:
        """Whether the ring to the firmware has a free descriptor."""
        return (self.available[1] - self.used_index(1) & 0xFFFF) < self.rings[1]

    def _next_used(self, ring: int) -> tuple[int, int] | None:
        base = ring * 0x800 + 0x400
        if self.used_index(ring) == self.used[ring]:
            return None
        slot, length = struct.unpack_from(
            "<II", self.ram, base + 4 + 8 * (self.used[ring] % self.rings[ring])
        )
        self.used[ring] = self.used[ring] + 1 & 0xFFFF
        return slot, length

    def send(self, payload: bytes, destination: int = ADDRESS, source: int = OURS) -> None:
        slot = self.available[1] % self.rings[1]
        offset = self._buffer(1, slot)
        header = struct.pack("<IIIHH", source, destination, 0, len(payload), 0)
        self.ram[offset : offset + 16 + len(payload)] = header + payload
        self._post(1, slot, 16 + len(payload), writable=False)
        self._kick(1)

    def _receive(self, timeout: float) -> tuple[int, int, bytes, int] | None:
        """The next message: source, length of the header, payload, used length."""
        deadline = time.monotonic() + timeout
        while (used := self._next_used(0)) is None:
            left = deadline - time.monotonic()
            ready = select.select([self.calls[0], self.socket], [], [], max(0, left))[0]
            if not ready:
                return None
            if self.socket in ready:
                raise ConnectionError("the stub dropped the guest")
            os.eventfd_read(self.calls[0])
        slot, length = used
        offset = self._buffer(0, slot)
        source, destination, _, size, _ = struct.unpack_from("<IIIHH", self.ram, offset)
        self.addressee = destination
        payload = self.ram[offset + 16 : offset + max(16, length)]
        if destination == 53:
            name, address, _ = struct.unpack("<32sII", payload)
            self.announced.append((name.rstrip(b"\0").decode(), address))
        self._post(0, slot, self.size, writable=True)
        self._kick(0)
        return source, size, payload, length

    def receive(self, timeout: float = DEADLINE) -> bytes | None:
        """The next message that is no announcement; None when none comes."""
        known = len(self.announced)
        while message := self._receive(timeout):
            if len(self.announced) == known:
                return message[2]
            known = len(self.announced)
        return None

    def receive_raw(self) -> tuple[int, int]:
        """The next message: length in its header, used length."""
        message = self._receive(DEADLINE)
        assert message
        return message[1], message[3]

    def wait_announced(self, count: int, timeout: float = DEADLINE) -> list[tuple[str, int]]:
        while len(self.announced) < count:
            assert self._receive(timeout), "no announcement"
        return self.announced

    def ask(self, kind: int, line: int, value: int = 0) -> bytes | None:
        self.send(struct.pack("<HHI", kind, line, value))
        return self.receive()

    def call(self, kind: int, line: int, value: int = 0) -> int:
        reply = self.ask(kind, line, value)
        assert reply is not None and reply[:3] == bytes([REPLY, 0, OK]), reply
        return reply[3]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub(BOARD) as stub:
        yield stub
        assert stub.stop() == 0, stub.log


@pytest.fixture
def guest(stub: Stub) -> Iterator[Guest]:
    guest = Guest(stub.socket)
    guest.wait_announced(2)
    yield guest
    guest.close()


def refused(stub: Stub, command: str) -> tuple[int, str]:
    """The errno and the sentence with which the stub refuses a command."""
    with pytest.raises(OSError) as caught:
        stub.command(command)
    assert caught.value.errno is not None
    return caught.value.errno, str(caught.value.strerror)


# ---- the board, without a guest


def test_pins_pulls_and_wires(stub: Stub) -> None:
    assert stub.read("IN") == 0
    stub.drive("OUT", 1)
    assert stub.read("IN") == 1
    stub.unwire("IN", "OUT")
    assert (stub.read("IN"), stub.read("0/0")) == (0, 1)
    stub.pull("IN", "up")
    assert stub.read("IN") == 1
    stub.wire("IN", "OUT")
    stub.drive("OUT", 0)
    assert stub.read("IN") == 0
    stub.float_("OUT")
    assert stub.read("IN") == 1
    assert stub.command('read "A NAME"') == "0"


def test_a_button(stub: Stub) -> None:
    assert stub.read("BUTTON") == 1
    stub.press("BUTTON")
    assert stub.read("BUTTON") == 0
    stub.release("BUTTON")
    assert stub.read("BUTTON") == 1
    assert stub.count("BUTTON").edges == 3  # one from its pull, at power-up


@pytest.mark.parametrize("hz", [1000, 100_000, 1_000_000])
def test_pulses_are_exact(stub: Stub, hz: int) -> None:
    stub.pulse("SENSOR", 500, hz=hz)
    stub.wait_edges("SENSOR", 1000)
    assert stub.read("SENSOR") == 0
    assert stub.count("SENSOR") == (1000, 0)


def test_pulses_take_their_time(stub: Stub) -> None:
    before = time.monotonic()
    stub.pulse("SENSOR", 50, hz=500)
    stub.wait_edges("SENSOR", 100)
    assert time.monotonic() - before >= 99 / 1000


def test_pulses_are_not_disturbed(stub: Stub) -> None:
    stub.pulse("SENSOR", 100, hz=1)
    for command in ("pulse SENSOR 1 hz 1", "clock SENSOR hz 1", "drive SENSOR 1", "float SENSOR"):
        assert refused(stub, command) == (
            errno.EBUSY,
            "pulses run on `SENSOR`; wait until they have ended",
        )


def test_a_clock() -> None:
    with Stub(BOARD, step=True) as stub:
        stub.clock("SENSOR", 1000)
        stub.advance(1)
        assert stub.count("SENSOR").edges == 2001  # one at the start
        stub.clock("SENSOR", 0)
        before = stub.count("SENSOR")
        stub.advance(1)
        assert stub.count("SENSOR") == before


def test_waits_are_answered_when_it_is_so(stub: Stub) -> None:
    assert stub.command("at 20ms drive SENSOR 1") == ""
    stub.wait_level("SENSOR", 1)
    with pytest.raises(OSError) as caught:
        stub.wait_level("SENSOR", 0, timeout=0.02)
    assert caught.value.errno == errno.ETIMEDOUT
    with pytest.raises(OSError) as caught:
        stub.wait_armed("SENSOR", timeout=0.02)
    assert caught.value.errno == errno.ETIMEDOUT
    with pytest.raises(OSError) as caught:
        stub.wait_attached(timeout=0.02)
    assert caught.value.errno == errno.ETIMEDOUT


def test_stepped_time() -> None:
    with Stub(BOARD + "at 10ms drive SENSOR 1\n", step=True) as stub:
        stub.advance(0.009)
        assert stub.read("SENSOR") == 0
        stub.advance(0.001)
        assert stub.read("SENSOR") == 1
        with pytest.raises(OSError) as caught:  # a timeout is in real time
            stub.wait_level("SENSOR", 0, timeout=0.02)
        assert caught.value.errno == errno.ETIMEDOUT


def test_shipped_boards() -> None:
    assert set(boards()) == {"demo", "loopback", "scale"}
    for name, controllers in (("demo", 2), ("loopback", 1), ("scale", 64)):
        with Stub(name) as stub:
            assert len(stub.channels()) == controllers
            assert stub.stop() == 0
            assert stub.log == ""


# ---- commands that are wrong


@pytest.mark.parametrize(
    ("command", "number", "says"),
    [
        ("read NOPE", errno.ENOENT, "no line `NOPE`"),
        ("read 0/8", errno.ENOENT, "no line `0/8`"),
        ("read 9/0", errno.ENOENT, "no line `9/0`"),
        ("read", errno.EINVAL, "write: read LINE"),
        ("read IN IN", errno.EINVAL, "write: read LINE"),
        ("fly", errno.EINVAL, "no command `fly`"),
        ("drive IN 2", errno.EINVAL, "give 0 or 1"),
        ("press IN", errno.EINVAL, "`IN` is not a button"),
        ("wire IN IN", errno.EINVAL, "two different lines"),
        ("unwire IN SENSOR", errno.ENOENT, "no wire from `IN` to `SENSOR`"),
        ("pulse IN 0 hz 1", errno.EINVAL, "from 1 to"),
        ("pulse IN 1 hz 1000001", errno.EINVAL, "from 0 to 1000000"),
        ("pulse IN -1 hz 1", errno.EINVAL, "from 1 to"),
        ("clock IN hz 0", errno.EINVAL, "from 1 to"),
        ("wait IN 1 timeout 5", errno.EINVAL, "with its unit"),
        ("wait IN 1 timeout 99999999999999999s", errno.EINVAL, "with its unit"),
        ("wait IN 1 timeout 4000s", errno.ERANGE, "too long"),
        ("advance 1ms", errno.EINVAL, "--step"),
        ("controller 1 lines 4", errno.EINVAL, "in the board file"),
        ('read "IN', errno.EINVAL, "quote is not closed"),
        ('read I"N"', errno.EINVAL, "quote inside a word"),
        ("read \x01", errno.EINVAL, "byte 0x01"),
        ("", errno.EINVAL, "empty command"),
        ("# only a comment", errno.EINVAL, "empty command"),
        ("read " + "x " * 20, errno.EINVAL, "more than 16 words"),
        ("read " + "x" * 5000, errno.EMSGSIZE, "longer than 4095"),
        ("fault drop rx", errno.EINVAL, "fault drop|"),
        ("fault drop up 1", errno.EINVAL, "fault drop|"),
        ("fault drop rx 1 2", errno.EINVAL, "fault drop|"),
        ("fault delay tx 1", errno.EINVAL, "fault delay"),
        ("fault lie 1 70000 -", errno.EINVAL, "from 0 to 65535"),
        ("fault gremlins", errno.EINVAL, "fault drop|"),
        ("at 1ms press", errno.EINVAL, "write: at TIME press LINE"),
        ("at 1ms controller 1 lines 1", errno.EINVAL, "cannot be done later"),
        ("at 1ms wait IN 1", errno.EINVAL, "cannot be done later"),
        ("at 1ms wait-attached", errno.EINVAL, "cannot be done later"),
    ],
)
def test_refused_commands(stub: Stub, command: str, number: int, says: str) -> None:
    error = refused(stub, command)
    assert error[0] == number
    assert says in error[1]
    assert stub.read("IN") == 0  # and the stub goes on


def test_hostile_packets(stub: Stub) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(DEADLINE)
        client.connect(str(stub.control))
        for packet in (b"\0", b"read IN\0", b"\xff" * 100, b"a" * 100_000, b'"' * 4000, b" " * 9):
            client.send(packet)
            assert client.recv(4096).startswith(b"error "), packet
        client.send(b"read IN")
        assert client.recv(4096) == b"ok 0"


def test_a_client_that_leaves_while_it_waits(stub: Stub) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(stub.control))
        client.send(b"wait IN 1 timeout 60s")
        client.send(b"read IN")
        assert stub.read("IN") == 0
    stub.drive("IN", 1)
    assert stub.read("IN") == 1


def test_without_descriptors_who_comes_is_hung_up_on() -> None:
    """A client that waits in the backlog would wake the stub without end."""
    with Stub("demo") as stub, contextlib.ExitStack() as stack:
        pid = stub.pid
        assert pid is not None
        used = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1, hard))
        for _ in range(used + 1):  # lower numbers may be free
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            client.settimeout(DEADLINE)
            client.connect(str(stub.control))
            try:
                client.send(b"ping")
                if not client.recv(64):
                    break
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("none was hung up on")


def test_commands_behind_a_wait_keep_their_order(stub: Stub) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(DEADLINE)
        client.connect(str(stub.control))
        client.send(b"wait IN 1")
        client.send(b"read IN")
        stub.drive("OUT", 1)
        assert client.recv(100) == b"ok"
        assert client.recv(100) == b"ok 1"


def test_a_client_that_does_not_read(stub: Stub) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(DEADLINE)
        client.connect(str(stub.control))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100_000):
                client.send(b"channels")
    assert stub.read("IN") == 0
    assert "does not read its replies" in stub.log


# ---- board files that are wrong


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# nothing\n", "no controller"),
        ("controller 0 lines 4\nfly\n", ":2: no command `fly`"),
        ("controller 0\n\n", ":1: the words do not fit `controller`"),
        ("controller 0 lines 0\n", "from 1 to 65535"),
        ("controller 256 lines 1\n", "from 0 to 255"),
        ("controller 0 lines 4\ncontroller 0 lines 4\n", ":2: controller 0 is there already"),
        ("controller 0 channel rpmsg-io-1 lines 4\n", "give rpmsg-io-0 or rpmsg-raw"),
        (f"controller 0 label {'x' * 33} lines 4\n", "33 characters; at most 32"),
        ("controller 0 lines 4\nline 0/4 A\n", ":2: no line `0/4`"),
        ("controller 0 lines 4\nline 0/0 A\nline 0/1 A\n", ":3: controller 0 has a line `A`"),
        ("controller 0 lines 4\nline 0/0 A\nline 0/0 B\n", "is named `A` already"),
        ("controller 0 lines 4\nline 0/0 0/1\n", "put a letter into it"),
        ('controller 0 lines 4\nline 0/0 ""\n', "give 1 to 31"),
        ("controller 0 lines 4\nline 0/0 caf\u00e9\n", "7-bit ASCII"),
        ("controller 0 lines 4\npull 0/0 sideways\n", "up|down|none"),
        ("controller 0 lines 4\nbutton 0/0 active-low bounce 3\n", "bounce 3 200us"),
        ("controller 0 lines 4\nbutton 0/0 red\n", "active-low|active-high"),
        ("controller 0 lines 4\nread 0/0\n", "on the control channel"),
        ("controller 0 lines 4\nat 1ms press 0/0\ncontroller 1 lines \0\n", ":3: a NUL byte"),
    ],
)
def test_refused_boards(text: str, says: str, tmp_path: Path) -> None:
    board = tmp_path / "bad.board"
    board.write_text(text, encoding="utf-8")
    with pytest.raises(OSError) as caught, Stub(board):
        pass
    assert caught.value.errno == errno.ECHILD
    assert f"firmware-stub: {board}" in str(caught.value.strerror)
    assert says in str(caught.value.strerror)


def test_no_board_and_bad_options(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no board 'nope'"):
        Stub("nope")
    for keys, says in (
        ({"dialect": "x"}, "no dialect `x`"),
        ({"features": "tag,x"}, "no feature `x`"),
    ):
        with pytest.raises(OSError, match=says), Stub(BOARD, **keys):  # type: ignore[arg-type]
            pass
    with pytest.raises(OSError, match="107"):
        Stub(BOARD, socket=tmp_path / ("x" * 120))
    with pytest.raises(OSError, match="no firmware-stub at"), Stub(BOARD, executable="/nope/x"):
        pass


def test_the_command_line() -> None:
    program = str(executable())
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=DEADLINE)
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: firmware-stub")
    wrong = subprocess.run([program, "x"], capture_output=True, text=True, timeout=DEADLINE)
    assert wrong.returncode == 2
    assert (
        wrong.stderr == "firmware-stub: no --socket PATH and no --serial PATH; --help shows how\n"
    )


def test_sockets_in_use_and_stale(tmp_path: Path) -> None:
    first = Stub(BOARD, socket=tmp_path / "fw")
    with first:
        with pytest.raises(OSError, match="listens there"), Stub(BOARD, socket=tmp_path / "fw"):
            pass
        with (
            pytest.raises(
                OSError, match=r"control socket: cannot .* another process listens there"
            ),
            Stub(BOARD, socket=tmp_path / "other", control=first.control),
        ):
            pass
        assert first.read("IN") == 0
        first.kill()
        assert first.socket.exists() and first.control.exists()
        first.start()
        assert first.read("IN") == 0
        assert first.stop() == 0
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "says"), [("/dev/null", "Inappropriate ioctl"), ("/etc/passwd", "File exists")]
)
def test_a_link_that_is_not_of_a_stub_stays(target: str, says: str, tmp_path: Path) -> None:
    """Links as udev makes them for a UART: /dev/serial/by-id/..."""
    link = tmp_path / "uart"
    link.symlink_to(target)
    done = subprocess.run(
        [executable(), "--serial", link, boards()["demo"]],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert f"serial port {link}: {says}" in done.stderr
    assert link.readlink() == Path(target)


def test_the_link_of_a_stub_that_was_killed_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    link.symlink_to("/dev/pts/999999")
    command = [executable(), "--serial", link, boards()["demo"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert link.is_char_device()
        process.terminate()
    assert not link.is_symlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    link, socket = tmp_path / "tty", tmp_path / "fw.sock"
    command = [executable(), "--serial", link, "--socket", socket, boards()["demo"]]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        # A test runner in the background, or under nohup, passes on that it ignores these signals.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert socket.exists() and link.is_symlink()
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--socket", "fw.sock", "dmeo"], "no board 'dmeo'; did you mean demo? Shipped are demo,"),
        (["--socket", "fw.sock", "--strict", "x"], "no board 'x'; Shipped are demo, loopback"),
        (["--socket", "fw.sock", "none.board"], "none.board: No such file or directory"),
        (["--socket", "dmeo"], "--help shows how"),
    ],
)
def test_boards_that_there_are_not(tmp_path: Path, arguments: list[str], says: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "firmware_stub", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert run.returncode != 0
    assert says in run.stderr


def test_nohup_keeps_it(tmp_path: Path) -> None:
    socket = tmp_path / "fw.sock"
    with subprocess.Popen(
        [executable(), "--socket", socket, boards()["demo"]],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert Stub(socket=socket).read("DIP_0") == 1, "it still answers"
        process.terminate()


def test_crash_and_start_again(stub: Stub) -> None:
    assert stub.crash() == 134
    with pytest.raises(OSError, match="no stub listens"):
        stub.read("IN")
    stub.start()
    assert stub.read("IN") == 0


def test_quit_ends_with_status_0(stub: Stub) -> None:
    stub.command("quit")
    assert stub.stop() == 0
    assert not stub.socket.exists() and not stub.control.exists()


# ---- with a guest


def test_announcements_and_channels(stub: Stub, guest: Guest) -> None:
    assert guest.announced == [("rpmsg-io-0", 0x400), ("rpmsg-raw", 0x405)]
    assert guest.call(GET_VALUE, 0) == 0
    first, second = stub.channels()
    assert first == (0, "rpmsg-io-0", 0x400, 8, "m4 gpio", OURS)
    assert second == (5, "rpmsg-raw", 0x405, 2, "", None)


def test_any_label_comes_back() -> None:
    label = "a \\ b # c\\"
    with Stub(f'controller 0 label "{label}" lines 1\n') as stub:
        assert stub.channels()[0].label == label


def test_a_stub_starts_in_a_process_with_many_descriptors() -> None:
    """select(2) takes no descriptor from 1024 on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"the limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    held: list[int] = []
    try:
        while not held or held[-1] < 1024:
            held.append(os.open("/dev/null", os.O_RDONLY))
        with Stub(BOARD) as stub:
            assert stub.read("IN") == 0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_output_drives_its_wire(stub: Stub, guest: Guest) -> None:
    guest.call(SET_VALUE, 0, 1)
    assert stub.read("IN") == 0
    guest.call(SET_DIRECTION, 0, DIRECTION_OUT)
    assert stub.read("IN") == 1
    assert guest.call(GET_VALUE, 1) == 1
    assert stub.state("OUT") == ("out", "none", False, 1)


def test_a_button_press_is_an_event(stub: Stub, guest: Guest) -> None:
    guest.call(SET_DIRECTION, 2, DIRECTION_IN)
    guest.call(SET_IRQ_TYPE, 2, EDGE_BOTH)
    stub.wait_armed("BUTTON")
    stub.press("BUTTON")
    assert guest.receive() == struct.pack("<BxH", EVENT, 2)
    assert stub.state("BUTTON") == ("in", "edge-both", False, 0)
    stub.release("BUTTON")  # latched
    guest.call(SET_IRQ_TYPE, 2, EDGE_BOTH)
    assert guest.receive() == struct.pack("<BxH", EVENT, 2)


def test_a_closed_loop_loses_no_edge(stub: Stub, guest: Guest) -> None:
    guest.call(SET_DIRECTION, 3, DIRECTION_IN)
    stub.pulse("SENSOR", 100, hz=0)
    guest.call(SET_IRQ_TYPE, 3, EDGE_BOTH)
    for _ in range(200):
        assert guest.receive() == struct.pack("<BxH", EVENT, 3)
        guest.call(SET_IRQ_TYPE, 3, EDGE_BOTH)
    assert stub.count("SENSOR") == (200, 200)


def test_the_documented_dialect() -> None:
    with Stub(BOARD, dialect="rpmsg-gpio", features="none") as stub:
        guest = Guest(stub.socket)
        guest.wait_announced(2)
        stub.drive("IN", 1)
        assert guest.ask(GET_VALUE, 1) == bytes([REPLY, OK, 1])
        guest.close()


def test_a_restart_drops_the_guest_and_all_state(stub: Stub, guest: Guest) -> None:
    guest.call(SET_VALUE, 0, 1)
    guest.call(SET_DIRECTION, 0, DIRECTION_OUT)
    stub.drive("SENSOR", 1)
    stub.restart()
    with pytest.raises(ConnectionError):
        guest.receive()
    assert stub.read("IN") == 0
    assert stub.read("SENSOR") == 1  # the outside stays
    assert stub.state("OUT").direction == "none"
    again = Guest(stub.socket)
    assert len(again.wait_announced(2)) == 2
    assert again.call(GET_DIRECTION, 0) == 0
    again.close()


def test_pins_survive_the_guest(stub: Stub) -> None:
    first = Guest(stub.socket)
    first.wait_announced(2)
    first.call(SET_VALUE, 0, 1)
    first.call(SET_DIRECTION, 0, DIRECTION_OUT)
    first.close()
    second = Guest(stub.socket)
    second.wait_announced(2)
    assert second.call(GET_VALUE, 1) == 1
    second.close()


@pytest.mark.parametrize("direction", ["rx", "tx"])
def test_fault_drop(stub: Stub, guest: Guest, direction: str) -> None:
    stub.fault("drop", direction, 1)
    guest.send(struct.pack("<HHI", GET_VALUE, 1, 0))
    guest.send(struct.pack("<HHI", GET_DIRECTION, 1, 0))
    stub.drive("IN", 1)
    assert guest.receive() == bytes([REPLY, 0, OK, 0])
    assert guest.receive(timeout=0.05) is None


def test_fault_drop_rx_leaves_the_firmware_untouched(stub: Stub, guest: Guest) -> None:
    stub.fault("drop", "rx", 1)
    guest.send(struct.pack("<HHI", SET_DIRECTION, 0, DIRECTION_OUT))
    guest.call(GET_VALUE, 1)
    assert stub.state("OUT").direction == "none"


@pytest.mark.parametrize("direction", ["rx", "tx"])
def test_fault_duplicate(stub: Stub, guest: Guest, direction: str) -> None:
    stub.fault("duplicate", direction, 1)
    assert guest.call(GET_VALUE, 1) == 0
    assert guest.receive() == bytes([REPLY, 0, OK, 0])
    assert guest.call(GET_VALUE, 1) == 0
    assert guest.receive(timeout=0.05) is None


def test_fault_corrupt(stub: Stub, guest: Guest) -> None:
    stub.fault("corrupt", "tx", 4)
    assert guest.ask(GET_VALUE, 1) == bytes([REPLY ^ 0xFF, 0, OK, 0])
    assert guest.ask(GET_VALUE, 1) == bytes([REPLY, 0xFF, OK, 0])
    assert guest.ask(GET_VALUE, 1) == bytes([REPLY, 0, OK ^ 0xFF, 0])
    assert guest.ask(GET_VALUE, 1) == bytes([REPLY, 0, OK, 0xFF])
    assert guest.call(GET_VALUE, 1) == 0


def test_each_fault_corrupt_begins_with_the_first_byte(stub: Stub, guest: Guest) -> None:
    for _ in range(2):
        stub.fault("corrupt", "tx", 1)
        assert guest.ask(GET_VALUE, 1) == bytes([REPLY ^ 0xFF, 0, OK, 0])
    stub.fault("corrupt", "rx", 1)  # the type
    stub.fault("corrupt", "tx", 1)
    assert guest.ask(GET_VALUE, 1) == bytes([REPLY ^ 0xFF, 0, 1, 0])


@pytest.mark.parametrize("direction", ["rx", "tx"])
def test_fault_delay(direction: str) -> None:
    """The board's time is stepped: however slow this process is, the other message overtakes."""
    with Stub(BOARD, step=True) as stub:
        guest = Guest(stub.socket)
        guest.wait_announced(2)
        stub.fault("delay", direction, 1, "50ms")
        stub.drive("IN", 1)
        guest.send(struct.pack("<HHI", GET_VALUE, 1, 0))
        guest.send(struct.pack("<HHI", GET_DIRECTION, 1, 0))
        assert guest.receive() == bytes([REPLY, 0, OK, 0])  # overtakes
        stub.advance(0.049)
        assert guest.receive(timeout=0.05) is None
        stub.advance(0.001)
        assert guest.receive() == bytes([REPLY, 0, OK, 1])
        guest.close()


def test_fault_stall(stub: Stub, guest: Guest) -> None:
    stub.fault("stall", "on")
    guest.send(struct.pack("<HHI", GET_VALUE, 1, 0))
    assert guest.receive(timeout=0.05) is None
    stub.fault("stall", "off")
    assert guest.receive() == bytes([REPLY, 0, OK, 0])


def test_a_stalled_firmware_announces_nothing(stub: Stub) -> None:
    stub.fault("stall", "on")
    guest = Guest(stub.socket)
    stub.wait_attached()
    assert guest.receive(timeout=0.05) is None
    assert guest.announced == []
    stub.fault("clear")
    assert len(guest.wait_announced(2)) == 2
    guest.close()


def test_fault_mute_swallows_replies_only(stub: Stub, guest: Guest) -> None:
    guest.call(SET_DIRECTION, 3, DIRECTION_IN)
    guest.call(SET_IRQ_TYPE, 3, EDGE_RISING)
    stub.fault("mute", 1)
    stub.drive("SENSOR", 1)
    assert guest.receive() == struct.pack("<BxH", EVENT, 3)
    guest.send(struct.pack("<HHI", GET_VALUE, 3, 0))
    assert guest.receive(timeout=0.05) is None
    assert guest.call(GET_VALUE, 3) == 1


def test_fault_lie(stub: Stub, guest: Guest) -> None:
    request = struct.pack("<HHI", GET_VALUE, 1, 0)
    stub.fault("lie", 1, 400, 7)
    guest.send(request)
    assert guest.receive_raw() == (400, 7)
    guest.send(request)
    assert guest.receive_raw() == (4, 20)


def test_fault_announce_late(stub: Stub) -> None:
    stub.fault("announce-late", "50ms")
    before = time.monotonic()
    guest = Guest(stub.socket)
    guest.wait_announced(2)
    assert time.monotonic() - before >= 0.05
    guest.close()


def test_fault_clear_ends_a_late_announcement(stub: Stub) -> None:
    stub.fault("announce-late", "60s")
    guest = Guest(stub.socket)
    stub.wait_attached()
    stub.fault("clear")
    guest.wait_announced(2)
    guest.close()


def test_fault_announce_takes_the_index_of_the_board(stub: Stub, guest: Guest) -> None:
    stub.fault("announce", 5, "created")
    assert guest.wait_announced(3)[2] == ("rpmsg-raw", 0x405)
    assert refused(stub, "fault announce 1 created") == (
        errno.ENOENT,
        "no controller 1; give the index of one on the board",
    )


def test_messages_to_nobody_are_dropped(stub: Stub, guest: Guest) -> None:
    guest.send(b"hello", destination=0x999)
    assert guest.call(GET_VALUE, 1) == 0
    assert "to 0x999 dropped" in stub.log


def test_replies_wait_for_receive_buffers(
    stub: Stub, guest: Guest, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    """Send more requests than there are buffers, and read nothing meanwhile."""
    for _ in range(3):
        for line in range(Guest.num):
            eventually(guest.has_room, "a request to be taken, which may be after its reply")
            guest.send(struct.pack("<HHI", GET_VALUE, line % 8, 0))
            while guest._next_used(1):
                pass
        for _ in range(Guest.num):
            assert guest.receive() == bytes([REPLY, 0, OK, 1 if _ % 8 == 2 else 0])


UNEQUAL = [(4, 32), (32, 4), (4, 4)]
"""Linux takes each virtqueue's own size from 7.4 on; until then both were the same."""


@pytest.mark.parametrize("rings", UNEQUAL, ids=str)
def test_rings_of_unequal_sizes(
    stub: Stub, rings: tuple[int, int], eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    """Many requests, nothing read until the firmware takes no more: all are answered in order."""
    guest = Guest(stub.socket, rings)
    guest.wait_announced(2)
    stub.drive("IN", 1)
    lines = (3, 1)  # low, high
    for _ in range(3):
        sent = 0
        while sent < sum(rings):
            if not guest.has_room() and guest.used_index(0) == guest.available[0]:
                break  # both are full
            eventually(
                lambda: guest.has_room() or guest.used_index(0) == guest.available[0], "progress"
            )
            if guest.has_room():
                guest.send(struct.pack("<HHI", GET_VALUE, lines[sent % 2], 0))
                sent += 1
        for number in range(sent):
            assert guest.receive() == bytes([REPLY, 0, OK, number % 2])
    guest.close()


@pytest.mark.parametrize("rings", UNEQUAL, ids=str)
def test_events_over_rings_of_unequal_sizes(stub: Stub, rings: tuple[int, int]) -> None:
    guest = Guest(stub.socket, rings)
    guest.wait_announced(2)
    guest.send(struct.pack("<HHI", SET_FEATURES, 0, CREDITS))
    assert guest.receive() == bytes(4)
    guest.call(SET_DIRECTION, 3, DIRECTION_IN)
    guest.call(SET_IRQ_TYPE, 3, EDGE_BOTH)
    assert extended(guest, GRANT_CREDITS, 3, 2000) == struct.pack("<II", 2000, 0)
    stub.pulse("SENSOR", 500, hz=20_000)
    stub.wait_edges("SENSOR", 1000)
    numbers: list[int] = []
    while not numbers or numbers[-1] < 1000:
        message = guest.receive()
        assert message is not None and len(message) % 8 == 0
        numbers += [number for *_, number in struct.iter_unpack("<BBHI", message)]
    assert numbers == list(range(1, 1001))
    guest.close()


def test_other_buffer_sizes_are_not_offered(stub: Stub) -> None:
    """VIRTIO_RPMSG_F_BUFSZ of Linux 7.4, bit 1; NuttX has the name for bit 2."""
    with socket.socket(socket.AF_UNIX) as front_end:
        front_end.settimeout(DEADLINE)
        front_end.connect(str(stub.socket))
        front_end.sendall(struct.pack("<III", 1, 1, 0))  # GET_FEATURES
        (features,) = struct.unpack("<12xQ", front_end.recv(20, socket.MSG_WAITALL))
    assert features & 0xFFFFFF == 1  # VIRTIO_RPMSG_F_NS


def test_a_reply_that_waited_goes_to_who_asked(
    stub: Stub, guest: Guest, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    for line in range(Guest.num):
        guest.send(struct.pack("<HHI", GET_VALUE, line % 8, 0))
    eventually(lambda: guest.used_index(0) == guest.available[0], "all receive buffers are used")
    guest.send(struct.pack("<HHI", GET_VALUE, 0, 0))
    guest.send(struct.pack("<HHI", GET_VALUE, 0, 0), source=OTHER)
    addressees = []
    for _ in range(Guest.num + 2):
        assert guest.receive() is not None
        addressees.append(guest.addressee)
    assert addressees == [OURS] * (Guest.num + 1) + [OTHER]


def test_an_empty_message_asks_for_nothing(
    stub: Stub, guest: Guest, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    guest.call(SET_DIRECTION, 3, DIRECTION_IN)
    guest.call(SET_IRQ_TYPE, 3, EDGE_BOTH)
    guest.send(b"", source=OTHER)
    eventually(lambda: guest.used_index(1) == guest.available[1], "the message is taken")
    stub.drive("SENSOR", 1)
    assert guest.receive() == struct.pack("<BxH", EVENT, 3)
    assert guest.addressee == OURS


def test_an_idle_stub_uses_no_cpu(
    stub: Stub, guest: Guest, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    def sleeps() -> bool:
        text = Path(f"/proc/{stub.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0] == "S"

    def ticks() -> int:
        words = Path(f"/proc/{stub.pid}/schedstat").read_text().split()
        return int(words[2])  # time slices run

    guest.call(GET_VALUE, 1)
    assert stub.read("IN") == 0
    with pytest.raises(OSError, match="did not become so"):
        stub.wait_level("IN", 1, timeout=0.2)
    eventually(sleeps, "the stub is done with its answer")
    before = ticks()
    select.select([], [], [], 0.3)
    assert ticks() - before <= 1


# ---- streams, bulk, line configuration -------------------------------------------

GET_FEATURES, SET_FEATURES = 0x8000, 0x8001
GRANT_CREDITS, GET_TIME, GET_VALUES, SET_VALUES = 0x8010, 0x8020, 0x8030, 0x8031
GET_LINE_CAPS, SET_LINE_CONFIG = 0x8040, 0x8041
CREDITS, TIMESTAMP, BULK, LINE_CONFIG = 0x10, 0x20, 0x40, 0x80
MANY = "controller 0 lines 32\n"


@contextlib.contextmanager
def attached(stub: Stub) -> Iterator[Guest]:
    guest = Guest(stub.socket)
    guest.wait_announced(1)
    yield guest
    guest.close()


def negotiate(guest: Guest, features: int) -> None:
    guest.send(struct.pack("<HHI", SET_FEATURES, 0, features))
    assert guest.receive() == b"\0\0\0\0"


def extended(guest: Guest, type: int, gpio: int, value: int = 0, body: bytes = b"") -> bytes:
    """Send a request in extended form; the body of its OK reply."""
    guest.send(struct.pack("<HHIHH", type, gpio, value, 0, 0) + body)
    reply = guest.receive()
    assert reply is not None and reply[:3] == b"\0\0\0"
    return reply[8:]


def answers_err(guest: Guest, type: int, gpio: int, body: bytes = b"") -> bool:
    guest.send(struct.pack("<HHIHH", type, gpio, 0, 0, 0) + body)
    reply = guest.receive()
    return reply is not None and reply[2] == 1


def test_edges_stream_with_the_coprocessors_time() -> None:
    with Stub(MANY) as stub, attached(stub) as guest:
        stub.clock_offset(3 * 3600)
        stub.clock_drift(100)
        negotiate(guest, CREDITS | TIMESTAMP)
        guest.ask(SET_DIRECTION, 3, DIRECTION_IN)
        guest.ask(SET_IRQ_TYPE, 3, EDGE_BOTH)
        assert extended(guest, GRANT_CREDITS, 3, 6) == struct.pack("<II", 6, 0)
        stub.trace("0/3", 10)
        before = stub.clock_read()
        stub.pulse("0/3", 5, hz=1000)
        stub.wait_edges("0/3", 10)
        records: list[tuple[int, int, int, int, int]] = []
        while len(records) < 6:
            message = guest.receive()
            assert message is not None and len(message) % 16 == 0
            records += struct.iter_unpack("<BBHIQ", message)
        assert [r[3] for r in records] == [1, 2, 3, 4, 5, 6]
        assert [r[1] for r in records] == [1, 0, 1, 0, 1, 0]
        for record, true_ns in zip(records, stub.times("0/3"), strict=False):
            expected = before.device + (true_ns - before.board) * (1 + 100e-6)
            assert abs(record[4] - expected) <= 2
        # The line is out of credits: four edges are counted, the latest is kept.
        assert stub.count("0/3").edges == 10
        guest.send(struct.pack("<HHIHH", GRANT_CREDITS, 3, 7, 0, 0))
        reply, event = guest.receive(), guest.receive()
        assert reply is not None and reply[8:] == struct.pack("<II", 7, 6)
        assert event is not None and struct.unpack("<BBHI", event[:8]) == (1, 0, 3, 10)
        (now,) = struct.unpack("<Q", extended(guest, GET_TIME, 0))
        assert now > before.device


def test_a_burst_as_fast_as_credits_allow_loses_nothing() -> None:
    with Stub(MANY) as stub, attached(stub) as guest:
        negotiate(guest, CREDITS)
        guest.ask(SET_IRQ_TYPE, 3, EDGE_BOTH)
        stub.command("pulse 0/3 500 hz max")
        seen: list[int] = []
        granted = 0
        while len(seen) < 1000:
            if granted - len(seen) < 20:
                granted += 40
                guest.send(struct.pack("<HHIHH", GRANT_CREDITS, 3, granted, 0, 0))
            message = guest.receive()
            assert message is not None
            if message[0] == EVENT:
                seen += [r[3] for r in struct.iter_unpack("<BBHI", message)]
        assert seen == list(range(1, 1001))


def test_32_lines_toggle_in_one_step() -> None:
    with Stub(MANY) as stub, attached(stub) as guest:
        negotiate(guest, BULK)
        for line in range(32):
            guest.ask(SET_DIRECTION, line, DIRECTION_OUT)
        extended(guest, SET_VALUES, 0, body=struct.pack("<QQ", 0xFFFFFFFF, 0xA5A5A5A5))
        extended(guest, SET_VALUES, 0, body=struct.pack("<QQ", 0xFFFFFFFF, 0x5A5A5A5A))
        edges = [stub.edge(f"0/{line}") for line in range(32)]
        assert len({edge.step for edge in edges}) == len({edge.time for edge in edges}) == 1
        bits = extended(guest, GET_VALUES, 0, body=struct.pack("<Q", 0xFFFFFFFF))
        assert bits == struct.pack("<Q", 0x5A5A5A5A)
        assert answers_err(guest, SET_VALUES, 1, struct.pack("<QQ", 1 << 31, 0))


def test_lines_are_configured_where_they_can() -> None:
    board = MANY + "caps 0/1 bias\ncaps 0/2 none\n"
    with Stub(board) as stub, attached(stub) as guest:
        negotiate(guest, LINE_CONFIG)
        assert extended(guest, GET_LINE_CAPS, 0) == struct.pack("<II", 0x3F, 1_000_000)
        assert extended(guest, GET_LINE_CAPS, 1) == struct.pack("<II", 0x07, 0)
        assert extended(guest, GET_LINE_CAPS, 2) == struct.pack("<II", 0, 0)
        extended(guest, SET_LINE_CONFIG, 1, body=struct.pack("<II", 1, 0))
        assert stub.read("0/1") == 1
        assert stub.config("0/1") == (7, 1, 0)
        assert answers_err(guest, SET_LINE_CONFIG, 1, struct.pack("<II", 8, 0))
        assert answers_err(guest, SET_LINE_CONFIG, 2, struct.pack("<II", 1, 0))
        assert stub.read("0/2") == 0
        guest.ask(SET_DIRECTION, 1, 0)
        assert stub.read("0/1") == 0


def offered(guest: Guest) -> int:
    reply = guest.ask(GET_FEATURES, 0)
    assert reply is not None
    return int(struct.unpack_from("<I", reply, 8)[0])


@pytest.mark.parametrize(
    ("features", "bits"),
    [("credits", 0x10), ("timestamp", 0x20), ("bulk", 0x40), ("line-config", 0x80), ("all", 0xFD)],
)
def test_what_is_offered_can_be_chosen(features: str, bits: int) -> None:
    with Stub(MANY, features=features) as stub, attached(stub) as guest:
        assert offered(guest) == bits


def test_line_config_is_not_offered_where_no_line_has_any() -> None:
    board = "controller 0 lines 2\ncaps 0/0 none\ncaps 0/1 none\n"
    with Stub(board) as stub, attached(stub) as guest:
        assert offered(guest) & LINE_CONFIG == 0
    with Stub(board) as stub:
        stub.caps("0/1", "bias")
        stub.restart()  # at its start the firmware finds the board as it is then
        with attached(stub) as guest:
            assert offered(guest) & LINE_CONFIG


@pytest.mark.parametrize(
    "command",
    [
        "clock-drift 5",
        "clock-drift 2000ppm",
        "clock-drift 4294967396ppm",
        'clock-drift " 5ppm"',
        "clock-offset 3",
        "clock-offset --3h",
        "caps 0/1 pull",
        "caps 0/1 ,",
        "trace 0/1 0",
        "times 0/1 0 2001",
        "pulse 0/1 1 hz fast",
    ],
)
def test_wrong_words_are_told(command: str) -> None:
    with Stub(MANY) as stub, pytest.raises(OSError) as error:
        stub.command(command)
    assert error.value.errno == errno.EINVAL
