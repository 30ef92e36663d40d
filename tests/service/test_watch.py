# SPDX-License-Identifier: BSD-3-Clause
"""Open chips and watches on the control socket, asked for by well-meaning and hostile clients."""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import uapi
from bridge.control_protocol import HANDLES_MAX
from bridge.service.chip_links import ChipLinks, directory_of
from bridge.shim.ffi import ffi, lib
from bridge.shim.info_queue import InfoReader
from firmware_stub import Stub

from .conftest import RawClient, Running
from .test_control import OUTPUT, line


class Opened:
    """A chip that a raw client has open."""

    def __init__(self, client: RawClient, chip: str = "fw-0") -> None:
        client.send("open", chip=chip)
        reply, fds = client.receive()
        assert reply is not None
        assert "ok" in reply, reply
        self.answer = reply["ok"]
        self.handle = self.answer["handle"]
        bell, ring = fds
        self.reader = InfoReader(ring, bell)

    def close(self) -> None:
        self.reader.close()


def test_open_tells_what_the_chip_is(client: RawClient) -> None:
    opened = Opened(client)
    assert (opened.answer["name"], opened.answer["num_lines"]) == ("fw-0", 16)
    lines = client.ok("lines", handle=opened.handle, first=3, count=1)
    assert [each["offset"] for each in lines["lines"]] == [3]
    assert lines["next"] == 4
    assert client.ok("find", handle=opened.handle, name="LED_RED") == {"found": [["fw-0", 1]]}
    opened.close()


def test_watch_and_the_record(client: RawClient) -> None:
    opened = Opened(client)
    watched = client.ok("watch", handle=opened.handle, offset=0)["line"]
    assert (watched["name"], watched["used"]) == ("LED_GREEN", False)
    held = client.request("fw-0", line(0, OUTPUT), consumer="me")
    change = uapi.unpack_line_change(opened.reader.read())
    assert (change.event, change.offset, change.name, change.consumer) == (
        uapi.GPIO_V2_LINE_CHANGED_REQUESTED,
        0,
        "LED_GREEN",
        "me",
    )
    assert change.flags == OUTPUT | uapi.GPIO_V2_LINE_FLAG_USED
    client.ok("unwatch", handle=opened.handle, offset=0)
    held.close()
    opened.close()


@pytest.mark.parametrize("op", ["watch", "unwatch", "lines", "request", "close"])
def test_handles_that_are_not_there(client: RawClient, op: str) -> None:
    number, message = client.fails(op, handle=7, offset=0, lines=[line(0)], name="x")
    assert number == errno.EBADF
    assert "no open chip 7" in message


def test_wrong_arguments(client: RawClient) -> None:
    opened = Opened(client)
    for offset in (16, 2**32 - 1, -1, "0", None):
        assert client.fails("watch", handle=opened.handle, offset=offset)[0] == errno.EINVAL
        assert client.fails("unwatch", handle=opened.handle, offset=offset)[0] == errno.EINVAL
    for handle in ("1", None, True, -1):
        assert client.fails("watch", handle=handle, offset=0)[0] == errno.EINVAL
    assert client.fails("lines", handle=opened.handle, count=0)[0] == errno.EINVAL
    assert client.fails("open", chip="nothing")[0] == errno.ENOENT
    opened.close()


def test_handles_of_another_connection(running: Running, client: RawClient) -> None:
    opened = Opened(client)
    other = running.client()
    assert other.fails("watch", handle=opened.handle, offset=0)[0] == errno.EBADF
    other.socket.close()
    opened.close()


def test_close_ends_the_watches(client: RawClient) -> None:
    opened = Opened(client)
    client.ok("watch", handle=opened.handle, offset=0)
    client.ok("close", handle=opened.handle)
    with pytest.raises(OSError) as error:
        opened.reader.read()
    assert error.value.errno == errno.ENODEV
    assert client.fails("close", handle=opened.handle)[0] == errno.EBADF
    client.request("fw-0", line(0)).close()
    opened.close()


def test_so_many_chips_and_no_more(client: RawClient) -> None:
    for _ in range(HANDLES_MAX):
        Opened(client).close()
    assert client.fails("open", chip="fw-0")[0] == errno.EMFILE
    client.ok("close", handle=1)
    Opened(client).close()


def test_a_client_that_hangs_up_leaves_nothing(
    running: Running, client: RawClient, eventually: Callable[[Callable[[], bool], str], None]
) -> None:
    chip = running.thread._service.registry.get("fw-0")
    other = running.client()
    opened = Opened(other)
    other.ok("watch", handle=opened.handle, offset=0)
    assert len(chip.watchers) == 1
    other.socket.close()
    poller = select.poll()
    poller.register(opened.reader.fd, 0)
    assert poller.poll(30_000), "the service let go"
    eventually(lambda: not chip.watchers, "the chip forgets who watched")
    client.request("fw-0", line(0)).close()
    opened.close()


def test_a_client_that_scribbles_over_its_ring(client: RawClient) -> None:
    client.send("open", chip="fw-0")
    reply, (bell, ring) = client.receive()
    assert reply is not None
    client.ok("watch", handle=reply["ok"]["handle"], offset=0)
    size = os.fstat(ring).st_size
    os.pwrite(ring, b"\xff" * size, 0)
    for _ in range(3):
        client.request("fw-0", line(0)).close()
        client.ok("chips")
    os.close(bell)
    os.close(ring)


@pytest.mark.parametrize("body", [b"", b"x" * 100, bytes(273), bytes(512), b"\xff" * 272])
def test_hostile_reconfigurations(running: Running, client: RawClient, body: bytes) -> None:
    held = client.request("fw-0", line(0, OUTPUT))
    operation = ffi.new("struct gb_operation *")
    operation.code = lib.GB_OPERATION_RECONFIGURE
    reply = ffi.new("struct gb_operation_reply *")
    why = ffi.new("uint8_t[]", lib.GB_OPERATION_BODY_MAX)
    length = ffi.new("size_t *", lib.GB_OPERATION_BODY_MAX)
    lib.gb_client_operate_body(
        held.operation, 20_000, operation, body, len(body), reply, why, length
    )
    assert reply.error == errno.EINVAL
    assert bytes(ffi.buffer(why, length[0])).decode()
    assert held.operate(lib.GB_OPERATION_SET, 1, 1) == (0, 0)
    assert running.stub.read("LED_GREEN") == 1
    held.close()


def test_wait_for_a_number_of_chips(client: RawClient) -> None:
    assert client.ok("wait", count=2, timeout_ms=0) == {}
    number, message = client.fails("wait", count=3, timeout_ms=1)
    assert number == errno.ETIMEDOUT
    assert "2 chips instead of 3" in message
    assert client.fails("wait", count=-1, timeout_ms=1)[0] == errno.EINVAL


def test_find_at_most_so_many(client: RawClient) -> None:
    assert client.ok("find", name="LED_RED", limit=1) == {"found": [["fw-0", 1]]}
    assert client.ok("find", name="nothing", chip=None) == {"found": []}


# ---- paths of chips ----------------------------------------------------------------


def test_chips_have_paths_while_they_are_online(running: Running, client: RawClient) -> None:
    directory = Path(directory_of(str(running.path)))
    assert sorted(os.listdir(directory)) == ["fw-0", "fw-1"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as through:
        through.connect(str(directory / "fw-0"))  # leads to the control socket
    running.stub.kill()
    client.wait("fw-0", online=False)
    client.wait("fw-1", online=False)
    assert os.listdir(directory) == []
    running.thread.close()
    assert not directory.exists()


def test_left_over_paths_go(tmp_path: Path) -> None:
    directory = tmp_path / "x.chips"
    directory.mkdir()
    (directory / "old-0").symlink_to("../x.sock")
    (directory / "a file").touch()
    links = ChipLinks(str(tmp_path / "x.sock"))
    links.update({"new-0"})
    assert sorted(os.listdir(directory)) == ["a file", "new-0"]
    links.remove()
    links.update({"late-0"})
    assert os.listdir(directory) == ["a file"]


def test_no_directory_is_no_disaster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.chips").touch()
    links = ChipLinks(str(tmp_path / "x.sock"))
    assert "no chip paths" in caplog.text
    links.update({"fw-0"})
    links.remove()


def test_a_directory_that_is_removed_costs_no_chip(running: Running, client: RawClient) -> None:
    directory = Path(directory_of(str(running.path)))
    shutil.rmtree(directory)
    with client.goes_and_comes("fw-0", "fw-1"):
        running.stub.restart()
    assert sorted(os.listdir(directory)) == ["fw-0", "fw-1"]


def test_paths_of_a_service_that_took_over_stay(running: Running, client: RawClient) -> None:
    """The socket's file was removed, and another service made it anew: all is its own."""
    directory = Path(directory_of(str(running.path)))
    os.unlink(running.path)
    with Stub("demo") as stub, Running(stub, running.path) as heir:
        heir.thread.wait_chip("fw-1", timeout_s=30)
        heir.thread.wait_chip("fw-0", timeout_s=30)
        running.thread.close()
        assert sorted(os.listdir(directory)) == ["fw-0", "fw-1"]
        assert heir.client().ok("chips")
    assert not directory.exists()
