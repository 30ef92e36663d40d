# SPDX-License-Identifier: BSD-3-Clause
"""What bench guest compares with: a vhost-user-gpio back-end in plain Python.

It does the export's job for SET_VALUE in the way one writes it first: rings by struct, one eventfd
read a kick, and each request through the client library, so that it goes to the same firmware.
Without a chip it answers out of its own memory, so that only the work on the queue is left. It is
only for a well-behaved front-end. Run it as ``python -m bridge.bench.python_backend SOCKET LINES
[CHIP]``.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack

from bridge.client.chip import Chip
from bridge.client.line_settings import LineSettings
from bridge.line import Direction, Value

_HEADER = struct.Struct("=III")
_STATE = struct.Struct("=II")
_ADDR = struct.Struct("=IIQQQQ")
_DESC = struct.Struct("<QIHH")
_REQUEST = struct.Struct("<HHI")
_USED = struct.Struct("<II")
_U16 = struct.Struct("<H")

_SET_MEM_TABLE, _SET_NUM, _SET_ADDR, _SET_KICK, _SET_CALL = 5, 8, 9, 12, 13
_SET_VALUE = 5


class Backend:
    """One guest's request queue."""

    def __init__(self, connection: socket.socket, set_value: Callable[[int, Value], None]) -> None:
        self.connection, self.set_value = connection, set_value
        self.num = self.desc = self.avail = self.used = 0
        self.taken = 0
        self.kick = self.call = -1

    def serve(self) -> None:
        """Answer until the guest leaves."""
        while True:
            watched = [self.connection] + ([self.kick] if self.kick >= 0 else [])
            ready = select.select(watched, [], [])[0]
            if self.kick in ready:
                os.read(self.kick, 8)
                self._requests()
            if self.connection in ready and not self._message():
                return

    def _message(self) -> bool:
        head, fds, _, _ = socket.recv_fds(self.connection, _HEADER.size, 8)
        if not head:
            return False
        kind, _, size = _HEADER.unpack(head)
        body = self.connection.recv(size) if size else b""
        if kind == _SET_MEM_TABLE:
            self.guest, length, self.user, _ = struct.unpack_from("=QQQQ", body, 8)
            self.memory = mmap.mmap(fds[0], length)
            # An index is written and read at once: struct would show the driver a zero first.
            self.words = memoryview(self.memory).cast("H")
        elif kind == _SET_NUM and body[0] == 0:
            self.num = _STATE.unpack(body)[1]
        elif kind == _SET_ADDR and body[0] == 0:
            _, _, desc, used, avail, _ = _ADDR.unpack(body)
            self.desc, self.used, self.avail = (a - self.user for a in (desc, used, avail))
        elif kind == _SET_KICK and body[0] == 0:
            self.kick = os.dup(fds[0])
        elif kind == _SET_CALL and body[0] == 0:
            self.call = os.dup(fds[0])
        for fd in fds:
            os.close(fd)
        return True

    def _requests(self) -> None:
        memory, words = self.memory, self.words
        before = self.taken
        while self.taken != words[self.avail // 2 + 1]:
            slot = self.taken % self.num
            head = _U16.unpack_from(memory, self.avail + 4 + 2 * slot)[0]
            addr, _, _, following = _DESC.unpack_from(memory, self.desc + 16 * head)
            kind, gpio, value = _REQUEST.unpack_from(memory, addr - self.guest)
            answer = _DESC.unpack_from(memory, self.desc + 16 * following)[0] - self.guest
            status = 0
            if kind == _SET_VALUE:
                self.set_value(gpio, Value(value))
            memory[answer : answer + 2] = bytes((status, 0))
            _USED.pack_into(memory, self.used + 4 + 8 * slot, head, 2)
            self.taken = (self.taken + 1) & 0xFFFF
            words[self.used // 2 + 1] = self.taken
        if self.taken != before:
            os.write(self.call, b"\1\0\0\0\0\0\0\0")


def main(path: str, lines: int, chip_path: str | None = None) -> None:
    """Serve one guest at `path` with the first `lines` of a chip, or with none's."""
    with ExitStack() as stack:
        memory: dict[int, Value] = {}
        set_value: Callable[[int, Value], None] = memory.__setitem__
        if chip_path is not None:
            config = {tuple(range(lines)): LineSettings(direction=Direction.OUTPUT)}
            chip = stack.enter_context(Chip(chip_path))
            request = stack.enter_context(chip.request_lines(config, "python-backend"))
            set_value = request.set_value
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(path)
        listener.listen(1)
        print("ready", flush=True)
        connection, _ = listener.accept()
        with connection:
            Backend(connection, set_value).serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
