# SPDX-License-Identifier: BSD-3-Clause
"""``gpiochip:``: the pins of this Linux.

    gpiochip:/dev/gpiochip0         this character device (or a link to it)
    gpiochip:label=gpio-sim.0       the chip with this label

The firmware core serves the chip in this process (firmware_stub/ports/linux): for
the rest of the bridge, and for guests, it is one controller more.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import struct
from typing import Any

from bridge.shim.ffi import ffi, lib

_USAGE = "write gpiochip:/dev/gpiochipN or gpiochip:label=LABEL"

# struct gpiochip_info of <linux/gpio.h>: name, label, lines.
_CHIPINFO = struct.Struct("=32s32sI")
_GET_CHIPINFO_IOCTL = 0x8044B401


def connect(rest: str, timeout_ms: int) -> Any:
    """Open the chip and serve it from a thread of its own.

    Args:
        rest: what follows ``gpiochip:``.
        timeout_ms: not needed, opening a chip does not wait.

    Returns:
        An opened ``struct gb_link *`` for `bridge.shim.pump.Pump.add_link`.

    Raises:
        OSError: EINVAL a bad URL, or no GPIO chip; ENOENT there is no such chip;
            ENOTUNIQ several have the label; EAGAIN no thread; what the kernel says.
    """
    if not rest.startswith(("/", "label=")):
        raise OSError(errno.EINVAL, f'"gpiochip:{rest}" is no link URL; {_USAGE}')
    path = _find(rest) if rest.startswith("label=") else rest
    chip = _open(path)
    link = lib.gb_gpiochip_open(chip, os.fsencode(path))
    if link == ffi.NULL:
        if ffi.errno == errno.ENOTTY:
            raise OSError(errno.EINVAL, f"{path} is no GPIO character device; {_USAGE}")
        raise OSError(ffi.errno, f"{path} cannot be served: {os.strerror(ffi.errno)}")
    return link


def _open(path: str) -> int:
    # O_NONBLOCK, since a file that is no chip, such as a FIFO, must not block us here.
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        number = error.errno or errno.EIO
        if number in (errno.EISDIR, errno.ENXIO):
            raise OSError(errno.EINVAL, f"{path} is no GPIO character device; {_USAGE}") from None
        raise OSError(number, f"{path} cannot be opened: {os.strerror(number)}") from None


def _label(path: str) -> bytes:
    chip = _open(path)
    try:
        packed = fcntl.ioctl(chip, _GET_CHIPINFO_IOCTL, bytes(_CHIPINFO.size))
    finally:
        os.close(chip)
    label: bytes = _CHIPINFO.unpack(packed)[1]
    return label.partition(b"\0")[0]


def _find(rest: str) -> str:
    """Path of the chip with a label."""
    label = rest.removeprefix("label=")
    found = []
    for path in sorted(glob.glob("/dev/gpiochip*")):
        try:
            if _label(path) == os.fsencode(label):
                found.append(path)
        except OSError:
            continue  # we may not open it, or it is just gone
    if len(found) == 1:
        return found[0]
    if found:
        raise OSError(
            errno.ENOTUNIQ,
            f'{len(found)} chips have the label "{label}": {", ".join(found)}; '
            "write gpiochip:/dev/gpiochipN",
        )
    raise OSError(errno.ENOENT, f'no chip that can be opened has the label "{label}"')


def watch_path(rest: str) -> str | None:
    """The device node. For a label any node will do: only the folder counts."""
    return rest if rest.startswith("/") else "/dev/gpiochip0"


def short_name(rest: str) -> str:
    """The node's name, or the label."""
    return os.path.basename(rest.removeprefix("label="))
