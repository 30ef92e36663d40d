# SPDX-License-Identifier: BSD-3-Clause
"""Who may read what goes over the links, and who does."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Sequence

from bridge.service.client import Client
from bridge.service.config import Config
from bridge.service.peer import Peer
from bridge.service.supervisor import Supervisor
from bridge.trace.record import ALL_LINKS, RING_BYTES

TAPS_MAX = 8
"""Programs that may read along at once: each costs the pump time for each message."""


class Tracing:
    """The traces of one service.

    Args:
        config: of the service.
        supervisors: of its links.

    Raises:
        OSError: ENOENT, the group of the configuration does not exist.
    """

    def __init__(self, config: Config, supervisors: Sequence[Supervisor]) -> None:
        self._gid = _gid(config.trace_group) if config.trace_group is not None else None
        self._limited = self._gid is not None or bool(config.access)
        self._own = {0, os.geteuid()}
        self._supervisors = supervisors
        self._taps = 0

    def check(self, peer: Peer) -> None:
        """Raise OSError EACCES when a user may not read what goes over the links."""
        if self._limited and peer.uid not in self._own and self._gid not in peer.groups:
            raise OSError(
                errno.EACCES,
                f"user id {peer.uid} may not trace, which shows the lines of all users: root, the "
                "service's own user and the group trace_group of its configuration may",
            )

    def _named(self, name: str) -> Sequence[Supervisor]:
        """The link of a name, all of them for "". Raises OSError ENOENT."""
        found = [one for one in self._supervisors if name in ("", one.context.name)]
        if not found:
            names = ", ".join(one.context.name for one in self._supervisors)
            raise OSError(errno.ENOENT, f'there is no link "{name}"; there are: {names or "none"}')
        return found

    def links(self, name: str) -> list[dict[str, object]]:
        """The links as the control socket shows them here; arguments and errors as `_named`."""
        return [
            {
                "name": one.context.name,
                "number": one.context.recorder.number,
                "channels": one.channels(),
            }
            for one in self._named(name)
        ]

    def last(self, name: str) -> bytes:
        """The slots of the last records of a link. Raises OSError ENOENT."""
        return b"".join(one.context.recorder.last() for one in self._named(name)[:1])

    def open(self, client: Client, name: str) -> Sequence[int]:
        """Have a client read along until its connection ends; its descriptors, bell and ring.

        Raises:
            OSError: ENOENT no such link; EBUSY, EMFILE, ENOBUFS a limit is reached.
        """
        client.check_open()
        links = self._named(name)
        if self._taps >= TAPS_MAX:
            raise OSError(errno.EBUSY, f"{TAPS_MAX} programs trace already; end one of them")
        grant = client.account.take(handles=1, memory=RING_BYTES)
        try:
            context = links[0].context
            number = context.recorder.number if name else ALL_LINKS
            tap, fds = context.dispatcher.pump.open_tap(number)
        except BaseException:
            grant.end()
            raise
        self._taps += 1

        def end() -> None:
            self._taps -= 1
            tap.close()
            grant.end()

        client.at_end(end)
        return fds


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(errno.ENOENT, f'trace_group: there is no group "{group}"') from None
