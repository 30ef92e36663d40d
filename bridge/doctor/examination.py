# SPDX-License-Identifier: BSD-3-Clause
"""All checks in their order, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.doctor import board, users
from bridge.doctor.findings import Finding, Place

_BOARD = (board.kernel, board.remote_processors, board.channels, board.nodes, board.rules)
# With a link that needs no board these are no problems any more.
_BOARD_CHECKS = ("kernel", "remoteproc", "channels", "nodes", "udev", "groups")


def examine(place: Place) -> list[Finding]:
    """Run every check.

    Args:
        place: where to look.

    Returns:
        What was found; a ``problem`` is something that stands in the way.
    """
    found = list(_board(place))
    found += users.groups(place)
    if place.link is not None:
        found += users.link(place)
        boardless = not place.link.startswith("rpmsg:")
    else:
        served = list(users.service(place))
        found += served
        boardless = any(f.level == "ok" and f.check == "firmware" for f in served) and not any(
            "(rpmsg:" in f.what for f in served
        )
    return [_softened(finding) for finding in found] if boardless else found


def _board(place: Place) -> Iterator[Finding]:
    for check in _BOARD:
        yield from check(place)


def _softened(finding: Finding) -> Finding:
    if finding.level == "problem" and finding.check in _BOARD_CHECKS:
        return finding._replace(level="note")
    return finding
