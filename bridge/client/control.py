# SPDX-License-Identifier: BSD-3-Clause
"""The client's end of the control socket (docs/control.md)."""

from __future__ import annotations

import array
import errno
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgpack

from bridge import __version__, errors
from bridge.control_protocol import (
    CHIPS,
    HELLO,
    LINES,
    OPEN,
    OPEN_FDS,
    PACKET_MAX,
    REQUEST,
    REQUEST_FDS,
    TRACE,
    TRACE_FDS,
    VERSION,
    WAIT,
    is_reply,
    request,
)

TYPE_CHECKING = False  # as in typing, which tools that run for milliseconds do without
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Connection"]

#: How long a client waits for its turn to be accepted, in seconds.
CONNECT_TIMEOUT_S = 10.0

# For what the service answers from memory. It only detects a service that is stuck, as
# request_timeout_s() does.
_CALL_TIMEOUT_S = 10.0
# After so many seconds `on_silence` is called.
_SILENCE_S = 1.0
# After Ctrl-C, the wait for the descriptors of an answer, which would otherwise hold their lines.
_ABANDON_S = 1.0

_SO_SNDTIMEO_NEW = 67
# struct timeval has longs, except where those are shorter than time_t.
_TIMEVAL = struct.Struct("@qq" if socket.SO_SNDTIMEO == _SO_SNDTIMEO_NEW else "@ll")


#: Called with a sentence when the service is silent for a second. It is for tools that talk to a
#: human, who should hear of the silence before the deadline.
on_silence: Callable[[str], None] | None = None


def request_timeout_s(timeout_ms: int, lines: int) -> float:
    """Return how long a request or a reconfiguration of so many `lines` may take, in seconds.

    Each line takes several requests to the firmware, each of which may take the service's
    `timeout_ms`; a request that fails is the last one.
    """
    return min(150.0, 10.0 + 2.25 * lines) * max(1, timeout_ms / 1000)


class Connection:
    """One control connection; its calls may come from several threads."""

    def __init__(self, sock: socket.socket, where: str) -> None:
        """Take over a connected socket and say hello; `where` names it in messages.

        Raises OSError: EPROTONOSUPPORT when the service speaks another version,
        ENODEV when it hung up, ETIMEDOUT when it did not answer in 10 s.
        """
        self._socket = sock
        self._where = where
        self._lock = threading.Lock()
        self._closed = False
        self._seq = 0
        try:
            hello = self.call(HELLO, version=VERSION, client=f"bridge {__version__}")
        except BaseException:
            sock.close()
            raise
        self._timeout_ms = hello.get("timeout_ms", 0)

    @classmethod
    def open(cls, path: str) -> Connection:
        """Connect to the service that listens on the unix socket `path`.

        Raises FileNotFoundError or ConnectionRefusedError when there is no service,
        PermissionError when this user may not connect (unix(7)), TimeoutError when
        those who came before were not accepted in 10 s, ValueError for a path with a
        NUL byte, and what the constructor raises.
        """
        if "\0" in path:
            raise ValueError("embedded null byte in the path of the control socket")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            _connect_patiently(sock, path)
        except OSError as error:
            sock.close()
            number = error.errno or errno.ENAMETOOLONG  # "AF_UNIX path too long" has none
            raise OSError(number, _connect_sentence(number, path)) from None
        except BaseException:  # Ctrl-C
            sock.close()
            raise
        return cls(sock, path)

    def close(self) -> None:
        """Close the connection; requests made on it stay. A call of another thread then ends."""
        self._closed = True  # before the look at the lock: a call that begins now sees one of both
        if self._lock.locked():  # close(2) alone would not wake it
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._socket.fileno()

    def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Ask the service and return its answer.

        Raises what the errno in the answer stands for (bridge.errors), with the
        service's sentence as message; ENODEV and ETIMEDOUT as the constructor.
        """
        reply, fds = self._exchange(op, arguments, _CALL_TIMEOUT_S)
        _close(fds)
        return reply

    def call_firmware(self, op: str, lines: int, **arguments: Any) -> None:
        """Ask the service for what takes as long as a request of so many `lines`; as call()."""
        _, fds = self._exchange(op, arguments, request_timeout_s(self._timeout_ms, lines))
        _close(fds)

    def wait(self, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        """Wait for chips (the operation ``wait``), at most `timeout_s` seconds; return the answer.

        Raises as call() does, TimeoutError when what is waited for did not happen.
        """
        arguments["timeout_ms"] = round(timeout_s * 1000)
        return self._exchange(WAIT, arguments, timeout_s + _CALL_TIMEOUT_S)[0]

    def chips(self) -> list[dict[str, Any]]:
        """Return what the chips are, in version order of their names; raises as call()."""
        found = []
        following: str | None = ""
        while following is not None:
            reply = self.call(CHIPS, after=following)
            found += reply["chips"]
            following = reply["next"]
        return found

    def lines(self, chip: str) -> Iterator[dict[str, Any]]:
        """Fetch the lines of a chip, page by page; raises as call() does."""
        following: int | None = 0
        while following is not None:
            reply = self.call(LINES, chip=chip, first=following)
            yield from reply["lines"]
            following = reply["next"]

    def open_chip(self, name: str) -> tuple[dict[str, Any], list[int]]:
        """Open a chip; return what it is and the descriptors event, ring.

        Raises as call() does, and OSError EBADMSG when descriptors are missing.
        """
        return self._with_fds(OPEN_FDS, OPEN, {"chip": name}, _CALL_TIMEOUT_S)

    def trace(self, link: str) -> tuple[dict[str, Any], list[int]]:
        """Read along on a link, "" is all; return the answer and the descriptors bell, ring.

        It ends with this connection. Raises as open_chip() does.
        """
        return self._with_fds(TRACE_FDS, TRACE, {"link": link}, _CALL_TIMEOUT_S)

    def request(self, **arguments: Any) -> tuple[dict[str, Any], list[int]]:
        """Ask for lines; return the answer and the descriptors operation, event, ring.

        Raises as open_chip() does.
        """
        timeout_s = request_timeout_s(self._timeout_ms, len(arguments["offsets"]))
        return self._with_fds(REQUEST_FDS, REQUEST, arguments, timeout_s)

    def _with_fds(
        self, count: int, op: str, arguments: dict[str, Any], timeout_s: float
    ) -> tuple[dict[str, Any], list[int]]:
        reply, fds = self._exchange(op, arguments, timeout_s)
        if len(fds) != count:
            _close(fds)
            raise OSError(
                errno.EBADMSG,
                f"the service on {self._where} sent {len(fds)} descriptors with its answer "
                f"to {op} instead of {count}",
            )
        return reply, fds

    def _exchange(
        self, op: str, arguments: dict[str, Any], timeout_s: float
    ) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, f"the connection to {self._who()} is closed")
            self._seq += 1
            packet = msgpack.packb(request(self._seq, op, arguments))
            if len(packet) > PACKET_MAX:
                raise OSError(
                    errno.EMSGSIZE,
                    f"{op} takes {len(packet)} bytes, a control packet holds {PACKET_MAX}",
                )
            start = time.monotonic()
            # An operation that asks the firmware may take its time.
            tell_at = start + _SILENCE_S if timeout_s == _CALL_TIMEOUT_S else None
            try:
                self._socket.settimeout(timeout_s)
                self._socket.sendall(packet)
                reply, fds = self._receive(self._seq, start + timeout_s, tell_at)
            except TimeoutError:
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"{self._who()} did not answer {op} in {timeout_s:g} s{self._state()}",
                ) from None
            except (BrokenPipeError, ConnectionResetError):
                reply, fds = self._last_words(self._seq)
            except OSError:
                raise
            except BaseException:  # Ctrl-C
                self._abandon(self._seq)
                raise
        if "error" in reply:
            _close(fds)
            error = reply["error"]
            raise errors.exception(error["errno"], error["message"])
        return reply["ok"], fds

    def _receive(
        self, seq: int, deadline: float, tell_at: float | None = None
    ) -> tuple[dict[str, Any], list[int]]:
        """Return the reply to `seq`; a late reply to an earlier call is thrown away.

        At `tell_at`, if it is given, the waiting is reported.
        """
        while True:
            remaining = (deadline if tell_at is None else tell_at) - time.monotonic()
            if remaining <= 0 and tell_at is None:
                raise TimeoutError
            self._socket.settimeout(max(remaining, 0.001))
            try:
                data, fds = _receive_packet(self._socket)
            except TimeoutError:
                if tell_at is None:
                    raise
                tell_at = None
                _tell(f"{self._who()} does not answer{self._state() or ' yet'}")
                continue
            if not data:
                _close(fds)
                raise self._gone()
            try:
                reply = msgpack.unpackb(data)
            except (ValueError, msgpack.UnpackException):
                reply = None
            if not is_reply(reply):
                _close(fds)
                raise OSError(
                    errno.EBADMSG,
                    f"the service on {self._where} sent something that is no reply: "
                    "is this the control socket of gpio-bridge?",
                )
            if reply.get("seq") in (seq, None):
                return reply, fds
            _close(fds)

    def _abandon(self, seq: int) -> None:
        """Close what may soon come with an answer that nobody waits for any more."""
        with suppress(OSError):
            _close(self._receive(seq, time.monotonic() + _ABANDON_S)[1])

    def _last_words(self, seq: int) -> tuple[dict[str, Any], list[int]]:
        """Return what the service said before it hung up, such as which limit was reached.

        The kernel reports the hang-up first where a packet of ours was still unread.
        """
        try:
            return self._receive(seq, time.monotonic() + _ABANDON_S)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            raise self._gone() from None

    def _who(self) -> str:
        return f"the service on {self._where}"

    def _state(self) -> str:
        """What the service's process is doing, for whoever waits; "" when nothing is known."""
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = int.from_bytes(packed[:4], sys.byteorder)  # struct ucred: pid, uid, gid
        if pid in (0, os.getpid()):  # in another pid namespace; or the link is in this process
            return ""
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return ""
        if state == "T":
            return f": its process {pid} is stopped (kill -CONT {pid} lets it go on)"
        if state == "t":
            return f": its process {pid} is stopped by a debugger"
        return f": its process {pid} hangs, or is very busy"

    def _gone(self) -> OSError:
        return OSError(errno.ENODEV, f"the service on {self._where} closed the connection")


def _connect(sock: socket.socket, path: str, deadline: float) -> None:
    """Connect, waiting until `deadline` for room in the queue of connections.

    connect(2) of a non-blocking socket, as one with settimeout() is, fails at once while the queue
    is full; SO_SNDTIMEO is the time for which that of a blocking one waits.
    """
    while True:
        left_us = max(1, round((deadline - time.monotonic()) * 1e6))
        timeout = _TIMEVAL.pack(*divmod(left_us, 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        try:
            sock.connect(path)
            sock.getpeername()
        except BlockingIOError:
            raise TimeoutError(errno.ETIMEDOUT, "") from None
        except OSError as error:
            # Python treats a connect that a signal interrupted as one that goes on.
            if error.errno != errno.ENOTCONN or time.monotonic() >= deadline:
                raise
        else:
            return


def _connect_patiently(sock: socket.socket, path: str) -> None:
    """Connect within CONNECT_TIMEOUT_S; a wait of more than a second is reported."""
    start = time.monotonic()
    deadline = start + CONNECT_TIMEOUT_S
    try:
        _connect(sock, path, min(deadline, start + _SILENCE_S))
    except TimeoutError:
        if time.monotonic() >= deadline:
            raise
        _tell(f"the service on {path} accepts no connection: it hangs, or is stopped")
        _connect(sock, path, deadline)


def _tell(sentence: str) -> None:
    if on_silence is not None:
        on_silence(sentence)


def _receive_packet(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one packet and its descriptors, close-on-exec from the first moment."""
    space = socket.CMSG_SPACE(REQUEST_FDS * array.array("i").itemsize)
    data, ancillary, flags, _ = sock.recvmsg(PACKET_MAX, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if flags & socket.MSG_TRUNC:
        _close(list(fds))
        raise OSError(errno.EMSGSIZE, "the service sent a packet that is too large")
    if flags & socket.MSG_CTRUNC:
        _close(list(fds))
        raise OSError(errno.EMFILE, "this process has no descriptors left (see ulimit -n)")
    return data, list(fds)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _who_may(path: str) -> str:
    import grp

    try:
        status = os.stat(path)
        group = grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError):
        return "see its mode and group, and those of its directory"
    mode = stat.S_IMODE(status.st_mode)
    return f"its group is {group}, its mode {mode:04o}; join the group (serve --group, --mode)"


def _connect_sentence(number: int, path: str) -> str:
    if number in (errno.ENOENT, errno.ECONNREFUSED):
        return (
            f"no service listens on {path}: start one with `gpio-bridge serve`, or say where "
            "it is with --socket or GPIO_BRIDGE_SOCKET"
        )
    if number == errno.EACCES:
        return f"no permission to connect to {path}: {_who_may(path)}"
    if number == errno.EPROTOTYPE:
        return f"{path} is not the control socket of gpio-bridge (it is no SOCK_SEQPACKET socket)"
    if number == errno.ETIMEDOUT:
        return (
            f"the service on {path} accepted no connection in {CONNECT_TIMEOUT_S:g} s: it hangs, "
            "or more clients come than it can accept"
        )
    if number == errno.ENAMETOOLONG:
        return f"the socket path {path} is too long: 107 bytes is the most (unix(7))"
    return f"can not connect to {path}: {os.strerror(number)}"
