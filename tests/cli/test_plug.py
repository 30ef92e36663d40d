# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge plug: its socket. tests/kernel has what it plugs in."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.processes import LATE_S
from tests.users import ALICE

Eventually = Callable[[Callable[[], bool], str], None]
UID = os.getuid() or ALICE


def plug(path: Path) -> list[str]:
    user = ("--user", str(UID), "--socket", str(path))
    return [sys.executable, "-m", "bridge.cli", "plug", *user]


def refused(path: Path) -> str:
    done = subprocess.run(plug(path), capture_output=True, text=True, timeout=LATE_S)
    assert done.returncode == 1
    return done.stderr


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        return client.connect_ex(str(path)) == 0


def test_only_the_service_may_connect_and_only_one_listens(
    tmp_path: Path, eventually: Eventually
) -> None:
    path = tmp_path / "plug.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as before:
        before.bind(str(path))
    with subprocess.Popen(plug(path)) as process:
        try:
            eventually(lambda: listens(path), "it listens where another one did")
            found = path.stat()
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UID, 0o600)
            assert "another process listens there" in refused(path)
        finally:
            process.kill()


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "plug.sock"
    path.write_text("somebody's")
    assert "something that is no socket is in the way" in refused(path)
    assert path.read_text() == "somebody's"
