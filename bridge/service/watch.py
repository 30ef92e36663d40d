# SPDX-License-Identifier: BSD-3-Clause
"""Wait for what a link needs to appear, without polling: a path (inotify(7)), or a device."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bridge.link.uevents import monitor
from bridge.shim.ffi import ffi, lib

# A directory is watched and not a file: a socket that is to come has no file yet.
_MASK = lib.IN_ATTRIB | lib.IN_MOVED_TO | lib.IN_CREATE | lib.IN_DELETE_SELF

_IN_MOVE_SELF = 0x800  # linux/inotify.h


class Watch:
    """What makes a new attempt worth while.

    Make it before the attempt, so that a change in between is not missed.

    Args:
        fd: readable after a change.
    """

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._fd = fd
        self._loop.add_reader(fd, self._ready)

    def _ready(self) -> None:
        """Note a change: the caller looks again, with another watch, whatever it was.

        This one has done its work; what else changes meanwhile must not wake us.
        """
        self._loop.remove_reader(self._fd)
        self._changed.set()

    async def changed(self, timeout_s: float | None) -> bool:
        """Wait for a change.

        Args:
            timeout_s: at most so many seconds; None waits as long as it takes.

        Returns:
            Whether something changed.
        """
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return False
        return True

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._fd)


class PathWatch(Watch):
    """Notices changes in the directory of a path, or in the nearest one above it.

    Where the path is a symbolic link, that of what it leads to is watched, too.

    Args:
        path: what is to appear.

    Raises:
        OSError: no inotify instance or watch (EMFILE, ENOSPC, EACCES).
    """

    def __init__(self, path: str) -> None:
        self._fd = lib.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ffi.errno, f"no inotify instance: {os.strerror(ffi.errno)}")
        try:
            # A symbolic link may be made to lead elsewhere, and what it leads to may come.
            for name in {os.path.abspath(path), os.path.realpath(path)}:
                self._watch(Path(name).parent)
        except OSError:
            os.close(self._fd)
            raise
        super().__init__(self._fd)

    def _watch(self, directory: Path) -> None:
        for place in (directory, *directory.parents):
            if lib.inotify_add_watch(self._fd, os.fsencode(place), _MASK) >= 0:
                return
        raise OSError(ffi.errno, f"{directory} cannot be watched: {os.strerror(ffi.errno)}")

    def close(self) -> None:
        """Stop watching."""
        super().close()
        os.close(self._fd)


class FileWatch(Watch):
    """Notices that a file is removed, replaced or given to others; not what is beside it.

    Args:
        path: of the file.

    Raises:
        OSError: as `PathWatch`.
    """

    def __init__(self, path: str) -> None:
        self._fd = lib.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ffi.errno, f"no inotify instance: {os.strerror(ffi.errno)}")
        if lib.inotify_add_watch(self._fd, os.fsencode(path), lib.IN_ATTRIB | _IN_MOVE_SELF) < 0:
            number = ffi.errno
            os.close(self._fd)
            raise OSError(number, f"{path} cannot be watched: {os.strerror(number)}")
        super().__init__(self._fd)

    def close(self) -> None:
        """Stop watching."""
        super().close()
        os.close(self._fd)


class UeventWatch(Watch):
    """Notices devices of a subsystem that come, go, or change.

    Args:
        subsystem: of the kernel.

    Raises:
        OSError: as `monitor`.
    """

    def __init__(self, subsystem: str) -> None:
        self._monitor = monitor(subsystem)
        super().__init__(self._monitor.fileno())
