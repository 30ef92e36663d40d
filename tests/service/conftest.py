# SPDX-License-Identifier: BSD-3-Clause
"""A real service against the real firmware stub, and a client that speaks raw packets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bridge import uapi
from bridge.service import Config, LinkConfig, ServiceThread
from firmware_stub import Stub

PATIENT_MS = 20_000
"""Deadline of a request to the firmware: only a fault reaches it."""
TIMEOUT_MS = 2000
"""The same, where the firmware is silent on purpose: what it answers may be late, too."""


def packed(lines: list[dict[str, int]]) -> dict[str, Any]:
    """What a `request` says of lines: offsets, and a struct gpio_v2_line_config."""
    masks: dict[tuple[int, int], int] = {}
    values = 0
    for index, one in enumerate(lines[: uapi.GPIO_V2_LINES_MAX]):
        debounce = uapi.GPIO_V2_LINE_ATTR_ID_DEBOUNCE, one.get("debounce_us", 0)
        for attribute in ((uapi.GPIO_V2_LINE_ATTR_ID_FLAGS, one["flags"]), debounce):
            if attribute[1]:
                masks[attribute] = masks.get(attribute, 0) | 1 << index
        values |= one.get("value", 0) << index
    masks[uapi.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, values] = 2**64 - 1
    attributes = [uapi.Attribute(kind, value, mask) for (kind, value), mask in masks.items()]
    offsets = [one["offset"] for one in lines]
    return {"offsets": offsets, "config": uapi.pack_line_config(0, attributes)}


class RawClient:
    """The control socket without a client library in between."""

    def __init__(self, sock: socket.socket, hello: bool = True) -> None:
        self.socket = sock
        sock.settimeout(90)
        self._seq = 0
        if hello:
            assert "ok" in self.ask("hello", version=1, client="test")

    @classmethod
    def connect(cls, path: Path | str, hello: bool = True) -> RawClient:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(path))  # without a timeout: then it would not wait for its turn
        return cls(sock, hello)

    def send(self, op: str, **arguments: Any) -> int:
        if op == "request" and "lines" in arguments:
            arguments.update(packed(arguments.pop("lines")))
        self._seq += 1
        self.socket.send(msgpack.packb({"seq": self._seq, "op": op, **arguments}))
        return self._seq

    def receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        """A reply and its descriptors; None when the service hung up."""
        data, fds, flags, _ = socket.recv_fds(self.socket, 65536, 8)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        return (msgpack.unpackb(data) if data else None), list(fds)

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        seq = self.send(op, **arguments)
        reply, fds = self.receive()
        assert not fds
        assert reply is not None
        assert reply["seq"] == seq
        return reply

    def ok(self, op: str, **arguments: Any) -> dict[str, Any]:
        reply = self.ask(op, **arguments)
        assert "ok" in reply, reply
        return dict(reply["ok"])

    def fails(self, op: str, **arguments: Any) -> tuple[int, str]:
        reply = self.ask(op, **arguments)
        assert "error" in reply, reply
        return reply["error"]["errno"], reply["error"]["message"]

    def request(self, chip: str, *lines: dict[str, int], **arguments: Any) -> Held:
        self.send("request", chip=chip, lines=list(lines), **arguments)
        reply, fds = self.receive()
        assert reply is not None
        assert "ok" in reply, reply
        assert len(fds) == 3
        return Held(reply["ok"], fds)

    def wait(self, chip: str, online: bool = True) -> None:
        self.ok("wait", chip=chip, online=online, timeout_ms=60_000)

    @contextmanager
    def goes_and_comes(self, *chips: str) -> Iterator[None]:
        """What the block does takes the chips away, and they come again.

        They may be back before anybody asks whether they are gone: it is asked before.
        """
        for chip in chips:
            self.send("wait", chip=chip, online=False, timeout_ms=60_000)
        self.ok("status")  # begun after those, which still wait
        yield
        for _ in chips:
            reply, _ = self.receive()
            assert reply is not None
            assert "ok" in reply, reply
        for chip in chips:
            self.wait(chip)


class Held:
    """The client's ends of a line request."""

    def __init__(self, answer: dict[str, Any], fds: list[int]) -> None:
        self.answer = answer
        self.operation, self.event, self.ring = fds
        self._open = True

    def operate(self, code: int, mask: int = 1, bits: int = 0) -> tuple[int, int]:
        """One operation: its errno and its bits."""
        from bridge.shim.ffi import ffi, lib

        operation = ffi.new("struct gb_operation *")
        operation.code, operation.mask, operation.bits = code, mask, bits
        reply = ffi.new("struct gb_operation_reply *")
        lib.gb_client_operate(self.operation, 2 * PATIENT_MS, operation, reply)
        return reply.error, reply.bits

    def close(self) -> None:
        if self._open:
            self._open = False
            for fd in (self.operation, self.event, self.ring):
                os.close(fd)


class Running:
    """A service on a stub that listens on a socket, for a ``with`` block or until closed."""

    def __init__(
        self, stub: Stub, path: Path, timeout_ms: int = PATIENT_MS, **options: Any
    ) -> None:
        self.stub = stub
        self.path = path
        link = LinkConfig(stub.url, name="fw", **options)
        config = Config(links=(link,), socket=str(path), timeout_ms=timeout_ms)
        self.thread = ServiceThread(config)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.close()

    def client(self, hello: bool = True) -> RawClient:
        return RawClient.connect(self.path, hello)


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """The demo board, both chips online; its parameter is the deadline in milliseconds."""
    timeout_ms = getattr(request, "param", PATIENT_MS)
    with Stub("demo") as stub, Running(stub, tmp_path / "control.sock", timeout_ms) as running:
        client = running.client()
        client.wait("fw-0")
        client.wait("fw-1")
        client.socket.close()
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[RawClient]:
    """A client of `running` that said hello."""
    client = running.client()
    yield client
    client.socket.close()
