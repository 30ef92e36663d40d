# SPDX-License-Identifier: BSD-3-Clause
"""What is beside the control socket, which may be in /tmp among files of others."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def beside(socket_path: str, end: str) -> str:
    """The path of something that belongs to a control socket: its own, .sock replaced by an end."""
    return f"{socket_path.removesuffix('.sock')}.{end}"


def open_own_directory(path: str, mode: int) -> int:
    """Return a descriptor of a directory that is ours alone, made with `mode` if need be.

    Raises:
        OSError: it cannot be made, is a link or no directory, is another user's, or others
            may write to it.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            # Whoever made it would choose the directory in which we write and remove.
            raise OSError(errno.ELOOP, "it is a link, or no directory; remove it") from None
        raise
    found = os.fstat(fd)
    why = None
    if found.st_uid != os.geteuid():
        why = f"it belongs to user id {found.st_uid}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"its mode {stat.S_IMODE(found.st_mode):04o} lets others write to it"
    if why is not None:
        os.close(fd)
        raise OSError(errno.EPERM, f"{why}; remove it")
    return fd
