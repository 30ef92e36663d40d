# SPDX-License-Identifier: BSD-3-Clause
"""Exports as a chip of this kernel, where there is no helper, or no kernel for it.

What the chip does is in tests/kernel/test_gpiochip_export.py.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Rig
from bridge.client.control import Connection
from tests.users import ALICE, needs_root, open_directory, user

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
LATE_S = 60.0


@pytest.fixture
def helper() -> Iterator[str]:
    with open_directory() as folder:
        path = folder / "plug.sock"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bridge.cli", "plug", "--user", str(os.geteuid())),
                *("--socket", str(path)),
            ]
        )
        deadline = time.monotonic() + LATE_S
        while not path.exists():
            assert time.monotonic() < deadline, "the helper does not listen"
            time.sleep(0.01)
        yield str(path)
        process.kill()
        process.wait()


def status_until(rig: Rig, words: str) -> dict[str, Any]:
    """The export's status, once `why` has these words."""
    deadline = time.monotonic() + LATE_S
    while True:
        connection = Connection.open(rig.serve.socket)
        found = dict(connection.call("status")["exports"][0])
        connection.close()
        if words in found["why"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def ask(helper: str, fds: list[int]) -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(LATE_S)
        connection.connect(helper)
        try:
            socket.send_fds(connection, [b"p"], fds)
            answer = connection.recv(200)
        except ConnectionError:
            return -1, "hung up"
        error, _, why = struct.unpack("=ii120s", answer)
        return error, why.rstrip(b"\0").decode()


def test_without_a_helper_the_status_says_so() -> None:
    export = "gpiochip:dln2:/nowhere/plug.sock,chip=fw-0,name=m4"
    with Rig(arguments=("--export", export)) as rig:
        found = status_until(rig, "no helper listens there (systemctl enable")
        assert (found["lines"], found["connected"], found["path"]) == (16, False, "no chip yet")
        with rig.chip() as chip:
            assert chip.get_line_info(3).consumer == "gpiochip:m4"


@pytest.mark.skipif(VHCI.exists(), reason="this kernel has vhci_hcd")
def test_a_kernel_that_cannot_is_told(helper: str) -> None:
    export = f"gpiochip:dln2:{helper},chip=fw-0"
    with Rig(arguments=("--export", export)) as rig:
        status_until(rig, "this kernel has no vhci_hcd")


def test_the_helper_takes_nothing_but_a_socket_pair(helper: str, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, open(tmp_path / "file", "w") as file:
        for fds in ([ours.fileno(), theirs.fileno()], [file.fileno(), file.fileno()], [0], []):
            assert ask(helper, fds) == (22, "expected both ends of a stream socket pair")


@needs_root
def test_the_helper_serves_one_user(helper: str) -> None:
    os.chmod(helper, 0o666)
    with user(ALICE):
        assert ask(helper, []) == (-1, "hung up")
