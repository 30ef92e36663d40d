# SPDX-License-Identifier: BSD-3-Clause
"""Packets on the control socket of a real service, and operations on what it hands out.

Whatever a client sends is answered, or its connection is closed; a client beside it is
served, and the service says nothing of its own inside (no traceback in its log).
"""

from __future__ import annotations

import array
import contextlib
import os
import random
import socket
import struct
import sys
from pathlib import Path

import msgpack

sys.path.insert(0, str(Path(__file__).parent))

from generator import INTEGERS, run, scalar, value

from bridge import uapi
from bridge.bench.rig import Rig
from bridge.client.control import Connection

OPERATIONS = [
    *("hello", "chips", "chip", "lines", "find", "request", "wait", "status", "open", "close"),
    *("watch", "unwatch", "clock", "events", "trace", "shutdown", ""),
]
ARGUMENTS = [
    *("version", "client", "after", "chip", "first", "count", "name", "limit", "offsets", "config"),
    *("consumer", "event_buffer_size", "online", "timeout_ms", "handle", "offset"),
]
RIGHT: dict[str, list[object]] = {
    "version": [1],
    "chip": ["fw-0", "fw-1"],
    "handle": [1, 2, 3],
    "offset": [0, 1, 15],
    "timeout_ms": [0, 1],
    "name": ["LED_GREEN"],
}
PACKETS = 40  # of one connection
DEADLINE_S = 30.0
_rig: Rig | None = None


def _config(pick: random.Random) -> bytes:
    """A struct gpio_v2_line_config with settings of all sorts, or nearly one."""
    flags = [1 << pick.randrange(14) | 1 << pick.randrange(6) for _ in range(2)]
    attributes = [
        uapi.Attribute(pick.randrange(1, 5), pick.choice([0, 1, 3, *flags]), pick.getrandbits(3))
        for _ in range(pick.choice([0, 0, 1, 2, 10]))
    ]
    packed = bytearray(uapi.pack_line_config(flags[0], attributes))
    if pick.random() < 0.3:
        packed[pick.randrange(len(packed))] = pick.randrange(256)
    return bytes(packed if pick.random() < 0.9 else packed[: pick.randrange(300)])


def packet(pick: random.Random) -> bytes:
    """One packet: nonsense now and then, mostly a request that is nearly right."""
    kind = pick.random()
    if kind < 0.05:
        return pick.randbytes(pick.choice([1, 2, 30, 3000, 65_536, 65_537]))
    if kind < 0.1:
        return bytes(msgpack.packb(value(pick)))
    request: dict[object, object] = {
        "seq": pick.randrange(100) if pick.random() < 0.95 else scalar(pick),
        "op": pick.choice(OPERATIONS),
    }
    for _ in range(pick.randrange(6)):
        name = pick.choice(ARGUMENTS)
        right = RIGHT.get(name)
        request[name] = pick.choice(right) if right and pick.random() < 0.8 else value(pick)
    if request["op"] == "request" and pick.random() < 0.9:
        request["chip"] = "fw-0"
        request["offsets"] = [
            pick.choice([0, 1, 2, 15, 16, *INTEGERS])
            for _ in range(pick.choice([0, 1, 1, 2, 64, 65]))
        ]
        request["config"] = _config(pick)
    data = bytes(msgpack.packb(request, default=str))
    if pick.random() < 0.05:
        at = pick.randrange(len(data))
        data = data[:at] + pick.randbytes(1) + data[at + pick.randrange(3) :]
    return data


def _operate(pick: random.Random, fd: int) -> None:
    """Say something on a descriptor that came, whatever it is."""
    record = struct.pack(
        "=IIQQ", pick.choice([0, 1, 2, 16, 17, 99]), pick.randrange(9), pick.randrange(9), 1
    )
    record += pick.randbytes(pick.choice([0, 0, 0, 1, 272, 512, 600]))
    with contextlib.suppress(OSError):
        os.write(fd, record[: pick.choice([len(record), 24, 5])])


def _receive(pick: random.Random, client: socket.socket) -> bool:
    """Take what the service says. False: it hung up."""
    fds = array.array("i")
    while True:
        try:
            data, ancillary, _, _ = client.recvmsg(65_536, socket.CMSG_SPACE(16 * fds.itemsize))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for level, kind, numbers in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(numbers[: len(numbers) // fds.itemsize * fds.itemsize])
        while fds:
            fd = fds.pop()
            _operate(pick, fd)
            os.close(fd)
        if not data:
            return False
        reply = msgpack.unpackb(data, strict_map_key=False)
        assert "ok" in reply or reply["error"]["message"], reply


def one_client(pick: random.Random) -> int:
    """One connection with packets of all sorts, and an honest one behind it."""
    global _rig
    if _rig is None:
        _rig = Rig().__enter__()
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(DEADLINE_S)
        client.connect(_rig.serve.socket)
        client.setblocking(False)
        if pick.random() < 0.9:
            client.send(msgpack.packb({"seq": 0, "op": "hello", "version": 1, "client": "fuzz"}))
        for _ in range(PACKETS):
            try:
                client.send(packet(pick))
            except BlockingIOError:
                pass
            except (ConnectionError, OSError):
                break
            sent += 1
            if pick.random() < 0.5 and not _receive(pick, client):
                break
    honest = Connection.open(_rig.serve.socket)
    try:
        assert len(honest.chips()) == len(_rig.chips)
    finally:
        honest.close()
    assert _rig.serve.process is not None
    assert _rig.serve.process.poll() is None, "the service ended"
    log = _rig.serve.log
    assert "Traceback" not in log, log[-3000:]
    return sent


def stop() -> None:
    """End the service."""
    global _rig
    if _rig is not None:
        _rig.__exit__(None, None, None)
        _rig = None


if __name__ == "__main__":
    try:
        sys.exit(run(one_client))
    finally:
        stop()
