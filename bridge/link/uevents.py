# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's uevents, through libudev."""

from __future__ import annotations

import contextlib
import errno
import functools
from typing import TYPE_CHECKING

from bridge.extras import missing

if TYPE_CHECKING:
    import pyudev

_SONAME = "libudev.so.1"


def monitor(*subsystems: str) -> pyudev.Monitor:
    """A monitor of the kernel's own events (not udev's), listening already.

    Args:
        subsystems: whose events it gives.

    Raises:
        OSError: ENOSYS without pyudev or libudev, or what its socket said.
    """
    try:
        import pyudev
    except ImportError:
        raise missing("rpmsg links", "pyudev") from None
    try:
        found = pyudev.Monitor.from_netlink(_context(), source="kernel")
    except ImportError as error:
        raise OSError(errno.ENOSYS, f"rpmsg links need libudev: {error}") from None
    for subsystem in subsystems:
        found.filter_by(subsystem)
    found.start()
    return found


def drain(monitor: pyudev.Monitor) -> None:
    """Take what has come. Events that were lost (ENOBUFS) are events too."""
    with contextlib.suppress(OSError):
        while monitor.poll(timeout=0) is not None:
            pass


@functools.lru_cache(maxsize=1)
def _context() -> pyudev.Context:
    """The one context of the process, since each looks for libudev by running ldconfig."""
    import pyudev

    try:
        return pyudev.Context()
    except ImportError:
        return _context_of(_SONAME)


def _context_of(library: str) -> pyudev.Context:
    """A context with the library as the loader finds it.

    pyudev looks for it with ldconfig or a compiler; small systems have neither.
    """
    import pyudev
    from pyudev._ctypeslib import utils

    find, utils.find_library = utils.find_library, lambda name: library
    try:
        return pyudev.Context()
    except OSError as error:
        raise ImportError(str(error)) from None
    finally:
        utils.find_library = find
