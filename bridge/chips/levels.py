# SPDX-License-Identifier: BSD-3-Clause
"""The levels of pins that nobody needs to hold: what the kernel's debugfs shows of lines."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from bridge import wire
from bridge.chips.controller import Controller
from bridge.chips.pin import Pin

__all__ = ["levels_of"]

_WINDOW = 64  # lines of one GET_VALUES


async def levels_of(pins: Sequence[Pin]) -> list[bool | None]:
    """Read the levels of pins, as they are, whoever holds the lines.

    One message reads 64 lines of a controller where the firmware has BULK. None stands for a line
    that cannot be read: the firmware refuses it, as a strict one does while the line has no
    direction, or does not answer.

    Raises:
        OSError: the requests were never sent (ENODEV, EBUSY...).
    """
    windows: dict[tuple[Controller, int], list[int]] = {}
    for index, pin in enumerate(pins):
        windows.setdefault((pin.controller, pin.gpio // _WINDOW), []).append(index)
    levels: list[bool | None] = [None] * len(pins)
    for (controller, window), indexes in windows.items():
        bits = None
        if controller.features & wire.F_BULK and len(indexes) > 1:
            gpios = [pins[index].gpio for index in indexes]
            bits = await _bulk(controller, window * _WINDOW, gpios)
        for index in indexes:
            if bits is None:
                reply = await pins[index].ask(wire.MSG_GET_VALUE)
                levels[index] = None if reply.error else bool(reply.value)
                if reply.error == errno.ETIMEDOUT:
                    return levels  # and not a time-out for each line
            else:
                levels[index] = bool(bits >> pins[index].gpio % _WINDOW & 1)
    return levels


async def _bulk(controller: Controller, first: int, gpios: Sequence[int]) -> int | None:
    """The bits of a window; None where the firmware refuses one of its lines, or damages them."""
    mask = sum(1 << gpio - first for gpio in gpios)
    body, check = wire.pack_mask(mask)
    reply = await controller.ask(wire.MSG_GET_VALUES, first, check, body=body)
    return None if reply.error else wire.parse_bits(reply.body, reply.value)
