# SPDX-License-Identifier: BSD-3-Clause
"""``vhost-user:PATH``: a vhost-user backend with a virtio-rpmsg device (id 7)."""

from __future__ import annotations

import errno
import os
from typing import Any

from bridge.shim.ffi import ffi, lib

_WHY_SIZE = 256
_PATH_MAX = 107  # sockaddr_un.sun_path less its NUL (unix(7))


def connect(rest: str, timeout_ms: int) -> Any:
    """Connect to the socket and bring the device up.

    Args:
        rest: path of the unix socket.
        timeout_ms: deadline for the whole handshake in milliseconds.

    Returns:
        An opened ``struct gb_link *`` for `bridge.shim.pump.Pump.add_link`.

    Raises:
        OSError: errno and sentence of gb_vhost_user_connect.
    """
    path = os.fsencode(rest)
    if len(path) > _PATH_MAX:
        raise OSError(
            errno.ENAMETOOLONG,
            f"{rest}: the socket path has {len(path)} bytes; at most {_PATH_MAX} are possible",
        )
    why = ffi.new("char[]", _WHY_SIZE)
    link = lib.gb_vhost_user_connect(path, timeout_ms, why, _WHY_SIZE)
    if link == ffi.NULL:
        number = ffi.errno or errno.EIO
        sentence = ffi.string(why, _WHY_SIZE).decode("utf-8", "replace")
        raise OSError(number, sentence or f"{rest}: {os.strerror(number)}")
    return link


def watch_path(rest: str) -> str | None:
    """The socket itself: it appears when the backend starts."""
    return rest


def short_name(rest: str) -> str:
    """The file's name without its suffix: ``/tmp/x/fw.sock`` gives ``fw``."""
    return os.path.splitext(os.path.basename(rest))[0]
