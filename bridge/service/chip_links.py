# SPDX-License-Identifier: BSD-3-Clause
"""A path in the file system for every chip: a symbolic link to the control socket.

A program that was written for /dev/gpiochipN gets a path that it can be given, that can
be linked to, and that is not there while the chip is not there. The link's name is the
chip's; what it leads to is the socket on which to ask for it.

The socket may be in /tmp, where others can put and swap what they like. So the directory is
opened without following links, is used by its descriptor from then on, and must be ours alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat

from bridge.service.own_directory import beside, open_own_directory

log = logging.getLogger(__name__)


def directory_of(socket_path: str) -> str:
    """The directory of the chips of a control socket: its path, .sock replaced by .chips."""
    return beside(socket_path, "chips")


class ChipLinks:
    """The directory of links of one service.

    Args:
        socket_path: of the control socket.

    Without the right to make the directory there are no links, and a warning.
    """

    def __init__(self, socket_path: str) -> None:
        self._directory = directory_of(socket_path)
        self._target = os.path.join("..", os.path.basename(socket_path))
        self._names: set[str] = set()
        self._usable = True
        self._fd = -1
        try:
            self._fd = open_own_directory(self._directory, 0o755)
            for left_over in os.listdir(self._fd):
                if self._ours(left_over):
                    os.unlink(left_over, dir_fd=self._fd)
        except OSError as error:
            self._usable = False
            self._close()
            log.warning("no chip paths in %s: %s", self._directory, error.strerror)

    def update(self, names: set[str]) -> None:
        """Make the directory show the chips called `names`."""
        if not self._usable:
            return
        for gone in self._names - names:
            with contextlib.suppress(OSError):
                if self._ours(gone):
                    os.unlink(gone, dir_fd=self._fd)
        for new in names - self._names:
            self._link(new)
        self._names = names

    def _ours(self, name: str) -> bool:
        """Whether it is such a link, of this user's. Raises OSError, it is not there."""
        found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
            return False
        return os.readlink(name, dir_fd=self._fd) == self._target

    def _link(self, name: str) -> None:
        """Add a link; a chip must not fail because it has no path."""
        try:
            self._look_for_directory()
            os.symlink(self._target, name, dir_fd=self._fd)
        except FileExistsError:
            pass
        except OSError as error:
            log.warning("no path of chip %s in %s: %s", name, self._directory, error.strerror)

    def _look_for_directory(self) -> None:
        """Open the directory again where somebody has removed it."""
        if self._fd >= 0 and os.fstat(self._fd).st_nlink:
            return
        self._close()
        self._fd = open_own_directory(self._directory, 0o755)

    def remove(self) -> None:
        """Remove the links, and the directory if nothing else is in it."""
        self.update(set())
        with contextlib.suppress(OSError):
            named = os.stat(self._directory, follow_symlinks=False)
            if self._fd >= 0 and os.path.samestat(named, os.fstat(self._fd)):
                os.rmdir(self._directory)
        self.leave()

    def leave(self) -> None:
        """Touch nothing any more: everything belongs to another service now."""
        self._usable = False
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
