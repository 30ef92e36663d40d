# SPDX-License-Identifier: BSD-3-Clause
"""Typed face of an export (bridge/shim/export/export.h)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from bridge.shim.ffi import ffi, lib
from bridge.shim.pump import Controller, Pump, _Owned

_WHY_SIZE = 256
_STATE_HEADER: int = lib.GB_EXPORT_STATE_HEADER
_STATE_MAGIC = b"gblines2"

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
    size = _STATE_HEADER + lines * ffi.sizeof("struct gb_export_line")
    header = _STATE_MAGIC + hashlib.sha256(identity).digest()
    try:
        _check_ours(os.fstat(fd))
        if os.fstat(fd).st_size != size or os.pread(fd, _STATE_HEADER, 0) != header:
            os.ftruncate(fd, 0)
            # The file is mapped: without room for it what is written there is lost.
            os.posix_fallocate(fd, 0, size)
            os.pwrite(fd, header, 0)
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.close(fd)
        raise
    return fd


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


class Export(_Owned):
    """Lines as a virtio-gpio device for a guest.

    Args:
        pump: that it runs in.
        identity: comes back in EXPORT reports.
        listen_fd: from `listen`; the export owns it from here on.
        state_fd: from `open_state`, or -1; the caller's.
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
        names: list[str | None],
        timeout_ms: int,
    ) -> None:
        block = b"".join((name or "").encode("ascii") + b"\0" for name in names)
        if not any(names):
            block = b""  # virtio 1.3, 5.18.4: a size of 0 says that there are none
        text = ffi.new("char[]", block)
        config = ffi.new("struct gb_export_config *")
        config.listen_fd, config.state_fd = listen_fd, state_fd
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

    def take_over(self, connection: int, state: int) -> None:
        """As `listen`, with the guest of a `hand_over` as the first one.

        Args:
            connection: its descriptor, the export's from here on; -1: it left meanwhile.
            state: what `hand_over` wrote, in a socket.

        Raises:
            OSError: errno of gb_export_take_over; it listens all the same.
        """
        result = lib.gb_export_take_over(self._handle, connection, state)
        if result < 0:
            raise OSError(-result, f"the guest cannot go on: {os.strerror(-result)}")

    def pause(self) -> None:
        """Take no more requests; a report comes when status().at_rest."""
        lib.gb_export_pause(self._handle)

    def hand_over(self, state: int) -> int:
        """End as `close` does, but keep the guest for another process.

        Args:
            state: a stream socket for what `take_over` needs.

        Returns:
            The guest's connection, the caller's, or -errno: there is no guest, or it
            cannot go on elsewhere and was let go.
        """
        return lib.gb_export_hand_over(self._take(), state)

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
            ffi.string(status.why).decode(errors="replace"),
        )

    def changed(self) -> list[int]:
        """Lines whose direction the guest has changed since this was asked last."""
        found: list[int] = []
        line = -1
        while self._owned is not None:
            line = lib.gb_export_changed(self._owned, line + 1)
            if line < 0:
                break
            found.append(line)
        return found

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
