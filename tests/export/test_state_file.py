# SPDX-License-Identifier: BSD-3-Clause
"""The file that outlives the service is mapped, so it must be ours and complete."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.shim.export import listen, open_state

from .conftest import Start
from .frontend import NONE, OUT, SET_DIRECTION

LINES, SIZE = 1024, 48 + 4096
PINS = b"these pins"


def test_it_has_all_of_its_blocks(tmp_path: Path) -> None:
    """A hole would be a SIGBUS once the disk is full."""
    path = tmp_path / "guest.sock.lines"
    os.close(open_state(str(path), LINES, PINS))
    found = path.stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE


def test_no_room_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space left"):
        open_state(str(tmp_path / "guest.sock.lines"), LINES, PINS)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_it_is_kept_for_the_same_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "guest.sock.lines"
    os.close(open_state(str(path), LINES, PINS))
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    kept = path.read_bytes()
    os.close(open_state(str(path), LINES, PINS))
    assert path.read_bytes() == kept
    os.close(open_state(str(path), LINES, b"other pins"))
    assert path.read_bytes()[48:] == bytes(4096)
    os.close(open_state(str(path), LINES - 1, PINS))
    assert path.read_bytes()[48:] == bytes(4092)


def test_one_of_before_is_emptied(tmp_path: Path) -> None:
    """An older file has no header that says for which lines it is."""
    path = tmp_path / "guest.sock.lines"
    path.write_bytes(b"\1" * SIZE)
    path.chmod(0o600)
    os.close(open_state(str(path), LINES, PINS))
    assert path.read_bytes()[48:] == bytes(4096)


def hard_link(path: Path, other: Path) -> None:
    os.link(other, path)


def strangers(path: Path, other: Path) -> None:
    path.write_text("precious")
    os.chown(path, 12345, -1)


def writable(path: Path, other: Path) -> None:
    path.write_text("precious")
    path.chmod(0o666)


def fifo(path: Path, other: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (hard_link, "2 names"),
        (strangers, "belongs to user 12345"),
        (writable, "others may write"),
        (fifo, "no regular file"),
    ],
)
def test_a_file_that_is_not_ours_alone_is_left_alone(
    tmp_path: Path, make: Callable[[Path, Path], None], sentence: str
) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    other.chmod(0o600)
    path = tmp_path / "guest.sock.lines"
    if make is strangers and os.geteuid():
        pytest.skip("only root can give a file to another user")
    make(path, other)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=f"{sentence}.*remove it"):
        open_state(str(path), LINES, PINS)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert other.read_text() == "precious"
    assert make is fifo or path.read_text() == "precious"


def test_a_file_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    path = tmp_path / "guest.sock.lines"
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic") as refused:
        open_state(str(path), LINES, PINS)
    assert refused.value.errno == errno.ELOOP
    assert other.read_text() == "precious"


def test_the_service_outlives_a_file_that_is_truncated(
    export: Start, eventually: Callable[..., None]
) -> None:
    exported = export("chip=fw-0")
    with exported.guest() as driver:
        os.truncate(exported.path + ".lines", 0)
        driver.ok(SET_DIRECTION, 4, OUT)
        eventually(lambda: "somebody truncated" in exported.rig.serve.log, "it is told")
        driver.ok(SET_DIRECTION, 4, NONE)
        assert exported.status["connected"]


def test_a_socket_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    path = str(tmp_path / "guest.sock")
    before = os.listdir("/proc/self/fd")
    os.close(listen(path, 0o660))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    os.close(listen(path, 0o600))  # the one before is dead
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path + "2")
        other.listen()
        with pytest.raises(OSError, match="another process listens") as refused:
            listen(path + "2", 0o600)
    assert refused.value.errno == errno.EADDRINUSE
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="no socket") as refused:
        listen(str(tmp_path / "file"), 0o600)
    assert refused.value.errno == errno.EEXIST
    with pytest.raises(OSError, match="No such file") as refused:
        listen(str(tmp_path / "nowhere" / "guest.sock"), 0o600)
    assert refused.value.errno == errno.ENOENT
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_umask_stays_as_it_is(tmp_path: Path) -> None:
    """The umask belongs to all threads: a file that another one makes meanwhile would have it."""
    path, masks = str(tmp_path / "guest.sock"), set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            masks.add(re.search(r"Umask:\t(\d+)", Path("/proc/self/status").read_text())[1])

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(200):
        os.close(listen(path, 0o660))
    over.set()
    watcher.join()
    assert len(masks) == 1


def test_of_services_that_start_at_once_one_listens(tmp_path: Path) -> None:
    """No service takes the socket of another one for a socket that was left behind."""
    path = str(tmp_path / "guest.sock")
    for _ in range(50):
        os.close(listen(path, 0o600))  # left behind
        barrier = threading.Barrier(4)

        def start(barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            try:
                return listen(path, 0o600)
            except OSError as error:
                assert error.errno == errno.EADDRINUSE
                return -1

        with ThreadPoolExecutor(4) as pool:
            found = [future.result() for future in [pool.submit(start) for _ in range(4)]]
        assert sum(fd >= 0 for fd in found) == 1
        os.close(max(found))
