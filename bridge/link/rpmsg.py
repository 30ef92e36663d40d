# SPDX-License-Identifier: BSD-3-Clause
"""``rpmsg:``: a coprocessor behind the kernel's rpmsg character devices.

    rpmsg:                          the only processor that has rpmsg
    rpmsg:remoteproc=m4_0           the remoteproc of that name
    rpmsg:device=4c000000.m4        the one below the device of that name
    rpmsg:/dev/rpmsg0               this endpoint device (or a link to it)

Every controller's channel (rpmsg-io-<decimal index>, rpmsg-raw) is used, now and
whenever one appears, unless a driver has it or a module of this kernel is for it.
Options follow a question mark and are joined by ``&``:

    claim=no|yes            with yes, also channels that a module is for (it is not
                            loaded yet, or its driver did not want them)

    via=auto|bind|ctrl      how a channel without driver gets a device: by
                            binding rpmsg_chrdev to it (needs root), through the
                            control device, or whichever we may (auto)
    dst=0x401               firmware without name service: one endpoint at this
                            address; with src= (ours, else the kernel chooses)
                            and name= (of the channel, default rpmsg-io-0)
"""

from __future__ import annotations

import os
import socket
from typing import Any

from bridge.link.rpmsg_sysfs import Sysfs
from bridge.link.rpmsg_target import parse
from bridge.shim.ffi import ffi, lib

PACKAGES = {"pyudev": "pyudev"}


def connect(rest: str, timeout_ms: int) -> Any:
    """Attach to the processor's endpoints, those that are there and those that come.

    Args:
        rest: what follows ``rpmsg:``.
        timeout_ms: how long the first look may take, in milliseconds.

    Returns:
        An opened ``struct gb_link *`` for `bridge.shim.pump.Pump.add_link`.

    Raises:
        OSError: EINVAL a bad URL; ENOENT no such processor or node; ENOTUNIQ
            several; ENOSYS no libudev; EAGAIN no thread; what the kernel says, with where.
    """
    from bridge.link.rpmsg_finder import Finder

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        finder = Finder(parse(rest), Sysfs(), ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    try:
        finder.start()
    except BaseException:
        finder.close()
        theirs.close()
        raise
    theirs.setblocking(False)
    link = lib.gb_rpmsg_open(theirs.detach())
    if link == ffi.NULL:  # it has closed what it was given, which ends the search
        raise OSError(ffi.errno, f"no rpmsg link made: {os.strerror(ffi.errno)}")
    finder.wait(timeout_ms / 1000)
    return link


def watch_path(rest: str) -> str | None:
    """The node, where the URL names one."""
    return parse(rest).node


def watch_subsystem(rest: str) -> str | None:
    """The folder of the channels: when one appears, a processor came up."""
    return None if parse(rest).node else "rpmsg"


def short_name(rest: str) -> str:
    """The processor's name, the node's, or ``rpmsg``."""
    target = parse(rest)
    node = os.path.basename(target.node) if target.node else None
    return target.remoteproc or target.device or node or "rpmsg"
