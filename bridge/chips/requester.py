# SPDX-License-Identifier: BSD-3-Clause
"""Who asks for lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.chips.line import Line
from bridge.chips.line_config import LineConfig


def _nothing() -> None:
    pass


def _anything(line: Line, config: LineConfig) -> None:
    pass


def _at_once(work: Callable[[], None]) -> None:
    work()


@dataclass(frozen=True)
class Requester:
    """The user behind a line request to one chip.

    Attributes:
        uid: user id, None for the service itself.
        ended: called when the request is over, or never came to be.
        check: raises OSError EACCES for settings of a line that this user may not have.
        turn: calls something when it is this user's turn.
        keeps: the service keeps the lines for the user.
    """

    uid: int | None = None
    ended: Callable[[], None] = _nothing
    check: Callable[[Line, LineConfig], None] = _anything
    turn: Callable[[Callable[[], None]], object] = _at_once
    keeps: bool = False


NOBODY = Requester()
"""For what the service does by itself."""
