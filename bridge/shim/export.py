# SPDX-License-Identifier: BSD-3-Clause
"""Typed face of an export (bridge/shim/export/export.h)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import NamedTuple

from bridge.shim.ffi import ffi, lib
from bridge.shim.pump import Controller, Pump, _Owned

_WHY_SIZE = 256
_STATE_HEADER: int = ffi.sizeof("struct gb_export_state_header")
_STATE_MAGIC = b"gblines3"
_IDENTITY = len(_STATE_MAGIC) + 32  # bytes, with a SHA-256; what is behind is not
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

LINES_MAX: int = lib.GB_EXPORT_LINES_MAX
"""Most lines of one export."""


@dataclass(frozen=True)
class Status:
    """``struct gb_export_status``.

    Attributes:
        connected: a guest is there.
        interrupts: its driver took VIRTIO_GPIO_F_IRQ, as far as is known.
        guests: guests that connected so far.
        requests: requests answered so far.
        events: interrupts given to guests so far.
        faults: lines that could not be set up again, armed or let go.
        state_lost: its file was truncated: no guest outlives the service.
        at_rest: it was paused, and nothing is under way.
        keep_error: errno: why the guest would not outlive a crash; 0: it would.
        why: why the last guest was cut off; empty when it left.
    """

    connected: bool
    interrupts: bool
    guests: int
    requests: int
    events: int
    faults: int
    state_lost: bool
    at_rest: bool
    keep_error: int
    why: str


def listen(path: str, mode: int) -> int:
    """A socket that listens at `path`; the caller owns the descriptor.

    Args:
        path: of the socket; a file that a dead process left behind is replaced.
        mode: permission bits.

    Raises:
        OSError: with a sentence: EADDRINUSE somebody listens there, EEXIST something else
            is there, ENOENT, EACCES, ENAMETOOLONG...
    """
    why = ffi.new("char[]", _WHY_SIZE)
    fd: int = lib.vhost_user_listen(os.fsencode(path), mode, why, _WHY_SIZE)
    if fd < 0:
        raise OSError(-fd, ffi.string(why).decode(errors="replace"))
    return fd


def open_state(path: str, lines: int, identity: bytes) -> int:
    """The file that keeps the state of so many lines; the caller owns the descriptor.

    Args:
        path: of the file. One of other lines is emptied.
        lines: of the export.
        identity: of these lines: which pins they are, in which order.

    Raises:
        OSError: ENOSPC, EACCES..., ELOOP the path is a symbolic link, EPERM with a
            sentence: the file is not ours alone.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    size = _state_size(lines)
    try:
        _check_ours(os.fstat(fd))
        if not _is_of(fd, size, identity):
            os.ftruncate(fd, 0)
            # The file is mapped: without room for it what is written there is lost.
            os.posix_fallocate(fd, 0, size)
            os.pwrite(fd, _identifier(identity), 0)
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def _state_size(lines: int) -> int:
    return _STATE_HEADER + lines * ffi.sizeof("struct gb_export_line")


def _identifier(identity: bytes) -> bytes:
    import hashlib  # 3 MB of OpenSSL, where a file is wanted only

    return _STATE_MAGIC + hashlib.sha256(identity).digest()


def _is_of(fd: int, size: int, identity: bytes) -> bool:
    return os.fstat(fd).st_size == size and os.pread(fd, _IDENTITY, 0) == _identifier(identity)


def _check_ours(found: os.stat_result) -> None:
    """Whoever else can write to the file would tell the service what its pins are."""
    if not stat.S_ISREG(found.st_mode):
        wrong = "it is no regular file"
    elif found.st_uid != os.geteuid():
        wrong = f"it belongs to user {found.st_uid}, not to user {os.geteuid()} as the service does"
    elif found.st_nlink != 1:
        wrong = f"it has {found.st_nlink} names"
    elif found.st_mode & 0o022:
        wrong = f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    raise OSError(errno.EPERM, f"{wrong}; remove it")


class Kept(NamedTuple):
    """What outlives the process of a guest, beside its connection; the holder's to close.

    Attributes:
        lines: memory with what the guest has set up of its lines.
        read: of a socket pair with the messages that set its session up.
        write: the other end.
    """

    lines: int
    read: int
    write: int

    def close(self) -> None:
        """Close the descriptors; copies of them live on."""
        for fd in self:
            os.close(fd)

    def is_of(self, lines: int, identity: bytes) -> bool:
        """Whether it is of so many lines, and of these."""
        seals = fcntl.fcntl(self.lines, fcntl.F_GET_SEALS)
        return seals & _SEALS == _SEALS and _is_of(self.lines, _state_size(lines), identity)

    @property
    def changing(self) -> bool:
        """The process before ended while a guest changed its session: that is lost."""
        return self._word("session") == lib.GB_EXPORT_SESSION_CHANGING

    @property
    def crashes(self) -> int:
        """What was written here, in whatever process."""
        return self._word("crashes")

    @crashes.setter
    def crashes(self, count: int) -> None:
        os.pwrite(self.lines, struct.pack("=I", count), _offset("crashes"))

    def _word(self, name: str) -> int:
        word: int = struct.unpack("=I", os.pread(self.lines, 4, _offset(name)))[0]
        return word


def _offset(field: str) -> int:
    return int(ffi.offsetof("struct gb_export_state_header", field))


def new_kept(lines: int, identity: bytes) -> Kept:
    """For the guests of an export of so many lines. Raises OSError ENOMEM, EMFILE..."""
    memory = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, _state_size(lines))
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(memory, _identifier(identity), 0)
        read, write = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        os.close(memory)
        raise
    return Kept(memory, read.detach(), write.detach())


class Export(_Owned):
    """Lines as a virtio-gpio device for a guest.

    Args:
        pump: that it runs in.
        identity: comes back in EXPORT reports.
        listen_fd: from `listen`; the export owns it from here on.
        state_fd: from `open_state`, or -1; the caller's.
        kept: for a guest that outlives this process; the caller's.
        names: one a line, None is unnamed.
        timeout_ms: deadline of one request to a controller in milliseconds.

    Raises:
        OSError: errno of gb_export_open.
    """

    def __init__(
        self,
        pump: Pump,
        identity: int,
        listen_fd: int,
        state_fd: int,
        kept: Kept | None,
        names: list[str | None],
        timeout_ms: int,
    ) -> None:
        block = b"".join((name or "").encode("ascii") + b"\0" for name in names)
        if not any(names):
            block = b""  # virtio 1.3, 5.18.4: a size of 0 says that there are none
        text = ffi.new("char[]", block)
        config = ffi.new("struct gb_export_config *")
        config.listen_fd, config.state_fd = listen_fd, state_fd
        config.kept_fd, *pair = kept or (-1, -1, -1)
        config.kept_pair = pair
        config.lines, config.timeout_ms = len(names), timeout_ms
        config.names, config.names_size = text, len(block)
        handle = lib.gb_export_open(pump._handle, identity, config)
        if handle == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"no export could be made: {os.strerror(number)}")
        super().__init__(handle, "export", pump)

    def listen(self) -> None:
        """Serve guests from here on: the lines are attached that are there."""
        lib.gb_export_listen(self._handle)

    def take_over(self, connection: int) -> None:
        """As `listen`, with the guest that was kept as the first one.

        Args:
            connection: its descriptor, the export's from here on; -1: it left meanwhile.

        Raises:
            OSError: errno of gb_export_take_over; it listens all the same.
        """
        result = lib.gb_export_take_over(self._handle, connection)
        if result < 0:
            raise OSError(-result, f"the guest cannot go on: {os.strerror(-result)}")

    def connection(self) -> int:
        """A copy of the guest's connection, the caller's, or -errno: there is none."""
        return int(lib.gb_export_connection(self._handle))

    def pause(self) -> None:
        """Take no more requests; a report comes when status().at_rest."""
        lib.gb_export_pause(self._handle)

    def hand_over(self) -> int:
        """End as `close` does, but keep the guest for another process.

        Returns:
            The guest's connection, the caller's, or -errno: there is no guest, or it
            cannot go on elsewhere and was let go.
        """
        return lib.gb_export_hand_over(self._take())

    def attach(self, line: int, controller: Controller, gpio: int) -> None:
        """Connect a line of the export with one of a controller. Raises OSError EBUSY..."""
        result = lib.gb_export_attach(self._handle, line, controller._handle, gpio)
        if result < 0:
            raise OSError(
                -result, f"line {line} of the export: not attached: {os.strerror(-result)}"
            )

    def detach(self, line: int) -> None:
        """Take the line away; the guest sees errors until it is attached again."""
        if self._owned is not None:
            lib.gb_export_detach(self._owned, line)

    def status(self) -> Status:
        """How it goes; lets the next EXPORT report come."""
        status = ffi.new("struct gb_export_status *")
        lib.gb_export_status(self._handle, status)
        return Status(
            bool(status.connected),
            not status.no_irq,
            status.guests,
            status.requests,
            status.events,
            status.faults,
            bool(status.state_lost),
            bool(status.at_rest),
            status.keep_error,
            ffi.string(status.why).decode(errors="replace"),
        )

    def changed(self) -> list[int]:
        """Lines whose direction the guest has changed since this was asked last."""
        return self._indexes(lib.gb_export_changed)

    def direction(self, line: int) -> int:
        """VIRTIO_GPIO_DIRECTION_* that the guest has set."""
        state = ffi.new("struct gb_export_line *")
        if self._owned is not None:
            lib.gb_export_line(self._owned, line, state)
        return int(state.direction)

    def close(self) -> None:
        """Let the guest go; the pins stay as they are."""
        handle = self._take()
        if handle is not None:
            lib.gb_export_close(handle)
