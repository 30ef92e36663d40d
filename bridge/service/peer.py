# SPDX-License-Identifier: BSD-3-Clause
"""Who is at the other end of a unix socket, as the kernel says."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

# From asm-generic/socket.h; Python does not name it.
_SO_PEERGROUPS = 59
_UCRED = struct.Struct("=iII")
_GID = struct.Struct("=I")
_GROUPS_MAX = 256  # getsockopt() of Python takes no more than 1024 bytes


@dataclass(frozen=True)
class Peer:
    """Credentials of a client as they were when it connected.

    Attributes:
        pid: its process, 0 where that is not in our namespace.
        uid: its effective user id, as our user namespace has it.
        groups: its effective and its supplementary group ids.
    """

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected unix socket (SO_PEERCRED, SO_PEERGROUPS).

    Raises:
        OSError: it is no unix socket, or not connected.
    """
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Peer(pid, uid, frozenset((gid, *_supplementary(sock))))


def _supplementary(sock: socket.socket) -> list[int]:
    """Nobody has any where the kernel does not tell them (before 4.13), or too many."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_MAX * _GID.size)
    except OSError:
        return []
    return [gid for (gid,) in _GID.iter_unpack(raw)]
