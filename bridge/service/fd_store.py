# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that the service manager keeps while the service is started anew.

The protocol is that of sd_pid_notify_with_fds(3), FDSTORE=1, and of
sd_listen_fds_with_names(3). No package that is kept up speaks both without libsystemd's
headers; it is two messages, and what else sd_notify(3) sends goes the same way.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence

_FIRST = 3  # SD_LISTEN_FDS_START


class FdStore:
    """The descriptors that the manager kept, and those that it is to keep.

    Args:
        environment: NOTIFY_SOCKET, LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; the last
            three are removed, children do not inherit them.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._kept = _kept(environment)

    def names(self) -> list[str]:
        """Names of the descriptors that were kept and not taken."""
        return list(self._kept)

    @property
    def has_manager(self) -> bool:
        """Whether there is one that may keep descriptors."""
        return bool(self._address)

    def inherit(self, name: str) -> int | None:
        """A descriptor that was kept, the caller's from here on; None: there is none.

        The manager keeps its copy, for the service after this one.
        """
        return self._kept.pop(name, None)

    def put(self, name: str, fd: int) -> bool:
        """Let the manager keep a copy of `fd`; whether it took it, which it does not wait for.

        A manager that has no room for it (FileDescriptorStoreMax=) closes it.
        """
        return notify(f"FDSTORE=1\nFDNAME={name}", (fd,), self._address)

    def forget(self, name: str) -> bool:
        """Let the manager close what it keeps under a name; whether it took that."""
        return notify(f"FDSTOREREMOVE=1\nFDNAME={name}", (), self._address)

    def close(self) -> None:
        """Close the descriptors that nobody took; the manager's copies stay."""
        for fd in self._kept.values():
            os.close(fd)
        self._kept.clear()


def notify(
    text: str, fds: Sequence[int] = (), address: str | None = None, *, patience_s: float = 0
) -> bool:
    """Tell the service manager (sd_notify(3)); whether there is one that took it.

    Args:
        text: assignments, one a line: ``READY=1``.
        fds: descriptors that go with it.
        address: its socket; None: that of NOTIFY_SOCKET.
        patience_s: seconds to wait until it has read of its socket, if that is full.
    """
    address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
    if not address:
        return False
    # systemd writes the first byte of an abstract name as "@".
    address = "\0" + address[1:] if address[0] == "@" else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(patience_s)
            to.connect(address)
            socket.send_fds(to, [text.encode()], list(fds))
    except OSError:
        return False
    return True


def _kept(environment: MutableMapping[str, str]) -> dict[str, int]:
    pid, count, names = (
        environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return {}
    kept: dict[str, int] = {}
    for fd, name in enumerate(names.split(":")[: int(count)], _FIRST):
        os.set_inheritable(fd, False)
        if name in kept:  # it was put a second time
            os.close(kept[name])
        kept[name] = fd
    return kept
