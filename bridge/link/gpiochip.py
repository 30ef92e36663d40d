# SPDX-License-Identifier: BSD-3-Clause
"""``gpiochip:``: the pins of this Linux, through the ``gpiod`` package.

    gpiochip:/dev/gpiochip0         this character device (or a link to it)
    gpiochip:label=gpio-sim.0       the chip with this label

The chip is served as a controller of its own by `bridge.link.gpiochip_device`,
over the same link that rpmsg character devices use: for the rest of the bridge,
and for guests, it is one controller more.
"""

from __future__ import annotations

import array
import errno
import glob
import os
import socket
from typing import TYPE_CHECKING, Any

from bridge import wire
from bridge.extras import missing
from bridge.shim.ffi import ffi, lib

if TYPE_CHECKING:
    import gpiod

PACKAGES = {"gpiod": "gpiod"}

_USAGE = "write gpiochip:/dev/gpiochipN or gpiochip:label=LABEL"
_ADDRESS = 1024  # of the only endpoint


def connect(rest: str, timeout_ms: int) -> Any:
    """Open the chip and serve it from a thread of its own.

    Args:
        rest: what follows ``gpiochip:``.
        timeout_ms: not needed, opening a chip does not wait.

    Returns:
        An opened ``struct gb_link *`` for `bridge.shim.pump.Pump.add_link`.

    Raises:
        OSError: EINVAL a bad URL, or no GPIO chip; ENOENT there is no such chip;
            ENOTUNIQ several have the label; ENOSYS without the gpiod package; EAGAIN no thread;
            what the kernel says.
    """
    chip = _open(rest)
    from bridge.link.gpiochip_device import Device

    control, links = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    data, endpoint = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with endpoint:
            device = Device(chip, data, control)
            tell(control, lib.GB_RPMSG_ATTACH, f"{wire.CHANNEL_PREFIX}0", endpoint)
        device.start()
    except BaseException:
        for thing in (control, links, data, chip):
            thing.close()
        raise
    links.setblocking(False)
    link = lib.gb_rpmsg_open(links.detach())
    if link == ffi.NULL:  # what it was given is closed, and ends the device
        raise OSError(ffi.errno, f"no link to {rest} made: {os.strerror(ffi.errno)}")
    return link


def tell(control: socket.socket, code: int, text: str, fd: socket.socket | None = None) -> None:
    """Send a packet of shim/pump/rpmsg_link.h to the link.

    Args:
        control: our end of its socket pair.
        code: GB_RPMSG_*.
        text: name of the channel, or why the link is down.
        fd: the endpoint that is attached.

    Raises:
        OSError: EPIPE, the link is closed.
    """
    packet = ffi.new("struct gb_rpmsg_packet *")
    packet.code, packet.address = code, _ADDRESS
    packet.text = text.encode("ascii", "backslashreplace")[: lib.GB_RPMSG_TEXT_SIZE - 1]
    rights = array.array("i", [] if fd is None else [fd.fileno()])
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
    control.sendmsg([bytes(ffi.buffer(packet))], ancillary, socket.MSG_NOSIGNAL)


def _open(rest: str) -> gpiod.Chip:
    try:
        import gpiod
    except ImportError:
        raise missing("gpiochip links", "gpiod") from None
    if not rest.startswith(("/", "label=")):
        raise OSError(errno.EINVAL, f'"gpiochip:{rest}" is no link URL; {_USAGE}')
    path = _find(rest) if rest.startswith("label=") else rest
    if os.path.exists(path) and not gpiod.is_gpiochip_device(path):
        raise OSError(errno.EINVAL, f"{path} is no GPIO character device; {_USAGE}")
    try:
        return gpiod.Chip(path)
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, f"{path} cannot be opened: {os.strerror(number)}") from None


def _find(rest: str) -> str:
    """Path of the chip with a label."""
    import gpiod

    label = rest.removeprefix("label=")
    found = []
    for path in sorted(glob.glob("/dev/gpiochip*")):
        try:
            with gpiod.Chip(path) as chip:
                if chip.get_info().label == label:
                    found.append(path)
        except OSError:
            continue  # not ours to open, or just gone
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
