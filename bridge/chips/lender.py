# SPDX-License-Identifier: BSD-3-Clause
"""A chip as the holders of its lines see it."""

from __future__ import annotations

from typing import Protocol

from bridge.chips.dispatcher import Dispatcher
from bridge.chips.line import Holder, Line
from bridge.chips.tasks import Tasks


class Lender(Protocol):
    """Where lines are from, and what their holders tell it.

    Attributes:
        online: whether the firmware is there.
        source_clock: whether edges have the coprocessor's own time (TIMESTAMP).
        timeout_ms: deadline of one request to the firmware in milliseconds.
        dispatcher: of the service.
        tasks: what ends with the chip.
        requests: who holds lines.
    """

    online: bool
    source_clock: bool
    timeout_ms: int
    dispatcher: Dispatcher
    tasks: Tasks
    requests: set[Holder]

    @property
    def name(self) -> str:
        """Name of the chip."""

    def changed(self, line: Line, event: int) -> None:
        """Tell the watchers of a line: GPIO_V2_LINE_CHANGED_*."""
