# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what with which lines: the [[access]] tables of the configuration.

A line that no rule names is open to everybody who may connect. A line that a rule names is open to
those whom such a rule lets do something, and to root and the service's own user.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from bridge import uapi

if TYPE_CHECKING:
    from bridge.chips.chip import Chip
    from bridge.chips.line import Line
    from bridge.chips.line_config import LineConfig
    from bridge.service.peer import Peer

Rights = frozenset[str]

INCLUDED = {
    "see": {"see"},
    "read": {"read", "see"},
    "drive": {"drive", "read", "see"},
    "watch": {"watch", "see"},
}
"""The rights, each with those that are nothing without it."""
ALL: Rights = frozenset(INCLUDED)

# The cache of one chip; a user has few sets of groups.
_REMEMBERED_MAX = 64


@dataclass(frozen=True)
class AccessRule:
    """One [[access]] table.

    Attributes:
        chip: a pattern of chips' names.
        lines: patterns of names and offsets, empty for all lines.
        users: as configured; with groups, empty for everybody.
        groups: as configured.
        may: rights, as configured.
        uids: the users' ids.
        gids: the groups' ids.
    """

    chip: str = "*"
    lines: tuple[str | int, ...] = ()
    users: tuple[str | int, ...] = ()
    groups: tuple[str | int, ...] = ()
    may: tuple[str, ...] = ()
    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def names(self, line: Line) -> bool:
        """Whether the rule is about a line of a chip that it is about."""
        return not self.lines or any(
            one == line.offset
            if isinstance(one, int)
            else line.name is not None and fnmatchcase(line.name, one)
            for one in self.lines
        )

    def is_for(self, peer: Peer) -> bool:
        """Whether the rule is about this user."""
        everybody = not self.users and not self.groups
        return everybody or peer.uid in self.uids or not self.gids.isdisjoint(peer.groups)

    def status(self) -> dict[str, object]:
        """The rule as the control socket shows it."""
        return {
            "chip": self.chip,
            "lines": list(self.lines),
            "users": list(self.users),
            "groups": list(self.groups),
            "may": list(self.may),
        }


class Policy:
    """All rules of a service.

    Args:
        rules: in any order.
    """

    def __init__(self, rules: Sequence[AccessRule]) -> None:
        self.rules = tuple(rules)
        self._own = {0, os.geteuid()}
        self._known: weakref.WeakKeyDictionary[
            Chip, dict[tuple[int, frozenset[int]], list[Rights]]
        ] = weakref.WeakKeyDictionary()

    def _unlimited(self, peer: Peer) -> bool:
        return not self.rules or peer.uid in self._own

    def sees(self, peer: Peer, chip: Chip) -> bool:
        """Whether a user sees a chip: any of its lines."""
        return self._unlimited(peer) or any("see" in rights for rights in self._of(peer, chip))

    def sees_line(self, peer: Peer, chip: Chip | None, offset: int) -> bool:
        """Whether a user sees a line, which may be gone, or its chip: who sees all does."""
        if chip is None or offset >= len(chip.lines):
            return self._unlimited(peer)
        return "see" in self.rights(peer, chip, offset)

    def rights(self, peer: Peer, chip: Chip, offset: int) -> Rights:
        """What a user may do with a line."""
        return ALL if self._unlimited(peer) else self._of(peer, chip)[offset]

    def _of(self, peer: Peer, chip: Chip) -> list[Rights]:
        """Rights by offset: a chip's lines and their names do not change while it is there."""
        known = self._known.setdefault(chip, {})
        key = peer.uid, peer.groups
        if key not in known:
            if len(known) >= _REMEMBERED_MAX:
                known.clear()
            rules = [rule for rule in self.rules if fnmatchcase(chip.name, rule.chip)]
            known[key] = [_rights(rules, peer, line) for line in chip.lines]
        return known[key]

    def check(self, peer: Peer, chip: Chip, line: Line, config: LineConfig) -> None:
        """Raise OSError EACCES when a user may not have a line with such settings."""
        output = config.output if config.directed else line.output
        self.need(peer, chip, line, "drive" if output else "read")

    def need(self, peer: Peer, chip: Chip, line: Line, right: str) -> None:
        """Raise OSError EACCES when a user has not a right to a line."""
        rights = self.rights(peer, chip, line.offset)
        if right not in rights:
            what = line.describe() if "see" in rights else str(line.offset)
            raise OSError(
                errno.EACCES,
                f"user id {peer.uid} may not {right} line {what} of chip {chip.name} "
                "([[access]] in the service's configuration)",
            )

    def info(self, peer: Peer, chip: Chip, line: Line) -> dict[str, object]:
        """A line as a user is shown it; a line that the user may not see is shown as in use."""
        if "see" in self.rights(peer, chip, line.offset):
            return line.info()
        return {
            "offset": line.offset,
            "name": None,
            "used": True,
            "consumer": None,
            "flags": uapi.GPIO_V2_LINE_FLAG_USED | uapi.GPIO_V2_LINE_FLAG_INPUT,
            "debounce_us": 0,
        }


def _rights(rules: Sequence[AccessRule], peer: Peer, line: Line) -> Rights:
    """The rights that the rules of a chip leave of a line."""
    about = [rule for rule in rules if rule.names(line)]
    if not about:
        return ALL
    given = (right for rule in about if rule.is_for(peer) for right in rule.may)
    return frozenset().union(*(INCLUDED[right] for right in given))
