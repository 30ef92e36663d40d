# SPDX-License-Identifier: BSD-3-Clause
"""The file that outlives the service: it is mapped, so it must be ours and all there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bridge.shim.export import open_state

LINES, SIZE = 1024, 4096


def test_it_has_all_of_its_blocks(tmp_path: Path) -> None:
    """A hole would be a SIGBUS once the disk is full."""
    path = tmp_path / "guest.sock.lines"
    os.close(open_state(str(path), LINES))
    found = path.stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE


def test_no_room_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space left"):
        open_state(str(tmp_path / "guest.sock.lines"), LINES)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_it_is_kept_for_the_same_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "guest.sock.lines"
    path.write_bytes(b"\1" * SIZE)
    os.close(open_state(str(path), LINES))
    assert path.read_bytes() == b"\1" * SIZE
    os.close(open_state(str(path), LINES - 1))
    assert path.read_bytes() == bytes(SIZE - 4)


def test_a_file_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    path = tmp_path / "guest.sock.lines"
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic") as refused:
        open_state(str(path), LINES)
    assert refused.value.errno == errno.ELOOP
    assert other.read_text() == "precious"
