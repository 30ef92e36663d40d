# SPDX-License-Identifier: BSD-3-Clause
"""What a chip, its lines and its line requests have counted, in the pump."""

from __future__ import annotations

from typing import Any

from bridge.chips.chip import Chip
from bridge.chips.request import LineRequest

Counts = dict[str, Any]


def count_chip(chip: Chip) -> tuple[Counts, list[Counts], list[Counts]]:
    """Count of a chip.

    Args:
        chip: that is online; of one that is put together out of others, only its requests count.

    Returns:
        Of calls to its firmware; of each line that has had edges; of each line request.
    """
    requests = [holder.count() for holder in chip.requests if isinstance(holder, LineRequest)]
    if chip.controller is None:
        return {}, [], requests
    handle = chip.controller.handle
    counted = enumerate(handle.count_lines(len(chip.lines)))
    lines = [
        {"offset": offset, "name": chip.lines[offset].name, "edges": edges, "lost": lost}
        for offset, (edges, lost) in counted
        if edges or lost
    ]
    return handle.count(), lines, requests
