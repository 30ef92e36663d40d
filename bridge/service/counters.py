# SPDX-License-Identifier: BSD-3-Clause
"""What a chip, its lines and its line requests have counted, in the pump."""

from __future__ import annotations

from typing import Any

from bridge import wire
from bridge.chips.chip import Chip
from bridge.chips.controller import EXTENDED
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


async def count_firmware(chip: Chip) -> Counts | None:
    """Ask a chip's firmware what it has counted (COUNTERS).

    Returns:
        As `wire.parse_counters`; None where it counts nothing, or does not tell.
    """
    controller = chip.controller
    if controller is None or not controller.features & wire.F_COUNTERS:
        return None
    try:
        reply = await controller.call(wire.MSG_GET_COUNTERS, form=EXTENDED)
        return wire.parse_counters(reply.body)
    except OSError:
        return None
