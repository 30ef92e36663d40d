# SPDX-License-Identifier: BSD-3-Clause
"""How a USB device of the service gets into the kernel: through a helper that runs as root.

The helper (bridge/plug/main.c) takes both ends of a socket pair, gives one to vhci_hcd, and
watches at the other that the service answers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct

from bridge.shim.usb import Adapter

# struct plug_reply: errno, port, why.
_REPLY = struct.Struct("=ii120s")
_PATIENCE_S = 5.0


async def plug(adapter: Adapter, helper: str) -> int:
    """Plug the adapter into this kernel; it is out again when its session ends.

    Args:
        adapter: that is served from here on.
        helper: path of the helper's socket.

    Returns:
        The port of vhci_hcd.

    Raises:
        OSError: with a sentence: the helper is not there, refuses, or the kernel does.
    """
    loop = asyncio.get_running_loop()
    kernel, device = socket.socketpair()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    with kernel, device, connection:
        try:
            connection.connect(helper)
        except OSError as error:
            raise OSError(error.errno, f"{helper}: {_why_none(error)}") from None
        # Served before the kernel asks: the helper is not patient.
        adapter.plug(os.dup(device.fileno()), os.dup(connection.fileno()))
        try:
            socket.send_fds(connection, [b"p"], [kernel.fileno(), device.fileno()])
            answer = await asyncio.wait_for(loop.sock_recv(connection, _REPLY.size), _PATIENCE_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise OSError(errno.ETIMEDOUT, f"{helper}: the helper does not answer") from None
        except ConnectionError:
            answer = b""
        if len(answer) != _REPLY.size:
            raise OSError(errno.EACCES, f"{helper}: the helper serves another user")
        number, port, why = _REPLY.unpack(answer)
        if number:
            raise OSError(number, why.rstrip(b"\0").decode(errors="replace"))
        return int(port)


def _why_none(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return "no helper listens there (systemctl enable --now gpio-bridge-plug.socket)"
    if error.errno == errno.EACCES:
        return "the helper's socket is not for this user"
    return os.strerror(error.errno or errno.EIO)
