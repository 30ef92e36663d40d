# SPDX-License-Identifier: BSD-3-Clause
"""A change of a line that is watched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bridge import uapi
from bridge.client import line_info as _line_info
from bridge.client.line_info import LineInfo

__all__ = ["InfoEvent"]


@dataclass(frozen=True, init=False, repr=False)
class InfoEvent:
    """One change; ``line_info`` is the line at that moment (libgpiod's ``InfoEvent``).

    ``timestamp_ns`` is CLOCK_MONOTONIC in nanoseconds.
    """

    class Type(Enum):
        """What happened to the line."""

        LINE_REQUESTED = 1
        LINE_RELEASED = 2
        LINE_CONFIG_CHANGED = 3

    event_type: Type
    timestamp_ns: int
    line_info: LineInfo

    def __init__(self, event_type: int, timestamp_ns: int, line_info: LineInfo) -> None:
        """Make one; `event_type` is 1, 2 or 3. Raises ValueError for another number."""
        object.__setattr__(self, "event_type", InfoEvent.Type(event_type))
        object.__setattr__(self, "timestamp_ns", timestamp_ns)
        object.__setattr__(self, "line_info", line_info)

    def __str__(self) -> str:
        """The text that libgpiod prints for it."""
        return (
            f"<InfoEvent type={self.event_type} timestamp_ns={self.timestamp_ns} "
            f"line_info={self.line_info}>"
        )

    __repr__ = __str__


def from_record(record: bytes) -> InfoEvent:
    """Make an InfoEvent from a struct gpio_v2_line_info_changed of <linux/gpio.h>."""
    change = uapi.unpack_line_change(record)
    info = _line_info.from_wire(
        {
            "offset": change.offset,
            "name": change.name or None,
            "used": bool(change.flags & uapi.GPIO_V2_LINE_FLAG_USED),
            "consumer": change.consumer or None,
            "flags": change.flags,
            "debounce_us": change.debounce_us,
        }
    )
    return InfoEvent(change.event, change.timestamp_ns, info)
