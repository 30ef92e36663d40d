# SPDX-License-Identifier: BSD-3-Clause
"""A path in the file system for every chip: a symbolic link to the control socket.

A program that was written for /dev/gpiochipN gets a path that it can be given, that can
be linked to, and that is not there while the chip is not there. The link's name is the
chip's; what it leads to is the socket on which to ask for it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os

log = logging.getLogger(__name__)


def directory_of(socket_path: str) -> str:
    """The directory of the chips of a control socket: its path, .sock replaced by .chips."""
    return f"{socket_path.removesuffix('.sock')}.chips"


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
        try:
            os.makedirs(self._directory, 0o755, exist_ok=True)
            if os.path.islink(self._directory):
                # Whoever made it chose in which directory links are removed.
                raise OSError(errno.ELOOP, "it is a symbolic link; remove it")
            for left_over in os.scandir(self._directory):
                if left_over.is_symlink():
                    os.unlink(left_over.path)
        except OSError as error:
            self._usable = False
            log.warning("no chip paths in %s: %s", self._directory, error.strerror)

    def update(self, names: set[str]) -> None:
        """Make the directory show the chips called `names`."""
        if not self._usable:
            return
        for gone in self._names - names:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._directory, gone))
        for new in names - self._names:
            self._link(new)
        self._names = names

    def _link(self, name: str) -> None:
        """Add a link; a chip must not fail for want of its path."""
        try:
            os.makedirs(self._directory, 0o755, exist_ok=True)  # somebody may have tidied up
            os.symlink(self._target, os.path.join(self._directory, name))
        except FileExistsError:
            pass
        except OSError as error:
            log.warning("no path of chip %s in %s: %s", name, self._directory, error.strerror)

    def remove(self) -> None:
        """Remove the links, and the directory if nothing else is in it."""
        self.update(set())
        self.leave()
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)

    def leave(self) -> None:
        """Touch nothing any more: all of it is another service's."""
        self._usable = False
