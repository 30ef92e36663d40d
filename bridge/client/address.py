# SPDX-License-Identifier: BSD-3-Clause
"""What a chip can be called: NAME, SOCKET#NAME, a path in the file system, or a link URL."""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import NamedTuple

from bridge.control_protocol import default_socket

__all__ = ["Address", "is_url", "parse"]

# The same limit as the kernel's for one path.
_LINKS_MAX = 40

# At least two letters, so that C:\ is not taken for a link.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")


def is_url(path: str) -> bool:
    """Whether a chip's path is a link URL."""
    return _SCHEME.match(path) is not None


class Address(NamedTuple):
    """Where a chip is: behind the service on `socket` or, directly, on the link `url`.

    Exactly one of `socket` and `url` is not None. `chip` is a chip's name, "" when a
    URL named none.
    """

    socket: str | None
    url: str | None
    chip: str


def parse(path: str, socket: str | None = None) -> Address:
    """Take a chip's path apart.

    `socket` is the control socket of a bare name (None: the default one). Raises
    TypeError when `path` is no str and ValueError for an embedded NUL, as open() does.
    A path with a slash is looked at, and must lead to a chip: FileNotFoundError when
    nothing is there, OSError ENOTTY and ENODEV as libgpiod's path check. So must one with
    a ``#`` where something of that name exists: a link in a folder may be called so. What a
    URL leads to may be called so, too.
    """
    if not isinstance(path, str):
        raise TypeError(f"a chip's path must be str, not {type(path).__name__}")
    if "\0" in path:
        raise ValueError("embedded null byte in a chip's path")
    before, separator, after = path.rpartition("#")
    if is_url(path):
        whole = not separator or os.path.lexists(path.partition(":")[2])
        return Address(None, path, "") if whole else Address(None, before, after)
    if "/" in after or (separator and os.path.lexists(path)):
        return Address(*_file(path))
    if separator:
        return Address(before or default_socket(), None, after)
    return Address(socket or default_socket(), None, path)


def _file(path: str) -> tuple[str, None, str]:
    """Follow the symbolic links at `path` to a control socket; the last one is the chip."""
    at, chip = path, ""
    for _ in range(_LINKS_MAX):
        try:
            mode = os.lstat(at).st_mode
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: no chip is at {path}") from None
        if not stat.S_ISLNK(mode):
            break
        chip = os.path.basename(at)
        at = os.path.join(os.path.dirname(at), os.readlink(at))
    else:
        raise OSError(errno.ELOOP, f"{path} is a symbolic link without an end")
    if stat.S_ISSOCK(mode) and chip:
        return at, None, chip
    if stat.S_ISSOCK(mode):
        raise OSError(errno.ENOTTY, f"{path} is a control socket, not a chip: write {path}#NAME")
    if stat.S_ISCHR(mode):
        raise OSError(
            errno.ENODEV, f"{path} is a character device; this package opens chips of gpio-bridge"
        )
    raise OSError(errno.ENOTTY, f"{path} is no chip: it does not lead to a control socket")
