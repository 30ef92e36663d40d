# SPDX-License-Identifier: BSD-3-Clause
"""Connecting when many others do, or when the service does not accept."""

from __future__ import annotations

import errno
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import pytest

from bridge.client import control
from bridge.client.control import Connection


class Slow:
    """A service that accepts nobody until it is told to, with room for one who waits."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._peers: list[socket.socket] = []

    def accept(self, count: int) -> None:
        """Accept so many clients, one after the other, and greet them."""
        for _ in range(count):
            peer, _ = self._listener.accept()
            self._peers.append(peer)
            seq = msgpack.unpackb(peer.recv(65536))["seq"]
            peer.send(msgpack.packb({"seq": seq, "ok": {"version": 1, "timeout_ms": 1}}))

    def refuse(self, sentence: str) -> None:
        """Say why, and hang up, before the client's first packet is read."""
        peer, _ = self._listener.accept()
        error = {"errno": errno.EMFILE, "message": sentence}
        peer.send(msgpack.packb({"seq": None, "error": error}))
        peer.close()

    def close(self) -> None:
        for one in (self._listener, *self._peers):
            one.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    service = Slow(tmp_path / "control.sock")
    yield service
    service.close()


def fill(slow: Slow) -> list[socket.socket]:
    """Clients that take all the room in the queue."""
    waiting = []
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        waiting.append(client)
        try:
            client.connect(slow.path)
        except BlockingIOError:
            return waiting


def test_clients_wait_for_their_turn(slow: Slow) -> None:
    with ThreadPoolExecutor(40) as pool:
        clients = [pool.submit(Connection.open, slow.path) for _ in range(40)]
        slow.accept(40)
        for client in clients:
            client.result(30).close()


def test_service_that_accepts_nobody_is_told_of(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CONNECT_TIMEOUT_S", 0.05)
    waiting = fill(slow)
    with pytest.raises(TimeoutError, match=r"accepted no connection in 0\.05 s") as caught:
        Connection.open(slow.path)
    assert caught.value.errno == errno.ETIMEDOUT
    for client in waiting:
        client.close()


def test_signal_while_a_client_waits_is_no_connection(slow: Slow) -> None:
    """Python treats a connect(2) that a signal interrupted as one that is under way."""
    waiting = fill(slow)
    interrupted = threading.Event()

    def handler(number: int, frame: object) -> None:
        interrupted.set()

    def let_in() -> None:
        assert interrupted.wait(30)
        for client in waiting:
            client.close()
        for _ in waiting[:-1]:
            slow._listener.accept()[0].close()
        slow.accept(1)

    before = signal.signal(signal.SIGALRM, handler)
    service = threading.Thread(target=let_in)
    service.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        Connection.open(slow.path).close()
    finally:
        signal.signal(signal.SIGALRM, before)
        service.join(30)


@pytest.mark.parametrize("turn", range(20))
def test_refused_client_hears_why(slow: Slow, turn: int) -> None:
    service = threading.Thread(target=slow.refuse, args=["user id 7 has 3 connections"])
    service.start()
    with pytest.raises(OSError, match="user id 7 has 3 connections") as caught:
        Connection.open(slow.path)
    assert caught.value.errno == errno.EMFILE
    service.join(30)


def test_without_descriptors_the_error_says_so() -> None:
    """The kernel drops a descriptor for which there is no room: that is EMFILE."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        socket.send_fds(theirs, [b"reply"], [theirs.fileno()])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(OSError, match="no descriptors left") as refused:
                control._receive_packet(ours)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused.value.errno == errno.EMFILE
