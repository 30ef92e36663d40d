# SPDX-License-Identifier: BSD-3-Clause
"""Exports as a chip of this kernel, where there is no helper, or no kernel for it.

What the chip does is in tests/kernel/test_gpiochip_export.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.bench.rig import Rig
from bridge.chips.dispatcher import Dispatcher
from bridge.client.control import Connection
from bridge.export import gpiochip
from bridge.export.selection import ExportConfig
from bridge.shim.pump import Report, ReportKind
from bridge.shim.usb import Adapter, Status
from tests.processes import LATE_S
from tests.users import ALICE, needs_root, open_directory, user

VHCI = Path("/sys/devices/platform/vhci_hcd.0")


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
        while not listens(str(path)):
            assert time.monotonic() < deadline, "the helper does not listen"
            time.sleep(0.01)
        yield str(path)
        process.kill()
        process.wait()


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


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


# ---- what the log says --------------------------------------------------------------


class OneDevice:
    """An export of one device that nobody plugs in."""

    def __init__(self) -> None:
        self._dispatcher = Dispatcher()
        config = ExportConfig("/nowhere/plug.sock", "m4", kind="gpiochip")
        self.export = gpiochip.GpioChip(self._dispatcher, config, 1000)
        self.device = gpiochip.Device(self._dispatcher, self.export, 0, 1, "m4", [], 1000)
        self.export._devices.append(self.device)

    def __enter__(self) -> OneDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.export.close()
        self._dispatcher.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LATE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def test_whoever_asks_for_the_status_takes_nothing_from_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with OneDevice() as one:
            monkeypatch.setattr(Adapter, "status", lambda _: Status(plugged=True, lost=3, faults=2))
            assert one.export.status()["lost"] == 3
            one.device.reported(Report(ReportKind.EXPORT, 0, 0, 0, 0, 0, 0, 0, b""))

    asyncio.run(scenario())
    assert "export m4: the kernel missed 3 edges" in caplog.text
    assert "export m4: 2 times a line could not be set up as the kernel wants it" in caplog.text


def test_the_log_says_that_a_device_is_out_also_if_nothing_was_done_with_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels: list[socket.socket] = []

    async def plug(adapter: Adapter, _: str) -> int:
        kernel, device = socket.socketpair()
        adapter.plug(device.detach(), -1)
        kernels.append(kernel)
        return 3

    async def scenario() -> None:
        with OneDevice() as one:
            one.device.serve("/nowhere/plug.sock", one.export._tasks)
            await until(lambda: "at port 3 of vhci_hcd" in caplog.text, "it is in")
            kernels[0].close()
            why = "export m4: out: the kernel hung up on it"
            await until(lambda: why in caplog.text, why)
            await until(lambda: len(kernels) == 2, "it is in again")
        kernels[1].close()

    monkeypatch.setattr(gpiochip, "plug", plug)
    monkeypatch.setattr(gpiochip, "_chips", lambda: {"m4": "/dev/gpiochip9"})
    caplog.set_level(logging.INFO)
    asyncio.run(scenario())
