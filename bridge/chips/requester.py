# SPDX-License-Identifier: BSD-3-Clause
"""Who asks for lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Requester:
    """The user behind a line request.

    Attributes:
        uid: user id, None for the service itself.
        ended: called when the request is over, or never came to be.
    """

    uid: int | None = None
    ended: Callable[[], None] = _nothing


NOBODY = Requester()
"""For what the service does by itself."""
