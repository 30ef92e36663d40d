# SPDX-License-Identifier: BSD-3-Clause
"""All checks in their order, and the result of them together."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bridge.doctor import board, kernel, users
from bridge.doctor.findings import Finding, Place

_BOARD = (kernel.kernel, board.remote_processors, board.channels, board.nodes, board.rules)
# Where no link in use needs a board, these are not problems.
_BOARD_CHECKS = ("kernel", "remoteproc", "channels", "nodes", "udev", "groups")
# Boards may have processors that are used for something else, or not at all.
_OF_OTHERS = ("remoteproc-down", "no-channel")
# Links over rpmsg need a board's kernel; the others reach their firmware without it.
_NEED_A_BOARD = ("rpmsg:", "serial:rpmsg-tty", "serial:/dev/ttyRPMSG")
_LEVELS = ("problem", "note", "ok")


def examine(place: Place) -> list[Finding]:
    """Run every check.

    Args:
        place: where to look.

    Returns:
        What was found, problems first; a ``problem`` is something that stands in the way. Of
        several problems the first may be the cause of those behind it.
    """
    if place.kernel_config is not None:
        return sorted(kernel.kernel(place), key=lambda f: _LEVELS.index(f.level))
    found = list(_board(place))
    found += users.groups(place)
    if any(f.level == "ok" and f.check == "channels" for f in found):
        found = [_softened(f) if f.failure in _OF_OTHERS else f for f in found]
    if place.link is not None:
        urls = [place.link]
        found += users.link(place)
    else:
        served, urls = users.service(place)
        if any(f.level == "ok" and f.check == "firmware" for f in served):
            # Whoever may use the service need therefore not open nodes.
            found = [_softened(f) if f.failure == "node-permission" else f for f in found]
        found += served
    if not _needs_a_board(place, urls):
        found = [_softened(f) if f.check in _BOARD_CHECKS else f for f in found]
    return sorted(found, key=lambda f: _LEVELS.index(f.level))


def _needs_a_board(place: Place, urls: list[str]) -> bool:
    """Whether a link in use does; where none is known, whether this is a board."""
    if urls:
        return any(url.startswith(_NEED_A_BOARD) for url in urls)
    return any(map(os.path.exists, _board_signs(place)))


def _board_signs(place: Place) -> tuple[str, ...]:
    """Paths that a PC does not have."""
    return (
        f"{place.proc}/device-tree",
        f"{place.sysfs}/bus/rpmsg",
        f"{place.sysfs}/class/remoteproc",
    )


def _board(place: Place) -> Iterator[Finding]:
    for check in _BOARD:
        yield from check(place)


def _softened(finding: Finding) -> Finding:
    return finding._replace(level="note") if finding.level == "problem" else finding
