# SPDX-License-Identifier: BSD-3-Clause
"""The control socket: protocol errors, line requests, and clients that misbehave."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bridge import socket_file, uapi, wire
from bridge.control_protocol import OUTSTANDING_MAX, UNSENT_MAX, WAIT_MS_MAX
from bridge.service import Config, ServiceThread, connection
from bridge.service.chip_links import ChipLinks
from bridge.shim.ffi import lib
from bridge.socket_file import bind
from tests.users import ALICE, needs_root

from .conftest import RawClient, Running, packed

INPUT = uapi.GPIO_V2_LINE_FLAG_INPUT
OUTPUT = uapi.GPIO_V2_LINE_FLAG_OUTPUT
LOW = uapi.GPIO_V2_LINE_FLAG_ACTIVE_LOW
RISING = uapi.GPIO_V2_LINE_FLAG_EDGE_RISING
FALLING = uapi.GPIO_V2_LINE_FLAG_EDGE_FALLING
Eventually = Callable[[Callable[[], bool], str], None]


def line(offset: int, flags: int = OUTPUT, value: int = 0) -> dict[str, int]:
    return {"offset": offset, "flags": flags, "value": value, "debounce_us": 0}


def hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    events = dict(poll.poll(15_000))
    return bool(events.get(fd, 0) & select.POLLHUP)


# ---- hello and malformed packets ----------------------------------------------


def test_hello_comes_first(running: Running) -> None:
    client = running.client(hello=False)
    number, message = client.fails("chips")
    assert number == errno.EPROTO
    assert "hello" in message
    assert client.ok("hello", version=1, client="x")["version"] == 1
    assert client.ok("chips")


def test_hello_of_another_version_names_both(running: Running) -> None:
    client = running.client(hello=False)
    number, message = client.fails("hello", version=7, client="x")
    assert number == errno.EPROTONOSUPPORT
    assert "version 7" in message and "version 1" in message
    assert client.fails("chips")[0] == errno.EPROTO


@pytest.mark.parametrize(
    ("packet", "number"),
    [
        (b"\xc1", errno.EBADMSG),
        (b"\x91" * 5000, errno.EBADMSG),
        (b"\x81\xa1a", errno.EBADMSG),
        (b"\xd7\xff" + b"\xff" * 8, errno.EBADMSG),
        (msgpack.packb(["seq", 1]), errno.EBADMSG),
        (msgpack.packb({"op": "chips"}), errno.EBADMSG),
        (msgpack.packb({"seq": True, "op": "chips"}), errno.EBADMSG),
        (msgpack.packb({1: 2}), errno.EBADMSG),
        (b"x" * 65537, errno.EMSGSIZE),
        (b"x" * 100_000, errno.EMSGSIZE),
    ],
)
def test_unreadable_packet_ends_only_its_connection(
    running: Running, client: RawClient, packet: bytes, number: int
) -> None:
    bad = running.client()
    bad.socket.send(packet)
    reply, _ = bad.receive()
    assert reply is not None
    assert reply["seq"] is None
    assert reply["error"]["errno"] == number
    assert bad.receive() == (None, [])
    assert client.ok("chips")


@pytest.mark.parametrize(
    "arguments",
    [
        {"op": 5},
        {"op": "lines", "chip": 5},
        {"op": "lines", "chip": "fw-0", "first": -1},
        {"op": "lines", "chip": "fw-0", "first": 2**40},
        {"op": "find", "name": None},
        {"op": "request", "chip": "fw-0"},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "offsets": 3},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "offsets": ["0"]},
        {"op": "request", "chip": "fw-0", "offsets": [0]},
        {"op": "request", "chip": "fw-0", "offsets": [0], "config": "x" * 272},
        {"op": "request", "chip": "fw-0", "offsets": [0], "config": bytes(271)},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "offsets": []},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "offsets": [0] * 65},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "event_buffer_size": -1},
        {"op": "request", "chip": "fw-0", **packed([line(0)]), "consumer": b"x"},
        {"op": "wait", "chip": "fw-0"},
    ],
)
def test_bad_argument_is_einval_and_the_connection_goes_on(
    client: RawClient, arguments: dict[str, object]
) -> None:
    client.socket.send(msgpack.packb({"seq": 99, **arguments}))
    reply, fds = client.receive()
    assert reply is not None
    assert not fds
    assert reply["seq"] == 99
    assert reply["error"]["errno"] == errno.EINVAL
    assert client.ok("chips")


def test_unknown_op_lists_the_ops(client: RawClient) -> None:
    number, message = client.fails("frobnicate")
    assert number == errno.EOPNOTSUPP
    assert "request" in message


class OutOfMemory:
    """msgpack, in a service that has no memory for some of its replies."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __getattr__(self, name: str) -> object:
        return getattr(msgpack, name)

    def packb(self, message: dict[str, object]) -> bytes:
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return bytes(msgpack.packb(message))


@pytest.mark.parametrize("op", ["chips", "open", "nonsense"])
def test_reply_without_memory_is_enomem(
    running: Running, client: RawClient, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without an answer would keep its client waiting."""
    monkeypatch.setattr(connection, "msgpack", OutOfMemory(1))
    number, message = client.fails(op, chip="fw-0")
    assert number == errno.ENOMEM
    assert "no memory" in message
    assert client.ok("chips")


def test_not_even_that_is_a_hang_up(
    client: RawClient, monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    other = running.client()
    monkeypatch.setattr(connection, "msgpack", OutOfMemory(2))
    client.send("chips")
    assert client.receive() == (None, [])
    assert other.ok("chips")
    other.socket.close()


def test_descriptors_sent_to_the_service_do_not_stay_there(client: RawClient) -> None:
    ours, theirs = socket.socketpair()
    packet = msgpack.packb({"seq": 5, "op": "chips"})
    try:
        socket.send_fds(client.socket, [packet], [theirs.fileno()])
    except PermissionError:  # SO_PASSRIGHTS, from Linux 6.16 on: they do not even get there
        client.socket.send(packet)
    else:
        release = [int(part) for part in re.findall(r"\d+", os.uname().release)[:2]]
        assert release < [6, 16]
    theirs.close()
    assert client.receive()[0] is not None
    assert hung_up(ours.fileno())


def test_client_that_does_not_read_is_disconnected_alone(
    running: Running, client: RawClient
) -> None:
    lazy = running.client()
    lazy.socket.settimeout(0.2)
    sent = 0
    with pytest.raises(OSError) as caught:
        while sent < 100_000:
            lazy.send("lines", chip="fw-0")
            sent += 1
    # Its own socket is full first, then the service has enough of it.
    if isinstance(caught.value, TimeoutError):
        assert hung_up(lazy.socket.fileno())
    assert sent > UNSENT_MAX
    assert client.ok("chips")


# ---- chips and lines ----------------------------------------------------------


def test_chips_are_sorted_and_complete(client: RawClient) -> None:
    chips = client.ok("chips")["chips"]
    assert [chip["name"] for chip in chips] == ["fw-0", "fw-1"]
    first = chips[0]
    assert first["label"] == "m4-gpioa"
    assert first["num_lines"] == 16
    assert first["channel"] == "rpmsg-io-0"
    assert first["features"] == [name for name in wire.FEATURES if name != "counters"]
    assert isinstance(first["epoch"], int)
    assert client.ok("chip", chip="fw-0") == first


@pytest.mark.parametrize("after", ["\u00b2", "fw-\u0663", "fw-" + "9" * 4000, ""])
def test_any_name_has_its_place_among_the_chips(client: RawClient, after: str) -> None:
    """Digits that int() does not take are none (superscripts), nor are there too many."""
    assert "next" in client.ok("chips", after=after)


def test_unknown_chip_lists_the_chips(client: RawClient) -> None:
    number, message = client.fails("chip", chip="nope")
    assert number == errno.ENOENT
    assert "fw-0, fw-1" in message


def test_lines_have_names_and_find_finds_them(client: RawClient) -> None:
    answer = client.ok("lines", chip="fw-1")
    assert answer["next"] is None
    assert [entry["offset"] for entry in answer["lines"]] == list(range(8))
    assert answer["lines"][0]["name"] == "RESET_PHY"
    assert answer["lines"][7]["name"] is None
    assert client.ok("lines", chip="fw-1", first=7)["lines"] == answer["lines"][7:]
    assert client.ok("lines", chip="fw-1", first=8)["lines"] == []
    assert client.ok("find", name="DOOR_SWITCH", chip=None)["found"] == [["fw-1", 5]]
    assert client.ok("find", name="DOOR_SWITCH", chip="fw-0")["found"] == []


# ---- line requests ------------------------------------------------------------


def test_output_drives_the_pin_from_the_start(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(0, OUTPUT, 1), line(1, OUTPUT | LOW, 1), consumer="me")
    assert held.answer["offsets"] == [0, 1]
    assert running.stub.read("LED_GREEN") == 1
    assert running.stub.read("LED_RED") == 0
    info = client.ok("lines", chip="fw-0")["lines"][1]
    assert info["used"] and info["consumer"] == "me"
    assert info["flags"] == uapi.GPIO_V2_LINE_FLAG_USED | OUTPUT | LOW
    assert held.operate(lib.GB_OPERATION_GET, 0b11) == (0, 0b11)
    held.close()


def test_release_answers_when_the_lines_are_free(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(0, OUTPUT | LOW, 0))
    assert running.stub.state("LED_GREEN").direction == "out"
    assert held.operate(lib.GB_OPERATION_RELEASE) == (0, 0)
    assert running.stub.state("LED_GREEN").direction == "none"
    info = client.ok("lines", chip="fw-0")["lines"][0]
    assert (info["used"], info["consumer"]) == (False, None)
    # The direction stays in the info, all else goes.
    assert info["flags"] == OUTPUT
    assert hung_up(held.event)
    held.close()


def test_closing_releases_and_the_next_request_waits_for_it(client: RawClient) -> None:
    for _ in range(50):
        client.request("fw-0", line(3), line(4)).close()
    client.request("fw-0", line(3), line(4)).close()


def test_request_outlives_the_control_connection(running: Running, client: RawClient) -> None:
    other = running.client()
    held = other.request("fw-0", line(0, OUTPUT, 1), consumer="other")
    other.socket.close()
    assert held.operate(lib.GB_OPERATION_SET, 1, 0) == (0, 0)
    assert running.stub.read("LED_GREEN") == 0
    number, message = client.fails("request", chip="fw-0", lines=[line(0)])
    assert number == errno.EBUSY
    assert '"other"' in message and "LED_GREEN" in message
    held.close()


def test_consumer_of_others_cannot_write_to_the_terminal(client: RawClient) -> None:
    """ESC and BEL command a terminal, a newline begins a sentence of its own."""
    held = client.request("fw-0", line(0), consumer="T\u00fcr\x1b[2J\a\nroot:\u202e")
    _, message = client.fails("request", chip="fw-0", lines=[line(0)])
    assert message.endswith('is held by "T\u00fcr\\x1b[2J\\x07\\nroot:\\u202e"')
    assert message.isprintable()
    held.close()


def test_failure_midway_releases_what_was_taken(running: Running, client: RawClient) -> None:
    held = client.request("fw-0", line(2))
    assert client.fails("request", chip="fw-0", lines=[line(0), line(1), line(2)])[0] == errno.EBUSY
    client.request("fw-0", line(0), line(1)).close()
    held.close()


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([], errno.EINVAL),
        ([line(n) for n in range(65)], errno.EINVAL),
        ([line(16)], errno.EINVAL),
        ([line(0), line(0)], errno.EBUSY),
        ([line(0, INPUT | OUTPUT)], errno.EINVAL),
        ([line(0, INPUT | uapi.GPIO_V2_LINE_FLAG_OPEN_DRAIN)], errno.EINVAL),
    ],
)
def test_requests_that_cannot_be(
    client: RawClient, lines: list[dict[str, int]], number: int
) -> None:
    assert client.fails("request", chip="fw-0", lines=lines)[0] == number
    client.request("fw-0", line(0)).close()


def test_value_to_an_input_is_eperm(client: RawClient) -> None:
    held = client.request("fw-0", line(0, INPUT))
    assert held.operate(lib.GB_OPERATION_SET, 1, 1)[0] == errno.EPERM
    held.close()


def test_as_is_output_stays_settable_and_is_left_alone(running: Running, client: RawClient) -> None:
    as_is = client.request("fw-0", line(0, 0))
    assert running.stub.state("LED_GREEN").direction == "none"
    assert as_is.operate(lib.GB_OPERATION_SET, 1, 1)[0] == errno.EPERM
    as_is.close()


@pytest.mark.parametrize("flags", [RISING, FALLING, RISING | FALLING])
@pytest.mark.parametrize("low", [0, LOW])
def test_edges_arrive_as_logical_edges(
    running: Running, client: RawClient, flags: int, low: int
) -> None:
    from bridge.shim.ffi import ffi

    held = client.request("fw-0", line(8, INPUT | flags | low), event_buffer_size=0)
    assert held.answer["capacity"] == 16
    ring = lib.gb_event_ring_map(held.ring)
    events = ffi.new("struct gb_line_event[]", 16)
    seen: list[int] = []
    physical = (1, 0) if not low else (0, 1)
    expected = [
        kind
        for level in (1, 0)
        for kind, bit, at in ((1, RISING, physical[0]), (2, FALLING, physical[1]))
        if flags & bit and at == level
    ]
    for level in (1, 0):
        running.stub.wait_armed("SENSOR_IRQ")
        running.stub.drive("SENSOR_IRQ", level)
        if len(expected) == 2 or (expected == [1]) == (level == (0 if low else 1)):
            assert select.select([held.event], [], [], 15)[0]
            count = lib.gb_event_ring_take(ring, held.event, events, 16)
            seen += [events[i].id for i in range(count)]
    lib.gb_event_ring_free(ring)
    held.close()
    assert sorted(seen) == sorted(expected)


def test_client_killed_while_it_holds_lines(running: Running, client: RawClient) -> None:
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "import socket, msgpack\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"s.connect({str(running.path)!r})\n"
        "s.send(msgpack.packb({'seq': 1, 'op': 'hello', 'version': 1, 'client': 'x'}))\n"
        "s.recv(65536)\n"
        "s.send(msgpack.packb({'seq': 2, 'op': 'request', 'chip': 'fw-0',"
        f" 'consumer': 'doomed', **{packed([line(0, OUTPUT, 1)])!r}}}))\n"
        "reply = socket.recv_fds(s, 65536, 3)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as doomed:
        assert doomed.stdout is not None
        assert doomed.stdout.readline() == b"held\n"
        assert client.fails("request", chip="fw-0", lines=[line(0)])[0] == errno.EBUSY
        doomed.kill()
        doomed.wait(15)
        client.request("fw-0", line(0)).close()


def test_client_that_leaves_mid_request_leaves_nothing(running: Running, client: RawClient) -> None:
    running.stub.fault("delay", "rx", 4, "100ms")
    hasty = running.client()
    hasty.send("request", chip="fw-0", lines=[line(0, OUTPUT, 1)], consumer="hasty")
    hasty.socket.close()
    # Busy until the service has seen both, then waited for, then free.
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        client.send("request", chip="fw-0", lines=[line(0, OUTPUT, 0)])
        reply, fds = client.receive()
        assert reply is not None
        if "ok" in reply:
            break
        assert reply["error"]["errno"] == errno.EBUSY
    assert len(fds) == 3
    assert running.stub.read("LED_GREEN") == 0
    for fd in fds:
        os.close(fd)


def test_client_that_dies_with_all_its_requests_under_way(
    running: Running, client: RawClient, eventually: Eventually
) -> None:
    clients = client.ok("status")["clients"]
    doomed = running.client()
    for _ in range(OUTSTANDING_MAX):
        doomed.send("wait", chip="nothing", timeout_ms=WAIT_MS_MAX)
    assert client.ok("status")["clients"] == clients + 1
    doomed.socket.close()
    eventually(lambda: client.ok("status")["clients"] == clients, "the dead client to be noticed")


def test_more_requests_than_are_worked_on_at_once(running: Running, client: RawClient) -> None:
    eager = running.client()
    count = 2 * OUTSTANDING_MAX + 1
    sent = [eager.send("wait", chip="nothing", timeout_ms=50) for _ in range(count)]
    answered = [reply["seq"] for reply, _ in (eager.receive() for _ in sent) if reply]
    assert sorted(answered) == sent
    assert eager.ok("chips")


# ---- the socket's file ----------------------------------------------------------


def test_mode_and_cleanup(tmp_path: Path) -> None:
    path = tmp_path / "s"
    thread = ServiceThread(Config(socket=str(path), mode=0o640))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    thread.close()
    assert not path.exists()


def test_socket_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    thread = ServiceThread(Config(socket=str(path)))
    with pytest.raises(OSError, match="another process listens") as caught:
        ServiceThread(Config(socket=str(path)))
    assert caught.value.errno == errno.EADDRINUSE
    assert RawClient.connect(path).ok("chips") == {"chips": [], "next": None}
    thread.close()


def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(path))
    thread = ServiceThread(Config(socket=str(path)))
    assert RawClient.connect(path).ok("chips") == {"chips": [], "next": None}
    thread.close()


def test_of_two_that_start_at_once_one_has_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "s")
    refused: list[OSError] = []

    def second() -> None:
        try:
            bind(path, 0o600, None).close()
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=second)

    def own(*_: object) -> None:
        """Where the first one has made its file, and does not listen yet."""
        monkeypatch.undo()
        thread.start()
        thread.join(0.3)

    monkeypatch.setattr(socket_file, "_own", own)
    with bind(path, 0o600, None):
        thread.join()
        assert [error.errno for error in refused] == [errno.EADDRINUSE]
        RawClient.connect(path, hello=False).socket.close()


def test_directory_that_somebody_locks_keeps_no_service_from_starting(tmp_path: Path) -> None:
    locked = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        bind(str(tmp_path / "s"), 0o600, None).close()
    finally:
        os.close(locked)


def test_directory_of_chips_that_leads_elsewhere_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In /tmp somebody else may have put it there, to have links of others removed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to("anything")
    (tmp_path / "s.chips").symlink_to(elsewhere)
    ServiceThread(Config(socket=str(tmp_path / "s.sock"))).close()
    assert os.listdir(elsewhere) == ["link"]
    assert (tmp_path / "s.chips").is_symlink()
    assert "no chip paths in" in caplog.text


@needs_root
def test_directory_of_chips_of_somebody_else_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "s.chips"
    directory.mkdir()
    (directory / "link").symlink_to("../s.sock")
    os.chown(directory, ALICE, ALICE)
    ServiceThread(Config(socket=str(tmp_path / "s.sock"))).close()
    assert os.listdir(directory) == ["link"]
    assert f"it belongs to user id {ALICE}" in caplog.text


def test_directory_of_chips_that_others_may_write_to_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "s.chips"
    directory.mkdir()
    directory.chmod(0o777)
    ServiceThread(Config(socket=str(tmp_path / "s.sock"))).close()
    assert directory.exists()
    assert "its mode 0777 lets others write to it" in caplog.text


def test_directory_of_chips_that_is_swapped_while_the_service_runs(tmp_path: Path) -> None:
    """What others put in its place is not touched, neither by a chip that comes nor at the end."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fw-0").symlink_to("../s.sock")
    links = ChipLinks(str(tmp_path / "s.sock"))
    links.update({"fw-0"})
    (tmp_path / "s.chips").rename(tmp_path / "was")
    (tmp_path / "s.chips").symlink_to(elsewhere)
    links.update({"fw-1"})
    links.remove()
    assert os.listdir(elsewhere) == ["fw-0"]
    assert os.listdir(tmp_path / "was") == []


def test_only_our_links_are_removed(tmp_path: Path) -> None:
    directory = tmp_path / "s.chips"
    directory.mkdir()
    (directory / "fw-0").symlink_to("../s.sock")
    (directory / "other").symlink_to("../other.sock")
    (directory / "file").touch()
    ChipLinks(str(tmp_path / "s.sock")).remove()
    assert sorted(os.listdir(directory)) == ["file", "other"]


def test_socket_s_file_that_is_swapped_before_it_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """chmod(2) by its path would follow what an owner of the directory puts there."""
    victim = tmp_path / "victim"
    victim.touch(0o600)
    path = tmp_path / "s"
    own = socket_file._own

    def swapped(path: str, *rest: Any) -> None:
        os.unlink(path)
        os.symlink(victim, path)
        own(path, *rest)

    monkeypatch.setattr(socket_file, "_own", swapped)
    with pytest.raises(OSError, match="somebody has put something else there"):
        bind(str(path), 0o666, None)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_socket_s_file_that_goes_while_the_service_runs_is_told_of(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    path = tmp_path / "s"
    thread = ServiceThread(Config(socket=str(path)))
    try:
        client = RawClient.connect(path)
        path.chmod(0o600)  # an administrator's right
        assert client.ok("status")["reachable"]
        if how == "renamed":
            path.rename(tmp_path / "elsewhere")
        else:
            path.unlink()
        if how == "replaced":
            path.touch()
        eventually(lambda: not client.ok("status")["reachable"], "it to be noticed")
        assert f"somebody removed or replaced {path}" in caplog.text
    finally:
        thread.close()
    assert path.exists() == (how == "replaced")


def test_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket") as caught:
        ServiceThread(Config(socket=str(path)))
    assert caught.value.errno == errno.EEXIST
    assert path.read_text() == "precious"


def test_missing_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"directory .* does not exist") as caught:
        ServiceThread(Config(socket=str(tmp_path / "no" / "s")))
    assert caught.value.errno == errno.ENOENT
