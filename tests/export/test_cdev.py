# SPDX-License-Identifier: BSD-3-Clause
"""The GPIO character device's structs over a socket: what the kernel would answer."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from bridge.bench.rig import Rig
from bridge.client.control import Connection
from firmware_stub import Stub
from tests.export.uapi_client import (
    ACTIVE_LOW,
    CHIPINFO,
    CLOSED,
    FALLING,
    GET_LINE,
    GET_VALUES,
    INPUT,
    LATE_S,
    LINEINFO,
    OUTPUT,
    RISING,
    SET_CONFIG,
    UNWATCH,
    V1_EVENT,
    V1_GET,
    V1_HANDLE,
    V1_LINEINFO,
    V1_SET,
    V1_SET_CONFIG,
    V1_WATCH,
    WATCH,
    Channel,
    closing,
    config,
    info_in,
    open_chip,
    read_events,
    waits,
)

BOARD = """
controller 0 label "pins" lines 8
line 0/1 foo
line 0/2 bar
wire 0/2 0/3
controller 1 lines 64
""" + "".join(f"pull 0/{line} down\n" for line in (0, 1, 4, 5, 6, 7))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(board=BOARD) as running:
        yield running


@pytest.fixture
def stub(rig: Rig) -> Stub:
    return rig.stub


@pytest.fixture
def chip_fd(rig: Rig) -> Iterator[int]:
    fd = open_chip(rig.serve.socket, "fw-0")
    yield fd
    os.close(fd)


@pytest.fixture
def chip(chip_fd: int) -> Iterator[Channel]:
    channel = Channel(chip_fd)
    yield channel
    channel.close()


@pytest.fixture
def lines(chip: Channel) -> Iterator[list[int]]:
    """Descriptors that are closed at the end, and waited for until the lines are free."""
    made: list[int] = []
    yield made
    for fd in made:
        close_and_wait(fd)


def close_and_wait(fd: int) -> None:
    """Do what close(2) does in the kernel: the lines are free afterwards."""
    channel = Channel(fd)
    os.close(fd)
    with pytest.raises((EOFError, ConnectionResetError, BrokenPipeError)):
        channel.ioctl(CLOSED)
    channel.close()


def refused(number: int) -> pytest.RaisesExc[OSError]:
    """An ioctl that ends with an errno."""
    return pytest.raises(OSError, match=rf"\[Errno {number}\]")


# ---- chips ---------------------------------------------------------------------


def test_chip_and_line_info(chip: Channel) -> None:
    name, label, count = struct.unpack("=32s32sI", chip.ioctl(CHIPINFO, bytes(68)))
    assert (name.rstrip(b"\0"), label.rstrip(b"\0"), count) == (b"fw-0", b"pins", 8)
    assert chip.line_info(1) == {
        "name": "foo",
        "consumer": "",
        "offset": 1,
        "flags": INPUT,
        "attributes": None,
    }
    with refused(errno.EINVAL):
        chip.line_info(8)
    with refused(errno.EINVAL):
        chip.ioctl(LINEINFO, struct.pack("=64xI187xB", 1, 1))  # padding


def test_what_is_no_ioctl_is_refused_and_the_channel_stays(chip: Channel) -> None:
    for command, argument in (
        (0xC010B4FF, bytes(16)),
        (GET_VALUES, bytes(16)),
        (CHIPINFO, bytes(4)),
        (GET_LINE, bytes(3)),
        (1, b""),
    ):
        with refused(errno.EINVAL):
            chip.ioctl(command, argument)
    assert chip.line_info(0)["offset"] == 0


def test_no_such_chip(rig: Rig) -> None:
    with pytest.raises(OSError, match="there is no chip"):
        open_chip(rig.serve.socket, "nope")


# ---- lines ---------------------------------------------------------------------


def test_values_go_both_ways(chip: Channel, lines: list[int], stub: Stub) -> None:
    lines.append(chip.request([2], OUTPUT, attributes=[(2, 1, 1)]))
    lines.append(chip.request([3, 4], INPUT | ACTIVE_LOW))
    output, inputs = Channel(lines[0]), Channel(lines[1])
    assert stub.read("bar") == 1
    assert (output.get(1), inputs.get(1), inputs.get(2), inputs.get(3)) == (1, 0, 2, 2)
    output.set(0, 1)
    assert inputs.get(3) == 3
    assert inputs.get(~0 & 2**64 - 1) == 3
    for channel, mask, number in ((output, 0, errno.EINVAL), (inputs, 1, errno.EPERM)):
        with refused(number):
            channel.set(0, mask)
    with refused(errno.EINVAL):
        inputs.get(4)
    inputs.ioctl(SET_CONFIG, config(INPUT))
    assert inputs.get(3) == 0


def test_requests_are_refused_as_in_the_kernel(chip: Channel, lines: list[int]) -> None:
    lines.append(chip.request([1], INPUT))
    for offsets, flags, number in (
        ([1], INPUT, errno.EBUSY),
        ([4, 4], INPUT, errno.EBUSY),
        ([8], INPUT, errno.EINVAL),
        ([], INPUT, errno.EINVAL),
        ([4], INPUT | OUTPUT, errno.EINVAL),
        ([4], OUTPUT | RISING, errno.EINVAL),
        ([4], 1, errno.EINVAL),
    ):
        with refused(number):
            chip.request(offsets, flags)
    with refused(errno.EINVAL):
        chip.request([4], INPUT, padding=b"x")
    with refused(errno.EINVAL):
        chip.request([4], INPUT | RISING, size=1)
    assert chip.line_info(1)["consumer"] == "test"
    lines.append(chip.request([4], INPUT, consumer=b""))
    assert chip.line_info(4)["consumer"] == "?"


def test_lines_are_free_when_the_last_descriptor_is_closed(chip: Channel) -> None:
    fd = chip.request([5], INPUT)
    twin = os.dup(fd)
    channel = Channel(fd)
    os.close(fd)
    assert channel.ioctl(CLOSED) == b""  # its twin is open
    assert channel.get(1) == 0
    close_and_wait(twin)
    assert chip.line_info(5)["flags"] == INPUT
    os.close(chip.request([5], INPUT))
    assert chip.line_info(5)["flags"] == INPUT  # whoever asks now waits for the release


# ---- events --------------------------------------------------------------------


def test_events_as_read_and_poll_have_them(chip: Channel, lines: list[int], stub: Stub) -> None:
    lines.append(chip.request([6], INPUT | RISING | FALLING))
    (fd,) = lines
    os.set_blocking(fd, False)
    assert not waits(fd, 0)
    with pytest.raises(BlockingIOError):
        os.read(fd, 48)
    stub.wait_armed("0/6")
    stub.pulse("0/6", 3, 1000)
    first = read_events(fd, 6)
    assert [event.id for event in first] == [1, 2, 1, 2, 1, 2]
    assert [event.seqno for event in first] == [1, 2, 3, 4, 5, 6]
    assert all(event.offset == 6 and event.line_seqno == event.seqno for event in first)
    assert not waits(fd, 0)
    ready = select.epoll()
    ready.register(fd, select.EPOLLIN)
    stub.pulse("0/6", 1, 1000)
    assert ready.poll(LATE_S)
    ready.close()


def test_a_slow_reader_finds_a_gap(chip: Channel, lines: list[int], stub: Stub) -> None:
    """At least the agreed number of records is kept, the newest among them, and the loss shows."""
    lines.append(chip.request([7], INPUT | RISING | FALLING, size=16))
    stub.wait_armed("0/7")
    stub.pulse("0/7", 250, 20_000)
    found = read_events(lines[0], 16)
    while found[-1].seqno < 500:
        found += read_events(lines[0], 1)
    numbers = [event.seqno for event in found]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 500


def test_a_descriptor_goes_to_another_process(chip: Channel, lines: list[int]) -> None:
    """After fork(2) the child has a channel of its own, and more of them come and go."""
    lines.append(chip.request([2], OUTPUT))
    mine = Channel(lines[0])
    for value in (1, 0, 1, 0, 1):
        child = os.fork()
        if not child:
            Channel(lines[0]).set(value, 1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert mine.get(1) == 1
    others = [Channel(lines[0]) for _ in range(3)]
    assert [other.get(1) for other in others] == [1, 1, 1]
    with pytest.raises((EOFError, OSError)):
        mine.get(1)  # the oldest of idle channels had to go
    for channel in (mine, *others):
        channel.close()


# ---- watches -------------------------------------------------------------------


def test_watches(chip_fd: int, chip: Channel) -> None:
    assert chip.line_info(0, WATCH)["flags"] == INPUT
    with refused(errno.EBUSY):
        chip.line_info(0, WATCH)
    close_and_wait(chip.request([0], OUTPUT, consumer=b"who"))
    assert waits(chip_fd)
    record = os.read(chip_fd, 288)
    stamp, kind = struct.unpack_from("=QI", record, 256)
    assert (info_in(record)["consumer"], kind) == ("who", 1)
    assert stamp
    assert waits(chip_fd)
    assert struct.unpack_from("=QI", os.read(chip_fd, 288), 256)[1] == 2
    with refused(errno.EPERM):
        chip.ioctl(V1_WATCH, struct.pack("=I68x", 1))
    chip.ioctl(UNWATCH, struct.pack("=I", 0))
    with refused(errno.EBUSY):
        chip.ioctl(UNWATCH, struct.pack("=I", 0))


# ---- v1 ------------------------------------------------------------------------


def handle_request(offset: int, flags: int, value: int = 0) -> bytes:
    """``struct gpiohandle_request`` of one line."""
    return struct.pack("=I252xIB63x32sIi", offset, flags, value, b"old", 1, 0)


def test_handles_of_v1(chip: Channel, lines: list[int], stub: Stub) -> None:
    lines.append(chip.make(V1_HANDLE, handle_request(2, 2, 1)))
    handle = Channel(lines[0])
    assert stub.read("bar") == 1
    assert handle.ioctl(V1_GET, bytes(64)) == b"\1" + bytes(63)
    handle.ioctl(V1_SET, bytes(64))
    assert stub.read("bar") == 0
    info = struct.unpack("=II32s32s", chip.ioctl(V1_LINEINFO, struct.pack("=I68x", 2)))
    assert info[:2] == (2, 3)
    assert info[3].rstrip(b"\0") == b"old"
    handle.ioctl(V1_SET_CONFIG, struct.pack("=IB63x16x", 2 | 4, 1))  # active-low
    assert stub.read("bar") == 0
    assert handle.ioctl(V1_GET, bytes(64))[0] == 1
    handle.ioctl(V1_SET_CONFIG, struct.pack("=IB63x16x", 1, 0))
    with refused(errno.EPERM):
        handle.ioctl(V1_SET, bytes(64))
    for flags in (3, 1 << 8, 8, 1 | 32 | 64):
        with refused(errno.EINVAL):
            chip.make(V1_HANDLE, handle_request(4, flags))
    with refused(errno.EINVAL):
        handle.get(1)  # of v2


def test_a_handle_has_1_to_64_lines(rig: Rig) -> None:
    with closing(open_chip(rig.serve.socket, "fw-1")) as fd:
        wide = Channel(fd)
        for count in (0, 65, 2**32 - 1):
            with refused(errno.EINVAL):
                wide.make(V1_HANDLE, struct.pack("=64II64x32sIi", *range(64), 1, b"", count, 0))
        close_and_wait(
            wide.make(V1_HANDLE, struct.pack("=64II64x32sIi", *range(64), 1, b"", 64, 0))
        )
        wide.close()


@pytest.mark.parametrize(("packed", "size"), [(False, 16), (True, 12)])
def test_events_of_v1(chip_fd: int, lines: list[int], stub: Stub, packed: bool, size: int) -> None:
    chip = Channel(chip_fd, packed)
    with refused(errno.EINVAL):
        chip.make(V1_EVENT, struct.pack("=III32si", 6, 2, 3, b"old", 0))
    lines.append(chip.make(V1_EVENT, struct.pack("=III32si", 6, 1, 3, b"old", 0)))
    stub.wait_armed("0/6")
    stub.pulse("0/6", 1, 1000)
    found = b""
    while len(found) < 2 * size:
        assert waits(lines[0])
        found += os.read(lines[0], size)
    assert [struct.unpack_from("=QI", found, at)[1] for at in (0, size)] == [1, 2]
    assert Channel(lines[0]).ioctl(V1_GET, bytes(64)) == bytes(64)
    with refused(errno.EINVAL):
        Channel(lines[0]).ioctl(V1_SET, bytes(64))


def test_watches_of_v1(chip_fd: int, chip: Channel) -> None:
    chip.ioctl(V1_WATCH, struct.pack("=I68x", 0))
    close_and_wait(chip.make(V1_HANDLE, handle_request(0, 1)))
    assert waits(chip_fd)
    offset, flags, stamp, kind = struct.unpack("=II64xQI20x", os.read(chip_fd, 104))
    assert (offset, flags, kind) == (0, 1, 1)
    assert stamp


# ---- what is hostile ---------------------------------------------------------------


def test_nonsense_ends_its_own_descriptor(chip: Channel) -> None:
    for nonsense in (b"x" * 17, struct.pack("=IIIIB", 0x4F495047, 2, 0, 0, 0)):
        fd = chip.request([4], INPUT)
        with socket.socket(fileno=os.dup(fd)) as stream:
            stream.send(nonsense)
        for other in (socket.socket(), open("/dev/null", "rb")):  # noqa: SIM115 - both close below
            with other, socket.socket(fileno=os.dup(chip.request([5], INPUT))) as stream:
                offer = struct.pack("=IIIIB", 0x4F495047, 1, 0, 0, 0)
                socket.send_fds(stream, [offer], [other.fileno()])
                assert waits(stream.fileno()) & select.POLLHUP
        assert waits(fd) & (select.POLLHUP | select.POLLERR)
        os.close(fd)
    assert chip.line_info(4)["flags"] == INPUT


def test_what_a_user_has_is_counted_and_comes_back(rig: Rig) -> None:
    def had() -> dict[str, int]:
        connection = Connection.open(rig.serve.socket)
        try:
            had = dict(connection.call("status")["users"][0])
            del had["memory_kib"]  # the answer to this very question is lost, too
            return had
        finally:
            connection.close()

    before = had()
    fd = open_chip(rig.serve.socket, "fw-0")
    line = Channel(fd).request([4, 5], INPUT)
    now = had()
    assert [now[what] - before[what] for what in ("handles", "requests", "lines")] == [1, 1, 2]
    os.close(fd)
    close_and_wait(line)
    assert had() == before


def test_the_firmware_restarts(rig: Rig) -> None:
    """The descriptors end as those of a removed gpiochip; the name comes back."""
    with Rig(board=BOARD) as other:
        fd = open_chip(other.serve.socket, "fw-0")
        line = Channel(fd).request([4], INPUT | RISING)
        other.stub.restart()
        for each in (fd, line):
            poll = select.poll()
            poll.register(each, 0)
            assert poll.poll(LATE_S * 1000)[0][1] == select.POLLHUP | select.POLLERR
            with pytest.raises(ConnectionResetError):
                os.read(each, 48)
            os.close(each)
        other.serve.wait_for_chips(1)
        again = open_chip(other.serve.socket, "fw-0")
        assert Channel(again).line_info(4)["flags"] == INPUT
        os.close(again)
