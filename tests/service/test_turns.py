# SPDX-License-Identifier: BSD-3-Clause
"""Whose packet is next where many wait: nobody is heard more often for having more connections."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bridge.bench.rig import Rig
from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service.peer import Peer
from bridge.service.registry import Registry
from bridge.service.turns import Turns
from firmware_stub import Stub
from tests.export.uapi_client import CHIPINFO, Channel, open_chip

from .conftest import RawClient

MANY = 100


class Speaker:
    """One with so many things to say."""

    def __init__(self, turns: Turns, peer: Peer, name: str, said: list[str], things: int) -> None:
        self._turns, self._peer, self._name, self._said = turns, peer, name, said
        self._things = things

    def ask(self) -> None:
        if self._things:
            self._turns.ask(self._peer, self._speak)

    def _speak(self) -> None:
        self._things -= 1
        self._said.append(self._name)
        asyncio.get_running_loop().call_soon(self.ask)


def said(*speakers: tuple[str, int, int, int]) -> str:
    """In which order they spoke: name, process, user, and how many things each had to say."""
    heard: list[str] = []

    async def speak() -> None:
        turns = Turns()
        for name, pid, uid, things in speakers:
            Speaker(turns, Peer(pid, uid, frozenset()), name, heard, things).ask()
        while len(heard) < sum(things for *_, things in speakers):
            await asyncio.sleep(0)

    asyncio.run(speak())
    return "".join(heard)


def test_users_take_turns() -> None:
    crowd = [("a", 1, 1, 1)] * 5
    assert said(*crowd, ("b", 2, 2, 5)) == "abababab" + "ab"


def test_processes_of_a_user_take_turns() -> None:
    crowd = [("a", 1, 1, 1)] * 5
    assert said(*crowd, ("b", 2, 1, 1)) == "aab" + "aaa"


def test_connections_of_a_process_take_turns() -> None:
    assert said(("a", 1, 1, 2), ("b", 1, 1, 2)) == "abab"


@contextmanager
def crowd(path: str) -> Iterator[list[RawClient]]:
    """Connections of another process."""
    script = (
        "import socket, sys\n"
        "crowd = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(%d)]\n"
        "for one in crowd: one.connect(sys.argv[1])\n"
        "socket.send_fds(socket.socket(fileno=0), [b'!'], [one.fileno() for one in crowd])\n"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs, ExitStack() as stack:
        subprocess.run([sys.executable, "-c", script % MANY, path], stdin=theirs, check=True)
        _, fds, _, _ = socket.recv_fds(ours, 1, MANY)
        sockets = [stack.enter_context(socket.socket(fileno=fd)) for fd in fds]
        assert len(sockets) == MANY
        yield [RawClient(one) for one in sockets]


def test_a_client_is_heard_beside_the_many_of_another_process() -> None:
    with Rig() as rig, crowd(rig.serve.socket) as others:
        asking = RawClient.connect(rig.serve.socket)
        chip = others[0].ok("chips")["chips"][0]["name"]
        os.kill(rig.serve.pid, signal.SIGSTOP)
        os.waitpid(rig.serve.pid, os.WUNTRACED)
        for other in others:
            other.send("open", chip=chip)
        seq = asking.send("status")
        os.kill(rig.serve.pid, signal.SIGCONT)
        reply, _ = asking.receive()
        assert reply is not None
        assert reply["seq"] == seq
        (user,) = reply["ok"]["users"]
        assert user["handles"] < 10
        asking.socket.close()


def test_those_who_wait_for_a_chip_look_again_in_turns() -> None:
    """One user may have 16,000 who do: others have their turn in between."""
    looked: list[int] = []

    async def wait() -> None:
        registry = Registry()
        waiting = [
            asyncio.ensure_future(registry.wait(lambda: bool(looked.append(0)), 3600))
            for _ in range(MANY)
        ]
        await asyncio.sleep(0)
        assert len(looked) == MANY
        looked.clear()
        registry.changed()
        registry.changed()
        seen = 0
        while len(looked) < MANY:
            await asyncio.sleep(0)
            assert len(looked) - seen < 10
            seen = len(looked)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(looked) == MANY
        for one in waiting:
            one.cancel()

    asyncio.run(wait())


def test_ioctls_and_new_settings_are_said_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come by descriptors of their own, of which a user has thousands."""
    said: list[int] = []
    ask = Turns.ask

    def counted(turns: Turns, peer: Peer, speak: Callable[[], None]) -> bool:
        said.append(peer.pid)
        return ask(turns, peer, speak)

    monkeypatch.setattr(Turns, "ask", counted)
    path = str(tmp_path / "control.sock")
    with Stub("demo") as stub:
        service = ServiceThread(Config(links=(LinkConfig(stub.url, name="fw"),), socket=path))
        try:
            service.wait_chip("fw-0", 30)
            fd = open_chip(path, "fw-0")
            channel = Channel(fd)
            settings = LineSettings(direction=Direction.INPUT)
            with Chip(f"{path}#fw-0") as chip, chip.request_lines({0: settings}) as request:
                said.clear()
                channel.ioctl(CHIPINFO, bytes(68))
                assert said == [os.getpid()]
                request.reconfigure_lines({0: settings})
                assert said == [os.getpid()] * 2
            channel.close()
            os.close(fd)
        finally:
            service.close()
