# SPDX-License-Identifier: BSD-3-Clause
"""A driver's end of a serial line, frame by frame (docs/protocol.md 12), for checks."""

from __future__ import annotations

import os
import random
import struct
import tty
from typing import NamedTuple

from bridge.conformance.check import Failed
from bridge.conformance.wait import Wait
from bridge.extras import missing

DATA, HELLO, WELCOME, ACK, NAK, POLL, RESET = 0x80, 1, 2, 3, 4, 5, 6
KINDS = {DATA: "DATA", WELCOME: "WELCOME", ACK: "ACK", NAK: "NAK", POLL: "POLL", RESET: "RESET"}
VERSION = 1
ANNOUNCEMENTS = 0xFF
NOBODY = 0xFE
"""An endpoint that firmware hardly has: controllers are numbered from 0."""
PORT = 7

_HELLO = struct.Struct("<BBIHBBIHH")
_WELCOME = struct.Struct("<BBIHBBI")
_RESET = struct.Struct("<BBI")
_MESSAGE_MAX = 496
_HELLO_AGAIN_S = 0.3
# So many time-outs may pass until a WELCOME: the far end of a port may notice late that the port
# was opened. QEMU looks at a pty once a second.
_GREETING = 3
_FRAMES_MAX = 1000  # frames, and none that was waited for: the firmware will not stop
_ACK_MS = 5
_WINDOW = 32
RETRY_MS = 5000
"""Longer than any check: what comes again comes for a reason."""


def require_cobs() -> None:
    """Raise an error before the checks, rather than in their midst, when a package is missing.

    Raises:
        OSError: ENOSYS without the package cobs.
    """
    try:
        import cobs  # noqa: F401
    except ImportError:
        raise missing("the checks of a serial link", "cobs") from None


def crc32c(data: bytes) -> int:
    """CRC-32C of some bytes (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def encode(frame: bytes) -> bytes:
    """A frame as it is on the wire: with its CRC, COBS and the delimiter."""
    return stuff(frame + struct.pack("<I", crc32c(frame)))


def stuff(data: bytes) -> bytes:
    """COBS and the delimiter."""
    from cobs import cobs

    wire: bytes = cobs.encode(data)
    return wire + b"\0"


def decode(wire: bytes) -> bytes:
    """Decode the frame that stood between two delimiters.

    Raises:
        Failed: its COBS blocks or its CRC do not fit.
    """
    from cobs import cobs

    try:
        data: bytes = cobs.decode(wire)
    except cobs.DecodeError:
        raise Failed(
            f"the firmware's frame `{wire[:24].hex(' ')}` has a COBS block too long"
        ) from None
    if len(data) <= 4 or struct.pack("<I", crc32c(data[:-4])) != data[-4:]:
        raise Failed(f"the CRC of the firmware's frame `{data[:24].hex(' ')}` does not fit")
    return data[:-4]


class Welcome(NamedTuple):
    """A WELCOME, taken apart."""

    kind: int
    version: int
    session: int
    mru: int
    window: int
    reserved: int
    epoch: int


class Frame(NamedTuple):
    """A frame of the firmware: its kind, and all of it without the CRC."""

    kind: int
    data: bytes

    @property
    def number(self) -> int:
        """Of DATA: the sequence number."""
        return self.data[0] & 0x7F

    @property
    def ack(self) -> int:
        """Of DATA, ACK, NAK and POLL: the number expected next."""
        return self.data[1]

    @property
    def message(self) -> bytes:
        """Of DATA."""
        return self.data[4:]


class Framing:
    """The port, and the driver's state of a session.

    Args:
        fd: descriptor of the port; closed by `close`.
        timeout_ms: of whatever must come.

    Attributes:
        welcome: of the session.
        endpoint: of the first controller that was announced.
        next: sequence number of our next DATA.
        expected: of theirs.
    """

    def __init__(self, fd: int, timeout_ms: int) -> None:
        self._fd = fd
        self._timeout_s = timeout_ms / 1000
        self._rest = b""
        if os.isatty(fd):
            tty.setraw(fd)
        os.set_blocking(fd, False)
        self.session = 0
        self._window = _WINDOW
        self.welcome = Welcome(0, 0, 0, 0, 0, 0, 0)
        self.endpoint = 0
        self.next = self.expected = 0

    def close(self) -> None:
        """End the session and close the port."""
        try:
            self.write(encode(_RESET.pack(RESET, 0, self.session)))
        except (Failed, OSError):
            pass
        finally:
            os.close(self._fd)

    # ---- bytes --------------------------------------------------------------------

    def write(self, wire: bytes) -> None:
        """Write bytes as they are. Raises Failed when they are not taken in time."""
        wait = self._timeout()
        while wire:
            if wait.over:
                raise Failed(f"the serial line takes no more bytes{wait.excuse}")
            if wait.writable(self._fd):
                wire = wire[os.write(self._fd, wire) :]

    def read(self, wait: Wait) -> Frame | None:
        """The next frame, or None when the time passes without one.

        Raises:
            Failed: it is damaged, or of no kind; the port is gone.
        """
        while True:
            wire, delimiter, rest = self._rest.partition(b"\0")
            if delimiter:
                self._rest = rest
                if wire:
                    return self._frame(decode(wire))
                continue
            if wait.over:
                return None
            if not wait.readable(self._fd):
                continue
            got = os.read(self._fd, 4096)
            if not got:
                raise Failed("the other end of the serial line is gone")
            self._rest += got

    @staticmethod
    def _frame(data: bytes) -> Frame:
        kind = data[0] & DATA or data[0]
        least = {DATA: 4, WELCOME: _WELCOME.size, RESET: _RESET.size}.get(kind, 2)
        if kind not in KINDS or len(data) < least:
            raise Failed(f"the firmware's frame `{data[:24].hex(' ')}` is of no kind it may send")
        return Frame(kind, data)

    def _timeout(self) -> Wait:
        return Wait(self._timeout_s)

    def expect(self, *kinds: int, after: str, wait: Wait | None = None) -> Frame:
        """The next frame of these kinds. Raises Failed when none comes in time."""
        names = " or ".join(KINDS[kind] for kind in kinds)
        wait = wait or self._timeout()
        while True:
            frame = self.read(wait)
            if frame is None:
                raise Failed(f"no {names} {after} {self._within(wait)}")
            if frame.kind in kinds:
                return frame

    # ---- a session ------------------------------------------------------------------

    def hello(
        self, window: int = _WINDOW, retry_ms: int = RETRY_MS, version: int = VERSION
    ) -> bytes:
        """A HELLO of `session`."""
        bit_rate = 0  # whatever it contains, our timers are longer
        return _HELLO.pack(
            *(HELLO, version, self.session, _MESSAGE_MAX, window, 0, bit_rate, _ACK_MS, retry_ms)
        )

    def greet(self, hello: bytes) -> Welcome:
        """Send a HELLO until its WELCOME comes. Raises Failed when none does."""
        limit_s = _GREETING * self._timeout_s
        for _ in range(max(1, round(limit_s / _HELLO_AGAIN_S))):
            self.write(b"\0" + encode(hello))
            wait = Wait(min(self._timeout_s, _HELLO_AGAIN_S))
            while (frame := self._read_any(wait)) is not None:
                if frame.kind == WELCOME:
                    welcome = Welcome(*_WELCOME.unpack_from(frame.data))
                    if welcome.session == self.session:
                        return welcome
        raise Failed(f"no WELCOME with the HELLO's session {self._within(wait, limit_s)}")

    def _within(self, wait: Wait, limit_s: float | None = None) -> str:
        return f"within {(limit_s or self._timeout_s) * 1000:.0f} ms{wait.excuse}"

    def _read_any(self, wait: Wait) -> Frame | None:
        """Do what read() does, but skip a frame that an earlier session left half sent."""
        try:
            return self.read(wait)
        except Failed:
            return self.read(wait)

    def begin(self, window: int = _WINDOW, retry_ms: int = RETRY_MS) -> list[bytes]:
        """Begin a session and return the announcements that came with it."""
        self.session = random.getrandbits(32)
        self._window = window
        self.welcome = self.greet(self.hello(window, retry_ms))
        self.next = self.expected = 0
        messages = self.gather("after a HELLO")
        for message in messages:
            if message[:1] == b"\0" and message[2:].startswith((b"rpmsg-io-", b"rpmsg-raw")):
                self.endpoint = message[1]
                break
        return messages

    def send(self, kind: int, ack: int | None = None) -> None:
        """Send an ACK, NAK or POLL, by default with what we expect."""
        self.write(encode(bytes([kind, self.expected if ack is None else ack])))

    def data(self, message: bytes, number: int | None = None, endpoint: int | None = None) -> bytes:
        """A DATA frame, with the next number and for the first controller by default."""
        number = self.next if number is None else number
        endpoint = self.endpoint if endpoint is None else endpoint
        port = 0 if endpoint == ANNOUNCEMENTS else PORT
        return bytes([DATA | number & 0x7F, self.expected, endpoint, port]) + message

    def post(self, message: bytes, endpoint: int | None = None) -> None:
        """Send a message in a DATA frame; the next one has the next number."""
        self.write(encode(self.data(message, endpoint=endpoint)))
        self.next = (self.next + 1) & 0x7F

    def took(self, frame: Frame) -> bool:
        """Take a DATA frame if it is the expected one."""
        if frame.kind != DATA or frame.number != self.expected:
            return False
        self.expected = (self.expected + 1) & 0x7F
        return True

    def fence(self, when: str) -> list[Frame]:
        """Send POLL and return all frames up to the ACK that answers it, which is the last.

        Whatever was sent before the POLL has had its effect then, and DATA that came is taken.
        """
        self.send(POLL)
        frames: list[Frame] = []
        wait = self._timeout()
        while len(frames) < _FRAMES_MAX:
            frame = self.read(wait)
            if frame is None:
                raise Failed(f"no ACK to a POLL {when} {self._within(wait)}")
            if frame.kind == RESET:
                raise Failed(f"a RESET {when}")
            if self.took(frame):
                wait = self._timeout()  # only frames that are new get more time
            frames.append(frame)
            if frame.kind == ACK:
                return frames
        raise Failed(f"no ACK to a POLL {when}, but {_FRAMES_MAX} other frames")

    def gather(self, when: str) -> list[bytes]:
        """The messages that are due, until all that HELLO's window let through came."""
        messages: list[bytes] = []
        while len(messages) < _FRAMES_MAX:
            frames = self.fence(when)
            messages += (new := [frame.message for frame in frames if frame.kind == DATA])
            if not new or self._window < _WINDOW:
                return messages
        raise Failed(f"more than {_FRAMES_MAX} messages {when}")

    def reply(self, after: str) -> bytes:
        """The next message to our port. Raises Failed when none comes in time."""
        wait = self._timeout()
        for _ in range(_FRAMES_MAX):
            frame = self.expect(DATA, after=after, wait=wait)
            if not self.took(frame):
                continue
            if frame.data[3] == PORT and frame.message[:1] == b"\0":
                return frame.message
            wait = self._timeout()
        raise Failed(f"no reply {after}, but {_FRAMES_MAX} other frames")
