# SPDX-License-Identifier: BSD-3-Clause
"""Wait for what a link needs to appear, without polling: a path (inotify(7)), or a device."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from bridge.link.uevents import drain, monitor
from bridge.shim.ffi import ffi, lib

# A directory is watched and not a file: a socket that is to come has no file yet. Who changes files
# there without end has one event for each attempt.
_DIRECTORY_CHANGES = (
    lib.IN_ATTRIB | lib.IN_MOVED_TO | lib.IN_CREATE | lib.IN_DELETE_SELF | lib.IN_ONESHOT
)
_FILE_CHANGES = lib.IN_ATTRIB | lib.IN_MOVE_SELF


class Watch:
    """What makes a new attempt worth while.

    Make it before the first attempt, and call `again` before each other one, so that a change in
    between is not missed.

    Args:
        fd: readable after a change.
    """

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._fd = fd
        self._loop.add_reader(fd, self._ready)

    def _ready(self) -> None:
        """Note a change: the caller looks again, whatever it was.

        What else changes meanwhile must not wake us.
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

    def again(self) -> None:
        """Forget what has changed, and notice what changes from now on. OSError as at first."""
        self._take()
        self._changed.clear()
        self._loop.add_reader(self._fd, self._ready)

    def _take(self) -> None:
        """Take what made the descriptor readable."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._fd)


class _InotifyWatch(Watch):
    def __init__(self) -> None:
        """Raises OSError: no inotify instance or watch (EMFILE, ENOSPC, EACCES)."""
        fd = lib.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ffi.errno, f"no inotify instance: {os.strerror(ffi.errno)}")
        super().__init__(fd)
        try:
            self._watch()
        except BaseException:
            self.close()
            raise

    def _watch(self) -> None:
        """Add what is to be watched."""
        raise NotImplementedError

    def _add(self, path: str | Path, changes: int) -> bool:
        return lib.inotify_add_watch(self._fd, os.fsencode(path), changes) >= 0

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 65536)

    def close(self) -> None:
        """Stop watching."""
        super().close()
        try:
            # The kernel takes about 8 ms for it, in which no client would have an answer.
            self._loop.run_in_executor(None, os.close, self._fd)
        except RuntimeError:  # no thread
            os.close(self._fd)


class PathWatch(_InotifyWatch):
    """Notices changes in the directory of a path, or in the nearest one above it.

    Where the path is a symbolic link, that of what it leads to is watched, too.

    Args:
        path: what is to appear.

    Raises:
        OSError: no inotify instance or watch (EMFILE, ENOSPC, EACCES).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def _watch(self) -> None:
        # A symbolic link may be made to lead elsewhere, and what it leads to may come.
        for name in {os.path.abspath(self._path), os.path.realpath(self._path)}:
            directory = Path(name).parent
            if not any(
                self._add(place, _DIRECTORY_CHANGES) for place in (directory, *directory.parents)
            ):
                why = os.strerror(ffi.errno)
                raise OSError(ffi.errno, f"{directory} cannot be watched: {why}")

    def _take(self) -> None:
        super()._take()
        self._watch()  # since one event has ended it


class FileWatch(_InotifyWatch):
    """Notices that a file is removed, replaced or given to others; not what is beside it.

    Args:
        path: of the file.

    Raises:
        OSError: as `PathWatch`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def _watch(self) -> None:
        if not self._add(self._path, _FILE_CHANGES):
            raise OSError(ffi.errno, f"{self._path} cannot be watched: {os.strerror(ffi.errno)}")


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

    def _take(self) -> None:
        drain(self._monitor)
