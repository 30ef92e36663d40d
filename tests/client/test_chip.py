# SPDX-License-Identifier: BSD-3-Clause
"""Chips and their lines, through a real service on a real stub."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgpack
import pytest

import bridge as gpiod
from bridge.bench.rig import Rig
from bridge.client.control import Connection
from bridge.line import Direction
from bridge.shim import info_queue
from firmware_stub import Stub


def test_open_by_name_and_by_socket(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{rig.serve.socket}#{rig.chips[0]}"
    with gpiod.Chip(path) as chip:
        assert chip.path == path
        assert chip.get_info().name == rig.chips[0]
    monkeypatch.setenv("GPIO_BRIDGE_SOCKET", rig.serve.socket)
    with gpiod.Chip(path=rig.chips[1]) as chip:
        assert chip.get_info().name == rig.chips[1]


def test_info(chip: gpiod.Chip) -> None:
    info = chip.get_info()
    assert (info.name, info.label, info.num_lines) == ("fw-0", "m4-gpioa", 16)


@pytest.mark.every_firmware
def test_every_firmware_has_its_lines(rig: Rig) -> None:
    with rig.chip() as chip:
        assert chip.get_info().num_lines == 16
        assert [info.offset for info in chip.get_all_line_info()] == list(range(16))


def test_unknown_chip_names_those_there_are(socket_path: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"fw-0.*fw-1"):
        gpiod.Chip(f"{socket_path}#nonsense")


def test_no_service(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no service listens on .*gpio-bridge serve"):
        gpiod.Chip(f"{tmp_path}/nothing.sock#fw-0")
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.bind(f"{tmp_path}/dead.sock")
    dead.close()
    with pytest.raises(ConnectionRefusedError, match="no service listens on"):
        gpiod.Chip(f"{tmp_path}/dead.sock#fw-0")


def test_wrong_kind_of_socket(stub: Stub) -> None:
    with pytest.raises(OSError, match="SOCK_SEQPACKET") as error:
        gpiod.Chip(f"{stub.socket}#fw-0")
    assert error.value.errno == errno.EPROTOTYPE


def test_path_too_long() -> None:
    with pytest.raises(OSError, match="107 bytes") as error:
        gpiod.Chip(f"/tmp/{'x' * 120}#fw-0")
    assert error.value.errno == errno.ENAMETOOLONG


def test_wrong_types() -> None:
    with pytest.raises(TypeError):
        gpiod.Chip(4)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gpiod.Chip()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="null byte"):
        gpiod.Chip("fw\0-0")


def test_closed_chip(rig: Rig) -> None:
    chip = rig.chip()
    assert chip
    assert chip.fd >= 0
    chip.close()
    chip.close()
    assert not chip
    assert (repr(chip), str(chip)) == ("<Chip CLOSED>", "<Chip CLOSED>")
    for use in (
        lambda: chip.path,
        lambda: chip.fd,
        chip.get_info,
        lambda: chip.get_line_info(0),
        lambda: chip.request_lines({0: None}),
        chip.__enter__,
    ):
        with pytest.raises(gpiod.ChipClosedError):
            use()


def test_repr_and_str(chip: gpiod.Chip) -> None:
    assert repr(chip) == f'gpiod.Chip("{chip.path}")'
    with eval(repr(chip), {"gpiod": gpiod}) as again:
        assert again.path == chip.path
    assert str(chip) == f'<Chip path="{chip.path}" fd={chip.fd} info={chip.get_info()}>'


def test_properties_are_immutable(chip: gpiod.Chip) -> None:
    with pytest.raises(AttributeError):
        chip.path = "foo"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        chip.fd = 4  # type: ignore[misc]


def test_offsets_from_ids(chip: gpiod.Chip) -> None:
    assert chip.line_offset_from_id("LED_RED") == 1
    assert chip.line_offset_from_id(id=5) == 5
    assert chip.line_offset_from_id("5") == 5
    with pytest.raises(FileNotFoundError, match="no line called 'NOTHING'"):
        chip.line_offset_from_id("NOTHING")
    for offset in (16, "16"):
        with pytest.raises(ValueError, match="of out range"):
            chip.line_offset_from_id(offset)
    for wrong in (None, 1.5, b"LED_RED"):
        with pytest.raises(TypeError):
            chip.line_offset_from_id(wrong)  # type: ignore[arg-type]


def test_the_empty_name_is_the_first_unnamed_line(rig: Rig) -> None:
    with rig.chip(1) as chip:
        assert chip.line_offset_from_id("") == 7


def test_line_info(chip: gpiod.Chip) -> None:
    info = chip.get_line_info(line="LED_GREEN")
    assert (info.offset, info.name, info.used, info.consumer) == (0, "LED_GREEN", False, None)
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=True)
    with chip.request_lines({"LED_GREEN": settings}, consumer="me"):
        info = chip.get_line_info(0)
        assert (info.used, info.consumer, info.active_low) == (True, "me", True)
        assert info.direction is Direction.OUTPUT
    info = chip.get_line_info(0)
    assert (info.used, info.consumer, info.active_low) == (False, None, False)
    for offset in (16, -1):
        with pytest.raises(ValueError):
            chip.get_line_info(offset)


def test_nothing_to_read_on_an_idle_chip(chip: gpiod.Chip) -> None:
    assert select.select([chip], [], [], 0)[0] == []


def test_module_functions(rig: Rig) -> None:
    path = f"{rig.serve.socket}#fw-0"
    assert gpiod.is_gpiochip_device(path)
    assert not gpiod.is_gpiochip_device(f"{rig.serve.socket}#nothing")
    assert not gpiod.is_gpiochip_device("/dev/null")
    with pytest.raises(TypeError):
        gpiod.is_gpiochip_device(4)  # type: ignore[arg-type]
    assert [info.name for info in gpiod.list_chips(rig.serve.socket)] == ["fw-0", "fw-1"]
    assert gpiod.find_line("MUX_SEL", socket=rig.serve.socket) == ("fw-1", 3)
    assert gpiod.find_line("MUX_SEL", "fw-0", rig.serve.socket) is None


def test_a_service_of_another_version(tmp_path: Path) -> None:
    """Also a service that talks nonsense, or hangs up, is an error with a sentence."""
    path = f"{tmp_path}/fake.sock"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path)
    server.listen()
    answers = [
        msgpack.packb(
            {"seq": 1, "error": {"errno": errno.EPROTONOSUPPORT, "message": "version 1, not 2"}}
        ),
        b"\xc1nonsense",
        b"",
    ]

    def serve() -> None:
        for answer in answers:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                if answer:
                    connection.send(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="version 1, not 2") as error:
        gpiod.Chip(f"{path}#fw-0")
    assert error.value.errno == errno.EPROTONOSUPPORT
    with pytest.raises(OSError, match="no reply") as error:
        gpiod.Chip(f"{path}#fw-0")
    assert error.value.errno == errno.EBADMSG
    with pytest.raises(OSError, match="closed the connection") as error:
        gpiod.Chip(f"{path}#fw-0")
    assert error.value.errno == errno.ENODEV
    thread.join()
    server.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_shared_by_threads(chip: gpiod.Chip) -> None:
    wrong: list[object] = []

    def look(offset: int) -> None:
        for _ in range(50):
            info = chip.get_line_info(offset)
            if info.offset != offset:
                wrong.append(info)

    threads = [threading.Thread(target=look, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_fd_while_another_thread_reads_for_the_first_time(
    chip: gpiod.Chip, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first read maps the queue of info events: fd waits for it, or answers before."""
    asked: list[Future[int]] = []

    class SlowReader(info_queue.InfoReader):
        def __init__(self, ring_fd: int, doorbell: int) -> None:
            asked.append(pool.submit(lambda: chip.fd))
            wait(asked, timeout=0.2)
            super().__init__(ring_fd, doorbell)

    monkeypatch.setattr(info_queue, "InfoReader", SlowReader)
    os.set_blocking(chip.fd, False)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(BlockingIOError):
            chip.read_info_event()
        assert asked[0].result(30) == chip.fd


def test_closed_while_another_thread_asks_for_fd(rig: Rig) -> None:
    for _ in range(50):
        chip = rig.chip()
        started = threading.Barrier(2)

        def ask(chip: gpiod.Chip = chip, started: threading.Barrier = started) -> None:
            started.wait()
            while True:
                assert chip.fd >= 0

        with ThreadPoolExecutor(1) as pool:
            end = pool.submit(ask)
            started.wait()
            chip.close()
            with pytest.raises(gpiod.ChipClosedError):
                end.result(30)


def test_closed_while_another_thread_waits_for_an_answer(fresh_rig: Rig) -> None:
    chip = fresh_rig.chip()
    fresh_rig.stub.fault("stall", "on")
    output = gpiod.LineSettings(direction=Direction.OUTPUT)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(chip.request_lines, {0: output})
        while not chip._connection._lock.locked():  # type: ignore[union-attr]
            assert not asking.done()
        chip.close()
        with pytest.raises(gpiod.ChipClosedError):
            asking.result(30)
    fresh_rig.stub.fault("stall", "off")
    with fresh_rig.chip() as again, again.request_lines({0: output}):  # what it asked for is undone
        pass


class Beginning:
    """The lock of a connection; a call begins in the moment that close() looks at it."""

    def __init__(self, call: Callable[[], Future[Any]]) -> None:
        self._lock = threading.Lock()
        self._call = call

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def locked(self) -> bool:
        was = self._lock.locked()
        wait([self._call()], 1)
        return was


def test_a_call_that_begins_while_its_connection_is_closed(rig: Rig) -> None:
    connection = Connection.open(rig.serve.socket)
    calls = []
    with ThreadPoolExecutor() as threads:

        def call() -> Future[Any]:
            calls.append(threads.submit(connection.wait, 600, chip="nothing"))
            return calls[0]

        connection._lock = Beginning(call)  # type: ignore[assignment]
        connection.close()
        with pytest.raises(OSError) as caught:
            calls[0].result(60)
    assert caught.value.errno == errno.EBADF


def test_closed_while_other_threads_ask(rig: Rig) -> None:
    for _ in range(20):
        chip = rig.chip()
        started = threading.Barrier(3)

        def ask(chip: gpiod.Chip = chip, started: threading.Barrier = started) -> None:
            started.wait()
            while True:
                assert chip.get_line_info("LED_GREEN").offset == 0

        with ThreadPoolExecutor(2) as pool:
            ends = [pool.submit(ask) for _ in range(2)]
            started.wait()
            chip.close()
            for end in ends:
                with pytest.raises(gpiod.ChipClosedError):
                    end.result(30)
