# SPDX-License-Identifier: BSD-3-Clause
"""All checks in their order, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor import board, users
from bridge.doctor.findings import Finding, Place

_BOARD = (board.kernel, board.remote_processors, board.channels, board.nodes, board.rules)
# With a link that needs no board these are no problems any more.
_BOARD_CHECKS = ("kernel", "remoteproc", "channels", "nodes", "udev", "groups")
# Boards have processors that are used for something else, or not at all.
_OF_OTHERS = ("remoteproc-down", "no-channel")


def examine(place: Place) -> list[Finding]:
    """Run every check.

    Args:
        place: where to look.

    Returns:
        What was found; a ``problem`` is something that stands in the way.
    """
    found = list(_board(place))
    found += users.groups(place)
    if any(f.level == "ok" and f.check == "channels" for f in found):
        found = [_softened(f) if f.failure in _OF_OTHERS else f for f in found]
    if place.link is not None:
        boardless = not place.link.startswith("rpmsg:")
        found += users.link(place)
    else:
        served = list(users.service(place))
        works = any(f.level == "ok" and f.check == "firmware" for f in served)
        boardless = works and not any("(rpmsg:" in f.what for f in served)
        if works:  # so whoever may use the service need not open nodes
            found = [_softened(f) if f.failure == "node-permission" else f for f in found]
        found += served
    if boardless:
        found = [_softened(f) if f.check in _BOARD_CHECKS else f for f in found]
    return found


def _board(place: Place) -> Iterator[Finding]:
    for check in _BOARD:
        yield from check(place)


def _softened(finding: Finding) -> Finding:
    return finding._replace(level="note") if finding.level == "problem" else finding
