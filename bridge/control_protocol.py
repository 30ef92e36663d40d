# SPDX-License-Identifier: BSD-3-Clause
"""The protocol of the control socket: what its two sides agree on (docs/control.md)."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # as in typing, which tools that run for milliseconds do without
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_SOCKET = "/run/rpmsg-gpio-bridge/control.sock"
DEFAULT_HELPER = "/run/rpmsg-gpio-bridge-plug.sock"
"""Where gpio-bridge plug listens for services; udev/gpio-bridge-plug.socket says so, too."""
SOCKET_VARIABLE = "GPIO_BRIDGE_SOCKET"

VERSION = 1
PACKET_MAX = 65_536
"""Bytes of a packet, either way: one msgpack map."""

# ---- operations ---------------------------------------------------------------

HELLO = "hello"
CHIPS = "chips"
CHIP = "chip"
OPEN = "open"
CDEV = "cdev"
CLOSE = "close"
LINES = "lines"
LEVELS = "levels"
FIND = "find"
CLOCK = "clock"
WATCH = "watch"
UNWATCH = "unwatch"
REQUEST = "request"
KEEP = "keep"
RELEASE = "release"
STATUS = "status"
METRICS = "metrics"
TRACE = "trace"
LAST = "last"
WAIT = "wait"

OPEN_FDS = 2
"""Descriptors with the answer to OPEN: event, ring."""
REQUEST_FDS = 3
"""Descriptors with the answer to REQUEST: operation, event, ring."""
TRACE_FDS = 2
"""Descriptors with the answer to TRACE: bell, ring."""

# ---- limits -------------------------------------------------------------------

OUTSTANDING_MAX = 16
"""Requests of one client that are worked on at once; more wait in its socket."""
UNSENT_MAX = 64
"""Replies that a client may leave unread beyond its socket's buffer."""
HANDLES_MAX = 256
"""Chips that one connection may have open."""
LINES_PER_PAGE = 256
CHIPS_PER_PAGE = 100
"""So many fit a packet, whatever they are called."""
COUNTED_MAX = 512
"""Lines and line requests of a chip that one answer of METRICS counts."""
FOUND_MAX = 1024
"""Lines that one answer of FIND has; names that occur as often fit a packet."""
STRING_MAX = 4096
"""Characters of an argument."""
CLIENT_NAME_MAX = 64
"""Characters of a client's name that are kept."""
WAIT_MS_MAX = 600_000


def default_socket() -> str:
    """The control socket's path: $GPIO_BRIDGE_SOCKET, else the system-wide one."""
    return os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET


# ---- packets ------------------------------------------------------------------


def request(seq: int, op: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a client sends; `seq` comes back."""
    return {"seq": seq, "op": op, **arguments}


def success(seq: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the service sends when a request is done."""
    return {"seq": seq, "ok": answer}


def failure(seq: int | None, error: OSError) -> dict[str, Any]:
    """What the service sends when one failed; without a `seq` it could not be read."""
    number = error.errno or errno.EIO
    return {"seq": seq, "error": {"errno": number, "message": error.strerror or str(error)}}


def is_reply(packet: object) -> bool:
    """Whether a packet is what `success` or `failure` make."""
    return isinstance(packet, dict) and ("ok" in packet or "error" in packet)
