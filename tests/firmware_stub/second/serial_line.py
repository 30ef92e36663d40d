# SPDX-License-Identifier: BSD-3-Clause
"""The second firmware on a serial line (docs/protocol.md 12), which is a TCP port here.

TCP loses nothing, so nothing is ever sent again: what section 12 says of a noisy line is
not here.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque

from tests.firmware_stub.second.firmware import Build, Firmware
from tests.frames import decode, encode

_DATA, _HELLO, _WELCOME, _ACK, _NAK, _POLL, _RESET = 0x80, 1, 2, 3, 4, 5, 6
_ANNOUNCEMENTS = 0xFF
_MRU, _WINDOW = 496, 32
_TICK_S = 0.002


class SerialLine:
    """A firmware in a thread, for one driver after the other.

    Attributes:
        url: for the driver.
        firmware: what is behind it.
    """

    def __init__(self, build: Build) -> None:
        self.firmware = Firmware(build)
        self._epoch = build.epoch
        self._started_ns = time.monotonic_ns() - build.now
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"serial:socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._line: socket.socket | None = None
        self._begin(0, 0)

    def __enter__(self) -> SerialLine:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        if self._line:
            self._line.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                self._line, _ = self._server.accept()
                self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._line.settimeout(_TICK_S)
                self._talk(self._line)
            except ConnectionError:
                continue
            except OSError:
                return  # closed

    def _talk(self, line: socket.socket) -> None:
        rest = b""
        self._begin(0, 0)
        while True:
            try:
                got = line.recv(4096)
                if not got:
                    return
                rest += got
            except TimeoutError:
                pass
            *frames, rest = rest.split(b"\0")
            for frame in frames:
                if frame:
                    self._take(decode(frame))
            self._let_time_pass()
            self._say()

    # ---- a session ----------------------------------------------------------------

    def _begin(self, session: int, window: int) -> None:
        self._session, self._window = session, window
        self._next = self._expected = self._acknowledged = 0
        self._waiting: deque[bytes] = deque()
        self._port: int | None = None

    def _write(self, frame: bytes) -> None:
        if self._line:
            self._line.sendall(encode(frame))

    def _take(self, frame: bytes) -> None:
        if frame[0] == _HELLO:
            session, _, window = struct.unpack_from("<IHB", frame, 2)
            self._begin(session, window)
            self._write(
                struct.pack("<BBIHBBI", _WELCOME, 1, session, _MRU, _WINDOW, 0, self._epoch)
            )
            self._announce()
        elif frame[0] == _RESET:
            self._begin(0, 0)
        elif not self._session:
            self._write(struct.pack("<BBI", _RESET, 0, self._epoch))
        else:
            self._acknowledged = frame[1]
            if frame[0] & _DATA:
                self._take_data(frame)
            elif frame[0] == _POLL:
                self._write(bytes([_ACK, self._expected]))
        self._flush()

    def _take_data(self, frame: bytes) -> None:
        if frame[0] & 0x7F != self._expected:
            return
        self._expected = (self._expected + 1) & 0x7F
        endpoint, port, message = frame[2], frame[3], frame[4:]
        if endpoint == _ANNOUNCEMENTS and message[:1] == b"\2":
            self._announce()
        elif endpoint == 0:
            if message:
                self._port = port
            self._let_time_pass()
            self.firmware.receive(message)
            self._say()
        if not self._waiting:
            self._write(bytes([_ACK, self._expected]))

    def _announce(self) -> None:
        self._waiting.append(bytes([_ANNOUNCEMENTS, 0, 0, 0]) + b"rpmsg-io-0")

    # ---- what the firmware says -----------------------------------------------------

    def _let_time_pass(self) -> None:
        pins = self.firmware.pins
        pins.advance(time.monotonic_ns() - self._started_ns - pins.now)

    def _say(self) -> None:
        said = self.firmware.said()
        if self._port is not None:
            for message in said.replies + said.events:
                self._waiting.append(bytes([0, self._port]) + message)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and (self._next - self._acknowledged) & 0x7F < self._window:
            self._write(bytes([_DATA | self._next, self._expected]) + self._waiting.popleft())
            self._next = (self._next + 1) & 0x7F
