# SPDX-License-Identifier: BSD-3-Clause
"""What one user may have of the service at once, and what the others have then."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bridge import uapi
from bridge.bench.rig import Rig
from bridge.client.control import Connection
from bridge.control_protocol import WAIT_MS_MAX
from bridge.service import Config, LinkConfig, ServiceThread
from bridge.service.budgets import GUARANTEED, Budgets, Limits
from bridge.service.service import raise_file_limit
from firmware_stub import Stub
from tests.users import ALICE, BOB, needs_root, open_directory, user

from .conftest import RawClient

INPUT = uapi.GPIO_V2_LINE_FLAG_INPUT
Eventually = Callable[[Callable[[], bool], str], None]


def line(offset: int) -> dict[str, int]:
    return {"offset": offset, "flags": INPUT}


@contextmanager
def limited(stub: Stub, **limits: int) -> Iterator[Path]:
    """The path of a service with such limits, that everybody may use."""
    with open_directory() as directory:
        path = directory / "control.sock"
        config = Config(
            links=(LinkConfig(stub.url, name="fw"),),
            socket=str(path),
            mode=0o666,
            limits=replace(Limits(), **limits),
        )
        thread = ServiceThread(config)
        try:
            thread.wait_chip("fw-0", 30)
            yield path
        finally:
            thread.close()


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub("demo") as running:
        yield running


def usage(client: RawClient) -> dict[str, Any]:
    """What the only user has."""
    (only,) = client.ok("status")["users"]
    return dict(only)


# ---- each limit ----------------------------------------------------------------------


def test_connections(stub: Stub, eventually: Eventually) -> None:
    with limited(stub, connections=3) as path:
        clients = [RawClient.connect(path) for _ in range(3)]
        refused = RawClient.connect(path, hello=False)
        reply, _ = refused.receive()
        assert reply is not None
        assert reply["seq"] is None
        assert reply["error"]["errno"] == errno.EMFILE
        assert "has 3 connections" in reply["error"]["message"]
        assert "limits.connections" in reply["error"]["message"]
        assert refused.receive() == (None, [])
        with pytest.raises(OSError, match=r"limits\.connections"):
            Connection.open(str(path))
        clients[0].socket.close()
        eventually(lambda: clients[1].ok("status")["clients"] == 2, "the place to be free")
        RawClient.connect(path).socket.close()


def test_handles_of_all_connections(stub: Stub) -> None:
    with limited(stub, handles=3) as path:
        one, two = RawClient.connect(path), RawClient.connect(path)
        handles = [open_chip(one), open_chip(one), open_chip(two)]
        number, message = two.fails("open", chip="fw-0")
        assert number == errno.EMFILE
        assert "3 open chips" in message and "limits.handles" in message
        one.ok("close", handle=handles[0])
        open_chip(two)
        assert usage(one)["handles"] == 3
        two.socket.close()
        one.ok("status")
        open_chip(one)


def open_chip(client: RawClient) -> int:
    client.send("open", chip="fw-0")
    reply, fds = client.receive()
    for fd in fds:
        os.close(fd)
    assert reply is not None
    return int(reply["ok"]["handle"])


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"requests": 2}, "2 line requests"), ({"lines": 4}, "4 held lines")],
)
def test_line_requests_and_their_lines(stub: Stub, limits: dict[str, int], words: str) -> None:
    with limited(stub, **limits) as path:
        client = RawClient.connect(path)
        held = [client.request("fw-0", line(0), line(1)), client.request("fw-0", line(2), line(3))]
        number, message = client.fails("request", chip="fw-0", lines=[line(4)])
        assert number == errno.EMFILE
        assert words in message and "limits." in message
        for _ in range(20):  # one that was just closed is waited for
            held[0].close()
            held[0] = client.request("fw-0", line(4), line(5))
        for one in held:
            one.close()


def test_what_ends_is_given_back(stub: Stub, eventually: Eventually) -> None:
    """However it ends: released, closed, refused half-way, or never begun."""
    with limited(stub) as path:
        client = RawClient.connect(path)
        before = usage(client)
        held = client.request("fw-0", line(0), line(1))
        assert usage(client)["requests"] == 1
        assert usage(client)["lines"] == 2
        assert client.fails("request", chip="fw-0", lines=[line(1)])[0] == errno.EBUSY
        assert client.fails("request", chip="fw-0", lines=[line(99)])[0] == errno.EINVAL
        assert usage(client)["lines"] == 2
        held.close()
        eventually(lambda: usage(client) == before, "the request to be given back")


def test_memory_of_requests_that_wait(stub: Stub, eventually: Eventually) -> None:
    """A packet of 60 KB that is small maps, and waits with its operation, is 4 MB of Python."""
    with limited(stub, memory_mib=6) as path:
        client = RawClient.connect(path)
        packet = {"op": "wait", "chip": "nothing", "timeout_ms": WAIT_MS_MAX}
        hostile = RawClient.connect(path)
        for seq in (1001, 1002):
            hostile.socket.send(msgpack.packb({"seq": seq, **packet, "x": [{}] * 60_000}))
        reply, _ = hostile.receive()
        assert reply is not None
        assert reply["seq"] == 1002
        assert reply["error"]["errno"] == errno.ENOBUFS
        assert "limits.memory_mib" in reply["error"]["message"]
        hostile.socket.close()
        eventually(lambda: usage(client)["memory_kib"] < 100, "the memory to be given back")


def test_memory_of_answers_that_nobody_reads(stub: Stub, eventually: Eventually) -> None:
    with limited(stub, memory_mib=1) as path:
        client = RawClient.connect(path)
        idle = [RawClient.connect(path) for _ in range(64)]
        gone = 0
        for _ in range(64):
            for one in idle:
                try:
                    one.send("lines", chip="fw-0")
                except OSError:  # it was cut off
                    gone += 1
            assert usage(client)["memory_kib"] <= 1024
            if gone:
                break
        assert gone
        for one in idle:
            one.socket.close()
        eventually(lambda: client.ok("status")["clients"] == 1, "the others to be gone")
        assert usage(client)["memory_kib"] < 100


def test_answers_that_were_read_make_room(stub: Stub) -> None:
    """What lies in the kernel counts when it is sent, and not when it was read since."""
    with limited(stub, memory_mib=1) as path:
        clients = [RawClient.connect(path) for _ in range(40)]
        for _ in range(4):
            for client in clients:
                client.ok("lines", chip="fw-0")


# ---- descriptors, and the others ---------------------------------------------------------


def test_reserve_is_for_those_who_have_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256 + 800, 256 + 800))
    budgets = Budgets(Limits(reserve_percent=25))
    greedy, modest = budgets.account(1), budgets.account(2)
    grants = []
    with pytest.raises(
        OSError, match=r"have 600 of .* 800 are for them, 200 of them kept"
    ) as caught:
        while True:
            grants.append(greedy.take(connections=1))
    assert caught.value.errno == errno.EMFILE
    small = [modest.take(connections=1) for _ in range(GUARANTEED // 2)]
    with pytest.raises(OSError, match="LimitNOFILE"):
        modest.take(connections=1)
    for grant in (*grants, *small):
        grant.end()
        grant.end()
    assert not budgets.status()["users"]
    budgets.account(1).take(connections=300)


@needs_root
def test_one_user_s_budget_is_not_the_other_s(stub: Stub) -> None:
    with limited(stub, connections=4, handles=2) as path, ExitStack() as stack:

        def connect(uid: int) -> RawClient:
            with user(uid):
                client = RawClient.connect(path)
            stack.callback(client.socket.close)
            return client

        alices = [connect(ALICE) for _ in range(4)]
        with user(ALICE), pytest.raises(OSError, match=f"user id {ALICE} has 4 connections"):
            Connection.open(str(path))
        bob = connect(BOB)
        for _ in range(2):
            open_chip(alices[0])
        assert alices[1].fails("open", chip="fw-0")[0] == errno.EMFILE
        open_chip(bob)
        users = {one["uid"]: one for one in bob.ok("status")["users"]}
        assert users[ALICE]["handles"] == 2
        assert users[BOB]["handles"] == 1


def test_a_thousand_clients_at_once() -> None:
    """They connect, look a line up and request one, all before the first answer is read."""
    raise_file_limit()
    with Rig(board="scale") as rig, ExitStack() as stack:
        clients = []
        for _ in range(1000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(sock.close)
            sock.connect(rig.serve.socket)
            clients.append(RawClient(sock, hello=False))
        for client in clients:
            client.send("hello", version=1, client="one of many")
        for client in clients:
            client.send("find", name="OUT", chip=None, limit=1)
        for number, client in enumerate(clients):
            chip, offset = rig.chips[number % 64], number // 64
            client.send("request", chip=chip, lines=[line(offset)], consumer=f"{number}")
        for number, client in enumerate(clients):
            client.socket.settimeout(120)
            for _ in range(3):
                reply, fds = client.receive()
                for fd in fds:
                    os.close(fd)
                assert reply is not None
                assert "ok" in reply, f"client {number}: {reply}"


def test_those_who_connect_take_turns_with_those_who_ask() -> None:
    """A hundred who connect at once do not all come before the packet of one who is there."""
    with Rig() as rig, ExitStack() as stack:
        asking = RawClient.connect(rig.serve.socket)
        stack.callback(asking.socket.close)
        os.kill(rig.serve.pid, signal.SIGSTOP)
        os.waitpid(rig.serve.pid, os.WUNTRACED)
        seq = asking.send("status")
        for _ in range(100):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(sock.close)
            sock.connect(rig.serve.socket)
        os.kill(rig.serve.pid, signal.SIGCONT)
        reply, _ = asking.receive()
        assert reply is not None
        assert reply["seq"] == seq
        assert reply["ok"]["clients"] < 10


def test_a_user_who_was_refused_everything_is_forgotten() -> None:
    budgets = Budgets(replace(Limits(), connections=0))
    for uid in range(1000, 1100):
        with pytest.raises(OSError, match=r"limits\.connections"):
            budgets.account(uid).take(connections=1)
    assert budgets.status()["users"] == []
